//! Recordings: a stream of raw kernel events in a file, to be replayed through the same engine.
//!
//! [`format`](self::format) is the layout (`docs/recording.md`), [`Tap`] copies records on the hot path,
//! [`Recorder`] writes them on a thread of its own, [`Reader`] reads them back and trusts nothing. Nothing
//! here decodes an event.

mod format;
mod reader;
mod recorder;

pub use format::{FORMAT_VERSION, Meta};
pub use reader::{Frame, Reader, RecordingError, records};
pub use recorder::{Recorder, Tap};

#[cfg(test)]
mod tests;
