//! `container.*`, `k8s.*`: what is known of where a process runs. Absent while it is not known; of a host process only
//! name and type are there.

use super::owned;
use crate::{
    enrich::{
        View,
        container::{Container, Labels, Mount},
        process::Process,
    },
    fields::{FieldArg, Value, table::container::ContainerField as F},
    glob::Glob,
};

/// What Falco writes for a probe that a container does not have.
const NO_PROBE: &str = "NONE";
/// Length of the short form of an id.
const SHORT_ID: usize = 12;
/// Where `kubectl apply` leaves the pod's specification.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl View<'_> {
    pub(super) fn of_container(&self, field: F, arg: &FieldArg) -> Option<Value<'_>> {
        if let (F::Name | F::Type, Some(None)) = (field, self.container()) {
            return Some(text("host"));
        }
        let container = self.metadata()?;
        let pod = || container.pod.as_ref();
        match field {
            F::Name => container.name.as_deref().map(text),
            F::Image => container.image.reference.as_deref().map(text),
            F::ImageId => container.image.id.as_deref().map(text),
            F::ImageRepository => container.image.repository().map(text),
            F::ImageTag => container.image.tag().map(text),
            F::ImageDigest => container.image.digest().map(text),
            F::Type => container.runtime.map(|runtime| text(runtime.name())),
            F::Privileged => container.privileged.map(Value::Bool),
            F::Mounts => {
                let mounts = container.mounts.as_deref()?.iter().map(ToString::to_string);
                Some(owned(mounts.collect::<Vec<_>>().join(",")))
            }
            F::Mount => Some(owned(mount(container, arg, source)?.to_string())),
            F::MountSource => Some(text(&mount(container, arg, destination)?.source)),
            F::MountDest => Some(text(&mount(container, arg, source)?.destination)),
            F::MountMode => Some(text(&mount(container, arg, source)?.mode)),
            F::MountRdwr => {
                Some(text(if mount(container, arg, source)?.writable { "true" } else { "false" }))
            }
            F::MountPropagation => Some(text(&mount(container, arg, source)?.propagation)),
            F::Healthcheck => Some(text(container.healthcheck.as_deref().unwrap_or(NO_PROBE))),
            F::LivenessProbe => Some(probe(container, "livenessProbe").map_or(text(NO_PROBE), owned)),
            F::ReadinessProbe => Some(probe(container, "readinessProbe").map_or(text(NO_PROBE), owned)),
            F::StartTs => container.created_ns.map(Value::AbsTime),
            F::Duration => Some(Value::RelTime(self.time_ns().saturating_sub(container.created_ns?))),
            F::Ip => container.ip.as_deref().or_else(|| pod()?.ip.as_deref()).map(text),
            F::CniJson | F::PodCniJson => pod()?.cni.as_deref().map(text),
            F::HostPid => container.namespaces.pid.map(Value::Bool),
            F::HostNetwork => container.namespaces.network.map(Value::Bool),
            F::HostIpc => container.namespaces.ipc.map(Value::Bool),
            F::Label => label(container.labels.as_ref()?, arg),
            F::Labels => Some(all(container.labels.as_ref()?)),
            F::NsName => pod()?.namespace.as_deref().map(text),
            F::NsLabel => label(pod()?.namespace_labels.as_deref()?, arg),
            F::NsLabels => Some(all(pod()?.namespace_labels.as_deref()?)),
            F::RsName
            | F::DeploymentName
            | F::DaemonSetName
            | F::StatefulSetName
            | F::JobName
            | F::CronJobName => {
                let kind = kind_of(field)?;
                let mut workloads = pod()?.workloads.as_deref()?.iter();
                Some(text(&workloads.find(|workload| *workload.kind == *kind)?.name))
            }
            F::PodName => pod()?.name.as_deref().map(text),
            F::PodId | F::PodUid => pod()?.uid.as_deref().map(text),
            F::PodSandboxId => {
                let id = pod()?.sandbox_id.as_deref()?;
                Some(text(id.get(..SHORT_ID).unwrap_or(id)))
            }
            F::PodFullSandboxId => pod()?.sandbox_id.as_deref().map(text),
            F::PodLabel => label(pod()?.labels.as_ref()?, arg),
            F::PodLabels => Some(all(pod()?.labels.as_ref()?)),
            F::PodIp => pod()?.ip.as_deref().map(text),
            F::IsHealthcheck => Some(self.descends_from(container.healthcheck.as_deref())),
            F::IsLivenessProbe => Some(self.descends_from(probe(container, "livenessProbe").as_deref())),
            F::IsReadinessProbe => Some(self.descends_from(probe(container, "readinessProbe").as_deref())),
        }
    }

    /// A host process has none of it; a container that is known and in no pod has no pod's.
    pub(super) fn may_have_metadata(&self, field: F) -> bool {
        let of_pod = matches!(
            field,
            F::NsName
                | F::PodName
                | F::PodId
                | F::PodUid
                | F::PodSandboxId
                | F::PodFullSandboxId
                | F::PodLabel
                | F::PodLabels
                | F::PodIp
                | F::PodCniJson
                | F::CniJson
                | F::NsLabel
                | F::NsLabels
        ) || kind_of(field).is_some();
        match self.container() {
            Some(None) => false,
            // Whoever made the pod is known, and is of another kind.
            _ if kind_of(field).is_some()
                && self
                    .metadata()
                    .is_some_and(|c| c.pod.as_ref().is_some_and(|pod| pod.workloads.is_some())) =>
            {
                false
            }
            _ => !of_pod || self.metadata().is_none_or(|container| container.pod.is_some()),
        }
    }

    /// Whether the process or an ancestor in the same container is a command that the runtime started: one that a
    /// process of the container itself starts does not count, whatever it is called.
    fn descends_from(&self, command: Option<&str>) -> Value<'_> {
        let is_probe = |command: &str| {
            let slot = |process: &Process| process.cgroup.as_ref()?.slot(process.foreign_mounts).cloned();
            let own = self.process.and_then(slot)?;
            let inside = |process: &&Process| slot(process).as_ref() == Some(&own);
            let first = self.process.into_iter().chain(self.ancestors()).take_while(inside).last()?;
            Some(first.image.as_deref()?.exeline() == command.as_bytes())
        };
        Value::Bool(command.and_then(is_probe) == Some(true))
    }
}

/// The kind of object whose name the field is.
const fn kind_of(field: F) -> Option<&'static str> {
    Some(match field {
        F::RsName => "ReplicaSet",
        F::DeploymentName => "Deployment",
        F::DaemonSetName => "DaemonSet",
        F::StatefulSetName => "StatefulSet",
        F::JobName => "Job",
        F::CronJobName => "CronJob",
        _ => return None,
    })
}

fn text(text: &str) -> Value<'_> {
    Value::str(text.as_bytes())
}

fn source(mount: &Mount) -> &str {
    &mount.source
}

fn destination(mount: &Mount) -> &str {
    &mount.destination
}

/// A mount by its position, or the first one that a pattern fits (Falco matches like this).
fn mount<'c>(container: &'c Container, arg: &FieldArg, by: fn(&Mount) -> &str) -> Option<&'c Mount> {
    let mounts = container.mounts.as_deref()?;
    match arg {
        FieldArg::Index(index) => mounts.get(*index as usize),
        FieldArg::Key(pattern) => {
            let pattern = Glob::new(pattern.as_bytes(), false);
            mounts.iter().find(|mount| pattern.matches(by(mount).as_bytes()))
        }
        FieldArg::None => None,
    }
}

fn label<'c>(labels: &'c Labels, arg: &FieldArg) -> Option<Value<'c>> {
    match arg {
        FieldArg::Key(name) => labels.get(name).map(|value| text(value)),
        FieldArg::Index(number) => labels.get(&*number.to_string()).map(|value| text(value)),
        FieldArg::None => None,
    }
}

fn all(labels: &Labels) -> Value<'_> {
    owned(labels.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(","))
}

/// The command of a probe of the container, by the pod's specification as it was applied.
fn probe(container: &Container, kind: &str) -> Option<String> {
    let applied = container.pod.as_ref()?.annotations.as_ref()?.get(LAST_APPLIED)?;
    let pod: serde_json::Value = serde_json::from_str(applied).ok()?;
    let containers = pod.pointer("/spec/containers")?.as_array()?;
    let own = containers.iter().find(|own| own["name"].as_str() == container.name.as_deref())?;
    let command = own[kind].pointer("/exec/command")?.as_array()?;
    Some(command.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" "))
}
