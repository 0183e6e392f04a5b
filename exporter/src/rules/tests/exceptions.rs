//! Exceptions: which events they take away from a rule.

use exporter_common::event_type::EventType;

use super::support::{Event, load_text, matches, rules};
use crate::rules::Code;

fn event() -> Event {
    Event::new(EventType::Openat)
        .text("proc.name", "my prog")
        .text("proc.cmdline", "my prog \"x\" (y)")
        .text("fd.name", "/etc/shadow")
}

const RULE: &str = "- list: names\n  items: [a, my prog]\n\
                    - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = openat or proc.name = x\n";

/// Whether the rule still matches [`event`] with this exception.
fn fires(exception: &str) -> bool {
    let text = format!("{RULE}  exceptions:\n  - {{name: e, {exception}}}\n");
    !matches(&rules(&text), &event()).is_empty()
}

#[test]
fn fields_comps_and_values() {
    let rows = [
        // No values: nothing is taken away.
        ("fields: proc.name", true),
        ("fields: [proc.name, fd.name]", true),
        ("fields: proc.name, values: []", true),
        // One field: `in` by default.
        ("fields: proc.name, values: [my prog]", false),
        ("fields: proc.name, values: [my, prog]", true),
        ("fields: proc.name, values: [names]", false),
        ("fields: proc.name, comps: in, values: [x, my prog]", false),
        ("fields: fd.name, comps: pmatch, values: [/etc]", false),
        ("fields: fd.name, comps: pmatch, values: [/usr]", true),
        ("fields: proc.name, comps: intersects, values: [my prog]", false),
        ("fields: fd.name, comps: startswith anyof, values: [/usr, /etc/]", false),
        ("fields: fd.name, comps: startswith allof, values: [/usr, /etc/]", true),
        ("fields: fd.name, comps: endswith oneof, values: [shadow, passwd]", false),
        // Values that need quotes.
        ("fields: proc.cmdline, values: ['my prog \"x\" (y)']", false),
        ("fields: proc.cmdline, values: ['\"my prog \\\"x\\\" (y)\"']", false),
        // Tuples: `=` by default.
        ("fields: [proc.name, fd.name], values: [[my prog, /etc/shadow]]", false),
        ("fields: [proc.name, fd.name], values: [[my prog, /etc/passwd]]", true),
        ("fields: [proc.name, fd.name], values: [[x, /etc/shadow], [my prog, /etc/shadow]]", false),
        ("fields: [proc.name, fd.name], comps: [=, startswith], values: [[my prog, /etc]]", false),
        ("fields: [proc.name, fd.name], comps: [in, '='], values: [[[x, my prog], /etc/shadow]]", false),
        ("fields: [proc.name, fd.name], comps: [in, '='], values: [[my prog, /etc/shadow]]", false),
        (
            "fields: [proc.name, fd.name], comps: [in, '='], values: [['(x, \"my prog\")', /etc/shadow]]",
            false,
        ),
        ("fields: [proc.name, fd.name], comps: [in, '='], values: [[names, /etc/shadow]]", false),
        (
            "fields: [proc.name, fd.name], comps: [startswith anyof, contains], values: [[[x, my], shad]]",
            false,
        ),
        ("fields: [proc.name], values: [[my prog]]", false),
        // The whole condition is meant, not its last alternative.
        ("fields: fd.name, values: [/etc/shadow]", false),
    ];
    for (exception, expected) in rows {
        assert_eq!(fires(exception), expected, "{exception}");
    }
}

#[test]
fn a_value_cannot_break_out() {
    // Unquoted, this would turn the exception into one for everything.
    for value in ["x) or (evt.type = openat", "x, my prog", "x\" or evt.type = openat or \"", "x\\"] {
        let quoted = value.replace('\'', "''");
        assert!(fires(&format!("fields: proc.name, values: ['{quoted}']")), "{value}");
        assert!(fires(&format!("fields: [proc.name], values: [['{quoted}']]")), "{value}");
    }
}

#[test]
fn appending() {
    let base = format!("{RULE}  exceptions:\n  - {{name: e, fields: proc.name, values: [x]}}\n");
    let append = "- rule: r\n  override: {exceptions: append}\n  exceptions:\n  - ";
    let replace = "- rule: r\n  override: {exceptions: replace}\n  exceptions:\n  - ";
    let rows = [
        (append, "{name: e, values: [my prog]}", false),
        (append, "{name: f, fields: fd.name, values: [/etc/shadow]}", false),
        (append, "{name: f, fields: fd.name, values: [/etc/passwd]}", true),
        (replace, "{name: e, fields: fd.name, values: [/etc/shadow]}", false),
        (replace, "{name: e, fields: fd.name, values: [x]}", true),
    ];
    for (how, exception, expected) in rows {
        let set = rules(&format!("{base}{how}{exception}\n"));
        assert_eq!(!matches(&set, &event()).is_empty(), expected, "{exception}");
    }
    let bad = [
        "{name: e, fields: proc.name, values: [x]}",
        "{name: e, comps: in, values: [x]}",
        "{name: f, values: [x]}",
        "{name: f, fields: fd.name}",
    ];
    for exception in bad {
        let load = load_text(&format!("{base}{append}{exception}\n"));
        let reported = load.diagnostics.iter().any(|found| found.code == Code::Validate && found.line == 13);
        assert!(reported, "{exception}: {:?}", load.diagnostics);
    }
}

#[test]
fn exceptions_that_make_no_sense_are_errors() {
    let rows = [
        ("values: [x]", Code::Validate, "fields"),
        ("fields: proc.name, comps: [in], values: [x]", Code::Validate, "single"),
        ("fields: proc.name, comps: '=', values: [x]", Code::Validate, "in, pmatch, intersects"),
        ("fields: proc.name, comps: startswith, values: [x]", Code::Validate, "in, pmatch, intersects"),
        ("fields: proc.name, comps: in anyof, values: [x]", Code::Validate, "in, pmatch, intersects"),
        ("fields: proc.name, values: [[x]]", Code::Validate, "single"),
        ("fields: [proc.name], comps: in, values: [[x]]", Code::Validate, "sequence"),
        ("fields: [proc.name, fd.name], comps: [in], values: [[x, y]]", Code::Validate, "2 entries"),
        ("fields: [proc.name], comps: [like], values: [[x]]", Code::Validate, "'like'"),
        ("fields: [proc.name, fd.name], values: [[x]]", Code::Validate, "2 entries"),
        ("fields: [proc.name, fd.name], values: [x]", Code::Validate, "has 0"),
        ("fields: proc.nme, values: [x]", Code::CompileCondition, "proc.nme"),
        ("fields: proc.nme", Code::Validate, "proc.nme"),
        ("fields: fd.num, values: [x]", Code::CompileCondition, "'x'"),
        ("fields: proc.name, values: {a: b}", Code::YamlValidate, "sequence"),
    ];
    for (exception, code, message) in rows {
        let load = load_text(&format!("{RULE}  exceptions:\n  - {{name: e, {exception}}}\n"));
        let found =
            load.diagnostics.iter().find(|found| found.code == code && found.message.contains(message));
        let found = found.unwrap_or_else(|| panic!("{exception}: {:#?}", load.diagnostics));
        assert_eq!((found.line, found.item.as_deref()), (9, Some("rule 'r'")), "{exception}");
    }
}
