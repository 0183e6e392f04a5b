//! The bounded queue between requests and rules.
//!
//! A request's events are all taken or none: then the API server may send all of them again. What was taken before
//! is not taken twice. Once the answer is out, the events are in the queue or were dropped as repetitions, and
//! counted.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Incoming, Stage, parse::Identity};
use crate::{config::AuditConfig, metrics::AuditCounters};

/// An API server gives up on a batch after about a minute and a half.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// What an event costs beside its text.
const OVERHEAD: usize = 128;

/// An event that waits for the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    pub stage: Stage,
    pub text: Box<str>,
}

/// What became of a request's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub events: usize,
    /// Of these, dropped because they were taken before.
    pub repeated: usize,
}

/// None of a request's events was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("too many events wait for the rules; come again later")]
    Busy,
    #[error("the daemon is ending; come again later")]
    Ending,
}

/// What [`Intake::take`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    Event(Queued),
    /// Nothing in the time given.
    Nothing,
    /// There will be no more.
    End,
}

#[derive(Debug)]
pub struct Intake {
    state: Mutex<State>,
    news: Condvar,
    max_events: usize,
    max_bytes: usize,
    counters: Arc<AuditCounters>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Queued>,
    bytes: usize,
    known: Known,
    /// What is left may be taken until then.
    closed: Option<Instant>,
}

impl Intake {
    pub fn new(config: &AuditConfig, counters: Arc<AuditCounters>) -> Intake {
        let known = Known {
            hasher: RandomState::new(),
            set: HashSet::new(),
            order: VecDeque::new(),
            capacity: config.remembered,
        };
        Intake {
            state: Mutex::new(State { queue: VecDeque::new(), bytes: 0, known, closed: None }),
            news: Condvar::new(),
            max_events: config.queue_events,
            max_bytes: config.queue_bytes,
            counters,
        }
    }

    /// Most events of one request: more could never be taken.
    pub fn max_events(&self) -> usize {
        self.max_events
    }

    /// Takes all events or none.
    pub fn offer(&self, events: Vec<Incoming>) -> Result<Accepted, Refused> {
        self.offer_at(events, Instant::now())
    }

    fn offer_at(&self, events: Vec<Incoming>, now: Instant) -> Result<Accepted, Refused> {
        let mut guard = self.lock();
        let State { queue, bytes, known, closed } = &mut *guard;
        if closed.is_some() {
            return Err(Refused::Ending);
        }
        known.expire(now);
        let count = events.len();
        let mut keys = HashSet::with_capacity(count);
        let mut fresh = Vec::with_capacity(count);
        for Incoming { stage, text, identity } in events {
            let key = known.key(&identity);
            if !known.set.contains(&key) && keys.insert(key) {
                fresh.push((key, Queued { stage, text }));
            }
        }
        let weight: usize = fresh.iter().map(|(_, event)| weight(event)).sum();
        // A request alone always fits: it has a bound of its own.
        let fits = queue.len() + fresh.len() <= self.max_events && *bytes + weight <= self.max_bytes;
        if !fits && !queue.is_empty() {
            return Err(Refused::Busy);
        }
        let accepted = Accepted { events: count, repeated: count - fresh.len() };
        for (key, event) in fresh {
            self.counters.forgotten.add(known.remember(key, now));
            self.counters.accept(event.stage);
            queue.push_back(event);
        }
        *bytes += weight;
        self.counters.repeated.add(accepted.repeated as u64);
        self.publish(&guard);
        self.news.notify_one();
        Ok(accepted)
    }

    /// The next event; waits for one.
    pub fn take(&self, wait: Duration) -> Taken {
        let mut guard = self.lock();
        if guard.queue.is_empty() && guard.closed.is_none() {
            let waited = self.news.wait_timeout(guard, wait);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if guard.closed.is_some_and(|deadline| Instant::now() >= deadline) {
            return Taken::End;
        }
        match guard.queue.pop_front() {
            Some(event) => {
                guard.bytes = guard.bytes.saturating_sub(weight(&event));
                self.publish(&guard);
                Taken::Event(event)
            }
            None if guard.closed.is_some() => Taken::End,
            None => Taken::Nothing,
        }
    }

    /// Takes no more; what is there may be taken until the deadline.
    pub fn close(&self, deadline: Instant) {
        self.lock().closed = Some(deadline);
        self.news.notify_all();
    }

    fn publish(&self, state: &State) {
        self.counters.queued.set(state.queue.len() as u64);
        self.counters.queued_bytes.set(state.bytes as u64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(event: &Queued) -> usize {
    event.text.len() + OVERHEAD
}

/// Events taken in the last minutes, by a keyed hash: nobody can make two of them collide.
#[derive(Debug)]
struct Known {
    hasher: RandomState,
    set: HashSet<u64>,
    order: VecDeque<(Instant, u64)>,
    capacity: usize,
}

impl Known {
    fn key(&self, identity: &Identity) -> u64 {
        self.hasher.hash_one(identity)
    }

    /// Forgets what is old.
    fn expire(&mut self, now: Instant) {
        while let Some((at, key)) = self.order.front().copied() {
            if now.saturating_duration_since(at) < REMEMBERED_FOR {
                break;
            }
            self.order.pop_front();
            self.set.remove(&key);
        }
    }

    /// Returns how many were forgotten to make room.
    fn remember(&mut self, key: u64, now: Instant) -> u64 {
        let full = self.order.len() >= self.capacity;
        if full && let Some((_, oldest)) = self.order.pop_front() {
            self.set.remove(&oldest);
        }
        self.order.push_back((now, key));
        self.set.insert(key);
        u64::from(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::parse;

    struct Fixture {
        intake: Intake,
        counters: Arc<AuditCounters>,
        start: Instant,
    }

    fn fixture(queue_events: usize, queue_bytes: usize, remembered: usize) -> Fixture {
        let counters: Arc<AuditCounters> = Arc::default();
        let config = AuditConfig { queue_events, queue_bytes, remembered, ..AuditConfig::default() };
        Fixture { intake: Intake::new(&config, Arc::clone(&counters)), counters, start: Instant::now() }
    }

    impl Fixture {
        /// Offers events with these ids some seconds after the start.
        fn offer(&self, seconds: u64, ids: &[&str]) -> Result<(usize, usize), Refused> {
            let items: Vec<_> = ids
                .iter()
                .map(|id| format!(r#"{{"auditID":"{id}","stage":"Panic","pad":"{}"}}"#, "x".repeat(100)))
                .collect();
            let body = format!(
                r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{}]}}"#,
                items.join(",")
            );
            let events = parse(body.as_bytes(), 1000).unwrap();
            let accepted = self.intake.offer_at(events, self.start + Duration::from_secs(seconds))?;
            Ok((accepted.events, accepted.repeated))
        }

        fn take_all(&self) -> usize {
            std::iter::repeat_with(|| self.intake.take(Duration::ZERO))
                .take_while(|taken| matches!(taken, Taken::Event(_)))
                .count()
        }
    }

    #[test]
    fn all_events_of_a_request_are_taken_or_none() {
        let fixture = fixture(3, 1 << 20, 100);
        assert_eq!(fixture.offer(0, &["a", "b"]), Ok((2, 0)));
        assert_eq!(fixture.offer(0, &["c", "d"]), Err(Refused::Busy));
        assert_eq!(fixture.counters.accepted(Stage::Panic), 2);
        assert_eq!(fixture.offer(0, &["c"]), Ok((1, 0)), "it was not remembered either");
        assert_eq!(fixture.take_all(), 3);
        assert_eq!(fixture.offer(0, &["c", "d", "e", "f"]), Ok((4, 1)), "alone a request fits");
        assert_eq!(fixture.take_all(), 3);
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let fixture = fixture(1000, 700, 100);
        assert_eq!(fixture.offer(0, &["a", "b"]), Ok((2, 0)));
        assert_eq!(fixture.counters.queued.get(), 2);
        assert_eq!(fixture.offer(0, &["c"]), Err(Refused::Busy));
        assert_eq!(fixture.take_all(), 2);
        assert_eq!((fixture.counters.queued.get(), fixture.counters.queued_bytes.get()), (0, 0));
        assert_eq!(fixture.offer(0, &["c", "d", "e", "f", "g"]), Ok((5, 0)), "alone a request fits");
    }

    #[test]
    fn repetitions_are_dropped_while_they_are_remembered() {
        let fixture = fixture(1000, 1 << 20, 3);
        assert_eq!(fixture.offer(0, &["a", "a", "b"]), Ok((3, 1)));
        assert_eq!(fixture.offer(599, &["a", "b", "c"]), Ok((3, 2)));
        assert_eq!(fixture.counters.repeated.get(), 3);
        assert_eq!(fixture.offer(600, &["a"]), Ok((1, 0)), "old ones are forgotten");
        assert_eq!(fixture.counters.forgotten.get(), 0);
        assert_eq!(fixture.offer(601, &["d", "e"]), Ok((2, 0)));
        assert_eq!(fixture.counters.forgotten.get(), 1, "there was room for three");
        assert_eq!(fixture.offer(602, &["c", "a"]), Ok((2, 1)));
    }

    #[test]
    fn a_closed_intake_gives_what_it_has_until_the_deadline() {
        let fixture = fixture(10, 1 << 20, 10);
        assert_eq!(fixture.intake.take(Duration::ZERO), Taken::Nothing);
        fixture.offer(0, &["a", "b"]).unwrap();
        fixture.intake.close(fixture.start + Duration::from_secs(3600));
        assert_eq!(fixture.offer(0, &["c"]), Err(Refused::Ending));
        assert!(matches!(fixture.intake.take(Duration::ZERO), Taken::Event(_)));
        fixture.intake.close(fixture.start);
        assert_eq!(fixture.intake.take(Duration::ZERO), Taken::End);
    }
}
