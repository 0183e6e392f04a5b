//! Whom Yagura asks for containers: runtimes that are gone, hang and come back, Docker, and a host with cgroup v2 alone.

use std::{os::unix::net::UnixListener, process::Command};

use end_to_end::{
    cgroups::ContainerGroup,
    containerd::{Container, Containerd, IMAGE, Pod},
    daemon::{Daemon, Options},
    docker::Docker,
    kernel_tests_run,
};
use serde_json::Value;

const RULES: &str = "
- rule: Started
  desc: A program starts in a container.
  condition: evt.type in (execve, execveat) and evt.res = SUCCESS and container.id != host
  output: >
    %proc.name %proc.cmdline %container.id %container.name %container.type %container.image.repository
    %container.image.tag %container.label[app] %container.privileged %k8s.ns.name %k8s.pod.name %k8s.pod.label[app]
  priority: NOTICE
";

/// A pod whose container starts `ls MARK` for as long as it lives.
fn ticking(server: &Containerd, name: &str, mark: &str) {
    let pod = Pod { name, namespace: "team", uid: name, labels: &[("app", "tick")], ..Pod::default() };
    let cri = server.cri();
    let sandbox = cri.run_pod(&pod);
    let script = format!("while :; do /bin/ls {mark}; /bin/sleep 1; done");
    let container =
        Container { name, image: IMAGE, command: &["/bin/sh", "-c", &script], ..Container::default() };
    cri.run(&sandbox, &pod, &container);
}

/// An argument that no other run of the tests has.
fn mark(name: &str) -> String {
    format!("/{name}-{}", std::process::id())
}

/// What is said of a program whose command line has `word`, if `also`.
fn seen(daemon: &Daemon, word: &str, also: impl Fn(&Value) -> bool) -> Value {
    daemon.detection(|detection| {
        let line = &detection["output_fields"]["proc.cmdline"];
        detection["output_fields"]["proc.name"] == "ls"
            && line.as_str().is_some_and(|line| line.contains(word))
            && also(detection)
    })
}

fn lacks(detection: &Value, field: &str) -> bool {
    detection["incomplete_fields"].as_array().is_some_and(|fields| fields.iter().any(|name| name == field))
}

#[test]
fn detections_go_on_while_a_runtime_is_gone_or_hangs() {
    if !kernel_tests_run() {
        return;
    }
    let mut server = Containerd::start();
    server.import(IMAGE, &[]);
    let (old, new, hung_mark) = (mark("old"), mark("new"), mark("hung"));
    ticking(&server, "old", &old);
    server.crash();
    let config = server.config();
    // Files say whose the container is, but no labels.
    let by_files = |daemon: &Daemon| {
        let found = seen(daemon, &old, |_| true);
        let fields = &found["output_fields"];
        assert_eq!(fields["container.image.repository"], "docker.io/library/app", "{found:#}");
        assert_eq!(fields["k8s.ns.name"], "team", "{found:#}");
        assert_eq!(fields["k8s.pod.label[app]"], Value::Null, "{found:#}");
        assert!(lacks(&found, "k8s.pod.label[app]"), "{found:#}");
    };
    // No socket at all when Yagura starts.
    let (socket, elsewhere) = (server.socket(), server.root().join("elsewhere.sock"));
    std::fs::rename(&socket, &elsewhere).expect("the socket of the crashed one");
    let first = Daemon::start(&Options { rules: RULES, config: &config, ..Options::default() });
    by_files(&first);
    assert_eq!(first.stop().balance()["lost"], 0);
    // One with nobody behind it.
    std::fs::rename(&elsewhere, &socket).expect("a rename");
    let daemon = Daemon::start(&Options { rules: RULES, config: &config, ..Options::default() });
    by_files(&daemon);
    let failed = "yagura_container_source_answers_total{source=\"cri\",result=\"failed\"}";
    daemon.until("the socket has been tried", |daemon| daemon.metric(failed) >= 1.0);

    // It hangs: it takes connections and says nothing.
    std::fs::remove_file(server.socket()).expect("the socket of the crashed one");
    let hung = UnixListener::bind(server.socket()).expect("a socket");
    let group = ContainerGroup::new().expect("a cgroup that looks like a container's");
    let script = format!("echo $$ >{}/cgroup.procs; exec /bin/ls {hung_mark}", group.path().display());
    let _fails = Command::new("/bin/sh").args(["-c", &script]).output().expect("it runs");
    let found = seen(&daemon, &hung_mark, |_| true);
    assert!(lacks(&found, "container.image.repository"), "{found:#}");
    assert_eq!(found["output_fields"]["container.id"], group.id()[..12], "{found:#}");
    assert!(daemon.metric("yagura_events_held_total{result=\"unknown\"}") >= 1.0, "it waited in vain");

    // It comes back, and labels with it.
    drop(hung);
    server.restart();
    ticking(&server, "new", &new);
    let found = seen(&daemon, &new, |detection| !detection["output_fields"]["k8s.pod.label[app]"].is_null());
    assert_eq!(found["output_fields"]["k8s.pod.label[app]"], "tick", "{found:#}");
    let ended = daemon.stop();
    assert_eq!(ended.balance()["lost"], 0);
    // Whoever was known at first was known all the time.
    let old =
        ended.detections().into_iter().filter(|d| d["output_fields"]["proc.cmdline"] == format!("ls {old}"));
    let namespaces: Vec<Value> = old.map(|d| d["output_fields"]["k8s.ns.name"].clone()).collect();
    assert!(!namespaces.is_empty() && namespaces.iter().all(|name| name == "team"), "{namespaces:?}");
}

#[test]
fn containers_are_named_where_cgroup_v2_is_all_there_is() {
    if !kernel_tests_run() {
        return;
    }
    let server = Containerd::start_unified();
    server.import(IMAGE, &[]);
    let config = server.config();
    let daemon = Daemon::start(&Options { rules: RULES, config: &config, ..Options::default() });
    // By hand: a kubelet's pods have a share of the CPU, whose controller is another hierarchy's on this machine.
    let mark = mark("unified");
    let script = format!("while :; do /bin/ls {mark}; /bin/sleep 1; done");
    let runc = server.root().join("run/containerd/runc");
    let options =
        ["--detach", "--net-host", "--cpu-shares", "0", "--runc-root", runc.to_str().expect("text")];
    let program = [IMAGE, "unified", "/bin/sh", "-c", &script];
    let args = [&["-n", "k8s.io", "run"], &options[..], &program[..]].concat();
    server.ctr(&args).expect("it starts");
    let found = seen(&daemon, &mark, |_| true);
    let fields = &found["output_fields"];
    assert_eq!(fields["container.id"], "unified", "{found:#}");
    assert_eq!(fields["container.image.repository"], "docker.io/library/app", "{found:#}");
    assert_eq!(fields["container.image.tag"], "1", "{found:#}");
    assert_eq!(fields["container.type"], "containerd", "{found:#}");
    // The runtime made a group in the unified hierarchy and in no other.
    let groups = server.groups_of(&script);
    let of_container = |group: &&String| group.ends_with("/k8s.io/unified");
    let groups: Vec<_> = groups.iter().filter(of_container).collect();
    assert!(!groups.is_empty() && groups.iter().all(|group| group.starts_with("0::")), "{groups:?}");
    server.ctr(&["-n", "k8s.io", "tasks", "delete", "--force", "unified"]).expect("it ends");
    assert_eq!(daemon.stop().balance()["lost"], 0);
}

#[test]
fn docker_containers_are_named() {
    if !kernel_tests_run() {
        return;
    }
    let docker = Docker::start();
    docker.import("smoke/app:v3");
    let config = format!(
        "rate_limit: {{rate: 0}}\ncontainer_engines: {{root: {}, wait: 5s}}\n",
        docker.root().display()
    );
    let daemon = Daemon::start(&Options { rules: RULES, config: &config, ..Options::default() });
    docker.run(&[
        "--name",
        "smoke",
        "--label",
        "app=web",
        "--network",
        "none",
        "--entrypoint",
        "/bin/ls",
        "smoke/app:v3",
        "/smoke",
    ]);
    let found = seen(&daemon, "/smoke", |_| true);
    let fields = &found["output_fields"];
    assert_eq!(fields["container.type"], "docker", "{found:#}");
    assert_eq!(fields["container.name"], "smoke", "{found:#}");
    assert_eq!(fields["container.image.repository"], "smoke/app", "{found:#}");
    assert_eq!(fields["container.image.tag"], "v3", "{found:#}");
    assert_eq!(fields["container.label[app]"], "web", "{found:#}");
    assert_eq!(fields["container.privileged"], false, "{found:#}");
    assert_eq!(daemon.stop().balance()["lost"], 0);
}
