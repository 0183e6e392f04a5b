//! Detections as alerts in real Alertmanagers.

use std::{
    collections::BTreeSet,
    fs::File,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use end_to_end::{
    activity::{SEEN_RULE, audit_event, post_audit},
    alertmanager::{Alertmanager, PASSWORD, USER},
    daemon::{Daemon, Options, yagura},
    http::Client,
    kernel_tests_run,
    receiver::free_address,
};
use serde_json::{Value, json};
use yagura::detection::iso8601;

const OPENED: &str = "
- rule: Opened a file
  desc: d
  condition: evt.type = openat and fd.name startswith /yagura-alerted-
  output: opened %fd.name
  priority: CRITICAL
";

fn config(addresses: &[SocketAddr], more: &str) -> String {
    let urls: Vec<String> = addresses.iter().map(|address| Alertmanager::url(*address)).collect();
    format!(
        "cluster: eu-1\nrate_limit: {{rate: 0}}\n\
         tenants: [{{name: shop, match: {{namespaces: [\"shop-*\"]}}}}]\nsinks:\n\
         - {{name: am, type: alertmanager, urls: {urls:?}, retry: {{first: 10ms, longest: 200ms}}, {more}}}\n"
    )
}

/// The kernel tells every daemon of the other test's opens, so audit events it is.
fn post(daemon: &Daemon, namespace: &str, id: &str) {
    assert_eq!(post_audit(&Client::plain(daemon.address()), &[], [audit_event(id, namespace)]), 200);
}

/// Tenant and namespace of each alert.
fn owners(alerts: &[Value]) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    alerts
        .iter()
        .map(|alert| (text(&alert["labels"]["tenant"]), text(&alert["labels"]["namespace"])))
        .collect()
}

fn sink_metric(daemon: &Daemon, name: &str, tenant: &str) -> f64 {
    daemon.metric(&format!("yagura_sink_{name}{{sink=\"am\",tenant=\"{tenant}\"}}"))
}

#[test]
fn a_detection_fires_and_is_resolved_once_it_is_quiet() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let server = Alertmanager::start(address);
    let more = "refresh: 1s, resolve_after: 20s, dashboard_url: 'https://g/d?rule={rule}', \
                runbook_url: 'https://r/{tenant}', generator_url: 'https://y/{uuid}'";
    let daemon =
        Daemon::start(&Options { rules: OPENED, config: &config(&[address], more), ..Options::default() });
    daemon.log(|line| line.contains("the receiver answers"));
    for name in ["one", "two", "three"] {
        assert!(File::open(format!("/yagura-alerted-{name}")).is_err());
    }
    let last = daemon.detection(|detection| detection["output_fields"]["fd.name"] == "/yagura-alerted-three");
    let counted = |alerts: &[Value], count: &str| {
        alerts.first().is_some_and(|alert| alert["annotations"]["count"] == count)
    };
    let alerts = server.until("all three are told", |alerts| counted(alerts, "3"));
    let [alert] = &*alerts else { panic!("not one alert: {alerts:#?}") };
    assert_eq!(
        alert["labels"],
        json!({"alertname": "Opened a file", "rule": "Opened a file", "tenant": "platform",
               "severity": "critical", "cluster": "eu-1"})
    );
    assert_eq!(alert["status"]["state"], "active");
    assert_eq!(
        alert["annotations"],
        json!({"summary": "Opened a file", "description": last["output"], "count": "3", "uuid": last["uuid"],
               "node": last["node"], "dashboard_url": "https://g/d?rule=Opened%20a%20file",
               "runbook_url": "https://r/platform"})
    );
    assert_eq!(alert["generatorURL"], format!("https://y/{}", last["uuid"].as_str().expect("an id")));
    let first = daemon.detection(|detection| detection["output_fields"]["fd.name"] == "/yagura-alerted-one");
    // Alertmanager tells milliseconds.
    let milliseconds = |time: &Value| time.as_str().expect("a time")[..23].to_owned();
    assert_eq!(milliseconds(&alert["startsAt"]), milliseconds(&first["time"]));
    server.until("it is resolved", |alerts| alerts.is_empty());
    daemon.until("it is forgotten", |daemon| {
        daemon.metric("yagura_alertmanager_alerts{sink=\"am\",tenant=\"platform\"}") == 0.0
    });
    // Another one is another alert.
    assert!(File::open("/yagura-alerted-four").is_err());
    server.until("it fires again", |alerts| counted(alerts, "1"));
    let name = Alertmanager::url(address);
    let posts =
        format!("yagura_alertmanager_posts_total{{sink=\"am\",alertmanager=\"{name}\",result=\"taken\"}}");
    assert!(daemon.metric(&posts) >= 3.0);
    daemon.stop();
}

#[test]
fn alertmanagers_that_were_away_have_everything_in_the_end() {
    if !kernel_tests_run() {
        return;
    }
    let (one, two) = (free_address(), free_address());
    let daemon = Daemon::start(&Options {
        rules: SEEN_RULE,
        config: &config(&[one, two], "refresh: 1s"),
        ..Options::default()
    });
    daemon.log(|line| line.contains("the receiver does not work (yet)"));
    let namespaces: Vec<String> = (0..5).flat_map(|i| [format!("shop-{i}"), format!("other-{i}")]).collect();
    for namespace in &namespaces {
        post(&daemon, namespace, namespace);
    }
    for tenant in ["platform", "shop"] {
        daemon.until("both are thought to be down, and all wait", |daemon| {
            sink_metric(daemon, "up", tenant) == 0.0 && sink_metric(daemon, "unsent", tenant) == 5.0
        });
    }
    // One of them is enough, and is given all.
    let first = Alertmanager::start(one);
    let expected: BTreeSet<(String, String)> = (namespaces.iter())
        .map(
            |namespace| {
                if namespace.starts_with("shop") { ("shop", namespace) } else { ("platform", namespace) }
            },
        )
        .map(|(tenant, namespace)| (tenant.to_owned(), namespace.clone()))
        .collect();
    let alerts = first.until("all are firing", |alerts| owners(alerts) == expected);
    for tenant in ["platform", "shop"] {
        daemon.until("they are told", |daemon| {
            sink_metric(daemon, "sent_total", tenant) == 5.0 && sink_metric(daemon, "unsent", tenant) == 0.0
        });
    }
    for alert in alerts {
        assert_eq!(
            (&alert["annotations"]["count"], &alert["labels"]["severity"]),
            (&json!("1"), &json!("info"))
        );
    }
    // The other one is given all when it comes, and so is one that has forgotten everything.
    let second = Alertmanager::start(two);
    second.until("all are firing", |alerts| owners(alerts) == expected);
    drop(first);
    post(&daemon, "shop-new", "new");
    let more = &expected | &[("shop".to_owned(), "shop-new".to_owned())].into();
    second.until("the new one is firing", |alerts| owners(alerts) == more);
    let first = Alertmanager::start(one);
    first.until("all are firing", |alerts| owners(alerts) == more);
    daemon.stop().balance();
}

#[test]
fn a_node_that_is_quiet_does_not_resolve_what_another_still_sees() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let server = Alertmanager::start(address);
    let daemon = Daemon::start(&Options {
        rules: SEEN_RULE,
        config: &config(&[address], "refresh: 1s, resolve_after: 20s"),
        ..Options::default()
    });
    post(&daemon, "other", "seen");
    let mine = server.until("it fires", |alerts| alerts.len() == 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos();
    let time = |seconds: u64| iso8601(u64::try_from(now).expect("a time") + seconds * 1_000_000_000);
    server.post(&json!([{"labels": mine[0]["labels"], "startsAt": time(0), "endsAt": time(120)}]));
    daemon.until("it is quiet here", |daemon| {
        sink_metric(daemon, "sent_total", "platform") == 1.0
            && daemon.metric("yagura_alertmanager_alerts{sink=\"am\",tenant=\"platform\"}") == 0.0
    });
    let [alert] = &*server.alerts() else { panic!("not one alert: {:#?}", server.alerts()) };
    assert_eq!(alert["fingerprint"], mine[0]["fingerprint"]);
    assert_eq!(alert["startsAt"], mine[0]["startsAt"], "the earlier of both");
    daemon.stop();
}

#[test]
fn a_test_detection_shows_that_it_works() {
    let address = free_address();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("yagura.yaml");
    std::fs::write(&file, config(&[address], "timeout: 5s")).expect("a file");
    let test = || yagura(&["sink", "test", "--config", file.to_str().expect("text")]);
    assert_eq!(test().status.code(), Some(1), "nobody is there");
    let server = Alertmanager::start(address);
    let output = test();
    assert!(output.status.success(), "{output:?}");
    server.until("it fires", |alerts| {
        alerts.first().is_some_and(|alert| alert["labels"]["alertname"] == "Test of a sink")
    });
}

#[test]
fn one_that_is_guarded_lets_in_who_shows_what_it_asks_for() {
    let address = free_address();
    let server = Alertmanager::start_guarded(address);
    let folder = server.folder();
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::write(at("password"), format!("{PASSWORD}\n")).expect("a file");
    std::fs::write(at("wrong"), "guess").expect("a file");
    let trusted = format!("ca: {}", at("ca.pem"));
    let shown = format!("certificate: {}, key: {}", at("client.pem"), at("client.key"));
    for (tls, password, expected) in [
        (format!("{trusted}, {shown}"), "wrong", Err("401 Unauthorized")),
        (trusted.clone(), "password", Err("")),
        (shown.clone(), "password", Err("invalid peer certificate: UnknownIssuer")),
        (format!("{trusted}, {shown}"), "password", Ok("taken")),
    ] {
        let file = at("yagura.yaml");
        let config = format!(
            "sinks: [{{name: am, type: alertmanager, url: 'https://{address}/am', timeout: 5s, tls: {{{tls}}}, \
             basic_auth: {{username: {USER}, password: {{file: {}}}}}}}]\n",
            at(password)
        );
        std::fs::write(&file, config).expect("a file");
        let output = yagura(&["sink", "test", "--config", &file]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), expected.is_ok(), "{tls}: {output:?}");
        assert!(said.contains(expected.unwrap_or_else(|what| what)), "{said}");
        assert!(!said.contains(PASSWORD) && !said.contains("guess"), "{said}");
        assert_eq!(server.alerts().len(), usize::from(expected.is_ok()), "{tls}");
    }
}
