//! The Container Runtime Interface (`runtime.v1`), as containerd and CRI-O serve it to the kubelet.

mod messages;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use self::messages::{
    ContainerStatusRequest, ContainerStatusResponse, IdFilter, ImageSpec, ImageStatusRequest,
    ImageStatusResponse, ListContainersRequest, ListContainersResponse, ListPodSandboxRequest,
    ListPodSandboxResponse, PodSandboxStatus, PodSandboxStatusRequest, PodSandboxStatusResponse,
};
use super::{Answer, Known, Query, ResolveError, Resolver, bounds, grpc::Channel, socket::TIMEOUT};
use crate::enrich::container::{Container, HostNamespaces, Image, Mount, Pod, Runtime};

const LIST_CONTAINERS: &str = "/runtime.v1.RuntimeService/ListContainers";
const LIST_SANDBOXES: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
const CONTAINER_STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
const IMAGE_STATUS: &str = "/runtime.v1.ImageService/ImageStatus";
const SANDBOX_STATUS: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";
/// `NODE` of `NamespaceMode`: the host's.
const NODE: i64 = 2;

#[derive(Debug)]
pub(super) struct Cri {
    path: PathBuf,
    channel: Channel,
}

impl Cri {
    pub fn new(path: &Path) -> Cri {
        Cri { path: path.to_owned(), channel: Channel::new(path, TIMEOUT) }
    }

    async fn look(&self, query: Query<'_>) -> Result<Option<Known>, ResolveError> {
        // Lists first: containerd logs an error for the status of what does not exist (yet).
        let filter = || Some(IdFilter { id: query.id.into() });
        let request = ListContainersRequest { filter: filter() };
        let listed: Option<ListContainersResponse> =
            self.channel.call(LIST_CONTAINERS, &[], &request).await?;
        let listed = listed.and_then(|response| response.containers.into_iter().next());
        let found: Option<ContainerStatusResponse> = match listed {
            None => None,
            Some(_) => {
                let request = ContainerStatusRequest { container_id: query.id.into(), verbose: true };
                self.channel.call(CONTAINER_STATUS, &[], &request).await?
            }
        };
        let (mut container, sandbox_id) = match &found {
            Some(response) => (container(response), listed.map(|listed| listed.pod_sandbox_id)),
            None => {
                // It may be a sandbox itself.
                let request = ListPodSandboxRequest { filter: filter() };
                let listed: Option<ListPodSandboxResponse> =
                    self.channel.call(LIST_SANDBOXES, &[], &request).await?;
                let sandbox = listed.and_then(|response| response.items.into_iter().next());
                (Container::default(), sandbox.map(|sandbox| sandbox.id))
            }
        };
        if let Some(id) = sandbox_id {
            let request = PodSandboxStatusRequest { pod_sandbox_id: id, verbose: true };
            let response: Option<PodSandboxStatusResponse> =
                self.channel.call(SANDBOX_STATUS, &[], &request).await?;
            if let Some(PodSandboxStatusResponse { status: Some(status), info }) = &response {
                container.pod = Some(pod(status, info));
                let options = status.linux.as_ref().and_then(|linux| linux.namespaces.as_ref()?.options);
                let shared = |mode: i32| i64::from(mode) == NODE;
                let namespaces = &mut container.namespaces;
                namespaces.network = options.map(|options| shared(options.network));
                namespaces.ipc = options.map(|options| shared(options.ipc));
                // A container's own say comes first: `hostPID` is the pod's, and each container's is said too.
                namespaces.pid = namespaces.pid.or(options.map(|options| shared(options.pid)));
                if found.is_none() {
                    // A sandbox has no name but its pod's.
                    container.name =
                        status.metadata.as_ref().and_then(|metadata| bounds::text(&metadata.name));
                    container.created_ns = u64::try_from(status.created_at).ok().filter(|ns| *ns > 0);
                }
            }
        }
        if container == Container::default() {
            return Ok(None);
        }
        if let (None, Some(reference)) = (&container.image.id, &container.image.reference) {
            let image = Some(ImageSpec { image: reference.to_string(), ..ImageSpec::default() });
            let found = self.channel.call(IMAGE_STATUS, &[], &ImageStatusRequest { image }).await;
            // Its absence costs only the id.
            if let Ok(Some(ImageStatusResponse { image: Some(image) })) = found {
                container.image.id = bounds::text(image.id.trim_start_matches("sha256:"));
            }
        }
        let is_crio = self.path.file_name().is_some_and(|name| name == "crio.sock");
        container.runtime = Some(if is_crio { Runtime::CriO } else { Runtime::Containerd });
        Ok(Some(Known { container, namespace: None }))
    }
}

impl Resolver for Cri {
    fn name(&self) -> &'static str {
        "cri"
    }

    fn may_know(&self, known: &Known) -> bool {
        match known.container.runtime {
            // Not everything that runs in containerd is a pod's.
            Some(Runtime::Containerd) => known.namespace.as_deref().is_none_or(|name| name == "k8s.io"),
            Some(Runtime::CriO) | None => true,
            Some(Runtime::Docker | Runtime::Podman | Runtime::Runc) => false,
        }
    }

    fn resolve<'a>(&'a self, query: Query<'a>) -> Answer<'a> {
        Box::pin(self.look(query))
    }
}

/// A container by its status.
fn container(response: &ContainerStatusResponse) -> Container {
    let ContainerStatusResponse { status, info } = response;
    let status = status.clone().unwrap_or_default();
    let info: Value = info.get("info").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let image = status.image.unwrap_or_default();
    // Two tags of one image: the status names either. What the kubelet was told is right, if it still says so; it
    // may have been replaced by the image's id.
    let named =
        [&*image.user_specified_image, text("/config/image/user_specified_image").unwrap_or_default()];
    let asked = text("/config/image/image").filter(|image| !is_id(image));
    let reference = (named.into_iter().find(|name| !name.is_empty()).or(asked))
        .or_else(|| Some(&*image.image).filter(|image| !is_id(image)));
    let id = [&*status.image_id, &*image.image, &*status.image_ref].into_iter().find(|id| is_id(id));
    let (digest_of, digest) = status.image_ref.split_once('@').unzip();
    let privileged = info
        .pointer("/config/linux/security_context/privileged")
        .or_else(|| info.get("privileged"))
        .and_then(Value::as_bool);
    let pid = info.pointer("/config/linux/security_context/namespace_options/pid").and_then(Value::as_i64);
    let mounts = status.mounts.iter().map(|mount| Mount {
        source: bounds::text(&mount.host_path).unwrap_or_default(),
        destination: bounds::text(&mount.container_path).unwrap_or_default(),
        mode: "".into(),
        writable: !mount.readonly,
        propagation: match mount.propagation {
            0 => "private",
            1 => "rslave",
            2 => "rshared",
            _ => "unknown",
        }
        .into(),
    });
    Container {
        name: status.metadata.as_ref().and_then(|metadata| bounds::text(&metadata.name)),
        image: Image {
            reference: reference.or(digest_of).and_then(bounds::text),
            id: id.and_then(|id| bounds::text(id.trim_start_matches("sha256:"))),
            digest: digest.and_then(bounds::text),
        },
        // An absent `privileged` in a configuration that is there is Go's false.
        privileged: privileged.or_else(|| info.get("config").is_some().then_some(false)),
        mounts: Some(bounds::mounts(mounts)),
        created_ns: u64::try_from(status.created_at).ok().filter(|ns| *ns > 0),
        labels: Some(labels(&status.labels)),
        namespaces: HostNamespaces { pid: pid.map(|pid| pid == NODE), ..HostNamespaces::default() },
        ..Container::default()
    }
}

/// A pod by its sandbox's status.
fn pod(status: &PodSandboxStatus, info: &HashMap<String, String>) -> Pod {
    let info: Value = info.get("info").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let metadata = status.metadata.clone().unwrap_or_default();
    let cni = info.get("cniResult").filter(|result| !result.is_null()).map(ToString::to_string);
    Pod {
        name: bounds::text(&metadata.name),
        namespace: bounds::text(&metadata.namespace),
        uid: bounds::text(&metadata.uid),
        sandbox_id: bounds::text(&status.id),
        labels: Some(labels(&status.labels)),
        annotations: Some(labels(&status.annotations)),
        ip: status.network.as_ref().and_then(|network| bounds::text(&network.ip)),
        cni: cni.as_deref().and_then(bounds::document),
        ..Pod::default()
    }
}

fn labels(labels: &HashMap<String, String>) -> crate::enrich::container::Labels {
    // In the order of their names, so that what a bound cuts off is always the same.
    let mut labels: Vec<_> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    labels.sort_unstable();
    bounds::labels(labels)
}

/// Whether a text names an image by its id.
fn is_id(image: &str) -> bool {
    let digits = image.strip_prefix("sha256:").unwrap_or(image);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
