// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! From `sys_exit` to the program of the event type, and the system call's number and arguments.
//!
//! At `sys_exit` the registers still hold the arguments: the x86-64 system call ABI preserves all but rax, rcx
//! and r11, and the fourth argument is in r10.
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use exporter_common::{
    counters::GlobalCounter,
    event_type::{COMPAT_OFFSET, EventType, SYSCALL_TABLE_SIZE},
    object::SOCKETCALL_SLOT,
};

use crate::{
    maps::{self, PROGRAMS, SYSCALL_TYPES, Scratch},
    memory::{Ptr, current, probe_user},
    offsets::{fact, has, load},
};

/// `thread_info.status`: the system call came through the 32-bit entry.
const TS_COMPAT: u32 = 2;
/// Marks the numbers of the x32 ABI, which are otherwise those of the 64-bit table.
const X32_BIT: u32 = 0x4000_0000;

/// Which system call it is.
pub struct Call {
    pub number: u32,
    pub compat: bool,
}

impl Call {
    #[inline(always)]
    pub fn of(regs: Ptr, task: Ptr) -> Call {
        let number = load!(u64, regs, OFF_REGS_ORIG_AX) as u32;
        let compat = load!(u32, task, OFF_TASK_STATUS) & TS_COMPAT != 0;
        Call { number, compat }
    }

    /// Index in the tables of system calls; beyond them for a number that no table has.
    #[inline(always)]
    fn index(&self) -> u32 {
        let number = if self.compat { self.number } else { self.number & !X32_BIT };
        if number >= COMPAT_OFFSET {
            SYSCALL_TABLE_SIZE
        } else if self.compat {
            number + COMPAT_OFFSET
        } else {
            number
        }
    }
}

#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let regs: Ptr = ctx.arg(0);
    // Most system calls end here, so first what needs no helper: is the number off in both tables?
    let number = load!(u64, regs, OFF_REGS_ORIG_AX) as u32 & !X32_BIT;
    if number >= COMPAT_OFFSET || (slot(number) | slot(number + COMPAT_OFFSET)) == 0 {
        return 0;
    }
    let task = current();
    let slot = slot(Call::of(regs, task).index());
    if slot == 0 {
        return 0;
    }
    if load!(u32, task, OFF_TASK_TGID) as usize == fact!(SELF_TGID) {
        maps::count_global(GlobalCounter::OwnSyscall);
        return 0;
    }
    // SAFETY: the programs in the array are of the same type and tracepoint.
    unsafe { PROGRAMS.tail_call(&ctx, slot) };
    maps::count_global(GlobalCounter::TailCallFailed);
    0
}

/// What is in the table at this index.
#[inline(always)]
fn slot(index: u32) -> u32 {
    SYSCALL_TYPES.get(index).copied().unwrap_or(0)
}

/// ia32 `socketcall(call, args)`: on to the program of the call's own event type.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_socketcall(ctx: BtfTracePointContext) -> i32 {
    let event_type = socketcall_type(ctx.arg(0));
    if event_type != 0 {
        // SAFETY: as above. A type that is off has an empty slot or says so in its configuration.
        unsafe { PROGRAMS.tail_call(&ctx, event_type) };
    }
    0
}

#[inline(always)]
fn socketcall_type(regs: Ptr) -> u32 {
    let event_type = match load!(u64, regs, OFF_REGS_BX) as u32 {
        1 => EventType::Socket,
        2 => EventType::Bind,
        3 => EventType::Connect,
        4 => EventType::Listen,
        5 => EventType::Accept,
        9 | 11 => EventType::Sendto,
        10 | 12 => EventType::Recvfrom,
        16 => EventType::Sendmsg,
        17 => EventType::Recvmsg,
        18 => EventType::Accept4,
        _ => return 0,
    };
    event_type as u32
}

/// The event type of the call, also behind `socketcall`.
#[inline(always)]
pub fn event_type(call: &Call, regs: Ptr) -> u32 {
    match slot(call.index()) {
        SOCKETCALL_SLOT => socketcall_type(regs),
        slot => slot,
    }
}

/// Writes the six arguments to the scratch memory.
#[inline(always)]
pub fn put_arguments(s: *mut Scratch, call: &Call, regs: Ptr) {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        (*s).compat = u64::from(call.compat);
        let args = &raw mut (*s).args;
        if !call.compat {
            (*args)[0] = load!(u64, regs, OFF_REGS_DI);
            (*args)[1] = load!(u64, regs, OFF_REGS_SI);
            (*args)[2] = load!(u64, regs, OFF_REGS_DX);
            (*args)[3] = load!(u64, regs, OFF_REGS_R10);
            (*args)[4] = load!(u64, regs, OFF_REGS_R8);
            (*args)[5] = load!(u64, regs, OFF_REGS_R9);
        } else if slot(call.index()) == SOCKETCALL_SLOT {
            put_socketcall_arguments(s, regs);
        } else {
            (*args)[0] = load!(u64, regs, OFF_REGS_BX) & 0xffff_ffff;
            (*args)[1] = load!(u64, regs, OFF_REGS_CX) & 0xffff_ffff;
            (*args)[2] = load!(u64, regs, OFF_REGS_DX) & 0xffff_ffff;
            (*args)[3] = load!(u64, regs, OFF_REGS_SI) & 0xffff_ffff;
            (*args)[4] = load!(u64, regs, OFF_REGS_DI) & 0xffff_ffff;
            (*args)[5] = load!(u64, regs, OFF_REGS_BP) & 0xffff_ffff;
        }
    }
}

/// The arguments of a socketcall: an array of 32-bit words in the caller's memory.
#[inline(always)]
fn put_socketcall_arguments(s: *mut Scratch, regs: Ptr) {
    let number = load!(u64, regs, OFF_REGS_BX) as u32;
    let array = load!(u64, regs, OFF_REGS_CX) & 0xffff_ffff;
    let words = probe_user::<[u32; 6]>(array).or_else(|| {
        // The array may end where the memory does: no call but sendto and recvfrom has more than four.
        let four = probe_user::<[u32; 4]>(array).or_else(|| {
            let two = probe_user::<[u32; 2]>(array)?;
            Some([two[0], two[1], 0, 0])
        })?;
        Some([four[0], four[1], four[2], four[3], 0, 0])
    });
    let mut words = words.unwrap_or_default();
    // send(2) and recv(2) have no address.
    if number == 9 || number == 10 {
        words[4] = 0;
        words[5] = 0;
    }
    for (i, word) in words.into_iter().enumerate() {
        // SAFETY: `s` is this CPU's scratch memory.
        unsafe { (*s).args[i] = u64::from(word) };
    }
}
