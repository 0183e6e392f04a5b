//! An audit event, and what the rules see of it. What the fields yield is in `fields::extract`.

use jiff::Timestamp;
use serde_json::Value;

use super::json;

/// One event of `audit.k8s.io/v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    json: Value,
    time_ns: u64,
}

impl AuditEvent {
    /// Reads an event's JSON. `received_ns` (since the epoch) is its time if it does not say one.
    pub fn read(text: &str, received_ns: u64) -> serde_json::Result<AuditEvent> {
        Ok(AuditEvent::new(json::read(text)?, received_ns))
    }

    pub fn new(json: Value, received_ns: u64) -> AuditEvent {
        let time = |key| {
            let time: Timestamp = json.get(key)?.as_str()?.parse().ok()?;
            u64::try_from(time.as_nanosecond()).ok()
        };
        let time_ns =
            time("stageTimestamp").or_else(|| time("requestReceivedTimestamp")).unwrap_or(received_ns);
        AuditEvent { json, time_ns }
    }

    pub fn json(&self) -> &Value {
        &self.json
    }

    /// When the stage was reached, nanoseconds since the epoch.
    pub fn time_ns(&self) -> u64 {
        self.time_ns
    }

    /// The value at nested keys.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.json, |value, key| value.get(key))
    }

    /// The same if it is text.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.as_str()
    }
}

/// The namespace that an event is about, which decides whose it is: that of its object; of a request for a
/// namespace itself, that one. `None`: the cluster's own, as nodes, cluster roles and lists over all namespaces.
pub fn namespace_of(event: &AuditEvent) -> Option<&str> {
    let object = |key| event.text(&["objectRef", key]).filter(|text| !text.is_empty());
    object("namespace").or_else(|| object("name").filter(|_| object("resource") == Some("namespaces")))
}

/// An audit event and what is known around it, as the rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct AuditView<'e> {
    pub event: &'e AuditEvent,
    /// `evt.num`: counted from 1, audit events only.
    pub number: u64,
    /// Time of the first audit event.
    pub first_ns: u64,
    pub hostname: &'e str,
    /// As configured; empty if it is not.
    pub cluster: &'e str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_stages() {
        for (json, expected) in [
            (r#"{"stageTimestamp":"1970-01-01T00:00:01.000002Z"}"#, 1_000_002_000),
            (r#"{"stageTimestamp":null,"requestReceivedTimestamp":"1970-01-01T00:00:02Z"}"#, 2_000_000_000),
            (r#"{"stageTimestamp":"yesterday"}"#, 7),
            (r#"{"stageTimestamp":"1000-01-01T00:00:02Z"}"#, 7),
            ("{}", 7),
            ("3", 7),
        ] {
            assert_eq!(AuditEvent::read(json, 7).unwrap().time_ns(), expected, "{json}");
        }
    }

    #[test]
    fn an_event_belongs_to_the_namespace_of_its_object() {
        for (object, expected) in [
            (r#"{"resource":"pods","namespace":"team-a","name":"web-0"}"#, Some("team-a")),
            (r#"{"resource":"namespaces","name":"team-b"}"#, Some("team-b")),
            (r#"{"resource":"namespaces","namespace":"team-b","name":"team-b"}"#, Some("team-b")),
            (r#"{"resource":"nodes","name":"node-1"}"#, None),
            (r#"{"resource":"pods","namespace":""}"#, None),
            (r#"{"resource":"namespaces"}"#, None),
            (r#"{"resource":"pods","namespace":3}"#, None),
            ("null", None),
        ] {
            let event = AuditEvent::read(&format!(r#"{{"objectRef":{object}}}"#), 0).unwrap();
            assert_eq!(namespace_of(&event), expected, "{object}");
        }
    }
}
