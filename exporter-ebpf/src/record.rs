// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! Writing the sections of a record into the scratch memory.
//!
//! A section's data is written at [`data`] first, then [`finish`] writes its header and moves on. The position
//! is kept in memory and masked at each use: the verifier then knows nothing but its bound, and need not tell
//! apart the ways by which a program got here.
use core::ffi::c_void;

use aya_ebpf::helpers::generated as bpf;
use exporter_common::record::{
    MAX_ANCESTORS, MAX_ARGV, MAX_ENVP, MAX_PATH, SECTION_TRUNCATED, SectionHeader, SectionKind,
};

use crate::{
    maps::{LENGTH_MASK, POSITION_MASK, Scratch},
    memory::{at_most, copy_kernel, copy_user, mask},
};

// The longest record is that of an exec; its last section must begin below the mask.
const _: () = assert!(
    256 + 4 * (MAX_PATH + 16) + MAX_ARGV + MAX_ENVP + 16 * MAX_ANCESTORS + 512
        < POSITION_MASK as usize + MAX_PATH
);
const _: () = assert!(MAX_ARGV <= 0x2000 && MAX_ENVP <= 0x2000);

/// Where the next section begins.
#[inline(always)]
fn section(s: *mut Scratch) -> *mut u8 {
    // SAFETY: the mask keeps the offset within the array.
    unsafe { (&raw mut (*s).record).cast::<u8>().add(mask::<POSITION_MASK>((*s).position) as usize) }
}

/// Where the next section's data goes; `LENGTH_MASK` bytes and more can be written there.
#[inline(always)]
pub fn data(s: *mut Scratch) -> *mut u8 {
    // SAFETY: the array is longer than POSITION_MASK + LENGTH_MASK + 64.
    unsafe { section(s).add(size_of::<SectionHeader>()) }
}

/// Completes a section of which `len` bytes are at [`data`].
#[inline(never)]
pub fn finish(s: *mut Scratch, kind: u32, flags: u32, len: u64) {
    let len = mask::<LENGTH_MASK>(len);
    let at = section(s);
    // SAFETY: in bounds by the masks, see `data`.
    unsafe {
        *at.cast::<u64>() = u64::from(kind & 0xffff) | u64::from(flags & 0xffff) << 16 | len << 32;
        // Zero what follows the data up to a multiple of 8: it would be bytes of an earlier record.
        let tail =
            at.add(size_of::<SectionHeader>()).add(mask::<{ LENGTH_MASK & !7 }>(len) as usize).cast::<u64>();
        let keep = (len & 7) * 8;
        *tail &= (1u64 << keep) - 1;
        (*s).position += size_of::<SectionHeader>() as u64 + ((len + 7) & !7);
        // Data is cut at a bound that was asked for.
        if flags & u32::from(SECTION_TRUNCATED) != 0 && kind != SectionKind::Data as u32 {
            (*s).truncated = 1;
        }
    }
}

/// Appends up to `LENGTH_MASK` bytes of kernel memory.
#[inline(never)]
pub fn put_kernel(s: *mut Scratch, kind: u32, flags: u32, from: u64, len: u64) {
    let len = mask::<LENGTH_MASK>(len);
    if copy_kernel(data(s), len, from) {
        finish(s, kind, flags, len);
    }
}

/// Appends up to `max` (at most 8192) bytes of the caller's memory. A longer range is cut and marked so.
#[inline(never)]
pub fn put_user(s: *mut Scratch, kind: u32, from: u64, len: u64, max: u64) {
    let mut keep = len;
    let mut flags = 0;
    if keep > max {
        keep = max;
        flags = u32::from(SECTION_TRUNCATED);
    }
    // The mask is for Linux 6.1, whose verifier goes on from a comparison that cannot be (a length that is negative and
    // small at once) with bounds that contradict each other.
    let keep = mask::<0x3fff>(at_most::<0x2000>(keep));
    if copy_user(data(s), keep, from) {
        finish(s, kind, flags, keep);
    } else {
        fault(s);
    }
}

/// Appends a NUL-terminated string of the caller's memory without the NUL, and notes its first byte.
/// (In memory: a returned value would make the verifier tell the cases apart in all that follows.)
#[inline(never)]
pub fn put_user_string(s: *mut Scratch, kind: u32, from: u64) {
    let to = data(s);
    // SAFETY: the verifier checks the destination; the helper survives any source address.
    let n = unsafe { bpf::bpf_probe_read_user_str(to.cast(), MAX_PATH as u32 + 1, from as *const c_void) };
    if n <= 0 {
        fault(s);
        // SAFETY: `s` is this CPU's scratch memory.
        unsafe { (*s).first_byte = 256 };
        return;
    }
    // A string that fills the buffer was cut. (The kernel refuses a path longer than PATH_MAX.)
    let flags = if n > MAX_PATH as i64 { u32::from(SECTION_TRUNCATED) } else { 0 };
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe { (*s).first_byte = if n == 1 { 256 } else { u64::from(*to) } };
    finish(s, kind, flags, n as u64 - 1);
}

/// Appends a NUL-terminated string of kernel memory without the NUL.
#[inline(never)]
pub fn put_kernel_string(s: *mut Scratch, kind: u32, from: u64) {
    // SAFETY: as in `put_user_string`.
    let n = unsafe { bpf::bpf_probe_read_kernel_str(data(s).cast(), MAX_PATH as u32, from as *const c_void) };
    if n > 0 {
        finish(s, kind, 0, n as u64 - 1);
    }
}

/// Appends a struct, filled in place by `fill`. It is zeroed first.
#[inline(always)]
pub fn put_struct<T>(s: *mut Scratch, kind: SectionKind, fill: impl FnOnce(*mut T)) {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    let at = data(s).cast::<T>();
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: in bounds, see `data`; volatile so that it does not become a call of memset.
        unsafe { at.cast::<u64>().add(word).write_volatile(0) };
    }
    fill(at);
    finish(s, kind as u32, 0, size_of::<T>() as u64);
}

/// Some memory of the caller could not be read.
#[inline(always)]
pub fn fault(s: *mut Scratch) {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe { (*s).fault = 1 };
}
