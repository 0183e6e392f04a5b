//! The one interface through which rules look at an event.

use exporter_common::event_type::EventType;

use super::{FieldRef, Source, Value};

/// Something rules can be evaluated on: a live kernel event with its process, a replayed one, an audit
/// event, or the field values of a `rules test` case.
pub trait Subject {
    /// Which rules apply.
    fn source(&self) -> Source;

    /// The kernel event type, `None` for sources that have none.
    fn event_type(&self) -> Option<EventType>;

    /// The field's value, or `None` if this event does not have it: then every comparison is false
    /// (Falco's semantics). Must be cheap and free of I/O: it is called on the hot path.
    fn get(&self, field: &FieldRef) -> Option<Value<'_>>;

    /// False for a field that events like this one never have (the pod of a host process): its absence is an answer,
    /// not a gap, and a detection does not list it as incomplete.
    fn may_have(&self, _field: &FieldRef) -> bool {
        true
    }
}
