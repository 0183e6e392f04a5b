//! Events that a real API server sent, changed row by row.

mod fields;
mod hostile;
mod stock;

use std::sync::LazyLock;

use serde_json::Value;

use super::{AuditEvent, merge};

/// Events recorded from an API server, by what happened.
static EVENTS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("tests/events.json")).expect("JSON"));

/// A recorded event with a merge patch applied.
fn event(base: &str, patch: &str) -> AuditEvent {
    let mut json = EVENTS[base].clone();
    assert!(json.is_object(), "no event '{base}'");
    if !patch.is_empty() {
        merge(&mut json, &serde_json::from_str(patch).unwrap_or_else(|error| panic!("{patch}: {error}")));
    }
    AuditEvent::new(json, 0)
}
