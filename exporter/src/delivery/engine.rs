//! All lanes, on a thread of their own.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
    task::{JoinSet, spawn_blocking},
    time::{timeout, timeout_at},
};

use super::{
    Feed, Sink,
    lane::Worker,
    spool::{Beginning, NewLane, Spool, SpoolError, Wanted},
};
use crate::{
    journal::News,
    metrics::{LaneCounters, SinkMetrics},
};

/// Longest time for the check at the start.
const PROBE: Duration = Duration::from_secs(10);
/// How soon a journal that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(5);
/// How long the cursors may take to be written in the end: a busy disk takes seconds, and what it has no time for is sent
/// again.
const KEEPING: Duration = Duration::from_secs(5);

/// A configured sink.
#[derive(Clone, Debug)]
pub struct Lane {
    pub name: Arc<str>,
    pub sink: Arc<dyn Sink>,
    pub feed: Arc<Feed>,
}

/// The running delivery.
#[derive(Debug)]
pub struct Delivery {
    sinks: Vec<Arc<dyn Sink>>,
    stop: watch::Sender<Option<Instant>>,
    ended: oneshot::Receiver<()>,
}

/// What delivery is made from.
#[derive(Debug)]
pub struct Setup {
    pub lanes: Vec<Lane>,
    /// The journal's file.
    pub path: PathBuf,
    /// Who may have detections; those that the journal has of others are delivered too.
    pub tenants: Vec<Arc<str>>,
    pub news: Arc<News>,
    pub metrics: SinkMetrics,
}

impl Delivery {
    /// Starts a lane for each sink and tenant. To be called before anything is journaled: a new lane begins with what
    /// comes after. A journal that cannot be opened is tried again.
    pub fn start(setup: Setup) -> io::Result<Delivery> {
        let opened = match setup.open(NewLane::FromNow) {
            Ok(opened) => Some(opened),
            Err(error) => {
                tracing::error!(%error, "sinks wait for the journal");
                None
            }
        };
        let sinks = setup.lanes.iter().map(|lane| Arc::clone(&lane.sink)).collect();
        let (stop, stopped) = watch::channel(None);
        let (end, ended) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("yagura-delivery".into()).spawn(move || {
            let keeper = runtime.block_on(deliver(&setup, opened, stopped));
            // What is still under way gives up its hold on the spool, which then writes the cursors and ends.
            drop(runtime);
            if keeper.is_some_and(|keeper| keeper.join().is_err()) {
                tracing::error!("the thread that reads the journal has panicked");
            }
            let _nobody = end.send(());
        })?;
        Ok(Delivery { sinks, stop, ended })
    }

    /// Has files opened anew that may have been moved away, on threads of the runtime's that may block.
    pub fn reopen(&self) {
        for sink in &self.sinks {
            let sink = Arc::clone(sink);
            spawn_blocking(move || sink.reopen());
        }
    }

    /// Sends what can be sent until the deadline; the rest stays in the journal. Whether it ended in time.
    pub async fn finish(self, deadline: Instant) -> bool {
        let Delivery { sinks: _, stop, ended } = self;
        stop.send_replace(Some(deadline));
        // The cursors are written after the deadline.
        matches!(timeout_at((deadline + KEEPING).into(), ended).await, Ok(Ok(())))
    }
}

/// The lanes, ready to run, and the thread that serves them.
type Opened = (Vec<Worker>, watch::Sender<bool>, thread::JoinHandle<()>);

impl Setup {
    fn open(&self, new: NewLane) -> Result<Opened, SpoolError> {
        let names: Vec<Wanted<'_>> = (self.lanes.iter())
            .map(|lane| Wanted { sink: Arc::clone(&lane.name), filter: &lane.feed.filter })
            .collect();
        let (spool, beginnings, keeper) = Spool::open(&self.path, &self.tenants, &names, new)?;
        let (stop, stopped) = watch::channel(false);
        let workers = beginnings.into_iter().filter_map(|Beginning { sink, tenant, cursor, last }| {
            let lane = self.lanes.iter().find(|lane| lane.name == sink)?;
            let news = self.news.listen(&tenant);
            let counters = Arc::new(LaneCounters::new(&sink, &tenant, cursor, last, news.clone()));
            self.metrics.add(Arc::clone(&counters));
            Some(Worker {
                name: sink,
                tenant,
                sink: Arc::clone(&lane.sink),
                feed: Arc::clone(&lane.feed),
                spool: spool.clone(),
                counters,
                news,
                stop: stopped.clone(),
                cursor,
            })
        });
        Ok((workers.collect(), stop, keeper))
    }
}

async fn deliver(
    setup: &Setup,
    mut opened: Option<Opened>,
    mut stopped: watch::Receiver<Option<Instant>>,
) -> Option<thread::JoinHandle<()>> {
    for lane in setup.lanes.clone() {
        let wanted = setup.tenants.iter().find(|tenant| lane.feed.filter.wants_tenant(tenant)).cloned();
        if let Some(tenant) = wanted {
            tokio::spawn(async move { probe(&lane, &tenant).await });
        }
    }
    let (workers, stop, keeper) = loop {
        if let Some(opened) = opened.take() {
            break opened;
        }
        if timeout(REOPEN, stopped.wait_for(Option::is_some)).await.is_ok() {
            return None;
        }
        // What has been journaled meanwhile nobody has seen.
        opened = setup.open(NewLane::FromTheBeginning).ok();
    };
    let mut lanes = JoinSet::new();
    for worker in workers {
        lanes.spawn(worker.run());
    }
    let deadline = stopped.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    stop.send_replace(true);
    let all = async {
        while let Some(result) = lanes.join_next().await {
            if let Err(error) = result {
                tracing::error!(%error, "a sink has ended");
            }
        }
    };
    if timeout_at(deadline.unwrap_or_else(Instant::now).into(), all).await.is_err() {
        tracing::warn!("some sinks did not end in time: what they have not sent waits in the journal");
    }
    Some(keeper)
}

/// Says at the start what does not work, and prevents nothing. Asked as one of the tenants: a receiver may answer
/// nobody else.
async fn probe(lane: &Lane, tenant: &str) {
    match timeout(PROBE, lane.sink.probe(tenant)).await {
        Ok(Ok(())) => tracing::info!(sink = %lane.name, "the receiver answers"),
        Ok(Err(refusal)) => tracing::warn!(sink = %lane.name, %refusal, "the receiver does not work (yet)"),
        Err(_) => tracing::warn!(sink = %lane.name, "the receiver does not answer (yet)"),
    }
}
