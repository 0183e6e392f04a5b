// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! System calls whose arguments in the header say nearly all.
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use exporter_common::record::{CapSets, SectionKind};

use crate::{capture, context, record};

/// ptrace, setuid, unshare, bpf, userfaultfd, kill, prctl, io_uring_setup.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_plain(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

/// memfd_create: the name.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_memfd(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    record::put_user_string(event.s, SectionKind::PathArg as u32, event.arg(0));
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

/// capset: the sets that the task has now.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_capset(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    let header = event.header();
    // SAFETY: the record's header, which was just filled in, and the section.
    record::put_struct::<CapSets>(event.s, SectionKind::CapSets, |sets| unsafe {
        (*sets).effective = (*header).cap_effective;
        (*sets).permitted = (*header).cap_permitted;
        (*sets).inheritable = (*header).cap_inheritable;
    });
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}
