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

pub use cri::{Container, Cri, Pod};

use crate::DEADLINE;

/// Runs until dropped.
#[derive(Debug)]
pub struct Containerd {
    child: Child,
    root: TempDir,
}

/// Installs what is missing: containerd, runc and a static busybox.
fn install() {
    let script = crate::repository().join("tools/toolchain.sh");
    let status = Command::new(script).arg("containers").status().expect("tools/toolchain.sh runs");
    assert!(status.success(), "containerd, runc and busybox-static cannot be installed");
}

impl Containerd {
    /// Starts it and waits until it answers.
    pub fn start() -> Containerd {
        install();
        let root = tempfile::Builder::new().prefix("yagura-host-").tempdir_in("/var/tmp").expect("a folder");
        let state = root.path().join("run/containerd");
        fs::create_dir_all(&state).expect("a folder");
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
        let log = fs::File::create(root.path().join("containerd.log")).expect("a file");
        let child = Command::new("containerd")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("containerd starts");
        let server = Containerd { child, root };
        let end = Instant::now() + DEADLINE;
        while server.ctr(&["version"]).is_err() {
            assert!(Instant::now() < end, "containerd does not answer:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server.import(image::PAUSE, &[]);
        server
    }

    /// What stands for the host's root.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    fn socket(&self) -> PathBuf {
        self.root().join("run/containerd/containerd.sock")
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root().join("containerd.log")).unwrap_or_default()
    }

    /// Makes an image with busybox and gives it a name and further ones.
    pub fn import(&self, name: &str, others: &[&str]) {
        let archive = image::archive(name, self.root());
        let archive = archive.to_str().expect("text");
        let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
        self.ctr(&["-n", "k8s.io", "images", "import", "--digests", "--base-name", repository, archive])
            .unwrap_or_else(|error| panic!("no image: {error}\n{}", self.log()));
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

    /// What a kubelet speaks with.
    pub fn cri(&self) -> Cri {
        Cri::new(&self.socket())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Whoever still runs in a pod would outlive it.
        self.cri().remove_all();
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
