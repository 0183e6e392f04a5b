//! Kubernetes audit events: the second source.
//!
//! `request body → [`parse`] → [`intake`] → [`AuditEvent`] → fields → rules`. What a user of the cluster may choose
//! (names, objects, patches, even the audit id) is hostile: it can neither make a request unreadable nor make an
//! event count as a repetition of another.
//!
//! Nothing here listens, and nothing here knows the rules.

mod event;
mod intake;
mod json;
mod parse;
mod sessions;
mod stage;

pub use event::{AuditEvent, AuditView, namespace_of};
pub use intake::{Accepted, Intake, Queued, Refused, Taken};
pub use json::merge;
pub use parse::{Incoming, ParseError, parse};
pub use sessions::Sessions;
pub use stage::Stage;

#[cfg(test)]
mod tests;
