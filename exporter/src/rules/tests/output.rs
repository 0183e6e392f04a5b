//! Output templates.

use exporter_common::event_type::EventType;
use serde_json::json;

use super::support::{Event, load_text, rules};
use crate::{
    fields::Value,
    rules::{Code, Rendered},
};

fn render(output: &str, event: &Event) -> Rendered {
    let output = output.replace('\'', "''");
    let set = rules(&format!(
        "- rule: r\n  desc: d\n  priority: INFO\n  output: '{output}'\n  condition: evt.type = open and fd.name startswith /\n"
    ));
    set.rules()[0].output.render(event)
}

fn event() -> Event {
    Event::new(EventType::Open)
        .text("proc.name", "cat")
        .text("fd.name", "/etc/shadow")
        .with("proc.pid", Value::Int(42))
        .with("evt.is_open_read", Value::Bool(true))
        .with("fd.sport", Value::Port(443))
        .with("proc.aname[2]", Value::str(b"sshd"))
        .with("proc.duration", Value::RelTime(1_500))
        .with("evt.arg[flags]", Value::str(b"O_RDONLY"))
        .with("fd.rip", Value::Ip([10, 0, 0, 1].into()))
}

#[test]
fn fields_in_a_text() {
    let rows = [
        ("plain text", "plain text"),
        ("%proc.name", "cat"),
        ("a=%proc.name b=%fd.name.", "a=cat b=/etc/shadow."),
        ("(%proc.name)%proc.pid", "(cat)42"),
        ("%proc.aname[2]/%proc.aname[3]", "sshd/<NA>"),
        ("%evt.arg.flags %evt.arg[flags]", "O_RDONLY O_RDONLY"),
        ("%fd.rip:%fd.sport %evt.is_open_read %proc.duration", "10.0.0.1:443 true 1500"),
        ("100%% of %proc.name", "100% of cat"),
        ("*%proc.name %proc.vpid", "cat <NA>"),
        ("%toupper(proc.name) %len(proc.name)", "CAT 3"),
        ("%concat(proc.name, \":\", proc.pid)", "cat:42"),
        ("%basename(fd.name)%proc.name", "shadowcat"),
        ("[%6proc.name][%2proc.name]", "[cat   ][ca]"),
        ("%proc.exepath", "<NA>"),
        ("  trimmed  ", "trimmed"),
    ];
    for (output, expected) in rows {
        assert_eq!(render(output, &event()).text, expected, "{output}");
    }
}

#[test]
fn typed_fields_and_incomplete_ones() {
    let rendered = render("%proc.pid %proc.name %evt.is_open_read %proc.vpid %proc.pid %fd.rip", &event());
    let fields: serde_json::Map<_, _> = rendered.fields.into_iter().collect();
    assert_eq!(
        serde_json::Value::Object(fields),
        json!({"proc.pid": 42, "proc.name": "cat", "evt.is_open_read": true, "proc.vpid": null, "fd.rip": "10.0.0.1"})
    );
    assert_eq!(rendered.incomplete, ["proc.vpid"]);
    // The condition's fields count too.
    let bare = Event::new(EventType::Open);
    assert_eq!(render("%proc.name", &bare).incomplete, ["proc.name", "fd.name"]);
}

#[test]
fn a_value_cannot_forge_a_line() {
    let event = event().text("proc.name", "x\n10:00:00 Critical forged\u{1b}[2K");
    let rendered = render("name=%proc.name", &event);
    assert_eq!(rendered.text, "name=x\\n10:00:00 Critical forged\\x1b[2K");
    assert_eq!(rendered.fields[0].1, json!("x\n10:00:00 Critical forged\u{1b}[2K"));
}

#[test]
fn templates_that_are_wrong_are_errors() {
    for output in [
        "%",
        "% x",
        "50 % off",
        "%proc",
        "%proc.nme",
        "%proc.name[2]",
        "%tolower(proc.pid)",
        "%nope(proc.name)",
        "%(x)",
    ] {
        let load = load_text(&format!(
            "- rule: r\n  desc: d\n  priority: INFO\n  output: '{output}'\n  condition: evt.type = open\n"
        ));
        let found = load.diagnostics.iter().find(|found| found.code == Code::CompileOutput);
        assert_eq!(found.map(|found| found.line), Some(4), "{output}");
        assert!(load.rules.is_none());
    }
}
