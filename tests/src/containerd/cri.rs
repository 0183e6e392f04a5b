//! Pods and containers as a kubelet makes them: the calls of CRI's `runtime.v1` that tests need.

use std::{collections::HashMap, path::Path};

use prost::Message;
use tokio::runtime::{Builder, Runtime};
use yagura::containers::grpc::Channel;

/// Node level of `NamespaceMode`: no CNI is needed.
const NODE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "7")]
    annotations: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxPodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxPodSandboxConfig {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security_context: Option<SandboxSecurityContext>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxSecurityContext {
    #[prost(message, optional, tag = "1")]
    namespace_options: Option<NamespaceOption>,
    #[prost(bool, tag = "6")]
    privileged: bool,
}

#[derive(Clone, PartialEq, Message)]
struct NamespaceOption {
    #[prost(int32, tag = "1")]
    network: i32,
    #[prost(int32, tag = "2")]
    pid: i32,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

/// The answers and requests that are one id.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct CreateContainerRequest {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    mounts: Vec<Mount>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
    #[prost(bool, tag = "12")]
    stdin: bool,
    #[prost(bool, tag = "14")]
    tty: bool,
    #[prost(message, optional, tag = "15")]
    linux: Option<LinuxContainerConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    container_path: String,
    #[prost(string, tag = "2")]
    host_path: String,
    #[prost(bool, tag = "3")]
    readonly: bool,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainerConfig {
    #[prost(message, optional, tag = "2")]
    security_context: Option<ContainerSecurityContext>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerSecurityContext {
    #[prost(bool, tag = "2")]
    privileged: bool,
    #[prost(message, optional, tag = "3")]
    namespace_options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Message)]
struct ExecSyncRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, repeated, tag = "2")]
    cmd: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ExecSyncResponse {
    #[prost(bytes = "vec", tag = "1")]
    stdout: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    stderr: Vec<u8>,
    #[prost(int32, tag = "3")]
    exit_code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Id>,
}

/// A pod to run. Its network is the host's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pod<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub uid: &'a str,
    pub labels: &'a [(&'a str, &'a str)],
    pub annotations: &'a [(&'a str, &'a str)],
    pub privileged: bool,
    /// `/kubepods/burstable/pod…`; the runtime's default if empty.
    pub cgroup_parent: &'a str,
}

/// A container to run in a pod.
#[derive(Clone, Copy, Debug, Default)]
pub struct Container<'a> {
    pub name: &'a str,
    pub image: &'a str,
    pub command: &'a [&'a str],
    pub labels: &'a [(&'a str, &'a str)],
    pub privileged: bool,
    pub host_pid: bool,
    /// With a terminal.
    pub tty: bool,
    /// Host path, path in the container, read-only.
    pub mounts: &'a [(&'a str, &'a str, bool)],
}

/// The kubelet's side.
#[derive(Debug)]
pub struct Cri {
    runtime: Runtime,
    channel: Channel,
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Pod<'_> {
    fn config(&self) -> PodSandboxConfig {
        let Pod { name, namespace, uid, labels, annotations, privileged, cgroup_parent } = *self;
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: uid.into(),
                namespace: namespace.into(),
            }),
            labels: map(labels),
            annotations: map(annotations),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: cgroup_parent.into(),
                security_context: Some(SandboxSecurityContext {
                    namespace_options: Some(NamespaceOption { network: NODE, pid: 1 }),
                    privileged,
                }),
            }),
        }
    }
}

impl Cri {
    pub(super) fn new(socket: &Path) -> Cri {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        Cri { runtime, channel: Channel::new(socket, crate::DEADLINE) }
    }

    fn call<A: Message + Default>(&self, method: &str, request: &impl Message) -> Result<A, String> {
        let method = format!("/runtime.v1.RuntimeService/{method}");
        match self.runtime.block_on(self.channel.call(&method, &[], request)) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(format!("{method}: not found")),
            Err(error) => Err(format!("{method}: {error}")),
        }
    }

    /// Runs a pod's sandbox; returns its id.
    pub fn run_pod(&self, pod: &Pod<'_>) -> String {
        let request = RunPodSandboxRequest { config: Some(pod.config()) };
        self.call::<Id>("RunPodSandbox", &request).expect("a sandbox").id
    }

    /// Makes and starts a container in a sandbox; returns its id.
    pub fn run(&self, sandbox: &str, pod: &Pod<'_>, container: &Container<'_>) -> String {
        let Container { name, image, command, labels, privileged, host_pid, tty, mounts } = *container;
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into() }),
            image: Some(ImageSpec { image: image.into() }),
            command: command.iter().map(ToString::to_string).collect(),
            mounts: (mounts.iter())
                .map(|(host_path, container_path, readonly)| Mount {
                    container_path: (*container_path).into(),
                    host_path: (*host_path).into(),
                    readonly: *readonly,
                })
                .collect(),
            labels: map(labels),
            stdin: tty,
            tty,
            linux: Some(LinuxContainerConfig {
                security_context: Some(ContainerSecurityContext {
                    privileged,
                    namespace_options: Some(NamespaceOption {
                        network: NODE,
                        pid: if host_pid { NODE } else { 1 },
                    }),
                }),
            }),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(pod.config()),
        };
        let id = self.call::<Id>("CreateContainer", &request).expect("a container").id;
        let _started: Nothing = self.call("StartContainer", &Id { id: id.clone() }).expect("it starts");
        id
    }

    /// Runs a command in a container, which must succeed; returns what it printed.
    pub fn exec(&self, container: &str, command: &[&str]) -> String {
        let answer = self.execute(container, command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(answer.exit_code, 0, "{command:?}: {}", text(&answer.stderr));
        text(&answer.stdout)
    }

    /// Runs a command in a container; returns its status.
    pub fn try_exec(&self, container: &str, command: &[&str]) -> i32 {
        self.execute(container, command).exit_code
    }

    fn execute(&self, container: &str, command: &[&str]) -> ExecSyncResponse {
        let request = ExecSyncRequest {
            container_id: container.into(),
            cmd: command.iter().map(ToString::to_string).collect(),
        };
        self.call("ExecSync", &request).expect("it runs")
    }

    /// Ends a pod and everything in it.
    pub fn remove_pod(&self, sandbox: &str) {
        let id = Id { id: sandbox.into() };
        // A pod that is half gone is gone.
        let _stopped: Result<Nothing, String> = self.call("StopPodSandbox", &id);
        let _removed: Result<Nothing, String> = self.call("RemovePodSandbox", &id);
    }

    pub(super) fn is_there(&self) -> bool {
        self.call::<ListPodSandboxResponse>("ListPodSandbox", &Nothing {}).is_ok()
    }

    pub(super) fn remove_all(&self) {
        if let Ok(ListPodSandboxResponse { items }) = self.call("ListPodSandbox", &Nothing {}) {
            items.iter().for_each(|sandbox| self.remove_pod(&sandbox.id));
        }
    }
}
