//! A Docker engine with everything of its own in one folder, which stands for a host's root, and without a network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{DEADLINE, containerd::archive};

/// Runs until dropped.
#[derive(Debug)]
pub struct Docker {
    child: Child,
    root: TempDir,
}

impl Docker {
    /// Starts it and waits until it answers.
    pub fn start() -> Docker {
        crate::install("docker");
        let root = crate::folder("yagura-docker-");
        let run = root.path().join("run");
        fs::create_dir(&run).expect("a folder");
        let log = fs::File::create(root.path().join("dockerd.log")).expect("a file");
        let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let child = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--storage-driver=vfs"])
            .arg(format!("--host=unix://{}", run.join("docker.sock").display()))
            .arg(option("data-root", &root.path().join("lib")))
            .arg(option("exec-root", &run.join("docker")))
            .arg(option("pidfile", &run.join("docker.pid")))
            .arg(option("config-file", &root.path().join("none.json")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        fs::write(root.path().join("none.json"), "{}").expect("a file");
        let docker = Docker { child: child.expect("dockerd starts"), root };
        let end = Instant::now() + DEADLINE;
        while docker.call(&["version"]).is_err() {
            let log = || fs::read_to_string(docker.root().join("dockerd.log")).unwrap_or_default();
            assert!(Instant::now() < end, "dockerd does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        docker
    }

    /// What stands for the host's root.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Makes an image with busybox.
    pub fn import(&self, name: &str) {
        let archive: PathBuf = archive(name, self.root());
        self.call(&["load", "--input", archive.to_str().expect("text")]).expect("an image");
    }

    /// Where it listens, for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.root().join("run/docker.sock").display())
    }

    /// Writes an image to an archive.
    pub fn save(&self, name: &str, archive: &Path) {
        self.call(&["save", "--output", archive.to_str().expect("text"), name]).expect("an archive");
    }

    /// `docker run ARGS`, to its end.
    pub fn run(&self, args: &[&str]) {
        // What the container's program says of itself does not matter. The container stays: who asks about it may be late.
        let _exit = self.call(&[&["run"], args].concat());
    }

    fn call(&self, args: &[&str]) -> Result<String, String> {
        let output =
            Command::new("docker").arg("--host").arg(self.host()).args(args).output().expect("docker runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It ends its own containerd when it is asked to end.
        let _asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let _status = self.child.wait();
    }
}
