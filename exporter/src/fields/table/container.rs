//! `container.*` and `k8s.*`: what the container runtimes and Kubernetes know of where a process runs.

use super::fields;

fields! {
    /// Fields of the container and its pod.
    ContainerField in Container;
    Name = "container.name", String, None, One, SYSCALL, 0, "Name of the container; host for a process outside containers.";
    Image = "container.image", String, None, One, SYSCALL, 0, "Image of the container as its maker named it.";
    ImageId = "container.image.id", String, None, One, SYSCALL, 0, "Id of the image, without sha256:.";
    ImageRepository = "container.image.repository", String, None, One, SYSCALL, 0, "container.image without tag and digest.";
    ImageTag = "container.image.tag", String, None, One, SYSCALL, 0, "Tag of the image; absent if it is named by digest only.";
    ImageDigest = "container.image.digest", String, None, One, SYSCALL, 0, "Digest of the image's manifest (sha256:…).";
    Type = "container.type", String, None, One, SYSCALL, 0, "Runtime of the container: containerd, cri-o, docker, podman, or runc if nothing more is known; host for a process outside containers.";
    Privileged = "container.privileged", Bool, None, One, SYSCALL, 0, "True for a privileged container: as its runtime says, else if it may use every device, has CAP_SYS_ADMIN and no hidden paths.";
    Mounts = "container.mounts", String, None, One, SYSCALL, 0, "All mounts, source:dest:mode:rdwr:propagation, separated by commas.";
    Mount = "container.mount", String, RequiredName, One, SYSCALL, 0, "One mount, by position or by a pattern of its source.";
    MountSource = "container.mount.source", String, RequiredName, One, SYSCALL, 0, "Source of a mount, by position or by a pattern of its destination.";
    MountDest = "container.mount.dest", String, RequiredName, One, SYSCALL, 0, "Destination of a mount, by position or by a pattern of its source.";
    MountMode = "container.mount.mode", String, RequiredName, One, SYSCALL, 0, "Mode of a mount, by position or by a pattern of its source.";
    MountRdwr = "container.mount.rdwr", String, RequiredName, One, SYSCALL, 0, "Whether a mount is writable (true, false), by position or by a pattern of its source.";
    MountPropagation = "container.mount.propagation", String, RequiredName, One, SYSCALL, 0, "Propagation of a mount, by position or by a pattern of its source.";
    Healthcheck = "container.healthcheck", String, None, One, SYSCALL, 0, "Command of the container's health check; NONE if it has none and the runtime says so.";
    LivenessProbe = "container.liveness_probe", String, None, One, SYSCALL, 0, "Command of the container's liveness probe, if the pod was made by kubectl apply; else NONE.";
    ReadinessProbe = "container.readiness_probe", String, None, One, SYSCALL, 0, "Command of the container's readiness probe, if the pod was made by kubectl apply; else NONE.";
    StartTs = "container.start_ts", AbsTime, None, One, SYSCALL, 0, "When the container was created, nanoseconds since the epoch.";
    Duration = "container.duration", RelTime, None, One, SYSCALL, 0, "Nanoseconds between the container's creation and the event.";
    Ip = "container.ip", String, None, One, SYSCALL, 0, "Address of the container, or of its pod.";
    CniJson = "container.cni.json", String, None, One, SYSCALL, 0, "What the network plugin answered for the container's pod, as JSON.";
    HostPid = "container.host_pid", Bool, None, One, SYSCALL, 0, "True if the container shares the host's pid namespace.";
    HostNetwork = "container.host_network", Bool, None, One, SYSCALL, 0, "True if the container shares the host's network namespace.";
    HostIpc = "container.host_ipc", Bool, None, One, SYSCALL, 0, "True if the container shares the host's IPC namespace.";
    Label = "container.label", String, RequiredName, One, SYSCALL, 0, "One label of the container.";
    Labels = "container.labels", String, None, One, SYSCALL, 0, "All labels of the container, name:value, separated by commas.";
    NsName = "k8s.ns.name", String, None, One, SYSCALL, 0, "Namespace of the pod.";
    NsLabel = "k8s.ns.label", String, RequiredName, One, SYSCALL, 0, "One label of the namespace, by the Kubernetes API.";
    NsLabels = "k8s.ns.labels", String, None, One, SYSCALL, 0, "All labels of the namespace, name:value, separated by commas.";
    RsName = "k8s.rs.name", String, None, One, SYSCALL, 0, "ReplicaSet that made the pod, by the Kubernetes API.";
    DeploymentName = "k8s.deployment.name", String, None, One, SYSCALL, 0, "Deployment that made the pod's ReplicaSet.";
    DaemonSetName = "k8s.daemonset.name", String, None, One, SYSCALL, 0, "DaemonSet that made the pod (ours).";
    StatefulSetName = "k8s.statefulset.name", String, None, One, SYSCALL, 0, "StatefulSet that made the pod (ours).";
    JobName = "k8s.job.name", String, None, One, SYSCALL, 0, "Job that made the pod (ours).";
    CronJobName = "k8s.cronjob.name", String, None, One, SYSCALL, 0, "CronJob that made the pod's Job (ours).";
    PodName = "k8s.pod.name", String, None, One, SYSCALL, 0, "Name of the pod.";
    PodId = "k8s.pod.id", String, None, One, SYSCALL, 0, "Uid of the pod (deprecated by Falco: k8s.pod.uid).";
    PodUid = "k8s.pod.uid", String, None, One, SYSCALL, 0, "Uid of the pod.";
    PodSandboxId = "k8s.pod.sandbox_id", String, None, One, SYSCALL, 0, "First 12 characters of the pod sandbox's id.";
    PodFullSandboxId = "k8s.pod.full_sandbox_id", String, None, One, SYSCALL, 0, "Whole id of the pod sandbox.";
    PodLabel = "k8s.pod.label", String, RequiredName, One, SYSCALL, 0, "One label of the pod.";
    PodLabels = "k8s.pod.labels", String, None, One, SYSCALL, 0, "All labels of the pod, name:value, separated by commas.";
    PodIp = "k8s.pod.ip", String, None, One, SYSCALL, 0, "Address of the pod.";
    PodCniJson = "k8s.pod.cni.json", String, None, One, SYSCALL, 0, "What the network plugin answered for the pod, as JSON.";
    IsHealthcheck = "proc.is_container_healthcheck", Bool, None, One, SYSCALL, 0, "True if the process is, or descends from, the container's health check as its runtime started it.";
    IsLivenessProbe = "proc.is_container_liveness_probe", Bool, None, One, SYSCALL, 0, "The same of container.liveness_probe.";
    IsReadinessProbe = "proc.is_container_readiness_probe", Bool, None, One, SYSCALL, 0, "The same of container.readiness_probe.";
}
