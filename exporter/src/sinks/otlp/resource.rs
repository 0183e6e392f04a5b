//! Whose records they are, by OpenTelemetry's semantic conventions.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
};

/// Where a daemon runs, as its detections say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin<'o> {
    pub hostname: &'o str,
    pub node: &'o str,
    pub cluster: &'o str,
}

/// The daemon, and the tenant that it speaks for.
pub(super) fn names<'o>(
    origin: Origin<'o>,
    tenant: &'o str,
) -> impl Iterator<Item = (&'static str, &'o str)> {
    let Origin { hostname, node, cluster } = origin;
    let all = [
        ("service.name", "yagura"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("host.name", hostname),
        ("k8s.node.name", node),
        ("k8s.cluster.name", cluster),
        ("yagura.tenant", tenant),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty())
}

pub(super) fn resource(origin: Origin<'_>, tenant: &str) -> Resource {
    Resource {
        attributes: names(origin, tenant).map(|(name, value)| pair(name, text(value))).collect(),
        ..Resource::default()
    }
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "yagura".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    }
}

pub(super) fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

pub(super) fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

pub(super) fn integer(number: i64) -> AnyValue {
    AnyValue { value: Some(any_value::Value::IntValue(number)) }
}

pub(super) fn list(values: impl Iterator<Item = AnyValue>) -> AnyValue {
    AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values: values.collect() })) }
}
