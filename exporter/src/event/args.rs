//! The arguments of each event type: names and order of `evt.arg.NAME` and `evt.arg[N]`.
//!
//! Names, order and the way a value is written follow Falco's event table (the exit event, which since
//! Falco 0.42 carries the arguments of the enter event too). `docs/events.md` is made from this table.

use exporter_common::event_type::EventType;

use crate::fields::FieldArg;

/// How the value of an argument is found and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Result: a number on success, the name of the error on failure.
    Res,
    /// The descriptor that the call returned, or the error.
    ResFd,
    /// A descriptor in this register, written `<f>/path` where the event knows its file.
    Fd(u8),
    /// A folder descriptor in this register: `AT_FDCWD` or a number.
    DirFd(u8),
    /// The first path, absolute where that is known.
    Path,
    /// The second path.
    Path2,
    /// The first path as passed.
    RawPath,
    /// The third string.
    Text,
    /// Signed number in this register.
    Int(u8),
    /// Unsigned number in this register.
    Uint(u8),
    /// Unsigned number in this register, in hexadecimal.
    Hex(u8),
    /// Names from a set of flags, register and set.
    Flags(u8, Names),
    /// One name of a set, register and set.
    Enum(u8, Names),
    /// Permission bits in this register, in octal with a leading zero.
    Mode(u8),
    /// User id in this register, as a name if it has one.
    Uid(u8),
    /// A value that only code can find: see `fields::extract::args`.
    Special(Special),
}

/// How the plain text of an argument is to be read for `evt.rawarg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Decimal,
    Hexadecimal,
    Octal,
}

impl ArgKind {
    pub fn form(self) -> Form {
        use Special as S;
        match self {
            ArgKind::Path | ArgKind::Path2 | RawPath | ArgKind::Text => Form::Text,
            ArgKind::Hex(_) => Form::Hexadecimal,
            ArgKind::Mode(_) => Form::Octal,
            Res | ArgKind::ResFd | ArgKind::Fd(_) | DirFd(_) => Form::Decimal,
            ArgKind::Int(_) | ArgKind::Uint(_) | Flags(..) | ArgKind::Enum(..) => Form::Decimal,
            ArgKind::Uid(_) => Form::Decimal,
            ArgKind::Special(special) => match special {
                S::Tuple | S::Sockaddr | S::Data | S::Exe | S::Args | S::Cwd | S::Comm => Form::Text,
                S::Cgroups | S::Env | S::TrustedExePath | S::PrctlArg2Str => Form::Text,
                S::OpenMode => Form::Octal,
                S::Dev | S::CapInheritable | S::CapPermitted | S::CapEffective => Form::Hexadecimal,
                _ => Form::Decimal,
            },
        }
    }
}

/// Sets of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Open,
    Resolve,
    Domain,
    SocketType,
    Accept,
    Ptrace,
    At,
    Rename,
    Unlink,
    Clone,
    Mount,
    Umount,
    FinitModule,
    Memfd,
    Bpf,
    Dup,
    Prctl,
    Signal,
    Execveat,
}

/// Arguments with rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    OpenFlags,
    OpenMode,
    Dev,
    Ino,
    Tuple,
    Sockaddr,
    Data,
    SendSize,
    ReceivedSize,
    Proto,
    Exe,
    Args,
    Tid,
    Pid,
    Ptid,
    Cwd,
    Comm,
    Cgroups,
    Env,
    Tty,
    Vpgid,
    Pgid,
    LoginUid,
    ExecFlags,
    CapInheritable,
    CapPermitted,
    CapEffective,
    ExeIno,
    ExeInoCtime,
    ExeInoMtime,
    EffectiveUid,
    EffectiveGid,
    TrustedExePath,
    ChildTid,
    ChildPid,
    ChildVtid,
    ChildVpid,
    CloneFlags,
    PidnsInitStart,
    ExitStatus,
    ExitRet,
    ExitSignal,
    ExitCore,
    PrctlArg2Str,
    PrctlArg2Int,
}

/// One argument of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgDef {
    pub name: &'static str,
    pub kind: ArgKind,
}

macro_rules! args {
    ($($name:literal: $kind:expr),* $(,)?) => { &[$(ArgDef { name: $name, kind: $kind }),*] };
}

/// The arguments of `ty`, in Falco's order.
pub const fn of(ty: EventType) -> &'static [ArgDef] {
    use self::Special as S;
    use ArgKind::*;
    use EventType as T;
    match ty {
        T::Execve => EXECVE,
        T::Execveat => EXECVEAT,
        T::Fork | T::Vfork | T::Clone | T::Clone3 => CLONE,
        T::Procexit => args![
            "status": Special(S::ExitStatus), "ret": Special(S::ExitRet), "sig": Special(S::ExitSignal),
            "core": Special(S::ExitCore),
        ],
        T::Open => args![
            "fd": ResFd, "name": Path, "flags": Special(S::OpenFlags), "mode": Special(S::OpenMode),
            "dev": Special(S::Dev), "ino": Special(S::Ino),
        ],
        T::Openat => args![
            "fd": ResFd, "dirfd": DirFd(0), "name": Path, "flags": Special(S::OpenFlags),
            "mode": Special(S::OpenMode), "dev": Special(S::Dev), "ino": Special(S::Ino),
        ],
        T::Openat2 => args![
            "fd": ResFd, "dirfd": DirFd(0), "name": Path, "flags": Special(S::OpenFlags),
            "mode": Special(S::OpenMode), "resolve": Flags(2, Names::Resolve), "dev": Special(S::Dev),
            "ino": Special(S::Ino),
        ],
        T::OpenByHandleAt => args![
            "fd": ResFd, "mountfd": DirFd(0), "flags": Special(S::OpenFlags), "path": Path,
            "dev": Special(S::Dev), "ino": Special(S::Ino),
        ],
        T::Creat => args![
            "fd": ResFd, "name": Path, "mode": Special(S::OpenMode), "dev": Special(S::Dev),
            "ino": Special(S::Ino),
        ],
        T::Connect => args![
            "res": Res, "tuple": Special(S::Tuple), "fd": Fd(0), "addr": Special(S::Sockaddr),
        ],
        T::Accept => args!["fd": ResFd, "tuple": Special(S::Tuple)],
        T::Accept4 => args!["fd": ResFd, "tuple": Special(S::Tuple), "flags": Flags(3, Names::Accept)],
        T::Bind => args!["res": Res, "addr": Special(S::Sockaddr), "fd": Fd(0)],
        T::Listen => args!["res": Res, "fd": Fd(0), "backlog": Int(1)],
        T::Socket => args![
            "fd": ResFd, "domain": Enum(0, Names::Domain), "type": Flags(1, Names::SocketType),
            "proto": Special(S::Proto),
        ],
        T::Dup => args!["res": ResFd, "oldfd": Fd(0)],
        T::Dup2 => args!["res": ResFd, "oldfd": Fd(0), "newfd": Fd(1)],
        T::Dup3 => args!["res": ResFd, "oldfd": Fd(0), "newfd": Fd(1), "flags": Flags(2, Names::Dup)],
        T::Ptrace => args![
            "res": Res, "addr": Hex(2), "data": Hex(3), "request": Enum(0, Names::Ptrace), "pid": Int(1),
        ],
        T::Symlink => args!["res": Res, "target": RawPath, "linkpath": Path2],
        T::Symlinkat => args!["res": Res, "target": RawPath, "linkdirfd": DirFd(1), "linkpath": Path2],
        T::Link => args!["res": Res, "oldpath": Path, "newpath": Path2],
        T::Linkat => args![
            "res": Res, "olddir": DirFd(0), "oldpath": Path, "newdir": DirFd(2), "newpath": Path2,
            "flags": Flags(4, Names::At),
        ],
        T::Rename => args!["res": Res, "oldpath": Path, "newpath": Path2],
        T::Renameat => args![
            "res": Res, "olddirfd": DirFd(0), "oldpath": Path, "newdirfd": DirFd(2), "newpath": Path2,
        ],
        T::Renameat2 => args![
            "res": Res, "olddirfd": DirFd(0), "oldpath": Path, "newdirfd": DirFd(2), "newpath": Path2,
            "flags": Flags(4, Names::Rename),
        ],
        T::Unlink => args!["res": Res, "path": Path],
        T::Unlinkat => {
            args!["res": Res, "dirfd": DirFd(0), "name": Path, "flags": Flags(2, Names::Unlink)]
        }
        T::Mkdir => args!["res": Res, "path": Path, "mode": Mode(1)],
        T::Mkdirat => args!["res": Res, "dirfd": DirFd(0), "path": Path, "mode": Mode(2)],
        T::Rmdir => args!["res": Res, "path": Path],
        T::Chmod => args!["res": Res, "filename": Path, "mode": Mode(1)],
        T::Fchmod => args!["res": Res, "fd": Fd(0), "mode": Mode(1)],
        T::Fchmodat => args!["res": Res, "dirfd": DirFd(0), "filename": Path, "mode": Mode(2)],
        T::Fchmodat2 => args![
            "res": Res, "dirfd": DirFd(0), "filename": Path, "mode": Mode(2), "flags": Flags(3, Names::At),
        ],
        T::Setuid => args!["res": Res, "uid": Uid(0)],
        T::Setns => args!["res": Res, "fd": Fd(0), "nstype": Flags(1, Names::Clone)],
        T::Unshare => args!["res": Res, "flags": Flags(0, Names::Clone)],
        T::Mount => args![
            "res": Res, "dev": RawPath, "dir": Path2, "type": Text, "flags": Flags(3, Names::Mount),
        ],
        T::Umount2 => args!["res": Res, "name": Path, "flags": Flags(1, Names::Umount)],
        T::InitModule => args!["res": Res, "img": Hex(0), "length": Uint(1), "uargs": Text],
        T::FinitModule => {
            args!["res": Res, "fd": Fd(0), "uargs": Text, "flags": Flags(2, Names::FinitModule)]
        }
        T::MemfdCreate => args!["fd": ResFd, "name": RawPath, "flags": Flags(1, Names::Memfd)],
        T::Bpf => args!["fd": ResFd, "cmd": Enum(0, Names::Bpf)],
        T::Userfaultfd => args!["res": ResFd, "flags": Flags(0, Names::Open)],
        T::Sendto | T::Sendmsg => args![
            "res": Res, "data": Special(S::Data), "fd": Fd(0), "size": Special(S::SendSize),
            "tuple": Special(S::Tuple),
        ],
        T::Recvfrom => args![
            "res": Res, "data": Special(S::Data), "tuple": Special(S::Tuple), "fd": Fd(0),
            "size": Special(S::SendSize),
        ],
        T::Recvmsg => args![
            "res": Res, "size": Special(S::ReceivedSize), "data": Special(S::Data),
            "tuple": Special(S::Tuple), "fd": Fd(0),
        ],
        T::IoUringSetup => args!["res": ResFd, "entries": Uint(0)],
        T::Kill => args!["res": Res, "pid": Int(0), "sig": Enum(1, Names::Signal)],
        T::Prctl => args![
            "res": Res, "option": Enum(0, Names::Prctl), "arg2_str": Special(S::PrctlArg2Str),
            "arg2_int": Special(S::PrctlArg2Int),
        ],
        T::Capset => args![
            "res": Res, "cap_inheritable": Special(S::CapInheritable),
            "cap_permitted": Special(S::CapPermitted), "cap_effective": Special(S::CapEffective),
        ],
    }
}

use ArgKind::{DirFd, Flags, RawPath, Res, Special as Sp};

const EXECVE: &[ArgDef] = args![
    "res": Res, "exe": Sp(Special::Exe), "args": Sp(Special::Args), "tid": Sp(Special::Tid),
    "pid": Sp(Special::Pid), "ptid": Sp(Special::Ptid), "cwd": Sp(Special::Cwd), "comm": Sp(Special::Comm),
    "cgroups": Sp(Special::Cgroups), "env": Sp(Special::Env), "tty": Sp(Special::Tty),
    "vpgid": Sp(Special::Vpgid), "loginuid": Sp(Special::LoginUid), "flags": Sp(Special::ExecFlags),
    "cap_inheritable": Sp(Special::CapInheritable), "cap_permitted": Sp(Special::CapPermitted),
    "cap_effective": Sp(Special::CapEffective), "exe_ino": Sp(Special::ExeIno),
    "exe_ino_ctime": Sp(Special::ExeInoCtime), "exe_ino_mtime": Sp(Special::ExeInoMtime),
    "uid": Sp(Special::EffectiveUid), "trusted_exepath": Sp(Special::TrustedExePath),
    "pgid": Sp(Special::Pgid), "gid": Sp(Special::EffectiveGid), "filename": RawPath,
];

const EXECVEAT: &[ArgDef] = args![
    "res": Res, "exe": Sp(Special::Exe), "args": Sp(Special::Args), "tid": Sp(Special::Tid),
    "pid": Sp(Special::Pid), "ptid": Sp(Special::Ptid), "cwd": Sp(Special::Cwd), "comm": Sp(Special::Comm),
    "cgroups": Sp(Special::Cgroups), "env": Sp(Special::Env), "tty": Sp(Special::Tty),
    "vpgid": Sp(Special::Vpgid), "loginuid": Sp(Special::LoginUid), "flags": Sp(Special::ExecFlags),
    "cap_inheritable": Sp(Special::CapInheritable), "cap_permitted": Sp(Special::CapPermitted),
    "cap_effective": Sp(Special::CapEffective), "exe_ino": Sp(Special::ExeIno),
    "exe_ino_ctime": Sp(Special::ExeInoCtime), "exe_ino_mtime": Sp(Special::ExeInoMtime),
    "uid": Sp(Special::EffectiveUid), "trusted_exepath": Sp(Special::TrustedExePath),
    "pgid": Sp(Special::Pgid), "gid": Sp(Special::EffectiveGid), "dirfd": DirFd(0), "pathname": RawPath,
    "execveat_flags": Flags(4, Names::Execveat),
];

const CLONE: &[ArgDef] = args![
    "res": Res, "exe": Sp(Special::Exe), "args": Sp(Special::Args), "tid": Sp(Special::Tid),
    "pid": Sp(Special::Pid), "ptid": Sp(Special::Ptid), "comm": Sp(Special::Comm),
    "cgroups": Sp(Special::Cgroups), "flags": Sp(Special::CloneFlags), "uid": Sp(Special::EffectiveUid),
    "gid": Sp(Special::EffectiveGid), "vtid": Sp(Special::ChildVtid), "vpid": Sp(Special::ChildVpid),
    "child_tid": Sp(Special::ChildTid), "child_pid": Sp(Special::ChildPid),
    "pidns_init_start_ts": Sp(Special::PidnsInitStart),
];

/// The argument of `ty` that a rule names, by name or by position.
pub fn named(ty: EventType, arg: &FieldArg) -> Option<&'static ArgDef> {
    match arg {
        FieldArg::None => None,
        FieldArg::Index(index) => of(ty).get(usize::try_from(*index).ok()?),
        FieldArg::Key(name) => of(ty).iter().find(|def| def.name == &**name),
    }
}

/// The names of all arguments of all event types; a name may come several times.
pub fn names() -> impl Iterator<Item = &'static str> {
    EventType::ALL.iter().flat_map(|ty| of(*ty)).map(|def| def.name)
}

/// Whether the argument of this name is text or a number; `None` if that differs by event type.
pub fn is_text(name: &str) -> Option<bool> {
    let defs = EventType::ALL.iter().flat_map(|ty| of(*ty)).filter(|def| def.name == name);
    let mut forms = defs.map(|def| def.kind.form() == Form::Text);
    let first = forms.next()?;
    forms.all(|text| text == first).then_some(first)
}
