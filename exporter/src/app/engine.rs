//! One record through decoding, the process table and the rules: the hot path, live and in replay.
//!
//! Synchronous and free of I/O, logging and waiting. Everything it touches was prepared beforehand.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    active::{Active, Matching, Scratches, Whose},
    held::Held,
    ties::Ties,
};
use crate::{
    config::RateLimit,
    decode::decode,
    detection::Detection,
    enrich::{
        EnrichStats, Enricher, cgroup::Place, seed::boot_time_ns, snapshot::Snapshot, table::TableStats,
    },
    event::Event,
    fields::{FieldArg, FieldId, FieldRef, Source, scheme},
    metrics::EngineCounters,
    tenants::{Owner, Tenants},
};

/// Processes looked up at once when there are no events.
const MAX_LOOKUPS: usize = 16;
/// Smaller changes of the clock are measurement and slewing, not a step.
const CLOCK_STEP_NS: u64 = 10_000_000;

/// The state of the hot path.
#[derive(Debug)]
pub struct Engine {
    enricher: Enricher,
    scratch: Scratches,
    active: Box<Active>,
    limit: RateLimit,
    counters: Arc<EngineCounters>,
    held: Held,
    /// `evt.rawtime`.
    time: FieldRef,
    ties: Option<Ties>,
    problem: Arc<Problem>,
    /// What the dates of events are based on.
    boot_time_ns: u64,
    /// Of what the quotas held back, by tenant: what was said, and when there is something to say again.
    summaries: Vec<(u64, Instant)>,
}

/// The newest record that could not be decoded, for whoever logs it.
#[derive(Debug, Default)]
pub struct Problem(Mutex<Option<String>>);

impl Problem {
    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Engine {
    pub fn new(
        enricher: Enricher,
        boot_time_ns: u64,
        active: Active,
        limit: RateLimit,
        patience: Duration,
        counters: Arc<EngineCounters>,
    ) -> Engine {
        let time = time_field();
        Engine {
            enricher,
            scratch: Scratches::default(),
            active: Box::new(active),
            limit,
            held: Held::new(patience, Arc::clone(&counters.held)),
            counters,
            time,
            ties: None,
            problem: Arc::default(),
            boot_time_ns,
            summaries: Vec::new(),
        }
    }

    /// Ties detections to what is known of their pod from now on.
    pub fn tie(&mut self, ties: Ties) {
        self.ties = Some(ties);
    }

    pub fn problem(&self) -> Arc<Problem> {
        Arc::clone(&self.problem)
    }

    /// Begins with the processes of a recording.
    pub fn restore(&mut self, processes: &Snapshot) {
        self.enricher.restore(processes);
    }

    /// Uses other rules from the next event on; returns the ones used until now.
    pub fn swap(&mut self, mut active: Box<Active>) -> Box<Active> {
        active.inherit(&self.active);
        std::mem::replace(&mut self.active, active)
    }

    /// As [`Engine::handle`], but a panic costs this record only: nobody may end the detector by an event that
    /// meets a defect. The panic is on stderr, the event is counted as lost.
    pub fn handle_guarded(&mut self, record: &[u8], emit: &mut impl FnMut(Detection) -> bool) {
        // What a panic leaves behind is safe to use: at worst a process is described incompletely.
        if catch_unwind(AssertUnwindSafe(|| self.handle(record, emit))).is_err() {
            self.counters.panicked();
        }
    }

    /// Takes one record of the ring; `emit` takes a detection or refuses it because it has no room.
    pub fn handle(&mut self, record: &[u8], emit: &mut impl FnMut(Detection) -> bool) {
        if !self.held.is_empty() {
            // What is held of a container that is known by now came before this record.
            self.release(Instant::now(), false, emit);
        }
        let event = match decode(record) {
            Ok(event) => event,
            Err(error) => {
                self.counters.invalid.add(1);
                self.problem.set(error.to_string());
                return;
            }
        };
        self.counters.receive(event.event_type());
        if let Some(slot) = self.enricher.unsettled(&event).filter(|_| self.active.uses_metadata()) {
            let now = Instant::now();
            if self.held.hold(&slot, record, now) {
                return;
            }
            self.release(now, false, emit);
        }
        self.decide(&event, emit);
    }

    /// Lets records go on whose container is known by now or has been waited for long enough; with `all` every one.
    fn release(&mut self, now: Instant, all: bool, emit: &mut impl FnMut(Detection) -> bool) {
        while let Some(record) = self.held.take(now, all) {
            // It has been decoded before.
            if let Ok(event) = decode(&record) {
                self.decide(&event, emit);
            }
        }
    }

    /// As [`Engine::release`], but a panic costs one record only.
    pub fn release_guarded(&mut self, all: bool, emit: &mut impl FnMut(Detection) -> bool) {
        while !self.held.is_empty() {
            let now = Instant::now();
            if catch_unwind(AssertUnwindSafe(|| self.release(now, all, emit))).is_ok() {
                return;
            }
            self.counters.panicked();
        }
    }

    /// When records that wait for their container will have waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.deadline()
    }

    fn decide(&mut self, event: &Event<'_>, emit: &mut impl FnMut(Detection) -> bool) {
        let Engine { enricher, scratch, active, limit, counters, time, ties, .. } = self;
        let view = enricher.observe(event);
        let matching = Matching {
            scratch,
            limit,
            now_ns: event.header.ts_ns,
            time,
            detections: &counters.detections,
            suppressed: &counters.suppressed,
            queue_full: &counters.queue_full,
        };
        let whose = |tenants: &Tenants| match view.metadata() {
            Some(container) => {
                let owner = Owner::of(container);
                Whose { tenant: tenants.of(&owner), namespace: owner.namespace }
            }
            None => Whose::default(),
        };
        let matched = active.apply(&view, whose, matching, &mut |mut detection| {
            if let Some(ties) = ties {
                ties.tie(&view, &mut detection);
            }
            emit(detection)
        });
        enricher.settle(event);
        // Last, so that an event has an outcome or is found to have none.
        if matched { &counters.matched } else { &counters.unmatched }.add(1);
    }

    /// Says, to each tenant whose quota held something back, how much it was: once a window.
    pub fn summarise(&mut self, now: Instant, emit: &mut impl FnMut(Detection) -> bool) {
        let quotas = self.active.quotas();
        self.summaries.resize(quotas.len(), (0, now));
        for (quota, (said, next)) in quotas.iter().zip(&mut self.summaries) {
            let suppressed = quota.suppressed();
            if suppressed == *said || now < *next {
                continue;
            }
            let more = suppressed - *said;
            (*said, *next) = (suppressed, now + quota.limit.window);
            let detection = Detection::of_quota(&quota.tenant, more, epoch_ns());
            self.counters.detections.add(1);
            self.active.count(&detection);
            if !emit(detection) {
                self.counters.queue_full.add(1);
            }
        }
    }

    /// Cgroups whose paths became known, and whether they are a container's.
    pub fn new_cgroups(&mut self) -> impl Iterator<Item = (u64, Place)> {
        self.enricher.new_cgroups()
    }

    /// Publishes the process table's sizes.
    pub fn publish(&self) {
        let EnrichStats {
            table: TableStats { processes, exited, bytes, evicted_exited, evicted_live, reused },
            incomplete,
            cgroups,
            cgroups_evicted,
            cgroups_unknown,
            sockets,
            sockets_evicted,
            dns_addresses,
            dns_evicted,
            dns_invalid,
            root_questions_refused,
            containers,
            containers_evicted,
            container_questions_refused,
        } = self.enricher.stats();
        let table = &self.counters.table;
        table.processes.set(processes);
        table.exited.set(exited);
        table.bytes.set(bytes);
        table.evicted_exited.set(evicted_exited);
        table.evicted_live.set(evicted_live);
        table.reused.set(reused);
        table.incomplete.set(incomplete);
        table.cgroups.set(cgroups);
        table.cgroups_evicted.set(cgroups_evicted);
        table.cgroups_unknown.set(cgroups_unknown);
        table.sockets.set(sockets);
        table.sockets_evicted.set(sockets_evicted);
        table.dns_addresses.set(dns_addresses);
        table.dns_evicted.set(dns_evicted);
        table.dns_invalid.set(dns_invalid);
        table.root_questions_refused.set(root_questions_refused);
        table.containers.set(containers);
        table.containers_evicted.set(containers_evicted);
        table.container_questions_refused.set(container_questions_refused);
    }

    /// For moments without events: looks up processes of which only a descendant was seen, and follows the
    /// wall clock if it was set.
    pub fn tidy(&mut self) {
        self.enricher.complete_from_proc(Path::new("/proc"), MAX_LOOKUPS);
        let now = boot_time_ns();
        if now.abs_diff(self.boot_time_ns) > CLOCK_STEP_NS {
            self.boot_time_ns = now;
            self.enricher.set_boot_time(now);
        }
    }
}

fn epoch_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// `evt.rawtime`, which every source has.
pub(super) fn time_field() -> FieldRef {
    // In the scheme: a test asserts it. An unknown field would be absent, and the time 0.
    scheme()
        .resolve(Source::Syscall, "evt.rawtime", None)
        .unwrap_or(FieldRef { id: FieldId(u16::MAX), arg: FieldArg::None })
}

#[cfg(test)]
mod tests;
