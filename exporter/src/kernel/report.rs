//! What the kernel side can do here and what it is doing: the data of `yagura doctor`.

use std::fmt;

use exporter_common::event_type::EventType;
use serde::Serialize;

use super::{
    counters::RingFill,
    facts::MissingFact,
    host::{Answer, Host},
};

/// A program of the kernel object.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramReport {
    pub name: String,
    /// The kernel's name of the program type.
    pub program_type: &'static str,
    pub tracepoint: String,
    /// False for one that the kernel refused, and for one that no rule needs.
    pub loaded: bool,
    /// A program that others tail-call is loaded and never attached.
    pub attached: bool,
    pub id: Option<u32>,
    pub verified_instructions: Option<u32>,
    /// Only counted while `kernel.bpf_stats_enabled` is 1.
    pub runs: u64,
    pub run_time_ns: u64,
    /// Why the kernel refused it.
    pub error: Option<String>,
}

/// An event type and whether the kernel side reports it.
#[derive(Clone, Debug, Serialize)]
pub struct TypeReport {
    pub name: &'static str,
    /// The kernel did not refuse the program for it.
    pub available: bool,
    /// A rule wants it, and it is being reported.
    pub enabled: bool,
}

/// Everything that is known.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub host: Host,
    /// Empty if the kernel side could not be loaded.
    pub programs: Vec<ProgramReport>,
    pub event_types: Vec<TypeReport>,
    pub missing: Vec<MissingFact>,
    pub ring: Option<RingFill>,
    /// Why the kernel side could not be loaded.
    pub error: Option<String>,
}

impl Report {
    /// The report when [`super::Kernel::load`] failed: what is known of the host, and why.
    pub fn of_failure(error: &super::KernelError) -> Report {
        Report {
            host: Host::probe(),
            programs: Vec::new(),
            event_types: EventType::ALL
                .iter()
                .map(|event_type| TypeReport { name: event_type.name(), available: false, enabled: false })
                .collect(),
            missing: Vec::new(),
            ring: None,
            error: Some(chain(error)),
        }
    }

    /// Is everything there that Yagura uses?
    pub fn complete(&self) -> bool {
        self.error.is_none()
            && self.missing.is_empty()
            && self.event_types.iter().all(|event_type| event_type.available)
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { host, programs, event_types, missing, ring, error } = self;
        write_host(f, host)?;
        if let Some(error) = error {
            return writeln!(f, "\nkernel side    NOT LOADED\n{error}");
        }
        if let Some(ring) = ring {
            writeln!(f, "ring buffer    {} of {} bytes used", ring.used, ring.capacity)?;
        }
        writeln!(f, "\nprograms")?;
        for program in programs {
            write_program(f, program)?;
        }
        let names = |keep: &dyn Fn(&TypeReport) -> bool| {
            let names: Vec<_> = event_types.iter().filter(|ty| keep(ty)).map(|ty| ty.name).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(" ") }
        };
        writeln!(f, "\nevent types")?;
        writeln!(f, "  enabled      {}", names(&|ty| ty.enabled))?;
        writeln!(f, "  not wanted   {}", names(&|ty| ty.available && !ty.enabled))?;
        writeln!(f, "  unavailable  {}", names(&|ty| !ty.available))?;
        if missing.is_empty() {
            return writeln!(f, "\nkernel fields  all found");
        }
        writeln!(f, "\nkernel fields that this kernel does not have, and what that costs")?;
        for MissingFact { fact, costs } in missing {
            writeln!(f, "  {fact:48} {costs}")?;
        }
        Ok(())
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &Host) -> fmt::Result {
    let Host {
        kernel_release,
        machine,
        facilities,
        initial_pid_namespace,
        capabilities,
        missing_capabilities,
        jit,
        unprivileged_bpf_disabled,
        bpf_stats_enabled,
        lockdown,
    } = host;
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    writeln!(f, "kernel         {kernel_release} {machine}")?;
    writeln!(f, "capabilities   {} (without {})", list(capabilities), list(missing_capabilities))?;
    writeln!(f, "bpf jit        {}", or_unknown(jit))?;
    writeln!(f, "bpf stats      {}", or_unknown(bpf_stats_enabled))?;
    writeln!(f, "unprivileged_bpf_disabled {}", or_unknown(unprivileged_bpf_disabled))?;
    writeln!(f, "lockdown       {}", or_unknown(lockdown))?;
    if !initial_pid_namespace {
        writeln!(
            f,
            "pid namespace  not the initial one: Yagura's own system calls are reported too (use hostPID)"
        )?;
    }
    for facility in facilities {
        let answer = match &facility.available {
            Answer::Yes => "yes".to_owned(),
            Answer::No => "no".to_owned(),
            Answer::Unknown(why) => format!("unknown ({why})"),
        };
        let need = if facility.required { "required" } else { "optional" };
        writeln!(f, "{:14} {answer} ({need}: {})", facility.name, facility.used_for)?;
    }
    Ok(())
}

fn write_program(f: &mut fmt::Formatter<'_>, program: &ProgramReport) -> fmt::Result {
    let state = match (program.loaded, program.attached) {
        (false, _) if program.error.is_some() => "REFUSED",
        (false, _) => "not needed",
        (true, true) => "attached",
        (true, false) => "loaded",
    };
    write!(f, "  {:16} {:8} {:20} {state}", program.name, program.program_type, program.tracepoint)?;
    if let Some(count) = program.verified_instructions {
        write!(f, ", {count} instructions verified")?;
    }
    if let Some(mean) = program.run_time_ns.checked_div(program.runs) {
        write!(f, ", {} runs of {mean} ns", program.runs)?;
    }
    writeln!(f)?;
    if let Some(error) = &program.error {
        for line in error.lines() {
            writeln!(f, "    {line}")?;
        }
    }
    Ok(())
}
