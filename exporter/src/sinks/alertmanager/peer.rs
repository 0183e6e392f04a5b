//! One Alertmanager: whether it takes alerts, and whose turn it is.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Url, header::HeaderMap};
use tokio::{
    select,
    sync::{Mutex as Order, Notify, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use super::Target;
use crate::{
    delivery::Refusal,
    metrics::{AlertmanagerCounters, PeerCounters},
    sinks::http::HttpClient,
};

#[derive(Debug)]
pub struct Peer {
    client: HttpClient,
    alerts: Url,
    ready: Url,
    counters: Arc<PeerCounters>,
    /// By tenant; as many as there are lanes.
    ways: Mutex<BTreeMap<String, Way>>,
    /// The last request failed.
    down: AtomicBool,
    /// Something was not posted because an earlier request was still under way.
    missed: AtomicBool,
    /// Refresh it now.
    nudge: Notify,
}

/// The requests of a tenant: one after the other, and one of new detections at a time.
#[derive(Clone, Debug)]
struct Way {
    new: Arc<Semaphore>,
    order: Arc<Order<()>>,
}

/// The right to post new detections of a tenant.
#[derive(Debug)]
pub struct Turn {
    _new: OwnedSemaphorePermit,
    order: Arc<Order<()>>,
}

impl Peer {
    pub fn new(target: Target, counters: &AlertmanagerCounters) -> Peer {
        let (alerts, ready) = (below(&target.url, "api/v2/alerts"), below(&target.url, "-/ready"));
        Peer {
            counters: counters.peer(&name(&target.url)),
            client: HttpClient::new(target),
            alerts,
            ready,
            ways: Mutex::default(),
            down: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            nudge: Notify::new(),
        }
    }

    fn way(&self, tenant: &str) -> Way {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let way = || Way { new: Arc::new(Semaphore::new(1)), order: Arc::default() };
        ways.entry(tenant.to_owned()).or_insert_with(way).clone()
    }

    /// None while new detections of the tenant are still on their way; then everything follows once they have arrived.
    pub fn turn(&self, tenant: &str) -> Option<Turn> {
        let Way { new, order } = self.way(tenant);
        match new.try_acquire_owned() {
            Ok(new) => Some(Turn { _new: new, order }),
            Err(_) => {
                self.counters.skipped();
                self.missed.store(true, Ordering::SeqCst);
                None
            }
        }
    }

    pub async fn post_in_turn(&self, turn: Turn, body: &[u8]) -> Result<(), Refusal> {
        let _order = turn.order.lock().await;
        let result = self.post(body).await;
        if result.is_ok() && self.missed.swap(false, Ordering::SeqCst) {
            self.nudge.notify_one();
        }
        result
    }

    /// Nothing of the tenant is posted by anybody else while it is held.
    pub async fn order(&self, tenant: &str) -> OwnedMutexGuard<()> {
        self.way(tenant).order.lock_owned().await
    }

    pub async fn post(&self, body: &[u8]) -> Result<(), Refusal> {
        let (url, headers) = (self.alerts.clone(), HeaderMap::new());
        let result = match self.client.post(url, "application/json", headers, body.to_vec()).await {
            Ok(answer) => answer.judge(),
            Err(refusal) => Err(refusal),
        };
        self.counters.posted(result.as_ref());
        // Who refuses what it was sent is there.
        let is_down = matches!(result, Err(Refusal::Later { .. }));
        let was_down = self.down.swap(is_down, Ordering::SeqCst);
        let alertmanager = self.counters.name();
        match &result {
            Ok(()) if was_down => {
                // It does not have what others were told meanwhile.
                self.nudge.notify_one();
                tracing::info!(alertmanager, "the Alertmanager works again");
            }
            Err(refusal) if !was_down => {
                tracing::warn!(alertmanager, %refusal, "an Alertmanager took no alerts");
            }
            _ => {}
        }
        result
    }

    pub async fn probe(&self) -> Result<(), Refusal> {
        let result = self.client.probe_with(self.ready.clone(), HeaderMap::new()).await;
        if let Err(refusal) = &result {
            let alertmanager = self.counters.name();
            tracing::warn!(alertmanager, %refusal, "an Alertmanager does not work (yet)");
        }
        result
    }

    /// Until it is time to refresh.
    pub async fn wait(&self, refresh: Duration) {
        select! {
            () = sleep(refresh) => {}
            () = self.nudge.notified() => {}
        }
    }
}

/// A path below one with or without a slash at its end.
fn below(url: &Url, path: &str) -> Url {
    let mut below = url.clone();
    below.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
    below
}

/// As it is a label: what may be secret is not in it.
fn name(url: &Url) -> String {
    let mut name = url.clone();
    name.set_query(None);
    name.set_fragment(None);
    name.as_str().trim_end_matches('/').to_owned()
}
