//! What files mean together: lists, macros, redefinition, append, override, selection. One row per
//! behaviour.

use exporter_common::event_type::EventType;

use super::support::{Event, codes, load_files, load_text, matches, rules};
use crate::rules::{Code, LoadOptions, Priority, RuleMatching, Selection, Selector};

fn bash() -> Event {
    Event::new(EventType::Execve).text("proc.name", "bash").text("proc.cmdline", "bash -c ls")
}

/// A rule with this name and condition.
fn rule(name: &str, condition: &str) -> String {
    format!("- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}\n")
}

/// Rules of these files that match [`bash`].
fn fires(texts: &[&str]) -> Vec<String> {
    let options = LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() };
    let load = load_files(texts, &options);
    let printed: Vec<String> = load.diagnostics.iter().map(ToString::to_string).collect();
    matches(&load.rules.unwrap_or_else(|| panic!("{}", printed.join("\n"))), &bash())
}

#[test]
fn lists() {
    let rows: &[(&str, &str, bool)] = &[
        ("items: [bash]", "proc.name in (l)", true),
        ("items: [zsh]", "proc.name in (l)", false),
        ("items: [zsh]", "proc.name in (l, bash)", true),
        ("items: [zsh]", "proc.name in (bash,l)", true),
        ("items: []", "proc.name in (l)", false),
        ("items: []", "proc.name in (bash, l)", true),
        ("items: []", "proc.name in (l, bash)", true),
        ("items: []", "proc.name in (zsh, l, bash)", true),
        ("items: []", "proc.name in (l, l, bash, l, l)", true),
        ("items: [bash]", "proc.name in (l,l)", true),
        ("items: [bash]", "proc.name=l", true),
        ("items: [bash]", "proc.name in l", true),
        // Items that are not bare strings stay one value.
        ("items: [bash -c ls]", "proc.cmdline in (l)", true),
        ("items: ['\"bash -c ls\"']", "proc.cmdline in (l)", true),
        ("items: ['\"bash\"']", "proc.name in (l)", true),
        ("items: ['ba)sh', 'a\"b', 'x=y', 'a,b', bash]", "proc.name in (l)", true),
        ("items: ['zsh,bash']", "proc.name in (l)", false),
        ("items: ['', bash]", "proc.name in (l)", true),
        // Only where it stands by itself.
        ("items: [bash]", "proc.name in (xl)", false),
        ("items: [bash]", "proc.name in (\"l\")", false),
        ("items: [bash]", "proc.cmdline contains \"( l )\"", false),
    ];
    for (items, condition, expected) in rows {
        let text =
            format!("- list: l\n  {items}\n{}", rule("r", &format!("'{}'", condition.replace('\'', "''"))));
        assert_eq!(!fires(&[&text]).is_empty(), *expected, "{items} | {condition}");
    }
}

#[test]
fn lists_in_lists() {
    let uses = rule("r", "proc.name in (outer)");
    let rows = [
        ("- list: inner\n  items: [bash]\n- list: outer\n  items: [zsh, inner]\n", true),
        // Three levels.
        ("- list: a\n  items: [bash]\n- list: b\n  items: [a]\n- list: outer\n  items: [b]\n", true),
        // A list that comes later is not seen: the name is a string.
        ("- list: outer\n  items: [inner]\n- list: inner\n  items: [bash]\n", false),
        // Defined again after it, it is.
        (
            "- list: outer\n  items: [zsh]\n- list: inner\n  items: [bash]\n- list: outer\n  items: [inner]\n",
            true,
        ),
        // Its own name in it is a string.
        ("- list: outer\n  items: [outer]\n- list: outer\n  items: [outer, bash]\n", true),
    ];
    for (lists, expected) in rows {
        assert_eq!(!fires(&[&format!("{lists}{uses}")]).is_empty(), expected, "{lists}");
    }
    // A condition sees every list, wherever it is.
    assert_eq!(fires(&[&uses, "- list: outer\n  items: [bash]\n"]), ["r"]);
}

#[test]
fn macros_and_their_visibility() {
    let good: &[&str] = &[
        "- macro: m\n  condition: proc.name = bash\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: m\n",
        // A rule sees macros that come later.
        "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: m\n- macro: m\n  condition: proc.name = bash\n",
        // A macro that is defined again sees what came before that, and keeps its place for others.
        "- macro: a\n  condition: proc.name = x\n- macro: b\n  condition: a\n- macro: c\n  condition: proc.name = bash\n\
         - macro: a\n  condition: c\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: b\n",
        // Appending renews what it sees, too.
        "- macro: a\n  condition: proc.name = bash\n- macro: b\n  condition: proc.name = bash\n\
         - macro: a\n  condition: and b\n  override: {condition: append}\n\
         - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: a\n",
    ];
    for text in good {
        assert_eq!(fires(&[text]), ["r"], "{text}");
    }
    let bad: &[(&str, Code, u32, &str)] = &[
        (
            "- macro: a\n  condition: b\n- macro: b\n  condition: proc.name = x\n",
            Code::Validate,
            2,
            "only later",
        ),
        ("- macro: a\n  condition: a\n", Code::Validate, 2, "only later"),
        ("- macro: a\n  condition: proc.name = x and nope\n", Code::Validate, 2, "undefined macro 'nope'"),
        ("- list: l\n  items: [x]\n- macro: a\n  condition: (l)\n", Code::Validate, 0, ""),
        (
            "- macro: a\n  condition: proc.name = x\n- macro: b\n  condition: a\n- macro: a\n  condition: b\n",
            Code::Validate,
            3,
            "refers back",
        ),
    ];
    for (text, code, line, message) in bad.iter().filter(|(_, _, line, _)| *line > 0) {
        let load = load_text(text);
        let found =
            load.diagnostics.iter().find(|found| found.code == *code && found.message.contains(message));
        assert_eq!(found.map(|found| found.line), Some(*line), "{text}: {:?}", load.diagnostics);
        assert!(load.rules.is_none());
    }
}

#[test]
fn redefinition_append_and_override() {
    let base = rule("r", "proc.name = zsh");
    let rows: &[(&str, bool)] = &[
        // The last definition counts.
        ("- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: proc.name = bash\n", true),
        ("- rule: r\n  append: true\n  condition: or proc.name = bash\n", true),
        ("- rule: r\n  append: true\n  condition: and proc.name = bash\n", false),
        ("- rule: r\n  condition: or proc.name = bash\n  override: {condition: append}\n", true),
        ("- rule: r\n  condition: proc.name = bash\n  override: {condition: replace}\n", true),
        ("- rule: r\n  enabled: false\n", false),
        (
            "- rule: r\n  condition: proc.name = bash\n  enabled: false\n  override: {condition: replace, enabled: replace}\n",
            false,
        ),
    ];
    for (more, expected) in rows {
        assert_eq!(!fires(&[&base, more]).is_empty(), *expected, "{more}");
    }
    let lists = "- list: l\n  items: [zsh]\n";
    let uses = rule("r", "proc.name in (l)");
    for more in [
        "- list: l\n  items: [bash]\n  append: true\n",
        "- list: l\n  items: [bash]\n  override: {items: append}\n",
        "- list: l\n  items: [bash]\n  override: {items: replace}\n",
        "- list: l\n  items: [bash]\n",
    ] {
        assert_eq!(fires(&[lists, &uses, more]), ["r"], "{more}");
    }
}

#[test]
fn overriding_the_other_keys() {
    let text = format!(
        "{}- rule: r\n  desc: more\n  output: \"%proc.name\"\n  tags: [b, a]\n  override: \
         {{desc: append, output: append, tags: append}}\n\
         - rule: r\n  priority: CRITICAL\n  override: {{priority: replace}}\n",
        rule("r", "proc.name = bash\n  tags: [a]")
    );
    let set = rules(&text);
    let rule = &set.rules()[0];
    assert_eq!((rule.description.as_str(), rule.output.source()), ("d more", "o %proc.name"));
    assert_eq!(rule.tags, ["a", "b"]);
    assert_eq!(rule.priority, Priority::Critical);
    assert_eq!(rule.output.render(&bash()).text, "o bash");
}

#[test]
fn a_redefined_rule_keeps_its_place() {
    let text =
        [rule("a", "proc.name = x"), rule("b", "proc.name = bash"), rule("a", "proc.name = bash")].concat();
    assert_eq!(fires(&[&text]), ["a", "b"]);
    let first = load_files(&[&text], &LoadOptions::default()).rules.expect("valid");
    assert_eq!(matches(&first, &bash()), ["a"], "with rule_matching: first, the first one alone");
}

#[test]
fn of_the_most_severe_ones_the_first_speaks() {
    let of = |name: &str, priority: &str| {
        format!(
            "- rule: {name}\n  desc: d\n  output: o\n  priority: {priority}\n  condition: proc.name = bash\n"
        )
    };
    let text = [of("a", "NOTICE"), of("b", "ERROR"), of("c", "ERROR"), of("d", "WARNING")].concat();
    for (rule_matching, expected) in [
        (RuleMatching::First, &["a"][..]),
        (RuleMatching::All, &["a", "b", "c", "d"]),
        (RuleMatching::MostSevere, &["b"]),
    ] {
        let options = LoadOptions { rule_matching, ..LoadOptions::default() };
        let rules = load_files(&[&text], &options).rules.expect("valid");
        assert_eq!(matches(&rules, &bash()), expected, "{rule_matching:?}");
        let names: Vec<&str> = rules.rules().iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }
}

#[test]
fn selection_and_priority() {
    let text = "- rule: shell one\n  desc: d\n  output: o\n  priority: NOTICE\n  condition: proc.name = bash\n  tags: [a]\n\
                - rule: shell two\n  desc: d\n  output: o\n  priority: DEBUG\n  condition: proc.name = bash\n  tags: [b]\n\
                - rule: off\n  desc: d\n  output: o\n  priority: ERROR\n  condition: proc.name = bash\n  enabled: false\n";
    let by = |enable, by| Selection { enable, by };
    let name = |pattern: &str| Selector::Rule(pattern.to_owned());
    let tag = |tag: &str| Selector::Tag(tag.to_owned());
    let rows: Vec<(Vec<Selection>, Priority, &[&str])> = vec![
        (vec![], Priority::Debug, &["shell one", "shell two"]),
        (vec![], Priority::Notice, &["shell one"]),
        (vec![by(false, name("shell*"))], Priority::Debug, &[]),
        (vec![by(false, tag("a"))], Priority::Debug, &["shell two"]),
        (vec![by(true, name("off"))], Priority::Debug, &["shell one", "shell two", "off"]),
        (vec![by(true, name("off"))], Priority::Critical, &[]),
        (vec![by(false, name("*")), by(true, tag("b"))], Priority::Debug, &["shell two"]),
        (vec![by(true, tag("b")), by(false, name("*"))], Priority::Debug, &[]),
    ];
    for (selection, priority, expected) in rows {
        let shown = format!("{selection:?} {priority:?}");
        let options = LoadOptions { rule_matching: RuleMatching::All, priority, selection };
        let set = load_files(&[text], &options).rules.expect("valid");
        assert_eq!(matches(&set, &bash()), expected, "{shown}");
    }
}

#[test]
fn what_each_kind_of_mistake_is_reported_as() {
    let r = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n";
    let cond = "  condition: evt.type = execve\n";
    let rows: Vec<(String, Code, u32)> = vec![
        // Errors.
        ("a: [".to_owned(), Code::YamlParse, 2),
        ("- rule: a\n  rule: b\n".to_owned(), Code::YamlParse, 2),
        ("a: b\n".to_owned(), Code::YamlValidate, 1),
        ("just text\n".to_owned(), Code::YamlValidate, 1),
        ("- x\n".to_owned(), Code::YamlValidate, 1),
        ("- list: l\n".to_owned(), Code::YamlValidate, 1),
        ("- list: l\n  items: x\n".to_owned(), Code::YamlValidate, 2),
        ("- list: l\n  items: [[a]]\n".to_owned(), Code::YamlValidate, 2),
        ("- macro: m\n".to_owned(), Code::YamlValidate, 1),
        ("- macro: m\n  condition:\n".to_owned(), Code::YamlValidate, 2),
        ("- rule: r\n".to_owned(), Code::YamlValidate, 1),
        ("- rule: r\n  condition: evt.type = execve\n".to_owned(), Code::YamlValidate, 1),
        (format!("{r}{cond}  enabled: perhaps\n"), Code::YamlValidate, 6),
        (format!("{}{cond}", r.replace("INFO", "IMPORTANT")), Code::YamlValidate, 4),
        (format!("{r}{cond}  tags: a\n"), Code::YamlValidate, 6),
        (
            format!(
                "{r}{cond}- rule: r\n  condition: x\n  append: true\n  override: {{condition: append}}\n"
            ),
            Code::YamlValidate,
            8,
        ),
        (
            format!("{r}{cond}- rule: r\n  desc: x\n  condition: or x\n  override: {{condition: append}}\n"),
            Code::YamlValidate,
            7,
        ),
        (
            format!("{r}{cond}- rule: r\n  desc: x\n  override: {{desc: append, output: append}}\n"),
            Code::YamlValidate,
            8,
        ),
        (
            format!("{r}{cond}- rule: r\n  priority: INFO\n  override: {{priority: append}}\n"),
            Code::YamlValidate,
            8,
        ),
        (format!("{r}{cond}- rule: r\n  desc: x\n  override: {{desc: change}}\n"), Code::YamlValidate, 8),
        (
            format!("{r}{cond}- rule: r\n  source: x\n  override: {{source: replace}}\n"),
            Code::YamlValidate,
            8,
        ),
        ("- required_engine_version: 99\n".to_owned(), Code::Validate, 1),
        ("- required_engine_version: x\n".to_owned(), Code::YamlValidate, 1),
        (
            "- required_plugin_versions:\n  - name: container\n    version: 99.0.0\n".to_owned(),
            Code::Validate,
            3,
        ),
        (
            "- required_plugin_versions:\n  - name: cloudtrail\n    version: 0.1.0\n".to_owned(),
            Code::Extension,
            2,
        ),
        ("- required_plugin_versions:\n  - name: json\n    version: x\n".to_owned(), Code::Validate, 3),
        ("- rule: r\n  append: true\n  condition: or x\n".to_owned(), Code::Validate, 1),
        ("- macro: m\n  condition: or x\n  override: {condition: append}\n".to_owned(), Code::Validate, 1),
        ("- list: l\n  items: [x]\n  append: true\n".to_owned(), Code::Validate, 1),
        ("- rule: r\n  enabled: false\n".to_owned(), Code::Validate, 1),
        (format!("{r}{cond}{r}{cond}  source: k8s_audit\n"), Code::Validate, 6),
        (format!("{r}  condition: evt.type =\n"), Code::CompileCondition, 5),
        (format!("{r}  condition: evt.type = nonsense\n"), Code::CompileCondition, 5),
        (format!("{r}  condition: proc.nme = x\n"), Code::CompileCondition, 5),
        (format!("{r}  condition: fd.num = x\n"), Code::CompileCondition, 5),
        (format!("{r}  condition: proc.name > 5\n"), Code::CompileCondition, 5),
        (format!("{r}  condition: evt.buffer bcontains xyz\n"), Code::CompileCondition, 5),
        (format!("{r}  condition: proc.name regex \"(\"\n"), Code::CompileCondition, 5),
        (format!("{}{cond}", r.replace("output: o", "output: \"%proc.nme\"")), Code::CompileOutput, 3),
        (format!("{}{cond}", r.replace("output: o", "output: 100%")), Code::CompileOutput, 3),
        // Warnings.
        (format!("{r}{cond}  source: nowhere\n"), Code::UnknownSource, 6),
        (format!("{r}  source: k8s_audit\n  condition: ka.verb = <NA>\n"), Code::UnsafeNaCheck, 6),
        (format!("{r}  condition: proc.name = x\n"), Code::NoEvtType, 5),
        (format!("{r}  condition: proc.nme = x\n  skip-if-unknown-filter: true\n"), Code::UnknownFilter, 5),
        ("- macro: m\n  condition: proc.name = x\n".to_owned(), Code::UnusedMacro, 1),
        ("- list: l\n  items: [x]\n".to_owned(), Code::UnusedList, 1),
        ("- lst: l\n  items: [x]\n".to_owned(), Code::UnknownItem, 1),
        (format!("{r}{cond}- rule: r\n  enabled: false\n"), Code::DeprecatedItem, 7),
        (
            format!("{r}{cond}- rule: r\n  append: true\n  condition: or fd.num = 1\n"),
            Code::DeprecatedItem,
            7,
        ),
        (format!("{}{cond}", r.replace("output: o", "output: a %container.info")), Code::DeprecatedItem, 3),
        (format!("{}{cond}", r.replace("output: o", "output: a evt.dir=%evt.dir")), Code::DeprecatedItem, 3),
        (format!("{r}  condition: evt.type = open and evt.dir = <\n"), Code::DeprecatedItem, 5),
        (format!("{r}{cond}  capture: true\n"), Code::WarningExtension, 6),
        (
            format!(
                "{r}{cond}  exceptions: [{{name: e, fields: proc.name}}, {{name: e, fields: fd.name}}]\n"
            ),
            Code::ExceptionNameNotUnique,
            6,
        ),
        (
            format!(
                "{r}{cond}  exceptions: [{{name: e, fields: proc.name}}]\n- rule: r\n  append: true\n  exceptions: [{{name: e}}]\n"
            ),
            Code::AppendNoValues,
            9,
        ),
        ("- macro: m-x\n  condition: proc.name = x\n".to_owned(), Code::InvalidMacroName, 1),
        ("- list: l(x\n  items: [x]\n".to_owned(), Code::InvalidListName, 1),
        (
            format!("{r}  condition: evt.type = execve and proc.name = proc.pname\n"),
            Code::ConditionWarning,
            5,
        ),
        (format!("{r}{cond}  enable: true\n"), Code::UnknownKey, 6),
    ];
    let mut seen: Vec<Code> = vec![Code::FileRead];
    for (text, code, line) in rows {
        let load = load_text(&text);
        assert!(
            codes(&load).contains(&(code, line)),
            "{text}\nexpected {code:?} at {line}: {:#?}",
            load.diagnostics
        );
        let failed = load.diagnostics.iter().any(|found| found.severity == crate::rules::Severity::Error);
        assert_eq!(load.rules.is_none(), failed, "{text}");
        seen.push(code);
    }
    for code in Code::ALL {
        assert!(seen.contains(code), "{code:?} has a row");
    }
}

#[test]
fn every_error_is_reported_not_only_the_first() {
    let text = "- macro: m\n  condition: proc.nme = x and fd.nam = y\n\
                - rule: r\n  desc: d\n  output: \"%proc.nmae\"\n  priority: INFO\n  condition: m and fd.num = x\n\
                - rule: s\n  desc: d\n  output: o\n  priority: LOW\n  condition: (\n";
    let load = load_text(text);
    let expected = [
        (Code::CompileCondition, 2),
        (Code::CompileCondition, 2),
        (Code::CompileOutput, 5),
        (Code::CompileCondition, 7),
        (Code::YamlValidate, 11),
        (Code::CompileCondition, 12),
    ];
    assert_eq!(codes(&load), expected, "{:#?}", load.diagnostics);
}

#[test]
fn an_error_in_one_key_hides_none_in_another_and_makes_nothing_look_unused() {
    let used = "- macro: m\n  condition: proc.name in (l)\n- list: l\n  items: [a]\n";
    let rule = "- rule: r\n  desc: d\n  condition: evt.type = open and m and proc.nme = x\n  output: \"%proc.nmae\"\n";
    let wrong = [Code::CompileCondition, Code::CompileOutput];
    for (key, code) in [
        ("  priority: LOW\n", Some(Code::YamlValidate)),
        ("", Some(Code::YamlValidate)),
        ("  priority: INFO\n  tags: x\n", Some(Code::YamlValidate)),
        ("  priority: INFO\n  enabled: perhaps\n", Some(Code::YamlValidate)),
        (
            "  priority: INFO\n  exceptions: [{name: e, fields: [proc.name, fd.name], values: [[{}, x]]}]\n",
            Some(Code::YamlValidate),
        ),
        ("  priority: INFO\n", None),
    ] {
        let load = load_text(&format!("{used}{rule}{key}"));
        let mut found: Vec<Code> = codes(&load).into_iter().map(|(code, _)| code).collect();
        let mut expected: Vec<Code> = wrong.into_iter().chain(code).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{key}: {:#?}", load.diagnostics);
    }
    // What was meant to change a rule is not taken for a definition that lacks keys.
    let load = load_text("- rule: r\n  condition: and x.y = z\n  override: {condition: add}\n");
    assert_eq!(codes(&load), [(Code::YamlValidate, 3)], "{:#?}", load.diagnostics);
}

#[test]
fn a_broken_item_is_reported_once_and_not_its_users() {
    let text = "- macro: m\n  condition: (\n- macro: n\n  condition: m\n\
                - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: n\n\
                - macro: k\n  conditions: x\n- rule: s\n  desc: d\n  output: o\n  priority: INFO\n  condition: k\n";
    let load = load_text(text);
    let errors: Vec<u32> = (load.diagnostics.iter())
        .filter(|found| found.severity == crate::rules::Severity::Error)
        .map(|found| found.line)
        .collect();
    assert_eq!(errors, [2, 10], "{:#?}", load.diagnostics);
}

#[test]
fn a_rule_with_unknown_names_may_be_skipped() {
    let r = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  skip-if-unknown-filter: true\n";
    let skipped = load_text(&format!("{r}  condition: evt.type = execve and proc.nme = x\n"));
    assert_eq!(skipped.rules.map(|set| set.rules().len()), Some(0));
    // Other errors are not forgiven.
    let failed = load_text(&format!("{r}  condition: evt.type = execve and proc.nme = x and fd.num = y\n"));
    assert!(failed.rules.is_none());
}

#[test]
fn what_matches_few_types_is_not_warned_about() {
    let r = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n";
    let rows = [
        ("evt.type = execve", false),
        ("evt.type in (open, openat) and proc.name = x", false),
        ("proc.name = x", true),
        ("evt.type = open or proc.name = x", true),
        ("not evt.type = open", true),
        ("not evt.type = open and evt.type in (open, openat)", false),
        ("evt.type != open and not (evt.type != openat)", false),
    ];
    for (condition, warned) in rows {
        let load = load_text(&format!("{r}  condition: {condition}\n"));
        assert_eq!(load.diagnostics.iter().any(|found| found.code == Code::NoEvtType), warned, "{condition}");
        let quiet = load_text(&format!("{r}  condition: {condition}\n  warn_evttypes: false\n"));
        assert!(quiet.diagnostics.is_empty(), "{condition}");
    }
}

#[test]
fn requirements_name_types_and_fields() {
    let set = rules(
        "- rule: r\n  desc: d\n  output: \"%proc.name\"\n  priority: INFO\n\
         \x20 condition: (evt.type = open and fd.num >= 0) or (evt.type = execve and proc.name = x) or evt.num = 0\n\
         - rule: off\n  desc: d\n  output: o\n  priority: INFO\n  enabled: false\n  condition: evt.type = bpf\n",
    );
    let scheme = crate::fields::scheme();
    let shown: Vec<(&str, Vec<String>)> = (set.requirements().types.iter())
        .map(|(ty, fields)| {
            let mut names: Vec<_> =
                fields.iter().map(|field| crate::rules::field_name(scheme, field)).collect();
            names.sort();
            (ty.name(), names)
        })
        .collect();
    let name = |name: &str| name.to_owned();
    assert_eq!(
        shown,
        [("execve", vec![name("proc.name")]), ("open", vec![name("fd.num"), name("proc.name")])]
    );
}
