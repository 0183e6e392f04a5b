//! A case, and the event it describes.

use std::{borrow::Cow, collections::HashMap};

use exporter_common::event_type::EventType;

use crate::audit::{AuditEvent, AuditView};
use crate::fields::{FieldRef, Source, Subject, Value};

/// One case, checked: its fields exist and its values have their types.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// Where it stands.
    pub file: String,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    pub subject: CaseSubject,
    pub expected: Expected,
}

/// What a case demands.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Exactly the rules that must fire, each with the place of its name.
    pub rules: Vec<RuleName>,
    /// Rendered output by rule.
    pub output: Vec<(RuleName, String)>,
    /// Values that each expected rule's output must have, by field as written.
    pub output_fields: Vec<(String, serde_json::Value)>,
}

/// A rule's name and where the case has it.
#[derive(Clone, Debug)]
pub struct RuleName {
    pub name: String,
    pub line: u32,
    pub column: u32,
}

/// The event of a case: the fields it gives and, if it gives an audit event, that event's.
#[derive(Clone, Debug)]
pub struct CaseSubject {
    pub(super) source: Source,
    pub(super) event_type: Option<EventType>,
    pub(super) values: HashMap<FieldRef, Value<'static>>,
    pub(super) audit: Option<AuditEvent>,
}

impl Subject for CaseSubject {
    fn source(&self) -> Source {
        self.source
    }

    fn event_type(&self) -> Option<EventType> {
        self.event_type
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        if let Some(value) = self.values.get(field) {
            return Some(borrowed(value));
        }
        let event = self.audit.as_ref()?;
        AuditView { event, number: 1, first_ns: event.time_ns(), hostname: "node", cluster: "" }.value(field)
    }
}

/// The same value without a copy of its bytes.
fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Str(bytes) => Value::Str(Cow::Borrowed(bytes)),
        Value::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
        Value::List(values) => Value::List(values.iter().map(borrowed).collect()),
        Value::Int(v) => Value::Int(*v),
        Value::Uint(v) => Value::Uint(*v),
        Value::Bool(v) => Value::Bool(*v),
        Value::Double(v) => Value::Double(*v),
        Value::Ip(v) => Value::Ip(*v),
        Value::Port(v) => Value::Port(*v),
        Value::RelTime(v) => Value::RelTime(*v),
        Value::AbsTime(v) => Value::AbsTime(*v),
    }
}
