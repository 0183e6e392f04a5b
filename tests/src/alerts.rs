//! The rules in `alerts/`.

use std::{collections::BTreeMap, fs, path::PathBuf};

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Map, Value};

use crate::repository;

/// Files of Prometheus' rules. Loki's are [`LOKI`].
pub const PROMETHEUS: [&str; 4] = ["recording.yaml", "detections.yaml", "patterns.yaml", "pipeline.yaml"];
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

/// Where they are.
pub fn folder() -> PathBuf {
    repository().join("alerts")
}

/// A file's only document.
pub fn read(path: PathBuf) -> Yaml<'static> {
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The documents borrow from the text, and a test ends soon.
    let documents = Yaml::load_from_str(text.leak()).expect("YAML");
    documents.into_iter().next().expect("a document")
}

/// What is under a key, which must be a list.
pub fn list<'a>(of: &'a Yaml<'static>, key: &str) -> &'a [Yaml<'static>] {
    of.as_mapping_get(key).and_then(Yaml::as_sequence).unwrap_or_else(|| panic!("a list {key} in {of:?}"))
}

/// What is under a key, if it is a text.
pub fn text(of: &Yaml<'static>, key: &str) -> Option<String> {
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

/// A value as JSON.
pub fn json(of: &Yaml<'static>) -> Value {
    if let Some(mapping) = of.as_mapping() {
        let entry = |(key, value): (&Yaml<'static>, &Yaml<'static>)| {
            (key.as_str().expect("a text").to_owned(), json(value))
        };
        return mapping.iter().map(entry).collect::<Map<_, _>>().into();
    }
    if let Some(sequence) = of.as_sequence() {
        return sequence.iter().map(json).collect();
    }
    if let Some(number) = of.as_integer() {
        return number.into();
    }
    of.as_str().map_or(Value::Null, Value::from)
}
