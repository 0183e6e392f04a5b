//! Whether what an expression asks for is there: in `docs/metrics.md`, which a test compares with the registry, in other
//! rules, in `docs/fields.md`, or among the labels of Loki's streams.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use end_to_end::{
    alerts::{self, LOKI, Rule},
    repository,
};
use yagura::rules::Priority;

use crate::expressions::{Matcher, Part, parts};

/// What a scrape adds to every series.
const TARGET: [&str; 3] = ["cluster", "job", "instance"];
const STREAM: [&str; 8] = ["job", "cluster", "node", "tenant", "namespace", "rule", "priority", "source"];

/// All that there is to ask for.
pub struct Names {
    page: BTreeSet<String>,
    /// With their labels.
    metrics: BTreeMap<String, BTreeSet<String>>,
    recorded: BTreeSet<String>,
    fields: String,
}

fn docs(page: &str) -> String {
    fs::read_to_string(repository().join("docs").join(page)).expect("a page")
}

impl Names {
    pub fn read() -> Names {
        let page = docs("metrics.md");
        let mut metrics = BTreeMap::new();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, kind, labels, _] = cells[..] else { panic!("four cells expected: {line}") };
            let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
            let labels: BTreeSet<String> = labels.filter(|label| !label.is_empty()).collect();
            let name = name.trim_matches('`');
            if kind == "histogram" {
                let with_bound = labels.iter().cloned().chain(["le".to_owned()]).collect();
                metrics.insert(format!("{name}_bucket"), with_bound);
                metrics.insert(format!("{name}_sum"), labels.clone());
                metrics.insert(format!("{name}_count"), labels);
            } else {
                metrics.insert(name.to_owned(), labels);
            }
        }
        metrics.insert("up".into(), BTreeSet::new());
        let recorded = alerts::all().into_iter().filter(|rule| !rule.alert).map(|rule| rule.name).collect();
        let word = |c: char| !(c.is_alphanumeric() || c == '_');
        let page = page.split(word).map(str::to_owned).collect();
        Names { page, metrics, recorded, fields: docs("fields.md") }
    }

    /// What a rule asks for that is not there.
    pub fn missing(&self, rule: &Rule) -> Vec<String> {
        let parts = parts(&rule.expr);
        if rule.file == LOKI { self.missing_in_lines(&parts) } else { self.missing_in_metrics(&parts) }
    }

    fn missing_in_metrics(&self, parts: &[Part]) -> Vec<String> {
        let every: BTreeSet<&str> =
            self.metrics.values().flatten().map(String::as_str).chain(TARGET).collect();
        let mut missing = Vec::new();
        for part in parts {
            match part {
                Part::Selector(name, matchers) => {
                    let own = self.metrics.get(name);
                    if own.is_none() && !self.recorded.contains(name) {
                        missing.push(format!("metric {name}"));
                    }
                    for matcher in matchers {
                        let label = matcher.label.as_str();
                        let known = own.map_or(every.contains(label), |own| own.contains(label));
                        if !known && !TARGET.contains(&label) {
                            missing.push(format!("label {label} of {name}"));
                        }
                        missing.extend(self.missing_values(matcher));
                    }
                }
                Part::Labels(labels) => missing.extend(
                    labels
                        .iter()
                        .filter(|label| !every.contains(label.as_str()))
                        .map(|label| format!("label {label}")),
                ),
                Part::Text(text) => missing.push(format!("a text outside of braces: {text}")),
                Part::Function(_) | Part::Word(_) | Part::Made(_) => {}
            }
        }
        missing
    }

    /// Values of closed sets are named on the page; priorities are Falco's.
    fn missing_values(&self, matcher: &Matcher) -> Vec<String> {
        let known = |value: &str| match matcher.label.as_str() {
            "priority" => Priority::ALL.iter().any(|priority| priority.name() == value),
            "namespace" | "rule" => value == "~other",
            "job" => value == "yagura",
            // Of the quota's own detections.
            "source" if value == "internal" => true,
            _ => self.page.contains(value),
        };
        let values = matcher.value.split('|').filter(|value| !value.is_empty() && !known(value));
        values.map(|value| format!("value {value} of {}", matcher.label)).collect()
    }

    fn missing_in_lines(&self, parts: &[Part]) -> Vec<String> {
        let mut made: BTreeSet<&str> = STREAM.into();
        for part in parts {
            match part {
                Part::Made(name) => _ = made.insert(name),
                // A group of a regular expression.
                Part::Text(text) => {
                    made.extend(text.split("(?P<").skip(1).filter_map(|group| group.split('>').next()))
                }
                _ => {}
            }
        }
        let mut missing = Vec::new();
        for part in parts {
            match part {
                Part::Selector(name, matchers) => {
                    assert_eq!(name, "", "Loki has no metrics");
                    for matcher in matchers {
                        if !STREAM.contains(&matcher.label.as_str()) {
                            missing.push(format!("label {}", matcher.label));
                        }
                        missing.extend(self.missing_values(matcher));
                    }
                }
                Part::Labels(labels) => missing.extend(
                    labels
                        .iter()
                        .filter(|label| !made.contains(label.as_str()))
                        .map(|label| format!("label {label}")),
                ),
                Part::Text(text) => {
                    let field =
                        text.strip_prefix("output_fields[\"").and_then(|rest| rest.strip_suffix("\"]"));
                    if let Some(field) =
                        field.filter(|field| !self.fields.contains(&format!("| `{field}` |")))
                    {
                        missing.push(format!("field {field}"));
                    }
                }
                Part::Function(_) | Part::Word(_) | Part::Made(_) => {}
            }
        }
        missing
    }
}

#[test]
fn what_is_not_there_is_found() {
    let names = Names::read();
    let rows = [
        ("pipeline.yaml", "yagura_nonesuch_total", "metric yagura_nonesuch_total"),
        ("pipeline.yaml", "a:yagura_nonesuch:rate5m", "metric a:yagura_nonesuch:rate5m"),
        ("pipeline.yaml", r#"yagura_lost_total{tenant="a"}"#, "label tenant of yagura_lost_total"),
        ("pipeline.yaml", r#"yagura_lost_total{stage=~"kernel|nowhere"}"#, "value nowhere of stage"),
        ("pipeline.yaml", r#"yagura_detections_total{priority="High"}"#, "value High of priority"),
        ("pipeline.yaml", "sum by (cluster, pod) (yagura_lost_total)", "label pod"),
        (LOKI, r#"sum by (pod) (count_over_time({job="yagura"} [5m]))"#, "label pod"),
        (LOKI, r#"count_over_time({pod="a"} [5m])"#, "label pod"),
        (
            LOKI,
            r#"count_over_time({job="yagura"} | json a=`output_fields["proc.nonesuch"]` [5m])"#,
            "field proc.nonesuch",
        ),
    ];
    for (file, expr, expected) in rows {
        let (labels, annotations) = (BTreeMap::new(), BTreeMap::new());
        let rule = Rule { file, name: String::new(), alert: true, expr: expr.into(), labels, annotations };
        let missing = names.missing(&rule);
        assert!(missing.iter().any(|one| one == expected), "{expr}: {missing:?}");
    }
}
