//! Names of the constants that parameters may use.

macro_rules! names {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name as i64)),*]
    };
}

const NAMES: &[(&str, i64)] = names! {
    O_RDONLY O_WRONLY O_RDWR O_CREAT O_EXCL O_TRUNC O_APPEND O_DIRECTORY O_NOFOLLOW O_CLOEXEC O_PATH
    O_NONBLOCK O_TMPFILE
    AT_FDCWD AT_EMPTY_PATH AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_REMOVEDIR
    RENAME_NOREPLACE RENAME_EXCHANGE
    AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_CLOEXEC SOCK_NONBLOCK
    IPPROTO_TCP IPPROTO_UDP IPPROTO_ICMP
    CLONE_NEWNS CLONE_NEWPID CLONE_NEWNET CLONE_NEWUSER CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWCGROUP
    CLONE_VM CLONE_FILES CLONE_PARENT SIGCHLD SIGTERM SIGKILL
    MS_BIND MS_RDONLY MS_NOSUID MS_NODEV MS_NOEXEC MS_REMOUNT MS_PRIVATE MS_REC MNT_DETACH MNT_FORCE
    MFD_CLOEXEC MFD_ALLOW_SEALING
    PTRACE_TRACEME PTRACE_PEEKTEXT PTRACE_POKETEXT PTRACE_POKEDATA PTRACE_ATTACH PTRACE_SEIZE PTRACE_DETACH
    PR_SET_NAME PR_SET_DUMPABLE PR_SET_NO_NEW_PRIVS PR_CAPBSET_READ PR_SET_CHILD_SUBREAPER PR_GET_DUMPABLE
    SYS_mkdir SYS_unshare
};

/// The value of a number (decimal, `0x…`, `0…` octal, negative) or of a known constant.
pub fn value(word: &str) -> Option<i64> {
    if let Some(hex) = word.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok();
    }
    if word.len() > 1 && word.starts_with('0') {
        return i64::from_str_radix(word, 8).ok();
    }
    word.parse().ok().or_else(|| NAMES.iter().find(|(name, _)| *name == word).map(|(_, value)| *value))
}
