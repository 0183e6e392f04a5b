//! The loss ledger: what became of every event and of every detection.
//!
//! With nothing in flight, and exactly:
//!
//! ```text
//! seen       = filtered + matched + unmatched + lost
//! detections = delivered + suppressed + dropped
//! ```
//!
//! where `delivered` is to stdout. What the journal has taken of the detections is told to sinks, and for each sink:
//!
//! ```text
//! detections        = journaled + suppressed + dropped before the journal
//! resumed + spooled = sent + rejected + filtered + lost + unsent
//! ```
//!
//! where the `spooled` of all its tenants is `journaled`. Of the samples of remote-write:
//!
//! ```text
//! resumed + gathered = sent + rejected + dropped + pending
//! ```
//!
//! Unless `rule_matching` is `all` an event has at most one detection, so `detections = matched`.

use std::sync::Arc;

use exporter_common::{counters::TypeCounters, event_type::EventType};
use serde::Serialize;

use super::{
    JournalCounters, KubernetesCounters, LaneBalance, SinkMetrics, WriteBalance,
    counters::{AuditCounters, ContainerCounters, EngineCounters, RecordingCounters, SinkCounters},
};
use crate::kernel::ProgramRuns;

/// What the kernel side counted.
#[derive(Clone, Debug, Default)]
pub struct KernelNumbers {
    pub types: Vec<(EventType, TypeCounters)>,
    /// Events that were not handled at all.
    pub tail_call_failed: u64,
    /// System calls of the daemon itself, which are never reported.
    pub own_syscalls: u64,
    /// Requests to io_uring that completed when nothing was kept of them.
    pub uring_forgotten: u64,
    pub ring_used: u64,
    pub ring_capacity: u64,
    /// Times the ring's reader had to skip what it could not delimit.
    pub ring_corrupt: u64,
    /// What each program that has been attached has cost.
    pub programs: Vec<(&'static str, ProgramRuns)>,
    /// How much this kernel does not do of what is wanted, by kind.
    pub shortfall: Vec<(&'static str, u64)>,
}

impl KernelNumbers {
    pub(super) fn sum(&self, get: impl Fn(&TypeCounters) -> u64) -> u64 {
        self.types.iter().map(|(_, counters)| get(counters)).sum()
    }

    /// Records handed to the ring.
    pub fn submitted(&self) -> u64 {
        self.sum(|c| c.submitted)
    }
}

/// Where the kernel's numbers come from; `None` while they cannot be read.
pub type KernelSource = Arc<dyn Fn() -> Option<KernelNumbers> + Send + Sync>;

/// All counters of the daemon, for whoever reads them.
#[derive(Clone)]
pub struct Ledger {
    pub kernel: KernelSource,
    pub engine: Arc<EngineCounters>,
    pub audit: Arc<AuditCounters>,
    pub stdout: Arc<SinkCounters>,
    pub recording: Arc<RecordingCounters>,
    pub containers: Arc<ContainerCounters>,
    pub kubernetes: Arc<KubernetesCounters>,
    pub journal: Arc<JournalCounters>,
    pub sinks: SinkMetrics,
}

impl Ledger {
    /// All at 0. Errors: none that can happen with names that are constants.
    pub fn new(kernel: KernelSource) -> prometheus::Result<Ledger> {
        Ok(Ledger {
            kernel,
            engine: Arc::default(),
            audit: Arc::default(),
            stdout: Arc::default(),
            recording: Arc::default(),
            containers: Arc::default(),
            kubernetes: Arc::default(),
            journal: Arc::new(JournalCounters::new()?),
            sinks: SinkMetrics::default(),
        })
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// The ledger at one moment, in the form printed when the daemon ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    pub seen: u64,
    pub filtered: u64,
    pub matched: u64,
    pub unmatched: u64,
    pub lost: u64,
    pub lost_by: LostBy,
    pub detections: u64,
    pub delivered: u64,
    pub suppressed: u64,
    pub dropped: u64,
    /// Detections that the journal has taken.
    pub journaled: u64,
    /// By sink and tenant, what became of these.
    pub sinks: Vec<LaneBalance>,
    /// By sink and tenant, what became of the samples that were gathered for it.
    pub remote_write: Vec<WriteBalance>,
}

/// `lost` by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LostBy {
    pub ring_full: u64,
    pub scratch_busy: u64,
    pub tail_call_failed: u64,
    pub invalid: u64,
    pub panicked: u64,
    /// Left in the ring, or in the queue of audit events, when the daemon ended.
    pub undrained: u64,
}

impl Ledger {
    /// The balance once the hot path and the sinks have ended: what is still in flight is lost.
    pub fn close(&self) -> Balance {
        let kernel = (self.kernel)().unwrap_or_default();
        let (engine, audit) = (&*self.engine, &*self.audit);
        let matched = engine.matched.get() + audit.matched.get();
        let unmatched = engine.unmatched.get() + audit.unmatched.get();
        let audit_undrained = audit.all_accepted().saturating_sub(audit.all_received());
        let lost_by = LostBy {
            ring_full: kernel.sum(|c| c.lost_ring_full),
            scratch_busy: kernel.sum(|c| c.lost_scratch_busy),
            tail_call_failed: kernel.tail_call_failed,
            invalid: engine.invalid.get() + audit.invalid.get(),
            panicked: engine.panicked.get() + audit.panicked.get(),
            undrained: kernel.submitted().saturating_sub(engine.records()) + audit_undrained,
        };
        let LostBy { ring_full, scratch_busy, tail_call_failed, invalid, panicked, undrained } = lost_by;
        let detections = engine.detections.get() + audit.detections.get();
        let suppressed = engine.suppressed.get() + audit.suppressed.get();
        let delivered = self.stdout.delivered.get();
        Balance {
            seen: kernel.sum(|c| c.seen) + kernel.tail_call_failed + audit.all_accepted(),
            filtered: kernel.sum(|c| c.filtered),
            matched,
            unmatched,
            lost: ring_full + scratch_busy + tail_call_failed + invalid + panicked + undrained,
            lost_by,
            detections,
            delivered,
            suppressed,
            dropped: detections.saturating_sub(delivered + suppressed),
            journaled: self.journal.all_written(),
            sinks: self.sinks.balances(),
            remote_write: self.sinks.remote_write.balances(),
        }
    }
}
