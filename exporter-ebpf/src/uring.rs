// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! Opens and connects that are submitted by io_uring, which `sys_exit` never sees: they become the events that the
//! system calls make.
//!
//! A request's arguments are kept when it is submitted: the kernel frees the name before the request completes. It
//! is reported at the first of these moments:
//! - the thread submits its next request, leaves `io_uring_enter` or has run what workers left to it, and the open
//!   is done. (A completion may come much later, when the descriptor names another file already; and none comes for
//!   a success of which the submitter wants none, nor when the completion queue is full.)
//! - it completes;
//! - its memory is used for another request.
//!
//! Of a success that the submitter wants no completion of, none of these may come. So such a request is reported as
//! if it succeeded when its thread goes on, and again if its result is seen.
//!
//! Never reads the shared rings, which the workload can change at any time.
use aya_ebpf::{
    helpers::generated as bpf,
    macros::{btf_tracepoint, map},
    maps::LruHashMap,
    programs::BtfTracePointContext,
};
use exporter_common::{
    counters::GlobalCounter,
    event_type::EventType,
    object::MAX_URING_REQUESTS,
    record::{MAX_PATH, MAX_SOCKADDR, OpenHow, RECORD_IO_URING, SectionKind},
};

use crate::{
    capture, context, files,
    filter::Pending,
    maps::{self, Scratch},
    memory::{Ptr, at_most, copy_user, current, mask},
    names,
    offsets::{fact, has, load, load_ptr, probe},
    path, record, socket,
};

const OP_CONNECT: u8 = 16;
const OP_OPENAT: u8 = 18;
const OP_OPENAT2: u8 = 28;
/// The kernel adds it to every open by a 64-bit task.
const O_LARGEFILE: u64 = 0o100_000;
/// The task is a worker of io_uring: a thread of the process, named by the kernel.
const PF_IO_WORKER: u32 = 0x10;

/// What is kept of a request.
#[repr(C)]
struct Kept {
    event_type: u32,
    /// Bytes in `bytes`, with the NUL of a name.
    len: u32,
    /// How its event has been reported, 0 if it has not. (It stays here: else its completion would be that of a
    /// request that nobody knows.)
    reported: u32,
    /// The open's result goes to the ring's own table: there is no descriptor.
    direct: u32,
    /// The process that submitted: an address is used again, also by others.
    owner: u64,
    args: [u64; 6],
    how: [u64; 3],
    /// The name, or the address.
    bytes: [u8; MAX_PATH + 8],
}

/// How a request is reported: with the result that it has,
const DONE: u32 = 1;
/// the same while it still holds its file,
const COMPLETES: u32 = 2;
/// or as if it succeeded, before it is known.
const SUBMITTED: u32 = 3;

/// Requests that have not completed, by address. One that is pushed out is reported without its arguments, and
/// counted.
#[map]
static REQUESTS: LruHashMap<u64, Kept> = LruHashMap::with_max_entries(MAX_URING_REQUESTS, 0);

/// The request that a thread submitted last, if it is one of ours.
#[map]
static LAST: LruHashMap<u32, u64> = LruHashMap::with_max_entries(MAX_URING_REQUESTS, 0);

/// The event type of a request, 0 for one that makes no event.
#[inline(always)]
fn type_of(request: u64) -> u32 {
    match probe!(u8, request, OFF_URING_OPCODE) {
        OP_CONNECT => EventType::Connect as u32,
        OP_OPENAT => EventType::Openat as u32,
        OP_OPENAT2 => EventType::Openat2 as u32,
        _ => 0,
    }
}

#[inline(always)]
fn is_own(task: Ptr) -> bool {
    load!(u32, task, OFF_TASK_TGID) as usize == fact!(SELF_TGID)
}

/// A request has been prepared and is about to be issued.
#[btf_tracepoint(function = "io_uring_submit_req")]
pub fn uring_submit(ctx: BtfTracePointContext) -> i32 {
    let request: u64 = ctx.arg(0);
    let task = current();
    if is_own(task) {
        return 0;
    }
    look_at_last(task, request);
    // Its memory was that of a request which has not been seen to complete. The result is still there, if no other
    // process had that request.
    if let Some(kept) = REQUESTS.get_ptr_mut(&request) {
        // SAFETY: a value of the map.
        let (owner, reported) = unsafe { ((*kept).owner, (*kept).reported) };
        if owner != owner_of(task) {
            if reported == 0 {
                maps::count_global(GlobalCounter::UringForgotten);
            }
        } else if reported != DONE {
            report(request, kept, task, DONE);
        }
        let _ = REQUESTS.remove(&request);
    }
    let event_type = type_of(request);
    if event_type == 0 || !context::is_wanted(event_type) {
        return 0;
    }
    let Some(s) = maps::scratch() else { return 0 };
    // SAFETY: this CPU's scratch memory, of which the record's part is free while it is not busy.
    unsafe {
        if (*s).busy != 0 {
            return 0;
        }
        (*s).busy = 1;
        let kept: *mut Kept = (&raw mut (*s).record).cast();
        keep(kept, request, event_type, owner_of(task));
        let _ = REQUESTS.insert(&request, &*kept, 0);
        (*s).busy = 0;
    }
    let _ = LAST.insert(&load!(u32, task, OFF_TASK_PID), &request, 0);
    // A thread of the kernel's that submits for the process does not come by `io_uring_enter`.
    if is_worker(task) {
        look_at_last(task, 0);
    }
    0
}

/// A completion is about to be posted.
#[btf_tracepoint(function = "io_uring_complete")]
pub fn uring_complete(ctx: BtfTracePointContext) -> i32 {
    let request: u64 = ctx.arg(1);
    // None of ours is without a request: only those that complete more than once are.
    if request == 0 || type_of(request) == 0 {
        return 0;
    }
    let task = current();
    if is_own(task) {
        return 0;
    }
    match REQUESTS.get_ptr_mut(&request) {
        Some(kept) => {
            // SAFETY: a value of the map.
            if unsafe { (*kept).reported } != DONE {
                report(request, kept, task, COMPLETES);
            }
            let _ = REQUESTS.remove(&request);
        }
        None => {
            if context::is_wanted(type_of(request)) {
                maps::count_global(GlobalCounter::UringForgotten);
                report(request, core::ptr::null_mut(), task, COMPLETES);
            }
        }
    }
    0
}

/// The end of `io_uring_enter`.
#[btf_tracepoint(function = "sys_exit")]
pub fn uring_enter(_ctx: BtfTracePointContext) -> i32 {
    look_at_last(current(), 0);
    0
}

/// The thread has run what was left to it. (Under `DEFER_TASKRUN` the second.)
#[btf_tracepoint(function = "io_uring_task_work_run")]
pub fn uring_task_work(_ctx: BtfTracePointContext) -> i32 {
    look_at_last(current(), 0);
    0
}

#[btf_tracepoint(function = "io_uring_local_work_run")]
pub fn uring_local_work(_ctx: BtfTracePointContext) -> i32 {
    look_at_last(current(), 0);
    0
}

/// Reports the request that the thread submitted last, if that can be done now. `next`: the request that follows.
#[inline(always)]
fn look_at_last(task: Ptr, next: u64) {
    let thread = load!(u32, task, OFF_TASK_PID);
    // SAFETY: read at once.
    let Some(request) = (unsafe { LAST.get(thread) }).copied() else { return };
    // Then it is another request by now.
    let kept = if request == next { None } else { REQUESTS.get_ptr_mut(&request) };
    // SAFETY: a value of the map.
    let kept = kept.filter(|kept| unsafe { (**kept).owner } == owner_of(task));
    let Some(kept) = kept else {
        let _ = LAST.remove(&thread);
        return;
    };
    let flags = probe!(u64, request, OFF_URING_REQ_FLAGS);
    // SAFETY: a value of the map.
    let opens = unsafe { (*kept).event_type } != EventType::Connect as u32;
    // Of an open that is done nothing is left to clean up. A connect does not say.
    let how = if opens && !has_flag(flags, fact!(ENUM_URING_NEED_CLEANUP)) {
        let _ = LAST.remove(&thread);
        DONE
    } else if has_flag(flags, fact!(ENUM_URING_CQE_SKIP)) && unsafe { (*kept).reported } == 0 {
        SUBMITTED
    } else {
        return;
    };
    report(request, kept, task, how);
    // SAFETY: a value of the map.
    unsafe { (*kept).reported = how };
}

#[inline(always)]
fn has_flag(flags: u64, bit: usize) -> bool {
    flags >> (bit & 63) & 1 != 0
}

/// When the task's process began, which tells processes apart.
#[inline(always)]
fn owner_of(task: Ptr) -> u64 {
    load!(u64, load_ptr!(task, OFF_TASK_GROUP_LEADER), OFF_TASK_START_BOOTTIME)
}

/// Is the task a thread that the kernel made for a ring?
#[inline(always)]
fn is_worker(task: Ptr) -> bool {
    load!(u32, task, OFF_TASK_FLAGS) & PF_IO_WORKER != 0
}

/// Copies what the request says, before it is issued.
#[inline(always)]
unsafe fn keep(kept: *mut Kept, request: u64, event_type: u32, owner: u64) {
    // SAFETY: `kept` is in this CPU's scratch memory.
    unsafe {
        (*kept).owner = owner;
        (*kept).event_type = event_type;
        (*kept).len = 0;
        (*kept).reported = 0;
        (*kept).direct = 0;
        (*kept).args = [0; 6];
        (*kept).how = [0; 3];
        let bytes = (&raw mut (*kept).bytes).cast::<u8>();
        if event_type == EventType::Connect as u32 {
            let address = probe!(u64, request, OFF_URING_CONNECT_ADDR);
            let len = u64::from(probe!(u32, request, OFF_URING_CONNECT_LEN));
            (*kept).args[0] = u64::from(probe!(u32, request, OFF_URING_FD));
            (*kept).args[1] = address;
            (*kept).args[2] = len;
            let len = mask::<0xff>(at_most::<{ MAX_SOCKADDR as u64 }>(len));
            if copy_user(bytes, len, address) {
                (*kept).len = len as u32;
            }
            return;
        }
        let filename = probe!(u64, request, OFF_URING_OPEN_NAME);
        let flags = probe!(u64, request, OFF_URING_OPEN_FLAGS) & !O_LARGEFILE;
        let mode = probe!(u64, request, OFF_URING_OPEN_MODE);
        (*kept).args[0] = u64::from(probe!(u32, request, OFF_URING_OPEN_DFD));
        (*kept).args[1] = probe!(u64, filename, OFF_FILENAME_UPTR);
        if event_type == EventType::Openat as u32 {
            (*kept).args[2] = flags;
            (*kept).args[3] = mode;
        } else {
            (*kept).args[3] = size_of::<OpenHow>() as u64;
        }
        (*kept).how = [flags, mode, probe!(u64, request, OFF_URING_OPEN_RESOLVE)];
        (*kept).direct = probe!(u32, request, OFF_URING_OPEN_SLOT);
        let name = probe!(u64, filename, OFF_FILENAME_NAME);
        let n = bpf::bpf_probe_read_kernel_str(bytes.cast(), MAX_PATH as u32, name as *const _);
        if n > 0 {
            (*kept).len = n as u32;
        }
    }
}

/// Makes the event. `kept`: null if it was pushed out.
#[inline(never)]
fn report(request: u64, kept: *mut Kept, task: Ptr, how: u32) {
    // SAFETY: a value of the map or null, as said.
    let event_type = if kept.is_null() { type_of(request) } else { unsafe { (*kept).event_type } };
    // A worker is a thread of the process that submitted; its name is the kernel's.
    let who = if is_worker(task) { load_ptr!(task, OFF_TASK_GROUP_LEADER) } else { task };
    if who.is_null() {
        return;
    }
    let known = how != SUBMITTED;
    let ret = if known { i64::from(probe!(u32, request, OFF_URING_RES) as i32) } else { 0 };
    let Some(s) = maps::scratch() else { return };
    // SAFETY: this CPU's scratch memory, and a value of the map.
    unsafe {
        let Some(event) = context::begin_uring(s, who, event_type, ret) else { return };
        if !kept.is_null() {
            (*s).args = (*kept).args;
        }
        let mut pending = Pending::of(&event);
        if event.is(EventType::Connect) {
            let fd = (*s).args[0] as u32;
            // The request holds the file, whatever became of the descriptor.
            let file = if how == COMPLETES {
                probe!(u64, request, OFF_URING_FILE)
            } else {
                files::of_descriptor(task, u64::from(fd))
            };
            pending.place(&event);
            if pending.drops(&event) {
                return;
            }
            if socket::put_if_socket(s, file, fd, 0) {
                pending.socket(&event);
            }
            if pending.drops(&event) {
                return;
            }
            event.describe();
            if !kept.is_null() {
                put_kept(s, SectionKind::Sockaddr as u32, kept, u64::from((*kept).len));
            }
        } else {
            let direct = !kept.is_null() && (*kept).direct != 0;
            let file = if known && ret >= 0 && !direct { files::of_descriptor(task, ret as u64) } else { 0 };
            // What a request of which nothing is kept asked for nobody knows: it is not filtered.
            if !kept.is_null() {
                pending.uring_open(&event, file, (*kept).how[0], (*kept).how[1]);
            }
            if pending.drops(&event) {
                return;
            }
            event.describe();
            files::put_path_and_info(s, task, file, ret as u32);
            if !kept.is_null() {
                put_name(s, task, kept, (*kept).args[0]);
                if event.is(EventType::Openat2) {
                    let from = (&raw const (*kept).how) as u64;
                    record::put_kernel(s, SectionKind::OpenHow as u32, 0, from, size_of::<OpenHow>() as u64);
                }
            }
        }
        (*event.header()).flags |= RECORD_IO_URING;
        capture::put_wanted(&event);
        context::submit(s);
    }
}

#[inline(always)]
unsafe fn put_name(s: *mut Scratch, task: Ptr, kept: *const Kept, dirfd: u64) {
    // SAFETY: `kept` is a value of the map.
    unsafe {
        let len = u64::from((*kept).len);
        if len == 0 {
            return;
        }
        put_kept(s, SectionKind::PathArg as u32, kept, len - 1);
        if (*kept).bytes[0] == b'/' {
            return;
        }
    }
    if dirfd & 0xffff_ffff == names::AT_FDCWD {
        path::put_cwd(s, task, SectionKind::Dir as u32);
    } else {
        path::put_file(s, SectionKind::Dir as u32, files::of_descriptor(task, dirfd));
    }
}

#[inline(always)]
unsafe fn put_kept(s: *mut Scratch, kind: u32, kept: *const Kept, len: u64) {
    // SAFETY: `kept` is a value of the map.
    let from = unsafe { (&raw const (*kept).bytes) as u64 };
    record::put_kernel(s, kind, 0, from, mask::<0x1fff>(len));
}
