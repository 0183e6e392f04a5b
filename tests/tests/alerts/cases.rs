//! The cases of promtool.

use std::{collections::BTreeSet, fs, path::PathBuf};

use end_to_end::alerts::{folder, list, read, text};

/// promtool's files.
pub fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join("tests")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// The cases of Loki's rules.
pub fn of_lines() -> PathBuf {
    folder().join("tests/loki/cases.yaml")
}

/// The alerts that have a case in which they fire, and those that have one in which they do not.
pub fn covered(files: Vec<PathBuf>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for document in files.into_iter().map(read) {
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
pub fn asked(files: Vec<PathBuf>) -> Vec<String> {
    let mut asked = Vec::new();
    for document in files.into_iter().map(read) {
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
