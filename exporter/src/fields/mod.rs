//! Fields: the vocabulary in which rules speak of events.
//!
//! - [`scheme`]: how names are resolved to fields; [`table`]: which fields exist (Falco's names);
//! - [`value`]: what a field yields;
//! - [`subject`]: the one interface through which rules look at an event.
//!
//! No I/O, no async, and nothing here knows where an event came from.

#[cfg(test)]
mod docs;
mod extract;
pub mod scheme;
pub mod subject;
pub mod table;
pub mod value;

pub use scheme::{
    ArgSpec, Cardinality, Field, FieldArg, FieldDef, FieldError, FieldId, FieldRef, FieldType, Provided,
    Scheme, Source, scheme,
};
pub use subject::Subject;
pub use value::Value;
