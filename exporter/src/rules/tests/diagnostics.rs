//! What a rule author sees: place, line, caret, suggestion. Each row is compared whole.

use super::support::load_text;

/// What loading prints, problem by problem.
fn printed(text: &str) -> String {
    let printed: Vec<String> = load_text(text).diagnostics.iter().map(ToString::to_string).collect();
    printed.join("\n")
}

#[test]
fn carets_point_at_what_is_wrong() {
    let rows: &[(&str, &str)] = &[
        (
            "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = open and proc.nme = x\n",
            "error[LOAD_ERR_COMPILE_CONDITION]: unknown field 'proc.nme'\n\
             \x20--> 1.yaml:5:34 in rule 'r'\n\
             \x20 |\n\
             5 |   condition: evt.type = open and proc.nme = x\n\
             \x20 |                                  ^^^^^^^^\n\
             \x20 = help: did you mean 'proc.name'?",
        ),
        // In a folded block, inside a macro, on a later line.
        (
            "- macro: m\n  condition: >\n    proc.name = x\n    and fd.num = four\n\
             - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = open and m\n",
            "error[LOAD_ERR_COMPILE_CONDITION]: 'four' cannot be compared with a field of type int64\n\
             \x20--> 1.yaml:4:18 in macro 'm'\n\
             \x20 |\n\
             4 |     and fd.num = four\n\
             \x20 |                  ^^^^\n\
             \x20 = expected an integer",
        ),
        // In a list's item, where the list is defined.
        (
            "- list: ports\n  items: [80, eighty]\n\
             - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = connect and fd.sport in (ports)\n",
            "error[LOAD_ERR_COMPILE_CONDITION]: 'eighty' cannot be compared with a field of type port\n\
             \x20--> 1.yaml:2:15 in rule 'r'\n\
             \x20 |\n\
             2 |   items: [80, eighty]\n\
             \x20 |               ^^^^^^\n\
             \x20 = expected a port number",
        ),
        // In quotes with escapes.
        (
            "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: \"proc.name = \\\"a\\\" and fd.nme = x\"\n  warn_evttypes: false\n",
            "error[LOAD_ERR_COMPILE_CONDITION]: unknown field 'fd.nme'\n\
             \x20--> 1.yaml:5:37 in rule 'r'\n\
             \x20 |\n\
             5 |   condition: \"proc.name = \\\"a\\\" and fd.nme = x\"\n\
             \x20 |                                     ^^^^^^\n\
             \x20 = help: did you mean 'fd.name'?",
        ),
        (
            "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: proc.name contian x\n",
            "error[LOAD_ERR_COMPILE_CONDITION]: unknown operator 'contian'\n\
             \x20--> 1.yaml:5:24 in rule 'r'\n\
             \x20 |\n\
             5 |   condition: proc.name contian x\n\
             \x20 |                        ^^^^^^^\n\
             \x20 = expected one of exists <= < >= > = != glob iglob contains icontains bcontains startswith \
             bstartswith endswith regex intersects in pmatch\n\
             \x20 = help: did you mean 'contains'?",
        ),
        (
            "- macro: known\n  condition: proc.name = x\n\
             - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = open and (knwon or known)\n",
            "error[LOAD_ERR_VALIDATE]: undefined macro 'knwon'\n\
             \x20--> 1.yaml:7:35 in rule 'r'\n\
             \x20 |\n\
             7 |   condition: evt.type = open and (knwon or known)\n\
             \x20 |                                   ^^^^^\n\
             \x20 = help: did you mean 'known'?",
        ),
        (
            "- macro: also\n  condition: proc.name = x\n",
            "warning[LOAD_UNUSED_MACRO]: macro 'also' is not used by any rule or macro\n\
             \x20--> 1.yaml:1:10\n\
             \x20 |\n\
             1 | - macro: also\n\
             \x20 |          ^^^^",
        ),
        (
            "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: (evt.type = open and (fd.num = 3)\n",
            "error[LOAD_ERR_COMPILE_CONDITION]: the parenthesis is never closed\n\
             \x20--> 1.yaml:5:14 in rule 'r'\n\
             \x20 |\n\
             5 |   condition: (evt.type = open and (fd.num = 3)\n\
             \x20 |              ^\n\
             \x20 = expected ')'",
        ),
        (
            "- rule: r\n  desc: d\n  output: name=%proc.nmae x\n  priority: INFO\n  condition: evt.type = open\n",
            "error[LOAD_ERR_COMPILE_OUTPUT]: unknown field 'proc.nmae'\n\
             \x20--> 1.yaml:3:17 in rule 'r'\n\
             \x20 |\n\
             3 |   output: name=%proc.nmae x\n\
             \x20 |                 ^^^^^^^^^\n\
             \x20 = help: did you mean 'proc.name'?",
        ),
        (
            "- rule: r\n  desc: d\n  output: o\n  priority: WARNNG\n  condition: evt.type = open\n",
            "error[LOAD_ERR_YAML_VALIDATE]: unknown priority 'WARNNG'\n\
             \x20--> 1.yaml:4:13 in rule 'r'\n\
             \x20 |\n\
             4 |   priority: WARNNG\n\
             \x20 |             ^^^^^^\n\
             \x20 = expected one of Emergency Alert Critical Error Warning Notice Informational Debug\n\
             \x20 = help: did you mean 'warning'?",
        ),
        (
            "- rule: r\n  desc: d\n  output: o\n  prioritty: INFO\n  priority: INFO\n  condition: evt.type = open\n",
            "warning[LOAD_UNKNOWN_KEY]: unknown key 'prioritty', ignored\n\
             \x20--> 1.yaml:4:3 in rule 'r'\n\
             \x20 |\n\
             4 |   prioritty: INFO\n\
             \x20 |   ^^^^^^^^^\n\
             \x20 = help: did you mean 'priority'?",
        ),
        (
            "- list: shell_binaries\n  items: [sh]\n- macro: uses\n  condition: proc.name in (shell_binaries)\n\
             - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = open and uses and proc.name in (shell_binarie)\n",
            "warning[LOAD_COMPILE_CONDITION]: there is no list 'shell_binarie'; it is compared as a string\n\
             \x20--> 1.yaml:9:57 in rule 'r'\n\
             \x20 |\n\
             9 |   condition: evt.type = open and uses and proc.name in (shell_binarie)\n\
             \x20 |                                                         ^^^^^^^^^^^^^\n\
             \x20 = help: did you mean 'shell_binaries'?",
        ),
        (
            "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = oepn\n",
            "error[LOAD_ERR_COMPILE_CONDITION]: event type 'oepn' is unknown or not collected\n\
             \x20--> 1.yaml:5:25 in rule 'r'\n\
             \x20 |\n\
             5 |   condition: evt.type = oepn\n\
             \x20 |                         ^^^^\n\
             \x20 = help: did you mean 'open'?",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(printed(text), *expected, "{text}");
    }
}

#[test]
fn appended_conditions_and_exceptions_keep_their_own_places() {
    let text = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = open\n\
                - rule: r\n  condition: and fd.num = x\n  override: {condition: append}\n\
                - rule: r\n  override: {exceptions: append}\n  exceptions:\n  - name: e\n    fields: [fd.num]\n    values:\n    - [y]\n";
    let places: Vec<(u32, u32)> =
        load_text(text).diagnostics.iter().map(|found| (found.line, found.column)).collect();
    assert_eq!(places, [(7, 27), (15, 8)]);
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let filler = "x".repeat(150);
    let text = format!(
        "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = open and proc.name = {filler} and proc.nme = y and proc.name = {filler}\n"
    );
    let load = load_text(&text);
    let snippet = load.diagnostics[0].snippet.clone().expect("a line");
    assert!(snippet.text.chars().count() < 110, "{}", snippet.text);
    let marked: String =
        snippet.text.chars().skip(snippet.offset as usize).take(snippet.width as usize).collect();
    assert_eq!(marked, "proc.nme");
}

#[test]
fn diagnostics_are_json_for_machines() {
    let load = load_text("- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: proc.nme = x\n");
    let json = serde_json::to_value(&load.diagnostics[0]).expect("serialisable");
    assert_eq!(
        json,
        serde_json::json!({
            "severity": "error", "code": "LOAD_ERR_COMPILE_CONDITION", "message": "unknown field 'proc.nme'",
            "item": "rule 'r'", "file": "1.yaml", "line": 5, "column": 14, "suggestion": "proc.name",
            "snippet": {"text": "  condition: proc.nme = x", "offset": 13, "width": 8},
        })
    );
}

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let text = "- rule: \"r\\e[31m\"\n  desc: d\n  output: o\n  priority: INFO\n  condition: \"proc.name\u{9b} = x\"\n";
    let load = load_text(text);
    assert!(!load.diagnostics.is_empty());
    for diagnostic in load.diagnostics {
        let printed = diagnostic.to_string();
        assert!(!printed.chars().any(|c| c.is_control() && c != '\n'), "{printed:?}");
    }
}
