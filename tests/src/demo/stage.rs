//! Everything that runs in the demo; gone when dropped.

use std::{fs, path::Path};

use anyhow::Result;
use end_to_end::{
    activity::dedicated_node,
    alertmanager::Alertmanager,
    containerd::{Container, Containerd, Cri, Pod},
    daemon::{Daemon, Options},
    http::Client,
    prometheus::Prometheus,
    receiver::{free_address, preferred_address},
    repository,
    server::Server,
    victoria_metrics::VictoriaMetrics,
};
use tempfile::TempDir;

use crate::{
    acts::{RESEARCH_IMAGE, SHOP_IMAGE, STRANGE_IMAGE},
    apart::Stop,
    notified,
};

/// A tenant's pod and the container in it.
#[derive(Debug)]
pub struct Home {
    pub pod: Pod<'static>,
    pub sandbox: String,
    pub container: String,
}

/// Dropped in this order: what runs in pods goes before its containerd.
#[derive(Debug)]
pub struct Stage {
    pub daemon: Daemon,
    pub prometheus: Prometheus,
    pub victoria: VictoriaMetrics,
    pub alertmanager: Alertmanager,
    _notified: Server,
    pub homes: Vec<Home>,
    pub cri: Cri,
    _containerd: Containerd,
    /// Where audit events are posted, as the API server's double does it, and the header that it needs for that.
    pub api_server: Client,
    pub authorization: String,
    /// Tokens and journal.
    pub folder: TempDir,
}

const HOMES: [(Pod<'static>, &str); 2] = [
    (
        Pod {
            name: "web-0",
            namespace: "shop",
            uid: "0f3a1b2c-0000-4000-8000-000000000001",
            labels: &[("app", "web")],
            annotations: &[],
            privileged: false,
            cgroup_parent: "",
            logs: "",
        },
        SHOP_IMAGE,
    ),
    (
        Pod {
            name: "notebook-0",
            namespace: "research",
            uid: "0f3a1b2c-0000-4000-8000-000000000002",
            labels: &[("app", "notebook")],
            annotations: &[],
            privileged: false,
            cgroup_parent: "",
            logs: "",
        },
        RESEARCH_IMAGE,
    ),
];

impl Stage {
    /// Starts one after the other. What was started is dropped where it ends early.
    pub fn start(yagura: &Path, stop: &Stop) -> Result<Stage> {
        let step = |what: &str| {
            println!("starting {what}");
            stop.check()
        };
        let folder = end_to_end::folder("yagura-demo-");
        let at = |name: &str| folder.path().join(name).display().to_string();
        for who in ["platform", "shop", "research"] {
            // Nobody else on this machine can guess it.
            let token = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
            fs::write(at(&format!("{who}-token")), token.trim())?;
        }
        step("containerd")?;
        let containerd = Containerd::start();
        for image in [SHOP_IMAGE, RESEARCH_IMAGE, STRANGE_IMAGE] {
            containerd.import(image, &[]);
        }
        step("VictoriaMetrics")?;
        let victoria = VictoriaMetrics::start(preferred_address(8428));
        step("Alertmanager")?;
        let told = free_address();
        let notified = notified::start(told);
        let alerts = preferred_address(9093);
        let alertmanager = Alertmanager::start_with(alerts, &notified::config(told, folder.path())?);
        step("Yagura")?;
        fs::write(at("research.yaml"), dedicated_node(RESEARCH_IMAGE))?;
        let config = format!(
            "{}listen: {}\nnode: demo\ncontainer_engines: {{root: {}, wait: 5s}}\njournal:\n  path: {}\n\
             web:\n  tokens:\n  - {{file: {}}}\n  - {{file: {}, tenant: shop}}\n  - {{file: {}, tenant: research}}\n\
             sinks:\n- {{name: alerts, type: alertmanager, url: '{}'}}\n\
             - {{name: metrics, type: remote_write, url: '{}', interval: 1s}}\n",
            tenants(&at("research.yaml")),
            preferred_address(9752),
            containerd.root().display(),
            at("journal.db"),
            at("platform-token"),
            at("shop-token"),
            at("research-token"),
            Alertmanager::url(alerts),
            victoria.write_url(),
        );
        let daemon = Daemon::start(&Options { config: &config, program: Some(yagura), ..Options::default() });
        step("Prometheus")?;
        let scrape = scrape(&daemon.address(), &alerts.to_string(), folder.path())?;
        let prometheus = Prometheus::start_with(preferred_address(9090), &scrape);
        step("a pod for each tenant")?;
        let cri = containerd.cri();
        let homes = HOMES.map(|(pod, image)| {
            let sandbox = cri.run_pod(&pod);
            let main = Container {
                name: "main",
                image,
                command: &["/bin/sleep", "1000000"],
                ..Container::default()
            };
            let container = cri.run(&sandbox, &pod, &main);
            Home { pod, sandbox, container }
        });
        Ok(Stage {
            api_server: Client::plain(daemon.address()),
            authorization: format!("Authorization: Bearer {}", fs::read_to_string(at("platform-token"))?),
            daemon,
            prometheus,
            victoria,
            alertmanager,
            _notified: notified,
            homes: homes.into(),
            cri,
            _containerd: containerd,
            folder,
        })
    }

    /// Ends Yagura as a machine does, and prints its account; then everything else.
    pub fn end(self) {
        println!("\nending it, and removing everything");
        let counters = self.daemon.stop().balance();
        let [seen, lost, detections] = ["seen", "lost", "detections"].map(|key| &counters[key]);
        println!("Yagura saw {seen} events, lost {lost}, and made {detections} detections");
    }
}

/// What each tenant has of its own. The first exception of both is the demo's: runc prepares containers below /var/tmp here.
fn tenants(rules: &str) -> String {
    format!(
        "tenants:
- name: shop
  match: {{namespaces: [shop]}}
  priorities: [{{rule: Sensitive file read, priority: critical}}]
  exceptions:
  - rule: Dropped file made executable
    condition: fs.path.name contains /io.containerd.runtime.v2.task/
- name: research
  match: {{namespaces: [research]}}
  rules_files: [{rules}]
  exceptions:
  - rule: Dropped file made executable
    condition: fs.path.name contains /io.containerd.runtime.v2.task/
  - rule: Package manager in a container
    condition: proc.cmdline startswith \"apk add py3-\"
"
    )
}

/// Prometheus with our rules, asked about every two seconds instead of thirty, but for detections.yaml: Yagura tells
/// Alertmanager itself, as docs/alerts.md has it.
fn scrape(yagura: &str, alertmanager: &str, folder: &Path) -> Result<String> {
    for name in ["recording", "patterns", "pipeline"] {
        let text = fs::read_to_string(repository().join(format!("alerts/{name}.yaml")))?;
        fs::write(folder.join(format!("{name}.rules.yaml")), text.replace("interval: 30s", "interval: 2s"))?;
    }
    let folder = folder.display();
    Ok(format!(
        "rule_files: ['{folder}/*.rules.yaml']\n\
         scrape_configs:\n- job_name: yagura\n  honor_labels: true\n  scrape_interval: 1s\n  \
         authorization: {{credentials_file: '{folder}/platform-token'}}\n  \
         static_configs: [{{targets: ['{yagura}'], labels: {{instance: demo}}}}]\n\
         alerting:\n  alertmanagers: [{{path_prefix: /am, static_configs: [{{targets: ['{alertmanager}']}}]}}]\n"
    ))
}
