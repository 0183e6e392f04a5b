//! Names of numbers: flags, commands, errors, capabilities, signals. Values are the kernel's, x86; names
//! and their order are Falco's.

mod tables;

use self::tables::*;
pub use self::tables::{EXE_FLAGS, MODE, OPEN, SIGNAL, SOCKET_FLAGS};
use crate::event::args::Names;

/// Names of the bits that are set, separated by `|`; empty if none has a name. Earlier names take their bits
/// away from later ones, so that `O_SYNC` is not `O_DSYNC` too.
pub fn flags(mut bits: u64, table: &[(u64, &str)]) -> String {
    let mut text = String::new();
    for (value, name) in table {
        if *value != 0 && bits & value == *value {
            bits &= !value;
            if !text.is_empty() {
                text.push('|');
            }
            text.push_str(name);
        }
    }
    text
}

/// The name of exactly this number.
pub fn one(number: u64, table: &[(u64, &'static str)]) -> Option<&'static str> {
    table.iter().find(|(value, _)| *value == number).map(|(_, name)| *name)
}

/// The set that an argument speaks of.
pub const fn table(names: Names) -> &'static [(u64, &'static str)] {
    match names {
        Names::Open | Names::Dup => OPEN,
        Names::Resolve => RESOLVE,
        Names::Domain => DOMAIN,
        Names::SocketType => SOCKET_TYPE,
        Names::Accept => SOCKET_FLAGS,
        Names::Ptrace => PTRACE,
        Names::At | Names::Execveat | Names::Unlink => AT,
        Names::Rename => RENAME,
        Names::Clone => CLONE,
        Names::Mount => MOUNT,
        Names::Umount => UMOUNT,
        Names::FinitModule => FINIT_MODULE,
        Names::Memfd => MEMFD,
        Names::Bpf => BPF,
        Names::Prctl => PRCTL,
        Names::Signal => SIGNAL,
    }
}

pub const O_CREAT: u64 = 0o100;
pub const O_TMPFILE: u64 = 0o20_200_000;
pub const O_ACCMODE: u64 = 0o3;

const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Names of a capability set, separated by blanks.
pub fn capabilities(set: u64) -> String {
    let names = CAPABILITIES.iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0);
    let mut text = String::new();
    for (_, name) in names {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name);
    }
    text
}

/// The name of an error number.
pub fn errno(number: u64) -> Option<&'static str> {
    let known = usize::try_from(number).ok().and_then(|number| ERRNO.get(number.checked_sub(1)?)).copied();
    known.filter(|name| !name.is_empty()).or_else(|| one(number, RESTART))
}

/// What the kernel returns inside when a signal interrupts a call; `sys_exit` sees it.
const RESTART: &[(u64, &str)] = &[
    (512, "ERESTARTSYS"),
    (513, "ERESTARTNOINTR"),
    (514, "ERESTARTNOHAND"),
    (515, "ENOIOCTLCMD"),
    (516, "ERESTART_RESTARTBLOCK"),
    (524, "ENOTSUPP"),
];

const ERRNO: [&str; 133] = [
    "EPERM",
    "ENOENT",
    "ESRCH",
    "EINTR",
    "EIO",
    "ENXIO",
    "E2BIG",
    "ENOEXEC",
    "EBADF",
    "ECHILD",
    "EAGAIN",
    "ENOMEM",
    "EACCES",
    "EFAULT",
    "ENOTBLK",
    "EBUSY",
    "EEXIST",
    "EXDEV",
    "ENODEV",
    "ENOTDIR",
    "EISDIR",
    "EINVAL",
    "ENFILE",
    "EMFILE",
    "ENOTTY",
    "ETXTBSY",
    "EFBIG",
    "ENOSPC",
    "ESPIPE",
    "EROFS",
    "EMLINK",
    "EPIPE",
    "EDOM",
    "ERANGE",
    "EDEADLK",
    "ENAMETOOLONG",
    "ENOLCK",
    "ENOSYS",
    "ENOTEMPTY",
    "ELOOP",
    "",
    "ENOMSG",
    "EIDRM",
    "ECHRNG",
    "EL2NSYNC",
    "EL3HLT",
    "EL3RST",
    "ELNRNG",
    "EUNATCH",
    "ENOCSI",
    "EL2HLT",
    "EBADE",
    "EBADR",
    "EXFULL",
    "ENOANO",
    "EBADRQC",
    "EBADSLT",
    "",
    "EBFONT",
    "ENOSTR",
    "ENODATA",
    "ETIME",
    "ENOSR",
    "ENONET",
    "ENOPKG",
    "EREMOTE",
    "ENOLINK",
    "EADV",
    "ESRMNT",
    "ECOMM",
    "EPROTO",
    "EMULTIHOP",
    "EDOTDOT",
    "EBADMSG",
    "EOVERFLOW",
    "ENOTUNIQ",
    "EBADFD",
    "EREMCHG",
    "ELIBACC",
    "ELIBBAD",
    "ELIBSCN",
    "ELIBMAX",
    "ELIBEXEC",
    "EILSEQ",
    "ERESTART",
    "ESTRPIPE",
    "EUSERS",
    "ENOTSOCK",
    "EDESTADDRREQ",
    "EMSGSIZE",
    "EPROTOTYPE",
    "ENOPROTOOPT",
    "EPROTONOSUPPORT",
    "ESOCKTNOSUPPORT",
    "EOPNOTSUPP",
    "EPFNOSUPPORT",
    "EAFNOSUPPORT",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "ENETDOWN",
    "ENETUNREACH",
    "ENETRESET",
    "ECONNABORTED",
    "ECONNRESET",
    "ENOBUFS",
    "EISCONN",
    "ENOTCONN",
    "ESHUTDOWN",
    "ETOOMANYREFS",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "EALREADY",
    "EINPROGRESS",
    "ESTALE",
    "EUCLEAN",
    "ENOTNAM",
    "ENAVAIL",
    "EISNAM",
    "EREMOTEIO",
    "EDQUOT",
    "ENOMEDIUM",
    "EMEDIUMTYPE",
    "ECANCELED",
    "ENOKEY",
    "EKEYEXPIRED",
    "EKEYREVOKED",
    "EKEYREJECTED",
    "EOWNERDEAD",
    "ENOTRECOVERABLE",
    "ERFKILL",
    "EHWPOISON",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_names() {
        for (number, name) in [
            (1, Some("EPERM")),
            (2, Some("ENOENT")),
            (13, Some("EACCES")),
            (38, Some("ENOSYS")),
            (41, None),
            (88, Some("ENOTSOCK")),
            (104, Some("ECONNRESET")),
            (111, Some("ECONNREFUSED")),
            (115, Some("EINPROGRESS")),
            (133, Some("EHWPOISON")),
            (134, None),
            (0, None),
            (512, Some("ERESTARTSYS")),
            (u64::MAX, None),
        ] {
            assert_eq!(errno(number), name, "{number}");
        }
        assert_eq!(capabilities(1 << 21 | 1), "CAP_CHOWN CAP_SYS_ADMIN");
        assert_eq!(capabilities(0), "");
        assert_eq!(capabilities(1 << 40 | 1 << 63), "CAP_CHECKPOINT_RESTORE");
        assert_eq!(flags(0o4_010_000, OPEN), "O_SYNC");
        assert_eq!(flags(0o10_000, OPEN), "O_DSYNC");
        assert_eq!(flags(0o20_200_002, OPEN), "O_TMPFILE|O_RDWR");
        assert_eq!(flags(0o4755, MODE), "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID");
    }
}
