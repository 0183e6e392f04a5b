//! Tests of Yagura on the running kernel.
//!
//! - `src/actor/`: a program that performs one behaviour per name by raw system calls and prints the truth;
//! - [`live`]: loads the kernel side, runs an actor and yields the events of its process tree as rules see them;
//! - [`case`]: a test as data: what an actor does, and what fields its events must have;
//! - [`daemon`]: runs the real `yagura` binary and collects what it prints;
//! - [`capabilities`]: what that daemon may do: what the manifest says, in every test;
//! - `src/demo/`: `make demo`, everything at once to look at;
//! - [`rows`]: a test of rules as data: what an actor does, and the rules that fire;
//! - [`scratch`]: files for an actor to work on, and the names that tests use in place of values;
//! - [`cgroups`]: control groups whose paths look like a container's;
//! - [`containerd`]: a real containerd and pods as a kubelet makes them;
//! - [`activity`]: what tests make happen, and the rules about it;
//! - [`api_server`]: a double of a Kubernetes API server;
//! - [`deployment`]: a real Yagura with everybody whom it tells, and what happens there;
//! - [`disk`]: a small disk; [`docker`]: a Docker engine;
//! - [`loki`]: a double of Loki's push API;
//! - [`authority`]: an authority for certificates;
//! - [`alertmanager`]: an Alertmanager, asked by amtool;
//! - [`manifest`]: what kustomize makes;
//! - [`alerts`]: the rules in `alerts/`; [`node`]: the programs of `dashboards/`;
//! - [`receiver`]: whoever is told of detections by HTTP;
//! - [`server`]: the HTTP server under a double, plain or with TLS;
//! - [`program`]: a real server of somebody else's; [`prometheus`], [`victoria_metrics`];
//! - [`vminsert`]: a double of VictoriaMetrics' cluster, and of who takes remote-write 2.0;
//! - [`text`]: values as text, bytes that are not UTF-8 included.
//!
//! Nothing here waits for a time to pass: every wait is for a condition, with a deadline that only a
//! defect reaches.

pub mod activity;
pub mod alertmanager;
pub mod alerts;
pub mod api_server;
pub mod authority;
pub mod capabilities;
pub mod case;
pub mod cgroups;
pub mod containerd;
pub mod daemon;
pub mod deployment;
pub mod disk;
pub mod docker;
pub mod http;
pub mod live;
pub mod loki;
pub mod manifest;
pub mod node;
pub mod program;
pub mod prometheus;
pub mod raw;
pub mod receiver;
pub mod rows;
pub mod scratch;
pub mod server;
pub mod text;
pub mod victoria_metrics;
pub mod vmalert;
pub mod vminsert;

use std::{io::Write, path::PathBuf, time::Duration};

/// How long a wait may last before it is a failure. Only a defect takes that long, so it costs nothing.
pub const DEADLINE: Duration = Duration::from_secs(300);

/// Installs what a kind of tests needs (`tools/toolchain.sh`).
pub fn install(what: &str) {
    // Tests run beside each other, and packages are installed by one at a time.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let script = repository().join("tools/toolchain.sh");
    let status = std::process::Command::new(script).arg(what).status().expect("tools/toolchain.sh runs");
    assert!(status.success(), "what {what} need cannot be installed");
}

/// False where tests of the kernel side are switched off, said on stderr; they fail otherwise.
pub fn kernel_tests_run() -> bool {
    let off = std::env::var_os("YAGURA_TEST_NO_BPF").is_some_and(|value| value == "1");
    if off {
        skipped("YAGURA_TEST_NO_BPF=1, so nothing of the running kernel was tested");
    }
    !off
}

/// Says that a test was skipped. Written past the test harness, which hides what a test that passes prints.
pub fn skipped(why: &str) {
    let _unheard = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// The folder that cargo builds into, with the profile: where the programs under test are.
pub fn build_dir() -> PathBuf {
    let own = std::env::current_exe().expect("the program's own path");
    // A test is target/PROFILE/deps/TEST, a program target/PROFILE/PROGRAM.
    let folder = own.parent().expect("a folder");
    if folder.ends_with("deps") { folder.parent().expect("a folder").to_owned() } else { folder.to_owned() }
}

/// The actor program, which cargo builds before the tests of its package.
pub fn actor() -> PathBuf {
    build_dir().join("actor")
}

/// A folder for what a server writes: in TMPDIR, or on a disk, which /tmp need not be.
pub fn folder(prefix: &str) -> tempfile::TempDir {
    let place = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
    tempfile::Builder::new().prefix(prefix).tempdir_in(place).expect("a folder")
}

/// The repository's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}
