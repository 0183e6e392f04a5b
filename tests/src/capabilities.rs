//! What the daemon of every test may do as root: what the manifest claims to be enough, and nothing else.

/// The capabilities of `kustomize/base`, which a test compares.
pub const CLAIMED: [&str; 3] = ["bpf", "perfmon", "sys_ptrace"];

/// The beginning of a command that runs another with exactly these capabilities, as root in a container has them.
pub(crate) fn with_exactly(names: &[&str]) -> Vec<String> {
    let set = names.iter().fold("-all".to_owned(), |set, name| set + ",+" + name);
    let of = |option: &str| format!("--{option}={set}");
    ["setpriv".into(), "--no-new-privs".into(), of("bounding-set"), of("inh-caps"), of("ambient-caps")].into()
}
