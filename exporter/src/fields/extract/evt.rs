//! `evt.*`, `syscall.type`.

use exporter_common::{
    event_type::EventType as T,
    record::{FILE_CREATED, SectionKind},
};

use super::{
    names::{self, O_ACCMODE, O_CREAT, O_TMPFILE},
    owned, time,
};
use crate::{
    enrich::View,
    event::{Event, args},
    fields::{FieldArg, Source, Value, table::evt::EvtField as F},
};

const SECOND: u64 = 1_000_000_000;

/// The fields that tell the time of an event of any source: `at_ns` since the epoch, `since_ns` since the first
/// event.
pub(super) fn moment<'a>(field: F, at_ns: u64, since_ns: u64) -> Option<Value<'a>> {
    Some(match field {
        F::Time => owned(time::time(at_ns)),
        F::TimeS => owned(time::time_s(at_ns)),
        F::TimeIso => owned(time::iso8601(at_ns)),
        F::DateTime => owned(time::datetime(at_ns)),
        F::DateTimeS => owned(time::datetime_s(at_ns)),
        F::RawTime => Value::AbsTime(at_ns),
        F::RawTimeS => Value::AbsTime(at_ns / SECOND),
        F::RawTimeNs => Value::AbsTime(at_ns % SECOND),
        F::RelTime => Value::RelTime(since_ns),
        F::RelTimeS => Value::RelTime(since_ns / SECOND),
        F::RelTimeNs => Value::RelTime(since_ns % SECOND),
        _ => return None,
    })
}

impl View<'_> {
    pub(super) fn evt(&self, field: F, arg: &FieldArg) -> Option<Value<'_>> {
        let event = self.event;
        let ty = event.event_type();
        let ret = event.header.ret;
        let text = |text: &'static str| Some(Value::str(text.as_bytes()));
        let bool = |value| Some(Value::Bool(value));
        match field {
            F::Num => Some(Value::Uint(self.number)),
            F::Time
            | F::TimeS
            | F::TimeIso
            | F::DateTime
            | F::DateTimeS
            | F::RawTime
            | F::RawTimeS
            | F::RawTimeNs
            | F::RelTime
            | F::RelTimeS
            | F::RelTimeNs => moment(field, self.time_ns(), self.since(self.clock.first_ns)),
            F::DeltaTime => Some(Value::RelTime(self.since(self.clock.previous_ns))),
            F::DeltaTimeS => Some(Value::RelTime(self.since(self.clock.previous_ns) / SECOND)),
            F::DeltaTimeNs => Some(Value::RelTime(self.since(self.clock.previous_ns) % SECOND)),
            F::Source => text(Source::Syscall.name()),
            F::IsAsync | F::IsWait => bool(false),
            F::Hostname => Some(Value::str(self.hostname)),
            F::Dir => text("<"),
            F::Type => text(ty.name()),
            F::TypeIs => match arg {
                FieldArg::Key(name) => Some(Value::Uint(u64::from(**name == *ty.name()))),
                _ => None,
            },
            F::SyscallType => {
                if ty == T::Procexit {
                    None
                } else {
                    text(ty.name())
                }
            }
            F::Category => text(category(event)),
            F::Cpu => Some(Value::Int(event.header.cpu.into())),
            F::Args | F::Info => Some(owned(self.all_args())),
            F::Arg => self.arg(args::named(ty, arg)?),
            F::RawArg => self.raw_arg(args::named(ty, arg)?),
            F::Buffer => Some(Value::Bytes(event.bytes(SectionKind::Data)?.into())),
            F::BufLen => match ty {
                T::Sendto | T::Sendmsg | T::Recvfrom | T::Recvmsg => {
                    Some(Value::Uint(u64::try_from(ret).ok()?))
                }
                _ => None,
            },
            F::Res => Some(self.result()?),
            F::RawRes => has_result(ty).then_some(Value::Int(ret)),
            F::Failed => has_result(ty).then_some(Value::Bool(ret < 0)),
            F::IsIo => bool(reads(ty) || writes(ty)),
            F::IsIoRead => bool(reads(ty)),
            F::IsIoWrite => bool(writes(ty)),
            F::IoDir => match ty {
                _ if writes(ty) => text("write"),
                _ if reads(ty) => text("read"),
                _ => None,
            },
            F::IsSyslog => {
                let name = || Some(self.fd_name()?.ends_with(b"/dev/log"));
                bool(writes(ty) && name().unwrap_or(false))
            }
            F::Count | F::CountExit => Some(Value::Uint(1)),
            F::CountError => error_count(event, |_| true),
            F::CountErrorFile => error_count(event, |kind| kind == ErrorKind::File),
            F::CountErrorNet => error_count(event, |kind| kind == ErrorKind::Net),
            F::CountErrorMemory => error_count(event, |kind| kind == ErrorKind::Memory),
            F::CountErrorOther => error_count(event, |kind| kind == ErrorKind::Other),
            F::AbsPath => self.abspath(arg),
            F::IsOpenRead => bool(Open::of(event).is_some_and(|open| open.reads())),
            F::IsOpenWrite => bool(Open::of(event).is_some_and(|open| open.writes())),
            F::IsOpenExec => bool(Open::of(event).is_some_and(|open| open.executable())),
            F::IsOpenCreate => bool(Open::of(event).is_some_and(|open| open.created(event))),
        }
    }

    fn since(&self, then_ns: u64) -> u64 {
        self.event.header.ts_ns.saturating_sub(then_ns)
    }

    fn result(&self) -> Option<Value<'static>> {
        let ret = self.event.header.ret;
        if !has_result(self.event.event_type()) {
            return None;
        }
        if ret >= 0 {
            return Some(Value::str(b"SUCCESS"));
        }
        Some(match names::errno(ret.unsigned_abs()) {
            Some(name) => Value::str(name.as_bytes()),
            None => owned(ret.to_string()),
        })
    }

    /// Falco's `evt.abspath`: of the `*at` calls; ours also of those without a descriptor.
    fn abspath(&self, arg: &FieldArg) -> Option<Value<'_>> {
        let ty = self.event.event_type();
        let (first, second) =
            ((SectionKind::Path, SectionKind::PathArg), (SectionKind::Path2, SectionKind::Path2Arg));
        let target = matches!(arg, FieldArg::Key(name) if &**name == "dst");
        let (kind, raw) = match ty {
            T::Symlink | T::Symlinkat => second,
            T::Rename | T::Renameat | T::Renameat2 | T::Link | T::Linkat | T::Mount if target => second,
            T::Rename | T::Renameat | T::Renameat2 | T::Link | T::Linkat => first,
            T::Open
            | T::Openat
            | T::Openat2
            | T::Creat
            | T::OpenByHandleAt
            | T::Unlink
            | T::Unlinkat
            | T::Mkdir
            | T::Mkdirat => first,
            T::Rmdir | T::Chmod | T::Fchmodat | T::Fchmodat2 => first,
            _ => return None,
        };
        self.absolute(kind, raw).map(Value::Str)
    }
}

/// Everything but the end of a process has a result.
fn has_result(ty: T) -> bool {
    ty != T::Procexit
}

fn reads(ty: T) -> bool {
    matches!(ty, T::Recvfrom | T::Recvmsg)
}

fn writes(ty: T) -> bool {
    matches!(ty, T::Sendto | T::Sendmsg)
}

/// Falco's categories; for calls on any descriptor it goes by what the descriptor is.
fn category(event: &Event<'_>) -> &'static str {
    match event.event_type() {
        T::Execve | T::Execveat | T::Fork | T::Vfork | T::Clone | T::Clone3 | T::Procexit => "process",
        T::Ptrace | T::Setns | T::Unshare | T::Prctl | T::Capset => "process",
        T::Open | T::Openat | T::Openat2 | T::Creat | T::OpenByHandleAt | T::Userfaultfd => "file",
        T::Symlink | T::Symlinkat | T::Link | T::Linkat | T::Rename | T::Renameat | T::Renameat2 => "file",
        T::Unlink | T::Unlinkat | T::Mkdir | T::Mkdirat | T::Rmdir => "file",
        T::Chmod | T::Fchmod | T::Fchmodat | T::Fchmodat2 | T::Mount | T::Umount2 => "file",
        T::Connect | T::Accept | T::Accept4 | T::Bind | T::Listen | T::Socket => "net",
        T::Sendto | T::Sendmsg | T::Recvfrom | T::Recvmsg => "net",
        T::Dup | T::Dup2 | T::Dup3 => match (event.socket(), event.file()) {
            (Some(_), _) => "net",
            (None, Some(_)) => "file",
            (None, None) => "unknown",
        },
        T::Setuid => "user",
        T::MemfdCreate => "memory",
        T::InitModule | T::FinitModule | T::Bpf | T::IoUringSetup => "other",
        T::Kill => "signal",
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ErrorKind {
    File,
    Net,
    Memory,
    Other,
}

/// 1 or 0 for an event of the kind that is counted, otherwise nothing, as in Falco.
fn error_count<'a>(event: &Event<'_>, counts: impl Fn(ErrorKind) -> bool) -> Option<Value<'a>> {
    let ty = event.event_type();
    let kind = match ty {
        T::Open | T::Openat | T::Openat2 | T::Creat | T::OpenByHandleAt => ErrorKind::File,
        T::Connect | T::Accept | T::Accept4 => ErrorKind::Net,
        T::MemfdCreate => ErrorKind::Memory,
        _ if event.socket().is_some() => ErrorKind::Net,
        _ if event.file().is_some() && !event.is_exec() => ErrorKind::File,
        _ => ErrorKind::Other,
    };
    (has_result(ty) && counts(kind)).then_some(Value::Uint(u64::from(event.header.ret < 0)))
}

/// Flags and mode of an openat2. They are in the caller's memory, where another thread can change them until
/// the call ends: how the file is accessed is what the kernel says, if it was opened.
fn openat2(event: &Event<'_>) -> Option<(u64, u64)> {
    let how = event.open_how().map(|how| (how.flags, how.mode));
    let Some(file) = event.file().filter(|_| event.succeeded()) else { return how };
    let opened = u64::from(file.open_flags);
    let (flags, mode) = how.unwrap_or((opened & !KERNEL_LARGEFILE, 0));
    Some((flags & !O_ACCMODE | opened & O_ACCMODE, mode))
}

/// The kernel adds it to every open of a 64-bit program.
const KERNEL_LARGEFILE: u64 = 0o100_000;

/// What an open asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub flags: u64,
    pub mode: u64,
}

impl Open {
    /// `None` if the event is no open, or it failed and its `open_how` could not be read.
    pub(super) fn of(event: &Event<'_>) -> Option<Open> {
        let (flags, mode) = match event.event_type() {
            T::Open => (event.arg(1), event.arg(2)),
            T::Openat => (event.arg(2), event.arg(3)),
            T::Openat2 => openat2(event)?,
            // It creates nothing, so it has no mode.
            T::OpenByHandleAt => (event.arg(2), 0),
            // creat is open with these flags, by definition. Falco does not count it as a write.
            T::Creat => (O_CREAT | 0o1 | 0o1_000, event.arg(1)),
            _ => return None,
        };
        let creates = flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE;
        // Without O_CREAT the mode is whatever was in the register.
        Some(Open { flags: flags & u64::from(u32::MAX), mode: if creates { mode & 0o7777 } else { 0 } })
    }

    fn reads(self) -> bool {
        matches!(self.flags & O_ACCMODE, 0 | 2)
    }

    fn writes(self) -> bool {
        matches!(self.flags & O_ACCMODE, 1 | 2)
    }

    fn executable(self) -> bool {
        self.mode & 0o111 != 0
    }

    fn created(self, event: &Event<'_>) -> bool {
        let file = event.file().is_some_and(|file| file.flags & FILE_CREATED != 0);
        file || (self.flags & O_TMPFILE == O_TMPFILE && event.succeeded())
    }
}
