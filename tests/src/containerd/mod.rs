//! A real containerd with everything of its own in one folder: state, images, socket. Nothing of the machine's is touched.
//!
//! The folder stands for a host's root: `run/containerd` is below it, as runtimes and Yagura expect.

mod cri;
mod image;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub use cri::{Container, Cri, Pod, Spec, SpecMount};
pub(crate) use image::archive;

use crate::DEADLINE;

/// A name for the image that the tests' containers are made from.
pub const IMAGE: &str = "docker.io/library/app:1";

/// Runs until dropped.
#[derive(Debug)]
pub struct Containerd {
    child: Child,
    root: TempDir,
    unified: bool,
    shared: bool,
}

/// Starts the program, with the configuration in its folder.
fn spawn(root: &Path, unified: bool) -> Child {
    let log = fs::File::create(root.join("containerd.log")).expect("a file");
    let mut command = if unified {
        let mut command = Command::new("unshare");
        let script = "mount -t cgroup2 cgroup /sys/fs/cgroup && exec containerd \"$@\"";
        command.args(["--mount", "/bin/sh", "-c", script, "sh"]);
        command
    } else {
        Command::new("containerd")
    };
    command
        .arg("--config")
        .arg(root.join("containerd.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("containerd starts")
}

impl Containerd {
    /// Starts it and waits until it answers.
    pub fn start() -> Containerd {
        Containerd::launch(false, false)
    }

    /// The same, where the only cgroup hierarchy that it sees is the unified one.
    pub fn start_unified() -> Containerd {
        Containerd::launch(true, false)
    }

    /// The same, where what it mounts reaches whoever asks for `HostToContainer`, as on a host that systemd started.
    pub fn start_shared() -> Containerd {
        Containerd::launch(false, true)
    }

    /// Configuration of a daemon that knows this runtime alone, and holds back nothing.
    pub fn config(&self) -> String {
        let root = self.root().display();
        format!("rate_limit: {{rate: 0}}\ncontainer_engines: {{root: {root}, wait: 5s}}\n")
    }

    fn launch(unified: bool, shared: bool) -> Containerd {
        crate::install("containers");
        let root = crate::folder("yagura-host-");
        let state = root.path().join("run/containerd");
        fs::create_dir_all(&state).expect("a folder");
        if shared {
            let run = root.path().join("run");
            let mount = |args: &[&str]| Command::new("mount").args(args).arg(&run).status();
            let bound = mount(&["--bind", run.to_str().expect("text")]).expect("mount runs");
            let made = mount(&["--make-rshared"]).expect("mount runs");
            assert!(bound.success() && made.success(), "a shared mount");
        }
        let config = root.path().join("containerd.toml");
        let text = format!(
            "version = 2\n\
             root = '{lib}'\n\
             state = '{state}'\n\
             [grpc]\n  address = '{state}/containerd.sock'\n\
             [plugins.'io.containerd.grpc.v1.cri']\n\
             \x20 restrict_oom_score_adj = true\n\
             \x20 sandbox_image = '{pause}'\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\n\
             \x20 runtime_type = 'io.containerd.runc.v2'\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\n\
             \x20 Root = '{state}/runc'\n",
            lib = root.path().join("var/lib/containerd").display(),
            state = state.display(),
            pause = image::PAUSE,
        );
        fs::write(&config, text).expect("a file");
        let server = Containerd { child: spawn(root.path(), unified), root, unified, shared };
        server.wait();
        server.import(image::PAUSE, &[]);
        server
    }

    fn wait(&self) {
        let end = Instant::now() + DEADLINE;
        // The part that speaks CRI comes later than the rest.
        while self.ctr(&["version"]).is_err() || !self.cri().is_there() {
            assert!(Instant::now() < end, "containerd does not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a crash does. What runs in its pods goes on, and its socket stays, with nobody behind it.
    pub fn crash(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a status");
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        let _absent = fs::remove_file(self.socket());
        self.child = spawn(self.root.path(), self.unified);
        self.wait();
    }

    /// What stands for the host's root.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.root().join("run/containerd/containerd.sock")
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root().join("containerd.log")).unwrap_or_default()
    }

    /// Takes an image from an archive of `docker save`.
    pub fn load(&self, archive: &Path, repository: &str) {
        let archive = archive.to_str().expect("text");
        self.ctr(&["-n", "k8s.io", "images", "import", "--digests", "--base-name", repository, archive])
            .unwrap_or_else(|error| panic!("no image: {error}\n{}", self.log()));
    }

    /// Makes an image with busybox and gives it a name and further ones.
    pub fn import(&self, name: &str, others: &[&str]) {
        let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
        self.load(&archive(name, self.root()), repository);
        for other in others {
            self.ctr(&["-n", "k8s.io", "images", "tag", name, other]).expect("a tag");
        }
    }

    /// `ctr ARGS`: what it printed, or its error.
    pub fn ctr(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new("ctr").arg("--address").arg(self.socket()).args(args).output();
        let output = output.expect("ctr runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The cgroups of all processes with this argument, as `/proc` has them.
    pub fn groups_of(&self, argument: &str) -> Vec<String> {
        let mut groups = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()) {
                let text = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
                groups.extend(text.lines().map(str::to_owned));
            }
        }
        groups
    }

    /// What a kubelet speaks with.
    pub fn cri(&self) -> Cri {
        Cri::new(&self.socket())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Whoever still runs in a pod would outlive it.
        if !matches!(self.child.try_wait(), Ok(None)) {
            self.restart();
        }
        self.cri().remove_all();
        let _ended = self.child.kill();
        let _status = self.child.wait();
        if self.shared {
            let _status = Command::new("umount").arg("--recursive").arg(self.root().join("run")).status();
        }
    }
}
