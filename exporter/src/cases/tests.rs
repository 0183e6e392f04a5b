//! Case files, good and bad, and runs over a small rule set.

use super::*;
use crate::rules::{Diagnostic, LoadOptions, RuleMatching, RuleSet, SourceFile, load};

fn file(text: &str) -> SourceFile {
    SourceFile { name: "cases.yaml".into(), text: text.into() }
}

fn cases(text: &str) -> Vec<Case> {
    parse(&file(text)).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn rules() -> RuleSet {
    let text = "
- rule: Shadow read
  desc: d
  condition: evt.type = openat and fd.name = /etc/shadow
  output: shadow read | file=%fd.name pid=%proc.pid
  priority: WARNING
- rule: Any open
  desc: d
  condition: evt.type = openat and proc.aname in (sshd)
  output: opened %fd.name
  priority: NOTICE
";
    let rules = SourceFile { name: "rules.yaml".into(), text: text.into() };
    let load = load(&[rules], &LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() });
    load.rules.unwrap_or_else(|| panic!("{:#?}", load.diagnostics))
}

#[test]
fn every_error_is_reported_with_its_place() {
    // (case file, (line, column, part of the message, suggestion) of each error)
    type Error = (u32, u32, &'static str, Option<&'static str>);
    let rows: &[(&str, &[Error])] = &[
        ("name: x\n", &[(1, 1, "a case file is a list of cases, not a mapping", None)]),
        ("- x\n", &[(1, 3, "a case is a mapping, not 'x'", None)]),
        ("- name: [\n", &[(2, 1, "", None)]),
        ("- type: openat\n  rules: []\n", &[(1, 3, "the case has no name", None)]),
        ("- name: a\n  rules: []\n", &[(1, 3, "the case has no type", None)]),
        ("- name: a\n  type: openat\n", &[(1, 3, "does not say which rules must fire", None)]),
        (
            "- name: a\n  typ: openat\n  type: opnat\n  rules: []\n",
            &[
                (2, 3, "unknown key 'typ'", Some("type")),
                (3, 9, "unknown event type 'opnat'", Some("openat")),
            ],
        ),
        (
            "- name: a\n  source: syscal\n  type: openat\n  rules: x\n",
            &[(2, 11, "unknown source 'syscal'", Some("syscall")), (4, 10, "rules must be a list", None)],
        ),
        (
            "- name: a\n  type: openat\n  event: {verb: get}\n  rules: []\n",
            &[(3, 10, "event is for cases of source k8s_audit", None)],
        ),
        ("- name: a\n  event: [x]\n  rules: []\n", &[(2, 10, "event must be a mapping or JSON text", None)]),
        ("- name: a\n  event: '{'\n  rules: []\n", &[(2, 10, "event EOF while parsing", None)]),
        (
            "- name: a\n  event: {1: x}\n  rules: []\n",
            &[(2, 10, "event holds something that JSON has not", None)],
        ),
        ("- name: a\n  source: k8s_audit\n  type: openat\n  rules: []\n", &[(3, 9, "have no type", None)]),
        (
            "- name: a\n  type: openat\n  rules: []\n- name: a\n  type: openat\n  rules: []\n",
            &[(4, 9, "another case is called 'a'", None)],
        ),
        (
            "- name: a\n  like: b\n  rules: []\n- name: b\n  type: openat\n  rules: []\n",
            &[(2, 9, "no case before this one is called 'b'", None)],
        ),
        // What is like a wrong case is not reported for it again.
        (
            "- name: a\n  type: opnat\n  rules: []\n- name: b\n  like: a\n  rules: []\n",
            &[(2, 9, "unknown event type", Some("openat"))],
        ),
        (
            "- name: a\n  type: openat\n  rules: []\n  fields:\n    proc.nmae: x\n    evt.type: open\n    \
             evt.arg.flag: x\n    proc.name[2]: x\n    fd.types: [x]\n",
            &[
                (5, 5, "unknown field 'proc.nmae'", Some("proc.name")),
                (6, 5, "evt.type is what the case's type says", None),
                (7, 5, "no event type has an argument 'flag'", Some("flags")),
                (8, 5, "takes no argument", None),
                (9, 5, "known but not provided", None),
            ],
        ),
        (
            "- name: a\n  type: openat\n  rules: []\n  fields:\n    proc.name: 7\n    proc.pid: x\n    \
             evt.is_open_read: 1\n    proc.tty: -1\n    fd.sport: 70000\n    fd.sip: 1.2.3\n    \
             proc.exe: [x]\n    proc.aname: [sh, 7]\n    proc.duration: 2s\n",
            &[
                (5, 16, "proc.name is text: write '7' in quotes", None),
                (6, 15, "proc.pid must be a whole number", None),
                (7, 23, "evt.is_open_read must be true or false, not '1'", None),
                (8, 15, "proc.tty must be a whole number from 0", None),
                (9, 15, "fd.sport must be a port number", None),
                (10, 13, "fd.sip must be an IP address", None),
                (11, 15, "proc.exe has one value, not a list", None),
                (12, 22, "proc.aname is text", None),
                (13, 20, "proc.duration must be a duration in nanoseconds", None),
            ],
        ),
        (
            "- name: a\n  type: openat\n  rules: [A, B]\n  output: text\n",
            &[(4, 11, "output is text for a case with one rule", None)],
        ),
        (
            "- name: a\n  type: openat\n  rules: [A]\n  output: {B: text}\n",
            &[(4, 12, "'B' is not among the case's rules", None)],
        ),
        (
            "- name: a\n  type: openat\n  rules: [A]\n  output_fields: {fd.name: [x]}\n",
            &[(4, 28, "fd.name must be one value", None)],
        ),
    ];
    for (text, expected) in rows {
        let errors = parse(&file(text)).expect_err(text);
        let places: Vec<(u32, u32)> = errors.iter().map(|error| (error.line, error.column)).collect();
        let wanted: Vec<(u32, u32)> = expected.iter().map(|error| (error.0, error.1)).collect();
        assert_eq!(places, wanted, "{text}\n{errors:#?}");
        for (error, (_, _, message, suggestion)) in errors.iter().zip(*expected) {
            assert!(error.message.contains(message), "{text}: {} is not {message}", error.message);
            assert_eq!(error.suggestion.as_deref(), *suggestion, "{text}");
        }
    }
}

#[test]
fn an_audit_case_gives_an_event_and_a_later_one_patches_it() {
    let text = r#"
- name: hit
  event:
    verb: get
    user: {username: eve, groups: [a, b]}
    objectRef: {resource: secrets, name: db}
  rules: [Secret read]
  output: eve read db of <NA>
- name: a field beside it
  like: hit
  fields: {ka.target.namespace: shop}
  rules: [Secret read]
  output: eve read db of shop
- name: patched
  like: hit
  event: {user: {username: ~}}
  rules: [Secret read]
  output: <NA> read db of <NA>
- name: as JSON
  event: '{"verb":"list","objectRef":{"resource":"secrets"}}'
  rules: []
"#;
    let rule = "
- rule: Secret read
  desc: d
  source: k8s_audit
  condition: ka.verb = get and ka.target.resource = secrets
  output: \"%ka.user.name read %ka.target.name of %ka.target.namespace\"
  priority: NOTICE
";
    let load = load(&[file(rule)], &LoadOptions::default());
    let report = run(&parse(&file(text)).expect("cases"), &load.rules.expect("rules"));
    assert!(report.passed(), "{report}");
}

#[test]
fn an_error_shows_the_line_and_a_caret() {
    let errors = parse(&file("- name: a\n  type: opnat\n  rules: []\n")).expect_err("a wrong type");
    let text = errors.iter().map(Diagnostic::to_string).collect::<String>();
    for part in
        ["cases.yaml:2:9", "unknown event type 'opnat'", "|   type: opnat", "^^^^^", "did you mean 'openat'?"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_case_is_evaluated_on_its_fields_alone() {
    let text = "
- name: hit
  type: openat
  fields: {fd.name: /etc/shadow, proc.pid: 7}
  rules: [Shadow read]
  output: shadow read | file=/etc/shadow pid=7
  output_fields: {fd.name: /etc/shadow, proc.pid: 7}
- name: two rules
  like: hit
  fields: {proc.aname: [bash, sshd]}
  rules: [Any open, Shadow read]
  output: {Any open: opened /etc/shadow}
- name: one value where several could be
  like: hit
  fields: {fd.name: ~, proc.aname: sshd}
  rules: [Any open]
- name: a field is taken away
  like: hit
  fields: {fd.name: ~}
  rules: []
- name: another type
  like: hit
  type: open
  rules: []
";
    let report = run(&cases(text), &rules());
    assert!(report.passed(), "{report}");
    assert_eq!(report.cases, 5);
}

#[test]
fn a_failure_says_what_was_expected_and_what_happened() {
    let text = "
- name: too much and too little
  type: openat
  fields: {fd.name: /etc/shadow, proc.pid: 7}
  rules: [Any open]
- name: other output
  type: openat
  fields: {fd.name: /etc/shadow, proc.pid: 7}
  rules: [Shadow read]
  output: shadow read | file=/etc/shadow pid=8
  output_fields: {proc.pid: 8, proc.name: x}
";
    let report = run(&cases(text), &rules());
    assert!(!report.passed());
    let expected = "\
cases.yaml:2:3: failed: too much and too little
    did not fire: Any open
      decided by proc.aname, which the case does not give
    fired, and must not: Shadow read
cases.yaml:6:3: failed: other output
    other output of Shadow read:
      expected shadow read | file=/etc/shadow pid=8
      found    shadow read | file=/etc/shadow pid=7
                                                  ^
    other output of Shadow read, field proc.pid:
      expected 8
      found    7
    other output of Shadow read, field proc.name:
      expected \"x\"
      found    (not in the output)
2 cases, 0 passed, 2 failed";
    assert_eq!(report.to_string(), expected);
    let json = serde_json::to_value(&report).expect("a report is JSON");
    assert_eq!(json["failures"][0]["missing"][0]["rule"], "Any open");
    assert_eq!(json["failures"][1]["output"][1]["field"], "proc.pid");
}

#[test]
fn a_rule_that_does_not_exist_is_an_error() {
    let text = "- name: a\n  type: openat\n  rules: [Shadow reed]\n";
    let errors = check_names(&file(text), &cases(text), &rules());
    let found: Vec<_> = errors.iter().map(|e| (e.line, e.column, e.suggestion.as_deref())).collect();
    assert_eq!(found, [(3, 11, Some("Shadow read"))]);
}

#[test]
fn coverage_wants_a_hit_and_a_near_miss() {
    let hit = "
- name: hit
  type: openat
  fields: {fd.name: /etc/shadow, proc.pid: 7, proc.name: cat, proc.exe: cat, proc.cmdline: cat}
  rules: [Shadow read]
";
    // (added to the hit, whether that is a near miss)
    let rows = [
        ("", false),
        ("- {name: near, like: hit, fields: {fd.name: /etc/passwd}, rules: []}\n", true),
        ("- {name: other type, like: hit, type: open, rules: []}\n", false),
        ("- {name: not read at all, type: openat, fields: {proc.name: x}, rules: []}\n", true),
        ("- {name: two reasons, type: open, fields: {fd.name: /x}, rules: []}\n", false),
    ];
    for (added, near) in rows {
        let coverage = coverage(&cases(&format!("{hit}{added}")), &rules());
        assert_eq!(coverage.without_positive, ["Any open"], "{added}");
        assert_eq!(!coverage.without_negative.contains(&"Shadow read".to_owned()), near, "{added}");
        assert!(!coverage.is_complete());
    }
}
