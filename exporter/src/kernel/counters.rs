//! What the kernel side counted, summed over the CPUs when asked.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aya::maps::{MapData, PerCpuArray};
use exporter_common::{
    counters::{GlobalCounter, TypeCounters},
    event_type::EventType,
};

use serde::Serialize;

use super::{
    KernelError,
    ring_pages::RingPages,
    runs::{AttachedPrograms, ProgramRuns},
    shortfall::Shortfall,
};

/// A handle on the kernel side's counters and on the fill of the ring. Cheap to clone; each question reads
/// the kernel's maps.
#[derive(Clone)]
pub struct Counters(Arc<Inner>);

struct Inner {
    types: PerCpuArray<MapData, TypeCounters>,
    global: PerCpuArray<MapData, u64>,
    pages: Arc<RingPages>,
    errors: Arc<RingErrors>,
    programs: Arc<AttachedPrograms>,
    shortfall: Arc<Shortfall>,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("ring", &self.ring()).finish_non_exhaustive()
    }
}

/// Fill and size of the ring buffer in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RingFill {
    pub used: u64,
    pub capacity: u64,
    /// Times that the reader met a record it could not delimit, and skipped to the end. Always 0 on a
    /// working kernel.
    pub corrupt: u64,
}

impl Counters {
    pub(super) fn new(
        types: PerCpuArray<MapData, TypeCounters>,
        global: PerCpuArray<MapData, u64>,
        pages: Arc<RingPages>,
        errors: Arc<RingErrors>,
        programs: Arc<AttachedPrograms>,
        shortfall: Arc<Shortfall>,
    ) -> Counters {
        Counters(Arc::new(Inner { types, global, pages, errors, programs, shortfall }))
    }

    /// The counters of one event type.
    pub fn of(&self, event_type: EventType) -> Result<TypeCounters, KernelError> {
        let per_cpu = self
            .0
            .types
            .get(&u32::from(event_type.id()), 0)
            .map_err(|source| KernelError::map("TYPE_COUNTERS", source))?;
        let mut sum = TypeCounters::default();
        for cpu in per_cpu.iter() {
            // Exhaustive, so that a new counter is summed too.
            let TypeCounters {
                seen,
                filtered,
                submitted,
                lost_ring_full,
                lost_scratch_busy,
                truncated,
                fault,
            } = cpu;
            sum.seen += seen;
            sum.filtered += filtered;
            sum.submitted += submitted;
            sum.lost_ring_full += lost_ring_full;
            sum.lost_scratch_busy += lost_scratch_busy;
            sum.truncated += truncated;
            sum.fault += fault;
        }
        Ok(sum)
    }

    /// A counter that belongs to no event type.
    pub fn global(&self, counter: GlobalCounter) -> Result<u64, KernelError> {
        let per_cpu = self
            .0
            .global
            .get(&(counter as u32), 0)
            .map_err(|source| KernelError::map("GLOBAL_COUNTERS", source))?;
        Ok(per_cpu.iter().sum())
    }

    /// What each program that has been attached has cost.
    pub fn programs(&self) -> Vec<(&'static str, ProgramRuns)> {
        self.0.programs.runs()
    }

    /// How much this kernel does not do of what is wanted, by kind.
    pub fn shortfall(&self) -> Vec<(&'static str, u64)> {
        self.0.shortfall.numbers()
    }

    /// How full the ring is now.
    pub fn ring(&self) -> RingFill {
        RingFill {
            used: self.0.pages.fill(),
            capacity: self.0.pages.capacity(),
            corrupt: self.0.errors.count(),
        }
    }
}

/// What went wrong on the reading side of the ring.
#[derive(Debug, Default)]
pub(super) struct RingErrors {
    corrupt: AtomicU64,
}

impl RingErrors {
    pub(super) fn corrupt(&self) {
        self.corrupt.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.corrupt.load(Ordering::Relaxed)
    }
}
