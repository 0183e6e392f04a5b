//! Alertmanager: detections as alerts, one for each set of labels however many detections there are.
//!
//! ```text
//! entries ─ Table (what is active, of each tenant) ─ a request ─┬─ Peer ─ POST /api/v2/alerts
//!             └──── all that is active, at times ──────────────┴─ Peer
//! ```
//!
//! An alert says until when it holds: until it has been quiet for a while. So nobody has to resolve it: neither a node
//! that no longer sees what another still does, nor a daemon that has ended. As with Prometheus' notifier, each alert is
//! posted to every Alertmanager and told once one of them has taken it.

mod alert;
mod peer;
mod table;
mod template;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::mpsc, time::Instant};

use peer::Peer;
use table::Table;
pub use template::{Template, TemplateError};

use super::http::Target;
use crate::{
    delivery::{Entry, Probing, Reason, Refusal, Sending, Sent, Sink},
    metrics::AlertmanagerCounters,
};

/// Where to and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At least one; each URL is where `api/v2/alerts` is below.
    pub targets: Vec<Target>,
    /// How often everything that is active is posted again: an Alertmanager keeps alerts in memory only.
    pub refresh: Duration,
    /// Without a detection for this long an alert is over.
    pub resolve_after: Duration,
    /// Active alerts of a tenant; further detections share one (of each severity).
    pub max_alerts: usize,
    pub links: Links,
}

impl Settings {
    pub const DEFAULT_REFRESH: Duration = Duration::from_secs(60);
    pub const DEFAULT_RESOLVE_AFTER: Duration = Duration::from_secs(300);
    pub const DEFAULT_MAX_ALERTS: usize = 1000;
}

/// Where an alert leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Annotations of these names.
    pub dashboard_url: Option<Template>,
    pub runbook_url: Option<Template>,
    /// `generatorURL`.
    pub generator_url: Option<Template>,
}

/// The present, for what lasts and for what is told.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    /// Nanoseconds since the epoch.
    pub wall_ns: i64,
}

impl Now {
    fn get() -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Now { instant: Instant::now(), wall_ns: i64::try_from(wall).unwrap_or(i64::MAX) }
    }
}

/// The sink.
#[derive(Debug)]
pub struct Alertmanager {
    shared: Arc<Shared>,
    /// The tasks that refresh begin with the first detection, on the runtime that sends.
    begun: Once,
}

/// What sending and refreshing have in common.
#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    peers: Vec<Arc<Peer>>,
    refresh: Duration,
    counters: Arc<AlertmanagerCounters>,
}

impl Alertmanager {
    pub fn new(settings: Settings, counters: Arc<AlertmanagerCounters>) -> Alertmanager {
        let Settings { targets, refresh, resolve_after, max_alerts, links } = settings;
        let peers = targets.into_iter().map(|target| Arc::new(Peer::new(target, &counters))).collect();
        let table = Mutex::new(Table::new(resolve_after, max_alerts, links));
        Alertmanager { shared: Arc::new(Shared { table, peers, refresh, counters }), begun: Once::new() }
    }

    async fn tell(&self, tenant: &str, entries: &[Entry]) -> Result<(), Refusal> {
        self.begun.call_once(|| self.begin());
        let body: Arc<[u8]> = {
            let mut table = self.shared.table();
            let body = table.take(tenant, entries, Now::get());
            self.shared.count(&table, tenant);
            body.into()
        };
        let (answer, mut answers) = mpsc::channel(self.shared.peers.len().max(1));
        for peer in &self.shared.peers {
            // Whoever is slower than another that took it goes on by itself.
            let Some(turn) = peer.turn(tenant) else { continue };
            let (peer, body, answer) = (Arc::clone(peer), Arc::clone(&body), answer.clone());
            tokio::spawn(async move {
                let result = peer.post_in_turn(turn, &body).await;
                let _nobody = answer.send(result).await;
            });
        }
        drop(answer);
        let mut refusals = Vec::new();
        while let Some(result) = answers.recv().await {
            match result {
                Ok(()) => return Ok(()),
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(together(refusals))
    }

    fn begin(&self) {
        for peer in &self.shared.peers {
            let (peer, shared) = (Arc::clone(peer), Arc::downgrade(&self.shared));
            let refresh = self.shared.refresh;
            tokio::spawn(async move {
                loop {
                    peer.wait(refresh).await;
                    let Some(shared) = shared.upgrade() else { return };
                    shared.refresh(&peer).await;
                }
            });
        }
    }
}

impl Sink for Alertmanager {
    fn send<'s>(&'s self, tenant: &'s str, entries: &'s [Entry]) -> Sending<'s> {
        Box::pin(async move {
            match self.tell(tenant, entries).await {
                Ok(()) => Sent { taken: entries.len(), refusal: None },
                Err(refusal) => Sent { taken: 0, refusal: Some(refusal) },
            }
        })
    }

    fn sends_together(&self) -> bool {
        true
    }

    /// One that answers is enough; the others are on the log.
    fn probe<'s>(&'s self, _tenant: &'s str) -> Probing<'s> {
        Box::pin(async {
            let probes = self.shared.peers.iter().map(|peer| peer.probe());
            let results = futures_util::future::join_all(probes).await;
            if results.iter().any(Result::is_ok) {
                return Ok(());
            }
            Err(together(results.into_iter().filter_map(Result::err).collect()))
        })
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, table: &Table, tenant: &str) {
        let (active, collapsed) = table.numbers(tenant);
        self.counters.tenant(tenant, active, collapsed);
    }

    /// Posts all that is active to one of them; what fails waits for the next time. What it refuses is no reason to keep
    /// other alerts from it.
    async fn refresh(&self, peer: &Peer) {
        let tenants = self.table().tenants();
        for tenant in tenants {
            // What is posted from here on is newer than what was before.
            let turn = peer.order(&tenant).await;
            let bodies = {
                let mut table = self.table();
                let bodies = table.active(&tenant, Now::get());
                self.count(&table, &tenant);
                bodies
            };
            for body in bodies {
                if let Err(Refusal::Later { .. }) = peer.post(&body).await {
                    return;
                }
            }
            drop(turn);
        }
    }
}

/// What to do when nobody took it: as long as one of them may, it is tried again.
fn together(refusals: Vec<Refusal>) -> Refusal {
    let mut earliest = None;
    let mut all = Vec::new();
    let mut kept = None;
    for refusal in refusals {
        all.push(refusal.to_string());
        match refusal {
            Refusal::Later { reason, after, .. } => {
                // The first that may be asked again decides.
                earliest = if kept.is_none() { after } else { earliest.min(after) };
                kept.get_or_insert(reason);
            }
            Refusal::Poison { .. } | Refusal::Part { .. } => {}
        }
    }
    match (kept, all.is_empty()) {
        (Some(reason), _) => Refusal::Later { reason, what: all.join("; "), after: earliest },
        (None, false) => Refusal::Poison { what: all.join("; ") },
        (None, true) => Refusal::Later {
            reason: Reason::Timeout,
            what: "no answer to what was sent before".into(),
            after: None,
        },
    }
}
