//! Fields: the vocabulary in which rules speak of events.
//!
//! - [`scheme`]: which fields exist, their types, arguments and sources (Falco's names);
//! - [`value`]: what a field yields;
//! - [`subject`]: the one interface through which rules look at an event.
//!
//! No I/O, no async, and nothing here knows where an event came from.

pub mod scheme;
pub mod subject;
pub mod value;

pub use scheme::{FieldArg, FieldDef, FieldError, FieldId, FieldRef, FieldType, Scheme, Source};
pub use subject::Subject;
pub use value::Value;
