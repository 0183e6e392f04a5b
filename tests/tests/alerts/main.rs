//! `alerts/`: whether the programs that load it do, whether each alert fires when it should and else does not, and whether
//! everything that an expression asks for exists. There is no Loki to be had: [`lines`] says who evaluates its rules.

mod cases;
mod expressions;
mod lines;
mod names;
mod routes;

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output},
};

use end_to_end::{
    alerts::{LOKI, PROMETHEUS, all, folder, list, read, rules, text},
    install, repository,
};

use cases::{asked, cases, covered, of_lines};
use expressions::selectors;
use names::Names;

/// Runs a program in `alerts/`, which has to end well.
fn run(program: &str, args: &[String]) -> Output {
    let output = Command::new(program).args(args).current_dir(folder()).output().expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}\n{out}{err}");
    output
}

#[test]
fn prometheus_takes_the_rules() {
    install("prometheus");
    let args = ["check", "rules", "--lint=all", "--lint-fatal"].into_iter().chain(PROMETHEUS);
    let output = run("promtool", &args.map(str::to_owned).collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for file in PROMETHEUS {
        assert!(said.contains(&format!("Checking {file}")), "{said}");
    }
    let found = format!("{} rules found", rules("pipeline.yaml").len());
    assert!(said.contains(&found), "{said}");
}

#[test]
fn vmalert_takes_the_rules() {
    install("victoriametrics");
    let files = PROMETHEUS.iter().map(|file| format!("-rule={file}"));
    let args = ["-dryRun", "-rule.validateExpressions", "-rule.validateTemplates"].map(str::to_owned);
    run("vmalert", &args.into_iter().chain(files).collect::<Vec<_>>());
}

#[test]
fn alerts_fire_and_are_silent_as_their_cases_say() {
    install("prometheus");
    let files = cases();
    assert!(files.len() > 1);
    let args = ["test", "rules"].map(str::to_owned).into_iter();
    let files = files.iter().map(|file| file.display().to_string());
    run("promtool", &args.chain(files).collect::<Vec<_>>());
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_does_not() {
    for (of, files) in [(&PROMETHEUS[..], cases()), (&[LOKI], vec![of_lines()])] {
        let alerts = of.iter().copied().flat_map(rules).filter(|rule| rule.alert).map(|rule| rule.name);
        let alerts: BTreeSet<String> = alerts.collect();
        let (firing, silent) = covered(files);
        assert_eq!(firing, alerts);
        assert_eq!(silent, alerts);
    }
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let page = fs::read_to_string(repository().join("docs/alerts.md")).expect("a page");
    let mut runbooks = BTreeSet::new();
    for alert in all().into_iter().filter(|rule| rule.alert) {
        let name = &alert.name;
        let severity = alert.labels.get("severity").map_or("", String::as_str);
        assert!(["critical", "warning", "info"].contains(&severity), "severity of {name}");
        let component = alert.labels.get("component").map_or("", String::as_str);
        assert!(["detection", "pipeline"].contains(&component), "component of {name}");
        for annotation in ["summary", "description"] {
            assert!(
                alert.annotations.get(annotation).is_some_and(|text| text.len() > 5),
                "{annotation} of {name}"
            );
        }
        let runbook = format!("docs/runbooks/{name}.md");
        assert_eq!(alert.annotations.get("runbook_url"), Some(&runbook));
        let text = fs::read_to_string(repository().join(&runbook))
            .unwrap_or_else(|error| panic!("{runbook}: {error}"));
        for part in [&format!("# {name}\n"), "\n## Meaning\n", "\n## Look first\n", "\n## Mend\n"] {
            assert!(text.contains(part), "{part:?} in {runbook}");
        }
        let row = format!("| [{name}](runbooks/{name}.md) | {severity} | ");
        assert!(page.contains(&row), "docs/alerts.md has no row {row}");
        assert!(runbooks.insert(format!("{name}.md")), "{name} is there twice");
    }
    let entries = fs::read_dir(repository().join("docs/runbooks")).expect("a folder");
    let there = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    assert_eq!(there.collect::<BTreeSet<_>>(), runbooks, "each runbook is an alert's");
    assert_eq!(
        page.matches("](runbooks/").count(),
        runbooks.len(),
        "each row of docs/alerts.md is an alert's"
    );
}

#[test]
fn every_recorded_series_is_read() {
    let rules = all();
    let asked: BTreeSet<String> = rules.iter().flat_map(|rule| selectors(&rule.expr)).collect();
    // By dashboards, or by whoever is told by a runbook to look.
    let entries = ["dashboards", "docs/runbooks"].map(|folder| fs::read_dir(repository().join(folder)));
    let entries = entries.into_iter().flat_map(|folder| folder.expect("a folder"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let readers = paths.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("yagura-") && name.ends_with(".json") || name.ends_with(".md")
    });
    let text: String = readers.map(|path| fs::read_to_string(path).expect("a file")).collect();
    let word = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'));
    let shown: BTreeSet<&str> = text.split(word).collect();
    assert!(shown.contains("yagura_detections_total"));
    let recorded = rules.iter().filter(|rule| !rule.alert).map(|rule| rule.name.as_str());
    let unread: BTreeSet<&str> =
        recorded.filter(|name| !asked.contains(*name) && !shown.contains(name)).collect();
    assert_eq!(unread, BTreeSet::new());
}

/// A recorded value is gone after five minutes: at an interval near that, one late evaluation leaves a gap.
#[test]
fn rules_are_evaluated_more_often_than_their_values_last() {
    for file in PROMETHEUS {
        for group in list(&read(folder().join(file)), "groups") {
            let interval = text(group, "interval").expect("an interval");
            let known = ["30s", "1m", "2m"].contains(&interval.as_str());
            assert!(known, "{file}: {interval}");
        }
    }
}

#[test]
fn expressions_ask_for_what_there_is() {
    let names = Names::read();
    let rules = all();
    assert!(rules.len() > 50);
    for rule in rules {
        assert_eq!(
            names.missing(&rule),
            Vec::<String>::new(),
            "{} of {}: {}",
            rule.name,
            rule.file,
            rule.expr
        );
    }
}

#[test]
fn every_recorded_series_has_a_case() {
    for (of, files) in [(&PROMETHEUS[..], cases()), (&[LOKI], vec![of_lines()])] {
        let asked: BTreeSet<String> = asked(files).iter().flat_map(|expr| selectors(expr)).collect();
        let recorded = of.iter().copied().flat_map(rules).filter(|rule| !rule.alert).map(|rule| rule.name);
        assert_eq!(asked, recorded.collect());
    }
}
