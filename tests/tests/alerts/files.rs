//! What is in `alerts/`: rules, and the cases of promtool.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use end_to_end::repository;
use saphyr::{LoadableYamlNode, Yaml};

/// Files of Prometheus' rules. Loki's are [`LOKI`].
pub const PROMETHEUS: [&str; 3] = ["recording.yaml", "detections.yaml", "pipeline.yaml"];
pub const LOKI: &str = "loki.yaml";

/// A rule of one of the files.
#[derive(Debug)]
pub struct Rule {
    pub file: &'static str,
    pub name: String,
    pub alert: bool,
    pub expr: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

pub fn folder() -> PathBuf {
    repository().join("alerts")
}

fn read(path: PathBuf) -> Yaml<'static> {
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The documents borrow from the text, and a test ends soon.
    let documents = Yaml::load_from_str(text.leak()).expect("YAML");
    documents.into_iter().next().expect("a document")
}

fn list<'a>(of: &'a Yaml<'static>, key: &str) -> &'a [Yaml<'static>] {
    of.as_mapping_get(key).and_then(Yaml::as_sequence).unwrap_or_else(|| panic!("a list {key} in {of:?}"))
}

fn text(of: &Yaml<'static>, key: &str) -> Option<String> {
    of.as_mapping_get(key)?.as_str().map(str::to_owned)
}

fn texts(of: &Yaml<'static>, key: &str) -> BTreeMap<String, String> {
    let Some(mapping) = of.as_mapping_get(key).and_then(Yaml::as_mapping) else { return BTreeMap::new() };
    let pair = |(key, value): (&Yaml<'static>, &Yaml<'static>)| {
        (key.as_str().expect("a text").to_owned(), value.as_str().expect("a text").to_owned())
    };
    mapping.iter().map(pair).collect()
}

/// The rules of a file, recording ones too.
pub fn rules(file: &'static str) -> Vec<Rule> {
    let document = read(folder().join(file));
    let rule = |rule: &Yaml<'static>| {
        let (alert, record) = (text(rule, "alert"), text(rule, "record"));
        Rule {
            file,
            alert: alert.is_some(),
            name: alert.or(record).expect("a name"),
            expr: text(rule, "expr").expect("an expression"),
            labels: texts(rule, "labels"),
            annotations: texts(rule, "annotations"),
        }
    };
    list(&document, "groups").iter().flat_map(|group| list(group, "rules")).map(rule).collect()
}

/// All rules of all files.
pub fn all() -> Vec<Rule> {
    PROMETHEUS.into_iter().chain([LOKI]).flat_map(rules).collect()
}

/// promtool's files.
pub fn cases() -> Vec<PathBuf> {
    let folder = folder().join("tests");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// The alerts that have a case in which they fire, and those that have one in which they do not.
pub fn covered() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for document in cases().into_iter().map(read) {
        let tests =
            list(&document, "tests").iter().filter(|test| test.contains_mapping_key("alert_rule_test"));
        for check in tests.flat_map(|test| list(test, "alert_rule_test")) {
            let name = text(check, "alertname").expect("a name");
            if list(check, "exp_alerts").is_empty() { &mut silent } else { &mut firing }.insert(name);
        }
    }
    (firing, silent)
}

/// The expressions that cases of recorded series ask.
pub fn asked() -> Vec<String> {
    let mut asked = Vec::new();
    for document in cases().into_iter().map(read) {
        let tests =
            list(&document, "tests").iter().filter(|test| test.contains_mapping_key("promql_expr_test"));
        let checks = tests.flat_map(|test| list(test, "promql_expr_test"));
        asked.extend(
            checks
                .filter(|check| !list(check, "exp_samples").is_empty())
                .filter_map(|check| text(check, "expr")),
        );
    }
    asked
}
