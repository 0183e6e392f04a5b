//! Which program belongs to which tracepoint, and which programs a plan needs.

use std::collections::BTreeSet;

use aya::Btf;
use aya_obj::btf::BtfKind;
use exporter_common::{
    event_type::EventType,
    object::{
        SCHED_EXEC, SCHED_EXIT, SCHED_FORK, SOCKETCALL_SLOT, SOCKETCALL_TYPES, SYS_EXIT, SYS_SOCKETCALL,
        URING_COMPLETE, URING_ENTER, URING_ENTER_SLOT, URING_LOCAL_WORK, URING_SUBMIT, URING_TASK_WORK,
        URING_TYPES, program_of,
    },
};

use super::Plan;

/// Programs that are attached, each with its tracepoint. All that are in no list belong to `sys_exit`, which
/// tail-calls them.
pub(super) const HOOKS: &[(&str, &str)] = &[
    (SCHED_EXEC, "sched_process_exec"),
    (SCHED_FORK, "sched_process_fork"),
    (SCHED_EXIT, "sched_process_exit"),
    (SYS_EXIT, "sys_exit"),
];

/// Programs that are attached while a plan wants one of [`URING_TYPES`], each with the tracepoint's names, the
/// newest first. Where one is refused io_uring is not seen; the rest runs.
const URING_HOOKS: &[(&str, &[&str])] = &[
    (URING_COMPLETE, &["io_uring_complete"]),
    (URING_TASK_WORK, &["io_uring_task_work_run"]),
    (URING_LOCAL_WORK, &["io_uring_local_work_run"]),
    // Renamed in 6.4.
    (URING_SUBMIT, &["io_uring_submit_req", "io_uring_submit_sqe"]),
];

/// All programs that look at io_uring: without one of them the others are of no use.
pub(super) const URING_PROGRAMS: &[&str] =
    &[URING_SUBMIT, URING_COMPLETE, URING_TASK_WORK, URING_LOCAL_WORK, URING_ENTER];

/// Those of [`URING_PROGRAMS`] that are attached themselves.
pub(super) fn uring_hooks() -> impl Iterator<Item = &'static str> {
    URING_HOOKS.iter().map(|(name, _)| *name)
}

/// Does the plan want a type that io_uring requests become?
pub(super) fn wants_uring(plan: &Plan) -> bool {
    URING_TYPES.iter().any(|event_type| plan.wants(*event_type))
}

/// The tracepoint of a program, by the name that this kernel has for it, or else by its newest one.
pub(super) fn tracepoint_of(name: &str, btf: Option<&Btf>) -> &'static str {
    if let Some((_, tracepoint)) = HOOKS.iter().find(|(hook, _)| *hook == name) {
        return tracepoint;
    }
    let Some((_, names)) = URING_HOOKS.iter().find(|(hook, _)| *hook == name) else { return "sys_exit" };
    let exists = |tracepoint: &&&str| {
        let typedef = format!("btf_trace_{tracepoint}");
        btf.is_some_and(|btf| btf.id_by_type_name_kind(&typedef, BtfKind::Typedef).is_ok())
    };
    names.iter().find(exists).or(names.first()).copied().unwrap_or("sys_exit")
}

/// The programs beyond [`HOOKS`] that a plan needs.
pub(super) fn programs_for(plan: &Plan) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for event_type in EventType::ALL.iter().filter(|event_type| plan.wants(**event_type)) {
        names.extend(program_of(*event_type));
        if SOCKETCALL_TYPES.iter().any(|(_, of_call)| of_call == event_type) {
            names.insert(SYS_SOCKETCALL);
        }
    }
    if wants_uring(plan) {
        names.extend(URING_PROGRAMS);
    }
    names
}

/// The slots of the program array at which a program is called.
pub(super) fn slots_of(name: &str) -> impl Iterator<Item = u32> {
    let special = match name {
        SYS_SOCKETCALL => Some(SOCKETCALL_SLOT),
        URING_ENTER => Some(URING_ENTER_SLOT),
        _ => None,
    };
    EventType::ALL
        .iter()
        .filter(move |event_type| program_of(**event_type) == Some(name))
        .map(|event_type| u32::from(event_type.id()))
        .chain(special)
}
