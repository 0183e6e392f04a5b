//! `dashboards/`: what is committed is what its source makes, and each panel shows something of a real Yagura.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime},
};

use end_to_end::{
    DEADLINE, alerts,
    deployment::Deployment,
    install, kernel_tests_run,
    manifest::Manifest,
    node::{dashboards, node},
    prometheus::Labels,
    receiver::free_address,
    repository,
    victoria_metrics::VictoriaMetrics,
};
use serde_json::{Value, json};

/// What there is to ask for.
fn sources() -> [PathBuf; 2] {
    ["docs/metrics.md", "alerts/recording.yaml"].map(|path| repository().join(path))
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
    assert_eq!(files(made.path()), files(&dashboards()));
    for name in files(made.path()) {
        let read = |folder: &Path| fs::read_to_string(folder.join(&name)).expect("a file");
        assert!(
            read(made.path()) == read(&dashboards()),
            "{name} is not what its source makes: make dashboards"
        );
    }
}

#[test]
fn each_dashboard_is_whole_and_what_is_wrong_is_found() {
    let [metrics, recording] = sources();
    let wrong = |folder: &Path| {
        let output = node("check/main.js", &[folder, &metrics, &recording]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), said.is_empty(), "{said}");
        said
    };
    assert_eq!(wrong(&dashboards()), "");
    for (name, from, to, expected) in [
        ("pipeline", "yagura_ring_used_bytes", "yagura_ring_used", "no metric is called yagura_ring_used"),
        ("pipeline", "sum by (type)", "sum by (kind)", "nothing has the label kind"),
        ("pipeline", "stage!=", "level!=", "yagura_lost_total has no label level"),
        ("pipeline", "{{type}}", "{{kind}}", "no label kind for its legend"),
        ("pipeline", "histogram_quantile(", "histogram_quantile((", "a mistake at"),
        ("pipeline", "\"h\": 9", "\"h\": 10", "overlaps"),
        ("pipeline", "$__range", "$__rnge", "what is $__rnge?"),
        ("pipeline", "recording\\\"", "recordings\\\"", "stage is never recordings"),
        ("kubernetes-audit", "accepted|busy", "accepted|bussy", "result is never bussy"),
        ("tenant-overview", "Emergency|Alert", "Emergency|High", "priority is never High"),
        ("tenant-overview", ":increase5m{", ":increase9m{", "no metric is called tenant_namespace_rule"),
        (
            "tenant-overview",
            ":increase5m{",
            ":increase5m{instance=~\\\"$node\\\", ",
            "increase5m has no label instance",
        ),
        ("investigation", "k8s_audit\\\"", "k8s_audits\\\"", "source is never k8s_audits"),
        ("platform", "by (cluster, instance)", "by (instance)", "nodes of two clusters are one"),
        ("platform", "or 0 * count(", "or vector(0 * ", "without data it looks as if all was well"),
        ("platform", "\"No data\"", "\"0\"", "without data it looks as if all was well"),
        ("tenant-overview", "__data.fields.pod", "__data.fields.pood", "a link needs the column pood"),
        ("platform", "\"uid\": \"${prometheus}\"", "\"uid\": \"abc\"", "a datasource that is no variable"),
        ("platform", "\"unit\": \"short\"", "\"x\": \"short\"", "no unit"),
        ("platform", "\"keepTime\": true", "\"keepTime\": false", "no links that keep"),
        ("tenant-overview", "\"id\": \"noValue\"", "\"id\": \"noUnit\"", "its empty cells say"),
        ("tenant-overview", "\"values\": true", "\"values\": false", "one bar for all rows"),
        ("investigation", "| json", "| jsn", "a mistake at"),
        ("investigation", "| detection=~", "| detectio=~", "there is no label detectio"),
        ("kubernetes-audit", "sum by (who)", "sum by (whom)", "there is no label whom to group by"),
        ("rules", "\"description\": \"Enabled rules", "\"describes\": \"Enabled rules", "no description"),
    ] {
        let copy = tempfile::tempdir().expect("a folder");
        let name = format!("yagura-{name}.json");
        let text = fs::read_to_string(dashboards().join(&name)).expect("a file");
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
            let file = fs::read_to_string(dashboards().join(name)).expect("a file");
            assert_eq!(text.as_str(), Some(&*file), "{overlay}: {name}");
            given.insert(name.clone());
        }
        assert_eq!(given, files(&dashboards()), "{overlay}");
    }
}

/// Why a query has nothing above 0 to show here, and parts of such queries.
const ZEROS: &[(&str, &[&str])] = &[
    ("0 is what it shows", &["Equation of ", "Rules that never spoke"]),
    (
        "nothing is lost, and nothing wrong with this kernel and disk",
        &[
            "yagura_kernel_fault_total",
            "yagura_kernel_io_uring_forgotten_total",
            "yagura_kernel_shortfall",
            "yagura_ring_corrupt_total",
            "yagura_journal_failures_total",
            "yagura_journal_set_aside_total",
            "yagura_remote_write_spool_failures_total",
            "increase(yagura_lost_total",
            "rate(yagura_lost_total",
        ],
    ),
    (
        "it is gone before anybody looks",
        &[
            "s in flight",
            "yagura_k8s_audit_queue_",
            "yagura_events_held{",
            "yagura_remote_write_pending_",
            "yagura_remote_write_lag_",
        ],
    ),
    (
        "a minute is too short to fill tables and the journal",
        &[
            "_evicted_total",
            "yagura_k8s_audit_forgotten_total",
            "yagura_journal_removed_total",
            "yagura_journal_rejected_removed_total",
            "(yagura_sink_lost_total",
            "yagura_process_table_reused_total",
            "yagura_process_table_incomplete_total",
            "yagura_cgroups_unknown_total",
        ],
    ),
    (
        "all containers began before",
        &[
            "yagura_container_lookups_total",
            "yagura_container_source_answers_total",
            "yagura_events_held_total",
        ],
    ),
    (
        "the receiver of samples is who is asked",
        &[
            "yagura_remote_write_spooled_bytes",
            "yagura_remote_write_failed_total",
            "yagura_remote_write_retried_total",
            "yagura_remote_write_rejected_",
            "yagura_remote_write_dropped_",
        ],
    ),
    (
        "there is no API server to watch, no name server, no token, no recording",
        &["yagura_kubernetes_", "yagura_dns_", "yagura_http_", "yagura_recording_bytes_total"],
    ),
    ("no tenant has rules of its own", &["yagura_tenant_rules_broken"]),
];

/// A query of a panel.
#[derive(Debug)]
struct Query {
    panel: String,
    expr: String,
    /// The same with something chosen at the top, one of which must show something; and what must not, with a tenant that
    /// there is not.
    choices: Vec<String>,
    nobody: Vec<String>,
    /// Labels that the names of its series are made of.
    legend: Vec<String>,
}

impl Query {
    fn read(line: &str) -> Query {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let texts = |value: &Value| value.as_array().expect("texts").iter().map(text).collect();
        Query {
            panel: text(&value["panel"]),
            expr: text(&value["expr"]),
            choices: texts(&value["choices"]),
            nobody: texts(&value["nobody"]),
            legend: texts(&value["legend"]),
        }
    }

    /// Is there something to see, with names for it? What is exported at 0 shows nothing, if it need not be 0.
    fn shows(&self, result: &[(Labels, f64)]) -> bool {
        let named = |label: &String| result.iter().any(|(labels, _)| labels.contains_key(label));
        let least = if self.stays_at_zero() { 0.0 } else { f64::MIN_POSITIVE };
        result.iter().any(|(_, value)| *value >= least) && self.legend.iter().all(named)
    }

    /// What of it shows nothing: itself, or what all choices make of it.
    fn empty(&self, ask: &impl Fn(&str) -> Vec<(Labels, f64)>) -> Vec<&String> {
        let empty = |expr: &&String| !self.shows(&ask(expr));
        let mut found: Vec<&String> = [&self.expr].into_iter().filter(empty).collect();
        if self.choices.iter().all(|expr| empty(&expr)) {
            found.extend(&self.choices);
        }
        found
    }

    fn stays_at_zero(&self) -> bool {
        ZEROS.iter().flat_map(|(_, parts)| *parts).any(|part| self.has(part))
    }

    fn has(&self, part: &str) -> bool {
        self.panel.contains(part) || self.expr.contains(part)
    }
}

/// Every query in PromQL, once each in LogQL finds something of what Loki got.
fn queries(deployment: &Deployment) -> Vec<Query> {
    let own = tempfile::tempdir().expect("a folder");
    let (file, [metrics, recording]) = (own.path().join("pushed.json"), sources());
    let end = Instant::now() + DEADLINE;
    loop {
        fs::write(&file, deployment.pushed("").to_string()).expect("a file");
        let output = node("check/main.js", &[&dashboards(), &metrics, &recording, &file]);
        if output.status.success() {
            let text = String::from_utf8(output.stdout).expect("text");
            return text.lines().map(Query::read).collect();
        }
        assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&output.stderr));
        // Between two looks, not to wait for anything.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What Loki's rules in `alerts/` count is among what Loki gets, too.
fn rules_find_lines(deployment: &Deployment) {
    let end = Instant::now() + DEADLINE;
    while let Err(why) = rules_found_lines(deployment) {
        assert!(Instant::now() < end, "{why}");
        // Between two looks, not to wait for anything.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What of it Loki has not got yet.
fn rules_found_lines(deployment: &Deployment) -> Result<(), String> {
    let exprs: Vec<String> = alerts::rules(alerts::LOKI).into_iter().map(|rule| rule.expr).collect();
    let mut lines = deployment.pushed("")["lines"].take();
    for line in lines.as_array_mut().expect("lines") {
        line["time"] = 0.into();
    }
    let own = tempfile::tempdir().expect("a folder");
    let file = own.path().join("asked.json");
    fs::write(&file, json!({"exprs": exprs, "cases": [lines]}).to_string()).expect("a file");
    let output = node("check/rules.js", &[&file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name = |text: &str| text.split_inclusive(":count1m").next().map(str::to_owned);
    let found = made["cases"][0].as_array().expect("series").iter();
    let found: BTreeSet<String> =
        found.filter_map(|one| name(one["series"].as_str().expect("text"))).collect();
    for (expr, counted) in exprs.iter().zip(made["exprs"].as_array().expect("expressions")) {
        let counts = counted.as_str().expect("text").split("sum_over_time(").skip(1);
        let empty: Vec<String> = counts.filter_map(name).filter(|count| !found.contains(count)).collect();
        // Whether a detection lacks a field is chance.
        let chance = expr.matches("incomplete_fields").count();
        if empty.len() > chance {
            return Err(format!("{expr}: {empty:?} count nothing: {counted}"));
        }
    }
    Ok(())
}

/// The first query of a panel, as it is committed.
fn committed(panel: &str) -> String {
    let [metrics, recording] = sources();
    let output = node("check/main.js", &[&dashboards(), &metrics, &recording]);
    let queries = String::from_utf8(output.stdout).expect("text");
    queries.lines().map(Query::read).find(|query| query.panel == panel).expect("the panel").expr
}

/// Has promtool run cases, which must be so.
fn promtool(cases: &Value) {
    let own = tempfile::tempdir().expect("a folder");
    let file = own.path().join("cases.json");
    // JSON is YAML.
    fs::write(&file, cases.to_string()).expect("a file");
    install("prometheus");
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output().expect("promtool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A daemon that has run for weeks: its counters say nothing of when.
#[test]
fn what_is_new_today_is_what_six_days_did_not_have() {
    let [_, recording] = sources();
    let series = |rule: &str, values: &str| json!({"series": format!("yagura_detections_total{{rule=\"{rule}\", priority=\"Notice\"}}"), "values": values});
    promtool(&json!({"rule_files": [recording], "evaluation_interval": "5m", "tests": [{
        "interval": "1m",
        "input_series": [
            series("three weeks ago and an hour ago", "3x11459 5x60"),
            series("two days ago and an hour ago", "0x8640 1x2818 2x60"),
            series("two days ago", "0x8640 1x2879"),
            series("an hour ago", "0x11459 1x60"),
            series("never", "0x11520"),
        ],
        "promql_expr_test": [{
            "expr": committed("yagura-tenant-overview / Rules first seen today"),
            "eval_time": "8d",
            "exp_samples": [
                {"labels": "{rule=\"three weeks ago and an hour ago\", priority=\"Notice\"}", "value": 2},
                {"labels": "{rule=\"an hour ago\", priority=\"Notice\"}", "value": 1},
            ],
        }],
    }]}));
}

/// A counter: what it is about, its samples by how many seconds ago they were, and how much of it is in the last ten
/// seconds to Prometheus and to VictoriaMetrics.
type Counter = (&'static str, &'static [(u32, f64)], f64, f64);

const COUNTERS: &[Counter] = &[
    ("it went on", &[(14, 90.0), (10, 100.0), (6, 110.0), (2, 115.0), (0, 120.0)], 20.0, 20.0),
    ("it stayed", &[(14, 90.0), (10, 90.0), (6, 90.0), (0, 90.0)], 0.0, 0.0),
    ("it is new", &[(6, 3.0), (4, 3.0), (0, 5.0)], 5.0, 5.0),
    ("it has been seen once", &[(1, 3.0)], 3.0, 3.0),
    ("scrapes failed", &[(14, 100.0), (1, 104.0)], 4.0, 4.0),
    (
        "the daemon began anew, and counted less than before",
        &[(10, 500.0), (6, 500.0), (4, 0.0), (0, 20.0)],
        20.0,
        20.0,
    ),
    (
        "the daemon began anew, and has counted more than at the start",
        &[(10, 100.0), (8, 300.0), (6, 500.0), (4, 0.0), (2, 60.0), (0, 120.0)],
        520.0,
        520.0,
    ),
    (
        "the daemon began anew twice",
        &[(10, 10.0), (8, 40.0), (6, 0.0), (4, 30.0), (2, 5.0), (0, 50.0)],
        110.0,
        110.0,
    ),
    ("it began anew before the first of them", &[(11, 20.0), (9, 0.0), (5, 10.0), (0, 40.0)], 40.0, 40.0),
    ("a namespace's came back after a restart", &[(10, 500.0), (8, 500.0), (3, 3.0), (0, 7.0)], 7.0, 7.0),
    // Nine. Prometheus guesses what was before the first of them.
    ("it is new, and began anew", &[(8, 2.0), (6, 5.0), (4, 0.0), (2, 3.0), (0, 4.0)], 8.75, 9.0),
];

/// A moment in a case of promtool, in seconds; before it, there is room for the counters.
const MOMENT: u32 = 30;

#[test]
fn what_is_counted_survives_restarts() {
    let name = |(name, ..): &Counter| name.to_string();
    // Any label tells them apart.
    let expr = committed("yagura-tenant-overview / Detections by priority")
        .replace("sum by (priority)", "sum by (rule)");

    let values = |(_, samples, ..): &Counter| {
        let at = |second| samples.iter().find(|(ago, _)| MOMENT - ago == second);
        let values =
            (0..=MOMENT).map(|second| at(second).map_or("_".to_owned(), |(_, value)| value.to_string()));
        values.collect::<Vec<_>>().join(" ")
    };
    let series = |one: &Counter| json!({"series": format!("yagura_detections_total{{rule=\"{}\"}}", name(one)), "values": values(one)});
    let expected = |one: &Counter| json!({"labels": format!("{{rule=\"{}\"}}", name(one)), "value": one.2});
    let cases = json!({"evaluation_interval": "1s", "tests": [{
        "interval": "1s",
        "input_series": COUNTERS.iter().map(series).collect::<Vec<_>>(),
        "promql_expr_test": [{
            "expr": expr,
            "eval_time": format!("{MOMENT}s"),
            "exp_samples": COUNTERS.iter().map(expected).collect::<Vec<_>>(),
        }],
    }]});
    promtool(&cases);

    let victoria = VictoriaMetrics::start(free_address());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs();
    // It leaves out what may still be coming.
    let now = now - 60;
    let series = |one: &Counter| {
        let labels = [("__name__", "yagura_detections_total"), ("rule", one.0)];
        let labels: Labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let time = |ago: u32| i64::try_from(now - u64::from(ago)).expect("a time") * 1000;
        (labels, one.1.iter().map(|(ago, value)| (time(*ago), *value)).collect())
    };
    victoria.import(&COUNTERS.iter().map(series).collect::<Vec<_>>());
    // As part of a graph: other parts of the query have values at other times.
    let found = victoria.query_range(&expr, now - 20, now, 10);
    let last = |samples: Vec<(i64, f64)>| samples.last().map(|(_, value)| *value);
    let found: BTreeMap<String, Option<f64>> =
        found.into_iter().map(|(labels, samples)| (labels["rule"].clone(), last(samples))).collect();
    let expected = COUNTERS.iter().map(|one| (name(one), Some(one.3)));
    assert_eq!(found, expected.collect());
}

/// Asks until each query has been answered with something to see; what is of others is not seen.
fn shown(who: &str, queries: &[Query], ask: impl Fn(&str) -> Vec<(Labels, f64)>) {
    let end = Instant::now() + DEADLINE;
    let mut empty: Vec<&Query> = queries.iter().collect();
    loop {
        empty.retain(|query| !query.empty(&ask).is_empty());
        if empty.is_empty() {
            break;
        }
        let told = || {
            let names = empty.iter().map(|query| format!("{}: {:#?}", query.panel, query.empty(&ask)));
            names.collect::<Vec<_>>().join("\n")
        };
        assert!(Instant::now() < end, "{who} has nothing to show in:\n{}", told());
        // Between two looks, not to wait for anything.
        std::thread::sleep(Duration::from_millis(200));
    }
    for query in queries {
        for expr in &query.nobody {
            let strange = ask(expr).into_iter().filter(|(_, value)| *value > 0.0);
            assert_eq!(strange.collect::<Vec<_>>(), [], "{who} shows others' in {}: {expr}", query.panel);
        }
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
    let deployment = Deployment::start();
    deployment.session();
    deployment.reload("INFO");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&ended);
        scope.spawn(|| {
            for round in (0..).take_while(|_| !ended.load(Ordering::SeqCst)) {
                // Its receiver fails, works, and refuses, in turns.
                deployment.webhook_answers([503, 503, 200, 400][round as usize / 24 % 4]);
                deployment.flood(round);
                deployment.audit_fails(round);
                if round % 8 == 0 {
                    deployment.intrude(round as usize / 8);
                }
                match round % 16 {
                    4 => deployment.reload("NOTICE"),
                    12 => deployment.reload_fails(),
                    _ => {}
                }
                // A pace, not to wait for anything.
                std::thread::sleep(Duration::from_millis(250));
            }
        });
        let queries = queries(&deployment);
        assert!(queries.len() > 100, "{}", queries.len());
        for part in ZEROS.iter().flat_map(|(_, parts)| *parts) {
            assert!(queries.iter().any(|query| query.has(part)), "nobody asks for {part}");
        }
        rules_find_lines(&deployment);
        shown("Prometheus", &queries, |expr| deployment.prometheus.query(expr));
        shown("VictoriaMetrics", &queries, |expr| deployment.victoria.query(expr));
    });
    deployment.stop();
}
