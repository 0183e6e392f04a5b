//! What we demand of our own rules.

use std::{collections::BTreeMap, fs, path::PathBuf};

use saphyr::{LoadableYamlNode, Yaml};

use super::RULES;
use crate::{
    cases::{self, Case, Expected},
    fields::{Subject, scheme},
    rules::{
        LoadOptions, Rule, RuleMatching, RuleSet, Scratch, SourceFile, field_name, load,
        typed::{Expr, ExprId},
    },
};

/// The techniques of MITRE ATT&CK: name and tactics by id.
pub(super) fn techniques() -> BTreeMap<&'static str, (&'static str, Vec<&'static str>)> {
    let lines = include_str!("attack.tsv").lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let mut columns = line.split('\t');
        let (id, name, tactics) = (columns.next()?, columns.next()?, columns.next()?);
        Some((id, (name, tactics.split(',').collect())))
    };
    lines.map(|line| row(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

pub(super) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// YAML files of a folder of the repository, in name order.
fn yaml_files(folder: &str) -> Vec<SourceFile> {
    let entries = fs::read_dir(repository().join(folder)).expect(folder);
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect(folder).file_name().into_string().expect("a UTF-8 name"))
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    let read = |name: String| {
        let name = format!("{folder}/{name}");
        SourceFile { text: fs::read_to_string(repository().join(&name)).expect(&name), name }
    };
    names.into_iter().map(read).collect()
}

/// Our rules, loaded from what is in the binary.
pub(super) fn rules() -> RuleSet {
    let load =
        load(&super::files(), &LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() });
    let problems: Vec<String> = load.diagnostics.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    load.rules.expect("rules without errors")
}

/// The cases of all files.
fn all_cases() -> Vec<Case> {
    let rules = rules();
    let mut all = Vec::new();
    for file in yaml_files("rules/cases") {
        let cases = cases::parse(&file).unwrap_or_else(|errors| {
            panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))
        });
        assert_eq!(cases::check_names(&file, &cases, &rules), [], "{}", file.name);
        all.extend(cases);
    }
    all
}

/// The rule items of our files as YAML: name of the file, item.
fn items(check: &mut dyn FnMut(&str, &Yaml<'_>)) {
    for (name, text) in RULES {
        for document in Yaml::load_from_str(text).expect(name) {
            for item in document.as_sequence().expect(name) {
                if item.as_mapping_get("rule").is_some() {
                    check(name, item);
                }
            }
        }
    }
}

fn text<'y>(item: &'y Yaml<'_>, key: &str) -> &'y str {
    item.as_mapping_get(key).and_then(Yaml::as_str).unwrap_or_else(|| panic!("{key} in {item:?}"))
}

fn tags<'y>(item: &'y Yaml<'_>) -> Vec<&'y str> {
    let tags = item.as_mapping_get("tags").and_then(Yaml::as_sequence).expect("tags");
    tags.iter().map(|tag| tag.as_str().expect("a tag")).collect()
}

/// `T1059`, `T1059.004`.
pub(super) fn is_technique(tag: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let Some(id) = tag.strip_prefix('T') else { return false };
    match id.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(id, 4),
    }
}

/// An earlier rule of another file must not hide what is worse.
#[test]
fn of_several_rules_the_most_severe_speaks() {
    let options = LoadOptions { rule_matching: RuleMatching::MostSevere, ..LoadOptions::default() };
    let (all, severest) = (rules(), load(&super::files(), &options).rules.expect("rules without errors"));
    let (mut scratch, mut hidden) = (Scratch::default(), 0);
    for case in all_cases() {
        let mut fired = Vec::new();
        all.evaluate(&case.subject, &mut scratch, |rule| fired.push(rule.priority));
        let mut told = Vec::new();
        severest.evaluate(&case.subject, &mut scratch, |rule| told.push(rule.priority));
        assert_eq!(told, fired.iter().min().copied().into_iter().collect::<Vec<_>>(), "{}", case.name);
        hidden += usize::from(fired.first() != told.first());
    }
    assert!(hidden > 0, "of no case the first in the files' order is another one");
}

#[test]
fn every_rules_file_is_embedded() {
    let on_disk = yaml_files("rules");
    let names: Vec<&str> = on_disk.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(RULES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    for (file, (name, text)) in on_disk.iter().zip(RULES) {
        assert_eq!(file.text, *text, "{name}");
    }
}

#[test]
fn every_case_holds_and_every_rule_has_a_hit_and_a_near_miss() {
    let (rules, all) = (rules(), all_cases());
    let report = cases::run(&all, &rules);
    assert!(report.passed(), "{report}");
    let coverage = cases::coverage(&all, &rules);
    assert!(coverage.is_complete(), "{coverage:#?}");
}

#[test]
fn every_rule_says_what_it_means_and_what_to_do() {
    let techniques = techniques();
    let mut count = 0;
    items(&mut |file, item| {
        let name = text(item, "rule");
        let at = format!("{file}: {name}");
        let tags = tags(item);
        assert!(tags.iter().any(|tag| is_technique(tag)), "{at} has no technique");
        // A technique belongs to tactics; the rule names at least one of them, and none that no technique of its has.
        let named: Vec<&str> = tags.iter().filter_map(|tag| tag.strip_prefix("mitre_")).collect();
        let mut served = Vec::new();
        for tag in tags.iter().filter(|tag| tag.starts_with('T')) {
            let (_, tactics) =
                techniques.get(tag).unwrap_or_else(|| panic!("{at}: {tag} is no technique of ATT&CK"));
            let own: Vec<&str> = tactics.iter().copied().filter(|tactic| named.contains(tactic)).collect();
            assert!(!own.is_empty(), "{at}: {tag} serves {tactics:?}, the rule names {named:?}");
            served.extend(own);
        }
        for tactic in named {
            assert!(served.contains(&tactic), "{at}: no technique serves mitre_{tactic}");
        }
        assert!(text(item, "desc").contains("What to do: "), "{at} does not say what to do");
        let audit = item.as_mapping_get("source").and_then(Yaml::as_str) == Some("k8s_audit");
        let parts: &[&str] = match audit {
            true => &["user=%ka.user.name", "source_ips=%ka.sourceips", "namespace=%ka.target.namespace"],
            false => &[
                "container_id=%container.id",
                "image=%container.image.repository",
                "namespace=%k8s.ns.name pod=%k8s.pod.name",
                "process=%proc.name",
                "user=%user.name",
            ],
        };
        for part in parts {
            assert!(text(item, "output").contains(part), "{at} has no {part}");
        }
        assert!(text(item, "condition").contains("and not expected_"), "{at} has no tuning hook");
        count += 1;
    });
    assert!(count >= 80, "{count} rules");
}

#[test]
fn docs_the_guide_shows_what_loads() {
    let guide = fs::read_to_string(repository().join("docs/writing-rules.md")).expect("the guide");
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0));
    let (cases, rules): (Vec<&str>, Vec<&str>) = blocks.partition(|block| block.starts_with("- name:"));
    let file = |text: &[&str]| SourceFile { name: "docs/writing-rules.md".into(), text: text.concat() };
    let mut files = super::files();
    files.push(file(&rules));
    let load = load(&files, &LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() });
    let problems: Vec<String> = load.diagnostics.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    let rules = load.rules.expect("rules without errors");
    let changed = |name: &str| rules.rules().iter().find(|rule| rule.name == name).expect("the rule").enabled;
    assert!(!changed("Crontab changed") && changed("Backup key read"));
    let cases = cases::parse(&file(&cases)).expect("cases without errors");
    assert_eq!(cases.len(), 2);
    let report = cases::run(&cases, &rules);
    assert!(report.passed(), "{report}");
}

/// Each part of a condition is there for a reason: there is a case in which it alone keeps the rule from
/// firing. The event types (the table of rules by type has decided before) and the hook have a test of their
/// own.
#[test]
fn every_part_of_a_condition_decides_in_some_case() {
    let (rules, cases) = (rules(), all_cases());
    let all = rules.expressions();
    let mut undecided = Vec::new();
    for rule in rules.rules() {
        let Expr::And(parts) = all.expr(rule.condition) else { panic!("{} has one part", rule.name) };
        for part in parts {
            let fields = fields_of(&rules, *part);
            if fields == ["evt.type"] || fields == ["evt.num"] {
                continue;
            }
            let decides = cases
                .iter()
                .filter(|case| is_of(rule, case))
                .any(|case| parts.iter().all(|other| all.holds(*other, &case.subject) == (other != part)));
            if !decides {
                undecided.push(format!("{}: the part with {}", rule.name, fields.join(", ")));
            }
        }
    }
    assert!(undecided.is_empty(), "no case is decided by\n{}", undecided.join("\n"));
}

fn is_of(rule: &Rule, case: &Case) -> bool {
    case.subject.source() == rule.source
        && case.subject.event_type().is_none_or(|ty| rule.event_types.contains(&ty))
}

fn fields_of(rules: &RuleSet, id: ExprId) -> Vec<String> {
    let all = rules.expressions();
    let mut names = Vec::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        match all.expr(id) {
            Expr::And(items) | Expr::Or(items) => open.extend(items.iter().copied()),
            Expr::Not(inner) => open.push(*inner),
            Expr::Check(check) => all.check(*check).fields(&mut |field| {
                let name = field_name(scheme(), field);
                if !names.contains(&name) {
                    names.push(name);
                }
            }),
        }
    }
    names
}

/// Whoever makes a hook true switches its rule off: every rule has one, and it is wired.
#[test]
fn every_hook_silences_its_rule() {
    let mut hooks = String::new();
    for (file, text) in RULES {
        // What every event of the file's source has.
        let field = if file.contains("audit") { "evt.source" } else { "evt.type" };
        for name in text.lines().filter_map(|line| line.strip_prefix("- macro: expected_")) {
            hooks += &format!(
                "- macro: expected_{name}\n  condition: ({field} exists)\n  override: {{condition: replace}}\n"
            );
        }
    }
    let mut files = super::files();
    files.push(SourceFile { name: "hooks.yaml".into(), text: hooks });
    let load = load(&files, &LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() });
    let rules = load.rules.unwrap_or_else(|| panic!("{:#?}", load.diagnostics));
    let mut silent: Vec<Case> = all_cases();
    silent.iter_mut().for_each(|case| case.expected = Expected::default());
    let report = cases::run(&silent, &rules);
    assert!(report.passed(), "{report}");
}
