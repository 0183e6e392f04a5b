// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! Reading memory, and the arithmetic that the verifier must be able to follow.
use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated as bpf;

/// A pointer of which the verifier knows the type.
pub type Ptr = *const u8;

/// The running task, as a pointer whose type the verifier knows.
#[inline(always)]
pub fn current() -> Ptr {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf::bpf_get_current_task_btf() as Ptr }
}

/// Loads from where the verifier knows what is there: it checks the access, and makes one through a pointer
/// into the kernel survive a bad address, which then reads as zero. Volatile: the compiler may not assume
/// that two loads give the same, nor drop or widen one.
#[inline(always)]
pub fn load<T>(base: Ptr, offset: usize) -> T {
    // SAFETY: checked by the verifier, as said above: a program with a bad access does not load.
    unsafe { core::ptr::read_volatile(base.add(offset).cast::<T>()) }
}

/// Reads a value of kernel memory; zero on a fault.
#[inline(always)]
pub fn probe<T: Copy + Default>(address: u64) -> T {
    let mut value = T::default();
    // SAFETY: `value` is writable for its size; the helper survives any source address, and zeroes on a fault.
    unsafe {
        bpf::bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, address as *const c_void)
    };
    value
}

/// Reads a value of the caller's memory.
#[inline(always)]
pub fn probe_user<T: Copy + Default>(address: u64) -> Option<T> {
    let mut value = T::default();
    // SAFETY: as in `probe`.
    let failed = unsafe {
        bpf::bpf_probe_read_user((&raw mut value).cast(), size_of::<T>() as u32, address as *const c_void)
    };
    (failed == 0).then_some(value)
}

/// Fetches the first bytes of a kernel object by one helper call, where several members are needed.
#[inline(always)]
pub fn fetch<const N: usize>(chunk: *mut [u64; N], address: u64) -> bool {
    copy_kernel(chunk.cast(), size_of::<[u64; N]>() as u64, address)
}

/// A member of an object of which the first bytes were fetched. If it lies beyond them it is read by itself;
/// which one is a constant for the verifier.
#[inline(always)]
pub fn member<T: Copy + Default, const N: usize>(chunk: *const [u64; N], address: u64, offset: usize) -> T {
    if offset + size_of::<T>() <= size_of::<[u64; N]>() {
        load::<T>(chunk.cast(), offset)
    } else {
        probe::<T>(address + offset as u64)
    }
}

/// Copies kernel memory; whether it could be read. `len` must be bounded for the verifier.
#[inline(always)]
pub fn copy_kernel(to: *mut u8, len: u64, from: u64) -> bool {
    // SAFETY: the verifier checks `to` and `len`; the helper survives any source address.
    unsafe { bpf::bpf_probe_read_kernel(to.cast(), len as u32, from as *const c_void) == 0 }
}

/// Copies the caller's memory; whether it could be read. `len` must be bounded for the verifier.
#[inline(always)]
pub fn copy_user(to: *mut u8, len: u64, from: u64) -> bool {
    // SAFETY: as in `copy_kernel`.
    unsafe { bpf::bpf_probe_read_user(to.cast(), len as u32, from as *const c_void) == 0 }
}

/// `value & MASK` in one instruction that the compiler can neither move nor prove superfluous: the verifier
/// needs it to bound an offset, whatever the compiler knows.
#[inline(always)]
pub fn mask<const MASK: u64>(value: u64) -> u64 {
    let mut out = value;
    // SAFETY: only arithmetic on the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) out, const MASK, options(pure, nomem, nostack)) };
    out
}

/// `min(value, MAX)`, likewise opaque to the compiler.
#[inline(always)]
pub fn at_most<const MAX: u64>(value: u64) -> u64 {
    let mut out = value;
    // SAFETY: only arithmetic on the operand; the branch skips the assignment.
    unsafe {
        asm!("if {0} < {1} goto +1", "{0} = {1}", inout(reg) out, const MAX, options(pure, nomem, nostack))
    };
    out
}
