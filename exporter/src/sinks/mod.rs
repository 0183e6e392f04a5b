//! Sinks: where detections go. A sink sees only detections, never events or rules.

pub mod queue;
pub mod stdout;
pub mod webhook;

use std::{fmt, future::Future, pin::Pin, time::Duration};

/// A detection as the journal has it: the same bytes at each attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the journal.
    pub id: i64,
    /// When it was journaled, nanoseconds since the epoch.
    pub written_ns: i64,
    /// JSON, one object, without the end of the line.
    pub line: String,
}

/// Why entries did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The receiver is away or asks to wait: the same again, not before `after`.
    #[error("{text}")]
    Later { reason: &'static str, text: String, after: Option<Duration> },
    /// The receiver will not have this, now or ever.
    #[error("{text}")]
    Rejected { text: String },
}

pub type Sent<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// A receiver over the network. One request at a time is under way for each tenant.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Most entries in one request.
    fn most(&self) -> usize;

    /// Sends a tenant's entries, in order. `Ok`: the receiver has all of them.
    fn send<'a>(&'a self, tenant: &'a str, entries: &'a [Entry]) -> Sent<'a>;
}
