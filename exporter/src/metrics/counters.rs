//! Counters that the hot path and the sinks write and that `/metrics` and the ledger read.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use exporter_common::event_type::{EVENT_TYPE_SLOTS, EventType};

use crate::audit::Stage;

/// A counter with one writer: no locked instruction, because only one thread ever adds.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// To be called by the one thread that owns this counter.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// For values rather than counts; same rule.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the hot thread counts. It is the only writer.
#[derive(Debug)]
pub struct EngineCounters {
    received: [Tally; EVENT_TYPE_SLOTS as usize],
    /// Records that could not be decoded: lost.
    pub invalid: Tally,
    /// Events whose handling ended in a panic: lost.
    pub panicked: Tally,
    /// Events that at least one rule matched.
    pub matched: Tally,
    /// Events that no rule matched.
    pub unmatched: Tally,
    /// Matches: one per event and rule, so with `rule_matching: all` more than `matched`.
    pub detections: Tally,
    /// Detections held back by their rule's rate limit.
    pub suppressed: Tally,
    /// Detections dropped because the queue to the sinks was full.
    pub queue_full: Tally,
    /// Records kept out of the recording because its writer was behind.
    pub record_behind: Tally,
    pub table: TableCounters,
    pub roots: Arc<RootCounters>,
    pub held: Arc<HeldCounters>,
}

/// What the thread that reads the users of containers counts. It is the only writer.
#[derive(Debug, Default)]
pub struct RootCounters {
    /// Mount namespaces whose users are known.
    pub known: Tally,
    pub evicted: Tally,
    pub failed: Tally,
}

/// What the hot thread counts of records that wait for what is known of their container. It is the only writer.
#[derive(Debug, Default)]
pub struct HeldCounters {
    /// Waiting now.
    pub waiting: Tally,
    /// Went on with something known of the container.
    pub known: Tally,
    /// Went on with nothing known.
    pub unknown: Tally,
    /// Could not wait.
    pub no_room: Tally,
}

/// What is kept of processes, cgroups and sockets, as last published by the hot thread.
#[derive(Debug, Default)]
pub struct TableCounters {
    pub processes: Tally,
    pub exited: Tally,
    pub bytes: Tally,
    pub evicted_live: Tally,
    pub evicted_exited: Tally,
    pub reused: Tally,
    pub incomplete: Tally,
    pub cgroups: Tally,
    pub cgroups_evicted: Tally,
    pub cgroups_unknown: Tally,
    pub sockets: Tally,
    pub sockets_evicted: Tally,
    pub dns_addresses: Tally,
    pub dns_evicted: Tally,
    pub dns_invalid: Tally,
    pub root_questions_refused: Tally,
    pub containers: Tally,
    pub containers_evicted: Tally,
    pub container_questions_refused: Tally,
}

impl Default for EngineCounters {
    fn default() -> EngineCounters {
        EngineCounters {
            received: std::array::from_fn(|_| Tally::default()),
            invalid: Tally::default(),
            panicked: Tally::default(),
            matched: Tally::default(),
            unmatched: Tally::default(),
            detections: Tally::default(),
            suppressed: Tally::default(),
            queue_full: Tally::default(),
            record_behind: Tally::default(),
            table: TableCounters::default(),
            roots: Arc::default(),
            held: Arc::default(),
        }
    }
}

impl EngineCounters {
    /// Counts an event that reached user space.
    pub fn receive(&self, event_type: EventType) {
        if let Some(tally) = self.received.get(usize::from(event_type.id())) {
            tally.add(1);
        }
    }

    /// Counts the event that was being handled when a panic came.
    pub fn panicked(&self) {
        let received: u64 = self.received.iter().map(Tally::get).sum();
        let outcomes =
            self.matched.get() + self.unmatched.get() + self.panicked.get() + self.held.waiting.get();
        let without_outcome = received.saturating_sub(outcomes);
        // One that was not even decoded has not been received.
        if without_outcome > 0 { &self.panicked } else { &self.invalid }.add(1);
    }

    pub fn received(&self, event_type: EventType) -> u64 {
        self.received.get(usize::from(event_type.id())).map_or(0, Tally::get)
    }

    /// All records taken from the ring, also those that could not be decoded.
    pub fn records(&self) -> u64 {
        self.received.iter().map(Tally::get).sum::<u64>() + self.invalid.get()
    }
}

/// What is counted of audit events.
#[derive(Debug, Default)]
pub struct AuditCounters {
    /// Taken from requests and no repetitions. Written under the intake's lock, as the next four.
    accepted: [Tally; Stage::ALL.len()],
    /// Dropped because they had been taken before.
    pub repeated: Tally,
    /// Forgotten, as to repetitions, before their time.
    pub forgotten: Tally,
    /// Waiting for the rules.
    pub queued: Tally,
    pub queued_bytes: Tally,
    /// Taken from the queue by the audit thread, which is the only writer of this and all below.
    received: [Tally; Stage::ALL.len()],
    /// Events that could not be read after all: lost.
    pub invalid: Tally,
    /// Events whose handling ended in a panic: lost.
    pub panicked: Tally,
    pub matched: Tally,
    pub unmatched: Tally,
    pub detections: Tally,
    pub suppressed: Tally,
    pub queue_full: Tally,
    /// Sessions in pods that are remembered, and those that were forgotten for want of room.
    pub sessions: Tally,
    pub sessions_evicted: Tally,
}

impl AuditCounters {
    /// To be called under the intake's lock.
    pub fn accept(&self, stage: Stage) {
        self.accepted[stage as usize].add(1);
    }

    pub fn accepted(&self, stage: Stage) -> u64 {
        self.accepted[stage as usize].get()
    }

    pub fn receive(&self, stage: Stage) {
        self.received[stage as usize].add(1);
    }

    pub fn received(&self, stage: Stage) -> u64 {
        self.received[stage as usize].get()
    }

    pub fn all_accepted(&self) -> u64 {
        self.accepted.iter().map(Tally::get).sum()
    }

    pub fn all_received(&self) -> u64 {
        self.received.iter().map(Tally::get).sum()
    }

    /// Counts the event that was being handled when a panic came.
    pub fn panicked(&self) {
        let outcomes = [&self.invalid, &self.panicked, &self.matched, &self.unmatched];
        if self.all_received() > outcomes.into_iter().map(Tally::get).sum() {
            self.panicked.add(1);
        }
    }
}

/// What the stdout sink counts, in detections. Its thread is the only writer.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Written whole.
    pub delivered: Tally,
    /// Lost to a write error.
    pub write_error: Tally,
    /// Lost because stdout was behind the journal. The journal's thread is the only writer.
    pub queue_full: Tally,
}

/// What a recording's writer counts. Its thread is the only writer.
#[derive(Debug, Default)]
pub struct RecordingCounters {
    pub records: Tally,
    pub bytes: Tally,
    /// Records that came after the recording had reached its bound or had failed.
    pub beyond: Tally,
}

/// What the thread that asks for containers counts.
#[derive(Debug)]
pub struct ContainerCounters {
    pub sources: [(&'static str, Arc<LookupCounters>); 6],
    /// Looked for until their owner was known.
    pub known: AtomicU64,
    /// Looked for, and only a part was found in time.
    pub partly: AtomicU64,
    /// Looked for, and nothing was found in time.
    pub unknown: AtomicU64,
    /// Not looked at again later, because there were too many.
    pub unfollowed: AtomicU64,
}

/// Answers of one kind of source.
#[derive(Debug, Default)]
pub struct LookupCounters {
    pub found: AtomicU64,
    pub unknown: AtomicU64,
    pub failed: AtomicU64,
}

impl Default for ContainerCounters {
    fn default() -> ContainerCounters {
        ContainerCounters {
            sources: ["files", "cri", "containerd", "docker", "podman", "kubernetes"]
                .map(|name| (name, Arc::default())),
            known: AtomicU64::default(),
            partly: AtomicU64::default(),
            unknown: AtomicU64::default(),
            unfollowed: AtomicU64::default(),
        }
    }
}

impl ContainerCounters {
    /// Those of a kind of source.
    pub fn of(&self, name: &str) -> Arc<LookupCounters> {
        let found = self.sources.iter().find(|(own, _)| *own == name);
        found.map(|(_, counters)| Arc::clone(counters)).unwrap_or_default()
    }

    /// `None`: nothing was found; else whether the owner is known.
    pub fn settled(&self, owner: Option<bool>) {
        match owner {
            Some(true) => &self.known,
            Some(false) => &self.partly,
            None => &self.unknown,
        }
        .fetch_add(1, Relaxed);
    }

    pub fn unfollowed(&self) {
        self.unfollowed.fetch_add(1, Relaxed);
    }
}

impl LookupCounters {
    pub fn found(&self) {
        self.found.fetch_add(1, Relaxed);
    }

    pub fn unknown(&self) {
        self.unknown.fetch_add(1, Relaxed);
    }

    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }
}
