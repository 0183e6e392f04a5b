//! Detections on their way from the journal to receivers that are away, broken, or refuse them.

use std::process::Command;

use end_to_end::{
    activity::{SEEN_RULE, audit_event, once, open, opened_rule, post_audit},
    daemon::{Daemon, Ended, Options, binary},
    http::Client,
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};
use serde_json::Value;

fn config(address: std::net::SocketAddr, timeout: &str, more: &str) -> String {
    format!(
        "rate_limit: {{rate: 0}}\nqueue_size: 100000\nsinks:\n\
         - {{name: hook, type: webhook, url: 'http://{address}/', timeout: {timeout}, retry: {{first: 10ms, longest: 200ms}}}}\n{more}"
    )
}

fn sink_metric(daemon: &Daemon, name: &str, tenant: &str) -> f64 {
    daemon.metric(&format!("yagura_sink_{name}{{sink=\"hook\",tenant=\"{tenant}\"}}"))
}

/// The daemon's last line: its equations, and those of each lane.
fn balance(ended: &Ended) -> Value {
    let balance = ended.balance();
    let mut spooled = 0;
    for lane in balance["sinks"].as_array().expect("lanes") {
        let number = |key: &str| lane[key].as_u64().unwrap_or_else(|| panic!("no {key} in {lane}"));
        assert_eq!(
            number("resumed") + number("spooled"),
            number("sent") + number("rejected") + number("filtered") + number("lost") + number("unsent"),
            "{lane}"
        );
        spooled += number("spooled");
    }
    assert_eq!(balance["journaled"].as_u64(), Some(spooled), "{balance}");
    balance
}

#[test]
fn a_receiver_that_was_away_gets_everything_in_order() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let daemon = Daemon::start(&Options {
        rules: &opened_rule("away"),
        // Long: what a slow machine has it send again would come twice.
        config: &config(address, "60s", ""),
        ..Options::default()
    });
    daemon.log(|line| line.contains("the receiver does not work (yet)"));
    for number in 0..200 {
        open("away", number);
    }
    daemon.detection(|detection| detection["output_fields"]["fd.name"] == "/yagura-away-199");
    daemon.until("the receiver is thought to be down", |daemon| sink_metric(daemon, "up", "platform") == 0.0);
    assert_eq!(sink_metric(&daemon, "unsent", "platform"), 200.0);
    assert!(sink_metric(&daemon, "oldest_unsent_seconds", "platform") > 0.0);
    let receiver = Receiver::start(address, |_| Act::Answer(200));
    receiver.until("all", |taken| taken.len() >= 200);
    daemon.until("it is told", |daemon| sink_metric(daemon, "sent_total", "platform") == 200.0);
    // The equation of the metrics, with nothing in flight.
    let of = |name: &str| sink_metric(&daemon, name, "platform");
    assert_eq!(
        of("resumed_total") + of("spooled_total"),
        of("sent_total") + of("rejected_total") + of("filtered_total") + of("lost_total") + of("unsent")
    );
    assert_eq!(of("spooled_total"), daemon.metric("yagura_journal_written_total"));
    assert_eq!(of("up"), 1.0);
    let ended = daemon.stop();
    balance(&ended);
    assert_eq!(receiver.taken(), ended.detections(), "what stdout said, byte by byte as JSON");
}

#[test]
fn a_tenant_whose_receiver_is_broken_delays_nobody_else() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let receiver = Receiver::start(address, |body| {
        if body.contains("\"tenant\":\"shop\"") {
            Act::Hang
        } else if body.contains("poison") {
            Act::Answer(400)
        } else {
            Act::Answer(200)
        }
    });
    let tenants = "tenants: [{name: shop, match: {namespaces: [\"shop-*\"]}}]\n";
    let config = config(address, "1s", tenants);
    let daemon = Daemon::start(&Options { rules: SEEN_RULE, config: &config, ..Options::default() });
    let client = Client::plain(daemon.address());
    let post = |namespace: &str, ids: &[String]| {
        let events = ids.iter().map(|id| audit_event(id, namespace));
        assert_eq!(post_audit(&client, &[], events), 200);
    };
    let ids = |what: &str, count: usize| -> Vec<String> {
        (0..count).map(|number| format!("{what}-{number}")).collect()
    };
    post("shop-1", &ids("shop", 500));
    let mut others = ids("other", 100);
    others.insert(50, "poison".into());
    post("other", &others);
    // What it was slow to answer for came again.
    let outputs = |bodies: &[String]| -> Vec<String> {
        let output = |body: &String| {
            let detection: Value = serde_json::from_str(body).expect("JSON");
            detection["output"].as_str().expect("text").to_owned()
        };
        once(&bodies.iter().map(output).collect::<Vec<_>>())
    };
    receiver.until("the others' are all there", |taken| outputs(taken).len() == 100);
    daemon.until("it is counted", |daemon| {
        sink_metric(daemon, "sent_total", "platform") == 100.0
            && sink_metric(daemon, "rejected_total", "platform") == 1.0
            && sink_metric(daemon, "unsent", "shop") == 500.0
    });
    let ended = daemon.stop();
    let balance = balance(&ended);
    assert_eq!(balance["journaled"], 601, "{balance}");
    others.remove(50);
    let outputs = outputs(&receiver.bodies());
    assert!(outputs.iter().zip(&others).all(|(output, id)| output.ends_with(&format!("seen {id}"))));
}

#[test]
fn a_machine_without_authorities_can_send_where_none_is_needed() {
    let address = free_address();
    let receiver = Receiver::start(address, |_| Act::Answer(200));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("yagura.yaml");
    for (scheme, expected) in [("http", "taken"), ("https", "cannot prepare requests")] {
        let config = format!("sinks: [{{name: hook, type: webhook, url: '{scheme}://{address}/'}}]\n");
        std::fs::write(&path, config).expect("a file");
        let output = Command::new(binary())
            .args(["sink", "test", "--config", path.to_str().expect("text")])
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent")
            .output()
            .expect("yagura runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(expected), "{scheme}: {said}");
        assert_eq!(output.status.success(), scheme == "http", "{scheme}: {said}");
    }
    assert_eq!(receiver.bodies().len(), 1);
}
