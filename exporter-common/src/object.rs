//! The names in the kernel object: programs, maps and settings, and the rules by which maps are indexed.
//!
//! # Programs
//! All are `tp_btf` programs. [`SYS_EXIT`] is attached to `sys_exit`; it looks the system call's number up in
//! [`SYSCALL_TYPES`] and tail-calls [`PROGRAMS`] at the value found there. The programs named by
//! [`program_of`] are loaded for the same tracepoint but never attached: they live in [`PROGRAMS`].
//! [`SCHED_EXEC`], [`SCHED_FORK`] and [`SCHED_EXIT`] are attached to `sched_process_{exec,fork,exit}` and always run.

use crate::event_type::EventType;

/// Attached to `sys_exit`: dispatches to the program of the event type.
pub const SYS_EXIT: &str = "sys_exit";
/// Attached to `sched_process_exec`: successful execve and execveat.
pub const SCHED_EXEC: &str = "sched_exec";
/// Attached to `sched_process_fork`: fork, vfork, clone, clone3.
pub const SCHED_FORK: &str = "sched_fork";
/// Attached to `sched_process_exit`: procexit.
pub const SCHED_EXIT: &str = "sched_exit";
/// In [`PROGRAMS`] at [`SOCKETCALL_SLOT`]: finds out which call an ia32 `socketcall` is.
pub const SYS_SOCKETCALL: &str = "sys_socketcall";

/// Attached to the submission of io_uring requests: keeps their arguments. Optional.
pub const URING_SUBMIT: &str = "uring_submit";
/// Attached to the completion of io_uring requests: reports them. Optional.
pub const URING_COMPLETE: &str = "uring_complete";
/// Attached to where a thread has run what io_uring left to it. Optional.
pub const URING_TASK_WORK: &str = "uring_task_work";
/// The same of a ring that is its thread's alone. Optional.
pub const URING_LOCAL_WORK: &str = "uring_local_work";
/// In [`PROGRAMS`] at [`URING_ENTER_SLOT`]: reports what was submitted and is done. Optional.
pub const URING_ENTER: &str = "uring_enter";
/// System call number of `io_uring_enter`, in both tables.
pub const IO_URING_ENTER: u32 = 426;
/// Requests to io_uring that are followed at a time; what a request says is kept with it.
pub const MAX_URING_REQUESTS: u32 = 512;
/// The types that io_uring requests become.
pub const URING_TYPES: &[EventType] = &[EventType::Openat, EventType::Openat2, EventType::Connect];

/// `RingBuf` of records. The loader sets its size (default 8 MiB).
pub const EVENTS: &str = "EVENTS";
/// `Array<u32>` of [`crate::event_type::SYSCALL_TABLE_SIZE`]: system call number (plus
/// [`crate::event_type::COMPAT_OFFSET`] for compat) → event type id, or [`SOCKETCALL_SLOT`], or 0 for off.
pub const SYSCALL_TYPES: &str = "SYSCALL_TYPES";
/// `ProgramArray` of [`crate::event_type::EVENT_TYPE_SLOTS`], indexed by event type id, and by [`SOCKETCALL_SLOT`].
pub const PROGRAMS: &str = "PROGRAMS";
/// `Array<TypeConfig>` of [`crate::event_type::EVENT_TYPE_SLOTS`], indexed by event type id.
pub const TYPE_CONFIG: &str = "TYPE_CONFIG";
/// `PerCpuArray<TypeCounters>` of [`crate::event_type::EVENT_TYPE_SLOTS`], indexed by event type id.
pub const TYPE_COUNTERS: &str = "TYPE_COUNTERS";
/// `PerCpuArray<u64>` indexed by [`crate::counters::GlobalCounter`].
pub const GLOBAL_COUNTERS: &str = "GLOBAL_COUNTERS";
/// `Array` indexed by CPU, of a type that only the kernel side knows: where a record is built. The loader must set its length to the
/// number of possible CPUs. (Not a per-CPU map: those hold at most 32 KiB an element.)
pub const SCRATCH: &str = "SCRATCH";
/// `Array<u32>` of one: the consumer sets it to 1 before it sleeps on the ring; the next record wakes it
/// and clears it.
pub const WAKE: &str = "WAKE";

/// `Array<Filter>` of [`crate::filter::BANKS`] × [`crate::event_type::EVENT_TYPE_SLOTS`]: see [`crate::filter`].
pub const FILTERS: &str = "FILTERS";
/// `Array<u64>` of [`crate::filter::BANKS`] × [`crate::filter::keys::KEYS`]: masks by the hash of a key.
pub const FILTER_KEYS: &str = "FILTER_KEYS";
/// `HashMap<u64, u32>`: cgroup id → `CGROUP_HOST` or `CGROUP_CONTAINER`. What is not in it is not known.
pub const CGROUPS: &str = "CGROUPS";
/// Entries of [`CGROUPS`].
pub const MAX_CGROUPS: u32 = 8192;

/// `u32` global: thread group id of Yagura itself, whose system calls are not reported.
pub const SELF_TGID: &str = "SELF_TGID";
/// `u32` global: mount namespace of the host, 0 if not known.
pub const HOST_MNT_NS: &str = "HOST_MNT_NS";
/// `u32` global: bytes waiting in [`EVENTS`] from which on every record wakes the consumer.
pub const RING_WAKE_BYTES: &str = "RING_WAKE_BYTES";

/// Value in [`SYSCALL_TYPES`] and index in [`PROGRAMS`] of ia32 `socketcall`, which is not one event type.
/// Set when any type of [`SOCKETCALL_TYPES`] is on.
pub const SOCKETCALL_SLOT: u32 = 63;
/// The same of `io_uring_enter`, which is no event type. Set while one of [`URING_TYPES`] is on.
pub const URING_ENTER_SLOT: u32 = 62;

/// First argument of ia32 `socketcall(2)` → event type (`include/uapi/linux/net.h`).
pub const SOCKETCALL_TYPES: &[(u32, EventType)] = &[
    (1, EventType::Socket),
    (2, EventType::Bind),
    (3, EventType::Connect),
    (4, EventType::Listen),
    (5, EventType::Accept),
    (9, EventType::Sendto),    // send(2), which is sendto without an address
    (10, EventType::Recvfrom), // recv(2)
    (11, EventType::Sendto),
    (12, EventType::Recvfrom),
    (16, EventType::Sendmsg),
    (17, EventType::Recvmsg),
    (18, EventType::Accept4),
];

/// The program that handles `event_type` when `sys_exit` finds its system call; `None` for a type that is
/// reported by an attached program only. (execve and execveat have both: `sys_exit` reports the failed ones.)
pub const fn program_of(event_type: EventType) -> Option<&'static str> {
    use EventType::*;
    Some(match event_type {
        Fork | Vfork | Clone | Clone3 | Procexit => return None,
        Execve | Execveat => "sys_exec",
        Open | Openat | Openat2 | Creat | OpenByHandleAt => "sys_open",
        Connect | Accept | Accept4 | Bind | Listen | Socket => "sys_socket",
        Sendto | Recvfrom => "sys_sendto",
        Sendmsg | Recvmsg => "sys_sendmsg",
        Dup | Dup2 | Dup3 => "sys_dup",
        Symlink | Symlinkat => "sys_symlink",
        Link | Linkat | Rename | Renameat | Renameat2 => "sys_two_paths",
        Unlink | Unlinkat | Mkdir | Mkdirat | Rmdir | Chmod | Fchmodat | Fchmodat2 => "sys_one_path",
        Fchmod => "sys_fchmod",
        Mount | Umount2 => "sys_mount",
        InitModule | FinitModule => "sys_module",
        Setns => "sys_setns",
        Capset => "sys_capset",
        MemfdCreate => "sys_memfd",
        Ptrace | Setuid | Unshare | Bpf | Userfaultfd | Kill | Prctl | IoUringSetup => "sys_plain",
    })
}

/// Whether events of this type can be dropped in the kernel: those by which the process table lives cannot.
pub const fn can_filter(event_type: EventType) -> bool {
    !matches!(event_type, EventType::Execve | EventType::Execveat) && program_of(event_type).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_type::EVENT_TYPE_SLOTS;

    #[test]
    fn the_other_slots_are_no_event_types() {
        const { assert!(SOCKETCALL_SLOT < EVENT_TYPE_SLOTS && URING_ENTER_SLOT < EVENT_TYPE_SLOTS) };
        assert_eq!(EventType::from_id(SOCKETCALL_SLOT as u16), None);
        assert_eq!(EventType::from_id(URING_ENTER_SLOT as u16), None);
    }

    #[test]
    fn a_type_with_a_system_call_has_a_way_to_be_reported() {
        for ty in EventType::ALL {
            let by_scheduler = matches!(
                ty,
                EventType::Fork
                    | EventType::Vfork
                    | EventType::Clone
                    | EventType::Clone3
                    | EventType::Procexit
            );
            assert_eq!(program_of(*ty).is_none(), by_scheduler, "{ty:?}");
        }
    }
}
