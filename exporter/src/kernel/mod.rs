//! The user side of the eBPF programs: loads them with this kernel's offsets, attaches what the rules need,
//! reads the event ring and the counters, and reports what the kernel offers.
//!
//! ```text
//! /sys/kernel/btf/vmlinux ─ btf ─ facts ─┐
//! kernel object ─────────────────────── load ─ Kernel ─ apply(Plan)      attach, detach, enable
//!                                              ├─ take_ring() → Ring      drain and wait, the hot thread's
//!                                              ├─ counters()  → Counters  for /metrics, any thread
//!                                              └─ report()    → Report    for doctor
//! ```
//!
//! It never interprets a record (that is `decode`), and it has no means to alter a task: the object holds
//! `tp_btf` programs only, whose return value the kernel ignores, and no helper that signals, overrides or
//! writes to user memory. The test `notify_only` reads the object and the loaded programs and fails
//! otherwise. This module is the only one of the crate with `unsafe` code, and that is in `ring_pages` and
//! `heap`.

mod btf;
mod counters;
mod error;
mod facts;
mod filters;
mod heap;
mod hooks;
mod host;
mod load;
mod object;
mod pace;
mod places;
mod plan;
mod report;
mod ring;
mod ring_pages;
mod runs;
mod shortfall;

#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod notify_only;

pub use counters::{Counters, RingFill};
pub use error::KernelError;
pub use facts::MissingFact;
pub use filters::{FilterTables, Keys, component_of};
pub use heap::release_freed_memory;
pub use host::{Answer, Facility, Host};
pub use load::Kernel;
pub use places::KernelPlaces;
pub use plan::Plan;
pub use report::{ProgramReport, Report, TypeReport, chain};
pub use ring::{Ring, Waker};
pub use runs::ProgramRuns;

/// Size of the event ring unless told otherwise. At 350 bytes a record and a million events a second it
/// holds 24 ms, which is what the hot thread may be off the CPU without a loss.
pub const DEFAULT_RING_BYTES: u32 = 8 * 1024 * 1024;
/// Smallest ring: four records of the largest kind.
pub const MIN_RING_BYTES: u32 = 256 * 1024;
/// Largest ring.
pub const MAX_RING_BYTES: u32 = 1024 * 1024 * 1024;

/// How to load the kernel side.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    /// Size of the event ring in bytes, rounded up to a power of two between [`MIN_RING_BYTES`] and
    /// [`MAX_RING_BYTES`]; [`DEFAULT_RING_BYTES`] if not given.
    pub ring_bytes: Option<u32>,
    /// Process whose own system calls are not reported: this one if not given. Tests give another, to see
    /// what they do themselves.
    pub self_tgid: Option<u32>,
    /// Load every program at once, also those that no plan wants: to find out what this kernel accepts.
    pub load_all: bool,
}

impl KernelOptions {
    fn ring_bytes(&self) -> u32 {
        self.ring_bytes
            .unwrap_or(DEFAULT_RING_BYTES)
            .clamp(MIN_RING_BYTES, MAX_RING_BYTES)
            .next_power_of_two()
    }

    /// From this fill on the kernel side wakes the reader with every record. Only small rings need that:
    /// a large one does not fill while the reader naps, and a reader that is behind is awake already.
    fn wake_bytes(&self) -> u32 {
        match self.ring_bytes() {
            small @ ..4_194_304 => small / 2,
            _ => u32::MAX,
        }
    }
}
