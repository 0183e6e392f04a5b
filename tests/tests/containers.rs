//! Pods of a real containerd: what Yagura says of what happens in them, from their first program on.

use std::collections::{BTreeMap, BTreeSet};

use end_to_end::{
    activity::dedicated_node,
    containerd::{Container, Containerd, IMAGE, Pod},
    daemon::{Daemon, Options},
    kernel_tests_run,
};
use serde_json::Value;

/// One rule, whose output shows everything.
const RULES: &str = "
- rule: Started
  desc: A program starts in a container.
  condition: evt.type in (execve, execveat) and evt.res = SUCCESS and container.id != host
  output: >
    %proc.name %proc.cmdline %container.id %container.full_id %container.name %container.type %container.image
    %container.image.id %container.image.repository %container.image.tag %container.image.digest
    %container.privileged %container.mounts %container.mount.dest[/] %container.start_ts %container.duration
    %container.label[app] %container.host_pid %container.host_network %container.host_ipc
    %k8s.ns.name %k8s.pod.name %k8s.pod.uid %k8s.pod.label[app] %k8s.pod.labels %k8s.pod.sandbox_id
    %k8s.pod.full_sandbox_id
  priority: NOTICE
";

/// What a detection's output shows.
fn fields(detection: &Value) -> BTreeMap<String, String> {
    let fields = detection["output_fields"].as_object().expect("fields");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A program that started, by a word of its command line.
fn started(daemon: &Daemon, word: &str) -> BTreeMap<String, String> {
    let is = |detection: &Value| {
        let fields = &detection["output_fields"];
        fields["proc.name"] != "ctr"
            && fields["proc.cmdline"].as_str().is_some_and(|line| line.contains(word))
    };
    fields(&daemon.detection(is))
}

fn check(found: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    for (field, expected) in expected {
        assert_eq!(found.get(*field).map(String::as_str), Some(*expected), "{field} in {found:#?}");
    }
}

#[test]
fn pods_are_named_from_their_first_program_on() {
    if !kernel_tests_run() {
        return;
    }
    let server = Containerd::start();
    server.import(IMAGE, &["docker.io/library/app:other"]);
    server.import("registry.example:5000/tools/debug:v2", &[]);
    // A pod from before Yagura.
    let cri = server.cri();
    let old = Pod {
        name: "old-0",
        namespace: "before",
        uid: "0f3a1b2c-0000-4444-8888-000000000000",
        ..Pod::default()
    };
    let old_sandbox = cri.run_pod(&old);
    let old_container = cri.run(
        &old_sandbox,
        &old,
        &Container { name: "main", image: IMAGE, command: &["/bin/sleep", "1000"], ..Container::default() },
    );

    let daemon = Daemon::start(&Options { rules: RULES, config: &server.config(), ..Options::default() });
    cri.exec(&old_container, &["/bin/cat", "/etc/image"]);
    check(
        &started(&daemon, "/etc/image"),
        &[
            ("k8s.ns.name", "before"),
            ("k8s.pod.name", "old-0"),
            ("container.name", "main"),
            ("container.image", IMAGE),
        ],
    );

    let web = Pod {
        name: "web-0",
        namespace: "shop",
        uid: "0f3a1b2c-1111-4444-8888-000000000001",
        labels: &[("app", "web"), ("tier", "front")],
        cgroup_parent: "/kubepods/burstable/pod0f3a1b2c-1111-4444-8888-000000000001",
        ..Pod::default()
    };
    let sandbox = cri.run_pod(&web);
    // It lives for as long as one program takes.
    let short = Container {
        name: "short",
        image: IMAGE,
        command: &["/bin/ls", "/first"],
        labels: &[("app", "short")],
        ..Container::default()
    };
    let id = cri.run(&sandbox, &web, &short);
    let found = started(&daemon, "/first");
    check(
        &found,
        &[
            ("proc.name", "ls"),
            ("container.id", &id[..12]),
            ("container.full_id", &id),
            ("container.name", "short"),
            ("container.type", "containerd"),
            ("container.image", IMAGE),
            ("container.image.repository", "docker.io/library/app"),
            ("container.image.tag", "1"),
            ("container.privileged", "false"),
            ("container.label[app]", "short"),
            ("container.host_pid", "false"),
            ("container.host_network", "true"),
            ("container.host_ipc", "false"),
            ("k8s.ns.name", "shop"),
            ("k8s.pod.name", "web-0"),
            ("k8s.pod.uid", web.uid),
            ("k8s.pod.label[app]", "web"),
            ("k8s.pod.labels", "app:web,tier:front"),
            ("k8s.pod.sandbox_id", &sandbox[..12]),
            ("k8s.pod.full_sandbox_id", &sandbox),
        ],
    );
    assert_eq!(found["container.image.id"].len(), 64, "{found:?}");
    let duration: u64 = found["container.duration"].parse().expect("nanoseconds");
    assert!(duration < 60_000_000_000, "{found:?}");

    // Everything that a container may have and should not.
    let bad = Container {
        name: "debug",
        image: "registry.example:5000/tools/debug:v2",
        command: &["/bin/ls", "/second"],
        privileged: true,
        host_pid: true,
        mounts: &[("/", "/host", false), ("/proc", "/host-proc", true)],
        ..Container::default()
    };
    let admin = Pod {
        name: "debug-0",
        namespace: "admin",
        uid: "0f3a1b2c-2222-4444-8888-000000000002",
        privileged: true,
        ..Pod::default()
    };
    let admin_sandbox = cri.run_pod(&admin);
    let bad_id = cri.run(&admin_sandbox, &admin, &bad);
    let found = started(&daemon, "/second");
    check(
        &found,
        &[
            ("container.image.repository", "registry.example:5000/tools/debug"),
            ("container.image.tag", "v2"),
            ("container.privileged", "true"),
            ("container.host_pid", "true"),
            ("container.mount.dest[/]", "/host"),
            ("k8s.ns.name", "admin"),
        ],
    );
    assert!(found["container.mounts"].contains("/:/host::true:private"), "{found:?}");
    assert!(found["container.mounts"].contains("/proc:/host-proc::false:private"), "{found:?}");

    // The other name of the same image.
    let tagged = Container {
        name: "tagged",
        image: "docker.io/library/app:other",
        command: &["/bin/ls", "/third"],
        ..Container::default()
    };
    let tagged_id = cri.run(&sandbox, &web, &tagged);
    check(&started(&daemon, "/third"), &[("container.image.tag", "other"), ("container.name", "tagged")]);

    // What no kubelet made; it is kept, since whoever asks about it may be late.
    let args = ["-n", "k8s.io", "run", "--net-host", IMAGE, "by-hand", "/bin/ls", "/fourth"];
    let _failed_ls = server.ctr(&args);
    check(&started(&daemon, "/fourth"), &[("container.id", "by-hand"), ("container.type", "containerd")]);

    let mine = [old_container, sandbox, id, admin_sandbox, bad_id, tagged_id];
    // What waits for a name at the end would come without one.
    for id in &mine {
        daemon.detection(|detection| detection["output_fields"]["container.full_id"] == **id);
    }
    cri.remove_pod(&old_sandbox);
    let ended = daemon.stop();
    let balance = ended.balance();
    assert_eq!(balance["lost"], 0, "{balance}");
    // Every program of every container of ours, sandboxes and runtimes' own first steps in them included.
    let mut seen = BTreeSet::new();
    for found in ended.detections().iter().map(fields) {
        if mine.contains(&found["container.full_id"]) {
            seen.insert(found["container.full_id"].clone());
            for field in ["container.image", "container.name", "k8s.ns.name", "k8s.pod.name", "k8s.pod.uid"] {
                assert_ne!(found[field], "null", "{field} of {found:#?}");
            }
        }
    }
    assert_eq!(seen.len(), mine.len(), "each has run something: {seen:?}");
}

#[test]
fn no_container_of_two_hundred_is_unnamed() {
    if !kernel_tests_run() {
        return;
    }
    const THREADS: usize = 4;
    const EACH: usize = 50;
    let server = Containerd::start();
    server.import(IMAGE, &[]);
    let daemon = Daemon::start(&Options { rules: RULES, config: &server.config(), ..Options::default() });
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                let cri = server.cri();
                let (name, uid) =
                    (format!("churn-{thread}"), format!("0f3a1b2c-0000-4444-8888-00000000000{thread}"));
                let pod = Pod { name: &name, namespace: "churn", uid: &uid, ..Pod::default() };
                let sandbox = cri.run_pod(&pod);
                for number in 0..EACH {
                    let name = format!("c{number}");
                    let mark = format!("/mark-{thread}-{number}");
                    let command = ["/bin/ls", &mark];
                    cri.run(
                        &sandbox,
                        &pod,
                        &Container { name: &name, image: IMAGE, command: &command, ..Container::default() },
                    );
                }
            });
        }
    });
    // Pods are left to be asked about: some events may still wait for a name.
    daemon.until("all have run", |daemon| {
        daemon.lines().iter().filter(|line| line.contains("/mark-")).count() >= THREADS * EACH
    });
    let ended = daemon.stop();
    assert_eq!(ended.balance()["lost"], 0);
    let found: Vec<_> = ended.detections().iter().map(fields).collect();
    let marked: Vec<_> = found.iter().filter(|fields| fields["proc.cmdline"].contains("/mark-")).collect();
    assert_eq!(marked.len(), THREADS * EACH);
    for fields in marked {
        let mut words = fields["proc.cmdline"].rsplit('-');
        let (number, thread) = (words.next().expect("a number"), words.next().expect("a number"));
        check(
            fields,
            &[
                ("container.image", IMAGE),
                ("container.name", &format!("c{number}")),
                ("k8s.ns.name", "churn"),
                ("k8s.pod.name", &format!("churn-{thread}")),
            ],
        );
    }
}

#[test]
fn our_rules_on_what_a_container_may_do_speak() {
    if !kernel_tests_run() {
        return;
    }
    let server = Containerd::start();
    server.import(IMAGE, &[]);
    let config = format!("rule_matching: all\n{}", server.config());
    let daemon = Daemon::start(&Options { config: &config, ..Options::default() });
    let cri = server.cri();
    let socket = server.root().join("run/containerd/containerd.sock");
    let socket = socket.to_str().expect("text");
    let command: &[&str] = &["/bin/true"];
    let plain = Container { image: IMAGE, command, ..Container::default() };
    let rows: &[(&str, Container<'_>, &[&str])] = &[
        ("plain", plain, &[]),
        ("privileged", Container { privileged: true, ..plain }, &["Privileged container started"]),
        (
            "files",
            Container { mounts: &[("/", "/host", true)], ..plain },
            &["Container started with the node's files"],
        ),
        (
            "socket",
            Container { mounts: &[(socket, "/run/c.sock", true)], ..plain },
            &["Container started with a runtime's socket"],
        ),
        ("pids", Container { host_pid: true, ..plain }, &["Container shares the node's processes"]),
    ];
    let mut sandboxes = Vec::new();
    for (name, container, _) in rows {
        let pod = Pod { name, namespace: "rules", uid: name, privileged: true, ..Pod::default() };
        let sandbox = cri.run_pod(&pod);
        cri.run(&sandbox, &pod, &Container { name, ..*container });
        sandboxes.push(sandbox);
    }
    // Each may wait for a name of its own.
    for (name, _, expected) in rows {
        for rule in *expected {
            daemon.detection(|detection| {
                detection["output_fields"]["container.name"] == *name && detection["rule"] == *rule
            });
        }
    }
    sandboxes.iter().for_each(|sandbox| cri.remove_pod(sandbox));
    let detections = daemon.stop().detections();
    for (name, _, expected) in rows {
        let of = |detection: &&Value| {
            detection["output_fields"]["container.name"] == *name
                && detection["output_fields"]["proc.name"] == "true"
        };
        let found: BTreeSet<&str> = detections.iter().filter(of).filter_map(|d| d["rule"].as_str()).collect();
        assert_eq!(found, expected.iter().copied().collect(), "{name}: {detections:#?}");
        for detection in detections.iter().filter(of) {
            assert_eq!(detection["output_fields"]["k8s.ns.name"], "rules", "{detection:#}");
            assert_eq!(detection["output_fields"]["container.image.repository"], "docker.io/library/app");
        }
    }
}

#[test]
fn each_tenant_gets_its_own_and_a_reserved_node_is_watched() {
    if !kernel_tests_run() {
        return;
    }
    let server = Containerd::start();
    server.import(IMAGE, &[]);
    server.import("docker.io/library/stranger:1", &[]);
    let own = server.root().join("bank.yaml");
    let rule = "- rule: Bank only\n  desc: d\n  condition: evt.type = execve and evt.rawres = 0 and proc.name = true\n  \
                output: bank %container.name\n  priority: CRITICAL\n";
    std::fs::write(&own, rule).expect("a file");
    let config = format!(
        "rule_matching: all\n{}tenants:\n  - name: shop\n    match: {{namespaces: [\"shop-*\"]}}\n    \
         priorities: [{{rule: Started, priority: error}}]\n    exceptions: [{{rule: Started, condition: proc.name = id}}]\n  \
         - name: bank\n    match: {{labels: [team=bank]}}\n    rules: [{{disable: {{rule: Started}}}}]\n    \
         rules_files: [{}]\n",
        server.config(),
        own.display()
    );
    // That the one which is excepted was dealt with can be seen by this one.
    let shown = "- rule: Shown\n  desc: d\n  condition: evt.type = execve and evt.rawres = 0 and proc.name = id\n  \
                 output: shown %container.name\n  priority: NOTICE\n";
    let rules = format!("{RULES}{shown}\n{}", dedicated_node(IMAGE));
    let daemon = Daemon::start(&Options { rules: &rules, config: &config, ..Options::default() });
    let cri = server.cri();
    let run = |namespace: &str, labels: &[(&str, &str)], image: &str, program: &str| {
        let name = format!("{namespace}-{program}");
        let pod = Pod { name: &name, namespace, uid: &name, labels, ..Pod::default() };
        let sandbox = cri.run_pod(&pod);
        cri.run(
            &sandbox,
            &pod,
            &Container { name: &name, image, command: &[&format!("/bin/{program}")], ..Container::default() },
        );
    };
    run("shop-1", &[], IMAGE, "true");
    run("shop-1", &[], IMAGE, "id");
    run("finance", &[("team", "bank")], IMAGE, "true");
    run("nobody", &[], "docker.io/library/stranger:1", "true");
    // Container, tenant, rule, priority; of the second, which is excepted from the first rule, another one tells.
    let told = [
        ["shop-1-true", "shop", "Started", "Error"],
        ["shop-1-id", "shop", "Shown", "Notice"],
        ["finance-true", "bank", "Bank only", "Critical"],
        ["nobody-true", "platform", "Started", "Notice"],
        ["nobody-true", "platform", "Image that does not belong on this node", "Error"],
    ];
    // Not what the runtime itself runs in a container before the container's own program, nor the sandbox's.
    let is_of = |detection: &Value, container: &str| {
        let fields = &detection["output_fields"];
        (fields["container.name"] == *container || fields["k8s.pod.name"] == *container)
            && (fields["proc.name"].is_null() || fields["proc.name"] == "true" || fields["proc.name"] == "id")
    };
    // Pods are left to be asked about: each event may wait for a name.
    for [container, _, rule, _] in told {
        daemon.detection(|detection| is_of(detection, container) && detection["rule"] == *rule);
    }
    let heard = "yagura_detections_total{namespace=\"shop-1\",priority=\"Error\",rule=\"Started\",source=\"syscall\",tenant=\"shop\"}";
    assert!(daemon.metric(heard) >= 1.0, "{heard}");
    let ended = daemon.stop();
    ended.balance();
    let text = |detection: &Value, key: &str| detection[key].as_str().expect("text").to_owned();
    let found: BTreeSet<[String; 4]> = (ended.detections().iter())
        .flat_map(|detection| {
            let own = told.iter().filter(|[container, ..]| is_of(detection, container));
            own.map(|[container, ..]| {
                [
                    (*container).to_owned(),
                    text(detection, "tenant"),
                    text(detection, "rule"),
                    text(detection, "priority"),
                ]
            })
        })
        .collect();
    assert_eq!(found, told.map(|row| row.map(str::to_owned)).into());
}
