//! A real Yagura with pods to watch, everybody whom it tells, and what happens there: each panel of `dashboards/` then has
//! something to show. Loki and the API server are doubles.

use std::{
    fs::{self, File},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    activity::{audit_event, exec_session, post_audit},
    alertmanager::Alertmanager,
    alerts,
    containerd::{Container, Containerd, Cri, IMAGE, Pod},
    daemon::{Daemon, Options},
    http::Client,
    loki::{Entry, Loki},
    prometheus::Prometheus,
    receiver::{Act, Receiver, free_address},
    repository,
    victoria_metrics::VictoriaMetrics,
    vmalert::Vmalert,
};

/// Beside our own rules: one that says more than its rate limit lets through.
const NOISY: &str = "
- rule: Hidden file looked for
  desc: d
  condition: evt.type = openat and fd.name startswith /.yagura-hidden-
  output: hidden file looked for | file=%fd.name process=%proc.name
  priority: NOTICE
  tags: [host, file, mitre_discovery, T1083]
";

/// One of them has an exception and a priority of its own, the other is beyond its quota and its budget of series.
const TENANTS: &str = "tenants:
- name: shop
  match: {namespaces: [shop]}
  exceptions: [{rule: Library preload file changed, condition: proc.name = sh}]
  priorities: [{rule: Sensitive file read, priority: CRITICAL}]
- {name: research, match: {namespaces: [\"research-*\"]}, quota: {detections_per_second: 1, burst: 2, series: 3}}
";

const WEB: Pod<'_> = Pod {
    name: "web-0",
    namespace: "shop",
    uid: "0f3a1b2c-2222-4444-8888-000000000003",
    labels: &[],
    annotations: &[],
    privileged: false,
    cgroup_parent: "",
    logs: "",
};

const NOTEBOOK: Pod<'_> =
    Pod { name: "notebook-0", namespace: "research-1", uid: "0f3a1b2c-2222-4444-8888-000000000004", ..WEB };

/// What an intruder does in a pod, a step each time.
const INTRUSION: [&str; 5] = [
    "/bin/cat /etc/shadow",
    "/bin/busybox mkdir -p /etc/cron.d && echo '* * * * * root /tmp/xmrig' > /etc/cron.d/update",
    "/bin/busybox mkdir -p /tmp && /bin/busybox cp /bin/busybox /tmp/xmrig && /tmp/xmrig --help",
    ": > /etc/ld.so.preload",
    "/bin/busybox ln -sf /dev/null /.bash_history",
];

/// The kernel counts what its programs cost for as long as this is there.
#[derive(Debug)]
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

/// Recording rules for a minute of test in place of days: evaluated each second, and what they take each five minutes they
/// take each fifteen seconds.
fn quick(file: &str) -> String {
    let rules = fs::read_to_string(alerts::folder().join(file)).expect("rules");
    let lines = rules.lines().map(|line| match line.split_once("interval:") {
        Some((indent, _)) => format!("{indent}interval: 1s\n"),
        None => line.replace(":5m]", ":15s]") + "\n",
    });
    lines.collect()
}

/// Runs until dropped.
#[derive(Debug)]
pub struct Deployment {
    pub daemon: Daemon,
    pub loki: Loki,
    pub prometheus: Prometheus,
    pub victoria: VictoriaMetrics,
    client: Client,
    web: String,
    notebook: String,
    cri: Cri,
    webhook: Arc<AtomicU16>,
    _vmalert: Vmalert,
    _rules: TempDir,
    _counted: Counted,
    _webhook: Receiver,
    _alertmanager: Alertmanager,
    _containerd: Containerd,
}

impl Deployment {
    /// Starts all of it, and waits until both who keep metrics have had some.
    pub fn start() -> Deployment {
        let containerd = Containerd::start();
        containerd.import(IMAGE, &[]);
        let cri = containerd.cri();
        let run = |pod: &Pod<'_>| {
            let main = Container {
                name: "main",
                image: IMAGE,
                command: &["/bin/sleep", "100000"],
                ..Container::default()
            };
            cri.run(&cri.run_pod(pod), pod, &main)
        };
        let (web, notebook) = (run(&WEB), run(&NOTEBOOK));
        let victoria = VictoriaMetrics::start(free_address());
        let (hook, logs, alerts) = (free_address(), free_address(), free_address());
        let status = Arc::new(AtomicU16::new(200));
        let answer = Arc::clone(&status);
        let webhook = Receiver::start(hook, move |_| Act::Answer(answer.load(Ordering::SeqCst)));
        let loki = Loki::start(logs, None, |_| false, |_| None);
        let alertmanager = Alertmanager::start(alerts);
        let config = format!(
            "node: n-1\ncluster: c-1\nrule_matching: most_severe\nrate_limit: {{rate: 5, burst: 20, window: 2s}}\n\
             container_engines: {{root: {}, wait: 5s}}\nsinks:\n\
             - {{name: hook, type: webhook, url: 'http://{hook}/'}}\n\
             - {{name: loki, type: loki, url: 'http://{logs}', tenant_id: '{{tenant}}', batch: {{max_wait: 100ms}}}}\n\
             - {{name: alerts, type: alertmanager, url: '{}', minimum_priority: WARNING, max_alerts: 3}}\n\
             - {{name: metrics, type: remote_write, url: '{}', interval: 1s}}\n{TENANTS}",
            containerd.root().display(),
            Alertmanager::url(alerts),
            victoria.write_url()
        );
        let counted = Counted::start();
        let args = vec!["--rules".to_owned(), repository().join("rules").display().to_string()];
        let daemon = Daemon::start(&Options { rules: NOISY, config: &config, args, ..Options::default() });
        let rules = tempfile::tempdir().expect("a folder");
        let recording = rules.path().join("recording.yaml");
        fs::write(&recording, quick("recording.yaml")).expect("a file");
        let scrape = format!(
            "rule_files: ['{}']\nscrape_configs:\n- job_name: yagura\n  scrape_interval: 1s\n  static_configs:\n  \
             - {{targets: ['{}'], labels: {{instance: 'n-1:9752', cluster: c-1}}}}\n",
            recording.display(),
            daemon.address()
        );
        let prometheus = Prometheus::start_with(free_address(), &scrape);
        let vmalert = Vmalert::start(free_address(), &recording, &victoria);
        daemon.until("both have metrics", |_| {
            let reloads = "yagura_rules_reload_total";
            !prometheus.query(reloads).is_empty() && !victoria.query(reloads).is_empty()
        });
        Deployment {
            client: Client::plain(daemon.address()),
            daemon,
            loki,
            prometheus,
            victoria,
            web,
            notebook,
            cri,
            webhook: status,
            _vmalert: vmalert,
            _rules: rules,
            _counted: counted,
            _webhook: webhook,
            _alertmanager: alertmanager,
            _containerd: containerd,
        }
    }

    /// The noisy rule gets another priority, so the rules are loaded again.
    pub fn reload(&self, priority: &str) {
        self.daemon.replace_rules(&NOISY.replace("priority: NOTICE", &format!("priority: {priority}")));
        self.daemon.log(|line| line.contains("rules reloaded"));
    }

    /// The rule file is no longer one; the old rules run on.
    pub fn reload_fails(&self) {
        self.daemon.replace_rules("- rule: Half of one\n");
        self.daemon.log(|line| line.contains("Half of one"));
    }

    /// Somebody reads a file in the pod before and after the API server tells of their session there; of the second time
    /// it is known whose it was: that detection's uuid.
    pub fn session(&self) -> String {
        let read = |known: bool| {
            self.cri.exec(&self.web, &["/bin/cat", "/etc/shadow"]);
            self.daemon.detection(|detection| {
                detection["output_fields"]["k8s.pod.name"] == WEB.name
                    && detection["output_fields"]["proc.cmdline"] == "cat /etc/shadow"
                    && detection["correlation"]["k8s_exec"].is_object() == known
            })
        };
        let before = read(false);
        let exec = exec_session(&["cat", "/etc/shadow"], &before["time"]);
        assert_eq!(post_audit(&self.client, &[], [exec]), 200);
        self.daemon.detection(|detection| detection["output_fields"]["ka.auditid"] == "session");
        let after = read(true);
        assert_eq!(after["correlation"]["k8s_exec"]["user"], "eve");
        after["uuid"].as_str().expect("an id").to_owned()
    }

    /// With which status the webhook's receiver answers from now on, 200 at the start.
    pub fn webhook_answers(&self, status: u16) {
        self.webhook.store(status, Ordering::SeqCst);
    }

    /// A step of an intrusion into a pod of each of two tenants.
    pub fn intrude(&self, step: usize) {
        for container in [&self.web, &self.notebook] {
            // The miner is none, and fails.
            self.cri.try_exec(container, &["/bin/sh", "-c", INTRUSION[step % INTRUSION.len()]]);
        }
    }

    /// What is loud: opens, more of them than a rule may tell, arguments longer than are kept, and audit events of three
    /// tenants, one of them beyond its quota.
    pub fn flood(&self, round: u32) {
        for number in 0..10 {
            assert!(File::open(format!("/.yagura-hidden-{round}-{number}")).is_err());
        }
        let status = Command::new("/bin/true").arg("x".repeat(100_000)).status();
        assert!(status.expect("it runs").success());
        let namespaces = ["shop", "other", "research-1", "research-1", "research-2"].iter().enumerate();
        let events = namespaces.map(|(number, namespace)| {
            let mut event = audit_event(format!("{round}-{number}"), namespace);
            event["user"] = json!({"username": if number == 1 { "mallory" } else { "eve" }});
            event["objectRef"] = json!({"resource": "secrets", "namespace": namespace, "name": "database"});
            event["responseStatus"] = json!({"code": if number == 1 { 403 } else { 200 }});
            event
        });
        assert_eq!(post_audit(&self.client, &[], events), 200);
    }

    /// What an API server says twice, and what is none of its requests.
    pub fn audit_fails(&self, round: u32) {
        for _ in 0..2 {
            assert_eq!(post_audit(&self.client, &[], [audit_event(format!("again-{round}"), "shop")]), 200);
        }
        let answer = self.client.post("/k8s-audit", &[], b"no list").expect("an answer");
        assert_eq!(answer.status, 400, "{}", answer.text);
    }

    /// Ends the daemon, whose counters must add up.
    pub fn stop(self) {
        self.daemon.stop().balance();
    }

    /// What Loki got, for queries in LogQL; which detection and which pod are chosen; what may be chosen at the top of a
    /// dashboard, each panel showing something of one of them, and what shows nothing.
    pub fn pushed(&self, uuid: &str) -> Value {
        let streams = self.loki.streams();
        let lines = streams.iter().flat_map(|((_, labels), entries)| {
            let line = |entry: &Entry| {
                json!({"labels": labels, "line": entry.line, "time": entry.time_ns / 1_000_000})
            };
            entries.iter().map(line).collect::<Vec<_>>()
        });
        let choice = |tenant: &str, namespace: &str| json!({"cluster": "c-1", "node": "n-1", "tenant": tenant, "namespace": namespace});
        json!({
            "uuid": uuid,
            "pod": WEB.name,
            "lines": lines.collect::<Vec<_>>(),
            "choices": [choice("shop", WEB.namespace), choice("research", NOTEBOOK.namespace), choice("platform", ".*")],
            "nobody": {"tenant": "nobody"},
        })
    }
}
