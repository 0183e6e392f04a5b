//! What is known of a container: its image, mounts, pod. Plain data; whoever asks the runtimes fills it.
//!
//! Every text here was chosen by whoever made the image, the pod or the container. It is bounded where it is read.

use std::{collections::BTreeMap, sync::Arc};

/// Names and values, in the order of the names.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// A container. What a runtime does not tell is `None`, and its fields are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    pub name: Option<Box<str>>,
    /// Which kind of runtime runs it.
    pub runtime: Option<Runtime>,
    pub image: Image,
    pub privileged: Option<bool>,
    pub mounts: Option<Box<[Mount]>>,
    /// When it was created, nanoseconds since the epoch.
    pub created_ns: Option<u64>,
    pub labels: Option<Labels>,
    pub ip: Option<Box<str>>,
    pub namespaces: HostNamespaces,
    /// The command of its health check, arguments separated by blanks.
    pub healthcheck: Option<Box<str>>,
    /// The pod that it is part of.
    pub pod: Option<Pod>,
}

/// The kinds of runtimes, as Falco names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Containerd,
    CriO,
    Docker,
    Podman,
    /// Something that uses runc and says no more.
    Runc,
}

impl Runtime {
    /// `container.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Runtime::Containerd => "containerd",
            Runtime::CriO => "cri-o",
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Runc => "runc",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// As whoever made the container named it, or as the runtime resolved it.
    pub reference: Option<Box<str>>,
    /// Without `sha256:`.
    pub id: Option<Box<str>>,
    /// `sha256:…` of the manifest.
    pub digest: Option<Box<str>>,
}

impl Image {
    /// The reference without tag and digest.
    pub fn repository(&self) -> Option<&str> {
        Some(split(self.reference.as_deref()?).0)
    }

    pub fn tag(&self) -> Option<&str> {
        split(self.reference.as_deref()?).1
    }

    /// The digest of the manifest: as the runtime says, or as the reference has it.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref().or_else(|| split(self.reference.as_deref()?).2)
    }
}

/// Repository, tag and digest of a reference (`registry:5000/name:tag@sha256:…`).
fn split(reference: &str) -> (&str, Option<&str>, Option<&str>) {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    // A colon before the last slash belongs to a port.
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name.get(last..).and_then(|component| component.rfind(':')) {
        Some(colon) => (name.get(..last + colon).unwrap_or(name), name.get(last + colon + 1..), digest),
        None => (name, None, digest),
    }
}

/// Which of the host's namespaces it shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostNamespaces {
    pub pid: Option<bool>,
    pub network: Option<bool>,
    pub ipc: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub source: Box<str>,
    pub destination: Box<str>,
    pub mode: Box<str>,
    pub writable: bool,
    pub propagation: Box<str>,
}

impl std::fmt::Display for Mount {
    /// `source:dest:mode:rdwr:propagation`, as Falco writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mount { source, destination, mode, writable, propagation } = self;
        write!(f, "{source}:{destination}:{mode}:{writable}:{propagation}")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub name: Option<Box<str>>,
    pub namespace: Option<Box<str>>,
    pub uid: Option<Box<str>>,
    /// The whole id of its sandbox.
    pub sandbox_id: Option<Box<str>>,
    pub labels: Option<Labels>,
    pub annotations: Option<Labels>,
    /// Its first address.
    pub ip: Option<Box<str>>,
    /// What the network plugin answered, as JSON.
    pub cni: Option<Box<str>>,
    /// Those of its namespace and of its node, as the Kubernetes API has them; many pods share them.
    pub namespace_labels: Option<Arc<Labels>>,
    pub namespace_annotations: Option<Arc<Labels>>,
    pub node_labels: Option<Arc<Labels>>,
    /// Who made it, from below: a ReplicaSet, and the Deployment that made that. Empty: nobody did.
    pub workloads: Option<Box<[Workload]>>,
}

/// An object that makes pods, or what makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    pub kind: Box<str>,
    pub name: Box<str>,
}

impl Container {
    /// Takes from `other` what is not known here.
    #[must_use]
    pub fn or(self, other: Container) -> Container {
        let HostNamespaces { pid, network, ipc } = other.namespaces;
        Container {
            name: self.name.or(other.name),
            runtime: self.runtime.or(other.runtime),
            image: Image {
                reference: self.image.reference.or(other.image.reference),
                id: self.image.id.or(other.image.id),
                digest: self.image.digest.or(other.image.digest),
            },
            privileged: self.privileged.or(other.privileged),
            mounts: self.mounts.or(other.mounts),
            created_ns: self.created_ns.or(other.created_ns),
            labels: self.labels.or(other.labels),
            ip: self.ip.or(other.ip),
            namespaces: HostNamespaces {
                pid: self.namespaces.pid.or(pid),
                network: self.namespaces.network.or(network),
                ipc: self.namespaces.ipc.or(ipc),
            },
            healthcheck: self.healthcheck.or(other.healthcheck),
            pod: match (self.pod, other.pod) {
                (Some(pod), Some(other)) => Some(pod.or(other)),
                (pod, other) => pod.or(other),
            },
        }
    }

    /// Takes what is known of its pod, instead of what was known before.
    #[must_use]
    pub fn with_pod(self, pod: Pod) -> Container {
        let pod = match self.pod {
            Some(before) => pod.or(before),
            None => pod,
        };
        Container { pod: Some(pod), ..self }
    }

    /// Whether it says what a detection needs: whose it is and what runs in it.
    pub fn names_its_owner(&self) -> bool {
        let of_pod = |pod: &Pod| pod.name.is_some() && pod.namespace.is_some();
        self.image.reference.is_some() && self.pod.as_ref().is_none_or(of_pod)
    }
}

impl Pod {
    #[must_use]
    fn or(self, other: Pod) -> Pod {
        Pod {
            name: self.name.or(other.name),
            namespace: self.namespace.or(other.namespace),
            uid: self.uid.or(other.uid),
            sandbox_id: self.sandbox_id.or(other.sandbox_id),
            labels: self.labels.or(other.labels),
            annotations: self.annotations.or(other.annotations),
            ip: self.ip.or(other.ip),
            cni: self.cni.or(other.cni),
            namespace_labels: self.namespace_labels.or(other.namespace_labels),
            namespace_annotations: self.namespace_annotations.or(other.namespace_annotations),
            node_labels: self.node_labels.or(other.node_labels),
            workloads: self.workloads.or(other.workloads),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_as_registries_do() {
        for (reference, repository, tag, digest) in [
            ("busybox", "busybox", None, None),
            ("busybox:1.36", "busybox", Some("1.36"), None),
            ("docker.io/library/busybox:1.36", "docker.io/library/busybox", Some("1.36"), None),
            ("registry:5000/a/b", "registry:5000/a/b", None, None),
            ("registry:5000/a/b:v1", "registry:5000/a/b", Some("v1"), None),
            ("a/b@sha256:00", "a/b", None, Some("sha256:00")),
            ("registry:5000/a:v1@sha256:00", "registry:5000/a", Some("v1"), Some("sha256:00")),
            ("", "", None, None),
            (":", "", Some(""), None),
            ("a/:b", "a/", Some("b"), None),
        ] {
            let image = Image { reference: Some(reference.into()), ..Image::default() };
            let found = (image.repository(), image.tag(), image.digest());
            assert_eq!(found, (Some(repository), tag, digest), "{reference}");
        }
        assert_eq!(Image::default().repository(), None);
    }

    #[test]
    fn what_one_source_does_not_know_another_may() {
        let pod = |name: Option<&str>, uid: Option<&str>| Pod {
            name: name.map(Into::into),
            uid: uid.map(Into::into),
            ..Pod::default()
        };
        let first = Container {
            name: Some("a".into()),
            pod: Some(pod(None, Some("1"))),
            namespaces: HostNamespaces { pid: Some(true), ..HostNamespaces::default() },
            ..Container::default()
        };
        let second = Container {
            name: Some("b".into()),
            privileged: Some(true),
            pod: Some(pod(Some("p"), Some("2"))),
            namespaces: HostNamespaces { pid: Some(false), ipc: Some(false), network: None },
            ..Container::default()
        };
        let both = first.clone().or(second);
        assert_eq!((both.name.as_deref(), both.privileged), (Some("a"), Some(true)));
        assert_eq!(both.pod, Some(pod(Some("p"), Some("1"))));
        assert_eq!(both.namespaces, HostNamespaces { pid: Some(true), ipc: Some(false), network: None });
        assert_eq!(first.clone().or(Container::default()), first);
        assert_eq!(Container::default().or(first.clone()), first);
    }
}
