//! What each field yields for an event: the only place that turns events into [`Value`]s.
//!
//! Semantics are those of Falco's libraries (`sinsp_filtercheck_*`, the 0.44 line); where we differ on
//! purpose, the field's description or a comment at the place says so.

mod args;
mod audit;
mod container;
mod evt;
mod fd;
mod names;
mod other;
mod path;
mod proc;
mod time;

use exporter_common::event_type::EventType;

use super::{Field, FieldRef, Source, Subject, Value, scheme::scheme};
use crate::enrich::View;

/// What Falco writes where a name is unknown.
const NOT_AVAILABLE: &[u8] = b"<NA>";

impl Subject for View<'_> {
    fn source(&self) -> Source {
        Source::Syscall
    }

    fn event_type(&self) -> Option<EventType> {
        Some(self.event.event_type())
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        match scheme().get(field.id)?.field? {
            Field::Evt(evt) => self.evt(evt, &field.arg),
            Field::Proc(proc) => self.proc(proc, &field.arg),
            Field::Fd(fd) => self.fd(fd),
            Field::Other(other) => self.other(other),
            Field::Container(container) => self.of_container(container, &field.arg),
            Field::Audit(_) => None,
        }
    }

    fn may_have(&self, field: &FieldRef) -> bool {
        match scheme().get(field.id).and_then(|def| def.field) {
            Some(Field::Container(container)) => self.may_have_metadata(container),
            _ => true,
        }
    }
}

/// A string value that owns.
fn owned<'a>(text: impl Into<Vec<u8>>) -> Value<'a> {
    Value::Str(std::borrow::Cow::Owned(text.into()))
}

#[cfg(test)]
mod tests;
