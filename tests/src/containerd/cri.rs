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
    #[prost(string, tag = "3")]
    log_directory: String,
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
    #[prost(string, repeated, tag = "4")]
    args: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    envs: Vec<KeyValue>,
    #[prost(message, repeated, tag = "7")]
    mounts: Vec<Mount>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
    #[prost(string, tag = "11")]
    log_path: String,
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
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    container_path: String,
    #[prost(string, tag = "2")]
    host_path: String,
    #[prost(bool, tag = "3")]
    readonly: bool,
    #[prost(int32, tag = "5")]
    propagation: i32,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainerConfig {
    #[prost(message, optional, tag = "1")]
    resources: Option<Resources>,
    #[prost(message, optional, tag = "2")]
    security_context: Option<ContainerSecurityContext>,
}

#[derive(Clone, PartialEq, Message)]
struct Resources {
    #[prost(int64, tag = "3")]
    cpu_shares: i64,
    #[prost(int64, tag = "4")]
    memory_limit_in_bytes: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerSecurityContext {
    #[prost(message, optional, tag = "1")]
    capabilities: Option<Capability>,
    #[prost(bool, tag = "2")]
    privileged: bool,
    #[prost(message, optional, tag = "3")]
    namespace_options: Option<NamespaceOption>,
    #[prost(message, optional, tag = "5")]
    run_as_user: Option<Number>,
    #[prost(bool, tag = "7")]
    readonly_rootfs: bool,
    #[prost(bool, tag = "11")]
    no_new_privs: bool,
    #[prost(message, optional, tag = "15")]
    seccomp: Option<SecurityProfile>,
}

#[derive(Clone, PartialEq, Message)]
struct Capability {
    #[prost(string, repeated, tag = "1")]
    add: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    drop: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(int64, tag = "1")]
    value: i64,
}

/// 0 is the runtime's own profile, 1 none.
#[derive(Clone, PartialEq, Message)]
struct SecurityProfile {
    #[prost(int32, tag = "1")]
    profile_type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ExecSyncRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, repeated, tag = "2")]
    cmd: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct StopContainerRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    /// Seconds.
    #[prost(int64, tag = "2")]
    timeout: i64,
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
    /// Where the logs of its containers are; none are kept if empty.
    pub logs: &'a str,
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
    /// What a pod of a manifest has beyond that.
    pub spec: Option<&'a Spec>,
}

/// A container as a manifest describes it.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<SpecMount>,
    /// Names without `CAP_`.
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub user: i64,
    pub readonly_root: bool,
    pub no_new_privileges: bool,
    /// Under the runtime's own seccomp profile, or under none.
    pub seccomp: bool,
    /// In bytes.
    pub memory_limit: i64,
    /// The name of its log in the pod's folder of logs.
    pub log: String,
}

#[derive(Clone, Debug)]
pub struct SpecMount {
    pub host: String,
    pub container: String,
    pub readonly: bool,
    /// What is mounted and unmounted on the host is so in the container.
    pub from_host: bool,
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
        let Pod { name, namespace, uid, labels, annotations, privileged, cgroup_parent, logs } = *self;
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: uid.into(),
                namespace: namespace.into(),
            }),
            log_directory: logs.into(),
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

impl Spec {
    fn describe(&self, config: &mut ContainerConfig, security: &mut ContainerSecurityContext) {
        config.args.clone_from(&self.args);
        config.log_path.clone_from(&self.log);
        let pair = |(key, value): &(String, String)| KeyValue { key: key.clone(), value: value.clone() };
        config.envs = self.env.iter().map(pair).collect();
        config.mounts.extend(self.mounts.iter().map(|mount| Mount {
            container_path: mount.container.clone(),
            host_path: mount.host.clone(),
            readonly: mount.readonly,
            propagation: mount.from_host.into(),
        }));
        security.capabilities =
            Some(Capability { add: self.add_capabilities.clone(), drop: self.drop_capabilities.clone() });
        security.run_as_user = Some(Number { value: self.user });
        security.readonly_rootfs = self.readonly_root;
        security.no_new_privs = self.no_new_privileges;
        security.seccomp = Some(SecurityProfile { profile_type: (!self.seccomp).into() });
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
        let Container { name, image, command, labels, privileged, host_pid, tty, mounts, spec } = *container;
        let mut config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into() }),
            image: Some(ImageSpec { image: image.into() }),
            command: command.iter().map(ToString::to_string).collect(),
            mounts: (mounts.iter())
                .map(|(host_path, container_path, readonly)| Mount {
                    container_path: (*container_path).into(),
                    host_path: (*host_path).into(),
                    readonly: *readonly,
                    propagation: 0,
                })
                .collect(),
            labels: map(labels),
            stdin: tty,
            tty,
            ..ContainerConfig::default()
        };
        let mut security = ContainerSecurityContext {
            privileged,
            namespace_options: Some(NamespaceOption { network: NODE, pid: if host_pid { NODE } else { 1 } }),
            ..ContainerSecurityContext::default()
        };
        let mut resources = None;
        if let Some(spec) = spec {
            spec.describe(&mut config, &mut security);
            resources = Some(Resources { cpu_shares: 2, memory_limit_in_bytes: spec.memory_limit });
        }
        config.linux = Some(LinuxContainerConfig { resources, security_context: Some(security) });
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

    /// Asks a container to end, as a kubelet does: SIGTERM, and half a minute to obey.
    pub fn stop(&self, container: &str) {
        let request = StopContainerRequest { container_id: container.into(), timeout: 30 };
        let _stopped: Nothing = self.call("StopContainer", &request).expect("it ends");
    }

    /// Removes a container, which may have ended.
    pub fn remove(&self, container: &str) {
        let _removed: Nothing =
            self.call("RemoveContainer", &Id { id: container.into() }).expect("it is removed");
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
