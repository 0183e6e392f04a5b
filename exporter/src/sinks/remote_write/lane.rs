//! The lane of a sink and a tenant: from a gathering to requests that wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;

use super::{
    Bounds, Version,
    encode::Frame,
    queue::{First, Queue, Request},
    route::Route,
    series::Series,
    spool::Spool,
    stale::Known,
};
use crate::{backoff::Pace, metrics::WriteCounters};

/// Samples of a request, as Prometheus sends them.
const MAX_SAMPLES: usize = 2000;
/// How often 1.0 says what the families are.
const METADATA_EVERY: Duration = Duration::from_secs(5 * 60);
/// A clock that is set back by up to this only makes the times of samples go on from where they were. What is further
/// ahead was a wrong clock, and keeping to it would put all samples there for good.
const MAX_AHEAD_MS: i64 = 2 * 3600 * 1000;

#[derive(Debug)]
pub(super) struct Lane {
    pub sink: Arc<str>,
    pub tenant: Arc<str>,
    pub route: Route,
    pub pace: Pace,
    pub counters: Arc<WriteCounters>,
    /// There is something to send.
    pub news: Notify,
    version: Version,
    external: BTreeMap<String, String>,
    course: Mutex<Course>,
    queue: Mutex<Queue>,
    spool: Arc<Mutex<Spool>>,
}

/// What it remembers from one gathering to the next.
#[derive(Debug, Default)]
struct Course {
    known: Known,
    /// The time of the last samples: the next ones are later, whatever the clock says.
    last_ms: i64,
    described: Option<Instant>,
}

/// What a lane is made from.
#[derive(Debug)]
pub(super) struct Parts {
    pub sink: Arc<str>,
    pub tenant: Arc<str>,
    pub route: Route,
    pub pace: Pace,
    pub version: Version,
    pub bounds: Bounds,
    /// Without those of the route.
    pub external: BTreeMap<String, String>,
    pub spool: Arc<Mutex<Spool>>,
}

impl Lane {
    pub fn new(parts: Parts) -> Lane {
        let Parts { sink, tenant, route, pace, version, bounds, mut external, spool } = parts;
        external.extend(route.labels.iter().cloned());
        let counters = Arc::new(WriteCounters::new(&sink, &tenant));
        let queue = Queue::new(Arc::clone(&sink), Arc::clone(&tenant), bounds, Arc::clone(&counters));
        Lane {
            sink,
            tenant,
            route,
            pace,
            counters,
            news: Notify::new(),
            version,
            external,
            course: Mutex::default(),
            queue: Mutex::new(queue),
            spool,
        }
    }

    /// The spool's file has been opened.
    pub fn resume(&self) {
        let (mut course, mut queue, mut spool) = (lock(&self.course), lock(&self.queue), lock(&self.spool));
        let clock = spool.with(|disk| disk.clock((&self.sink, &self.tenant))).flatten();
        course.last_ms = course.last_ms.max(clock.unwrap_or_default());
        queue.resume(&mut spool);
        self.news.notify_one();
    }

    /// Takes a gathering's series of this moment.
    pub fn take(&self, series: Vec<Series>, now_ms: i64) {
        self.counters.numbers().gathers += 1;
        let mut course = lock(&self.course);
        let series = course.known.follow(series);
        self.keep(&mut course, &series, now_ms);
    }

    /// Says of all series that they have ended.
    pub fn end(&self, now_ms: i64) {
        let mut course = lock(&self.course);
        let markers = course.known.end();
        self.keep(&mut course, &markers, now_ms);
    }

    fn keep(&self, course: &mut Course, series: &[Series], now_ms: i64) {
        if course.last_ms > now_ms.saturating_add(MAX_AHEAD_MS) {
            let ahead_seconds = (course.last_ms - now_ms) / 1000;
            tracing::warn!(
                sink = %self.sink, tenant = %self.tenant, ahead_seconds,
                "the clock was far ahead: a receiver that took samples of that time refuses those of now until then"
            );
            course.last_ms = 0;
        }
        let time_ms = now_ms.max(course.last_ms + 1);
        if !series.is_empty() {
            course.last_ms = time_ms;
        }
        let due = course.described.is_none_or(|last| last.elapsed() >= METADATA_EVERY);
        if due {
            course.described = Some(Instant::now());
        }
        let frame = Frame { version: self.version, time_ms, external: &self.external, with_metadata: due };
        for part in series.chunks(MAX_SAMPLES) {
            let samples = part.len() as u64;
            match frame.body(part) {
                Ok(body) => {
                    let request = Request { time_ms, samples, version: self.version, body };
                    lock(&self.queue).push(request, now_ms, &mut lock(&self.spool));
                }
                Err(error) => {
                    // Of more than 4 GiB only.
                    tracing::error!(sink = %self.sink, tenant = %self.tenant, %error, "samples cannot be packed");
                    lock(&self.queue).unfit(samples);
                }
            }
        }
        self.news.notify_one();
    }

    /// The first request that waits.
    pub fn first(&self) -> First {
        lock(&self.queue).first(now_ms(), &mut lock(&self.spool))
    }

    /// Each of its samples was sent or rejected.
    pub fn done(&self, sent: u64, rejected: u64) {
        lock(&self.queue).done(sent, rejected, &mut lock(&self.spool));
    }

    /// It waits again.
    pub fn failed(&self) {
        lock(&self.queue).failed();
    }

    /// The end of the daemon.
    pub fn close(&self) {
        lock(&self.queue).close(&mut lock(&self.spool));
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
