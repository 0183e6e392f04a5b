//! Loki's rules, evaluated: our reader of LogQL counts lines, and promtool does all else (`dashboards/src/check/rules.ts`).

use std::fs;

use end_to_end::{
    alerts::{LOKI, folder, json, read, rules},
    install,
    node::node,
};
use serde_json::{Value, json};

use crate::{cases::of_lines, run};

/// The lines of a case: `{labels, line, time}`, the time in milliseconds from its start.
fn lines(test: &Value, common: &Value) -> Vec<Value> {
    let mut lines = Vec::new();
    for given in test["lines"].as_array().expect("lines") {
        let mut labels = common.clone();
        let own = given["labels"].as_object().cloned().unwrap_or_default();
        labels.as_object_mut().expect("labels").extend(own);
        // A stream without a namespace has no such label.
        labels.as_object_mut().expect("labels").retain(|_, value| value != "");
        for minute in given["minutes"].as_array().expect("minutes") {
            let time = minute.as_i64().expect("a minute") * 60_000;
            lines.push(json!({"labels": labels, "line": given["line"].to_string(), "time": time}));
        }
    }
    lines
}

#[test]
fn loki_rules_fire_and_are_silent_as_their_cases_say() {
    install("prometheus");
    let own = tempfile::tempdir().expect("a folder");
    let write = |name: &str, value: &Value| {
        let path = own.path().join(name);
        fs::write(&path, value.to_string()).expect("a file");
        path
    };
    let (mut loki, mut cases) = (json(&read(folder().join(LOKI))), json(&read(of_lines())));
    let common = cases["labels"].take();
    let tests = cases["tests"].as_array_mut().expect("tests");
    let exprs: Vec<String> = rules(LOKI).into_iter().map(|rule| rule.expr).collect();
    let given: Vec<_> = tests.iter().map(|test| lines(test, &common)).collect();
    let output = node("check/rules.js", &[&write("asked.json", &json!({"exprs": exprs, "cases": given}))]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut made: Value = serde_json::from_slice(&output.stdout).expect("JSON");

    let groups = loki["groups"].as_array_mut().expect("groups");
    let rules = groups.iter_mut().flat_map(|group| group["rules"].as_array_mut().expect("rules"));
    for (rule, expr) in rules.zip(made["exprs"].as_array_mut().expect("expressions")) {
        rule["expr"] = expr.take();
    }
    for (test, series) in tests.iter_mut().zip(made["cases"].as_array_mut().expect("cases")) {
        test.as_object_mut().expect("a test").remove("lines");
        test["interval"] = "1m".into();
        test["input_series"] = series.take();
    }
    let file = write("rules.json", &loki);
    let all = json!({"rule_files": [file], "evaluation_interval": "1m", "tests": tests});
    run("promtool", &["test", "rules", &write("cases.json", &all).display().to_string()].map(str::to_owned));
}
