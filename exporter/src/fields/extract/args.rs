//! `evt.arg.*`: the arguments of an event as text.

use std::{borrow::Cow, fmt::Write};

use exporter_common::{
    event_type::EventType,
    record::{FILE_CREATED, FILE_LOWER_LAYER, FILE_UPPER_LAYER, SectionKind},
};

use super::{NOT_AVAILABLE, evt::Open, fd, names};
use crate::{
    enrich::View,
    event::{
        address::Address,
        args::{self, ArgDef, ArgKind, Form, Names, Special as S},
    },
    fields::{
        FieldArg, Value,
        table::{evt::EvtField, proc::ProcField},
    },
};

/// An argument as Falco writes it: the plain value, and what it stands for if that says more.
struct Rendered<'a> {
    plain: Cow<'a, [u8]>,
    resolved: Option<Cow<'a, [u8]>>,
}

impl<'a> Rendered<'a> {
    fn plain(text: impl Into<Cow<'a, [u8]>>) -> Rendered<'a> {
        Rendered { plain: text.into(), resolved: None }
    }

    fn text(text: String) -> Rendered<'a> {
        Rendered::plain(text.into_bytes())
    }

    fn resolved(plain: String, resolved: impl Into<Cow<'a, [u8]>>) -> Rendered<'a> {
        let resolved = Some(resolved.into()).filter(|text: &Cow<'_, [u8]>| !text.is_empty());
        Rendered { plain: Cow::Owned(plain.into_bytes()), resolved }
    }
}

const AT_FDCWD: i32 = -100;

impl<'e> View<'e> {
    /// `evt.arg`: what the value stands for, or else the plain value.
    pub(super) fn arg(&self, def: &ArgDef) -> Option<Value<'_>> {
        let Rendered { plain, resolved } = self.rendered(def.kind)?;
        Some(Value::Str(resolved.unwrap_or(plain)))
    }

    /// `evt.rawarg`: the plain value, as a number if it is one.
    pub(super) fn raw_arg(&self, def: &ArgDef) -> Option<Value<'_>> {
        let Rendered { plain, .. } = self.rendered(def.kind)?;
        let digits = || str::from_utf8(&plain).ok();
        let number = match def.kind.form() {
            Form::Text => return Some(Value::Str(plain)),
            Form::Decimal => digits()?.parse::<i128>().ok()?,
            Form::Hexadecimal => i128::from_str_radix(digits()?, 16).ok()?,
            Form::Octal => i128::from_str_radix(digits()?, 8).ok()?,
        };
        // A length beyond what the type holds is the longest there is.
        Some(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    /// `evt.args`: `name=value` or `name=value(meaning)`, separated by blanks.
    pub(super) fn all_args(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for def in args::of(self.event.event_type()) {
            let Some(Rendered { plain, resolved }) = self.rendered(def.kind) else { continue };
            if !text.is_empty() {
                text.push(b' ');
            }
            text.extend_from_slice(def.name.as_bytes());
            text.push(b'=');
            text.extend_from_slice(&plain);
            if let Some(resolved) = resolved.filter(|resolved| *resolved != plain) {
                text.push(b'(');
                text.extend_from_slice(&resolved);
                text.push(b')');
            }
        }
        text
    }

    fn rendered(&self, kind: ArgKind) -> Option<Rendered<'_>> {
        let event = self.event;
        let raw = |kind| event.bytes(kind).map(Rendered::plain);
        let path = |resolved, raw| {
            let plain = event.bytes(raw).map(<[u8]>::to_vec);
            let resolved = self.absolute(resolved, raw);
            let plain = plain.or_else(|| resolved.as_deref().map(<[u8]>::to_vec))?;
            Some(Rendered { plain: Cow::Owned(plain), resolved })
        };
        Some(match kind {
            ArgKind::Res => self.error_or(event.header.ret.to_string()),
            ArgKind::ResFd => match event.header.ret {
                ret @ 0.. => self.descriptor(ret, true),
                ret => self.error_or(ret.to_string()),
            },
            ArgKind::Fd(register) => self.descriptor(event.int_arg(register).into(), false),
            ArgKind::DirFd(register) => match event.int_arg(register) {
                AT_FDCWD => Rendered::resolved(AT_FDCWD.to_string(), &b"AT_FDCWD"[..]),
                fd => {
                    let dir = if register == 0 { SectionKind::Dir } else { SectionKind::Dir2 };
                    let path = event.bytes(dir).map(|path| [b"<d>", path].concat());
                    Rendered::resolved(fd.to_string(), path.unwrap_or_default())
                }
            },
            ArgKind::Path => return path(SectionKind::Path, SectionKind::PathArg),
            ArgKind::Path2 => return path(SectionKind::Path2, SectionKind::Path2Arg),
            ArgKind::RawPath => return raw(SectionKind::PathArg),
            ArgKind::Text => return raw(SectionKind::Text),
            ArgKind::Int(register) => Rendered::text(event.int_arg(register).to_string()),
            ArgKind::Uint(register) => Rendered::text(event.arg(register).to_string()),
            ArgKind::Hex(register) => Rendered::text(format!("{:X}", event.arg(register))),
            ArgKind::Flags(_, Names::Resolve) => {
                let resolve = event.open_how()?.resolve;
                Rendered::resolved(resolve.to_string(), named(resolve, Names::Resolve))
            }
            ArgKind::Flags(register, Names::SocketType) => {
                let value = event.arg(register) & 0xffff_ffff;
                Rendered::resolved(value.to_string(), socket_type(value))
            }
            ArgKind::Flags(register, set) => {
                let value = event.arg(register) & 0xffff_ffff;
                Rendered::resolved(value.to_string(), named(value, set))
            }
            ArgKind::Enum(register, set) => {
                let value = event.arg(register) & 0xffff_ffff;
                let name = names::one(value, names::table(set)).unwrap_or_default();
                Rendered::resolved((value as i32).to_string(), name.as_bytes())
            }
            ArgKind::Mode(register) => {
                let mode = event.arg(register) & 0o7777;
                // Falco writes names for the chmod family and a number elsewhere.
                match event.event_type() {
                    EventType::Mkdir | EventType::Mkdirat => Rendered::text(octal(mode)),
                    _ => Rendered::resolved(octal(mode), names::flags(mode, names::MODE).into_bytes()),
                }
            }
            ArgKind::Uid(register) => self.user(event.arg(register) as u32),
            ArgKind::Special(special) => return self.special(special),
        })
    }

    fn special(&self, special: S) -> Option<Rendered<'_>> {
        let event = self.event;
        let header = &event.header;
        let field = |field| Some(Rendered::plain(bytes(self.proc(field, &FieldArg::None)?)?));
        let number = |number: u64| Some(Rendered::text(number.to_string()));
        match special {
            S::OpenFlags => {
                let open = Open::of(event)?;
                Some(Rendered::resolved(open.flags.to_string(), self.open_flags(open)))
            }
            S::OpenMode => Some(Rendered::text(octal(Open::of(event)?.mode))),
            S::Dev => Some(Rendered::text(format!("{:X}", fd::device(event.file()?.dev)))),
            S::Ino => number(event.file()?.ino),
            S::Tuple => Some(Rendered::plain(self.socket_name()?)),
            S::Sockaddr => Some(Rendered::plain(match event.sockaddr()? {
                Address::Ip(ip, port) => fd::endpoint((ip, port)).into_bytes(),
                Address::Unix(path) => fd::unix_name(path),
                Address::Other(family) => format!("family {family}").into_bytes(),
            })),
            S::Data => {
                let Value::Bytes(data) = self.evt(EvtField::Buffer, &FieldArg::None)? else { return None };
                Some(Rendered::plain(data))
            }
            S::SendSize => match event.event_type() {
                EventType::Sendmsg => number(u64::try_from(header.ret).ok()?),
                _ => number(event.arg(2)),
            },
            S::ReceivedSize => number(u64::try_from(header.ret).ok()?),
            S::Proto => number(event.arg(2) & 0xffff_ffff),
            S::Exe => field(ProcField::Exe),
            S::Args => field(ProcField::Args),
            S::Tid => number(header.tid.into()),
            S::Pid => number(header.pid.into()),
            S::Ptid => number(header.ppid.into()),
            S::Cwd => field(ProcField::Cwd),
            S::Comm => Some(Rendered::plain(event.comm())),
            S::Cgroups => field(ProcField::Cgroups),
            S::Env => field(ProcField::Env),
            S::Tty => number(header.tty.into()),
            S::Vpgid => number(header.vpgid.into()),
            S::Pgid => number(header.pgid.into()),
            S::LoginUid => Some(match header.loginuid {
                u32::MAX => Rendered::plain(&b"-1"[..]),
                uid => self.user(uid),
            }),
            S::ExecFlags => {
                let flags = u64::from(self.image()?.file.flags?);
                Some(Rendered::resolved(
                    flags.to_string(),
                    names::flags(flags, names::EXE_FLAGS).into_bytes(),
                ))
            }
            S::CapInheritable => self.capability(|sets| sets.inheritable, header.cap_inheritable),
            S::CapPermitted => self.capability(|sets| sets.permitted, header.cap_permitted),
            S::CapEffective => self.capability(|sets| sets.effective, header.cap_effective),
            S::ExeIno => number(self.image()?.file.ino),
            S::ExeInoCtime => number(self.image()?.file.ctime_ns),
            S::ExeInoMtime => number(self.image()?.file.mtime_ns),
            S::EffectiveUid => Some(self.user(header.euid)),
            S::EffectiveGid => Some(Rendered::resolved(
                header.egid.to_string(),
                self.group_name(header.egid).flatten().unwrap_or_default(),
            )),
            S::TrustedExePath => field(ProcField::ExePath),
            S::ChildTid => number(event.child()?.tid.into()),
            S::ChildPid => number(event.child()?.pid.into()),
            S::ChildVtid => number(event.child()?.vtid.into()),
            S::ChildVpid => number(event.child()?.vpid.into()),
            S::CloneFlags => {
                // clone3 keeps its flags in memory; fork and vfork have none but what they mean.
                let flags = match event.event_type() {
                    EventType::Clone => event.arg(0) & 0xffff_ff00,
                    EventType::Vfork => 0x4100,
                    EventType::Fork => 0,
                    _ => return None,
                };
                Some(Rendered::resolved(flags.to_string(), named(flags, Names::Clone)))
            }
            S::PidnsInitStart => match self.proc(ProcField::PidnsInitStartTs, &FieldArg::None)? {
                Value::Uint(ns) => number(ns),
                _ => None,
            },
            S::ExitStatus => Some(Rendered::text(header.ret.to_string())),
            S::ExitRet => number(header.ret as u64 >> 8 & 0xff),
            S::ExitSignal => {
                let signal = header.ret as u64 & 0x7f;
                let name = names::one(signal, names::SIGNAL).unwrap_or_default();
                Some(Rendered::resolved(signal.to_string(), name.as_bytes()))
            }
            S::ExitCore => number(u64::from(header.ret & 0x80 != 0)),
            // The name that PR_SET_NAME set is the thread's name now.
            S::PrctlArg2Str => (event.arg(0) == 15).then(|| Rendered::plain(event.comm())),
            S::PrctlArg2Int => Some(Rendered::text((event.arg(1) as i64).to_string())),
        }
    }

    fn open_flags(&self, open: Open) -> Vec<u8> {
        let mut text = names::flags(open.flags & !1 & !2, names::OPEN);
        let access = match open.flags & names::O_ACCMODE {
            0 => "O_RDONLY",
            1 => "O_WRONLY",
            2 => "O_RDWR",
            _ => "O_NONE",
        };
        // Falco's order: what was asked for, the access mode, O_CLOEXEC, then what came of it.
        let cloexec = text.strip_suffix("O_CLOEXEC").map(|rest| rest.trim_end_matches('|').to_owned());
        let suffix = if cloexec.is_some() { "|O_CLOEXEC" } else { "" };
        text = cloexec.unwrap_or(text);
        if !text.is_empty() {
            text.push('|');
        }
        let _ = write!(text, "{access}{suffix}");
        if let Some(file) = self.event.file() {
            for (flag, name) in [
                (FILE_CREATED, "|O_F_CREATED"),
                (FILE_UPPER_LAYER, "|FD_UPPER_LAYER"),
                (FILE_LOWER_LAYER, "|FD_LOWER_LAYER"),
            ] {
                if file.flags & flag != 0 {
                    text.push_str(name);
                }
            }
        }
        text.into_bytes()
    }

    fn capability(
        &self,
        part: fn(exporter_common::record::CapSets) -> u64,
        own: u64,
    ) -> Option<Rendered<'_>> {
        let set = self.event.cap_sets().map_or(own, part);
        Some(Rendered::resolved(format!("{set:X}"), names::capabilities(set).into_bytes()))
    }

    fn user(&self, uid: u32) -> Rendered<'_> {
        if uid == u32::MAX {
            return Rendered::plain(&b"-1"[..]);
        }
        // Without a database the number is all there is.
        let name = self.user_name(uid).map_or(&b""[..], |name| name.unwrap_or(NOT_AVAILABLE));
        Rendered::resolved(uid.to_string(), name)
    }

    fn error_or(&self, plain: String) -> Rendered<'_> {
        let name = match self.event.header.ret {
            0.. => None,
            ret => names::errno(ret.unsigned_abs()),
        };
        Rendered::resolved(plain, name.unwrap_or_default().as_bytes())
    }

    /// `<f>/path`, `<4t>client->server`: the descriptor's kind and name where the event knows them.
    fn descriptor(&self, fd: i64, created: bool) -> Rendered<'_> {
        let owner = self.described_fd();
        let described = created || owner == Some(fd);
        let kind = || Some((self.fd_kind()?, self.fd_name()?));
        let Some((kind, name)) = described.then(kind).flatten() else {
            return Rendered::text(fd.to_string());
        };
        let mut resolved = b"<".to_vec();
        resolved.extend_from_slice(kind.typechar());
        resolved.extend(self.l4proto().filter(|_| kind.is_ip()).and_then(|proto| proto.bytes().next()));
        resolved.push(b'>');
        resolved.extend_from_slice(&name);
        Rendered::resolved(fd.to_string(), resolved)
    }
}

fn named(value: u64, set: Names) -> Vec<u8> {
    names::flags(value, names::table(set)).into_bytes()
}

/// `SOCK_RAW|SOCK_CLOEXEC`: a number and flags in one argument.
fn socket_type(value: u64) -> Vec<u8> {
    let kind = names::one(value & 0xf, names::table(Names::SocketType)).unwrap_or_default();
    let flags = names::flags(value, names::SOCKET_FLAGS);
    [kind, &flags].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("|").into_bytes()
}

/// As in C: `0644`, and `0` for nothing.
fn octal(mode: u64) -> String {
    if mode == 0 { "0".to_owned() } else { format!("0{mode:o}") }
}

fn bytes(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Str(text) => Some(text),
        _ => None,
    }
}
