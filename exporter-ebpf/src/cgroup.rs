// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! The path of a task's cgroup: of the unified hierarchy, unless the task is in its root; then of a version 1
//! hierarchy in which container engines put their containers.
use exporter_common::record::SectionKind;

use crate::{
    maps::{PATH_END, Scratch},
    memory::Ptr,
    offsets::{fact, has, load, load_ptr, probe},
    path::{self, LoopContext},
};

/// Appends the `Cgroup` section.
#[inline(never)]
pub fn put(s: *mut Scratch, task: Ptr) {
    let set = load_ptr!(task, OFF_TASK_CGROUPS);
    if set.is_null() {
        return;
    }
    let mut node = unified_node(set);
    if is_root(node) && has!(ENUM_MEMORY_CGRP_ID) {
        node = version1_node(set, fact!(ENUM_MEMORY_CGRP_ID), node);
    }
    if is_root(node) && has!(ENUM_PIDS_CGRP_ID) {
        node = version1_node(set, fact!(ENUM_PIDS_CGRP_ID), node);
    }
    if is_root(node) && has!(ENUM_CPU_CGRP_ID) {
        node = version1_node(set, fact!(ENUM_CPU_CGRP_ID), node);
    }
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        (*s).cursor = node;
        (*s).walk.start = PATH_END;
        (*s).walk.flags = 0;
        path::repeat(s, 256, step);
        if (*s).walk.start == PATH_END {
            path::prepend_byte(s, b'/');
        }
    }
    path::put(s, SectionKind::Cgroup as u32);
}

/// Inode number of the task's directory in the unified hierarchy.
#[inline(always)]
pub fn unified_id(task: Ptr) -> u64 {
    let set = load_ptr!(task, OFF_TASK_CGROUPS);
    if set.is_null() {
        return 0;
    }
    let cgroup = load_ptr!(set, OFF_CSS_SET_DFL_CGRP);
    let node = load_ptr!(cgroup, OFF_CGROUP_KN);
    load!(u64, node, OFF_KERNFS_ID)
}

/// Whether the task is in the root of every version 1 hierarchy in which container engines put their containers.
#[inline(always)]
pub fn in_roots(task: Ptr) -> bool {
    let set = load_ptr!(task, OFF_TASK_CGROUPS);
    if set.is_null() {
        return false;
    }
    (!has!(ENUM_MEMORY_CGRP_ID) || in_root(set, fact!(ENUM_MEMORY_CGRP_ID)))
        && (!has!(ENUM_PIDS_CGRP_ID) || in_root(set, fact!(ENUM_PIDS_CGRP_ID)))
        && (!has!(ENUM_CPU_CGRP_ID) || in_root(set, fact!(ENUM_CPU_CGRP_ID)))
}

#[inline(always)]
fn in_root(set: Ptr, subsystem: usize) -> bool {
    is_root(version1_node(set, subsystem, 0))
}

#[inline(always)]
fn unified_node(set: Ptr) -> u64 {
    probe!(u64, load!(u64, set, OFF_CSS_SET_DFL_CGRP), OFF_CGROUP_KN)
}

#[inline(always)]
fn version1_node(set: Ptr, subsystem: usize, otherwise: u64) -> u64 {
    let state = load!(u64, set, OFF_CSS_SET_SUBSYS, subsystem * 8);
    if state == 0 {
        return otherwise;
    }
    probe!(u64, probe!(u64, state, OFF_CSS_CGROUP), OFF_CGROUP_KN)
}

#[inline(always)]
fn is_root(node: u64) -> bool {
    node == 0 || probe!(u64, node, OFF_KERNFS_PARENT) == 0
}

extern "C" fn step(_index: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the loop's context, which holds this CPU's scratch memory.
    unsafe {
        let s = (*context).scratch;
        let node = (*s).cursor;
        let parent = if node == 0 { 0 } else { probe!(u64, node, OFF_KERNFS_PARENT) };
        if parent == 0 || !path::prepend_component(s, probe!(u64, node, OFF_KERNFS_NAME)) {
            return 1;
        }
        (*s).cursor = parent;
    }
    0
}
