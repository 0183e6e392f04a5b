//! `proc.*`, `thread.*`.

use exporter_common::record::{FILE_LOWER_LAYER, FILE_MEMFD, FILE_UPPER_LAYER, FILE_WRITABLE, SectionKind};

use super::{names, owned};
use crate::{
    enrich::{
        View,
        process::{Image, Process},
    },
    fields::{FieldArg, Value, table::proc::ProcField as F},
};

type Part<'e> = fn(&'e Process) -> Option<Value<'e>>;

impl<'e> View<'e> {
    pub(super) fn proc(&self, field: F, arg: &FieldArg) -> Option<Value<'_>> {
        let header = &self.event.header;
        let int = |id: u32| Some(Value::Int(id.into()));
        let of = |process: Option<&'e Process>, part: Part<'e>| part(process?);
        match field {
            F::Exe => of(self.process, exe),
            F::PExe => of(self.parent(), exe),
            F::AExe => self.of_ancestor(arg, exe),
            F::ExePath => of(self.process, exepath).or_else(|| {
                // The table does not know it; the event does if the rules asked for it.
                self.event.bytes(SectionKind::Exe).map(Value::str)
            }),
            F::PExePath => of(self.parent(), exepath),
            F::AExePath => self.of_ancestor(arg, exepath),
            F::Name => Some(Value::str(self.event.comm())),
            F::PName => of(self.parent(), name),
            F::AName => self.of_ancestor(arg, name),
            F::Args => of(self.process, args),
            F::AArgs => self.of_ancestor(arg, args),
            F::CmdNArgs => Some(Value::Uint(self.image()?.nargs.into())),
            F::CmdLenArgs => {
                let image = self.image()?;
                let blanks = u64::from(image.nargs).saturating_sub(1);
                Some(Value::Uint((image.args().len() as u64).saturating_sub(blanks)))
            }
            F::CmdLine => Some(cmdline(self.image()?, &header.comm)),
            F::PCmdLine => of(self.parent(), own_cmdline),
            F::ACmdLine => self.of_ancestor(arg, own_cmdline),
            F::ExeLine => Some(Value::str(self.image()?.exeline())),
            F::Env => match arg {
                // As in Falco: a variable that is not set is an empty text.
                FieldArg::Key(name) => Some(Value::str(variable(self.image()?.env.as_deref()?, name))),
                _ => Some(environment(self.image()?.env.as_deref()?)),
            },
            F::AEnv => self.ancestor_env(arg),
            F::Cwd => {
                let mut cwd = self.event.bytes(SectionKind::Cwd)?.to_vec();
                if cwd.last() != Some(&b'/') {
                    cwd.push(b'/');
                }
                Some(owned(cwd))
            }
            F::LoginShellId => {
                let lineage = self.process.into_iter().chain(self.ancestors());
                let shell = lineage.filter(|process| process.name().ends_with(b"sh")).last()?;
                int(shell.pid)
            }
            F::Tty => Some(Value::Uint(header.tty.into())),
            F::Pid => int(header.pid),
            F::PPid => int(header.ppid),
            F::APid => match arg {
                FieldArg::Index(0) => int(header.pid),
                FieldArg::Index(depth) => int(self.ancestor_ids().nth(*depth as usize - 1)?.0),
                _ => list(self.ancestor_ids().map(|(pid, _)| Value::Int(pid.into())).collect()),
            },
            F::VPid => int(header.vpid),
            F::PVPid => int(header.pvpid),
            F::Sid => int(header.vsid),
            F::SName => of(self.session_leader(), name),
            F::SidExe => of(self.session_leader(), exe),
            F::SidExePath => of(self.session_leader(), exepath),
            F::VPgid => int(header.vpgid),
            F::Pgid => int(header.pgid),
            F::VPgidName | F::PgidName => of(self.group_leader(), name),
            F::VPgidExe | F::PgidExe => of(self.group_leader(), exe),
            F::VPgidExePath | F::PgidExePath => of(self.group_leader(), exepath),
            F::Duration => since(header.ts_ns, header.start_ns),
            F::PPidDuration => since(header.ts_ns, header.parent_start_ns),
            F::PidTs => self.date(header.start_ns).map(Value::RelTime),
            F::PPidTs => self.date(header.parent_start_ns).map(Value::RelTime),
            F::IsExeWritable => self.exe_flag(FILE_WRITABLE),
            F::IsExeUpperLayer => self.exe_flag(FILE_UPPER_LAYER),
            F::IsExeLowerLayer => self.exe_flag(FILE_LOWER_LAYER),
            F::IsExeFromMemfd => self.exe_flag(FILE_MEMFD).or_else(|| {
                let path = self.image()?.exepath.as_deref()?;
                Some(Value::Bool(path.starts_with(b"memfd:")))
            }),
            F::IsSidLeader => Some(Value::Bool(header.vsid == header.vpid)),
            F::IsVPgidLeader => Some(Value::Bool(header.vpgid == header.vpid)),
            F::IsPgidLeader => Some(Value::Bool(header.pgid == header.pid)),
            F::ExeIno => Some(Value::Int(known(self.image()?.file.ino)? as i64)),
            F::ExeInoCtime => Some(Value::AbsTime(known(self.image()?.file.ctime_ns)?)),
            F::ExeInoMtime => Some(Value::AbsTime(known(self.image()?.file.mtime_ns)?)),
            F::ExeInoCtimeProcStart => {
                let start = self.date(header.start_ns)?;
                Some(Value::AbsTime(known(start.checked_sub(known(self.image()?.file.ctime_ns)?)?)?))
            }
            F::ExeInoCtimePidnsStart => {
                let start = self.date(header.pidns_init_start_ns)?;
                Some(Value::AbsTime(known(self.image()?.file.ctime_ns.checked_sub(start)?)?))
            }
            F::PidnsInitStartTs => self.date(header.pidns_init_start_ns).map(Value::Uint),
            F::CapPermitted => Some(owned(names::capabilities(header.cap_permitted))),
            F::CapInheritable => Some(owned(names::capabilities(header.cap_inheritable))),
            F::CapEffective => Some(owned(names::capabilities(header.cap_effective))),
            F::Tid => int(header.tid),
            F::VTid => int(header.vtid),
            F::IsMain => Some(Value::Bool(header.tid == header.pid)),
            F::Cgroup | F::Cgroups => Some(Value::str(&self.process?.cgroup.as_deref()?.path)),
        }
    }

    /// One ancestor's part, or that of every ancestor.
    fn of_ancestor(&self, arg: &FieldArg, part: Part<'e>) -> Option<Value<'e>> {
        match arg {
            FieldArg::Index(depth) => part(self.ancestor(*depth as usize)?),
            _ => list(self.ancestors().filter_map(part).collect()),
        }
    }

    fn ancestor_env(&self, arg: &FieldArg) -> Option<Value<'e>> {
        let env = |process: &'e Process| Some(environment(process.image.as_deref()?.env.as_deref()?));
        match arg {
            // Falco looks from the parent on, 20 levels up.
            FieldArg::Key(name) => {
                let images = self.ancestors().take(20).filter_map(|process| process.image.as_deref());
                let mut values = images.filter_map(|image| Some(variable(image.env.as_deref()?, name)));
                Some(Value::str(values.find(|value| !value.is_empty()).unwrap_or_default()))
            }
            FieldArg::Index(depth) => env(self.ancestor(*depth as usize)?),
            FieldArg::None => list(self.ancestors().filter_map(env).collect()),
        }
    }

    fn exe_flag(&self, flag: u32) -> Option<Value<'e>> {
        Some(Value::Bool(self.image()?.file.flags? & flag != 0))
    }

    /// An instant since boot as nanoseconds since the epoch; `None` for the boot itself, which stands for
    /// unknown.
    fn date(&self, since_boot_ns: u64) -> Option<u64> {
        Some(self.clock.boot_time_ns.saturating_add(known(since_boot_ns)?))
    }
}

fn known(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number != 0)
}

fn since<'a>(now_ns: u64, start_ns: u64) -> Option<Value<'a>> {
    Some(Value::RelTime(now_ns.saturating_sub(known(start_ns)?)))
}

fn list(values: Vec<Value<'_>>) -> Option<Value<'_>> {
    (!values.is_empty()).then_some(Value::List(values))
}

fn name(process: &Process) -> Option<Value<'_>> {
    (!process.is_stub()).then(|| Value::str(process.name()))
}

fn exe(process: &Process) -> Option<Value<'_>> {
    Some(Value::str(process.image.as_deref()?.exe()))
}

fn exepath(process: &Process) -> Option<Value<'_>> {
    Some(Value::str(process.image.as_deref()?.exepath.as_deref()?))
}

fn args(process: &Process) -> Option<Value<'_>> {
    Some(Value::str(process.image.as_deref()?.args()))
}

fn own_cmdline(process: &Process) -> Option<Value<'_>> {
    Some(cmdline(process.image.as_deref()?, &process.comm))
}

fn cmdline<'e>(image: &'e Image, comm: &[u8; 16]) -> Value<'e> {
    match image.cmdline(comm) {
        Some(line) => Value::str(line),
        None => owned(image.cmdline_with(comm)),
    }
}

/// The entries, separated by blanks, as Falco joins them.
fn environment<'a>(env: &[u8]) -> Value<'a> {
    let env = env.strip_suffix(b"\0").unwrap_or(env);
    owned(env.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect::<Vec<u8>>())
}

/// The value of a variable, empty if it is not set.
fn variable<'a>(env: &'a [u8], name: &str) -> &'a [u8] {
    let mut entries = env.split(|byte| *byte == 0);
    entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).unwrap_or_default()
}
