//! The kernel facts that the programs need and the loader reads from the running kernel's BTF.
//!
//! rustc emits no CO-RE relocations. Instead each fact is a `u32` global in the object's `.rodata`, which
//! the loader fills in before the map is frozen: the verifier then sees constants. A fact the kernel
//! does not have stays [`ABSENT`], the code that needs it becomes unreachable, and the verifier prunes it.
//!
//! The list is written once, as a macro, so that the two sides cannot drift: `exporter-ebpf` expands it
//! into globals, this module into tables.

/// Value of a global whose fact the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Calls `$callback!` with the list: `offsets { NAME = "struct.member.path"; … } sizes { … } values { … }`.
///
/// - An offset is in bytes. A path looks through anonymous structs and unions, continues through named
///   struct members, and may list alternatives separated by `|`: the first one that exists counts.
/// - A size is `sizeof(struct NAME)`.
/// - A value is that of an enumerator, `enum.ENUMERATOR`.
#[macro_export]
macro_rules! kernel_facts {
    ($callback:ident) => {
        $callback! {
            offsets {
                OFF_TASK_STATUS = "task_struct.thread_info.status";
                OFF_TASK_FLAGS = "task_struct.flags";
                OFF_TASK_PID = "task_struct.pid";
                OFF_TASK_TGID = "task_struct.tgid";
                OFF_TASK_REAL_PARENT = "task_struct.real_parent";
                OFF_TASK_GROUP_LEADER = "task_struct.group_leader";
                OFF_TASK_THREAD_PID = "task_struct.thread_pid";
                OFF_TASK_SIGNAL = "task_struct.signal";
                OFF_TASK_CRED = "task_struct.cred";
                OFF_TASK_NSPROXY = "task_struct.nsproxy";
                OFF_TASK_MM = "task_struct.mm";
                OFF_TASK_FS = "task_struct.fs";
                OFF_TASK_FILES = "task_struct.files";
                OFF_TASK_COMM = "task_struct.comm";
                OFF_TASK_EXIT_CODE = "task_struct.exit_code";
                OFF_TASK_START_BOOTTIME = "task_struct.start_boottime|task_struct.real_start_time";
                OFF_TASK_LOGINUID = "task_struct.loginuid";
                OFF_TASK_SESSIONID = "task_struct.sessionid";
                OFF_TASK_CGROUPS = "task_struct.cgroups";

                OFF_SIGNAL_PIDS = "signal_struct.pids";
                OFF_SIGNAL_TTY = "signal_struct.tty";
                OFF_SIGNAL_LIVE = "signal_struct.live";
                // Since 6.16 the tracepoint itself says whether it was the last thread.
                OFF_SIGNAL_EXIT_GROUP_DEAD = "trace_event_raw_sched_process_exit.group_dead";
                OFF_SIGNAL_FLAGS = "signal_struct.flags";
                OFF_SIGNAL_GROUP_EXIT_CODE = "signal_struct.group_exit_code";
                OFF_TTY_DRIVER = "tty_struct.driver";
                OFF_TTY_INDEX = "tty_struct.index";
                OFF_TTY_DRIVER_MAJOR = "tty_driver.major";
                OFF_TTY_DRIVER_MINOR_START = "tty_driver.minor_start";

                OFF_PID_LEVEL = "pid.level";
                OFF_PID_NUMBERS = "pid.numbers";
                OFF_UPID_NR = "upid.nr";
                OFF_UPID_NS = "upid.ns";
                OFF_PIDNS_CHILD_REAPER = "pid_namespace.child_reaper";
                OFF_PIDNS_INUM = "pid_namespace.ns.inum";
                OFF_NSPROXY_MNT_NS = "nsproxy.mnt_ns";
                OFF_NSPROXY_NET_NS = "nsproxy.net_ns";
                OFF_MNTNS_INUM = "mnt_namespace.ns.inum";
                OFF_NET_INUM = "net.ns.inum";
                OFF_USERNS_INUM = "user_namespace.ns.inum";

                OFF_CRED_UID = "cred.uid";
                OFF_CRED_GID = "cred.gid";
                OFF_CRED_SUID = "cred.suid";
                OFF_CRED_EUID = "cred.euid";
                OFF_CRED_EGID = "cred.egid";
                OFF_CRED_FSUID = "cred.fsuid";
                OFF_CRED_FSGID = "cred.fsgid";
                OFF_CRED_CAP_INHERITABLE = "cred.cap_inheritable";
                OFF_CRED_CAP_PERMITTED = "cred.cap_permitted";
                OFF_CRED_CAP_EFFECTIVE = "cred.cap_effective";
                OFF_CRED_USER_NS = "cred.user_ns";
                OFF_CRED_GROUP_INFO = "cred.group_info";
                OFF_GROUP_INFO_NGROUPS = "group_info.ngroups";
                OFF_GROUP_INFO_GID = "group_info.gid";

                OFF_MM_ARG_START = "mm_struct.arg_start";
                OFF_MM_ARG_END = "mm_struct.arg_end";
                OFF_MM_ENV_START = "mm_struct.env_start";
                OFF_MM_ENV_END = "mm_struct.env_end";
                OFF_MM_EXE_FILE = "mm_struct.exe_file";
                OFF_BPRM_FILE = "linux_binprm.file";
                OFF_BPRM_FILENAME = "linux_binprm.filename";
                OFF_BPRM_FDPATH = "linux_binprm.fdpath";
                OFF_BPRM_ARGC = "linux_binprm.argc";
                OFF_BPRM_ENVC = "linux_binprm.envc";

                OFF_FS_ROOT_MNT = "fs_struct.root.mnt";
                OFF_FS_ROOT_DENTRY = "fs_struct.root.dentry";
                OFF_FS_PWD_MNT = "fs_struct.pwd.mnt";
                OFF_FS_PWD_DENTRY = "fs_struct.pwd.dentry";
                OFF_FILES_FDT = "files_struct.fdt";
                OFF_FDTABLE_MAX_FDS = "fdtable.max_fds";
                OFF_FDTABLE_FD = "fdtable.fd";
                OFF_FILE_PATH_MNT = "file.f_path.mnt";
                OFF_FILE_PATH_DENTRY = "file.f_path.dentry";
                OFF_FILE_INODE = "file.f_inode";
                OFF_FILE_FLAGS = "file.f_flags";
                OFF_FILE_MODE = "file.f_mode";
                OFF_FILE_PRIVATE_DATA = "file.private_data";
                OFF_DENTRY_HASH_PPREV = "dentry.d_hash.pprev";
                OFF_DENTRY_PARENT = "dentry.d_parent";
                OFF_DENTRY_NAME_LEN = "dentry.d_name.len";
                OFF_DENTRY_NAME_NAME = "dentry.d_name.name";
                OFF_DENTRY_INODE = "dentry.d_inode";
                OFF_DENTRY_SHORTNAME = "dentry.d_shortname|dentry.d_iname";
                OFF_DENTRY_SB = "dentry.d_sb";
                OFF_MOUNT_MNT = "mount.mnt";
                OFF_MOUNT_PARENT = "mount.mnt_parent";
                OFF_MOUNT_MOUNTPOINT = "mount.mnt_mountpoint";
                OFF_VFSMOUNT_ROOT = "vfsmount.mnt_root";
                OFF_INODE_MODE = "inode.i_mode";
                OFF_INODE_UID = "inode.i_uid";
                OFF_INODE_GID = "inode.i_gid";
                OFF_INODE_SB = "inode.i_sb";
                OFF_INODE_INO = "inode.i_ino";
                OFF_INODE_NLINK = "inode.i_nlink";
                OFF_INODE_PRIVATE = "inode.i_private";
                OFF_INODE_CTIME_SEC = "inode.i_ctime_sec|inode.__i_ctime.tv_sec|inode.i_ctime.tv_sec";
                OFF_INODE_CTIME_NSEC = "inode.i_ctime_nsec|inode.__i_ctime.tv_nsec|inode.i_ctime.tv_nsec";
                OFF_INODE_MTIME_SEC = "inode.i_mtime_sec|inode.__i_mtime.tv_sec|inode.i_mtime.tv_sec";
                OFF_INODE_MTIME_NSEC = "inode.i_mtime_nsec|inode.__i_mtime.tv_nsec|inode.i_mtime.tv_nsec";
                OFF_SB_DEV = "super_block.s_dev";
                OFF_SB_MAGIC = "super_block.s_magic";
                OFF_NS_COMMON_OPS = "ns_common.ops";
                OFF_NS_OPS_NAME = "proc_ns_operations.name";

                OFF_REGS_ORIG_AX = "pt_regs.orig_ax";
                OFF_REGS_DI = "pt_regs.di";
                OFF_REGS_SI = "pt_regs.si";
                OFF_REGS_DX = "pt_regs.dx";
                OFF_REGS_R10 = "pt_regs.r10";
                OFF_REGS_R8 = "pt_regs.r8";
                OFF_REGS_R9 = "pt_regs.r9";
                OFF_REGS_BX = "pt_regs.bx";
                OFF_REGS_CX = "pt_regs.cx";
                OFF_REGS_BP = "pt_regs.bp";

                OFF_SOCKET_SK = "socket.sk";
                OFF_SOCKET_TYPE = "socket.type";
                OFF_SOCK_FAMILY = "sock.__sk_common.skc_family";
                OFF_SOCK_STATE = "sock.__sk_common.skc_state";
                OFF_SOCK_DADDR = "sock.__sk_common.skc_daddr";
                OFF_SOCK_RCV_SADDR = "sock.__sk_common.skc_rcv_saddr";
                OFF_SOCK_DPORT = "sock.__sk_common.skc_dport";
                OFF_SOCK_NUM = "sock.__sk_common.skc_num";
                OFF_SOCK_V6_DADDR = "sock.__sk_common.skc_v6_daddr";
                OFF_SOCK_V6_RCV_SADDR = "sock.__sk_common.skc_v6_rcv_saddr";
                OFF_SOCK_NET = "sock.__sk_common.skc_net.net";
                OFF_SOCK_PROTOCOL = "sock.sk_protocol";
                OFF_SOCK_MAX_ACK_BACKLOG = "sock.sk_max_ack_backlog";
                OFF_UNIX_ADDR = "unix_sock.addr";
                OFF_UNIX_PEER = "unix_sock.peer";
                OFF_UNIX_ADDR_LEN = "unix_address.len";
                OFF_UNIX_ADDR_NAME = "unix_address.name";

                OFF_CSS_SET_DFL_CGRP = "css_set.dfl_cgrp";
                OFF_CSS_SET_SUBSYS = "css_set.subsys";
                OFF_CSS_CGROUP = "cgroup_subsys_state.cgroup";
                OFF_CGROUP_KN = "cgroup.kn";
                OFF_KERNFS_PARENT = "kernfs_node.__parent|kernfs_node.parent";
                OFF_KERNFS_NAME = "kernfs_node.name";
                OFF_KERNFS_ID = "kernfs_node.id";

                OFF_URING_OPCODE = "io_kiocb.opcode";
                OFF_URING_REQ_FLAGS = "io_kiocb.flags";
                OFF_URING_FILE = "io_kiocb.file";
                OFF_URING_FD = "io_kiocb.cqe.fd";
                OFF_URING_RES = "io_kiocb.cqe.res";
                // A request's command begins with the request.
                OFF_URING_OPEN_DFD = "io_open.dfd";
                OFF_URING_OPEN_SLOT = "io_open.file_slot";
                OFF_URING_OPEN_NAME = "io_open.filename";
                OFF_URING_OPEN_FLAGS = "io_open.how.flags";
                OFF_URING_OPEN_MODE = "io_open.how.mode";
                OFF_URING_OPEN_RESOLVE = "io_open.how.resolve";
                OFF_URING_CONNECT_ADDR = "io_connect.addr";
                OFF_URING_CONNECT_LEN = "io_connect.addr_len";
                OFF_FILENAME_NAME = "filename.name";
                OFF_FILENAME_UPTR = "filename.uptr";
            }
            sizes {
                SIZE_PID = "pid";
                SIZE_UPID = "upid";
                SIZE_INODE = "inode";
            }
            values {
                ENUM_MEMORY_CGRP_ID = "cgroup_subsys_id.memory_cgrp_id";
                ENUM_PIDS_CGRP_ID = "cgroup_subsys_id.pids_cgrp_id";
                ENUM_CPU_CGRP_ID = "cgroup_subsys_id.cpu_cgrp_id";
                ENUM_URING_CQE_SKIP = "REQ_F.REQ_F_CQE_SKIP_BIT";
                ENUM_URING_NEED_CLEANUP = "REQ_F.REQ_F_NEED_CLEANUP_BIT";
            }
        }
    };
}

macro_rules! tables {
    (offsets { $($off:ident = $path:literal;)* } sizes { $($size:ident = $ty:literal;)* } values { $($val:ident = $en:literal;)* }) => {
        /// Global name → member path, whose byte offset the global holds.
        pub const OFFSETS: &[(&str, &str)] = &[$((stringify!($off), $path),)*];
        /// Global name → struct, whose size in bytes the global holds.
        pub const SIZES: &[(&str, &str)] = &[$((stringify!($size), $ty),)*];
        /// Global name → `enum.ENUMERATOR`, whose value the global holds.
        pub const ENUM_VALUES: &[(&str, &str)] = &[$((stringify!($val), $en),)*];
    };
}

kernel_facts!(tables);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_fact_names_a_type() {
        let mut seen = std::collections::HashSet::new();
        for (name, path) in OFFSETS.iter().chain(ENUM_VALUES) {
            assert!(seen.insert(*name), "{name} is declared twice");
            for alternative in path.split('|') {
                assert!(alternative.contains('.'), "{name}: {alternative} has no member");
            }
        }
        for (name, ty) in SIZES {
            assert!(seen.insert(*name), "{name} is declared twice");
            assert!(!ty.contains('.'), "{name}");
        }
    }
}
