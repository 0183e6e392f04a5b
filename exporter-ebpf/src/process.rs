// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! exec, fork and exit: what the process table lives on. Reported also when no rule asks for them.
use core::ffi::c_void;

use aya_ebpf::{helpers::generated as bpf, macros::btf_tracepoint, programs::BtfTracePointContext};
use exporter_common::{
    event_type::EventType,
    record::{ChildInfo, ExecInfo, MAX_ARGV, MAX_ENVP, SECTION_TRUNCATED, SectionKind},
    wants::{WANT_ENV, WANT_THREADS},
};

use crate::{
    capture, cgroup, context,
    dispatch::Call,
    files,
    maps::{Scratch, TYPE_CONFIG},
    memory::{Ptr, current, mask, probe, probe_user},
    names,
    offsets::{fact, has, load, load_ptr, probe},
    path::{self, LoopContext},
    record,
};

const PF_KTHREAD: u32 = 0x0020_0000;
const SIGNAL_GROUP_EXIT: u32 = 4;
/// Arguments of a failed exec that are looked at.
const MAX_ARGUMENTS: u32 = 1024;
/// Longest argument of a failed exec.
const MAX_ARGUMENT: u32 = 4096;

/// Registers of the system call that the task is in; null for a kernel thread, which is in none.
#[inline(always)]
fn registers(task: Ptr) -> Ptr {
    if load!(u32, task, OFF_TASK_FLAGS) & PF_KTHREAD != 0 {
        return core::ptr::null();
    }
    // SAFETY: the task is the running one.
    unsafe { bpf::bpf_task_pt_regs(task as *mut _) as Ptr }
}

/// A successful execve or execveat, in the new image.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_exec(ctx: BtfTracePointContext) -> i32 {
    let bprm: Ptr = ctx.arg(2);
    let task = current();
    // Loading an ELF file overwrites orig_ax with execve's number and the compat flag with the new image's
    // (SET_PERSONALITY). What tells execveat then is that it named the file by a descriptor; with AT_FDCWD or an
    // absolute path it does what execve does, and is called so.
    let by_descriptor = has!(OFF_BPRM_FDPATH) && load!(u64, bprm, OFF_BPRM_FDPATH) != 0;
    let event_type = if by_descriptor { EventType::Execveat } else { EventType::Execve };
    let Some(event) = context::begin_process(event_type as u32, registers(task), task, 0) else { return 0 };
    let s = event.s;
    // SAFETY: the record's header.
    unsafe {
        // The registers are those of the new image.
        (*event.header()).args = [0; 6];
        if by_descriptor && (*s).compat == 0 {
            (*event.header()).syscall_nr = 322;
        }
    }

    files::put_path_and_info(s, task, load!(u64, bprm, OFF_BPRM_FILE), u32::MAX);
    record::put_kernel_string(s, SectionKind::PathArg as u32, load!(u64, bprm, OFF_BPRM_FILENAME));

    let mm = load_ptr!(task, OFF_TASK_MM);
    if !mm.is_null() {
        let argv = load!(u64, mm, OFF_MM_ARG_START);
        let argv_len = load!(u64, mm, OFF_MM_ARG_END).wrapping_sub(argv);
        let envp = load!(u64, mm, OFF_MM_ENV_START);
        let envp_len = load!(u64, mm, OFF_MM_ENV_END).wrapping_sub(envp);
        // SAFETY: the section's own bytes, and this CPU's scratch memory.
        record::put_struct::<ExecInfo>(s, SectionKind::Exec, |exec| unsafe {
            (*exec).argc = load!(u32, bprm, OFF_BPRM_ARGC);
            (*exec).envc = load!(u32, bprm, OFF_BPRM_ENVC);
            (*exec).argv_len = argv_len as u32;
            (*exec).envp_len = envp_len as u32;
        });
        record::put_user(s, SectionKind::Argv as u32, argv, argv_len, MAX_ARGV as u64);
        if event.wants(WANT_ENV) {
            record::put_user(s, SectionKind::Envp as u32, envp, envp_len, MAX_ENVP as u64);
        }
    }
    cgroup::put(s, task);
    capture::put_ancestors(s, task);
    path::put_cwd(s, task, SectionKind::Cwd as u32);
    context::submit(s);
    0
}

/// execve and execveat that failed. (One that succeeded was reported by [`sched_exec`].)
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exec(ctx: BtfTracePointContext) -> i32 {
    let ret: i64 = ctx.arg(1);
    if ret >= 0 {
        return 0;
    }
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    let s = event.s;
    let at = event.is(EventType::Execveat);
    if at {
        names::put(&event, SectionKind::PathArg, event.arg(1), SectionKind::Dir, event.arg(0));
    } else {
        names::put(&event, SectionKind::PathArg, event.arg(0), SectionKind::Dir, names::AT_FDCWD);
    }
    put_strings(s, SectionKind::Argv as u32, if at { event.arg(2) } else { event.arg(1) });
    if event.wants(WANT_ENV) {
        put_strings(s, SectionKind::Envp as u32, if at { event.arg(3) } else { event.arg(2) });
    }
    capture::put_wanted(&event);
    context::submit(s);
    0
}

/// Appends the strings of a NULL-terminated array in the caller's memory, each with its NUL.
#[inline(never)]
fn put_strings(s: *mut Scratch, kind: u32, array: u64) {
    // NULL is an empty list.
    if array == 0 {
        return;
    }
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        (*s).cursor = array;
        (*s).bytes = 0;
        (*s).count = 0;
        path::repeat(s, MAX_ARGUMENTS, string);
        let mut len = (*s).bytes;
        let mut flags = (*s).count as u32;
        if len > MAX_ARGV as u64 {
            len = MAX_ARGV as u64;
            flags = u32::from(SECTION_TRUNCATED);
        }
        record::finish(s, kind, flags, len);
    }
}

extern "C" fn string(index: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the loop's context, which holds this CPU's scratch memory.
    unsafe {
        let s = (*context).scratch;
        let at = (*s).cursor;
        let pointer = if (*s).compat != 0 {
            (*s).cursor = at + 4;
            probe_user::<u32>(at).map(u64::from)
        } else {
            (*s).cursor = at + 8;
            probe_user::<u64>(at)
        };
        let Some(pointer) = pointer else {
            record::fault(s);
            return 1;
        };
        if pointer == 0 {
            return 1;
        }
        let used = (*s).bytes;
        if used >= MAX_ARGV as u64 || index + 1 == u64::from(MAX_ARGUMENTS) {
            (*s).count = u64::from(SECTION_TRUNCATED);
            return 1;
        }
        let to = record::data(s).add(mask::<{ MAX_ARGV as u64 - 1 }>(used) as usize);
        let n = bpf::bpf_probe_read_user_str(to.cast(), MAX_ARGUMENT, pointer as *const c_void);
        if n <= 0 {
            record::fault(s);
            return 1;
        }
        (*s).bytes = used + n as u64;
    }
    0
}

/// fork, vfork, clone, clone3, in the parent, when the child is complete.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_fork(ctx: BtfTracePointContext) -> i32 {
    let child: Ptr = ctx.arg(1);
    let task = current();
    let regs = registers(task);
    let event_type = if regs.is_null() { EventType::Clone as u32 } else { fork_type(&Call::of(regs, task)) };
    let child_pid = load!(u32, child, OFF_TASK_TGID);
    if child_pid == load!(u32, task, OFF_TASK_TGID) {
        let wanted = TYPE_CONFIG.get(event_type).is_some_and(|config| config.wants & WANT_THREADS != 0);
        if !wanted {
            return 0;
        }
    }
    let Some(event) = context::begin_process(event_type, regs, task, 0) else { return 0 };
    let pid = load_ptr!(child, OFF_TASK_THREAD_PID);
    // SAFETY: the section's own bytes, and this CPU's scratch memory.
    record::put_struct::<ChildInfo>(event.s, SectionKind::Child, |info| unsafe {
        (*info).tid = load!(u32, child, OFF_TASK_PID);
        (*info).pid = child_pid;
        if !pid.is_null() {
            let level = u64::from(load!(u32, pid, OFF_PID_LEVEL));
            (*info).vtid = context::number_in(pid, level);
            let signal = load_ptr!(child, OFF_TASK_SIGNAL);
            (*info).vpid =
                context::number_in(load_ptr!(signal, OFF_SIGNAL_PIDS, context::PIDTYPE_TGID * 8), level);
            let ns = probe::<u64>(context::upid(pid as u64, level) + fact!(OFF_UPID_NS) as u64);
            (*info).pid_ns = probe!(u32, ns, OFF_PIDNS_INUM);
            // What the call returns: the child in the caller's namespace.
            let own = load_ptr!(task, OFF_TASK_THREAD_PID);
            if !own.is_null() {
                let level = u64::from(load!(u32, own, OFF_PID_LEVEL));
                (*event.header()).ret = i64::from(context::number_in(pid, level));
            }
        }
        let leader = load_ptr!(child, OFF_TASK_GROUP_LEADER);
        (*info).start_ns = load!(u64, leader, OFF_TASK_START_BOOTTIME);
        let parent = load_ptr!(child, OFF_TASK_REAL_PARENT);
        (*info).ppid = load!(u32, parent, OFF_TASK_TGID);
        let leader = load_ptr!(parent, OFF_TASK_GROUP_LEADER);
        (*info).parent_start_ns = load!(u64, leader, OFF_TASK_START_BOOTTIME);
        (*info).cgroup_id = cgroup::unified_id(child);
    });
    cgroup::put(event.s, child);
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

#[inline(always)]
fn fork_type(call: &Call) -> u32 {
    let event_type = match (call.compat, call.number) {
        (false, 57) | (true, 2) => EventType::Fork,
        (false, 58) | (true, 190) => EventType::Vfork,
        (_, 435) => EventType::Clone3,
        _ => EventType::Clone,
    };
    event_type as u32
}

/// The end of a process: when the last of its threads exits.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_exit(ctx: BtfTracePointContext) -> i32 {
    let task = current();
    let signal = load_ptr!(task, OFF_TASK_SIGNAL);
    if has!(OFF_SIGNAL_EXIT_GROUP_DEAD) {
        // Of threads that end at the same moment one is told so.
        let group_dead: u64 = ctx.arg(1);
        if group_dead & 0xff == 0 {
            return 0;
        }
    } else if load!(u32, signal, OFF_SIGNAL_LIVE) != 0 {
        return 0;
    }
    // As wait(2) reports it.
    let status = if load!(u32, signal, OFF_SIGNAL_FLAGS) & SIGNAL_GROUP_EXIT != 0 {
        load!(i32, signal, OFF_SIGNAL_GROUP_EXIT_CODE)
    } else {
        let leader = load_ptr!(task, OFF_TASK_GROUP_LEADER);
        load!(i32, leader, OFF_TASK_EXIT_CODE)
    };
    let Some(event) =
        context::begin_process(EventType::Procexit as u32, core::ptr::null(), task, i64::from(status))
    else {
        return 0;
    };
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}
