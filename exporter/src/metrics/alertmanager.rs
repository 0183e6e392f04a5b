//! What a sink of type `alertmanager` counts beside its lanes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::delivery::{Reason, Refusal};

/// What became of a request, beside the reasons of those that failed.
const TAKEN: &str = "taken";
const REJECTED: &str = "rejected";
const SKIPPED: &str = "skipped";
const OTHERS: [&str; 3] = [TAKEN, REJECTED, SKIPPED];

/// The numbers of a sink.
#[derive(Debug)]
pub struct AlertmanagerCounters {
    sink: String,
    peers: Mutex<Vec<Arc<PeerCounters>>>,
    /// By tenant: active alerts, and detections without one of their own.
    tenants: Mutex<BTreeMap<String, (usize, u64)>>,
}

/// Those of one Alertmanager.
#[derive(Debug)]
pub struct PeerCounters {
    name: String,
    others: [AtomicU64; OTHERS.len()],
    failed: [AtomicU64; Reason::ALL.len()],
}

impl AlertmanagerCounters {
    pub fn new(sink: &str) -> AlertmanagerCounters {
        AlertmanagerCounters { sink: sink.to_owned(), peers: Mutex::default(), tenants: Mutex::default() }
    }

    /// Those of an Alertmanager by its URL.
    pub fn peer(&self, name: &str) -> Arc<PeerCounters> {
        let counters =
            PeerCounters { name: name.to_owned(), others: Default::default(), failed: Default::default() };
        let counters = Arc::new(counters);
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }

    pub fn tenant(&self, tenant: &str, active: usize, collapsed: u64) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        match tenants.get_mut(tenant) {
            Some(numbers) => *numbers = (active, collapsed),
            None => drop(tenants.insert(tenant.to_owned(), (active, collapsed))),
        }
    }

    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// Tenant, active alerts, detections without one of their own.
    pub fn tenants(&self) -> Vec<(String, usize, u64)> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.iter().map(|(tenant, (active, collapsed))| (tenant.clone(), *active, *collapsed)).collect()
    }

    /// Alertmanager, result, requests.
    pub fn posts(&self) -> Vec<(String, &'static str, u64)> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |peer: &Arc<PeerCounters>| {
            let others = OTHERS.iter().zip(&peer.others).map(|(name, count)| (*name, count));
            let failed = Reason::ALL.iter().zip(&peer.failed).map(|(reason, count)| (reason.name(), count));
            let all =
                others.chain(failed).map(|(result, count)| (peer.name.clone(), result, count.load(Relaxed)));
            all.collect::<Vec<_>>()
        };
        peers.iter().flat_map(of).collect()
    }
}

impl PeerCounters {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn posted(&self, result: Result<&(), &Refusal>) {
        let slot = match result {
            Ok(()) => self.other(TAKEN),
            Err(Refusal::Poison { .. } | Refusal::Part { .. }) => self.other(REJECTED),
            Err(Refusal::Later { reason, .. }) => self.failed.get(*reason as usize),
        };
        if let Some(slot) = slot {
            slot.fetch_add(1, Relaxed);
        }
    }

    /// An earlier request was still under way.
    pub fn skipped(&self) {
        if let Some(slot) = self.other(SKIPPED) {
            slot.fetch_add(1, Relaxed);
        }
    }

    fn other(&self, name: &str) -> Option<&AtomicU64> {
        self.others.get(OTHERS.iter().position(|known| *known == name)?)
    }
}
