//! What can go wrong between Yagura and the kernel, each with what to do about it.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};

use super::btf::BtfError;

/// Lines of the verifier's log that an error shows: the reason is at its end.
const LOG_LINES: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error(
        "missing {}: run as root, or give the process CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8; \
         in Kubernetes: securityContext.capabilities.add, or privileged: true)",
        .missing.join(" and ")
    )]
    Capabilities { missing: Vec<&'static str> },

    #[error(
        "no kernel type information at {path}: this needs a kernel built with CONFIG_DEBUG_INFO_BTF (Debian 11, \
         Ubuntu 20.10, RHEL 8.2 and later have it) and /sys mounted"
    )]
    NoBtf { path: &'static str, source: io::Error },

    #[error("cannot use the kernel type information at {path}; please report this with `uname -a`")]
    BadBtf { path: &'static str, source: BtfError },

    #[error(
        "the kernel does not permit BPF here although the capabilities are there: look at lockdown \
         (/sys/kernel/security/lockdown must not be `confidentiality`), at a security module, or at the container's \
         seccomp profile (it must allow bpf(2))"
    )]
    NotPermitted { source: Box<dyn std::error::Error + Send + Sync> },

    #[error("cannot load the kernel object")]
    Object { source: Box<EbpfError> },

    #[error("the kernel object lacks the {what} {name}: daemon and object are not of one build")]
    Lacks { what: &'static str, name: &'static str },

    #[error(
        "the kernel refused the program {program}: {reason}; please report this with `yagura doctor -o json`. The \
         verifier's last words:\n{log}"
    )]
    Refused { program: String, reason: io::Error, log: String },

    #[error("cannot load the program {program}")]
    Program { program: String, source: Box<ProgramError> },

    #[error("cannot attach the program {program}")]
    Attach { program: String, source: Box<ProgramError> },

    #[error("cannot use the kernel map {name}")]
    Map { name: &'static str, source: Box<MapError> },

    #[error("cannot map the event ring")]
    Ring { source: io::Error },
}

impl KernelError {
    pub(super) fn map(name: &'static str, source: MapError) -> KernelError {
        KernelError::Map { name, source: Box::new(source) }
    }

    pub(super) fn object(error: EbpfError) -> KernelError {
        let denied = match &error {
            EbpfError::MapError(MapError::CreateError { io_error, .. }) => is_denied(io_error),
            EbpfError::MapError(MapError::SyscallError(error)) => is_denied(&error.io_error),
            EbpfError::FileError { error, .. } => is_denied(error),
            _ => false,
        };
        if denied {
            KernelError::NotPermitted { source: Box::new(error) }
        } else {
            KernelError::Object { source: Box::new(error) }
        }
    }

    pub(super) fn program(program: &str, error: ProgramError) -> KernelError {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = last_lines(&verifier_log.to_string(), LOG_LINES);
                if is_denied(&io_error) && log.is_empty() {
                    KernelError::NotPermitted { source: Box::new(io_error) }
                } else {
                    KernelError::Refused { program: program.to_owned(), reason: io_error, log }
                }
            }
            other => KernelError::Program { program: program.to_owned(), source: Box::new(other) },
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        for (text, count, expected) in [("", 3, ""), ("a\nb", 3, "a\nb"), ("a\n\nb\nc\nd\n", 3, "b\nc\nd")] {
            assert_eq!(last_lines(text, count), expected);
        }
    }

    #[test]
    fn a_denied_map_is_told_from_a_broken_one() {
        let create = |code| {
            KernelError::object(EbpfError::MapError(MapError::CreateError {
                name: "EVENTS".into(),
                io_error: io::Error::from_raw_os_error(code),
            }))
        };
        assert!(matches!(create(1), KernelError::NotPermitted { .. }));
        assert!(matches!(create(22), KernelError::Object { .. }));
    }
}
