//! Fields of kernel events that are known but have no value here: what Falco deprecated, and what costs more than
//! it tells.

use super::{
    ArgSpec::{self, *},
    Cardinality::{self, *},
    FieldDef,
    FieldType::{self, *},
    Provided, Row, SYSCALL, rows,
};

const OWNERS: &str =
    "Falco deprecated it, and of these objects only the names of those that made a pod are asked for";

/// Kubernetes' metadata that Falco does not fill any more, and neither do we: rules that use it load, comparisons are
/// false.
const DEPRECATED: &[Row] = &[
    ("k8s.ns.id", String, None, One, "Id of the namespace."),
    ("k8s.deployment.id", String, None, One, "Id of the deployment."),
    ("k8s.deployment.label", String, RequiredName, One, "One label of the deployment."),
    ("k8s.deployment.labels", String, None, One, "All labels of the deployment."),
    ("k8s.rc.name", String, None, One, "Name of the replication controller."),
    ("k8s.rc.id", String, None, One, "Id of the replication controller."),
    ("k8s.rc.label", String, RequiredName, One, "One label of the replication controller."),
    ("k8s.rc.labels", String, None, One, "All labels of the replication controller."),
    ("k8s.rs.id", String, None, One, "Id of the replica set."),
    ("k8s.rs.label", String, RequiredName, One, "One label of the replica set."),
    ("k8s.rs.labels", String, None, One, "All labels of the replica set."),
    ("k8s.svc.name", String, None, One, "Name of the service."),
    ("k8s.svc.id", String, None, One, "Id of the service."),
    ("k8s.svc.label", String, RequiredName, One, "One label of the service."),
    ("k8s.svc.labels", String, None, One, "All labels of the service."),
];

/// Fields with the reason for which a rule that uses them is refused.
const REFUSED: &[(&str, FieldType, ArgSpec, Cardinality, &str, &str)] = &[
    ("evt.around", Uint64, RequiredName, One, "True near a point in time.", "it is for searching captures"),
    ("evt.pluginname", String, None, One, "Name of the plugin that made the event.", PLUGINS),
    ("evt.plugininfo", String, None, One, "Summary of the event by its plugin.", PLUGINS),
    ("evt.asynctype", String, None, One, "Type of an event made in the background.", PLUGINS),
    ("evt.latency", RelTime, None, One, "Duration of the system call (deprecated by Falco).", ENTER),
    ("evt.latency.s", RelTime, None, One, "Whole seconds of evt.latency (deprecated by Falco).", ENTER),
    ("evt.latency.ns", RelTime, None, One, "Nanoseconds of evt.latency (deprecated by Falco).", ENTER),
    ("evt.latency.human", String, None, One, "evt.latency as text (deprecated by Falco).", ENTER),
    ("evt.wait_latency", RelTime, None, One, "Time spent waiting (deprecated by Falco).", ENTER),
    ("fd.types", String, OptionalIndex, List, "Kinds of the process's descriptors.", NO_FD_TABLE),
    ("fdlist.nums", String, None, One, "Descriptor numbers of a poll.", POLL),
    ("fdlist.names", String, None, One, "Names of a poll's descriptors.", POLL),
    ("fdlist.cips", String, None, One, "Client addresses of a poll's descriptors.", POLL),
    ("fdlist.sips", String, None, One, "Server addresses of a poll's descriptors.", POLL),
    ("fdlist.cports", String, None, One, "Client ports of a poll's descriptors.", POLL),
    ("fdlist.sports", String, None, One, "Server ports of a poll's descriptors.", POLL),
    ("proc.stdin.type", String, None, One, "Kind of the process's standard input.", NO_FD_TABLE),
    ("proc.stdout.type", String, None, One, "Kind of the process's standard output.", NO_FD_TABLE),
    ("proc.stderr.type", String, None, One, "Kind of the process's standard error.", NO_FD_TABLE),
    ("proc.stdin.name", String, None, One, "Name of the process's standard input.", NO_FD_TABLE),
    ("proc.stdout.name", String, None, One, "Name of the process's standard output.", NO_FD_TABLE),
    ("proc.stderr.name", String, None, One, "Name of the process's standard error.", NO_FD_TABLE),
    ("proc.nthreads", Uint64, None, One, "Live threads of the process.", USAGE),
    ("proc.nchilds", Uint64, None, One, "Live threads of the process but the main one.", USAGE),
    ("proc.vmsize", Uint64, None, One, "Virtual memory in kilobytes.", USAGE),
    ("proc.vmrss", Uint64, None, One, "Resident memory in kilobytes.", USAGE),
    ("proc.vmswap", Uint64, None, One, "Swapped memory in kilobytes.", USAGE),
    ("proc.fdopencount", Uint64, None, One, "Open descriptors.", USAGE),
    ("proc.fdlimit", Int64, None, One, "Most descriptors the process may open.", USAGE),
    ("proc.fdusage", Double, None, One, "Open descriptors in percent of the limit.", USAGE),
    ("thread.pfmajor", Uint64, None, One, "Major page faults.", USAGE),
    ("thread.pfminor", Uint64, None, One, "Minor page faults.", USAGE),
    ("thread.exectime", RelTime, None, One, "CPU time of the last slice.", USAGE),
    ("thread.totexectime", RelTime, None, One, "CPU time since the capture began.", USAGE),
    ("thread.cpu", Double, None, One, "CPU used in the last second.", USAGE),
    ("thread.cpu.user", Double, None, One, "CPU used in user mode.", USAGE),
    ("thread.cpu.system", Double, None, One, "CPU used in kernel mode.", USAGE),
    ("thread.vmsize", Uint64, None, One, "Virtual memory in kilobytes.", USAGE),
    ("thread.vmrss", Uint64, None, One, "Resident memory in kilobytes.", USAGE),
];

const PLUGINS: &str = "plugins are not part of Yagura";
const ENTER: &str = "only the end of a system call is observed";
const NO_FD_TABLE: &str = "the table of a process's descriptors is not kept; use fd.* of the event's own";
const POLL: &str = "poll and select are not observed";
const USAGE: &str = "resource usage is not collected";

pub(super) fn defs() -> Vec<FieldDef> {
    let mut defs = rows(SYSCALL, Provided::Absent(OWNERS), DEPRECATED);
    for &(name, ty, arg, cardinality, description, reason) in REFUSED {
        defs.extend(rows(SYSCALL, Provided::No(reason), &[(name, ty, arg, cardinality, description)]));
    }
    defs
}
