//! An alert: what makes it one, and how it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Links, Now, template::Value};
use crate::{
    delivery::Entry,
    detection::{escape_text, iso8601},
    rules::Priority,
};

/// The rule of an alert that stands for what there is no room for.
pub const OTHER: &str = "~other";
/// Bytes of a description.
const MAX_DESCRIPTION: usize = 2048;

/// What makes an alert one, beside its tenant. Alertmanager calls their hash the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    pub rule: String,
    /// Empty: none, as Alertmanager has it.
    pub namespace: String,
    pub cluster: String,
    pub severity: &'static str,
}

/// What is told of a detection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Detail {
    pub output: String,
    pub uuid: String,
    pub node: String,
    cluster: String,
}

impl Detail {
    /// From the journal's line; a property that it does not have is empty.
    pub fn of(entry: &Entry) -> Detail {
        let detail: Detail = serde_json::from_str(&entry.line).unwrap_or_default();
        let mut output = safe(&detail.output);
        if output.len() > MAX_DESCRIPTION {
            output.truncate(output.floor_char_boundary(MAX_DESCRIPTION));
            output.push('…');
        }
        Detail { output, ..detail }
    }
}

impl Labels {
    pub fn of(entry: &Entry, detail: &Detail) -> Labels {
        Labels {
            rule: safe(&entry.rule),
            namespace: safe(entry.namespace.as_deref().unwrap_or_default()),
            cluster: safe(&detail.cluster),
            severity: severity(entry.priority),
        }
    }

    /// Those of the alert that it shares with others when there is no room.
    pub fn collapsed(self) -> Labels {
        Labels { rule: OTHER.into(), namespace: String::new(), ..self }
    }

    pub fn is_collapsed(&self) -> bool {
        self.rule == OTHER
    }
}

/// The severities that Alertmanagers are commonly configured for.
pub const fn severity(priority: Priority) -> &'static str {
    match priority {
        Priority::Emergency | Priority::Alert | Priority::Critical => "critical",
        Priority::Error | Priority::Warning => "warning",
        Priority::Notice | Priority::Informational | Priority::Debug => "info",
    }
}

/// How an alert stands.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Time of its first detection, nanoseconds since the epoch.
    pub starts_ns: i64,
    /// It is over then, unless there is another detection.
    pub quiet_at: Instant,
    pub count: u64,
    /// The detection that was counted last.
    pub seq: i64,
    pub latest: Detail,
}

/// As the API has it (`PostableAlert` of its OpenAPI description).
#[derive(Debug, Serialize)]
pub struct Posted {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    #[serde(rename = "startsAt")]
    starts_at: String,
    #[serde(rename = "endsAt")]
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

impl Alert {
    pub fn posted(&self, tenant: &str, labels: &Labels, links: &Links, now: Now) -> Posted {
        let Labels { rule, namespace, cluster, severity } = labels;
        let Detail { output, uuid, node, cluster: _ } = &self.latest;
        let left = self.quiet_at.saturating_duration_since(now.instant);
        let ends_ns = now.wall_ns.saturating_add(i64::try_from(left.as_nanos()).unwrap_or(i64::MAX));
        let render = |link: &Option<super::Template>| {
            link.as_ref().map(|link| {
                link.render(|value| match value {
                    Value::Rule => rule,
                    Value::Tenant => tenant,
                    Value::Namespace => namespace,
                    Value::Cluster => cluster,
                    Value::Severity => severity,
                    Value::Uuid => uuid,
                })
            })
        };
        let Links { dashboard_url, runbook_url, generator_url } = links;
        let summary = match (labels.is_collapsed(), &**namespace) {
            (true, _) => "Too many alerts are active: further detections are told as one".to_owned(),
            (false, "") => rule.clone(),
            (false, namespace) => format!("{rule} in namespace {namespace}"),
        };
        Posted {
            labels: filled([
                ("alertname", Some(rule.clone())),
                ("rule", Some(rule.clone())),
                ("tenant", Some(tenant.to_owned())),
                ("namespace", Some(namespace.clone())),
                ("severity", Some((*severity).to_owned())),
                ("cluster", Some(cluster.clone())),
            ]),
            annotations: filled([
                ("summary", Some(summary)),
                ("description", Some(output.clone())),
                ("count", Some(self.count.to_string())),
                ("uuid", Some(uuid.clone())),
                ("node", Some(safe(node))),
                ("dashboard_url", render(dashboard_url)),
                ("runbook_url", render(runbook_url)),
            ]),
            // Alertmanager refuses an alert that ends before it starts: the clock may have been set back.
            starts_at: time(self.starts_ns.min(now.wall_ns).min(ends_ns)),
            ends_at: time(ends_ns),
            generator_url: render(generator_url),
        }
    }
}

/// Alertmanager takes an empty value for none.
fn filled<const N: usize>(pairs: [(&'static str, Option<String>); N]) -> BTreeMap<&'static str, String> {
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
        .collect()
}

fn time(ns: i64) -> String {
    iso8601(u64::try_from(ns).unwrap_or(0))
}

/// Alerts end in terminals and chats.
fn safe(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    escape_text(text, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
