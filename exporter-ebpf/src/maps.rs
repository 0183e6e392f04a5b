// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! The maps (their contract is `exporter_common::object`), and the scratch memory in which a record is built.
use aya_ebpf::{
    helpers::generated as bpf,
    macros::map,
    maps::{Array, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
};
use exporter_common::{
    counters::{GlobalCounter, TypeCounters},
    event_type::{EVENT_TYPE_SLOTS, SYSCALL_TABLE_SIZE},
    filter::{
        BANKS, Filter,
        keys::KEYS,
        paths::{Components, Walk as PathWalk},
    },
    object::MAX_CGROUPS,
    wants::TypeConfig,
};

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);
#[map]
pub static SYSCALL_TYPES: Array<u32> = Array::with_max_entries(SYSCALL_TABLE_SIZE, 0);
#[map]
pub static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(EVENT_TYPE_SLOTS, 0);
#[map]
pub static TYPE_CONFIG: Array<TypeConfig> = Array::with_max_entries(EVENT_TYPE_SLOTS, 0);
#[map]
pub static FILTERS: Array<Filter> = Array::with_max_entries(BANKS * EVENT_TYPE_SLOTS, 0);
#[map]
pub static FILTER_KEYS: Array<u64> = Array::with_max_entries(BANKS * KEYS, 0);
#[map]
pub static CGROUPS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(MAX_CGROUPS, 0);
#[map]
static TYPE_COUNTERS: PerCpuArray<TypeCounters> = PerCpuArray::with_max_entries(EVENT_TYPE_SLOTS, 0);
#[map]
static GLOBAL_COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(GlobalCounter::SLOTS, 0);
#[map]
pub static WAKE: Array<u32> = Array::with_max_entries(1, 0);
/// The loader sets the number of entries to that of the possible CPUs.
#[map]
static SCRATCH: Array<Scratch> = Array::with_max_entries(1, 0);

/// A record's next section begins below this offset: a mask, so that the verifier sees the bound.
pub const POSITION_MASK: u64 = 0x7fff;
/// A section's length is below this.
pub const LENGTH_MASK: u64 = 0x3fff;
/// Where a path ends in [`Scratch::path`].
pub const PATH_END: u64 = 4096;

/// Longest name that is kept inside of a dentry is shorter than this (32 bytes with its NUL, 40 since 6.14).
pub const SHORT: u64 = 40;

/// Where the parts of a path walk are kept between the calls of the loop's body.
#[repr(C)]
pub struct Walk {
    pub dentry: u64,
    /// `struct vfsmount` in which `dentry` is.
    pub vfsmnt: u64,
    /// `mnt_root` of `vfsmnt`.
    pub mnt_root: u64,
    pub root_dentry: u64,
    pub root_vfsmnt: u64,
    /// Offset in [`Scratch::path`] of the first byte found so far.
    pub start: u64,
    /// `SECTION_*` bits.
    pub flags: u32,
    pub pseudo: u32,
}

/// One CPU's working memory: far more than the 512 bytes of stack that a program has.
#[repr(C)]
pub struct Scratch {
    /// A record is being built. Nesting happens only where a tracepoint's program can be preempted.
    pub busy: u32,
    pub event_type: u32,
    pub cpu: u32,
    /// Of the system call, in the caller's table.
    pub number: u32,
    /// Length of the record so far; a multiple of 8.
    pub position: u64,
    pub truncated: u32,
    pub fault: u32,
    /// First byte of the string that was appended last, 256 if it was empty or could not be read.
    pub first_byte: u64,
    /// State of a loop: number of elements and bytes so far, address of the next.
    pub count: u64,
    pub bytes: u64,
    pub cursor: u64,
    pub compat: u64,
    pub args: [u64; 6],
    pub walk: Walk,
    /// Of a path that is filtered.
    pub components: Components,
    pub path_walk: PathWalk,
    /// Index in [`FILTERS`], and what keys begin with.
    pub filter: u64,
    pub bank: u64,
    /// The first bytes of kernel objects: as many as hold the members that we need on the kernels we know.
    pub file: [u64; 10],
    pub inode: [u64; 17],
    /// Up to and with a short name, which is inside.
    pub dentry: [u64; 12],
    pub mount: [u64; 5],
    pub sb: [u64; 13],
    pub sock: [u64; 11],
    pub name: [u8; 512],
    /// What a copy of [`SHORT`] bytes that end at the beginning of `path` overwrites.
    pub margin: [u8; SHORT as usize],
    /// A path is built backwards from [`PATH_END`]; the rest is room for one name more.
    pub path: [u8; PATH_END as usize + 512],
    pub record: [u64; (POSITION_MASK as usize + 1 + LENGTH_MASK as usize + 1 + 64) / 8],
}

/// This CPU's scratch memory.
#[inline(always)]
pub fn scratch() -> Option<*mut Scratch> {
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf::bpf_get_smp_processor_id() };
    let s = SCRATCH.get_ptr_mut(cpu)?;
    // SAFETY: a valid slot, which no other CPU uses.
    unsafe { (*s).cpu = cpu };
    Some(s)
}

/// This CPU's counters of an event type.
#[inline(always)]
pub fn counters(event_type: u32) -> Option<*mut TypeCounters> {
    TYPE_COUNTERS.get_ptr_mut(event_type)
}

/// Adds one to a counter of this CPU that belongs to no event type.
#[inline(always)]
pub fn count_global(counter: GlobalCounter) {
    if let Some(slot) = GLOBAL_COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: a valid slot of this CPU.
        unsafe { *slot += 1 };
    }
}
