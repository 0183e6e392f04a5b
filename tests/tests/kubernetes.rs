//! Pods of a real containerd, and what a double of an API server says of them.

use end_to_end::{
    api_server::ApiServer,
    containerd::{Container, Containerd, IMAGE, Pod},
    daemon::{Daemon, Options},
    http::Client,
    kernel_tests_run,
};
use serde_json::{Value, json};

const RULES: &str = "
- rule: Started
  desc: A program starts in a container.
  condition: evt.type = execve and evt.res = SUCCESS and proc.name = ls and container.id != host
  output: >
    %proc.cmdline %k8s.ns.name %k8s.pod.name %k8s.ns.label[team] %k8s.ns.labels %k8s.rs.name %k8s.deployment.name
    %k8s.daemonset.name
  priority: NOTICE
- rule: Listed
  desc: Secrets are listed.
  source: k8s_audit
  condition: ka.verb = list and ka.target.resource = secrets
  output: listed
  priority: NOTICE
";
const POD: Pod<'_> =
    Pod { name: "web-0", namespace: "shop", uid: "0f3a1b2c-1111-4444-8888-00000000000a", ..DEFAULT };
const DEFAULT: Pod<'_> = Pod {
    name: "",
    namespace: "",
    uid: "",
    labels: &[],
    annotations: &[],
    privileged: false,
    cgroup_parent: "",
    logs: "",
};

fn started(daemon: &Daemon, mark: &str) -> Value {
    daemon.detection(|detection| {
        detection["output_fields"]["proc.cmdline"].as_str().is_some_and(|line| line.ends_with(mark))
    })
}

#[test]
fn a_pod_is_its_namespaces_and_its_nodes_tenant_and_names_its_deployment() {
    if !kernel_tests_run() {
        return;
    }
    let server = Containerd::start();
    server.import(IMAGE, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let api = ApiServer::start(folder.path());
    api.put("/api/v1/nodes", json!({"name": "n1", "uid": "k", "labels": {"pool": "gpu"}}));
    api.put("/api/v1/namespaces", json!({"name": "shop", "uid": "n", "labels": {"team": "blue"}}));
    let of = |kind: &str, name: &str, uid: &str| json!([{"kind": kind, "name": name, "uid": uid, "controller": true}]);
    api.put(
        "/apis/apps/v1/namespaces/shop/replicasets",
        json!({"name": "web-5d", "namespace": "shop", "uid": "rs", "ownerReferences": of("Deployment", "web", "d")}),
    );
    let pod = |name: &str, uid: &str, owners: Value| json!({"name": name, "namespace": "shop", "uid": uid, "ownerReferences": owners});
    api.put("/api/v1/pods", pod(POD.name, POD.uid, of("ReplicaSet", "web-5d", "rs")));
    let config = format!(
        "node: n1\n{}{}\
         tenants:\n  - name: blue\n    match: {{namespace_labels: [team=blue]}}\n  \
         - name: red\n    match: {{namespace_labels: [team=red], node_labels: [pool=gpu]}}\n  \
         - name: red-elsewhere\n    match: {{namespace_labels: [team=red]}}\n  - name: nowhere\n    match: {{node_labels: [pool=other]}}\n",
        server.config(),
        api.config(folder.path()),
    );
    let daemon = Daemon::start(&Options { rules: RULES, config: &config, ..Options::default() });
    for resource in ["pods", "namespaces", "nodes"] {
        let up = format!("yagura_kubernetes_watch_up{{resource=\"{resource}\"}}");
        daemon.until("the watch is up", |daemon| daemon.metric(&up) == 1.0);
    }
    let cri = server.cri();
    let sandbox = cri.run_pod(&POD);
    let sleep =
        Container { name: "main", image: IMAGE, command: &["/bin/sleep", "1000"], ..Container::default() };
    let main = cri.run(&sandbox, &POD, &sleep);
    let _exit = cri.try_exec(&main, &["/bin/ls", "/one"]);
    let found = started(&daemon, "/one");
    let fields = &found["output_fields"];
    assert_eq!(found["tenant"], "blue", "{found:#}");
    for (field, expected) in [
        ("k8s.ns.name", json!("shop")),
        ("k8s.pod.name", json!("web-0")),
        ("k8s.ns.label[team]", json!("blue")),
        ("k8s.ns.labels", json!("team:blue")),
        ("k8s.rs.name", json!("web-5d")),
        ("k8s.deployment.name", json!("web")),
        ("k8s.daemonset.name", Value::Null),
    ] {
        assert_eq!(fields[field], expected, "{field}: {found:#}");
    }
    assert!(found["incomplete_fields"].as_array().is_none_or(Vec::is_empty), "{found:#}");

    // The namespace is given to another team: what runs in it is that team's, without a restart.
    api.put("/api/v1/namespaces", json!({"name": "shop", "uid": "n", "labels": {"team": "red"}}));
    let mut tries = 0;
    daemon.until("it is the other team's", |daemon| {
        tries += 1;
        let mark = format!("/two-{tries}");
        let _exit = cri.try_exec(&main, &["/bin/ls", &mark]);
        started(daemon, &mark)["tenant"] == "red"
    });
    // A pod that comes later, made by something else.
    let late = Pod { name: "agent-x", uid: "0f3a1b2c-1111-4444-8888-00000000000b", ..POD };
    api.put("/api/v1/pods", pod(late.name, late.uid, of("DaemonSet", "agent", "ds")));
    daemon.until("it is known", |daemon| daemon.metric("yagura_kubernetes_objects{kind=\"pods\"}") == 2.0);
    let late_sandbox = cri.run_pod(&late);
    let ls = Container { name: "late", image: IMAGE, command: &["/bin/ls", "/late"], ..Container::default() };
    cri.run(&late_sandbox, &late, &ls);
    let found = started(&daemon, "/late");
    assert_eq!(found["output_fields"]["k8s.daemonset.name"], "agent", "{found:#}");
    assert_eq!(found["output_fields"]["k8s.deployment.name"], Value::Null, "{found:#}");
    assert_eq!(found["tenant"], "red", "{found:#}");
    // So is a request about the namespace.
    let event = json!({"auditID": "a", "stage": "ResponseComplete", "verb": "list",
        "objectRef": {"resource": "secrets", "namespace": "shop"}});
    let list =
        json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": [event]});
    let answer = Client::plain(daemon.address()).post("/k8s-audit", &[], list.to_string().as_bytes());
    assert_eq!(answer.expect("an answer").status, 200);
    let found = daemon.detection(|detection| detection["rule"] == "Listed");
    assert_eq!(
        found["tenant"], "red-elsewhere",
        "by the namespace alone: an event of the API has no node: {found:#}"
    );
    cri.remove_pod(&sandbox);
    cri.remove_pod(&late_sandbox);
    assert_eq!(daemon.stop().balance()["lost"], 0);
}
