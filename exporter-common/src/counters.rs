//! What the kernel side counts, per event type and CPU.
//!
//! For every type and over any window in which nothing is in flight:
//! `seen = filtered + lost_ring_full + lost_scratch_busy + submitted`.

/// Value of the per-CPU counter map, indexed by event type id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeCounters {
    /// Events that an enabled type's hook began to handle.
    pub seen: u64,
    /// Dropped on purpose: no loaded rule can match.
    pub filtered: u64,
    /// Records handed to the ring buffer.
    pub submitted: u64,
    /// Lost: the ring buffer had no room.
    pub lost_ring_full: u64,
    /// Lost: the CPU's scratch buffer was in use by an interrupted program.
    pub lost_scratch_busy: u64,
    /// Not lost, but cut: a path, argument list or environment was longer than its bound.
    pub truncated: u64,
    /// Not lost, but incomplete: memory of the caller could not be read.
    pub fault: u64,
}

const _: () = assert!(size_of::<TypeCounters>() == 56);

/// Index of a slot in the per-CPU map of counters that belong to no event type.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalCounter {
    /// A tail call to a type's program failed: the event was not handled. A loss.
    TailCallFailed = 0,
    /// System calls by Yagura itself, which are never reported.
    OwnSyscall = 1,
    /// A request to io_uring completed of which nothing was kept, because too many were under way or it was
    /// submitted before the programs were attached: its event lacks what was asked for. Or its process ended
    /// before it was seen to complete: there is no event.
    UringForgotten = 2,
}

impl GlobalCounter {
    /// Number of slots.
    pub const SLOTS: u32 = 3;
}

#[cfg(feature = "user")]
// SAFETY: repr(C), only u64 fields, so no padding and every bit pattern is valid.
unsafe impl aya::Pod for TypeCounters {}
