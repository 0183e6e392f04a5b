// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! Beginning and ending a record: the scratch memory, the header, the counters, the ring buffer.
use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated as bpf,
    programs::BtfTracePointContext,
};
use exporter_common::{
    record::{Header, RECORD_COMPAT, RECORD_FAULT},
    wants::WANT_EVENT,
};

use crate::{
    cgroup, dispatch,
    filter::Pending,
    maps::{self, EVENTS, Scratch, TYPE_CONFIG, WAKE},
    memory::{Ptr, current, mask, probe},
    offsets::{fact, has, load, load_ptr, probe},
    path,
};

pub const PIDTYPE_TGID: usize = 1;
const PIDTYPE_PGID: usize = 2;
const PIDTYPE_SID: usize = 3;

/// A record that is being built.
#[derive(Clone, Copy)]
pub struct Event {
    pub s: *mut Scratch,
    pub task: Ptr,
    pub event_type: u32,
    /// `WANT_*` bits of the event's type.
    pub wants: u32,
    pub max_data: u32,
    /// Bank of the filter, 0 if there is none.
    pub bank: u32,
    pub ret: i64,
}

impl Event {
    /// A system call's argument.
    #[inline(always)]
    pub fn arg(&self, index: usize) -> u64 {
        // SAFETY: callers pass constants below 6; `s` is this CPU's scratch memory.
        unsafe { core::ptr::read_volatile((&raw const (*self.s).args).cast::<u64>().add(index)) }
    }

    #[inline(always)]
    pub fn is(&self, event_type: exporter_common::event_type::EventType) -> bool {
        self.event_type == event_type as u32
    }

    #[inline(always)]
    pub fn wants(&self, bit: u32) -> bool {
        self.wants & bit != 0
    }

    /// Writes the header of a system call's record.
    #[inline(always)]
    pub fn describe(&self) {
        // SAFETY: `s` is this CPU's scratch memory.
        let (number, compat) = unsafe { ((*self.s).number as i32, (*self.s).compat != 0) };
        header(self.s, self.task, self.event_type | if compat { COMPAT_BIT } else { 0 }, number, self.ret);
    }

    #[inline(always)]
    pub fn header(&self) -> *mut Header {
        // SAFETY: the record begins with its header.
        unsafe { (&raw mut (*self.s).record).cast() }
    }
}

/// Begins the record of the system call that `sys_exit` is about, unless no rule can match it.
#[inline(always)]
pub fn begin_syscall(ctx: &BtfTracePointContext) -> Option<Event> {
    let event = begin_unfiltered(ctx)?;
    let mut pending = Pending::of(&event);
    pending.place(&event);
    if pending.drops(&event) {
        return None;
    }
    event.describe();
    Some(event)
}

/// The same before the event is filtered and described: for calls of which more can be told than of all.
#[inline(always)]
pub fn begin_unfiltered(ctx: &BtfTracePointContext) -> Option<Event> {
    let regs: Ptr = ctx.arg(0);
    let ret: i64 = ctx.arg(1);
    let task = current();
    let call = dispatch::Call::of(regs, task);
    let event_type = dispatch::event_type(&call, regs);
    let s = maps::scratch()?;
    let mut event = begin(s, task, event_type, true)?;
    event.ret = ret;
    dispatch::put_arguments(s, &call, regs);
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe { (*s).number = call.number };
    Some(event)
}

/// No rule can match it: gives the scratch memory back and counts.
#[inline(always)]
pub fn discard(event: &Event) {
    // SAFETY: `s` is this CPU's scratch memory, and a slot of this CPU.
    unsafe {
        (*event.s).busy = 0;
        if let Some(counters) = maps::counters(event.event_type) {
            (*counters).filtered += 1;
        }
    }
}

/// Begins the record of a process event. `regs`: the system call by which the task came here.
#[inline(always)]
pub fn begin_process(event_type: u32, regs: Ptr, task: Ptr, ret: i64) -> Option<Event> {
    let s = maps::scratch()?;
    let mut event = begin(s, task, event_type, false)?;
    event.ret = ret;
    let (mut number, mut bits) = (-1, 0);
    if regs.is_null() {
        // SAFETY: `s` is this CPU's scratch memory.
        unsafe { (*s).args = [0; 6] };
    } else {
        let call = dispatch::Call::of(regs, task);
        number = call.number as i32;
        bits = if call.compat { COMPAT_BIT } else { 0 };
        dispatch::put_arguments(s, &call, regs);
    }
    header(s, task, event_type | bits, number, ret);
    Some(event)
}

/// Is this type to be reported?
#[inline(always)]
pub fn is_wanted(event_type: u32) -> bool {
    TYPE_CONFIG.get(event_type).is_some_and(|config| config.wants & WANT_EVENT != 0)
}

/// Begins the record of a request to io_uring, whose arguments the caller writes: not filtered, not described.
#[inline(always)]
pub fn begin_uring(s: *mut Scratch, task: Ptr, event_type: u32, ret: i64) -> Option<Event> {
    let mut event = begin(s, task, event_type, true)?;
    event.ret = ret;
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        (*s).args = [0; 6];
        (*s).number = u32::MAX;
        (*s).compat = 0;
    }
    Some(event)
}

#[inline(always)]
fn begin(s: *mut Scratch, task: Ptr, event_type: u32, only_if_wanted: bool) -> Option<Event> {
    let config = TYPE_CONFIG.get(event_type)?;
    if only_if_wanted && config.wants & WANT_EVENT == 0 {
        return None;
    }
    let counters = maps::counters(event_type)?;
    // SAFETY: slots of this CPU, here and below.
    unsafe {
        (*counters).seen += 1;
        if (*s).busy != 0 {
            (*counters).lost_scratch_busy += 1;
            return None;
        }
        (*s).busy = 1;
        (*s).event_type = event_type;
        (*s).position = size_of::<Header>() as u64;
        (*s).truncated = 0;
        (*s).fault = 0;
    }
    path::begin(s, task);
    Some(Event {
        s,
        task,
        event_type,
        wants: config.wants,
        max_data: config.max_data,
        bank: config.bank,
        ret: 0,
    })
}

/// Hands the record over.
#[inline(never)]
pub fn submit(s: *mut Scratch) {
    // SAFETY: `s` is this CPU's scratch memory; the mask bounds the length for the verifier.
    unsafe {
        let len = mask::<0xffff>((*s).position);
        let header: *mut Header = (&raw mut (*s).record).cast();
        (*header).len = len as u32;
        if (*s).fault != 0 {
            (*header).flags |= RECORD_FAULT;
        }
        let ring = (&raw const EVENTS).cast_mut().cast();
        // The bounds of the sections keep a record far below this; the verifier does not know it. The scratch
        // memory is given back and the event counted whatever happens.
        let lost = len as usize > size_of_val(&(*s).record)
            || bpf::bpf_ringbuf_output(ring, (&raw mut (*s).record).cast(), len, wake_flags()) != 0;
        let (event_type, truncated, fault) = ((*s).event_type, (*s).truncated, (*s).fault);
        (*s).busy = 0;
        if let Some(counters) = maps::counters(event_type) {
            if lost {
                (*counters).lost_ring_full += 1;
            } else {
                (*counters).submitted += 1;
            }
            (*counters).truncated += u64::from(truncated);
            (*counters).fault += u64::from(fault);
        }
    }
}

/// Waking the consumer costs more than the whole rest: only when it sleeps, or much waits for it.
#[inline(always)]
fn wake_flags() -> u64 {
    if let Some(wake) = WAKE.get_ptr_mut(0) {
        // SAFETY: a valid slot; the race of two CPUs ends in a wakeup too many.
        unsafe {
            if core::ptr::read_volatile(wake) != 0 {
                core::ptr::write_volatile(wake, 0);
                return u64::from(BPF_RB_FORCE_WAKEUP);
            }
        }
    }
    // A constant for the verifier, which drops the rest.
    if !has!(RING_WAKE_BYTES) {
        return u64::from(BPF_RB_NO_WAKEUP);
    }
    // SAFETY: the helper only reads the ring's positions.
    let waiting = unsafe {
        bpf::bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), u64::from(BPF_RB_AVAIL_DATA))
    };
    u64::from(if waiting >= fact!(RING_WAKE_BYTES) as u64 { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

const COMPAT_BIT: u32 = 1 << 16;

/// A process id in the namespace of level `level`.
#[inline(always)]
pub fn number_in(pid: Ptr, level: u64) -> u32 {
    if level == 0 {
        load!(u32, pid, OFF_PID_NUMBERS, fact!(OFF_UPID_NR))
    } else if level == 1 && has_flexible_numbers() {
        let own = load!(u32, pid, OFF_PID_LEVEL);
        if own == 0 { 0 } else { load!(u32, pid, OFF_PID_NUMBERS, fact!(SIZE_UPID) + fact!(OFF_UPID_NR)) }
    } else {
        let own = load!(u32, pid, OFF_PID_LEVEL);
        if u64::from(own) < level {
            return 0;
        }
        // Read, not loaded: the verifier allows no variable offset.
        probe::<u32>(upid(pid as u64, level) + fact!(OFF_UPID_NR) as u64)
    }
}

/// `pid.numbers` has no length of its own since 6.5; then the verifier allows loads behind the first element.
/// Level 1 is that of a container's processes. A constant for the verifier.
#[inline(always)]
fn has_flexible_numbers() -> bool {
    fact!(SIZE_PID) == fact!(OFF_PID_NUMBERS)
}

/// Address of the `struct upid` of a `struct pid` at a level.
#[inline(always)]
pub fn upid(pid: u64, level: u64) -> u64 {
    pid + fact!(OFF_PID_NUMBERS) as u64 + mask::<0x1f>(level) * fact!(SIZE_UPID) as u64
}

/// Writes the header: what every event says about the task.
#[inline(never)]
fn header(s: *mut Scratch, task: Ptr, type_and_compat: u32, number: i32, ret: i64) {
    // SAFETY: `s` is this CPU's scratch memory, and the record begins with its header.
    unsafe {
        let h: *mut Header = (&raw mut (*s).record).cast();
        (*h).event_type = type_and_compat as u16;
        (*h).flags = if type_and_compat & COMPAT_BIT != 0 { RECORD_COMPAT } else { 0 };
        (*h).ts_ns = bpf::bpf_ktime_get_boot_ns();
        (*h).ret = ret;
        for i in 0..6 {
            let value = core::ptr::read_volatile(&raw const (*s).args[i]);
            core::ptr::write_volatile(&raw mut (*h).args[i], value);
        }
        (*h).syscall_nr = number;
        (*h).cpu = (*s).cpu;
        (*h).tid = load!(u32, task, OFF_TASK_PID);
        (*h).pid = load!(u32, task, OFF_TASK_TGID);
        (*h).task_flags = load!(u32, task, OFF_TASK_FLAGS);
        (*h).loginuid = if has!(OFF_TASK_LOGINUID) { load!(u32, task, OFF_TASK_LOGINUID) } else { u32::MAX };
        (*h).sessionid =
            if has!(OFF_TASK_SESSIONID) { load!(u32, task, OFF_TASK_SESSIONID) } else { u32::MAX };
        (*h).cgroup_id = cgroup::unified_id(task);
        let comm = (&raw mut (*h).comm).cast::<u64>();
        comm.write(load!(u64, task, OFF_TASK_COMM));
        comm.add(1).write(load!(u64, task, OFF_TASK_COMM, 8));

        let leader = load_ptr!(task, OFF_TASK_GROUP_LEADER);
        (*h).start_ns = load!(u64, leader, OFF_TASK_START_BOOTTIME);

        let pid = load_ptr!(task, OFF_TASK_THREAD_PID);
        if pid.is_null() {
            (*h).vtid = 0;
            (*h).vpid = 0;
            (*h).vpgid = 0;
            (*h).vsid = 0;
            (*h).pgid = 0;
            (*h).sid = 0;
            (*h).pid_ns = 0;
            (*h).tty = 0;
            (*h).pidns_init_start_ns = 0;
        } else {
            let level = u64::from(load!(u32, pid, OFF_PID_LEVEL));
            (*h).vtid = number_in(pid, level);
            identifiers(h, task, level);
            // The pid namespace that the task is in is that of its pid's deepest level.
            if level == 0 {
                pid_namespace(h, load_ptr!(pid, OFF_PID_NUMBERS, fact!(OFF_UPID_NS)));
            } else if level == 1 && has_flexible_numbers() {
                pid_namespace(h, load_ptr!(pid, OFF_PID_NUMBERS, fact!(SIZE_UPID) + fact!(OFF_UPID_NS)));
            } else {
                let ns = probe::<u64>(upid(pid as u64, level) + fact!(OFF_UPID_NS) as u64);
                (*h).pid_ns = probe!(u32, ns, OFF_PIDNS_INUM);
                let reaper = probe!(u64, ns, OFF_PIDNS_CHILD_REAPER);
                (*h).pidns_init_start_ns = probe!(u64, reaper, OFF_TASK_START_BOOTTIME);
            }
        }

        let parent = load_ptr!(task, OFF_TASK_REAL_PARENT);
        (*h).ppid = load!(u32, parent, OFF_TASK_TGID);
        let parent_leader = load_ptr!(parent, OFF_TASK_GROUP_LEADER);
        (*h).parent_start_ns = load!(u64, parent_leader, OFF_TASK_START_BOOTTIME);
        let parent_pid = load_ptr!(parent_leader, OFF_TASK_THREAD_PID);
        (*h).pvpid = if (*h).ppid == 0 || parent_pid.is_null() {
            0
        } else {
            number_in(parent_pid, u64::from(load!(u32, parent_pid, OFF_PID_LEVEL)))
        };

        credentials(h, task);

        let proxy = load_ptr!(task, OFF_TASK_NSPROXY);
        if proxy.is_null() {
            (*h).mnt_ns = 0;
            (*h).net_ns = 0;
        } else {
            let mnt_ns = load_ptr!(proxy, OFF_NSPROXY_MNT_NS);
            (*h).mnt_ns = load!(u32, mnt_ns, OFF_MNTNS_INUM);
            let net_ns = load_ptr!(proxy, OFF_NSPROXY_NET_NS);
            (*h).net_ns = load!(u32, net_ns, OFF_NET_INUM);
        }
    }
}

#[inline(always)]
unsafe fn pid_namespace(h: *mut Header, ns: Ptr) {
    // SAFETY: `h` is the record's header.
    unsafe {
        (*h).pid_ns = load!(u32, ns, OFF_PIDNS_INUM);
        let reaper = load_ptr!(ns, OFF_PIDNS_CHILD_REAPER);
        (*h).pidns_init_start_ns = load!(u64, reaper, OFF_TASK_START_BOOTTIME);
    }
}

/// Process, group and session ids, and the terminal: from `signal_struct`, which the threads share.
#[inline(always)]
unsafe fn identifiers(h: *mut Header, task: Ptr, level: u64) {
    // SAFETY: `h` is the record's header.
    unsafe {
        let signal = load_ptr!(task, OFF_TASK_SIGNAL);
        let tgid = load_ptr!(signal, OFF_SIGNAL_PIDS, PIDTYPE_TGID * 8);
        (*h).vpid = number_in(tgid, level);
        let group = load_ptr!(signal, OFF_SIGNAL_PIDS, PIDTYPE_PGID * 8);
        (*h).pgid = number_in(group, 0);
        (*h).vpgid = number_in(group, level);
        let session = load_ptr!(signal, OFF_SIGNAL_PIDS, PIDTYPE_SID * 8);
        (*h).sid = number_in(session, 0);
        (*h).vsid = number_in(session, level);
        let tty = load_ptr!(signal, OFF_SIGNAL_TTY);
        (*h).tty = if tty.is_null() {
            0
        } else {
            let driver = load_ptr!(tty, OFF_TTY_DRIVER);
            let major = load!(u32, driver, OFF_TTY_DRIVER_MAJOR);
            let minor =
                load!(u32, driver, OFF_TTY_DRIVER_MINOR_START).wrapping_add(load!(u32, tty, OFF_TTY_INDEX));
            // new_encode_dev
            minor & 0xff | major << 8 | (minor & !0xff) << 12
        };
    }
}

#[inline(always)]
unsafe fn credentials(h: *mut Header, task: Ptr) {
    // SAFETY: `h` is the record's header.
    unsafe {
        let cred = load_ptr!(task, OFF_TASK_CRED);
        (*h).uid = load!(u32, cred, OFF_CRED_UID);
        (*h).gid = load!(u32, cred, OFF_CRED_GID);
        (*h).euid = load!(u32, cred, OFF_CRED_EUID);
        (*h).egid = load!(u32, cred, OFF_CRED_EGID);
        (*h).suid = load!(u32, cred, OFF_CRED_SUID);
        (*h).fsuid = load!(u32, cred, OFF_CRED_FSUID);
        // kernel_cap_t was two u32 before 6.3 and is one u64 since.
        (*h).cap_effective =
            halves(load!(u32, cred, OFF_CRED_CAP_EFFECTIVE), load!(u32, cred, OFF_CRED_CAP_EFFECTIVE, 4));
        (*h).cap_permitted =
            halves(load!(u32, cred, OFF_CRED_CAP_PERMITTED), load!(u32, cred, OFF_CRED_CAP_PERMITTED, 4));
        (*h).cap_inheritable =
            halves(load!(u32, cred, OFF_CRED_CAP_INHERITABLE), load!(u32, cred, OFF_CRED_CAP_INHERITABLE, 4));
        let user_ns = load_ptr!(cred, OFF_CRED_USER_NS);
        (*h).user_ns = load!(u32, user_ns, OFF_USERNS_INUM);
    }
}

#[inline(always)]
fn halves(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}
