// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! System calls about names: what the caller passed, and the directory that a relative name starts from.
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use exporter_common::{event_type::EventType, record::SectionKind};

use crate::{
    capture,
    context::{self, Event},
    files, path, record,
};

/// `dirfd` for "the working directory".
pub const AT_FDCWD: u64 = -100i32 as u32 as u64;

/// Appends a path argument, and if it is relative the path of its directory.
#[inline(always)]
pub fn put(event: &Event, kind: SectionKind, address: u64, dir_kind: SectionKind, dirfd: u64) {
    put_name(event.s, event.task, kind as u32 | (dir_kind as u32) << 16, address, dirfd);
}

#[inline(never)]
fn put_name(s: *mut crate::maps::Scratch, task: crate::memory::Ptr, kinds: u32, address: u64, dirfd: u64) {
    record::put_user_string(s, kinds & 0xffff, address);
    // SAFETY: `s` is this CPU's scratch memory.
    if unsafe { core::ptr::read_volatile(&raw const (*s).first_byte) } == u64::from(b'/') {
        return;
    }
    if dirfd & 0xffff_ffff == AT_FDCWD {
        path::put_cwd(s, task, kinds >> 16);
    } else {
        path::put_file(s, kinds >> 16, files::of_descriptor(task, dirfd));
    }
}

/// unlink, unlinkat, mkdir, mkdirat, rmdir, chmod, fchmodat, fchmodat2.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_one_path(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    let at = event.is(EventType::Unlinkat)
        || event.is(EventType::Mkdirat)
        || event.is(EventType::Fchmodat)
        || event.is(EventType::Fchmodat2);
    let (dirfd, address) = if at { (event.arg(0), event.arg(1)) } else { (AT_FDCWD, event.arg(0)) };
    put(&event, SectionKind::PathArg, address, SectionKind::Dir, dirfd);
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

/// link, linkat, rename, renameat, renameat2.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_two_paths(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    let at = !event.is(EventType::Link) && !event.is(EventType::Rename);
    let (dirfd, address, dirfd2, address2) = if at {
        (event.arg(0), event.arg(1), event.arg(2), event.arg(3))
    } else {
        (AT_FDCWD, event.arg(0), AT_FDCWD, event.arg(1))
    };
    put(&event, SectionKind::PathArg, address, SectionKind::Dir, dirfd);
    put(&event, SectionKind::Path2Arg, address2, SectionKind::Dir2, dirfd2);
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

/// symlink, symlinkat. The target is text and no path of the caller's: it has no directory.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_symlink(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    let (dirfd, address) =
        if event.is(EventType::Symlinkat) { (event.arg(1), event.arg(2)) } else { (AT_FDCWD, event.arg(1)) };
    record::put_user_string(event.s, SectionKind::PathArg as u32, event.arg(0));
    put(&event, SectionKind::Path2Arg, address, SectionKind::Dir2, dirfd);
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

/// mount (source, target, type), umount2 (target). A source is text that a file system reads as it likes.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_mount(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    if event.is(EventType::Mount) {
        if event.arg(0) != 0 {
            record::put_user_string(event.s, SectionKind::PathArg as u32, event.arg(0));
        }
        put(&event, SectionKind::Path2Arg, event.arg(1), SectionKind::Dir2, AT_FDCWD);
        if event.arg(2) != 0 {
            record::put_user_string(event.s, SectionKind::Text as u32, event.arg(2));
        }
    } else {
        put(&event, SectionKind::PathArg, event.arg(0), SectionKind::Dir, AT_FDCWD);
    }
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}
