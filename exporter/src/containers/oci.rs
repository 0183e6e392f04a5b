//! A bundle's `config.json` (OCI runtime specification): mounts, privileges, and the annotations in which CRI
//! implementations and others say whose the container is.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::bounds;
use crate::enrich::container::{Container, HostNamespaces, Image, Mount, Pod, Runtime};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    mounts: Vec<SpecMount>,
    process: Process,
    linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecMount {
    destination: String,
    source: String,
    r#type: String,
    #[serde(deserialize_with = "or_default")]
    options: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Process {
    #[serde(deserialize_with = "or_default")]
    capabilities: Capabilities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Capabilities {
    #[serde(deserialize_with = "or_default")]
    bounding: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    #[serde(rename = "maskedPaths")]
    masked_paths: Option<Vec<String>>,
    #[serde(deserialize_with = "or_default")]
    namespaces: Vec<Namespace>,
    resources: Resources,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Namespace {
    r#type: String,
    path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(deserialize_with = "or_default")]
    devices: Vec<Device>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Device {
    allow: bool,
    access: Option<String>,
    major: Option<i64>,
}

/// A value; `null`, which Go writes for what is empty, is the default.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// What a `config.json` says.
pub(super) fn container(config: &[u8]) -> Result<Container, serde_json::Error> {
    let spec: Spec = serde_json::from_slice(config)?;
    let notes = &spec.annotations;
    let note = |keys: &[&str]| keys.iter().find_map(|key| bounds::text(notes.get(*key)?));
    let sandbox = note(&["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"]);
    let pod = Pod {
        name: note(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: note(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        uid: note(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        sandbox_id: sandbox.clone(),
        ..Pod::default()
    };
    let types = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];
    let is_sandbox = types.iter().any(|key| notes.get(*key).is_some_and(|kind| kind == "sandbox"));
    let crio = notes.keys().any(|key| key.starts_with("io.kubernetes.cri-o."));
    let runtime = if crio {
        Some(Runtime::CriO)
    } else if notes.contains_key("io.kubernetes.cri.container-type") {
        Some(Runtime::Containerd)
    } else if notes.get("io.container.manager").is_some_and(|manager| manager == "libpod") {
        Some(Runtime::Podman)
    } else {
        None
    };
    Ok(Container {
        // A sandbox has no name but its pod's.
        name: note(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"])
            .or_else(|| pod.name.clone().filter(|_| is_sandbox)),
        runtime,
        image: Image {
            reference: note(&[
                "io.kubernetes.cri.image-name",
                "io.kubernetes.cri-o.UserRequestedImage",
                "io.kubernetes.cri-o.ImageName",
                "org.opencontainers.image.ref.name",
            ]),
            ..Image::default()
        },
        privileged: Some(is_privileged(&spec)),
        mounts: Some(bounds::mounts(
            spec.mounts.iter().filter(|mount| mount.is_bind()).map(SpecMount::describe),
        )),
        labels: None,
        namespaces: HostNamespaces {
            pid: spec.linux.shares("pid"),
            network: spec.linux.shares("network"),
            ipc: spec.linux.shares("ipc"),
        },
        pod: (pod != Pod::default()).then_some(pod),
        ..Container::default()
    })
}

/// As runtimes make a privileged container: every device, every capability, nothing hidden.
fn is_privileged(spec: &Spec) -> bool {
    let all_devices = spec.linux.resources.devices.iter().any(|device| {
        device.allow
            && device.major.is_none()
            && device.access.as_deref().is_none_or(|access| access == "rwm")
    });
    all_devices
        && spec.process.capabilities.bounding.iter().any(|capability| capability == "CAP_SYS_ADMIN")
        && spec.linux.masked_paths.as_ref().is_none_or(Vec::is_empty)
}

impl Linux {
    /// Whether it shares a namespace with the host; `None` if it joins one that may be anybody's.
    fn shares(&self, kind: &str) -> Option<bool> {
        match self.namespaces.iter().find(|namespace| namespace.r#type == kind) {
            None => Some(true),
            Some(namespace) => namespace.path.is_empty().then_some(false),
        }
    }
}

impl SpecMount {
    fn is_bind(&self) -> bool {
        self.r#type == "bind" || self.options.iter().any(|option| option == "bind" || option == "rbind")
    }

    fn describe(&self) -> Mount {
        let has = |wanted: &[&str]| self.options.iter().any(|option| wanted.contains(&&**option));
        Mount {
            source: bounds::text(&self.source).unwrap_or_default(),
            destination: bounds::text(&self.destination).unwrap_or_default(),
            mode: "".into(),
            writable: !has(&["ro"]),
            propagation: if has(&["rshared", "shared"]) {
                "rshared"
            } else if has(&["rslave", "slave"]) {
                "rslave"
            } else {
                "private"
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: serde_json::Value) -> Container {
        container(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn annotations_say_whose_it_is() {
        let cri = of(serde_json::json!({"annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": "app",
            "io.kubernetes.cri.image-name": "docker.io/library/busybox:1",
            "io.kubernetes.cri.sandbox-id": "s",
            "io.kubernetes.cri.sandbox-name": "web-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-uid": "u",
        }}));
        let crio = of(serde_json::json!({"annotations": {
            "io.kubernetes.cri-o.SandboxID": "s",
            "io.kubernetes.cri-o.ImageName": "docker.io/library/busybox:1",
            "io.kubernetes.container.name": "app",
            "io.kubernetes.pod.name": "web-0",
            "io.kubernetes.pod.namespace": "shop",
            "io.kubernetes.pod.uid": "u",
        }}));
        for (container, runtime) in [(cri, Runtime::Containerd), (crio, Runtime::CriO)] {
            assert_eq!(container.runtime, Some(runtime));
            assert_eq!(container.name.as_deref(), Some("app"));
            assert_eq!(container.image.tag(), Some("1"));
            let pod = container.pod.unwrap();
            let texts = [&pod.name, &pod.namespace, &pod.uid, &pod.sandbox_id].map(|text| text.as_deref());
            assert_eq!(texts, [Some("web-0"), Some("shop"), Some("u"), Some("s")]);
        }
        let plain =
            of(serde_json::json!({"annotations": null, "mounts": null, "process": {"capabilities": null}}));
        assert_eq!((plain.pod, plain.runtime, plain.name), (None, None, None));
        assert_eq!(
            of(serde_json::json!({"annotations": {"io.container.manager": "libpod"}})).runtime,
            Some(Runtime::Podman)
        );
    }

    #[test]
    fn privileged_is_everything_at_once() {
        let everything = serde_json::json!({
            "process": {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}},
            "linux": {"resources": {"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "access": "rwm"}]}},
        });
        assert_eq!(of(everything.clone()).privileged, Some(true));
        for (pointer, value) in [
            ("/process/capabilities/bounding", serde_json::json!(["CAP_CHOWN"])),
            ("/linux/resources/devices/1/major", serde_json::json!(10)),
            ("/linux/resources/devices/1/access", serde_json::json!("r")),
            ("/linux/resources/devices/1/allow", serde_json::json!(false)),
            ("/linux/maskedPaths", serde_json::json!(["/proc/kcore"])),
        ] {
            let mut less = everything.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            less.pointer_mut(parent).unwrap()[key] = value;
            assert_eq!(of(less).privileged, Some(false), "{pointer}");
        }
    }

    #[test]
    fn mounts_from_the_host_are_listed() {
        let container = of(serde_json::json!({"mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/host", "type": "bind", "source": "/", "options": ["rbind", "rslave", "ro"]},
            {"destination": "/data", "type": "none", "source": "/srv", "options": ["bind", "rw", "rshared"]},
            {"destination": "/x", "type": "bind", "source": "/y"},
        ]}));
        let mounts: Vec<String> = container.mounts.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(mounts, ["/:/host::false:rslave", "/srv:/data::true:rshared", "/y:/x::true:private"]);
    }

    #[test]
    fn a_namespace_that_is_not_its_own_is_the_hosts() {
        let namespaces = serde_json::json!([{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}]);
        let shared = of(serde_json::json!({"linux": {"namespaces": namespaces}})).namespaces;
        assert_eq!(shared, HostNamespaces { pid: Some(false), network: None, ipc: Some(true) });
    }

    #[test]
    fn rubbish_is_refused() {
        for text in ["", "3", "{\"annotations\": 3}", "{\"mounts\": [1]}"] {
            assert!(container(text.as_bytes()).is_err(), "{text}");
        }
    }
}
