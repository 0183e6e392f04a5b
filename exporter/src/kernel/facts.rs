//! From the running kernel's BTF to the values of the programs' globals, and what a missing one costs.

use exporter_common::offsets::{ABSENT, ENUM_VALUES, OFFSETS, SIZES};
use serde::Serialize;

use super::btf::Btf;

/// A kernel fact that the programs would use and this kernel does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingFact {
    /// The member, size or enumerator.
    pub fact: &'static str,
    /// What rules and outputs do without.
    pub costs: &'static str,
}

/// The value of each global, in the order of the tables.
#[derive(Debug)]
pub(super) struct Facts {
    pub values: Vec<(&'static str, u32)>,
    pub missing: Vec<MissingFact>,
}

impl Facts {
    pub(super) fn read(btf: &Btf<'_>) -> Facts {
        let mut facts = Facts { values: Vec::new(), missing: Vec::new() };
        for (global, paths) in OFFSETS {
            facts.add(global, paths, paths.split('|').find_map(|path| btf.member(path)?.byte_offset()));
        }
        for (global, name) in SIZES {
            facts.add(global, name, btf.size(name));
        }
        for (global, name) in ENUM_VALUES {
            // Enumerators share one namespace in C: the enum's own name is for the reader.
            let value = name.rsplit('.').next().and_then(|enumerator| btf.enumerator(enumerator));
            facts.add(global, name, value.and_then(|value| u32::try_from(value).ok()));
        }
        facts
    }

    fn add(&mut self, global: &'static str, fact: &'static str, value: Option<u32>) {
        if value.is_none() {
            self.missing.push(MissingFact { fact, costs: cost(global) });
        }
        self.values.push((global, value.unwrap_or(ABSENT)));
    }
}

/// Global name prefix → what events lack without it. The longest prefix counts.
const COSTS: &[(&str, &str)] = &[
    ("OFF_REGS_", "all system call events"),
    ("OFF_TASK_STATUS", "events of 32-bit programs"),
    ("OFF_TASK_FLAGS", "kernel threads are not told from processes"),
    ("OFF_TASK_", "process facts (proc.*)"),
    ("OFF_TASK_EXIT_CODE", "the status of procexit"),
    ("OFF_TASK_FS", "all paths"),
    ("OFF_TASK_FILES", "files and sockets behind descriptors (fd.*)"),
    ("OFF_TASK_MM", "proc.args, proc.cmdline, proc.env, proc.exepath"),
    ("OFF_TASK_LOGINUID", "user.loginuid, user.loginname"),
    ("OFF_TASK_SESSIONID", "the audit session id"),
    ("OFF_TASK_CGROUPS", "container.id"),
    ("OFF_TASK_NSPROXY", "namespaces, and with them the difference between container and host"),
    ("OFF_TASK_CRED", "users, groups and capabilities (user.*, group.*, thread.cap_*)"),
    ("OFF_SIGNAL_", "the status of procexit"),
    ("OFF_SIGNAL_PIDS", "process groups and sessions (proc.pgid, proc.sid, proc.is_vpgid_leader, …)"),
    ("OFF_SIGNAL_TTY", "proc.tty"),
    ("OFF_SIGNAL_EXIT_GROUP_DEAD", "procexit once: threads that end together can report it twice"),
    ("OFF_TTY_", "proc.tty"),
    ("OFF_PID_", "process ids in pid namespaces (proc.vpid, thread.vtid, …)"),
    ("OFF_UPID_", "process ids in pid namespaces (proc.vpid, thread.vtid, …)"),
    ("SIZE_PID", "process ids in pid namespaces (proc.vpid, thread.vtid, …)"),
    ("SIZE_UPID", "process ids in pid namespaces (proc.vpid, thread.vtid, …)"),
    ("OFF_PIDNS_", "pid namespaces"),
    ("OFF_NSPROXY_", "namespaces"),
    ("OFF_MNTNS_", "mount namespaces"),
    ("OFF_NET_", "network namespaces"),
    ("OFF_USERNS_", "user namespaces"),
    ("OFF_NS_", "the kind of namespace of setns"),
    ("OFF_CRED_", "users and groups (user.*, group.*)"),
    ("OFF_CRED_CAP_", "capabilities (thread.cap_*)"),
    ("OFF_CRED_GROUP_INFO", "proc.is_exe_writable by supplementary groups"),
    ("OFF_GROUP_INFO_", "proc.is_exe_writable by supplementary groups"),
    ("OFF_MM_", "proc.args, proc.cmdline, proc.env"),
    ("OFF_MM_EXE_FILE", "proc.exepath of a running process"),
    ("OFF_BPRM_", "facts of an exec"),
    ("OFF_BPRM_FDPATH", "the name of a program executed by descriptor"),
    ("OFF_FS_", "all paths"),
    ("OFF_FILES_", "files and sockets behind descriptors (fd.*)"),
    ("OFF_FDTABLE_", "files and sockets behind descriptors (fd.*)"),
    ("OFF_FILE_", "files behind descriptors (fd.*)"),
    ("OFF_DENTRY_", "all paths"),
    ("OFF_MOUNT_", "paths across mount points"),
    ("OFF_VFSMOUNT_", "paths across mount points"),
    ("OFF_INODE_", "file facts (fd.ino, proc.is_exe_writable, …)"),
    ("OFF_INODE_CTIME_", "proc.exe_ino.ctime"),
    ("OFF_INODE_MTIME_", "proc.exe_ino.mtime"),
    ("SIZE_INODE", "proc.is_exe_upper_layer, proc.is_exe_lower_layer"),
    ("OFF_SB_", "file systems (fd.dev, proc.is_exe_from_memfd, proc.is_exe_upper_layer)"),
    ("OFF_SOCKET_", "sockets (fd.sip, fd.cip, fd.sport, …)"),
    ("OFF_SOCK_", "sockets (fd.sip, fd.cip, fd.sport, …)"),
    ("OFF_UNIX_", "names of unix sockets (fd.name)"),
    ("OFF_CSS_", "container.id"),
    ("OFF_CGROUP_", "container.id"),
    ("OFF_KERNFS_", "container.id"),
    ("OFF_URING_", "opens and connects by io_uring"),
    ("OFF_FILENAME_", "the names of opens by io_uring"),
    ("ENUM_", "container.id on hosts with cgroup v1"),
    ("ENUM_URING_", "opens and connects by io_uring of which no completion is posted"),
];

fn cost(global: &str) -> &'static str {
    COSTS
        .iter()
        .filter(|(prefix, _)| global.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .map_or("facts of some events", |(_, cost)| cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_global_has_a_stated_cost_and_every_cost_a_global() {
        let globals = || OFFSETS.iter().chain(SIZES).chain(ENUM_VALUES).map(|(global, _)| *global);
        for global in globals() {
            assert!(
                COSTS.iter().any(|(prefix, _)| global.starts_with(prefix)),
                "no cost stated for {global}"
            );
        }
        for (prefix, _) in COSTS {
            assert!(globals().any(|global| global.starts_with(prefix)), "no global begins with {prefix}");
        }
        assert_eq!(cost("OFF_TASK_LOGINUID"), "user.loginuid, user.loginname", "the longest prefix counts");
    }

    #[test]
    fn an_empty_kernel_lacks_everything_and_says_so() {
        // Just a header and one empty string.
        let mut blob = vec![0x9f, 0xeb, 1, 0];
        if cfg!(target_endian = "big") {
            blob.swap(0, 1);
        }
        for word in [24u32, 0, 0, 0, 1] {
            blob.extend_from_slice(&word.to_ne_bytes());
        }
        blob.push(0);
        let facts = Facts::read(&Btf::parse(&blob).unwrap());
        assert_eq!(facts.missing.len(), OFFSETS.len() + SIZES.len() + ENUM_VALUES.len());
        assert_eq!(facts.values.len(), facts.missing.len());
        assert!(facts.values.iter().all(|(_, value)| *value == ABSENT));
    }
}
