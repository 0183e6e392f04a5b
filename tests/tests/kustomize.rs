//! `kustomize/`: it builds, Kubernetes takes it, Yagura takes what is in it, and its privileges are enough and needed.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use end_to_end::{
    capabilities::CLAIMED,
    daemon::{Daemon, Options, yagura},
    kernel_tests_run,
    manifest::{Manifest, documents, strings, write_volume, wrong_for_the_operator},
    repository,
};
use serde_json::{Value, json};
use yagura::{
    config::{Config, SinkKind},
    sinks::{loki::Dialect, remote_write::Tenancy},
};

const OVERLAYS: &[&str] =
    &["overlays/single-team", "overlays/multi-tenant", "overlays/victoriametrics-cluster"];
/// Components together, beside the overlays.
const COMBINATIONS: &[&[&str]] = &[
    &["sinks", "falcosidekick"],
    &["sinks", "loki", "victoriametrics", "alertmanager", "falcosidekick"],
    &["tenants", "sinks", "falcosidekick"],
    &["sinks", "loki-tenants", "victorialogs"],
    &["k8s-audit", "dedicated-nodes", "cri-o"],
    &["tenants", "k3s"],
    &["sinks", "victoriametrics-cluster", "victorialogs"],
    &["prometheus-operator", "prometheus-operator-detections", "../../alerts"],
];

/// Everything that is built, with its name.
fn builds() -> Vec<(String, Manifest)> {
    let folders = ["base"].iter().chain(OVERLAYS).map(|folder| ((*folder).to_owned(), Manifest::of(folder)));
    let combined = COMBINATIONS.iter().map(|components| (components.join("+"), Manifest::with(components)));
    folders.chain(combined).collect()
}

fn parse(text: &str) -> Result<Config, yagura::config::ConfigErrors> {
    let env = |name: &str| match name {
        "NODE_NAME" => Some("node-1".to_owned()),
        "CLUSTER" => Some(String::new()),
        _ => None,
    };
    Config::parse("yagura.yaml", text, &env)
}

#[test]
fn each_build_is_valid_and_its_parts_fit() {
    for (name, manifest) in builds() {
        manifest.validate();
        let (pod, container) = (manifest.pod(), manifest.container());
        // What is mounted is there, and what is there is mounted.
        let volumes = pod["volumes"].as_array().expect("volumes");
        let mut named: Vec<&str> = volumes.iter().filter_map(|volume| volume["name"].as_str()).collect();
        let mounts = container["volumeMounts"].as_array().expect("mounts");
        let mut mounted: Vec<&str> = mounts.iter().filter_map(|mount| mount["name"].as_str()).collect();
        named.sort_unstable();
        mounted.sort_unstable();
        assert_eq!(named, mounted, "{name}");
        for volume in volumes {
            if let Some(map) = volume["configMap"]["name"].as_str() {
                let maps = manifest.all("ConfigMap");
                assert!(maps.iter().any(|one| one["metadata"]["name"] == map), "{name}: {map}");
            }
            // Of the host, only folders, and only where Yagura looks or writes.
            if let Some(path) = volume["hostPath"]["path"].as_str() {
                let known = ["/var/lib/yagura", "/run/containerd", "/run/crio", "/run/k3s/containerd"];
                assert!(known.contains(&path), "{name}: {path}");
                let mount = mounts.iter().find(|mount| mount["name"] == volume["name"]).expect("a mount");
                let writes = mount["readOnly"] != true;
                assert_eq!(writes, path == "/var/lib/yagura", "{name}: {path}");
                assert!(writes || mount["mountPath"] == format!("/host{path}"), "{name}: {path}");
            }
        }
        // There is no program for other machines.
        let kind = json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"});
        assert_eq!(pod["nodeSelector"], kind, "{name}");
        // Whoever scrapes by annotations has no token, and is denied on each node for ever.
        let template = &manifest.the("DaemonSet")["spec"]["template"]["metadata"];
        let annotations = template["annotations"].as_object().into_iter().flatten();
        let scrape = annotations.filter(|(key, _)| key.starts_with("prometheus.io/"));
        assert_eq!(scrape.count(), 0, "{name}: {template}");
        let selector = &manifest.the("DaemonSet")["spec"]["selector"]["matchLabels"];
        assert_eq!(&manifest.the("Service")["spec"]["selector"], selector, "{name}");
        assert_eq!(manifest.the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], *selector, "{name}");
        assert_eq!(manifest.the("ClusterRoleBinding")["subjects"][0]["namespace"], "yagura", "{name}");
        // kubectl would put what names none into whichever namespace its user is in.
        for document in manifest.documents() {
            let kind = document["kind"].as_str().expect("a kind");
            let in_none = ["Namespace", "ClusterRole", "ClusterRoleBinding"].contains(&kind);
            let namespace = document["metadata"]["namespace"].as_str();
            assert_eq!(namespace, (!in_none).then_some("yagura"), "{name}: {document}");
        }
    }
}

#[test]
fn each_build_is_configured_as_yagura_wants_it() {
    for (name, manifest) in builds() {
        let text = manifest.configuration();
        let config = parse(text).unwrap_or_else(|errors| panic!("{name}: {errors}"));
        let port = u64::from(config.listen.port());
        assert_eq!(manifest.container()["ports"][0]["containerPort"], port, "{name}");
        assert_eq!(manifest.the("Service")["spec"]["ports"][0]["port"], port, "{name}");
        let let_in = &manifest.the("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"];
        assert_eq!(*let_in, port, "{name}");
        assert_eq!(config.containers.root, Path::new("/host"), "{name}");
        assert_eq!(config.tenants.len(), if text.contains("tenants:\n") { 2 } else { 0 }, "{name}");
        assert_eq!(config.node.as_deref(), Some("node-1"), "{name}");
    }
    // Each tenant's metrics and detections have a way of their own.
    let config = parse(Manifest::of("overlays/victoriametrics-cluster").configuration()).expect("accepted");
    let ids = config.sinks.iter().filter_map(|sink| match &sink.kind {
        SinkKind::Loki(to) if to.dialect == Dialect::VictoriaLogs => Some(to.ids.clone()),
        SinkKind::RemoteWrite(settings) => match &settings.tenancy {
            Tenancy::Path(ids) => Some(ids.clone()),
            other => panic!("{other:?}"),
        },
        _ => None,
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids.len(), 2);
    for ids in ids {
        let of = |tenant| ids.of(tenant);
        assert_eq!((of("shop"), of("research")), (Some("1:0".into()), Some("2:0".into())));
        assert_eq!(of("platform"), Some("0".into()));
    }
    // Tenants before, sinks after.
    let config =
        parse(Manifest::with(&["tenants", "sinks", "falcosidekick"]).configuration()).expect("accepted");
    assert_eq!(config.sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(), ["falcosidekick"]);
    assert_eq!(config.tenants.iter().map(|tenant| &*tenant.name).collect::<Vec<_>>(), ["shop", "research"]);
}

/// VictoriaLogs takes what is pushed to Loki, and answers no LogQL.
#[test]
fn dashboards_that_ask_loki_have_a_loki() {
    for overlay in OVERLAYS {
        let manifest = Manifest::of(overlay);
        let maps = manifest.all("ConfigMap");
        let asks = |map: &&&Value| map["data"].to_string().contains(r#"\"type\": \"loki\""#);
        let dashboards = maps.iter().filter(|map| !map["metadata"]["labels"]["grafana_dashboard"].is_null());
        assert!(dashboards.filter(asks).count() > 1, "{overlay}");
        let config = parse(manifest.configuration()).expect("accepted");
        let is_loki = |kind: &SinkKind| matches!(kind, SinkKind::Loki(to) if to.dialect == Dialect::Loki);
        assert!(config.sinks.iter().any(|sink| is_loki(&sink.kind)), "{overlay}");
    }
}

#[test]
fn the_rules_are_ours_and_the_examples_load() {
    let base = Manifest::of("base");
    let rules = base.config_map("yagura-rules");
    let ours: BTreeMap<String, Value> = yagura::embedded::RULES
        .iter()
        .map(|(name, text)| (name.trim_start_matches("rules/").to_owned(), json!(text)))
        .collect();
    assert_eq!(rules.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<BTreeMap<_, _>>(), ours);
    // Beyond it `kubectl apply` without --server-side fails.
    assert!(serde_json::to_string(rules).expect("JSON").len() < 250_000);

    let all = Manifest::of("overlays/multi-tenant");
    let folder = tempfile::tempdir().expect("a folder");
    let rules = write_volume(&folder.path().join("rules"), all.config_map("yagura-rules"));
    let shop = write_volume(&folder.path().join("shop"), all.config_map("yagura-tenant-shop"));
    for paths in [vec![&rules], vec![&rules, &shop]] {
        let paths = paths.iter().map(|path| path.to_str().expect("text"));
        let args: Vec<&str> = ["rules", "list", "--rules"]
            .into_iter()
            .chain(paths.flat_map(|p| ["--rules", p]).skip(1))
            .collect();
        let listed = yagura(&args);
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.status.success(), "{args:?}: {}", String::from_utf8_lossy(&listed.stderr));
        assert!(text.contains("Image that does not belong on this node"), "{text}");
        assert_eq!(text.contains("Payment key read"), args.len() > 4, "{text}");
    }
}

/// Files of Prometheus' rules. Those of [`TWICE`] tell what the alertmanager sink tells.
const ALERTS: [&str; 3] = ["patterns.yaml", "pipeline.yaml", "recording.yaml"];
const TWICE: [&str; 1] = ["detections.yaml"];

fn alerts(file: &str) -> String {
    fs::read_to_string(repository().join("alerts").join(file)).expect("a file")
}

#[test]
fn the_operators_rules_are_those_of_the_files() {
    let both: &[&str] = &["prometheus-operator", "prometheus-operator-detections"];
    let all = [&ALERTS[..], &TWICE[..]].concat();
    for (components, files) in [(&both[..1], &ALERTS[..]), (both, &all)] {
        // promtool has checked the files: whatever it took of them is here.
        let manifest = Manifest::with(components);
        let given = manifest.all("PrometheusRule").into_iter().map(|rule| {
            let name = rule["metadata"]["name"].as_str().expect("a name");
            (name.replacen("yagura-", "", 1) + ".yaml", rule["spec"].clone())
        });
        let files = files.iter().map(|file| ((*file).to_owned(), documents(&alerts(file)).remove(0)));
        assert_eq!(given.collect::<BTreeMap<_, _>>(), files.collect(), "make alerts");
    }
}

#[test]
fn the_alerts_component_has_the_files_as_they_are() {
    let manifest = Manifest::with(&["../../alerts"]);
    for (name, files) in [("yagura-alerts", &ALERTS[..]), ("yagura-alerts-detections", &TWICE[..])] {
        let files = files.iter().map(|file| ((*file).to_owned(), json!(alerts(file))));
        assert_eq!(*manifest.config_map(name), files.collect());
    }
    let maps = manifest.all("ConfigMap");
    // Where the sidecar of Loki's chart looks.
    let lokis: Vec<_> = maps.iter().filter(|map| !map["metadata"]["labels"]["loki_rule"].is_null()).collect();
    assert_eq!(lokis.len(), 1);
    assert_eq!(lokis[0]["metadata"]["annotations"]["k8s-sidecar-target-directory"], "fake");
    assert_eq!(lokis[0]["data"], json!({"yagura.yaml": alerts("loki.yaml")}));
}

/// The blocks of a page's YAML with this in them.
fn examples(page: &str, with: &str) -> Vec<String> {
    let page = fs::read_to_string(repository().join("docs").join(page)).expect("a page");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains(with)).map(str::to_owned).collect()
}

#[test]
fn the_clusters_name_is_set_as_the_page_says() {
    let [patches] = &examples("install.md", "CLUSTER")[..] else { panic!("one example expected") };
    let built = Manifest::patched(&["prometheus-operator"], patches);
    let env = &built.container()["env"];
    let cluster = env.as_array().expect("variables").iter().find(|entry| entry["name"] == "CLUSTER");
    let monitor = built.the("PodMonitor");
    let relabelings = &monitor["spec"]["podMetricsEndpoints"][0]["relabelings"];
    let mut relabelings = relabelings.as_array().expect("a list").iter();
    let label = relabelings.find(|one| one["targetLabel"] == "cluster").expect("a relabelling");
    assert_eq!(wrong_for_the_operator(monitor), None);
    assert_eq!(cluster.expect("a variable")["value"], label["replacement"]);
    let env = |_: &str| Some("production".to_owned());
    let config = Config::parse("yagura.yaml", Manifest::of("base").configuration(), &env).expect("accepted");
    assert_eq!(config.cluster, "production");
}

#[test]
fn a_dashboard_is_left_out_as_the_page_says() {
    let [patches] = &examples("install.md", "yagura-dashboard-investigation")[..] else {
        panic!("one example expected")
    };
    let dashboards = |patches: &str| {
        let built = Manifest::patched(&["../../dashboards"], patches);
        let maps = built.all("ConfigMap").into_iter();
        let names = maps.filter_map(|map| map["metadata"]["name"].as_str().map(str::to_owned));
        names.filter(|name| name.starts_with("yagura-dashboard-")).collect::<Vec<_>>()
    };
    let mut all = dashboards("");
    all.retain(|name| name != "yagura-dashboard-investigation");
    assert_eq!(dashboards(patches), all);
}

/// A runtime's name of an image has the registry, whatever the manifest says.
#[test]
fn yaguras_own_image_belongs_on_dedicated_nodes() {
    let manifest = Manifest::with(&["dedicated-nodes"]);
    let folder = tempfile::tempdir().expect("a folder");
    let rules = write_volume(&folder.path().join("rules"), manifest.config_map("yagura-rules"));
    let image = manifest.container()["image"].as_str().expect("text");
    let (own, _tag) = image.rsplit_once(':').expect("a tag");
    let cases = folder.path().join("cases.yaml");
    let rule = "Image that does not belong on this node";
    for (repository, expected) in [
        (own.to_owned(), "[]".to_owned()),
        (format!("docker.io/library/{own}"), "[]".to_owned()),
        ("docker.io/library/nginx".to_owned(), format!("[{rule}]")),
    ] {
        let case = format!(
            "- name: a container starts\n  type: execve\n  fields: {{evt.rawres: 0, evt.res: SUCCESS, proc.vpid: 1, \
             proc.name: yagura, proc.pname: containerd-shim, container.id: 3ad7b26ded6d, \
             container.image.repository: {repository}, evt.hostname: payments-1}}\n  rules: {expected}\n"
        );
        fs::write(&cases, case).expect("a file");
        let paths = [&rules, &cases].map(|path| path.to_str().expect("text"));
        let tested = yagura(&["rules", "test", "--rules", paths[0], paths[1]]);
        let said = [tested.stdout, tested.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(tested.status.success(), "{repository}: {}", said.concat());
    }
}

#[test]
fn the_pod_monitor_fits_the_pods_and_their_token() {
    let manifest = Manifest::with(&["prometheus-operator"]);
    let spec = &manifest.the("PodMonitor")["spec"];
    let pods = &manifest.the("DaemonSet")["spec"]["template"]["metadata"];
    assert_eq!(spec["selector"]["matchLabels"], pods["labels"]);
    assert_eq!(pods["labels"][spec["jobLabel"].as_str().expect("a label")], "yagura");
    let endpoints = spec["podMetricsEndpoints"].as_array().expect("a list");
    let [endpoint] = &endpoints[..] else { panic!("{spec}") };
    assert_eq!(endpoint["port"], manifest.container()["ports"][0]["name"]);
    let secret = &endpoint["authorization"]["credentials"];
    let volumes = manifest.pod()["volumes"].as_array().expect("volumes");
    assert!(volumes.iter().any(|volume| volume["secret"]["secretName"] == secret["name"]), "{secret}");
    let config = parse(manifest.configuration()).expect("accepted");
    let file = Path::new("/etc/yagura/tokens").join(secret["key"].as_str().expect("a key"));
    assert!(format!("{:?}", config.web).contains(file.to_str().expect("text")), "{:?}", config.web);
}

#[test]
fn what_is_wrong_with_an_operators_object_is_found() {
    let manifest = Manifest::with(&["prometheus-operator"]);
    let monitor = manifest.the("PodMonitor").to_string();
    for (from, to, expected) in [
        ("\"honorLabels\"", "\"honourLabels\"", "unknown keys"),
        ("\"labeldrop\"", "\"droplabel\"", "relabelings.1.action"),
    ] {
        assert!(monitor.contains(from), "{from}");
        let object = serde_json::from_str(&monitor.replace(from, to)).expect("JSON");
        let said = wrong_for_the_operator(&object).unwrap_or_else(|| panic!("{to} is accepted"));
        assert!(said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn what_may_be_asked_of_the_api_server_is_what_the_page_says() {
    let page = fs::read_to_string(repository().join("docs/kubernetes.md")).expect("a page");
    let base = Manifest::of("base");
    let mut rules = Vec::new();
    for rule in base.the("ClusterRole")["rules"].as_array().expect("rules") {
        let list = |key: &str| strings(&rule[key]).join(", ");
        let group = list("apiGroups");
        let group = if group.is_empty() { "\"\"" } else { &group };
        let line = format!(
            "{{apiGroups: [{group}], resources: [{}], verbs: [{}]}}",
            list("resources"),
            list("verbs")
        );
        assert!(page.contains(&line), "{line}");
        rules.push(line);
    }
    assert_eq!(rules.len(), page.matches("{apiGroups: [").count());
}

/// Starts a shell before the daemon, which later reads a file by a child of its own.
struct Older(std::process::Child);

impl Older {
    fn start() -> Older {
        let mut command = Command::new("/bin/sh");
        // Not the last command: the shell would become it.
        command.args(["-c", "echo ready; read line; /bin/cat /etc/shadow; read line"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Older(child)
    }

    fn go(&mut self) {
        self.0.stdin.as_mut().expect("piped").write_all(b"go\n").expect("it reads");
    }
}

impl Drop for Older {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

const RULES: &str = "
- rule: Shadow
  desc: It is read.
  condition: evt.type in (open, openat, openat2) and fd.name = /etc/shadow and evt.is_open_read = true
  output: '%proc.ppid %proc.pexepath %user.name'
  priority: NOTICE
";

/// With other capabilities than those of all tests.
fn with<'a>(capabilities: &'a [&'a str]) -> Options<'a> {
    Options { rules: RULES, capabilities: Some(capabilities), ..Options::default() }
}

#[test]
fn the_capabilities_of_the_manifest_are_enough_and_each_is_needed() {
    if !kernel_tests_run() {
        return;
    }
    assert_eq!(Manifest::of("base").capabilities(), CLAIMED, "what all tests run with");
    let run = |capabilities: &[&str]| {
        let mut older = Older::start();
        let daemon = Daemon::start(&with(capabilities));
        // It has these and no others: what is claimed is what was tested.
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it runs");
        let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a set");
            u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("hexadecimal")
        });
        assert!(sets.iter().all(|set| *set == bits(capabilities)), "{sets:x?} {capabilities:?}");
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        older.go();
        let parent = older.0.id();
        let found = daemon.detection(|found| found["output_fields"]["proc.ppid"] == parent);
        assert_eq!(found["output_fields"]["user.name"], "root", "{found}");
        let ended = daemon.stop();
        assert!(ended.status.success());
        assert_eq!(ended.balance()["lost"], 0);
        found["output_fields"]["proc.pexepath"].clone()
    };
    let program = fs::canonicalize("/bin/sh").expect("a path");
    assert_eq!(run(&CLAIMED), program.to_str().expect("text"));
    for capability in CLAIMED {
        let fewer: Vec<&str> = CLAIMED.into_iter().filter(|name| *name != capability).collect();
        match capability {
            // Nothing starts.
            "bpf" | "perfmon" => {
                let ended = Daemon::launch(&with(&fewer)).wait();
                assert!(!ended.status.success(), "without {capability}");
                let name = format!("CAP_{}", capability.to_uppercase());
                assert!(ended.stderr.iter().any(|line| line.contains(&name)), "{:?}", ended.stderr);
            }
            // Whoever ran before Yagura is not known by its file.
            "sys_ptrace" => assert_eq!(run(&fewer), Value::Null),
            other => panic!("why is {other} needed?"),
        }
    }
}

/// The set's bits, by the numbers of `linux/capability.h`.
fn bits(names: &[&str]) -> u64 {
    let bit = |name: &&str| match *name {
        "sys_ptrace" => 19,
        "perfmon" => 38,
        "bpf" => 39,
        other => panic!("what is the number of {other}?"),
    };
    names.iter().map(|name| 1 << bit(name)).sum()
}
