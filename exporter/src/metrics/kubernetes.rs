//! What the watches of the Kubernetes API count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Kinds of objects that are watched.
pub const RESOURCES: [&str; 3] = ["pods", "namespaces", "nodes"];
/// Why a request failed.
pub const REASONS: [&str; 9] =
    ["connect", "tls", "file", "connection", "timeout", "forbidden", "refused", "too_long", "invalid"];
/// What was not kept because there is too much of it, or because it made no sense.
pub const REFUSALS: [&str; 4] = ["pods", "namespaces", "owners", "invalid"];

#[derive(Debug, Default)]
pub struct KubernetesCounters {
    up: [AtomicBool; RESOURCES.len()],
    relisted: [AtomicU64; RESOURCES.len()],
    failed: [AtomicU64; REASONS.len()],
    refused: [AtomicU64; REFUSALS.len()],
    pods: AtomicU64,
    namespaces: AtomicU64,
    deleted: AtomicU64,
}

/// The slot of a name; of an unknown one none.
fn slot<'a, T>(names: &[&str], slots: &'a [T], name: &str) -> Option<&'a T> {
    slots.get(names.iter().position(|known| *known == name)?)
}

impl KubernetesCounters {
    /// Whether changes of a kind are followed.
    pub fn up(&self, resource: &str, up: bool) {
        if let Some(slot) = slot(&RESOURCES, &self.up, resource) {
            slot.store(up, Relaxed);
        }
    }

    pub fn relisted(&self, resource: &str) {
        if let Some(slot) = slot(&RESOURCES, &self.relisted, resource) {
            slot.fetch_add(1, Relaxed);
        }
    }

    pub fn failed(&self, reason: &str) {
        if let Some(slot) = slot(&REASONS, &self.failed, reason) {
            slot.fetch_add(1, Relaxed);
        }
    }

    pub fn refuse(&self, what: &str) {
        if let Some(slot) = slot(&REFUSALS, &self.refused, what) {
            slot.fetch_add(1, Relaxed);
        }
    }

    pub fn objects(&self, pods: usize, namespaces: usize, deleted: usize) {
        self.pods.store(pods as u64, Relaxed);
        self.namespaces.store(namespaces as u64, Relaxed);
        self.deleted.store(deleted as u64, Relaxed);
    }

    /// 1 for each kind that is followed.
    pub fn ups(&self) -> Vec<(&'static str, u64)> {
        RESOURCES.into_iter().zip(self.up.iter().map(|up| u64::from(up.load(Relaxed)))).collect()
    }

    pub fn relists(&self) -> Vec<(&'static str, u64)> {
        RESOURCES.into_iter().zip(self.relisted.iter().map(|count| count.load(Relaxed))).collect()
    }

    pub fn failures(&self) -> Vec<(&'static str, u64)> {
        REASONS.into_iter().zip(self.failed.iter().map(|count| count.load(Relaxed))).collect()
    }

    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        REFUSALS.into_iter().zip(self.refused.iter().map(|count| count.load(Relaxed))).collect()
    }

    /// Objects that are kept: pods (those that are deleted among them), namespaces, and deleted pods.
    pub fn kept(&self) -> [(&'static str, u64); 3] {
        [
            ("pods", self.pods.load(Relaxed)),
            ("namespaces", self.namespaces.load(Relaxed)),
            ("deleted_pods", self.deleted.load(Relaxed)),
        ]
    }
}
