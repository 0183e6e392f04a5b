//! What is active, of each tenant, bounded.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    time::Duration,
};

use super::{
    Links, Now,
    alert::{Alert, Detail, Labels, Posted},
};
use crate::delivery::Entry;

/// Alerts of one request.
const AT_ONCE: usize = 200;

#[derive(Debug)]
pub struct Table {
    resolve_after: Duration,
    max_alerts: usize,
    links: Links,
    /// As many as there are lanes, at most.
    tenants: BTreeMap<String, Tenant>,
}

#[derive(Debug, Default)]
struct Tenant {
    alerts: BTreeMap<Labels, Alert>,
    /// Detections without an alert of their own.
    collapsed: u64,
}

impl Table {
    pub fn new(resolve_after: Duration, max_alerts: usize, links: Links) -> Table {
        Table { resolve_after, max_alerts, links, tenants: BTreeMap::new() }
    }

    /// Counts detections, once each however often they come; the alerts that they make or renew, as a request.
    pub fn take(&mut self, tenant: &str, entries: &[Entry], now: Now) -> Vec<u8> {
        let Table { resolve_after, max_alerts, links, tenants } = self;
        let of_tenant = tenants.entry(tenant.to_owned()).or_default();
        of_tenant.forget_quiet(now);
        let changed: BTreeSet<Labels> =
            (entries.iter()).map(|entry| of_tenant.count(entry, now, *resolve_after, *max_alerts)).collect();
        let posted: Vec<Posted> = (changed.iter())
            .filter_map(|labels| Some(of_tenant.alerts.get(labels)?.posted(tenant, labels, links, now)))
            .collect();
        body(&posted)
    }

    /// All that is active, as requests.
    pub fn active(&mut self, tenant: &str, now: Now) -> Vec<Vec<u8>> {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else { return Vec::new() };
        of_tenant.forget_quiet(now);
        let alerts: Vec<_> = of_tenant.alerts.iter().collect();
        let posted = |(labels, alert): &(&Labels, &Alert)| alert.posted(tenant, labels, &self.links, now);
        alerts.chunks(AT_ONCE).map(|part| body(&part.iter().map(posted).collect::<Vec<_>>())).collect()
    }

    pub fn tenants(&self) -> Vec<String> {
        self.tenants.keys().cloned().collect()
    }

    /// Active alerts, and detections without one of their own.
    pub fn numbers(&self, tenant: &str) -> (usize, u64) {
        self.tenants.get(tenant).map_or((0, 0), |tenant| (tenant.alerts.len(), tenant.collapsed))
    }
}

impl Tenant {
    fn forget_quiet(&mut self, now: Now) {
        self.alerts.retain(|_, alert| alert.quiet_at > now.instant);
    }

    fn is_full(&self, max_alerts: usize) -> bool {
        self.alerts.len() >= max_alerts
            && self.alerts.keys().filter(|labels| !labels.is_collapsed()).count() >= max_alerts
    }

    fn count(&mut self, entry: &Entry, now: Now, resolve_after: Duration, max_alerts: usize) -> Labels {
        let detail = Detail::of(entry);
        let mut labels = Labels::of(entry, &detail);
        if self.is_full(max_alerts) && !self.alerts.contains_key(&labels) {
            labels = labels.collapsed();
        }
        let quiet_at = now.instant + resolve_after;
        match self.alerts.entry(labels.clone()) {
            btree_map::Entry::Vacant(free) => {
                self.collapsed += u64::from(labels.is_collapsed());
                free.insert(Alert {
                    starts_ns: entry.time_ns,
                    quiet_at,
                    count: 1,
                    seq: entry.seq,
                    latest: detail,
                });
            }
            btree_map::Entry::Occupied(found) => {
                let alert = found.into_mut();
                alert.quiet_at = quiet_at;
                // One that comes again has been counted.
                if entry.seq > alert.seq {
                    self.collapsed += u64::from(labels.is_collapsed());
                    alert.count += 1;
                    alert.seq = entry.seq;
                    alert.starts_ns = alert.starts_ns.min(entry.time_ns);
                    alert.latest = detail;
                }
            }
        }
        labels
    }
}

/// A list that always serialises: its keys and values are text.
fn body(alerts: &[Posted]) -> Vec<u8> {
    serde_json::to_vec(alerts).unwrap_or_else(|_| b"[]".to_vec())
}
