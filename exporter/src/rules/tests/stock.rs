//! The stock rule files of Falco, which must load as they are.

use std::path::PathBuf;

use super::support::load_files;
use crate::rules::{Code, Load, LoadOptions, Severity};

/// The text of a stock file, or `None` (with a message) where the files are not.
fn stock(name: &str) -> Option<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/falco/rules");
    match std::fs::read_to_string(folder.join(name)) {
        Ok(text) => Some(text),
        Err(error) => {
            println!("skipped: no stock rules in {}: {error}", folder.display());
            None
        }
    }
}

fn errors(load: &Load) -> Vec<String> {
    let errors = load.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(|diagnostic| diagnostic.to_string()).collect()
}

#[test]
fn each_stock_file_loads_alone() {
    let files = [
        ("falco_rules.yaml", 25),
        ("falco-incubating_rules.yaml", 31),
        ("falco-sandbox_rules.yaml", 37),
        ("k8s_audit_rules.yaml", 48),
    ];
    for (name, rules) in files {
        let Some(text) = stock(name) else { return };
        let load = load_files(&[&text], &LoadOptions::default());
        assert_eq!(errors(&load), Vec::<String>::new(), "{name}");
        assert_eq!(load.rules.map(|set| set.rules().len()), Some(rules), "{name}");
        let unknown: Vec<_> = load.diagnostics.iter().filter(|d| d.code == Code::UnknownFilter).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}

#[test]
fn the_three_system_call_files_load_together() {
    let names = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];
    let texts: Option<Vec<String>> = names.into_iter().map(stock).collect();
    let Some(texts) = texts else { return };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let load = load_files(&texts, &LoadOptions::default());
    assert_eq!(errors(&load), Vec::<String>::new());
    let rules = load.rules.expect("no errors");
    assert_eq!(rules.rules().len(), 93);
    assert_eq!(rules.rules().iter().filter(|rule| rule.enabled).count(), 81);
    for rule in rules.rules() {
        // Falco ships these with macros that cannot be true, to be overridden.
        let never = ["Network Connection outside Local Subnet", "Launch Disallowed Container"];
        assert_eq!(rule.event_types.is_empty(), never.contains(&&*rule.name), "{} can match", rule.name);
        assert!(rule.event_types.len() < 15, "{} is restricted by type: {:?}", rule.name, rule.event_types);
    }
}
