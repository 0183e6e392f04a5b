//! What runtimes leave in files: the bundle of a container and the runtime's state of it. Needs no socket, and is there
//! before the container's first process runs.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{Answer, Known, Query, ResolveError, Resolver, oci, state, state::State};
use crate::enrich::container::{Container, HostNamespaces, Runtime};

/// Longest file that is read.
const MAX_FILE: u64 = 4 << 20;

/// Folders with one folder per containerd namespace, and in it one per container: the bundles.
const TASKS: &[&str] = &[
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
    "run/docker/containerd/daemon/io.containerd.runtime.v2.task",
];
/// The same with runc's states.
const RUNC: &[&str] = &["run/containerd/runc", "run/docker/runtime-runc", "run/k3s/containerd/runc"];
/// Folders with one folder per container: runc's states without a containerd.
const PLAIN_RUNC: &str = "run/runc";
const CRUN: &str = "run/crun";
/// Where Podman and CRI-O have their bundles.
const STORAGE: &[&str] =
    &["run/containers/storage/overlay-containers", "var/lib/containers/storage/overlay-containers"];
/// containerd's namespace for Docker.
const MOBY: &str = "moby";

/// Reads below a folder that is the host's root.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    proc_root: PathBuf,
}

impl Files {
    pub fn new(root: &Path) -> Files {
        Files { root: root.to_owned(), proc_root: "/proc".into() }
    }

    fn look(&self, id: &str) -> io::Result<Option<Known>> {
        let mut namespace = None;
        let mut state = None;
        let mut config = None;
        for tasks in TASKS {
            for (name, dir) in self.namespaces(tasks, id)? {
                if let Some(text) = read(&dir.join("config.json"))? {
                    (config, namespace) = (Some(text), Some(name));
                }
            }
        }
        for states in RUNC {
            for (name, dir) in self.namespaces(states, id)? {
                if let Some(text) = read(&dir.join("state.json"))? {
                    (state, namespace) = (Some(parsed(state::of_runc(&text))?), Some(name));
                }
            }
        }
        if state.is_none()
            && let Some(text) = read(&self.root.join(PLAIN_RUNC).join(id).join("state.json"))?
        {
            state = Some(parsed(state::of_runc(&text))?);
        }
        if state.is_none()
            && let Some(text) = read(&self.root.join(CRUN).join(id).join("status"))?
        {
            state = Some(parsed(state::of_crun(&text))?);
        }
        for storage in STORAGE {
            if config.is_none() {
                config = read(&self.root.join(storage).join(id).join("userdata/config.json"))?;
            }
        }
        if config.is_none()
            && let Some(bundle) = state.as_ref().and_then(|state| state.bundle.as_deref())
        {
            let bundle = bundle.trim_start_matches('/');
            config = read(&self.root.join(bundle).join("config.json"))?;
        }
        if config.is_none() && state.is_none() {
            return Ok(None);
        }
        let mut container = match config {
            Some(text) => parsed(oci::container(&text))?,
            None => Container::default(),
        };
        let State { pid, created_ns, bundle: _ } = state.unwrap_or_default();
        container.created_ns = container.created_ns.or(created_ns);
        container.namespaces = self.shared(pid).unwrap_or(container.namespaces);
        container.runtime = container.runtime.or(match namespace.as_deref() {
            Some(MOBY) => Some(Runtime::Docker),
            Some(_) => Some(Runtime::Containerd),
            None => Some(Runtime::Runc),
        });
        if container.runtime == Some(Runtime::Containerd)
            && container.name.is_none()
            && container.pod.is_none()
        {
            // containerd's own containers are called by their ids.
            container.name = Some(id.into());
        }
        Ok(Some(Known { container, namespace }))
    }

    /// The folders of a container in a folder of namespaces.
    fn namespaces(&self, folder: &str, id: &str) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let dir = entry.path().join(id);
            if let (Ok(name), true) = (entry.file_name().into_string(), dir.is_dir()) {
                found.push((name, dir));
            }
        }
        Ok(found)
    }

    /// The host's namespaces that a process is in: the kernel's own word.
    fn shared(&self, pid: u32) -> Option<HostNamespaces> {
        if pid == 0 {
            return None;
        }
        let of = |pid: &str, kind: &str| fs::read_link(self.proc_root.join(pid).join("ns").join(kind)).ok();
        let pid = pid.to_string();
        let same = |kind: &str| Some(of(&pid, kind)? == of("1", kind)?);
        // A container always has a mount namespace of its own: if this one has the host's, its runtime is still at it.
        same("mnt").filter(|same| !same)?;
        Some(HostNamespaces { pid: same("pid"), network: same("net"), ipc: same("ipc") })
    }
}

/// A file's beginning; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    match fs::File::open(path) {
        Ok(file) => file.take(MAX_FILE).read_to_end(&mut text)?,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    Ok(Some(text))
}

/// A file that is being written may be cut: it is looked at again.
fn parsed<T>(result: Result<T, serde_json::Error>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl Resolver for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn may_know(&self, _: &Known) -> bool {
        true
    }

    fn resolve<'a>(&'a self, query: Query<'a>) -> Answer<'a> {
        let found = self.look(query.id).map_err(ResolveError::Io);
        Box::pin(std::future::ready(found))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Host(tempfile::TempDir);

    impl Host {
        fn with(files: &[(&str, &str)]) -> Host {
            let dir = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = dir.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Host(dir)
        }

        fn look(&self, id: &str) -> io::Result<Option<Known>> {
            Files { root: self.0.path().to_owned(), proc_root: self.0.path().join("proc") }.look(id)
        }
    }

    const CRI: &str = r#"{"annotations": {"io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": "i:1", "io.kubernetes.cri.sandbox-name": "p"}}"#;
    const STATE: &str = r#"{"init_process_pid": 0, "created": "1970-01-01T00:00:01Z"}"#;

    #[test]
    fn every_runtime_has_its_places() {
        type Row = (&'static str, &'static [(&'static str, &'static str)], Option<&'static str>);
        let rows: &[Row] = &[
            ("nothing", &[], None),
            (
                "containerd, before runc has run",
                &[("run/containerd/io.containerd.runtime.v2.task/k8s.io/abc/config.json", CRI)],
                Some("containerd k8s.io i:1 p -"),
            ),
            (
                "containerd and runc",
                &[
                    ("run/containerd/io.containerd.runtime.v2.task/k8s.io/abc/config.json", CRI),
                    ("run/containerd/runc/k8s.io/abc/state.json", STATE),
                ],
                Some("containerd k8s.io i:1 p 1000000000"),
            ),
            (
                "k3s",
                &[("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/abc/config.json", CRI)],
                Some("containerd k8s.io i:1 p -"),
            ),
            (
                "ctr",
                &[("run/containerd/io.containerd.runtime.v2.task/default/abc/config.json", "{}")],
                Some("containerd default - - -"),
            ),
            (
                "docker",
                &[("run/containerd/io.containerd.runtime.v2.task/moby/abc/config.json", "{}")],
                Some("docker moby - - -"),
            ),
            (
                "podman",
                &[(
                    "run/containers/storage/overlay-containers/abc/userdata/config.json",
                    r#"{"annotations": {"io.container.manager": "libpod"}}"#,
                )],
                Some("podman - - - -"),
            ),
            (
                "runc alone, with a bundle anywhere",
                &[
                    ("run/runc/abc/state.json", r#"{"config": {"labels": ["bundle=/srv/b"]}}"#),
                    ("srv/b/config.json", CRI),
                ],
                Some("containerd - i:1 p -"),
            ),
            ("runc alone", &[("run/runc/abc/state.json", STATE)], Some("runc - - - 1000000000")),
            (
                "crun",
                &[(
                    "run/crun/abc/status",
                    r#"{"pid": 0, "bundle": "/srv/b", "created": "1970-01-01T00:00:01Z"}"#,
                )],
                Some("runc - - - 1000000000"),
            ),
        ];
        for (what, files, expected) in rows {
            let host = Host::with(files);
            let found = host.look("abc").unwrap().map(|Known { container, namespace }| {
                let or = |text: Option<&str>| text.unwrap_or("-").to_owned();
                format!(
                    "{} {} {} {} {}",
                    or(container.runtime.map(Runtime::name)),
                    or(namespace.as_deref()),
                    or(container.image.reference.as_deref()),
                    or(container.pod.as_ref().and_then(|pod| pod.name.as_deref())),
                    or(container.created_ns.map(|ns| ns.to_string()).as_deref()),
                )
            });
            assert_eq!(found.as_deref(), *expected, "{what}");
            assert_eq!(host.look("other").unwrap(), None, "{what}");
        }
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let host = Host::with(&[("run/runc/abc/state.json", "{\"init")]);
        assert_eq!(host.look("abc").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_kernel_says_which_namespaces_are_the_hosts() {
        let host = Host::with(&[("run/runc/abc/state.json", r#"{"init_process_pid": 7}"#)]);
        let link = |pid: u32, kind: &str, number: u32| {
            let dir = host.0.path().join(format!("proc/{pid}/ns"));
            fs::create_dir_all(&dir).unwrap();
            symlink(format!("{kind}:[{number}]"), dir.join(kind)).unwrap();
        };
        for kind in ["mnt", "pid", "net", "ipc"] {
            link(1, kind, 1);
        }
        for (kind, number) in [("mnt", 2), ("pid", 2), ("net", 1)] {
            link(7, kind, number);
        }
        let found = host.look("abc").unwrap().unwrap().container.namespaces;
        assert_eq!(found, HostNamespaces { pid: Some(false), network: Some(true), ipc: None });
    }
}
