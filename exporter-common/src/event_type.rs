//! The closed set of kernel event types, and the system call numbers that produce them.
//!
//! Names are the ones Falco's rules use in `evt.type`. Numbers are from the kernel's
//! `arch/x86/entry/syscalls/syscall_{64,32}.tbl`.

/// Size of the tables that are indexed by system call number: 64-bit numbers occupy `0..512`, 32-bit
/// (compat) numbers `512..1024`.
pub const SYSCALL_TABLE_SIZE: u32 = 1024;
/// Offset of the compat half of a system call table.
pub const COMPAT_OFFSET: u32 = 512;
/// ia32 `socketcall(2)`: a multiplexer; which event type it is depends on its first argument.
pub const IA32_SOCKETCALL: u32 = 102;

macro_rules! event_types {
    ($($variant:ident = $id:literal, $name:literal, [$($nr:literal),*], [$($nr32:literal),*];)*) => {
        /// A kind of kernel event. The discriminant is the ABI's event type id; 0 is "none".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum EventType { $($variant = $id,)* }

        impl EventType {
            /// Every event type, in id order.
            pub const ALL: &'static [EventType] = &[$(EventType::$variant,)*];

            /// The name in `evt.type`.
            pub const fn name(self) -> &'static str {
                match self { $(EventType::$variant => $name,)* }
            }

            /// x86_64 system call numbers that produce this type (usually one).
            pub const fn syscalls(self) -> &'static [u32] {
                match self { $(EventType::$variant => &[$($nr),*],)* }
            }

            /// ia32 (compat) system call numbers that produce this type.
            pub const fn compat_syscalls(self) -> &'static [u32] {
                match self { $(EventType::$variant => &[$($nr32),*],)* }
            }

            /// The type with this id, if there is one.
            pub const fn from_id(id: u16) -> Option<EventType> {
                match id { $($id => Some(EventType::$variant),)* _ => None }
            }

            /// The type with this `evt.type` name, if there is one.
            pub fn from_name(name: &str) -> Option<EventType> {
                match name { $($name => Some(EventType::$variant),)* _ => None }
            }
        }
    };
}

event_types! {
    Execve = 1, "execve", [59], [11];
    Execveat = 2, "execveat", [322], [358];
    Fork = 3, "fork", [57], [2];
    Vfork = 4, "vfork", [58], [190];
    Clone = 5, "clone", [56], [120];
    Clone3 = 6, "clone3", [435], [435];
    Procexit = 7, "procexit", [], [];
    Open = 8, "open", [2], [5];
    Openat = 9, "openat", [257], [295];
    Openat2 = 10, "openat2", [437], [437];
    Creat = 11, "creat", [85], [8];
    Connect = 12, "connect", [42], [362];
    Accept = 13, "accept", [43], [];
    Accept4 = 14, "accept4", [288], [364];
    Bind = 15, "bind", [49], [361];
    Listen = 16, "listen", [50], [363];
    Socket = 17, "socket", [41], [359];
    Dup = 18, "dup", [32], [41];
    Dup2 = 19, "dup2", [33], [63];
    Dup3 = 20, "dup3", [292], [330];
    Ptrace = 21, "ptrace", [101], [26];
    Symlink = 22, "symlink", [88], [83];
    Symlinkat = 23, "symlinkat", [266], [304];
    Link = 24, "link", [86], [9];
    Linkat = 25, "linkat", [265], [303];
    Rename = 26, "rename", [82], [38];
    Renameat = 27, "renameat", [264], [302];
    Renameat2 = 28, "renameat2", [316], [353];
    Unlink = 29, "unlink", [87], [10];
    Unlinkat = 30, "unlinkat", [263], [301];
    Mkdir = 31, "mkdir", [83], [39];
    Mkdirat = 32, "mkdirat", [258], [296];
    Rmdir = 33, "rmdir", [84], [40];
    Chmod = 34, "chmod", [90], [15];
    Fchmod = 35, "fchmod", [91], [94];
    Fchmodat = 36, "fchmodat", [268], [306];
    Fchmodat2 = 37, "fchmodat2", [452], [452];
    Setuid = 38, "setuid", [105], [23, 213];
    Setns = 39, "setns", [308], [346];
    Unshare = 40, "unshare", [272], [310];
    Mount = 41, "mount", [165], [21];
    Umount2 = 42, "umount2", [166], [52];
    InitModule = 43, "init_module", [175], [128];
    FinitModule = 44, "finit_module", [313], [350];
    MemfdCreate = 45, "memfd_create", [319], [356];
    Bpf = 46, "bpf", [321], [357];
    Userfaultfd = 47, "userfaultfd", [323], [374];
    Sendto = 48, "sendto", [44], [369];
    Sendmsg = 49, "sendmsg", [46], [370];
    Recvfrom = 50, "recvfrom", [45], [371];
    Recvmsg = 51, "recvmsg", [47], [372];
    Kill = 52, "kill", [62], [37];
    Prctl = 53, "prctl", [157], [172];
    Capset = 54, "capset", [126], [185];
    IoUringSetup = 55, "io_uring_setup", [425], [425];
    OpenByHandleAt = 56, "open_by_handle_at", [304], [342];
}

/// One more than the largest event type id: the length of tables indexed by id.
pub const EVENT_TYPE_SLOTS: u32 = 64;

impl EventType {
    /// The ABI's event type id, `1..EVENT_TYPE_SLOTS`.
    pub const fn id(self) -> u16 {
        self as u16
    }
}

const _: () = assert!(EventType::ALL.len() < EVENT_TYPE_SLOTS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_round_trip_and_are_unique() {
        for (index, ty) in EventType::ALL.iter().enumerate() {
            assert_eq!(ty.id() as usize, index + 1, "ids are dense: {ty:?}");
            assert_eq!(EventType::from_id(ty.id()), Some(*ty));
            assert_eq!(EventType::from_name(ty.name()), Some(*ty));
        }
        assert_eq!(EventType::from_id(0), None);
        assert_eq!(EventType::from_id(EVENT_TYPE_SLOTS as u16), None);
    }

    #[test]
    fn no_system_call_produces_two_types() {
        let mut seen = std::collections::HashMap::new();
        for ty in EventType::ALL {
            for nr in
                ty.syscalls().iter().copied().chain(ty.compat_syscalls().iter().map(|nr| nr + COMPAT_OFFSET))
            {
                assert!(nr < SYSCALL_TABLE_SIZE);
                assert_eq!(seen.insert(nr, *ty), None, "{nr}");
            }
        }
    }
}
