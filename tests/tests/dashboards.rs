//! `dashboards/`: what is committed is what its source makes, and each panel shows something of a real Yagura.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use end_to_end::{
    DEADLINE, alerts,
    deployment::Deployment,
    kernel_tests_run,
    manifest::Manifest,
    node::{dashboards, node},
    prometheus::Labels,
    repository,
};
use serde_json::{Value, json};

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
    let metrics = repository().join("docs/metrics.md");
    let wrong = |folder: &Path| {
        let output = node("check/main.js", &[folder, &metrics]);
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

/// Every query in PromQL, once each in LogQL finds something of what Loki got.
fn queries(deployment: &Deployment) -> Vec<Query> {
    let own = tempfile::tempdir().expect("a folder");
    let (file, metrics) = (own.path().join("pushed.json"), repository().join("docs/metrics.md"));
    let end = Instant::now() + DEADLINE;
    loop {
        fs::write(&file, deployment.pushed("").to_string()).expect("a file");
        let output = node("check/main.js", &[&dashboards(), &metrics, &file]);
        if output.status.success() {
            let text = String::from_utf8(output.stdout).expect("text");
            return text.lines().map(Query::read).collect();
        }
        assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&output.stderr));
        // Between two looks, not to wait for anything.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What Loki's rules in `alerts/` count is among what Loki got, too.
fn rules_find_lines(deployment: &Deployment) {
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
        assert!(empty.len() <= chance, "{expr}: {empty:?} count nothing: {counted}");
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
                deployment.flood(round);
                // A pace, not to wait for anything.
                std::thread::sleep(Duration::from_millis(250));
            }
        });
        let queries = queries(&deployment);
        assert!(queries.len() > 100, "{}", queries.len());
        rules_find_lines(&deployment);
        shown("Prometheus", &queries, |expr| deployment.prometheus.query(expr));
        shown("VictoriaMetrics", &queries, |expr| deployment.victoria.query(expr));
    });
    deployment.stop();
}
