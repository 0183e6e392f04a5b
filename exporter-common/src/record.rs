//! The layout of one record in the ring buffer.
//!
//! ```text
//! Header (fixed) | section | section | …
//! section := SectionHeader { kind, flags, len } | len bytes | zero padding to 8
//! ```
//!
//! Integers are in the machine's byte order (a recording says which). A reader skips kinds it does not
//! know. Sections hold only what the event has: an absent section is an absent field.

/// Version of this layout; a recording carries it, and a different one is refused.
pub const ABI_VERSION: u32 = 1;

/// Longest path, as the kernel's `PATH_MAX`.
pub const MAX_PATH: usize = 4096;
/// Most bytes of arguments kept of one exec.
pub const MAX_ARGV: usize = 8192;
/// Most bytes of environment kept of one exec.
pub const MAX_ENVP: usize = 8192;
/// Most ancestors carried by one event.
pub const MAX_ANCESTORS: usize = 64;
/// Most bytes of a send or receive buffer.
pub const MAX_DATA: usize = 1024;
/// Most bytes of a `sockaddr` (the kernel's `sockaddr_storage`).
pub const MAX_SOCKADDR: usize = 128;
/// No record is longer than this.
pub const MAX_RECORD: usize = 64 * 1024;

/// The caller used the 32-bit system call table; scalar arguments are zero-extended 32-bit values.
pub const RECORD_COMPAT: u16 = 1 << 0;
/// Some memory of the caller could not be read; the section concerned is absent or short.
pub const RECORD_FAULT: u16 = 1 << 1;
/// The call was a request to io_uring: the arguments are those that the system call would have had.
pub const RECORD_IO_URING: u16 = 1 << 2;

/// The data was longer than its bound: what is here is a prefix (of a path: the part next to the leaf).
pub const SECTION_TRUNCATED: u16 = 1 << 0;
/// A path's file is no longer linked (deleted).
pub const SECTION_DELETED: u16 = 1 << 1;

/// What every event carries, read from kernel objects when the event fired.
///
/// Process ids named `pid`/`tid` are of the initial namespace, `v*` of the task's own pid namespace.
/// Process facts are those of the thread group (process); `tid`/`vtid`/`comm` those of the thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Header {
    /// Length of the whole record in bytes, header included, multiple of 8.
    pub len: u32,
    /// [`crate::event_type::EventType`] id.
    pub event_type: u16,
    /// `RECORD_*` bits.
    pub flags: u16,
    /// Nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub ts_ns: u64,
    /// Return value of the system call (`-errno` on failure); exit status as of `wait(2)` for procexit.
    pub ret: i64,
    /// The system call's arguments as registers; all zero for procexit.
    pub args: [u64; 6],
    /// System call number in the caller's table, -1 for events that are not system calls.
    pub syscall_nr: i32,
    pub cpu: u32,
    pub tid: u32,
    pub pid: u32,
    pub vtid: u32,
    pub vpid: u32,
    /// Real parent's process id, 0 if none.
    pub ppid: u32,
    /// Real parent's process id in the parent's own namespace.
    pub pvpid: u32,
    pub pgid: u32,
    pub vpgid: u32,
    pub sid: u32,
    pub vsid: u32,
    /// Start of the process, nanoseconds since boot: with `pid` the identity of a process.
    pub start_ns: u64,
    /// Start of the real parent.
    pub parent_start_ns: u64,
    /// Start of the init process of the task's pid namespace.
    pub pidns_init_start_ns: u64,
    /// Inode number of the cgroup v2 directory (`bpf_get_current_cgroup_id`).
    pub cgroup_id: u64,
    pub uid: u32,
    pub gid: u32,
    pub euid: u32,
    pub egid: u32,
    pub suid: u32,
    pub fsuid: u32,
    /// `u32::MAX` when unset.
    pub loginuid: u32,
    pub sessionid: u32,
    pub cap_effective: u64,
    pub cap_permitted: u64,
    pub cap_inheritable: u64,
    pub mnt_ns: u32,
    pub pid_ns: u32,
    pub net_ns: u32,
    pub user_ns: u32,
    /// Controlling terminal as in `/proc/PID/stat` (`new_encode_dev`), 0 if none.
    pub tty: u32,
    /// `PF_KTHREAD` and the like: the task's `flags`.
    pub task_flags: u32,
    /// Task name, NUL-padded. Chosen by the workload.
    pub comm: [u8; 16],
}

const _: () = assert!(size_of::<Header>() == 248);
const _: () = assert!(align_of::<Header>() == 8);

/// Precedes the bytes of a section.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct SectionHeader {
    /// [`SectionKind`] id.
    pub kind: u16,
    /// `SECTION_*` bits.
    pub flags: u16,
    /// Length of the data in bytes, without padding.
    pub len: u32,
}

const _: () = assert!(size_of::<SectionHeader>() == 8);

/// What a section holds. Strings carry no terminating NUL and are not necessarily UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum SectionKind {
    /// Resolved path of the event's object, as seen from the task's root: the opened file, the file
    /// behind the descriptor argument, the file that was renamed. For exec: the executed file.
    Path = 1,
    /// The path argument as the caller passed it (`bprm->filename` for a successful exec).
    PathArg = 2,
    /// Resolved path of the event's second object.
    Path2 = 3,
    /// The second path argument as passed.
    Path2Arg = 4,
    /// Resolved path of the `dirfd` of the first path.
    Dir = 5,
    /// Resolved path of the `dirfd` of the second path.
    Dir2 = 6,
    /// Resolved working directory.
    Cwd = 7,
    /// Resolved path of the executable of the calling process (events other than exec).
    Exe = 8,
    /// Arguments, each followed by a NUL.
    Argv = 9,
    /// Environment, each entry followed by a NUL.
    Envp = 10,
    /// [`Ancestor`]s, parent first.
    Ancestors = 11,
    /// [`FileInfo`] of the file behind the event's descriptor.
    File = 12,
    /// [`SocketInfo`] of the socket behind the event's descriptor.
    Socket = 13,
    /// `sockaddr` the caller passed or received, from the caller's memory.
    Sockaddr = 14,
    /// Name of the local end of a unix socket, as `sun_path` (an abstract one begins with NUL).
    UnixLocal = 15,
    /// Name of the peer of a unix socket.
    UnixPeer = 16,
    /// First bytes of the buffer sent or received.
    Data = 17,
    /// [`ExecInfo`].
    Exec = 18,
    /// [`ChildInfo`] of fork, vfork, clone, clone3.
    Child = 19,
    /// [`OpenHow`] of openat2.
    OpenHow = 20,
    /// Path of the task's cgroup: v2 unless that is the root, else of a v1 hierarchy.
    Cgroup = 21,
    /// [`CapSets`] asked for by capset.
    CapSets = 22,
    /// Third string of a call: the file system type of mount, the parameters of a module load.
    Text = 23,
}

impl SectionKind {
    /// Every kind, in id order; ids are dense from 1.
    pub const ALL: &'static [SectionKind] = &[
        SectionKind::Path,
        SectionKind::PathArg,
        SectionKind::Path2,
        SectionKind::Path2Arg,
        SectionKind::Dir,
        SectionKind::Dir2,
        SectionKind::Cwd,
        SectionKind::Exe,
        SectionKind::Argv,
        SectionKind::Envp,
        SectionKind::Ancestors,
        SectionKind::File,
        SectionKind::Socket,
        SectionKind::Sockaddr,
        SectionKind::UnixLocal,
        SectionKind::UnixPeer,
        SectionKind::Data,
        SectionKind::Exec,
        SectionKind::Child,
        SectionKind::OpenHow,
        SectionKind::Cgroup,
        SectionKind::CapSets,
        SectionKind::Text,
    ];

    /// The kind with this id, if there is one.
    pub fn from_id(id: u16) -> Option<SectionKind> {
        Self::ALL.get(usize::from(id).checked_sub(1)?).copied()
    }
}

/// One ancestor of the calling process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct Ancestor {
    /// Process id in the initial namespace.
    pub pid: u32,
    pub reserved: u32,
    /// Start of that process, nanoseconds since boot.
    pub start_ns: u64,
}

/// `FileInfo::flags`: on the upper layer of an overlay file system.
pub const FILE_UPPER_LAYER: u32 = 1 << 0;
/// `FileInfo::flags`: on the lower layer of an overlay file system.
pub const FILE_LOWER_LAYER: u32 = 1 << 1;
/// `FileInfo::flags`: made by memfd_create.
pub const FILE_MEMFD: u32 = 1 << 2;
/// `FileInfo::flags`: the calling process may write to it (owner, group, mode and capabilities considered).
pub const FILE_WRITABLE: u32 = 1 << 3;
/// `FileInfo::flags`: the open call created it (`FMODE_CREATED`).
pub const FILE_CREATED: u32 = 1 << 4;

/// Facts of an open file, from `struct file` and its inode.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct FileInfo {
    pub ino: u64,
    /// Device as the kernel keeps it: major << 20 | minor.
    pub dev: u32,
    /// `f_flags`: open flags as the kernel keeps them.
    pub open_flags: u32,
    /// Inode type and permission bits (`S_IF*`).
    pub mode: u32,
    /// `FILE_*` bits.
    pub flags: u32,
    pub uid: u32,
    pub gid: u32,
    /// Nanoseconds since the epoch.
    pub ctime_ns: u64,
    pub mtime_ns: u64,
    /// The file system's magic number (`s_magic`).
    pub fs_magic: u64,
    /// Descriptor number this file was found by, -1 if none.
    pub fd: i32,
    pub nlink: u32,
}

const _: () = assert!(size_of::<FileInfo>() == 64);

/// `SocketInfo::flags`: the socket has a peer (TCP past its handshake's start, connected UDP, paired unix).
pub const SOCKET_CONNECTED: u16 = 1 << 0;
/// `SocketInfo::flags`: the calling process is the accepting or listening side.
pub const SOCKET_SERVER: u16 = 1 << 1;

/// A socket, from `struct sock`: never from the caller's memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct SocketInfo {
    pub ino: u64,
    /// Address family (`AF_*`).
    pub family: u16,
    /// Socket type (`SOCK_*`).
    pub sock_type: u16,
    /// Protocol (`IPPROTO_*`).
    pub protocol: u16,
    /// `SOCKET_*` bits.
    pub flags: u16,
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order; 0 if not connected.
    pub remote_port: u16,
    /// `sk_state` (`TCP_*`).
    pub state: u16,
    pub reserved: u16,
    /// Network byte order; IPv4 in the first four bytes, the rest zero.
    pub local_addr: [u8; 16],
    pub remote_addr: [u8; 16],
    /// Descriptor number this socket was found by, -1 if none.
    pub fd: i32,
    /// Network namespace of the socket.
    pub net_ns: u32,
}

const _: () = assert!(size_of::<SocketInfo>() == 64);

/// What a successful exec adds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct ExecInfo {
    /// Arguments as the kernel counted them, also those beyond [`MAX_ARGV`].
    pub argc: u32,
    pub envc: u32,
    /// The whole length of the argument area in bytes.
    pub argv_len: u32,
    pub envp_len: u32,
}

/// The task that fork, vfork, clone or clone3 made. The header is the parent's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct ChildInfo {
    pub tid: u32,
    pub pid: u32,
    /// In the child's own pid namespace.
    pub vtid: u32,
    pub vpid: u32,
    pub start_ns: u64,
    pub cgroup_id: u64,
    /// Real parent, which `CLONE_PARENT` makes another than the caller.
    pub ppid: u32,
    pub pid_ns: u32,
    pub parent_start_ns: u64,
}

const _: () = assert!(size_of::<ChildInfo>() == 48);

/// openat2's `struct open_how`, from the caller's memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct OpenHow {
    pub flags: u64,
    pub mode: u64,
    pub resolve: u64,
}

/// The capability sets of a capset call, from the task's new credentials.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
pub struct CapSets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_ids_are_dense() {
        for (index, kind) in SectionKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index + 1);
            assert_eq!(SectionKind::from_id(*kind as u16), Some(*kind));
        }
        assert_eq!(SectionKind::from_id(0), None);
        assert_eq!(SectionKind::from_id(SectionKind::ALL.len() as u16 + 1), None);
    }
}
