//! A detection's output fields as attributes: by the semantic conventions where these have a name for it, and each by its
//! own name below `yagura.field.`.

use std::collections::HashSet;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use serde_json::{Map, Value};

use super::resource::{integer, list, pair, text};

/// OpenTelemetry's default limit of a record's attributes.
const MAX_ATTRIBUTES: usize = 128;
/// Bytes of one value.
const MAX_VALUE: usize = 8 << 10;

/// What the conventions call a field.
const CONVENTIONS: &[(&str, &str, Kind)] = &[
    ("proc.pid", "process.pid", Kind::Integer),
    ("proc.ppid", "process.parent_pid", Kind::Integer),
    ("proc.vpid", "process.vpid", Kind::Integer),
    ("proc.name", "process.executable.name", Kind::Text),
    ("proc.exepath", "process.executable.path", Kind::Text),
    ("proc.cmdline", "process.command_line", Kind::Text),
    ("proc.cwd", "process.working_directory", Kind::Text),
    ("user.name", "process.user.name", Kind::Text),
    ("user.uid", "process.user.id", Kind::Integer),
    ("container.id", "container.id", Kind::Container),
    ("container.name", "container.name", Kind::Container),
    ("container.image.repository", "container.image.name", Kind::Text),
    ("container.image.tag", "container.image.tags", Kind::List),
    ("container.image.id", "container.image.id", Kind::Text),
    ("k8s.ns.name", "k8s.namespace.name", Kind::Text),
    ("k8s.pod.name", "k8s.pod.name", Kind::Text),
    ("k8s.pod.uid", "k8s.pod.uid", Kind::Text),
    ("k8s.rs.name", "k8s.replicaset.name", Kind::Text),
    ("k8s.deployment.name", "k8s.deployment.name", Kind::Text),
    ("k8s.daemonset.name", "k8s.daemonset.name", Kind::Text),
    ("k8s.statefulset.name", "k8s.statefulset.name", Kind::Text),
    ("k8s.job.name", "k8s.job.name", Kind::Text),
    ("k8s.cronjob.name", "k8s.cronjob.name", Kind::Text),
    ("ka.target.namespace", "k8s.namespace.name", Kind::Text),
    ("ka.user.name", "user.name", Kind::Text),
    ("fd.name", "file.path", Kind::Path),
    ("fs.path.name", "file.path", Kind::Path),
    ("fd.rip", "network.peer.address", Kind::Text),
    ("fd.rport", "network.peer.port", Kind::Integer),
    ("fd.lip", "network.local.address", Kind::Text),
    ("fd.lport", "network.local.port", Kind::Integer),
];

/// What a convention wants to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    /// Of several values, of which the field has one.
    List,
    /// Text, but for what is not in a container.
    Container,
    /// Text that is a path, and no socket's addresses.
    Path,
}

impl Kind {
    fn value(self, value: &Value) -> Option<AnyValue> {
        match (self, value) {
            (Kind::Integer, value) => value.as_i64().map(integer),
            (Kind::Text, Value::String(value)) => Some(text(cut(value))),
            (Kind::List, Value::String(value)) => Some(list(std::iter::once(text(cut(value))))),
            (Kind::Container, Value::String(value)) => (value != "host").then(|| text(cut(value))),
            (Kind::Path, Value::String(value)) => value.starts_with('/').then(|| text(cut(value))),
            _ => None,
        }
    }
}

/// The attributes of a record, of which `own` come first, and how many there was no room for.
pub(super) fn attributes(own: Vec<KeyValue>, fields: &Map<String, Value>) -> (Vec<KeyValue>, u32) {
    let mut names: HashSet<String> = own.iter().map(|pair| pair.key.clone()).collect();
    let mut attributes = own;
    let mut left_out = 0;
    let mut add = |pair: KeyValue| {
        // A key is there once; which of two fields has it is decided by the order of the output.
        if !names.insert(pair.key.clone()) {
            return;
        }
        if attributes.len() < MAX_ATTRIBUTES {
            attributes.push(pair);
        } else {
            left_out += 1;
        }
    };
    for (name, value) in fields {
        let known = CONVENTIONS.iter().filter(|(field, ..)| field == name);
        known.filter_map(|(_, key, kind)| Some(pair(key, kind.value(value)?))).for_each(&mut add);
    }
    for (name, value) in fields {
        if let Some(value) = any(value) {
            add(pair(&format!("yagura.field.{name}"), value));
        }
    }
    (attributes, left_out)
}

/// A value as it is; nothing for one that the event did not have.
fn any(value: &Value) -> Option<AnyValue> {
    let value = match value {
        Value::Null => return None,
        Value::Bool(value) => any_value::Value::BoolValue(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => any_value::Value::IntValue(number),
            // Of integers beyond 2^63 the digits count.
            (None, _) if number.is_u64() => any_value::Value::StringValue(number.to_string()),
            (None, number) => any_value::Value::DoubleValue(number?),
        },
        Value::String(value) => any_value::Value::StringValue(cut(value).to_owned()),
        Value::Array(values) => return Some(list(values.iter().filter_map(any))),
        Value::Object(_) => any_value::Value::StringValue(cut(&value.to_string()).to_owned()),
    };
    Some(AnyValue { value: Some(value) })
}

fn cut(value: &str) -> &str {
    value.get(..value.floor_char_boundary(MAX_VALUE)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(fields: &Value) -> Vec<(String, Value)> {
        fn plain(value: &AnyValue) -> Value {
            match value.value.as_ref().unwrap() {
                any_value::Value::StringValue(value) => json!(value),
                any_value::Value::IntValue(value) => json!(value),
                any_value::Value::BoolValue(value) => json!(value),
                any_value::Value::DoubleValue(value) => json!(value),
                any_value::Value::ArrayValue(list) => list.values.iter().map(plain).collect(),
                other => panic!("{other:?}"),
            }
        }
        let (attributes, left_out) = attributes(Vec::new(), fields.as_object().unwrap());
        assert_eq!(left_out, 0);
        attributes.iter().map(|pair| (pair.key.clone(), plain(pair.value.as_ref().unwrap()))).collect()
    }

    #[test]
    fn fields_have_the_conventions_names_and_their_own() {
        for (fields, expected) in [
            (json!({}), vec![]),
            (json!({"proc.name": null}), vec![]),
            (
                json!({"proc.pid": 7, "proc.name": "cat"}),
                vec![
                    ("process.pid", json!(7)),
                    ("process.executable.name", json!("cat")),
                    ("yagura.field.proc.pid", json!(7)),
                    ("yagura.field.proc.name", json!("cat")),
                ],
            ),
            // What is not of the kind that a convention wants has its own name only.
            (json!({"proc.pid": "7"}), vec![("yagura.field.proc.pid", json!("7"))]),
            (json!({"container.id": "host"}), vec![("yagura.field.container.id", json!("host"))]),
            (
                json!({"fd.name": "127.0.0.1:1->127.0.0.1:2"}),
                vec![("yagura.field.fd.name", json!("127.0.0.1:1->127.0.0.1:2"))],
            ),
            (
                json!({"fd.name": "/etc/shadow", "fs.path.name": "/other"}),
                vec![
                    ("file.path", json!("/etc/shadow")),
                    ("yagura.field.fd.name", json!("/etc/shadow")),
                    ("yagura.field.fs.path.name", json!("/other")),
                ],
            ),
            (
                json!({"container.image.tag": "1.2", "a": [1, "x", null], "b": true, "c": 0.5, "d": u64::MAX}),
                vec![
                    ("container.image.tags", json!(["1.2"])),
                    ("yagura.field.container.image.tag", json!("1.2")),
                    ("yagura.field.a", json!([1, "x"])),
                    ("yagura.field.b", json!(true)),
                    ("yagura.field.c", json!(0.5)),
                    ("yagura.field.d", json!("18446744073709551615")),
                ],
            ),
        ] {
            let expected: Vec<(String, Value)> =
                expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            assert_eq!(of(&fields), expected, "{fields}");
        }
    }

    #[test]
    fn a_record_is_bounded() {
        let fields: Map<String, Value> =
            (0..200).map(|number| (format!("f{number}"), "é".repeat(MAX_VALUE).into())).collect();
        let (attributes, left_out) = attributes(vec![pair("own", text("x"))], &fields);
        assert_eq!((attributes.len(), left_out), (MAX_ATTRIBUTES, 73));
        let Some(any_value::Value::StringValue(value)) = attributes[1].value.as_ref().unwrap().value.clone()
        else {
            panic!("{attributes:?}")
        };
        assert_eq!(value.len(), MAX_VALUE);
    }
}
