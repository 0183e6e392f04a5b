// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! Sections that are collected only if a loaded rule needs them.
use exporter_common::{
    record::{Ancestor, MAX_ANCESTORS, SectionKind},
    wants::{WANT_ANCESTORS, WANT_CWD, WANT_EXE},
};

use crate::{
    context::Event,
    maps::Scratch,
    memory::{Ptr, mask},
    offsets::{fact, has, load_ptr, probe},
    path::{self, LoopContext},
    record,
};

/// Appends what the event's `WANT_*` bits ask for, `WANT_DATA` excepted.
#[inline(always)]
pub fn put_wanted(event: &Event) {
    if event.wants(WANT_CWD) {
        path::put_cwd(event.s, event.task, SectionKind::Cwd as u32);
    }
    if event.wants(WANT_EXE) {
        path::put_exe(event.s, event.task);
    }
    if event.wants(WANT_ANCESTORS) {
        put_ancestors(event.s, event.task);
    }
}

/// Appends the ancestors, parent first, up to and with process 1 of the initial namespace.
#[inline(never)]
pub fn put_ancestors(s: *mut Scratch, task: Ptr) {
    let parent = load_ptr!(task, OFF_TASK_REAL_PARENT);
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        (*s).cursor = parent as u64;
        (*s).count = 0;
        path::repeat(s, MAX_ANCESTORS as u32, ancestor);
        record::finish(s, SectionKind::Ancestors as u32, 0, (*s).count * size_of::<Ancestor>() as u64);
    }
}

extern "C" fn ancestor(index: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the loop's context, which holds this CPU's scratch memory.
    unsafe {
        let s = (*context).scratch;
        // The real parent is the thread that forked; process facts are its leader's.
        let leader = probe!(u64, (*s).cursor, OFF_TASK_GROUP_LEADER);
        let pid = probe!(u32, leader, OFF_TASK_TGID);
        if pid == 0 {
            return 1;
        }
        let at = mask::<{ MAX_ANCESTORS as u64 - 1 }>(index) as usize * size_of::<Ancestor>();
        let entry: *mut Ancestor = record::data(s).add(at).cast();
        (*entry).pid = pid;
        (*entry).reserved = 0;
        (*entry).start_ns = probe!(u64, leader, OFF_TASK_START_BOOTTIME);
        (*s).count = index + 1;
        (*s).cursor = probe!(u64, leader, OFF_TASK_REAL_PARENT);
    }
    0
}
