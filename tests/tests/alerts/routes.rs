//! `alerts/alertmanager.yaml`: who is told of what, and what is not told because of something else.

use end_to_end::{alerts::folder, http::Client, install, program::Program, receiver::free_address};
use serde_json::{Value, json};

use crate::run;

/// Labels, and the receivers that are told.
const ROUTES: [(&str, &str); 17] = [
    // A tenant's detections are its own.
    ("tenant=shop component=detection severity=critical namespace=shop-web", "shop-page"),
    ("tenant=shop component=detection severity=warning namespace=shop-web", "shop"),
    ("tenant=shop component=detection severity=info", "shop-digest"),
    ("tenant=research component=detection severity=critical", "research"),
    ("tenant=research component=detection severity=warning", "research"),
    ("tenant=research component=detection severity=info", "nobody"),
    // The alertmanager sink's alerts have no component.
    ("tenant=shop severity=critical alertname=Reverse rule=Reverse", "shop-page"),
    // What is about Yagura is the platform's, and a tenant's if it is about one.
    ("tenant=shop component=pipeline severity=warning sink=loki", "platform,shop"),
    ("tenant=shop component=pipeline severity=critical sink=loki", "platform-page,shop-page"),
    ("tenant=research component=pipeline severity=warning", "platform,research"),
    ("tenant=platform component=pipeline severity=critical instance=node-1", "platform-page,nobody"),
    ("tenant=platform component=pipeline severity=info", "platform,nobody"),
    // The platform's own, and whoever has no route yet.
    ("tenant=platform component=detection severity=critical", "platform-page"),
    ("tenant=platform component=detection severity=warning", "platform"),
    ("tenant=new component=detection severity=critical", "platform-page"),
    ("tenant=new component=detection severity=warning", "platform"),
    ("severity=warning", "platform"),
];

#[test]
fn each_tenants_alerts_go_to_its_receivers() {
    install("alertmanager");
    run("amtool", &["check-config".into(), "alertmanager.yaml".into()]);
    for (labels, receivers) in ROUTES {
        let mut args: Vec<String> =
            ["config", "routes", "test", "--config.file=alertmanager.yaml"].map(str::to_owned).into();
        args.push(format!("--verify.receivers={receivers}"));
        args.extend(labels.split(' ').map(str::to_owned));
        run("amtool", &args);
    }
}

#[test]
fn templates_say_what_and_where() {
    install("alertmanager");
    let data = tempfile::NamedTempFile::new().expect("a file");
    let alert = |runbook: &str| {
        json!({"status": "firing", "labels": {"alertname": "A"},
               "annotations": {"summary": "Shell", "description": "In a pod.", "runbook_url": runbook}})
    };
    let told = |status: &str, alerts: Vec<Value>| {
        json!({"status": status, "alerts": alerts, "groupLabels": {"alertname": "A"},
               "commonLabels": {"severity": "critical", "tenant": "shop"}, "commonAnnotations": {"summary": "Shell"}})
    };
    let one = told("firing", vec![alert("docs/runbooks/A.md")]);
    let many = told("resolved", vec![alert("https://runbooks.example.org/A"); 11]);
    let rows = [
        ("title", &one, "[critical shop] Shell"),
        ("title", &many, "[resolved shop] Shell (11 alerts)"),
        ("color", &one, "danger"),
        ("color", &many, "good"),
        (
            "text",
            &one,
            "Shell\nIn a pod.\nRunbook: https://git.example.org/yagura/blob/main/docs/runbooks/A.md",
        ),
        ("text", &many, "Runbook: https://runbooks.example.org/A\nTen of 11 alerts."),
    ];
    for (template, told, expected) in rows {
        std::fs::write(data.path(), told.to_string()).expect("a file");
        let output = run(
            "amtool",
            &[
                "template".into(),
                "render".into(),
                "--template.glob=templates/*.tmpl".into(),
                format!("--template.data={}", data.path().display()),
                format!("--template.text={{{{ template \"yagura.{template}\" . }}}}"),
            ],
        );
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.trim().ends_with(expected), "{template}: {said:?}");
        assert!(said.matches("Runbook").count() <= 10, "{said}");
    }
}

/// The sink's alerts are called as their rule.
const RULE: &str = "Reverse shell";

/// Alerts by name, instance and tenant, and whether something else silences them.
const INHIBITED: [(&str, &str, &str, bool); 14] = [
    ("YaguraNodeSilent", "node-1", "platform", false),
    ("YaguraSinkDown", "node-1", "shop", true),
    ("YaguraSinkLosing", "node-1", "shop", true),
    ("YaguraJournalFailing", "node-1", "platform", true),
    // Another node's are told, but not that a receiver that is down is late.
    ("YaguraSinkDown", "node-2", "shop", false),
    ("YaguraSinkLate", "node-2", "shop", true),
    ("YaguraSinkLosing", "node-2", "shop", false),
    ("YaguraSinkLate", "node-2", "ops", false),
    // One that is gone has told its last.
    ("YaguraNodeGone", "node-3", "platform", false),
    ("YaguraSinkLosing", "node-3", "shop", true),
    // It is about a tenant, on all nodes.
    ("YaguraTenantQuotaHit", "", "shop", false),
    // The alertmanager sink has told the detection; another tenant's it has not.
    (RULE, "", "shop", false),
    ("YaguraFirstDetection", "", "shop", true),
    ("YaguraFirstDetection", "", "ops", false),
];

#[test]
fn a_nodes_silence_inhibits_what_is_known_of_it() {
    install("alertmanager");
    let config = folder().join("alertmanager.yaml");
    let address = free_address();
    let server = Program::start("prometheus-alertmanager", address, "/-/ready", |own| {
        vec![
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", own.join("data").display()),
            "--cluster.listen-address=".into(),
            format!("--web.listen-address={address}"),
        ]
    });
    let posted: Vec<Value> = INHIBITED
        .iter()
        .map(|(name, instance, tenant, _)| {
            let rule = if [RULE, "YaguraFirstDetection"].contains(name) { RULE } else { "" };
            let severity = if *name == RULE { "critical" } else { "info" };
            json!({"labels": {"alertname": name, "instance": instance, "tenant": tenant, "sink": "loki",
                              "rule": rule, "component": "pipeline", "severity": severity}})
        })
        .collect();
    let client = Client::plain(server.address().to_string());
    let answer = client.post("/api/v2/alerts", &[], json!(posted).to_string().as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let end = std::time::Instant::now() + end_to_end::DEADLINE;
    loop {
        let alerts = server.json("/api/v2/alerts");
        let inhibited = |name: &str, instance: &str, tenant: &str| {
            let of = |alert: &&Value, label: &str, value: &str| {
                alert["labels"][label].as_str().unwrap_or("") == value
            };
            let mut own = alerts.as_array().expect("a list").iter();
            let alert = own.find(|alert| {
                of(alert, "alertname", name) && of(alert, "instance", instance) && of(alert, "tenant", tenant)
            })?;
            Some(alert["status"]["inhibitedBy"].as_array().is_some_and(|by| !by.is_empty()))
        };
        let wrong: Vec<_> = INHIBITED
            .iter()
            .filter(|(name, instance, tenant, expected)| inhibited(name, instance, tenant) != Some(*expected))
            .collect();
        if wrong.is_empty() {
            return;
        }
        assert!(std::time::Instant::now() < end, "{wrong:?}\n{alerts:#}\n{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
