//! Records of containers of which nothing is known yet, kept for a moment until something is.
//!
//! A container's records leave in the order in which they came. What the bounds cost is counted: such a record goes on
//! at once, and its detections say which fields are incomplete.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{enrich::slots::Slot, metrics::HeldCounters};

/// Containers that are waited for at once.
const MAX_CONTAINERS: usize = 256;
/// Bytes of records held, over all containers.
const MAX_BYTES: usize = 8 << 20;
/// What a record costs beside its bytes.
const OVERHEAD: usize = size_of::<Box<[u8]>>() + 16;

#[derive(Debug)]
pub struct Held {
    containers: Vec<Queue>,
    bytes: usize,
    patience: Duration,
    counters: Arc<HeldCounters>,
}

#[derive(Debug)]
struct Queue {
    slot: Arc<Slot>,
    deadline: Instant,
    records: VecDeque<Box<[u8]>>,
}

impl Held {
    /// `patience`: how long a container is waited for at most.
    pub fn new(patience: Duration, counters: Arc<HeldCounters>) -> Held {
        Held { containers: Vec::new(), bytes: 0, patience, counters }
    }

    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }

    /// Keeps a record until its container is known. Returns false if it must go on now; then all that is held of its
    /// container must go first: see [`Held::take`].
    pub fn hold(&mut self, slot: &Arc<Slot>, record: &[u8], now: Instant) -> bool {
        let known = self.containers.iter().position(|queue| queue.slot == *slot);
        let cost = record.len() + OVERHEAD;
        if self.bytes + cost > MAX_BYTES || known.is_none() && self.containers.len() >= MAX_CONTAINERS {
            slot.settle();
            self.counters.no_room.add(1);
            return false;
        }
        self.bytes += cost;
        match known.and_then(|at| self.containers.get_mut(at)) {
            Some(queue) => queue.records.push_back(record.into()),
            None => self.containers.push(Queue {
                slot: Arc::clone(slot),
                deadline: now + self.patience,
                records: VecDeque::from([record.into()]),
            }),
        }
        self.counters.waiting.set(self.counters.waiting.get() + 1);
        true
    }

    /// The next record whose container is known by now, or has been waited for long enough; with `all` any. Nobody
    /// waits for that container any longer.
    pub fn take(&mut self, now: Instant, all: bool) -> Option<Box<[u8]>> {
        let at =
            self.containers.iter().position(|queue| all || !queue.slot.is_open() || queue.deadline <= now)?;
        let queue = self.containers.get_mut(at)?;
        let outcome =
            if queue.slot.container().is_some() { &self.counters.known } else { &self.counters.unknown };
        queue.slot.settle();
        let record = queue.records.pop_front();
        if queue.records.is_empty() {
            self.containers.swap_remove(at);
        }
        let record = record?;
        outcome.add(1);
        self.bytes -= record.len() + OVERHEAD;
        self.counters.waiting.set(self.counters.waiting.get().saturating_sub(1));
        Some(record)
    }

    /// When the next one will have been waited for long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.containers.iter().map(|queue| queue.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::{container::Container, slots::Slots};

    struct Fixture {
        slots: Slots,
        held: Held,
        counters: Arc<HeldCounters>,
        now: Instant,
        _questions: tokio::sync::mpsc::Receiver<crate::enrich::slots::Question>,
    }

    fn fixture() -> Fixture {
        let (sender, questions) = tokio::sync::mpsc::channel(10_000);
        let counters: Arc<HeldCounters> = Arc::default();
        Fixture {
            slots: Slots::new(10_000, Some(sender)),
            held: Held::new(Duration::from_secs(1), Arc::clone(&counters)),
            counters,
            now: Instant::now(),
            _questions: questions,
        }
    }

    impl Fixture {
        fn slot(&mut self, id: &str) -> Arc<Slot> {
            let slot = self.slots.of(id.as_bytes());
            self.slots.ask(&slot, b"");
            slot
        }

        /// What leaves by a time, in order.
        fn taken(&mut self, after: u64, all: bool) -> Vec<String> {
            let now = self.now + Duration::from_secs(after);
            std::iter::from_fn(|| self.held.take(now, all))
                .map(|record| String::from_utf8(record.into()).unwrap())
                .collect()
        }

        /// Known, unknown, without room, waiting.
        fn counts(&self) -> [u64; 4] {
            let c = &self.counters;
            [c.known.get(), c.unknown.get(), c.no_room.get(), c.waiting.get()]
        }
    }

    #[test]
    fn a_containers_records_leave_in_order_when_it_is_known() {
        let mut f = fixture();
        let (a, b) = (f.slot("a"), f.slot("b"));
        for (slot, record) in [(&a, "a1"), (&b, "b1"), (&a, "a2")] {
            assert!(f.held.hold(slot, record.as_bytes(), f.now));
        }
        assert_eq!(f.taken(0, false), [""; 0]);
        assert_eq!(f.counts(), [0, 0, 0, 3]);
        a.learn(Container::default());
        a.settle();
        assert_eq!(f.taken(0, false), ["a1", "a2"]);
        assert_eq!(f.counts(), [2, 0, 0, 1]);
        assert!(f.held.deadline().is_some());
        // The other one takes too long.
        assert_eq!(f.taken(2, false), ["b1"]);
        assert!(!b.is_open(), "and is not waited for again");
        assert_eq!(f.counts(), [2, 1, 0, 0]);
        assert!(f.held.is_empty() && f.held.bytes == 0 && f.held.deadline().is_none());
    }

    #[test]
    fn all_leave_at_the_end() {
        let mut f = fixture();
        let a = f.slot("a");
        assert!(f.held.hold(&a, b"a1", f.now) && f.held.hold(&a, b"a2", f.now));
        assert_eq!(f.taken(0, true), ["a1", "a2"]);
    }

    #[test]
    fn without_room_a_record_goes_on_after_those_before_it() {
        let mut f = fixture();
        let a = f.slot("a");
        let big = vec![b'x'; 1 << 20];
        let fit = (0..100).take_while(|_| f.held.hold(&a, &big, f.now)).count();
        assert_eq!(fit, 7);
        assert!(!a.is_open(), "those before it can go");
        assert_eq!(f.taken(0, false).len(), 7);
        assert_eq!(f.counts(), [0, 7, 1, 0]);
        let fit = (0..1000).take_while(|id| {
            let slot = f.slot(&id.to_string());
            f.held.hold(&slot, b"x", f.now)
        });
        assert_eq!(fit.count(), MAX_CONTAINERS);
    }
}
