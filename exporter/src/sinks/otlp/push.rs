//! The registry, every interval, each tenant's by itself. Nothing is kept of what cannot be sent: sums are cumulative, and
//! the next ones say it all.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prost::Message as _;
use tokio::{
    select,
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout_at},
};

use super::{
    Settings,
    metrics::{self, Times},
    resource::Origin,
    transport::Endpoint,
};
use crate::{
    detection::Identity,
    metrics::{Gather, by_owner},
};

/// What it is made from.
#[derive(Debug)]
pub struct PushSetup {
    pub name: String,
    pub settings: Settings,
    pub interval: Duration,
    pub tenants: Vec<Arc<str>>,
    pub identity: Identity,
    pub gather: Gather,
}

/// A running push of metrics.
#[derive(Debug)]
pub struct MetricsPush {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl MetricsPush {
    /// Begins on the runtime that it is called on.
    pub fn start(setup: PushSetup) -> MetricsPush {
        let (stop, stopped) = watch::channel(false);
        MetricsPush { stop, task: tokio::spawn(push(setup, stopped)) }
    }

    /// Sends for the last time.
    pub async fn finish(self, deadline: Instant) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if timeout_at(deadline.into(), self.task).await.is_err() {
            abort.abort();
        }
    }
}

async fn push(setup: PushSetup, mut stopped: watch::Receiver<bool>) {
    let start = now_ns();
    let endpoint = Endpoint::new(setup.settings.clone());
    let mut ticks = interval(setup.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fails = false;
    loop {
        let is_last = select! {
            _ = ticks.tick() => false,
            _ = stopped.wait_for(|stop| *stop) => true,
        };
        // Of one moment for all.
        let mut gathered = by_owner(&(setup.gather.0)());
        let times = Times { start, now: now_ns() };
        for tenant in &setup.tenants {
            let Some(families) = gathered.remove(&**tenant) else { continue };
            let Identity { hostname, node, cluster } = &setup.identity;
            let origin = Origin { hostname, node, cluster };
            let request = metrics::request(&families, origin, tenant, times);
            let result = endpoint.post("metrics", tenant, request.encode_to_vec()).await;
            match result.and_then(|answer| answer.judge()) {
                Ok(()) if std::mem::take(&mut fails) => {
                    tracing::info!(sink = %setup.name, "metrics are taken again");
                }
                Ok(()) => {}
                Err(refusal) if !fails => {
                    fails = true;
                    tracing::warn!(sink = %setup.name, %tenant, %refusal, "metrics are not taken; the next ones say it all");
                }
                Err(refusal) => {
                    tracing::debug!(sink = %setup.name, %tenant, %refusal, "metrics are not taken")
                }
            }
        }
        if is_last {
            return;
        }
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
