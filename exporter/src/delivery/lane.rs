//! The lane of a sink and a tenant: reads after its cursor, sends, moves its cursor.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{select, sync::watch, time::sleep};
use tracing::{
    Instrument as _,
    field::{Empty, display},
};

use super::{
    Entry, Feed, Refusal, Sent, Sink,
    breaker::{Breaker, Change},
    spool::{Ask, Rejected, Spool, SpoolError},
};
use crate::{backoff::Backoff, metrics::LaneCounters, spans::TARGET};

/// How long to wait for a journal that cannot be read.
const JOURNAL_PAUSE: Duration = Duration::from_secs(2);

/// What a lane works with.
#[derive(Debug)]
pub(super) struct Worker {
    pub name: Arc<str>,
    pub tenant: Arc<str>,
    pub sink: Arc<dyn Sink>,
    pub feed: Arc<Feed>,
    pub spool: Spool,
    pub counters: Arc<LaneCounters>,
    pub news: watch::Receiver<i64>,
    /// True: send what is there, and end at the first failure.
    pub stop: watch::Receiver<bool>,
    /// Everything up to here has been dealt with.
    pub cursor: i64,
}

/// What a lane remembers from one request to the next.
struct Course {
    backoff: Backoff,
    breaker: Breaker,
    /// After a failure: the same entries again.
    until: Option<i64>,
    /// Less after a refusal, to find which entry it is about.
    limit: usize,
    rejected: Option<Rejected>,
    /// What is there has waited for more already.
    waited: bool,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There may be more.
    Again,
    /// There is nothing.
    Listen,
    Wait(Duration),
    /// There may soon be a whole batch, whose last number is this.
    Gather(Duration, i64),
}

impl Worker {
    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let mut course = Course {
            backoff: Backoff::new(self.feed.pace),
            breaker: Breaker::default(),
            until: None,
            limit: self.feed.batch,
            rejected: None,
            waited: false,
        };
        loop {
            // What is told from here on is noticed below.
            self.news.mark_unchanged();
            // As it was before: what was journaled in the step may not have been read by it, and is noticed below too.
            let stopping = *self.stop.borrow();
            let next = self.step(&mut course).await;
            match next {
                Next::Again => {}
                Next::Gather(..) if stopping => {}
                _ if stopping => return,
                Next::Listen => select! {
                    told = self.news.changed() => if told.is_err() { return },
                    // Once more: there may be something that nobody has told of yet.
                    _ = self.stop.changed() => {}
                },
                Next::Wait(time) => select! {
                    () = sleep(time) => {}
                    _ = self.stop.changed() => {}
                },
                Next::Gather(time, whole) => select! {
                    () = sleep(time) => {}
                    told = self.news.wait_for(|last| *last >= whole) => if told.is_err() { return },
                    _ = self.stop.changed() => {}
                },
            }
        }
    }

    async fn step(&mut self, course: &mut Course) -> Next {
        let most = if course.breaker.is_open() { 1 } else { course.limit };
        let ask = Ask {
            sink: Arc::clone(&self.name),
            tenant: Arc::clone(&self.tenant),
            cursor: self.cursor,
            until: course.until,
            entries: most,
            bytes: self.feed.batch_bytes,
            rejected: course.rejected.take(),
        };
        let found = match self.spool.ask(ask).await {
            Ok(found) => found,
            Err(SpoolError::Gone) => return Next::Wait(JOURNAL_PAUSE),
            Err(error) => {
                tracing::error!(sink = %self.name, tenant = %self.tenant, %error, "the journal cannot be read");
                return Next::Wait(JOURNAL_PAUSE);
            }
        };
        let Some(newest) = found.entries.last().map(|entry| entry.seq) else {
            let reached = course.until.take().unwrap_or(found.last);
            if reached <= self.cursor {
                self.counters.numbers().waits(None);
                return Next::Listen;
            }
            // All that was asked for has been removed.
            self.pass(reached, &[], 0, 0);
            return Next::Again;
        };
        let oldest_ns = found.entries.first().map(|entry| entry.written_ns);
        self.counters.numbers().waits(oldest_ns);
        let is_all = newest >= found.last && found.entries.len() < most && course.until.is_none();
        if is_all && !course.waited {
            let wait = self.feed.max_wait.saturating_sub(since(oldest_ns));
            if !wait.is_zero() {
                course.waited = true;
                return Next::Gather(wait, self.cursor.saturating_add_unsigned(most as u64));
            }
        }
        course.waited = false;
        let (wanted, unwanted): (Vec<Entry>, Vec<Entry>) =
            found.entries.into_iter().partition(|entry| self.feed.filter.wants(entry));
        if wanted.is_empty() {
            self.pass(newest, &unwanted, 0, 0);
            course.until = None;
            return Next::Again;
        }
        if course.backoff.failures() > 0 {
            self.counters.numbers().retried += 1;
        }
        let span = tracing::info_span!(
            target: TARGET, "sink.send", sink = %self.name, tenant = %self.tenant, entries = wanted.len() as i64,
            taken = Empty, refusal = Empty
        );
        let Sent { taken, refusal } = self.sink.send(&self.tenant, &wanted).instrument(span.clone()).await;
        // As what OpenTelemetry calls an integer.
        span.record("taken", taken as i64);
        if let Some(refusal) = &refusal {
            span.record("refusal", display(refusal));
        }
        drop(span);
        // Up to what is refused, or to the end.
        let refused = if refusal.is_some() { wanted.get(taken) } else { None };
        let reached = refused.map_or(newest, |entry| entry.seq - 1);
        if let Some(last) = taken.checked_sub(1).and_then(|last| wanted.get(last)) {
            self.counters.numbers().lag_ns = now_ns().saturating_sub(last.written_ns);
        }
        let rejected = match &refusal {
            Some(Refusal::Part { rejected, .. }) => *rejected,
            _ => 0,
        };
        self.pass(reached, &unwanted, taken, rejected.min(taken));
        match refusal {
            None => {
                self.works(course);
                course.until = None;
                course.limit = course.limit.saturating_mul(2).min(self.feed.batch);
                Next::Again
            }
            Some(Refusal::Later { reason, what, after }) => {
                if taken > 0 {
                    course.backoff.succeed();
                }
                self.fails(course, reason, &what, after, newest)
            }
            Some(Refusal::Part { what, .. }) => {
                self.works(course);
                course.until = None;
                tracing::error!(
                    sink = %self.name, tenant = %self.tenant, rejected, what,
                    "the receiver has not kept some detections, and does not say which"
                );
                Next::Again
            }
            Some(Refusal::Poison { what }) => {
                // The receiver is there and answers.
                self.works(course);
                self.refused(course, &wanted, taken, what);
                Next::Again
            }
        }
    }

    /// Moves the cursor: what is before it was sent (`taken`), or not wanted, or is no longer in the journal.
    fn pass(&mut self, reached: i64, unwanted: &[Entry], taken: usize, rejected: usize) {
        let (taken, rejected) = (taken as u64, rejected as u64);
        let filtered = unwanted.iter().filter(|entry| entry.seq <= reached).count() as u64;
        let passed = u64::try_from(reached - self.cursor).unwrap_or(0);
        let lost = passed.saturating_sub(taken + filtered);
        let mut numbers = self.counters.numbers();
        numbers.sent += taken - rejected;
        numbers.rejected += rejected;
        numbers.filtered += filtered;
        numbers.lost += lost;
        drop(numbers);
        self.cursor = self.cursor.max(reached);
        if lost > 0 {
            tracing::error!(
                sink = %self.name, tenant = %self.tenant, lost,
                "the journal's bounds removed detections before they were sent"
            );
        }
    }

    fn works(&self, course: &mut Course) {
        course.backoff.succeed();
        if course.breaker.succeed() == Some(Change::Closed) {
            self.counters.numbers().down = false;
            tracing::info!(sink = %self.name, tenant = %self.tenant, "the receiver works again");
        }
    }

    fn fails(
        &self,
        course: &mut Course,
        reason: super::Reason,
        what: &str,
        after: Option<Duration>,
        newest: i64,
    ) -> Next {
        let wait = course.backoff.fail(after);
        course.until = Some(newest);
        let failures = course.backoff.failures();
        let mut numbers = self.counters.numbers();
        if let Some(slot) = numbers.failed.get_mut(reason as usize) {
            *slot += 1;
        }
        if course.breaker.fail(failures) == Some(Change::Opened) {
            numbers.down = true;
            course.until = None;
            tracing::error!(
                sink = %self.name, tenant = %self.tenant, reason = reason.name(), what,
                "the receiver fails again and again; detections wait in the journal"
            );
        } else if failures == 1 {
            tracing::warn!(
                sink = %self.name, tenant = %self.tenant, reason = reason.name(), what, "not sent, and tried again"
            );
        }
        Next::Wait(wait)
    }

    /// Of several entries in one request it is not known which one is refused: half as many next time, until it is one.
    fn refused(&mut self, course: &mut Course, wanted: &[Entry], taken: usize, what: String) {
        let rest = wanted.get(taken..).unwrap_or_default();
        let alone = rest.len() == 1 || !self.sink.sends_together();
        let Some(first) = rest.first() else { return };
        if !alone {
            course.limit = (rest.len() / 2).max(1);
            course.until = None;
            return;
        }
        tracing::error!(
            sink = %self.name, tenant = %self.tenant, what, "the receiver refuses a detection, which is set aside"
        );
        self.cursor = first.seq;
        self.counters.numbers().rejected += 1;
        course.rejected = Some(Rejected { entry: first.clone(), what });
        course.until = None;
    }
}

fn since(time_ns: Option<i64>) -> Duration {
    let nanoseconds = time_ns.map_or(0, |time| now_ns().saturating_sub(time));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
