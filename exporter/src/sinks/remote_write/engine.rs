//! All lanes, on a thread of their own.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout, timeout_at},
};

use super::{
    Settings, external_labels,
    lane::{Lane, Parts, lock, now_ms},
    sender,
    series::by_tenant,
    spool::Spool,
};
use crate::{
    delivery::Feed,
    metrics::{Gather, WriteMetrics},
    sinks::http::HttpClient,
};

/// Longest time for the check at the start.
const PROBE: Duration = Duration::from_secs(10);
/// How long the spool may take to be closed in the end, which a busy disk makes seconds.
const CLOSING: Duration = Duration::from_secs(5);

/// A configured sink.
#[derive(Clone, Debug)]
pub struct SinkSetup {
    pub name: Arc<str>,
    pub settings: Settings,
    pub feed: Feed,
}

/// What remote-write is made from.
#[derive(Debug)]
pub struct Setup {
    pub sinks: Vec<SinkSetup>,
    pub tenants: Vec<Arc<str>>,
    pub node: String,
    pub cluster: String,
    /// The spool's file.
    pub path: PathBuf,
    pub gather: Gather,
    pub metrics: WriteMetrics,
}

/// The running remote-write.
#[derive(Debug)]
pub struct RemoteWrite {
    stop: watch::Sender<Option<Instant>>,
    ended: oneshot::Receiver<()>,
}

/// A sink with its lanes.
#[derive(Debug)]
struct Sink {
    name: Arc<str>,
    interval: Duration,
    client: Arc<HttpClient>,
    lanes: Vec<Arc<Lane>>,
    /// All that are configured, also those that it is not for.
    tenants: Vec<Arc<str>>,
    /// That there are others has been said.
    said: AtomicBool,
}

impl RemoteWrite {
    /// Starts a lane for each sink and tenant. The first gathering is at once.
    pub fn start(setup: Setup) -> io::Result<RemoteWrite> {
        let (stop, stopped) = watch::channel(None);
        let (end, ended) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let spool = Arc::new(Mutex::new(Spool::new(setup.path.clone(), setup.metrics.clone())));
        let sinks = setup.sinks.iter().map(|sink| open(sink, &setup, &spool)).collect();
        thread::Builder::new().name("yagura-remote-write".into()).spawn(move || {
            runtime.block_on(work(Arc::new(sinks), spool, setup.gather, stopped));
            drop(runtime);
            let _nobody = end.send(());
        })?;
        Ok(RemoteWrite { stop, ended })
    }

    /// Gathers for the last time, says that all series end, and sends what can be sent until the deadline; the rest waits
    /// in the spool. Whether it ended in time.
    pub async fn finish(self, deadline: Instant) -> bool {
        let RemoteWrite { stop, ended } = self;
        stop.send_replace(Some(deadline));
        matches!(timeout_at((deadline + CLOSING).into(), ended).await, Ok(Ok(())))
    }
}

async fn work(
    sinks: Arc<Vec<Sink>>,
    spool: Arc<Mutex<Spool>>,
    gather: Gather,
    mut stopped: watch::Receiver<Option<Instant>>,
) {
    reopen(&spool, &sinks);
    let (stop, stopping) = watch::channel(false);
    let mut senders = JoinSet::new();
    let mut gatherers = JoinSet::new();
    for (at, sink) in sinks.iter().enumerate() {
        for lane in &sink.lanes {
            senders.spawn(sender::run(Arc::clone(lane), Arc::clone(&sink.client), stopping.clone()));
        }
        if let Some(lane) = sink.lanes.first() {
            tokio::spawn(probe(Arc::clone(lane), Arc::clone(&sink.client)));
        }
        let (sinks, spool, gather) = (Arc::clone(&sinks), Arc::clone(&spool), gather.clone());
        gatherers.spawn(async move {
            let Some(sink) = sinks.get(at) else { return };
            let mut ticks = interval(sink.interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                reopen(&spool, &sinks);
                take(sink, &gather);
            }
        });
    }
    let deadline = stopped.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    gatherers.shutdown().await;
    for sink in sinks.iter() {
        take(sink, &gather);
        sink.lanes.iter().for_each(|lane| lane.end(now_ms()));
    }
    stop.send_replace(true);
    let all = async { while senders.join_next().await.is_some() {} };
    if timeout_at(deadline.unwrap_or_else(Instant::now).into(), all).await.is_err() {
        tracing::warn!("some samples were not sent in time: they wait in the spool");
    }
    senders.shutdown().await;
    sinks.iter().flat_map(|sink| &sink.lanes).for_each(|lane| lane.close());
}

fn open(sink: &SinkSetup, setup: &Setup, spool: &Arc<Mutex<Spool>>) -> Sink {
    let SinkSetup { name, settings, feed } = sink;
    let external: BTreeMap<String, String> =
        external_labels(&setup.node, &setup.cluster, &settings.external_labels);
    let mut lanes = Vec::new();
    for tenant in setup.tenants.iter().filter(|tenant| feed.filter.wants_tenant(tenant)) {
        let Some(route) = settings.route(tenant) else {
            tracing::error!(sink = %name, %tenant, "the tenant has no id at this receiver: its samples are sent nowhere");
            continue;
        };
        let lane = Arc::new(Lane::new(Parts {
            sink: Arc::clone(name),
            tenant: Arc::clone(tenant),
            route,
            pace: feed.pace,
            version: settings.version,
            bounds: settings.bounds,
            external: external.clone(),
            spool: Arc::clone(spool),
        }));
        setup.metrics.add(Arc::clone(&lane.counters));
        lanes.push(lane);
    }
    let client = Arc::new(HttpClient::new(settings.target.clone()));
    let (name, tenants) = (Arc::clone(name), setup.tenants.clone());
    Sink { name, interval: settings.interval, client, lanes, tenants, said: AtomicBool::new(false) }
}

/// Opens the spool's file if it is not open and that is due.
fn reopen(spool: &Mutex<Spool>, sinks: &[Sink]) {
    if !lock(spool).opens() {
        return;
    }
    let lanes = || sinks.iter().flat_map(|sink| &sink.lanes);
    let owners: Vec<(&str, &str)> = lanes().map(|lane| (&*lane.sink, &*lane.tenant)).collect();
    match lock(spool).with(|disk| disk.keep_only(&owners)) {
        None | Some(0) => {}
        Some(samples) => {
            tracing::warn!(samples, "samples of sinks and tenants that are no longer configured are dropped");
        }
    }
    lanes().for_each(|lane| lane.resume());
}

fn take(sink: &Sink, gather: &Gather) {
    // Its own moment: what is gathered is from before it.
    let families = (gather.0)();
    let now = now_ms();
    let wanted = |tenant: &str| {
        // The journal may have detections of tenants that there were, and delivery metrics of these.
        if !sink.tenants.iter().any(|known| **known == *tenant) && !sink.said.swap(true, Relaxed) {
            tracing::warn!(sink = %sink.name, tenant, "samples of tenants that are not configured are sent nowhere");
        }
        sink.lanes.iter().any(|lane| *lane.tenant == *tenant)
    };
    let mut tenants = by_tenant(&families, wanted);
    for lane in &sink.lanes {
        lane.take(tenants.remove(&*lane.tenant).unwrap_or_default(), now);
    }
}

/// Says at the start what does not work, and prevents nothing.
async fn probe(lane: Arc<Lane>, client: Arc<HttpClient>) {
    let asked = client.probe_with(lane.route.url.clone(), lane.route.headers.clone());
    match timeout(PROBE, asked).await {
        Ok(Ok(())) => tracing::info!(sink = %lane.sink, "the receiver answers"),
        Ok(Err(refusal)) => tracing::warn!(sink = %lane.sink, %refusal, "the receiver does not work (yet)"),
        Err(_) => tracing::warn!(sink = %lane.sink, "the receiver does not answer (yet)"),
    }
}
