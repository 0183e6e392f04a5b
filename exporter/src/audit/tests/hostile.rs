//! Whatever comes, nothing panics and nothing is lost without a word.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{
    audit::{AuditEvent, AuditView, Sessions, namespace_of, parse},
    fields::{ArgSpec, FieldRef, Source, scheme},
    rules::value_text,
};

/// Keys that some field looks for, so that random objects reach far into the extraction.
const KEYS: &[&str] = &[
    "annotations",
    "add",
    "apiGroups",
    "args",
    "auditID",
    "capabilities",
    "code",
    "command",
    "containerPort",
    "containers",
    "data",
    "hostPath",
    "hostPort",
    "image",
    "kind",
    "metadata",
    "name",
    "namespace",
    "objectRef",
    "path",
    "ports",
    "privileged",
    "requestObject",
    "requestURI",
    "resource",
    "responseObject",
    "responseStatus",
    "roleRef",
    "rules",
    "runAsUser",
    "securityContext",
    "sourceIPs",
    "spec",
    "stage",
    "stageTimestamp",
    "subjects",
    "subresource",
    "user",
    "username",
    "verbs",
    "volumes",
    "groups",
];

const TEXTS: &[&str] = &[
    "",
    "pods",
    "exec",
    "ServiceAccount",
    "User",
    "/x?command=%ff&command",
    "?",
    "a:b@c:d/e:f",
    ":",
    "@",
    "ResponseStarted",
    "2026-11-23T03:17:30.027845Z",
    "-9999-01-01T00:00:00Z",
    "\u{0}\u{202e}é",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(101)),
        proptest::sample::select(TEXTS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 80, 6, |inner| {
        let pair = (proptest::sample::select(KEYS), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            proptest::collection::vec(pair, 0..8).prop_map(|pairs| {
                Value::Object(
                    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>(),
                )
            }),
        ]
    })
}

/// Every field of the source, with and without an index.
fn uses() -> Vec<FieldRef> {
    let arguments = |arg| match arg {
        ArgSpec::None => vec![None],
        ArgSpec::OptionalIndex => vec![None, Some("0"), Some("1"), Some("4294967295")],
        _ => vec![Some("/requestObject/spec/containers/0"), Some("command"), Some("*"), Some("~")],
    };
    let defs = scheme().of_source(Source::K8sAudit);
    defs.flat_map(|def| arguments(def.arg).into_iter().map(move |arg| (def.name, arg)))
        .map(|(name, arg)| scheme().resolve(Source::K8sAudit, name, arg).expect("a field"))
        .collect()
}

proptest! {
    #[test]
    fn every_field_of_anything_has_a_value_or_none(event in any_json()) {
        let event = AuditEvent::new(event, 1);
        let view = AuditView { event: &event, number: 1, first_ns: 0, hostname: "h", cluster: "" };
        for field in uses() {
            if let Some(value) = view.value(&field) {
                let _text = value_text(&value);
            }
        }
        let _namespace = namespace_of(&event);
        Sessions::new(std::sync::Arc::default()).observe(&event);
    }

    #[test]
    fn an_object_of_anything_makes_no_request_unreadable(object in any_json(), raw in "[ -~]{0,40}") {
        let event = json!({"auditID": "a", "stage": "Panic", "requestObject": object, "responseObject": raw});
        let body = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [event]});
        let taken = parse(body.to_string().as_bytes(), 10).expect("it is taken");
        let read = AuditEvent::read(&taken[0].text, 0).expect("and read");
        prop_assert_eq!(read.at(&["responseObject"]), Some(&Value::from(raw)));
    }

    #[test]
    fn bytes_are_taken_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
        let _ = parse(&body, 10);
        let whole = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [{"auditID": "a", "stage": "b"}]});
        let mut whole = whole.to_string().into_bytes();
        whole.truncate(cut);
        whole.extend(body);
        let _ = parse(&whole, 10);
    }
}
