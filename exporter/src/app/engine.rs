//! One record through decoding, the process table and the rules: the hot path, live and in replay.
//!
//! Synchronous and free of I/O, logging and waiting. Everything it touches was prepared beforehand.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::IntCounter;
use uuid::Uuid;

use super::{held::Held, limit::Bucket, ties::Ties};
use crate::{
    config::RateLimit,
    decode::decode,
    detection::{Detection, PLATFORM_TENANT},
    enrich::{
        EnrichStats, Enricher, cgroup::Place, seed::boot_time_ns, snapshot::Snapshot, table::TableStats,
    },
    event::Event,
    fields::{FieldArg, FieldId, FieldRef, Source, Subject, Value, scheme},
    metrics::{EngineCounters, Metrics, Tally},
    rules::{Priority, Rule, RuleSet, Scratch},
};

/// Processes looked up at once when there are no events.
const MAX_LOOKUPS: usize = 16;
/// Smaller changes of the clock are measurement and slewing, not a step.
const CLOCK_STEP_NS: u64 = 10_000_000;

/// A rule set in use, with what belongs to each of its rules.
#[derive(Debug)]
pub struct Active {
    set: Arc<RuleSet>,
    /// By rule id.
    rules: Vec<RuleState>,
    tallies: Arc<[RuleTally]>,
    /// A condition or an output uses what whoever runs a container knows of it.
    uses_metadata: bool,
}

#[derive(Clone, Debug)]
struct RuleState {
    name: Arc<str>,
    priority: Priority,
    source: &'static str,
    tags: Arc<[String]>,
    /// `None`: the rule is disabled, and nothing is exported for it.
    detections: Option<IntCounter>,
    bucket: Bucket,
}

/// What a thread brings to [`Active::apply`].
#[derive(Debug)]
pub(super) struct Matching<'a> {
    pub scratch: &'a mut Scratch,
    pub limit: &'a RateLimit,
    /// The clock of the rate limits, which never goes back.
    pub now_ns: u64,
    /// `evt.rawtime`.
    pub time: &'a FieldRef,
    pub detections: &'a Tally,
    pub suppressed: &'a Tally,
    pub queue_full: &'a Tally,
}

/// How many detections of a rule its limit held back since the rule set came into use.
#[derive(Debug)]
pub struct RuleTally {
    pub rule: Arc<str>,
    pub suppressed: Tally,
}

impl Active {
    /// Looks everything up that the hot path will need; exports the counter of each enabled rule.
    pub fn new(set: RuleSet, metrics: &Metrics, limit: &RateLimit) -> Active {
        let rules: Vec<_> = set
            .rules()
            .iter()
            .map(|rule| {
                let (priority, source) = (rule.priority, rule.source.name());
                RuleState {
                    name: rule.name.as_str().into(),
                    priority,
                    source,
                    tags: rule.tags.as_slice().into(),
                    detections: rule
                        .enabled
                        .then(|| metrics.detections_of(PLATFORM_TENANT, &rule.name, priority.name(), source)),
                    bucket: Bucket::new(limit),
                }
            })
            .collect();
        let tallies = rules
            .iter()
            .map(|rule| RuleTally { rule: Arc::clone(&rule.name), suppressed: Tally::default() })
            .collect();
        let mut fields = set.requirements().types.values().flatten();
        let uses_metadata = fields.any(|field| scheme().is_metadata(field));
        Active { set: Arc::new(set), rules, tallies, uses_metadata }
    }

    /// The same rules for another thread. Tallies have one writer all the same: a rule has one source, and a source
    /// one thread.
    pub fn twin(&self) -> Active {
        let Active { set, rules, tallies, uses_metadata } = self;
        Active {
            set: Arc::clone(set),
            rules: rules.clone(),
            tallies: Arc::clone(tallies),
            uses_metadata: *uses_metadata,
        }
    }

    /// Evaluates the rules of an event's source. Returns whether one matched.
    pub(super) fn apply<S: Subject>(
        &mut self,
        subject: &S,
        matching: Matching<'_>,
        emit: &mut impl FnMut(Detection) -> bool,
    ) -> bool {
        let Matching { scratch, limit, now_ns, time, detections, suppressed, queue_full } = matching;
        let mut matched = false;
        let Active { set, rules, tallies, uses_metadata: _ } = self;
        set.evaluate(subject, scratch, |rule| {
            matched = true;
            let (Some(state), Some(tally)) = (rules.get_mut(rule.id), tallies.get(rule.id)) else { return };
            if let Some(counter) = &state.detections {
                counter.inc();
            }
            detections.add(1);
            if !state.bucket.take(limit, now_ns) {
                suppressed.add(1);
                tally.suppressed.add(1);
            } else if !emit(detection(rule, state, subject, time)) {
                queue_full.add(1);
            }
        });
        matched
    }

    pub fn tallies(&self) -> Arc<[RuleTally]> {
        Arc::clone(&self.tallies)
    }

    /// Goes on with the limits of the rules that were in `old` too: a reload must not open the gates.
    pub(super) fn inherit(&mut self, old: &Active) {
        let buckets: rustc_hash::FxHashMap<&str, &Bucket> =
            old.rules.iter().map(|rule| (&*rule.name, &rule.bucket)).collect();
        for rule in &mut self.rules {
            if let Some(bucket) = buckets.get(&*rule.name) {
                rule.bucket = (*bucket).clone();
            }
        }
    }
}

/// The state of the hot path.
#[derive(Debug)]
pub struct Engine {
    enricher: Enricher,
    scratch: Scratch,
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
            scratch: Scratch::default(),
            active: Box::new(active),
            limit,
            held: Held::new(patience, Arc::clone(&counters.held)),
            counters,
            time,
            ties: None,
            problem: Arc::default(),
            boot_time_ns,
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
        if let Some(slot) = self.enricher.unsettled(&event).filter(|_| self.active.uses_metadata) {
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
        let matched = active.apply(&view, matching, &mut |mut detection| {
            if let Some(ties) = ties {
                ties.tie(&view, &mut detection);
            }
            emit(detection)
        });
        enricher.settle(event);
        // Last, so that an event has an outcome or is found to have none.
        if matched { &counters.matched } else { &counters.unmatched }.add(1);
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

/// `evt.rawtime`, which every source has.
pub(super) fn time_field() -> FieldRef {
    // In the scheme: a test asserts it. An unknown field would be absent, and the time 0.
    scheme()
        .resolve(Source::Syscall, "evt.rawtime", None)
        .unwrap_or(FieldRef { id: FieldId(u16::MAX), arg: FieldArg::None })
}

fn detection(rule: &Rule, state: &RuleState, subject: &impl Subject, time: &FieldRef) -> Detection {
    let time_ns = match subject.get(time) {
        Some(Value::AbsTime(ns) | Value::Uint(ns)) => ns,
        _ => 0,
    };
    let rendered = rule.output.render(subject);
    Detection {
        time_ns,
        rule: Arc::clone(&state.name),
        priority: state.priority,
        source: state.source,
        tags: Arc::clone(&state.tags),
        message: rendered.text,
        output_fields: rendered.fields,
        incomplete_fields: rendered.incomplete,
        uuid: Uuid::new_v4(),
        tenant: PLATFORM_TENANT,
        correlation: None,
    }
}

#[cfg(test)]
mod tests;
