//! Entries as log records. The same entries make the same bytes.

use std::borrow::Cow;

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    attributes::attributes,
    resource::{Origin, list, pair, resource, scope, text},
};
use crate::{delivery::Entry, rules::Priority};

/// What the event of a detection is called.
const EVENT: &str = "yagura.detection";

/// What only the line knows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Facts<'l> {
    #[serde(borrow)]
    output: Cow<'l, str>,
    #[serde(borrow)]
    hostname: Cow<'l, str>,
    #[serde(borrow)]
    node: Cow<'l, str>,
    #[serde(borrow)]
    cluster: Cow<'l, str>,
    #[serde(borrow)]
    uuid: Cow<'l, str>,
    output_fields: Map<String, Value>,
}

impl Facts<'_> {
    fn origin(&self) -> Origin<'_> {
        Origin { hostname: &self.hostname, node: &self.node, cluster: &self.cluster }
    }
}

/// Entries of a tenant, in their order; a daemon that was moved or renamed in between is another resource.
pub(super) fn request(tenant: &str, entries: &[Entry]) -> ExportLogsServiceRequest {
    let entries: Vec<(&Entry, Facts<'_>)> = entries
        .iter()
        // Of a line that is no detection nothing more is known.
        .map(|entry| (entry, serde_json::from_str(&entry.line).unwrap_or_default()))
        .collect();
    let groups = entries.chunk_by(|(_, one), (_, other)| one.origin() == other.origin());
    let resource_logs = groups.filter_map(|group| {
        let (_, first) = group.first()?;
        let records = group.iter().map(|(entry, facts)| record(entry, facts)).collect();
        Some(ResourceLogs {
            resource: Some(resource(first.origin(), tenant)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        })
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
}

fn record(entry: &Entry, facts: &Facts<'_>) -> LogRecord {
    let nanoseconds = |time: i64| u64::try_from(time).unwrap_or(0);
    let mut own = vec![
        pair("log.record.uid", text(&facts.uuid)),
        pair("security_rule.name", text(&entry.rule)),
        pair("yagura.source", text(&entry.source)),
        pair("yagura.tags", list(entry.tags.iter().map(|tag| text(tag)))),
    ];
    own.extend(entry.namespace.as_ref().map(|namespace| pair("k8s.namespace.name", text(namespace))));
    let (attributes, dropped_attributes_count) = attributes(own, &facts.output_fields);
    LogRecord {
        time_unix_nano: nanoseconds(entry.time_ns),
        observed_time_unix_nano: nanoseconds(entry.written_ns),
        severity_number: severity(entry.priority),
        severity_text: entry.priority.name().into(),
        // A body that is a text is what every receiver shows.
        body: Some(text(if facts.output.is_empty() { &entry.line } else { &facts.output })),
        attributes,
        dropped_attributes_count,
        event_name: EVENT.into(),
        ..LogRecord::default()
    }
}

/// As the log data model maps syslog's severities, which Falco's priorities are.
pub(super) const fn severity(priority: Priority) -> i32 {
    match priority {
        Priority::Emergency => 21,
        Priority::Alert => 19,
        Priority::Critical => 18,
        Priority::Error => 17,
        Priority::Warning => 13,
        Priority::Notice => 10,
        Priority::Informational => 9,
        Priority::Debug => 5,
    }
}
