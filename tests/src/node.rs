//! The programs of `dashboards/`, which make and check what Grafana and Loki are given.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Once,
};

use crate::{install, repository};

/// `dashboards/`
pub fn dashboards() -> PathBuf {
    repository().join("dashboards")
}

/// Runs one of them, built before the first.
pub fn node(program: &str, args: &[&Path]) -> Output {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        install("node");
        let built = Command::new("npm").args(["run", "--silent", "build"]).current_dir(dashboards()).output();
        let built = built.expect("npm runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stdout));
    });
    let program = dashboards().join("build").join(program);
    Command::new("node").arg(program).args(args).output().expect("node runs")
}
