//! Metrics on their way to real receivers of Prometheus' remote-write, and to a double of those that cannot be had.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use end_to_end::{
    DEADLINE,
    activity::{SEEN_RULE, audit_event, open, opened_rule, post_audit},
    daemon::{Daemon, Ended, Options, yagura},
    http::Client,
    kernel_tests_run,
    program::Program,
    prometheus::{Labels, Prometheus},
    receiver::free_address,
    victoria_metrics::VictoriaMetrics,
    vminsert::{Sample, Vminsert},
};
use serde_json::{Value, json};

const TENANTS: &str = "tenants: [{name: shop, match: {namespaces: [\"shop-*\"]}}]\n";

/// A receiver that can be asked what it has.
trait Store {
    fn query(&self, query: &str) -> Vec<(Labels, f64)>;
    fn samples(&self, selector: &str) -> Vec<(Labels, Vec<(i64, f64)>)>;
    fn server(&mut self) -> &mut Program;
}

impl Store for Prometheus {
    fn query(&self, query: &str) -> Vec<(Labels, f64)> {
        Prometheus::query(self, query)
    }
    fn samples(&self, selector: &str) -> Vec<(Labels, Vec<(i64, f64)>)> {
        Prometheus::samples(self, selector)
    }
    fn server(&mut self) -> &mut Program {
        &mut self.server
    }
}

impl Store for VictoriaMetrics {
    fn query(&self, query: &str) -> Vec<(Labels, f64)> {
        VictoriaMetrics::query(self, query)
    }
    fn samples(&self, selector: &str) -> Vec<(Labels, Vec<(i64, f64)>)> {
        VictoriaMetrics::samples(self, selector)
    }
    fn server(&mut self) -> &mut Program {
        &mut self.server
    }
}

fn prometheus(address: SocketAddr) -> Box<dyn Store> {
    Box::new(Prometheus::start(address))
}

fn victoria_metrics(address: SocketAddr) -> Box<dyn Store> {
    Box::new(VictoriaMetrics::start(address))
}

/// A sink that sends to both kinds of servers.
fn config(address: SocketAddr, journal: &Path, more: &str) -> String {
    format!(
        "node: node-1\njournal:\n  path: {}\n{TENANTS}sinks:\n\
         - {{name: rw, type: remote_write, url: 'http://{address}/api/v1/write', interval: 1s, timeout: 30s, \
         retry: {{first: 10ms, longest: 200ms}}{more}}}\n",
        journal.display()
    )
}

fn start(test: &str, config: &str) -> Daemon {
    Daemon::start(&Options { rules: &(opened_rule(test) + SEEN_RULE), config, ..Options::default() })
}

/// Audit events about a namespace.
fn post(daemon: &Daemon, namespace: &str, count: usize) {
    let events = (0..count).map(|number| audit_event(format!("{namespace}-{number}"), namespace));
    assert_eq!(post_audit(&Client::plain(daemon.address()), &[], events), 200);
}

fn number(daemon: &Daemon, name: &str, tenant: &str) -> f64 {
    daemon.metric(&format!("yagura_remote_write_{name}{{sink=\"rw\",tenant=\"{tenant}\"}}"))
}

/// The equation of each lane; returns those of the last line.
fn balances(ended: &Ended) -> BTreeMap<String, Value> {
    let balance = ended.balance();
    let lanes = balance["remote_write"].as_array().expect("lanes").clone();
    let checked = lanes.into_iter().map(|lane| {
        let of = |key: &str| lane[key].as_u64().unwrap_or_else(|| panic!("no {key} in {lane}"));
        assert_eq!(
            of("resumed") + of("gathered"),
            of("sent") + of("rejected") + of("dropped") + of("pending"),
            "{lane}"
        );
        (lane["tenant"].as_str().expect("a tenant").to_owned(), lane)
    });
    checked.collect()
}

/// The series of a text of `/metrics`; what is empty of their labels is left out.
fn scraped(daemon: &Daemon) -> BTreeMap<Labels, f64> {
    let (_, text) = daemon.get("/metrics");
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter(|line| !line.is_empty());
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
            let mut labels: Labels = [("__name__".to_owned(), name.to_owned())].into();
            // No value of ours has a quote or a comma in it.
            for pair in rest.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
                let (label, value) = pair.split_once('=').expect("a label");
                labels.insert(label.to_owned(), value.trim_matches('"').to_owned());
            }
            labels.retain(|_, value| !value.is_empty());
            (labels, value.parse().expect("a number"))
        })
        .collect()
}

/// What a store has now of what a scrape would have, without the labels of a scrape.
fn stored(store: &dyn Store) -> BTreeMap<Labels, f64> {
    let result = store.query("{job=\"yagura\"}");
    result
        .into_iter()
        .map(|(mut labels, value)| {
            assert_eq!(labels.remove("job").as_deref(), Some("yagura"));
            assert_eq!(labels.remove("instance").as_deref(), Some("node-1"));
            (labels, value)
        })
        .collect()
}

fn until(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let end = Instant::now() + DEADLINE;
    while let Err(why) = holds() {
        assert!(Instant::now() < end, "never: {what}: {why}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// All series that the daemon shows, with the values of those that were the same before a gathering and after it.
fn same(daemon: &Daemon, store: &dyn Store) -> Result<(), String> {
    let before = scraped(daemon);
    let mut found = BTreeMap::new();
    until("a later gathering", || {
        found = stored(store);
        let number = |(labels, value): (&Labels, &f64)| {
            (labels["__name__"] == "yagura_remote_write_gathers_total").then_some((labels.clone(), *value))
        };
        let old: BTreeMap<Labels, f64> = before.iter().filter_map(number).collect();
        let later = old.iter().all(|(labels, value)| found.get(labels).is_some_and(|now| now >= value));
        if later && !old.is_empty() { Ok(()) } else { Err(format!("{old:?}")) }
    });
    let after = scraped(daemon);
    if !before.keys().eq(found.keys()) {
        let missing: Vec<_> = before.keys().filter(|labels| !found.contains_key(*labels)).collect();
        let extra: Vec<_> = found.keys().filter(|labels| !before.contains_key(*labels)).collect();
        return Err(format!("missing {missing:?}, extra {extra:?}"));
    }
    let still: Vec<_> = before.iter().filter(|(labels, value)| after.get(*labels) == Some(*value)).collect();
    assert!(still.len() > 100, "{}", still.len());
    // Asking opens a descriptor; and VictoriaMetrics keeps decimal digits, not all bits.
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * a.abs();
    let differ: Vec<_> = (still.iter())
        .filter(|(labels, _)| labels["__name__"] != "process_open_fds")
        .filter(|(labels, value)| !found.get(*labels).is_some_and(|stored| close(**value, *stored)))
        .collect();
    if differ.is_empty() { Ok(()) } else { Err(format!("{differ:?}")) }
}

fn has_what_metrics_shows(test: &str, start_store: fn(SocketAddr) -> Box<dyn Store>) {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address();
    let store = start_store(address);
    let config = config(address, &folder.path().join("journal.db"), "");
    let daemon = start(test, &config);
    daemon.log(|line| line.contains("the receiver answers"));
    (0..20).for_each(|number| open(test, number));
    post(&daemon, "shop-1", 7);
    let hits = |tenant: &str| {
        let query = format!("sum(yagura_detections_total{{tenant=\"{tenant}\"}})");
        store.query(&query).first().map(|(_, value)| *value)
    };
    until("the detections are there", || match (hits("platform"), hits("shop")) {
        (Some(20.0), Some(7.0)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    until("all is there", || same(&daemon, &*store));
    // Bounds of a histogram as a scrape has them.
    assert_eq!(store.query("yagura_detection_latency_seconds_bucket{le=\"+Inf\"}").len(), 1);
    assert_eq!(store.query("yagura_detection_latency_seconds_bucket{le=\"1\"}").len(), 1);
    let ended = daemon.stop();
    for (tenant, lane) in balances(&ended) {
        assert_eq!(
            (&lane["pending"], &lane["rejected"], &lane["dropped"]),
            (&json!(0), &json!(0), &json!(0)),
            "{tenant}"
        );
    }
    // At once, not after five minutes.
    until("the series have ended", || match stored(&*store) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{:?}", left.keys())),
    });
    let last = store.samples("yagura_events_matched_total");
    let [(_, samples)] = &last[..] else { panic!("one series: {last:?}") };
    let matched = ended.balance()["matched"].as_f64();
    assert_eq!(samples.last().map(|(_, value)| *value), matched, "the last sample is from the end");
}

#[test]
fn prometheus_has_what_metrics_shows_and_forgets_it_at_the_end() {
    has_what_metrics_shows("rw-prometheus", prometheus);
}

#[test]
fn victoria_metrics_has_what_metrics_shows_and_forgets_it_at_the_end() {
    has_what_metrics_shows("rw-victoria", victoria_metrics);
}

fn misses_nothing(start_store: fn(SocketAddr) -> Box<dyn Store>) {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address();
    let config = config(address, &folder.path().join("journal.db"), "");
    // Nobody is there, and the daemon is killed.
    let daemon = start("rw-missed", &config);
    daemon.until("some gatherings wait", |daemon| number(daemon, "gathers_total", "platform") >= 4.0);
    assert!(number(&daemon, "pending_samples", "platform") > 0.0);
    assert!(number(&daemon, "lag_seconds", "platform") > 1.0);
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    // The next one finds them, and somebody comes.
    let daemon = start("rw-missed", &config);
    daemon.until("they wait still", |daemon| number(daemon, "resumed_samples_total", "platform") > 0.0);
    daemon.until("it is down", |daemon| number(daemon, "up", "platform") == 0.0);
    let began = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_millis();
    let mut store = start_store(address);
    let settled = |daemon: &Daemon| {
        number(daemon, "up", "platform") == 1.0 && number(daemon, "pending_samples", "platform") == 0.0
    };
    daemon.until("all is sent", settled);
    // It goes once more, and comes back.
    store.server().stop();
    let gathers = number(&daemon, "gathers_total", "platform");
    daemon.until("more wait", |daemon| number(daemon, "gathers_total", "platform") >= gathers + 3.0);
    store.server().restart();
    daemon.until("all is sent", settled);
    let ended = daemon.stop();
    for (tenant, lane) in balances(&ended) {
        assert_eq!(
            (&lane["pending"], &lane["rejected"], &lane["dropped"]),
            (&json!(0), &json!(0), &json!(0)),
            "{tenant}"
        );
    }
    // Each gathering has the number of those before it: none is missing, none came twice.
    for tenant in ["platform", "shop"] {
        let selector = format!("yagura_remote_write_gathers_total{{tenant=\"{tenant}\"}}");
        let found = store.samples(&selector);
        let [(_, samples)] = &found[..] else { panic!("one series: {found:?}") };
        assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{samples:?}");
        assert!(u128::try_from(samples[0].0).is_ok_and(|first| first < began), "from before it was there");
        let runs: Vec<&[(i64, f64)]> = samples.chunk_by(|_, next| next.1 != 0.0).collect();
        assert_eq!(runs.len(), 2, "two daemons: {samples:?}");
        for run in runs {
            let expected = (0..run.len()).map(|number| number as f64);
            assert!(run.iter().map(|(_, value)| *value).eq(expected), "{samples:?}");
        }
    }
}

#[test]
fn prometheus_gets_what_it_missed_with_its_times() {
    misses_nothing(prometheus);
}

#[test]
fn victoria_metrics_gets_what_it_missed_with_its_times() {
    misses_nothing(victoria_metrics);
}

#[test]
fn what_prometheus_refuses_is_counted_and_blocks_nothing() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address();
    let (one, other) = (folder.path().join("one/journal.db"), folder.path().join("other/journal.db"));
    let daemon = start("rw-refused", &config(address, &one, ""));
    daemon.until("some gatherings wait", |daemon| number(daemon, "gathers_total", "platform") >= 2.0);
    daemon.stop();
    // Another one of the same name has sent newer samples: those of the first are out of order, which is 400.
    let store = Prometheus::start(address);
    let daemon = start("rw-refused", &config(address, &other, ""));
    let all_sent = |daemon: &Daemon| {
        ["platform", "shop"].iter().all(|tenant| number(daemon, "sent_samples_total", tenant) > 0.0)
    };
    daemon.until("they are sent", all_sent);
    daemon.stop();
    let daemon = start("rw-refused", &config(address, &one, ""));
    daemon.log(|line| line.contains("the receiver refuses samples"));
    daemon.until("newer ones are sent", |daemon| {
        all_sent(daemon) && number(daemon, "pending_samples", "platform") == 0.0
    });
    let lanes = balances(&daemon.stop());
    for (tenant, lane) in lanes {
        assert!(lane["resumed"].as_u64() > Some(0), "{tenant}: {lane}");
        assert_eq!(lane["rejected"], lane["resumed"], "{tenant}: {lane}");
        assert_eq!((&lane["pending"], &lane["dropped"]), (&json!(0), &json!(0)), "{tenant}: {lane}");
    }
    drop(store);
}

#[test]
fn each_tenants_samples_are_in_its_account_and_in_no_other() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // It needs no journal, but has a file beside it.
    let journal = format!("journal:\n  enabled: false\n  path: {}/journal.db\n", folder.path().display());
    for (path, more, head) in [
        ("/insert/{tenant_id}/prometheus/api/v1/write", "", ""),
        ("/insert/multitenant/prometheus/api/v1/write", ", tenancy: labels", &journal),
    ] {
        let double = Vminsert::start();
        let config = format!(
            "{head}cluster: c\n{TENANTS}sinks:\n- {{name: rw, type: remote_write, url: 'http://{}{path}', interval: 1s, \
             external_labels: [{{name: job, value: mine}}], \
             tenant_ids: [{{tenant: shop, id: '3:1'}}], tenant_id: '7'{more}}}\n",
            double.address()
        );
        let daemon = start("rw-tenants", &config);
        (0..20).for_each(|number| open("rw-tenants", number));
        post(&daemon, "shop-1", 7);
        let hits = |account: &str| {
            let taken = double.taken(account);
            let last = |sample: &&Sample| sample.labels["__name__"] == "yagura_detections_total";
            taken.iter().rev().filter(last).find(|sample| sample.value > 0.0).map(|sample| sample.value)
        };
        until("the detections are there", || match (hits("3:1"), hits("7:0")) {
            (Some(7.0), Some(20.0)) => Ok(()),
            other => Err(format!("{other:?}: {:?}", double.refused())),
        });
        let lanes = balances(&daemon.stop());
        assert_eq!(double.refused(), [""; 0]);
        assert_eq!(double.accounts(), ["3:1", "7:0"]);
        for (account, tenant) in [("3:1", "shop"), ("7:0", "platform")] {
            let taken = double.taken(account);
            assert_eq!(lanes[tenant]["sent"].as_u64(), Some(taken.len() as u64), "{tenant}");
            for Sample { labels, .. } in &taken {
                let own = labels.get("tenant").map_or("platform", String::as_str);
                assert_eq!(own, tenant, "{account}: {labels:?}");
                assert_eq!((&*labels["job"], &*labels["cluster"]), ("mine", "c"));
                assert!(!labels.keys().any(|name| name.starts_with("vm_")), "{labels:?}");
            }
            // The end of each series is said.
            let stale = |sample: &&Sample| sample.value.to_bits() == 0x7ff0_0000_0000_0002;
            assert!(taken.iter().any(|sample| stale(&sample)), "{account}");
        }
    }
}

#[test]
fn an_answer_to_2_0_that_says_nothing_of_samples_is_a_failure() {
    if !kernel_tests_run() {
        return;
    }
    let failing = |daemon: &Daemon| {
        daemon.log(|line| line.contains("the receiver does not know remote-write 2.0"));
        daemon.until("it is counted", |daemon| {
            let name = "failed_total";
            daemon.metric(&format!(
                "yagura_remote_write_{name}{{sink=\"rw\",tenant=\"platform\",reason=\"answer\"}}"
            )) >= 2.0
                && number(daemon, "up", "platform") == 0.0
        });
        assert_eq!(number(daemon, "sent_samples_total", "platform"), 0.0);
        assert!(number(daemon, "pending_samples", "platform") > 0.0);
    };
    // Real ones that do not know it.
    for start_store in [prometheus, victoria_metrics] {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let store = start_store(address);
        let daemon = start("rw-2-0", &config(address, &folder.path().join("journal.db"), ", version: 2"));
        failing(&daemon);
        let lanes = balances(&daemon.stop());
        assert_eq!(lanes["platform"]["gathered"], lanes["platform"]["pending"], "{lanes:?}");
        assert_eq!(store.query("{job=\"yagura\"}"), []);
    }
    // A double that learns it.
    let folder = tempfile::tempdir().expect("a folder");
    let double = Vminsert::start();
    let daemon =
        start("rw-2-0", &config(double.address(), &folder.path().join("journal.db"), ", version: 2"));
    failing(&daemon);
    double.learn_2_0();
    daemon.until("all is sent", |daemon| {
        number(daemon, "up", "platform") == 1.0 && number(daemon, "pending_samples", "platform") == 0.0
    });
    let lanes = balances(&daemon.stop());
    assert_eq!(double.refused(), [""; 0]);
    let taken = double.taken("");
    let sent: u64 = lanes.values().filter_map(|lane| lane["sent"].as_u64()).sum();
    assert_eq!(taken.len() as u64, sent);
    let gathers = taken.iter().filter(|sample| {
        sample.labels["__name__"] == "yagura_remote_write_gathers_total"
            && sample.labels["tenant"] == "platform"
    });
    let values: Vec<f64> = gathers.map(|sample| sample.value).filter(|value| !value.is_nan()).collect();
    assert!(values.iter().copied().eq((0..values.len()).map(|number| number as f64)), "{values:?}");
    for (name, kind) in [
        ("yagura_build_info", 2),
        ("yagura_detections_total", 1),
        ("yagura_detection_latency_seconds_bucket", 3),
    ] {
        assert_eq!(double.type_of(name), Some(kind), "{name}");
    }
}

#[test]
fn a_sink_is_tried_out_with_one_sample() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address();
    let file = folder.path().join("yagura.yaml");
    std::fs::write(&file, config(address, &folder.path().join("journal.db"), "")).expect("a file");
    let test = || {
        let output = yagura(&["sink", "test", "--config", file.to_str().expect("text"), "rw"]);
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, text) = test();
    assert_eq!(code, Some(1), "{text}");
    assert!(!text.contains("taken"), "{text}");
    let store = Prometheus::start(address);
    let (code, text) = test();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("taken"), "{text}");
    let result = store.query("yagura_sink_test{job=\"yagura\",instance=\"node-1\",tenant=\"platform\"}");
    assert_eq!(result.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1.0], "{result:?}");
}
