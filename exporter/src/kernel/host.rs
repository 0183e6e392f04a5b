//! What this kernel and this process can do, found out without attaching anything.

use std::{error::Error, fs, path::Path};

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported},
};
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::{btf::Btf, load::BTF_PATH, report::chain};

/// An answer that may not be obtainable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Yes,
    No,
    Unknown(String),
}

impl Answer {
    fn of<E: Error>(result: Result<bool, E>) -> Answer {
        match result {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::No,
            Err(error) => Answer::Unknown(chain(&error)),
        }
    }
}

/// A facility of the kernel and what Yagura does with it.
#[derive(Clone, Debug, Serialize)]
pub struct Facility {
    pub name: &'static str,
    pub available: Answer,
    /// Nothing runs without a required one.
    pub required: bool,
    pub used_for: &'static str,
}

/// Facts of the host and of this process.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    pub kernel_release: String,
    pub machine: String,
    pub facilities: Vec<Facility>,
    /// In another pid namespace than the initial one Yagura cannot tell its own system calls from those of
    /// others, and reports them too.
    pub initial_pid_namespace: bool,
    /// Capabilities in the effective set, of those that matter.
    pub capabilities: Vec<&'static str>,
    pub missing_capabilities: Vec<&'static str>,
    /// `net.core.bpf_jit_enable`, if readable.
    pub jit: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`, if readable.
    pub unprivileged_bpf_disabled: Option<String>,
    /// `kernel.bpf_stats_enabled`: whether run times of programs are kept.
    pub bpf_stats_enabled: Option<String>,
    /// The active mode of `/sys/kernel/security/lockdown`, if readable.
    pub lockdown: Option<String>,
}

const CAPABILITIES: &[(CapabilitySet, &str)] = &[
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    (CapabilitySet::SYS_RESOURCE, "CAP_SYS_RESOURCE"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CapabilitySet::SYSLOG, "CAP_SYSLOG"),
];

impl Host {
    pub fn probe() -> Host {
        let uname = rustix::system::uname();
        let effective = effective_capabilities();
        let names = |have: bool| {
            CAPABILITIES
                .iter()
                .filter(|(capability, _)| effective.contains(*capability) == have)
                .map(|(_, name)| *name)
                .collect()
        };
        Host {
            kernel_release: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            facilities: facilities(),
            initial_pid_namespace: in_initial_pid_namespace(),
            capabilities: names(true),
            missing_capabilities: names(false),
            jit: sysctl("net/core/bpf_jit_enable"),
            unprivileged_bpf_disabled: sysctl("kernel/unprivileged_bpf_disabled"),
            bpf_stats_enabled: sysctl("kernel/bpf_stats_enabled"),
            lockdown: read("/sys/kernel/security/lockdown").map(|modes| active_mode(&modes)),
        }
    }
}

/// Inode number of the initial pid namespace (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The id by which the kernel side knows this process. In another pid namespace than the initial one that is
/// not to be found out, and our own number there is another process's in the initial one, which must not be
/// hidden: then it is the id of no process.
pub fn own_tgid() -> u32 {
    tgid(std::process::id(), in_initial_pid_namespace())
}

/// The mount namespace of the host's first process, if it can be seen.
pub fn mount_namespace() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    u32::try_from(fs::metadata("/proc/1/ns/mnt").ok()?.ino()).ok()
}

fn tgid(own: u32, initial: bool) -> u32 {
    if initial { own } else { u32::MAX }
}

pub(super) fn in_initial_pid_namespace() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == INITIAL_PID_NAMESPACE)
}

/// The capabilities without which no program loads, as far as this process lacks them.
pub(super) fn missing_capabilities() -> Vec<&'static str> {
    let effective = effective_capabilities();
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(capability, _)| !effective.contains(*capability))
        .map(|(_, name)| name)
        .collect()
}

fn effective_capabilities() -> CapabilitySet {
    // Fails only for another process's id; then nothing is assumed to be there.
    rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

fn facilities() -> Vec<Facility> {
    let blob = fs::read(BTF_PATH).map_err(|error| error.to_string());
    let btf =
        blob.as_ref().map_err(Clone::clone).and_then(|blob| Btf::parse(blob).map_err(|e| e.to_string()));
    let from_btf = |question: &dyn Fn(&Btf<'_>) -> bool| match &btf {
        Ok(btf) if question(btf) => Answer::Yes,
        Ok(_) => Answer::No,
        Err(error) => Answer::Unknown(error.clone()),
    };
    vec![
        Facility {
            name: "btf",
            available: from_btf(&|_| true),
            required: true,
            used_for: "where this kernel keeps its fields",
        },
        Facility {
            name: "tp_btf",
            available: from_btf(&|btf| btf.has_typedef("btf_trace_sys_exit")),
            required: true,
            used_for: "all events",
        },
        Facility {
            name: "ringbuf",
            available: Answer::of(is_map_supported(MapType::RingBuf)),
            required: true,
            used_for: "events to user space",
        },
        Facility {
            name: "bpf_loop",
            available: Answer::of(is_helper_supported(ProgramType::RawTracePoint, BpfHelper::BPF_FUNC_loop)),
            required: true,
            used_for: "paths, ancestors and arguments of any length",
        },
        Facility {
            name: "fentry",
            available: Answer::of(is_program_supported(ProgramType::Tracing)),
            required: false,
            used_for: "nothing yet: an optional tier",
        },
        Facility {
            // Loading one to see would put a security hook in place, if only for a moment. Yagura does not.
            name: "lsm",
            available: lsm(),
            required: false,
            used_for: "nothing yet: an optional tier",
        },
        Facility {
            name: "kprobe",
            available: Answer::of(is_program_supported(ProgramType::KProbe)),
            required: false,
            used_for: "nothing yet: an optional tier",
        },
    ]
}

fn lsm() -> Answer {
    match fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) if list.trim().split(',').any(|name| name == "bpf") => Answer::Yes,
        Ok(_) => Answer::No,
        Err(error) => Answer::Unknown(format!("/sys/kernel/security/lsm: {error}")),
    }
}

fn sysctl(name: &str) -> Option<String> {
    read(Path::new("/proc/sys").join(name))
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `none [integrity] confidentiality` → `integrity`.
fn active_mode(modes: &str) -> String {
    modes
        .split_whitespace()
        .find_map(|mode| mode.strip_prefix('[')?.strip_suffix(']'))
        .unwrap_or(modes)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_process_is_taken_for_this_one() {
        assert_eq!(tgid(7, true), 7);
        assert_eq!(tgid(7, false), u32::MAX, "in the initial namespace 7 is somebody else");
    }

    #[test]
    fn the_mode_in_brackets_is_the_active_one() {
        for (modes, expected) in
            [("none [integrity] confidentiality", "integrity"), ("[none] integrity", "none"), ("odd", "odd")]
        {
            assert_eq!(active_mode(modes), expected);
        }
    }
}
