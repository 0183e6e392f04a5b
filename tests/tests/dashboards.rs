//! `dashboards/`: what is committed is what its source makes, and each panel shows something of a real Yagura.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use end_to_end::{
    DEADLINE,
    activity::{audit_event, post_audit},
    alertmanager::Alertmanager,
    containerd::{Container, Containerd, Cri, IMAGE, Pod},
    daemon::{Daemon, Options},
    http::Client,
    install, kernel_tests_run,
    loki::Loki,
    manifest::Manifest,
    prometheus::{Labels, Prometheus},
    receiver::{Act, Receiver, free_address},
    repository,
    victoria_metrics::VictoriaMetrics,
};
use serde_json::{Value, json};

/// Beside our own rules.
const RULES: &str = "
- rule: Opened
  desc: d
  condition: evt.type = openat and fd.name startswith /yagura-dashboards-
  output: opened %fd.name
  priority: NOTICE
- rule: Started in the pod
  desc: d
  condition: evt.type in (execve, execveat) and evt.res = SUCCESS and k8s.pod.name = web-0
  output: >-
    started | process=%proc.name exe=%proc.exepath command=%proc.cmdline pid=%proc.pid parent=%proc.pname
    parent_command=%proc.pcmdline user=%user.name terminal=%proc.tty container=%container.name
    image=%container.image.repository pod=%k8s.pod.name
  priority: CRITICAL
  tags: [container, mitre_execution, T1609]
- rule: Answered
  desc: d
  source: k8s_audit
  condition: ka.stage = ResponseComplete and ka.verb = get
  output: answered %ka.user.name %ka.verb %ka.target.resource %ka.target.name id=%ka.auditid
  priority: WARNING
  tags: [k8s, mitre_discovery, T1613]
";

/// One of them is beyond its quota and its budget of series.
const TENANTS: &str = "tenants:
- {name: shop, match: {namespaces: [shop]}}
- {name: research, match: {namespaces: [\"research-*\"]}, quota: {detections_per_second: 1, burst: 2, series: 3}}
";

fn folder() -> PathBuf {
    repository().join("dashboards")
}

/// Runs one of the programs that make and check the dashboards.
fn node(program: &str, args: &[&Path]) -> Output {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        install("node");
        let built = Command::new("npm").args(["run", "--silent", "build"]).current_dir(folder()).output();
        let built = built.expect("npm runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stdout));
    });
    let program = folder().join("build").join(program);
    Command::new("node").arg(program).args(args).output().expect("node runs")
}

fn files(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("text"));
    names.filter(|name| name.starts_with("yagura-") && name.ends_with(".json")).collect()
}

#[test]
fn what_is_committed_is_what_the_source_makes() {
    let made = tempfile::tempdir().expect("a folder");
    let output = node("main.js", &[made.path()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(made.path()), files(&folder()));
    for name in files(made.path()) {
        let read = |folder: &Path| fs::read_to_string(folder.join(&name)).expect("a file");
        assert!(read(made.path()) == read(&folder()), "{name} is not what its source makes: make dashboards");
    }
}

#[test]
fn each_dashboard_is_whole_and_what_is_wrong_is_found() {
    let metrics = repository().join("docs/metrics.md");
    let wrong = |folder: &Path| {
        let output = node("check/main.js", &[folder, &metrics]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), said.is_empty(), "{said}");
        said
    };
    assert_eq!(wrong(&folder()), "");
    for (name, from, to, expected) in [
        ("pipeline", "yagura_ring_used_bytes", "yagura_ring_used", "no metric is called yagura_ring_used"),
        ("pipeline", "sum by (type)", "sum by (kind)", "nothing has the label kind"),
        ("pipeline", "stage!=", "level!=", "yagura_lost_total has no label level"),
        ("pipeline", "{{type}}", "{{kind}}", "no label kind for its legend"),
        ("pipeline", "histogram_quantile(", "histogram_quantile((", "a mistake at"),
        ("pipeline", "\"h\": 9", "\"h\": 10", "overlaps"),
        ("pipeline", "$__range", "$__rnge", "what is $__rnge?"),
        ("platform", "\"uid\": \"${prometheus}\"", "\"uid\": \"abc\"", "a datasource that is no variable"),
        ("platform", "\"unit\": \"short\"", "\"x\": \"short\"", "no unit"),
        ("platform", "\"keepTime\": true", "\"keepTime\": false", "no links that keep"),
        ("investigation", "| json", "| jsn", "a mistake at"),
        ("investigation", "| detection=~", "| detectio=~", "there is no label detectio"),
        ("kubernetes-audit", "sum by (who)", "sum by (whom)", "there is no label whom to group by"),
        ("rules", "\"description\": \"Enabled rules", "\"describes\": \"Enabled rules", "no description"),
    ] {
        let copy = tempfile::tempdir().expect("a folder");
        let name = format!("yagura-{name}.json");
        let text = fs::read_to_string(folder().join(&name)).expect("a file");
        assert!(text.contains(from), "{name}: {from}");
        fs::write(copy.path().join(&name), text.replace(from, to)).expect("a file");
        let said = wrong(copy.path());
        assert!(said.contains(expected), "{from}: {said}");
    }
}

#[test]
fn a_sidecar_gets_each_of_them() {
    for overlay in ["single-team", "multi-tenant", "victoriametrics-cluster"] {
        let manifest = Manifest::of(&format!("overlays/{overlay}"));
        let maps = manifest.all("ConfigMap");
        let maps = maps.iter().filter(|map| map["metadata"]["labels"]["grafana_dashboard"] == "1");
        let mut given = BTreeSet::new();
        for (name, text) in maps.flat_map(|map| map["data"].as_object().expect("data")) {
            let file = fs::read_to_string(folder().join(name)).expect("a file");
            assert_eq!(text.as_str(), Some(&*file), "{overlay}: {name}");
            given.insert(name.clone());
        }
        assert_eq!(given, files(&folder()), "{overlay}");
    }
}

/// A query of a panel.
#[derive(Debug)]
struct Query {
    panel: String,
    expr: String,
    /// Labels that the names of its series are made of.
    legend: Vec<String>,
}

impl Query {
    fn read(line: &str) -> Query {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let legend = value["legend"].as_array().expect("labels");
        Query {
            panel: text(&value["panel"]),
            expr: text(&value["expr"]),
            legend: legend.iter().map(text).collect(),
        }
    }

    /// Is there something to see, with names for it?
    fn shows(&self, result: &[(Labels, f64)]) -> bool {
        let named = |label: &String| result.iter().any(|(labels, _)| labels.contains_key(label));
        result.iter().any(|(_, value)| !value.is_nan()) && self.legend.iter().all(named)
    }
}

fn event(id: &str, namespace: &str) -> Value {
    let mut event = audit_event(id, namespace);
    event["user"] = json!({"username": "eve"});
    event["objectRef"]["name"] = "web-0".into();
    event
}

/// Somebody runs a command in the pod and then another one, of which it is known whose they are.
fn session(daemon: &Daemon, client: &Client, cri: &Cri, container: &str) {
    let started = |what: &str| {
        daemon.detection(|detection| {
            detection["output_fields"]["k8s.pod.name"] == "web-0"
                && detection["output_fields"]["proc.cmdline"] == what
        })
    };
    cri.exec(container, &["/bin/cat", "/etc/image"]);
    let before = started("cat /etc/image");
    let exec = json!({
        "auditID": "session", "stage": "ResponseStarted", "stageTimestamp": before["time"], "verb": "get",
        "requestURI": "/api/v1/namespaces/shop/pods/web-0/exec?command=cat&command=%2Fetc%2Fimage",
        "user": {"username": "eve", "groups": ["dev"]}, "sourceIPs": ["10.0.0.7"],
        "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "web-0"},
        "responseStatus": {"code": 101},
    });
    assert_eq!(post_audit(client, &[], [exec]), 200);
    daemon.detection(|detection| detection["output_fields"]["ka.auditid"] == "session");
    cri.exec(container, &["/bin/ls", "/bin"]);
    assert_eq!(started("ls /bin")["correlation"]["k8s_exec"]["user"], "eve");
}

/// What goes on until it is told to end: opens, more of them than a rule may tell, and audit events of three tenants, one
/// of them beyond its quota.
fn activity(client: &Client, ended: &AtomicBool) {
    for round in 0_u32.. {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        for number in 0..10 {
            assert!(fs::File::open(format!("/yagura-dashboards-{round}-{number}")).is_err());
        }
        let namespaces = ["shop", "other", "research-1", "research-1", "research-2"].iter().enumerate();
        let events = namespaces.map(|(number, namespace)| event(&format!("{round}-{number}"), namespace));
        assert_eq!(post_audit(client, &[], events), 200);
        // A pace, not to wait for anything.
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// What Loki got, for the check of queries in LogQL.
fn pushed(loki: &Loki) -> Value {
    let streams = loki.streams();
    let lines = streams.iter().flat_map(|((_, labels), entries)| {
        entries.iter().map(move |entry| json!({"labels": labels, "line": entry.line}))
    });
    json!({"uuid": "", "pod": "web-0", "lines": lines.collect::<Vec<_>>()})
}

/// Every query in PromQL, once each in LogQL finds something of what Loki got.
fn queries(loki: &Loki) -> Vec<Query> {
    let own = tempfile::tempdir().expect("a folder");
    let (file, metrics) = (own.path().join("pushed.json"), repository().join("docs/metrics.md"));
    let end = Instant::now() + DEADLINE;
    loop {
        fs::write(&file, pushed(loki).to_string()).expect("a file");
        let output = node("check/main.js", &[&folder(), &metrics, &file]);
        if output.status.success() {
            let text = String::from_utf8(output.stdout).expect("text");
            return text.lines().map(Query::read).collect();
        }
        assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&output.stderr));
        // Between two looks, not to wait for anything.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Asks until each query has been answered with something to see.
fn shown(who: &str, queries: &[Query], ask: impl Fn(&str) -> Vec<(Labels, f64)>) {
    let end = Instant::now() + DEADLINE;
    let mut empty: Vec<&Query> = queries.iter().collect();
    loop {
        empty.retain(|query| !query.shows(&ask(&query.expr)));
        if empty.is_empty() {
            return;
        }
        let names = empty.iter().map(|query| format!("{}: {}", query.panel, query.expr));
        let names = names.collect::<Vec<_>>().join("\n");
        assert!(Instant::now() < end, "{who} has nothing to show in:\n{names}");
        // Between two looks, not to wait for anything.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The kernel counts what its programs cost for as long as this is there.
struct Counted(String);

impl Counted {
    const PATH: &str = "/proc/sys/kernel/bpf_stats_enabled";

    fn start() -> Counted {
        let before = fs::read_to_string(Counted::PATH).expect("a setting");
        fs::write(Counted::PATH, "1").expect("it can be set");
        Counted(before)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _best_effort = fs::write(Counted::PATH, &self.0);
    }
}

/// Sets it when dropped, whatever happened.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn each_panel_shows_something_of_a_real_yagura() {
    if !kernel_tests_run() {
        return;
    }
    let server = Containerd::start();
    server.import(IMAGE, &[]);
    let cri = server.cri();
    let pod = Pod {
        name: "web-0",
        namespace: "shop",
        uid: "0f3a1b2c-2222-4444-8888-000000000003",
        ..Pod::default()
    };
    let sandbox = cri.run_pod(&pod);
    let main =
        Container { name: "main", image: IMAGE, command: &["/bin/sleep", "1000"], ..Container::default() };
    let container = cri.run(&sandbox, &pod, &main);
    let victoria = VictoriaMetrics::start(free_address());
    let (hook, logs, alerts) = (free_address(), free_address(), free_address());
    let _receiver = Receiver::start(hook, |_| Act::Answer(200));
    let loki = Loki::start(logs, None, |_| false, |_| None);
    let _alertmanager = Alertmanager::start(alerts);
    let config = format!(
        "node: n-1\ncluster: c-1\nrate_limit: {{rate: 5, burst: 20, window: 2s}}\n\
         container_engines: {{root: {}, wait: 5s}}\nsinks:\n\
         - {{name: hook, type: webhook, url: 'http://{hook}/'}}\n\
         - {{name: loki, type: loki, url: 'http://{logs}', tenant_id: '{{tenant}}', batch: {{max_wait: 100ms}}}}\n\
         - {{name: alerts, type: alertmanager, url: '{}'}}\n\
         - {{name: metrics, type: remote_write, url: '{}', interval: 1s}}\n{TENANTS}",
        server.root().display(),
        Alertmanager::url(alerts),
        victoria.write_url()
    );
    let _counted = Counted::start();
    let args = vec!["--rules".to_owned(), repository().join("rules").display().to_string()];
    let daemon = Daemon::start(&Options { rules: RULES, config: &config, args, ..Options::default() });
    let scrape = format!(
        "scrape_configs:\n- job_name: any\n  scrape_interval: 1s\n  static_configs:\n  \
         - {{targets: ['{}'], labels: {{instance: 'n-1:9752', cluster: c-1}}}}\n",
        daemon.address()
    );
    let prometheus = Prometheus::start_with(free_address(), &scrape);
    daemon.until("both have what was before the rules were loaded again", |_| {
        let reloads = "yagura_rules_reload_total";
        !prometheus.query(reloads).is_empty() && !victoria.query(reloads).is_empty()
    });
    let client = Client::plain(daemon.address());
    session(&daemon, &client, &cri, &container);
    daemon.replace_rules(&RULES.replace("priority: NOTICE", "priority: INFO"));
    daemon.log(|line| line.contains("rules reloaded"));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&ended);
        scope.spawn(|| activity(&client, &ended));
        let queries = queries(&loki);
        assert!(queries.len() > 100, "{}", queries.len());
        shown("Prometheus", &queries, |expr| prometheus.query(expr));
        shown("VictoriaMetrics", &queries, |expr| victoria.query(expr));
    });
    daemon.stop().balance();
}
