// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! The open family and dup, and what they share: from a descriptor to its file, and a file's facts.
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use exporter_common::{
    event_type::EventType,
    record::{
        FILE_CREATED, FILE_LOWER_LAYER, FILE_MEMFD, FILE_UPPER_LAYER, FILE_WRITABLE, FileInfo, OpenHow,
        SectionKind,
    },
};

use crate::{
    capture, context,
    filter::Pending,
    maps::{PATH_END, Scratch},
    memory::{Ptr, fetch, mask, probe},
    names,
    offsets::{fact, has, load, load_ptr, member, probe},
    path, record, socket,
};

/// The kernel keeps a flag above the nanoseconds (`I_CTIME_QUERIED`, since 6.13).
const NSEC_MASK: u32 = 0x3fff_ffff;
const FMODE_CREATED: u32 = 0x10_0000;
const OVERLAYFS: u64 = 0x794c_7630;
const CAP_DAC_OVERRIDE: u64 = 1 << 1;
/// Supplementary groups that are looked at.
const MAX_GROUPS: u32 = 64;

/// Address of the `struct file` behind a descriptor of the task, 0 if there is none.
#[inline(never)]
pub fn of_descriptor(task: Ptr, fd: u64) -> u64 {
    let files = load_ptr!(task, OFF_TASK_FILES);
    if files.is_null() {
        return 0;
    }
    let table = load_ptr!(files, OFF_FILES_FDT);
    let fd = fd & 0xffff_ffff;
    if fd >= u64::from(load!(u32, table, OFF_FDTABLE_MAX_FDS)) {
        return 0;
    }
    probe::<u64>(load!(u64, table, OFF_FDTABLE_FD).wrapping_add(fd * 8))
}

/// Appends the path and the facts of a file.
#[inline(never)]
pub fn put_path_and_info(s: *mut Scratch, task: Ptr, file: u64, fd: u32) {
    if file == 0 {
        return;
    }
    path::put_file(s, SectionKind::Path as u32, file);
    put_info(s, task, file, fd);
}

/// Appends [`FileInfo`]. Call it after the file's own path was resolved, which tells a memfd, and leaves the
/// file's first bytes.
#[inline(never)]
fn put_info(s: *mut Scratch, task: Ptr, file: u64, fd: u32) {
    // SAFETY: `s` is this CPU's scratch memory.
    let inode = unsafe {
        let inode = member!(u64, &raw const (*s).file, file, OFF_FILE_INODE);
        let i = &raw mut (*s).inode;
        fetch(i, inode);
        fetch(&raw mut (*s).sb, member!(u64, i, inode, OFF_INODE_SB));
        inode
    };
    let flags =
        if names_memfd(s) { FILE_MEMFD } else { 0 } | overlay_layer(s, inode) | writable(s, task, inode);
    // SAFETY: the section's own bytes, and this CPU's scratch memory.
    record::put_struct::<FileInfo>(s, SectionKind::File, |info| unsafe {
        let (f, i) = (&raw const (*s).file, &raw const (*s).inode);
        let (b, sb) = (&raw const (*s).sb, member!(u64, i, inode, OFF_INODE_SB));
        (*info).ino = member!(u64, i, inode, OFF_INODE_INO);
        (*info).dev = member!(u32, b, sb, OFF_SB_DEV);
        (*info).open_flags = member!(u32, f, file, OFF_FILE_FLAGS);
        (*info).mode = u32::from(member!(u16, i, inode, OFF_INODE_MODE));
        let created = member!(u32, f, file, OFF_FILE_MODE) & FMODE_CREATED != 0;
        (*info).flags = flags | if created { FILE_CREATED } else { 0 };
        (*info).uid = member!(u32, i, inode, OFF_INODE_UID);
        (*info).gid = member!(u32, i, inode, OFF_INODE_GID);
        (*info).ctime_ns = member!(u64, i, inode, OFF_INODE_CTIME_SEC) * 1_000_000_000
            + u64::from(member!(u32, i, inode, OFF_INODE_CTIME_NSEC) & NSEC_MASK);
        (*info).mtime_ns = member!(u64, i, inode, OFF_INODE_MTIME_SEC) * 1_000_000_000
            + u64::from(member!(u32, i, inode, OFF_INODE_MTIME_NSEC) & NSEC_MASK);
        (*info).fs_magic = member!(u64, b, sb, OFF_SB_MAGIC);
        (*info).fd = fd as i32;
        (*info).nlink = member!(u32, i, inode, OFF_INODE_NLINK);
    });
}

/// Whether the path that was just resolved is that of a memfd: `/memfd:` of a pseudo file.
#[inline(always)]
fn names_memfd(s: *mut Scratch) -> bool {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let start = mask::<{ PATH_END - 1 }>((*s).walk.start);
        let bytes = (&raw const (*s).path).cast::<u8>().add(start as usize);
        (*s).walk.pseudo != 0
            && bytes.cast::<u64>().read_unaligned() & 0xff_ffff_ffff_ffff == u64::from_le_bytes(*b"/memfd:\0")
    }
}

/// On which layer of an overlay file system the file is; 0 if it is on no overlay.
#[inline(always)]
fn overlay_layer(s: *mut Scratch, inode: u64) -> u32 {
    // SAFETY: `s` is this CPU's scratch memory.
    let magic = unsafe {
        let sb = member!(u64, &raw const (*s).inode, inode, OFF_INODE_SB);
        member!(u64, &raw const (*s).sb, sb, OFF_SB_MAGIC)
    };
    if !has!(SIZE_INODE) || magic != OVERLAYFS {
        return 0;
    }
    // `struct ovl_inode` ends its inode with `__upperdentry` (since 4.13). Overlay is a module, often
    // without BTF at hand, and the inode's size is all that is needed.
    if probe::<u64>(inode + fact!(SIZE_INODE) as u64) != 0 { FILE_UPPER_LAYER } else { FILE_LOWER_LAYER }
}

/// Whether the task may write to the file, by owner, group, mode and CAP_DAC_OVERRIDE.
#[inline(always)]
fn writable(s: *mut Scratch, task: Ptr, inode: u64) -> u32 {
    // SAFETY: `s` is this CPU's scratch memory.
    let i = unsafe { &raw const (*s).inode };
    let mode = u32::from(member!(u16, i, inode, OFF_INODE_MODE));
    let uid = member!(u32, i, inode, OFF_INODE_UID);
    let gid = member!(u32, i, inode, OFF_INODE_GID);
    let cred = load_ptr!(task, OFF_TASK_CRED);
    if u64::from(load!(u32, cred, OFF_CRED_CAP_EFFECTIVE)) & CAP_DAC_OVERRIDE != 0 {
        return FILE_WRITABLE;
    }
    let bit = if load!(u32, cred, OFF_CRED_FSUID) == uid {
        0o200
    } else if load!(u32, cred, OFF_CRED_FSGID) == gid || in_groups(s, cred as u64, gid) {
        0o020
    } else {
        0o002
    };
    if mode & bit != 0 { FILE_WRITABLE } else { 0 }
}

#[inline(never)]
fn in_groups(s: *mut Scratch, cred: u64, gid: u32) -> bool {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        (*s).cursor = probe!(u64, cred, OFF_CRED_GROUP_INFO);
        (*s).count = u64::from(probe!(u32, (*s).cursor, OFF_GROUP_INFO_NGROUPS));
        (*s).bytes = u64::from(gid);
        path::repeat(s, MAX_GROUPS, group);
        (*s).count == u64::MAX
    }
}

extern "C" fn group(index: u64, context: *mut path::LoopContext) -> i64 {
    // SAFETY: the loop's context, which holds this CPU's scratch memory.
    unsafe {
        let s = (*context).scratch;
        if (*s).count <= index {
            return 1;
        }
        let gid = probe::<u32>((*s).cursor + fact!(OFF_GROUP_INFO_GID) as u64 + index * 4);
        if u64::from(gid) == (*s).bytes {
            (*s).count = u64::MAX;
            return 1;
        }
    }
    0
}

/// open, openat, openat2, creat, open_by_handle_at.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_open(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_unfiltered(&ctx) else { return 0 };
    let s = event.s;
    let mut pending = Pending::of(&event);
    if pending.drops(&event) {
        return 0;
    }
    let file = if event.ret >= 0 { of_descriptor(event.task, event.ret as u64) } else { 0 };
    pending.open(&event, file);
    if pending.drops(&event) {
        return 0;
    }
    event.describe();
    put_path_and_info(s, event.task, file, event.ret as u32);
    if event.is(EventType::OpenByHandleAt) {
        // A handle is no name.
    } else if event.is(EventType::Open) || event.is(EventType::Creat) {
        names::put(&event, SectionKind::PathArg, event.arg(0), SectionKind::Dir, names::AT_FDCWD);
    } else {
        names::put(&event, SectionKind::PathArg, event.arg(1), SectionKind::Dir, event.arg(0));
    }
    if event.is(EventType::Openat2) {
        // A shorter one is refused by the kernel (EINVAL), a longer one has nothing that we know behind it.
        let size = size_of::<OpenHow>() as u64;
        if event.arg(3) >= size {
            record::put_user(s, SectionKind::OpenHow as u32, event.arg(2), size, size);
        }
    }
    capture::put_wanted(&event);
    context::submit(s);
    0
}

/// dup, dup2, dup3: the new descriptor's file or socket.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_dup(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_unfiltered(&ctx) else { return 0 };
    let mut pending = Pending::of(&event);
    pending.place(&event);
    if pending.drops(&event) {
        return 0;
    }
    let file = if event.ret >= 0 { of_descriptor(event.task, event.ret as u64) } else { 0 };
    let is_socket = socket::put_if_socket(event.s, file, event.ret as u32, 0);
    if is_socket {
        pending.socket(&event);
    } else if file != 0 {
        pending.file();
    }
    if pending.drops(&event) {
        return 0;
    }
    event.describe();
    if !is_socket {
        put_path_and_info(event.s, event.task, file, event.ret as u32);
    }
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

/// fchmod: the file behind the descriptor.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_fchmod(ctx: BtfTracePointContext) -> i32 {
    put_event_of_descriptor(&ctx)
}

/// setns: the file that names the namespace.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_setns(ctx: BtfTracePointContext) -> i32 {
    put_event_of_descriptor(&ctx)
}

#[inline(always)]
fn put_event_of_descriptor(ctx: &BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(ctx) else { return 0 };
    let fd = event.arg(0);
    put_path_and_info(event.s, event.task, of_descriptor(event.task, fd), fd as u32);
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}
