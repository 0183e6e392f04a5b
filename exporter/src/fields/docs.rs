//! Writes `docs/fields.md` and `docs/events.md` from the scheme and the table of arguments, and fails when
//! they differ. `UPDATE_DOCS=1 cargo test -p exporter --lib docs` rewrites them.

use std::{fmt::Write, fs, path::Path};

use exporter_common::event_type::EventType;

use super::{
    Cardinality, FieldDef, Provided,
    scheme::{ArgSpec, scheme},
};
use crate::event::args::{self, ArgKind, Names, Special};

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/{name} differs from the code: run UPDATE_DOCS=1 cargo test -p exporter --lib docs"
    );
}

const FIELDS_INTRO: &str = "\
# Fields

<!-- Generated from the code. UPDATE_DOCS=1 cargo test -p exporter --lib docs rewrites this file. -->

These are the fields that conditions and outputs may name. Names, types and meaning are Falco's.
`yagura fields` prints the same list.

- A field that an event does not have is *absent*. Every comparison with it is false; only `exists` tests for
  it. An output shows `<NA>`.
- An argument follows in brackets: `proc.aname[2]`, `proc.env[HOME]`, `evt.arg[0]`. Where the table says *name*
  it may follow after a dot too: `evt.arg.flags`.
- A field with *any* yields several values; a comparison is true if it is true for one of them. With an
  argument it yields one value.
- Where a description says how we differ from Falco, that is on purpose.

Ways in which fields differ from Falco's:

- `fd.name` of a file that was opened is the path that the kernel resolved, so a symbolic link or `..` cannot
  hide a file. `fd.nameraw` and `fs.path.nameraw` are what the caller passed. If the call failed, `fd.name` is
  the argument made absolute as text.
- `fd.name` of a unix socket is the path of the end that has one, without addresses of kernel structures. An
  abstract name begins with `@`.
- `fd.lip` and `fd.rip` are the local and the remote end of the socket itself, not a guess by the host's
  addresses.
- `fd.sip.name` and its like never ask a name server when an event comes. They know the names that enabled rules
  mention, which the host resolves ahead of time, the host's `/etc/hosts`, and what name servers answered: while a rule
  uses such a field, what `recvfrom` and `recvmsg` bring from port 53 is read, and an address has the question's name
  and its aliases for the time the answer says (a minute at least, an hour at most), in the network namespace in which
  the answer came. Answers that arrive by `read`, `recvmmsg`, io_uring or encrypted are not seen.
- A workload can send itself any answer. So an answer never counts for a name that the host itself has an address for.
  A rule that lets connections pass by another name can be deceived by the workload it watches; compare addresses there.
- `user.name`, `user.homedir`, `user.shell` and `group.name` of a process in another mount namespace than the host's are
  those of the `/etc/passwd` and `/etc/group` below its own root. They are read after the namespace's first event: until
  then the fields are absent (only user and group 0 are `root`), so that a detection lists them as incomplete. They are
  looked at again every 10 seconds while the namespace has events. What is behind a mount of its own, on a FUSE root, or
  no regular file is not read, of a long file 32 KiB are, and user namespaces are not mapped: an id is the host's.
  In a replay, only the host's names are known. `user.loginname` is always the host's: that is where the login was.
- `container.*` and `k8s.*` come from whoever runs the container ([containers](containers.md)). They are absent while that
  is not known: the events of a new container wait for it for half a second at most. In a replay they are absent.
- `container.image` is what the container's maker wrote, if the runtime still knows it, not one of several names of the
  same image.
- `thread.cgroup` is the same for every controller.
- Dates and times are in UTC.
- `creat` counts as an open for writing that creates.
- `evt.arg.type` of `socket` is written as names (`SOCK_RAW|SOCK_CLOEXEC`).
- `thread.cgroups` is one path.
";

#[test]
fn fields_md_is_the_scheme() {
    let mut text = FIELDS_INTRO.to_owned();
    let groups: [(&str, &str, &[&str]); 8] = [
        ("evt, syscall", "The event itself.", &["evt.", "syscall."]),
        ("proc", "The process that made the event, its ancestors and leaders.", &["proc."]),
        ("thread", "The thread that made the event.", &["thread."]),
        (
            "fd",
            "The file or socket of the event. Only events that make or use a descriptor have these.",
            &["fd.", "fdlist."],
        ),
        ("fs", "Paths of calls that work on paths.", &["fs."]),
        ("user, group", "Who the process is.", &["user.", "group."]),
        ("container, k8s", "Where the process runs.", &["container.", "k8s."]),
        ("ka, jevt", "Kubernetes audit events (rules with `source: k8s_audit`).", &["ka.", "jevt."]),
    ];
    let mut shown = 0;
    for (title, about, prefixes) in groups {
        let defs: Vec<&FieldDef> = scheme()
            .fields
            .iter()
            .filter(|def| prefixes.iter().any(|prefix| def.name.starts_with(prefix)))
            .collect();
        shown += defs.len();
        let _ = write!(
            text,
            "\n## {title}\n\n{about}\n\n| field | type | argument | description |\n| --- | --- | --- | --- |\n"
        );
        for def in &defs {
            if matches!(def.provided, Provided::No(_)) {
                continue;
            }
            let _ =
                writeln!(text, "| `{}` | {} | {} | {} |", def.name, ty(def), argument(def), description(def));
        }
        let refused: Vec<_> = defs
            .iter()
            .filter_map(|def| match def.provided {
                Provided::No(reason) => Some((def.name, reason)),
                _ => None,
            })
            .collect();
        if !refused.is_empty() {
            text.push_str(
                "\nKnown, but not provided: a rule that uses one of these is refused, unless it has\n\
                 `skip-if-unknown-filter: true`.\n\n| field | why |\n| --- | --- |\n",
            );
            for (name, reason) in refused {
                let _ = writeln!(text, "| `{name}` | {reason} |");
            }
        }
    }
    assert_eq!(shown, scheme().fields.len(), "a field is in no section or in two");
    check("fields.md", &text);
}

fn ty(def: &FieldDef) -> String {
    match def.cardinality {
        Cardinality::One => def.ty.name().to_owned(),
        Cardinality::Any => format!("{}, any", def.ty.name()),
        Cardinality::List => format!("list of {}", def.ty.name()),
    }
}

fn argument(def: &FieldDef) -> &'static str {
    match def.arg {
        ArgSpec::None => "",
        ArgSpec::OptionalIndex => "[number], optional",
        ArgSpec::OptionalKey => "[key], optional",
        ArgSpec::RequiredKey => "[key]",
        ArgSpec::OptionalName => "[name or number], optional",
        ArgSpec::RequiredName => "[name or number]",
    }
}

fn description(def: &FieldDef) -> String {
    let mut text = def.description.replace('|', "\\|");
    if let Provided::Absent(reason) = def.provided {
        let _ = write!(text, " Absent for now: {reason}.");
    }
    text
}

const EVENTS_INTRO: &str = "\
# Events

<!-- Generated from the code. UPDATE_DOCS=1 cargo test -p exporter --lib docs rewrites this file. -->

These are the values of `evt.type`, the system calls behind them, and their arguments in the order of
`evt.arg[N]`. Every event is reported when its system call ends, also when it failed; `evt.res` and
`evt.rawres` tell how. Exceptions: a successful exec is reported when the new program image is in place,
fork, vfork, clone and clone3 when the child is complete, procexit when the last thread of a process ends.

*From* says where an argument's value is taken:

- *kernel*: from the kernel's own object (the opened file, the socket, the credentials). It cannot be changed by
  the process after the fact.
- *register*: from the register that carried it into the system call.
- *memory*: from the caller's memory when the call ended. A process with several threads can change it
  meanwhile. Paths of this kind are made absolute as text, with the kernel's path of the directory they start
  from.

`evt.arg.NAME` is the value as text, with names instead of numbers where there are any (`O_RDONLY|O_CLOEXEC`,
`<f>/etc/passwd`, `ENOENT`, `root`). `evt.args` has all of them, as `name=number(meaning)`. An argument that
could not be read is absent.

Calls of 32-bit programs are the same events.

What these events cannot show:

- A successful `execveat` with `AT_FDCWD` or an absolute path is reported as `execve`: the kernel's ELF loader has
  overwritten the number of the call. One that uses its descriptor, and one that fails, is `execveat`.
- Before Linux 6.16, when the last threads of a process end at the same moment on several CPUs, each of them can find
  itself the last: procexit is then reported twice.
- Opens and connects by io_uring are `openat`, `openat2` and `connect` events; other requests are not seen. An open into the
  ring's own table has no descriptor, and the path that was asked for. The flags and sizes of a ring (`io_uring_setup`) are
  in memory and are not read.
- Paths are as the process sees them, from its own root: after `chroot(\"/etc\")` the file is `/shadow`, and a bind mount
  gives a file a second path.
- A descriptor is looked up when the call returns. A thread that replaces it between the end of the work and that
  moment (microseconds for an open, as long as it waits for a connect) gives the event another file or socket. If the
  descriptor is gone or no socket any more, a connect still has the address that the caller passed.

*Sections* are the parts of a record in a recording (`exporter-common/src/record.rs` describes their layout); a
part that a call does not have is left out.
";

#[test]
fn events_md_is_the_table_of_arguments() {
    let mut text = EVENTS_INTRO.to_owned();
    for ty in EventType::ALL {
        let numbers = |numbers: &[u32]| match numbers {
            [] => "none".to_owned(),
            numbers => numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
        };
        let (x86_64, ia32) = (numbers(ty.syscalls()), numbers(ty.compat_syscalls()));
        let _ = write!(text, "\n## {}\n\nSystem call numbers: x86_64 {x86_64}; ia32 {ia32}. ", ty.name());
        let _ = write!(text, "Result: {}. Sections: {}.\n\n", result(*ty), sections(*ty));
        text.push_str("| N | argument | type | from |\n| --- | --- | --- | --- |\n");
        for (index, arg) in args::of(*ty).iter().enumerate() {
            let (kind, from) = describe(*ty, arg.kind);
            let _ = writeln!(text, "| {index} | `{}` | {kind} | {from} |", arg.name);
        }
    }
    check("events.md", &text);
}

/// What `evt.rawres` is when the call succeeded.
fn result(ty: EventType) -> &'static str {
    use EventType as T;
    match ty {
        T::Fork | T::Vfork | T::Clone | T::Clone3 => "id of the child in the caller's pid namespace",
        T::Procexit => "none (`evt.arg.status` is the status)",
        T::Open
        | T::Openat
        | T::Openat2
        | T::Creat
        | T::OpenByHandleAt
        | T::Accept
        | T::Accept4
        | T::Socket => "new descriptor",
        T::Dup | T::Dup2 | T::Dup3 | T::MemfdCreate | T::Userfaultfd | T::IoUringSetup => "new descriptor",
        T::Bpf => "new descriptor, or 0, by the command",
        T::Sendto | T::Sendmsg | T::Recvfrom | T::Recvmsg => "bytes",
        T::Ptrace | T::Prctl => "by the request, mostly 0",
        _ => "0",
    }
}

/// The sections of a record of this type, beyond those that rules ask for (working directory, executable,
/// ancestors, data, environment).
fn sections(ty: EventType) -> &'static str {
    use EventType as T;
    match ty {
        T::Execve | T::Execveat => {
            "Path, PathArg, File, Exec, Argv, Cgroup, Ancestors, Cwd; if it failed PathArg, Dir, Argv"
        }
        T::Fork | T::Vfork | T::Clone | T::Clone3 => "Child, Cgroup (the child's)",
        T::Open | T::Openat | T::Creat => "PathArg, Dir; if it succeeded Path, File",
        T::OpenByHandleAt => "if it succeeded Path, File",
        T::Openat2 => "PathArg, Dir, OpenHow; if it succeeded Path, File",
        T::Connect | T::Bind => "Socket, Sockaddr, UnixLocal, UnixPeer",
        T::Accept | T::Accept4 => "Socket, Sockaddr, UnixLocal, UnixPeer",
        T::Listen | T::Socket => "Socket, UnixLocal",
        T::Dup | T::Dup2 | T::Dup3 => "Path, File, or Socket, UnixLocal, UnixPeer",
        T::Fchmod | T::Setns => "Path, File",
        T::FinitModule => "Path, File, Text",
        T::InitModule => "Text",
        T::Symlink | T::Symlinkat => "PathArg, Path2Arg, Dir2",
        T::Link | T::Linkat | T::Rename | T::Renameat | T::Renameat2 => "PathArg, Dir, Path2Arg, Dir2",
        T::Unlink | T::Unlinkat | T::Mkdir | T::Mkdirat | T::Rmdir => "PathArg, Dir",
        T::Chmod | T::Fchmodat | T::Fchmodat2 => "PathArg, Dir",
        T::Mount => "PathArg, Path2Arg, Text",
        T::Umount2 | T::MemfdCreate => "PathArg",
        T::Sendto | T::Sendmsg | T::Recvfrom | T::Recvmsg => "Socket, Sockaddr, UnixLocal, UnixPeer",
        T::Capset => "CapSets",
        T::Procexit
        | T::Ptrace
        | T::Setuid
        | T::Unshare
        | T::Bpf
        | T::Userfaultfd
        | T::Kill
        | T::Prctl
        | T::IoUringSetup => "none",
    }
}

fn describe(ty: EventType, kind: ArgKind) -> (String, &'static str) {
    let opens = matches!(
        ty,
        EventType::Open
            | EventType::Openat
            | EventType::Openat2
            | EventType::Creat
            | EventType::OpenByHandleAt
    );
    let (text, from) = match kind {
        ArgKind::Res => ("result: a number, or the name of the error", "kernel"),
        ArgKind::ResFd => ("the new descriptor, or the name of the error", "kernel"),
        ArgKind::Fd(_) => ("descriptor", "register"),
        ArgKind::DirFd(_) => ("descriptor of a folder, or `AT_FDCWD`", "register"),
        ArgKind::Path if opens => ("path; the resolved one if the call succeeded", "kernel, else memory"),
        ArgKind::Path | ArgKind::Path2 => ("path, made absolute", "memory"),
        ArgKind::RawPath => ("text as passed", "memory"),
        ArgKind::Text => ("text as passed", "memory"),
        ArgKind::Int(_) | ArgKind::Uint(_) => ("number", "register"),
        ArgKind::Hex(_) => ("hexadecimal number", "register"),
        ArgKind::Flags(_, Names::Resolve) => ("names of flags", "memory"),
        ArgKind::Flags(..) => ("names of flags", "register"),
        ArgKind::Enum(..) => ("name", "register"),
        ArgKind::Mode(_) if matches!(ty, EventType::Mkdir | EventType::Mkdirat) => {
            ("octal number", "register")
        }
        ArgKind::Mode(_) => ("names of permission bits", "register"),
        ArgKind::Uid(_) => ("user name", "register"),
        ArgKind::Special(special) => describe_special(ty, special),
    };
    (text.to_owned(), from)
}

fn describe_special(ty: EventType, special: Special) -> (&'static str, &'static str) {
    use Special as S;
    match special {
        S::OpenFlags if ty == EventType::Openat2 => {
            ("names of flags and of what came of them", "memory, kernel")
        }
        S::OpenFlags => ("names of flags and of what came of them", "register, kernel"),
        S::OpenMode if ty == EventType::Openat2 => ("octal number, 0 if nothing can be created", "memory"),
        S::OpenMode => ("octal number, 0 if nothing can be created", "register"),
        S::Dev => ("device, hexadecimal", "kernel"),
        S::Ino => ("inode number", "kernel"),
        S::Tuple => ("`client:port->server:port`, or a unix socket's path", "kernel, else memory"),
        S::Sockaddr => ("`address:port`, or a unix socket's path", "memory"),
        S::Data => ("first bytes of the data", "memory"),
        S::SendSize if ty == EventType::Sendmsg => ("bytes sent", "kernel"),
        S::SendSize => ("bytes asked for", "register"),
        S::ReceivedSize => ("bytes received", "kernel"),
        S::Proto => ("number of the protocol", "register"),
        S::Exe => ("argv[0]", "memory"),
        S::Args => ("arguments after argv[0]", "memory"),
        S::Env => ("environment", "memory"),
        S::Tid | S::Pid | S::Ptid | S::Vpgid | S::Pgid => ("id", "kernel"),
        S::ChildTid | S::ChildPid | S::ChildVtid | S::ChildVpid => ("id of the child", "kernel"),
        S::Cwd => ("working directory", "kernel"),
        S::Comm => ("name of the thread", "kernel"),
        S::Cgroups => ("path of the cgroup", "kernel"),
        S::Tty => ("number of the terminal", "kernel"),
        S::LoginUid | S::EffectiveUid => ("user name", "kernel"),
        S::EffectiveGid => ("group name", "kernel"),
        S::ExecFlags => ("`EXE_WRITABLE`, `EXE_UPPER_LAYER`, `EXE_LOWER_LAYER`, `EXE_FROM_MEMFD`", "kernel"),
        S::CapInheritable | S::CapPermitted | S::CapEffective => ("names of capabilities", "kernel"),
        S::ExeIno => ("inode number of the executable", "kernel"),
        S::ExeInoCtime | S::ExeInoMtime => ("nanoseconds since the epoch", "kernel"),
        S::TrustedExePath => ("resolved path of the executable", "kernel"),
        S::CloneFlags if ty == EventType::Clone => ("names of flags", "register"),
        S::CloneFlags if ty == EventType::Clone3 => ("absent: clone3 passes them in memory", ""),
        S::CloneFlags => ("names of flags that the call stands for", "register"),
        S::PidnsInitStart => ("nanoseconds since the epoch", "kernel"),
        S::ExitStatus => ("status as of wait(2)", "kernel"),
        S::ExitRet => ("exit code", "kernel"),
        S::ExitSignal => ("name of the signal that ended the process, or 0", "kernel"),
        S::ExitCore => ("1 if a core was dumped", "kernel"),
        S::PrctlArg2Str => ("the new name, for `PR_SET_NAME`", "kernel"),
        S::PrctlArg2Int => ("the second argument as a number", "register"),
    }
}
