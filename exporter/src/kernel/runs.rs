//! How often the attached programs ran and how long, as the kernel counts it while `kernel.bpf_stats_enabled` is 1.
//! The counts of a program hold those of the programs that it calls.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::{Mutex, PoisonError},
};

use aya::programs::ProgramFd;

/// What one program has cost until now; 0 while nobody asks the kernel to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramRuns {
    pub runs: u64,
    pub time_ns: u64,
}

/// The programs that have been attached, by name: few, and none is taken out, so that counts never go back.
#[derive(Debug, Default)]
pub(super) struct AttachedPrograms(Mutex<BTreeMap<&'static str, ProgramFd>>);

impl AttachedPrograms {
    pub fn add(&self, name: &'static str, program: ProgramFd) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, program);
    }

    pub fn runs(&self) -> Vec<(&'static str, ProgramRuns)> {
        let programs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        programs
            .iter()
            .filter_map(|(name, program)| {
                // By the kernel's text: aya asks a program itself only, and that is the loader's.
                let path = format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd());
                // What cannot be read is left out: a 0 would be a counter that went back.
                Some((*name, parse(&fs::read_to_string(path).ok()?)))
            })
            .collect()
    }
}

fn parse(fdinfo: &str) -> ProgramRuns {
    let of = |label: &str| {
        let line = fdinfo.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    ProgramRuns { runs: of("run_cnt"), time_ns: of("run_time_ns") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text_is_read() {
        // Of a 6.12; older kernels have fewer lines.
        let text = "pos:\t0\nprog_type:\t26\nrun_time_ns:\t73218\nrun_cnt:\t412\nrecursion_misses:\t0\n";
        assert_eq!(parse(text), ProgramRuns { runs: 412, time_ns: 73218 });
        assert_eq!(parse("pos:\t0\n"), ProgramRuns::default());
    }
}
