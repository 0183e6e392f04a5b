//! The language's documented behaviour, one row each: what is written, and what comes of it on one event. Also
//! `docs/rule-language.md`, which is made from the rows.
//!
//! Rows are written in a short form, which [`expand`] makes YAML of: `rule NAME: CONDITION`, `macro NAME: CONDITION`,
//! `list NAME: ITEM, ITEM`; a line that begins with blanks or `-` is YAML as it stands.

use std::fmt::Write as _;

use exporter_common::event_type::EventType;

use super::support::{Event, load_files, matches};
use crate::rules::{LoadOptions, RuleMatching, Severity};

/// What comes of a row.
enum Outcome {
    /// These rules match the event, in this order.
    Fires(&'static [&'static str]),
    /// Loading fails with this code, at this line of the last file, and says this.
    Fails(&'static str, u32, &'static str),
    /// It loads with a warning of this code, and these rules match.
    Warns(&'static str, &'static [&'static str]),
}
use Outcome::{Fails, Fires, Warns};

struct Row {
    about: &'static str,
    /// One text per file, in the order in which they are read.
    files: &'static [&'static str],
    outcome: Outcome,
    /// How Falco differs, if it does.
    falco: &'static str,
}

const fn row(about: &'static str, files: &'static [&'static str], outcome: Outcome) -> Row {
    Row { about, files, outcome, falco: "" }
}

const fn differs(
    about: &'static str,
    files: &'static [&'static str],
    outcome: Outcome,
    falco: &'static str,
) -> Row {
    Row { about, files, outcome, falco }
}

/// The event of all rows.
fn event() -> Event {
    Event::new(EventType::Execve)
        .text("proc.name", "bash")
        .text("proc.cmdline", "bash -c ls /tmp")
        .text("proc.exepath", "/usr/bin/bash")
        .text("proc.pname", "sshd")
        .with("proc.pid", crate::fields::Value::Int(42))
        .with("evt.rawres", crate::fields::Value::Int(0))
}

const SECTIONS: &[(&str, &[Row])] = &[
    ("Lists", LISTS),
    ("Macros", MACROS),
    ("Defining again, appending, overriding", CHANGES),
    ("Exceptions", EXCEPTIONS),
    ("Operators", OPERATORS),
    ("Absent fields", ABSENT),
    ("Keys of a rule and of a file", KEYS),
    ("Conditions that are wrong", WRONG),
];

const LISTS: &[Row] = &[
    row("`in` with a list", &["list shells: sh, bash\nrule r: proc.name in (shells)"], Fires(&["r"])),
    row("a list beside values", &["list shells: zsh\nrule r: proc.name in (shells, bash)"], Fires(&["r"])),
    row("an empty list holds nothing", &["list shells:\nrule r: proc.name in (shells)"], Fires(&[])),
    row("a list of lists", &["list a: bash\nlist b: zsh, a\nrule r: proc.name in (b)"], Fires(&["r"])),
    differs(
        "lists of lists of lists",
        &["list a: bash\nlist b: a\nlist c: b\nrule r: proc.name in (c)"],
        Fires(&["r"]),
        "one level deep",
    ),
    row(
        "a list sees only the lists before it: a later one's name is a string",
        &["list b: a\nlist a: bash\nrule r: proc.name in (b)"],
        Fires(&[]),
    ),
    row(
        "a condition sees every list, wherever it is",
        &["rule r: proc.name in (a)\nlist a: bash"],
        Fires(&["r"]),
    ),
    row("a list in another file", &["list a: bash", "rule r: proc.name in (a)"], Fires(&["r"])),
    row("a list's name for a single value", &["list a: bash\nrule r: proc.name = a"], Fires(&["r"])),
    row(
        "a name that is part of a longer word is not the list's",
        &["list a: bash\nrule r: proc.name in (ax)"],
        Fires(&[]),
    ),
    differs(
        "a name in quotes is a string",
        &["list a: bash\nrule r: proc.name in (\"a\")"],
        Fires(&[]),
        "substituted in quotes, too",
    ),
    row(
        "an item with blanks needs quotes in its quotes, or is taken as one value",
        &["list a: '\"bash -c ls /tmp\"'\nrule r: proc.cmdline in (a)"],
        Fires(&["r"]),
    ),
    row(
        "a list that nobody uses is a warning",
        &["list a: x\nrule r: proc.name = bash"],
        Warns("LOAD_UNUSED_LIST", &["r"]),
    ),
];

const MACROS: &[Row] = &[
    row(
        "a macro stands for its condition",
        &["macro shell: proc.name = bash\nrule r: shell and proc.pid = 42"],
        Fires(&["r"]),
    ),
    row(
        "a macro is one operand: `not` negates all of it",
        &["macro m: proc.name = zsh or proc.name = bash\nrule r: not m"],
        Fires(&[]),
    ),
    row(
        "macros in macros",
        &["macro a: proc.name = bash\nmacro b: a and proc.pid = 42\nrule r: b"],
        Fires(&["r"]),
    ),
    row(
        "a macro sees only the macros before it",
        &["macro b: a\nmacro a: proc.name = bash\nrule r: b"],
        Fails("LOAD_ERR_VALIDATE", 2, "only later"),
    ),
    row("a rule sees the macros after it", &["rule r: m\nmacro m: proc.name = bash"], Fires(&["r"])),
    row("a macro in a later file", &["rule r: m", "macro m: proc.name = bash"], Fires(&["r"])),
    row(
        "a macro that does not exist",
        &["rule r: shel"],
        Fails("LOAD_ERR_VALIDATE", 5, "undefined macro 'shel'"),
    ),
    row("a macro in itself", &["macro a: a\nrule r: a"], Fails("LOAD_ERR_VALIDATE", 2, "")),
    row(
        "a macro that nobody uses is a warning",
        &["macro m: proc.name = x\nrule r: proc.name = bash"],
        Warns("LOAD_UNUSED_MACRO", &["r"]),
    ),
    row(
        "defined again, a macro has its new meaning for all who used it before",
        &["macro a: proc.name = zsh\nmacro b: a\nmacro a: proc.name = bash\nrule r: b"],
        Fires(&["r"]),
    ),
];

const CHANGES: &[Row] = &[
    row(
        "a list defined again has only its new items",
        &["list a: bash\nlist a: zsh\nrule r: proc.name in (a)"],
        Fires(&[]),
    ),
    row(
        "items appended to a list",
        &["list a: zsh", "- list: a\n  items: [bash]\n  override: {items: append}\nrule r: proc.name in (a)"],
        Fires(&["r"]),
    ),
    row(
        "items of a list replaced by override",
        &[
            "list a: bash",
            "- list: a\n  items: [zsh]\n  override: {items: replace}\nrule r: proc.name in (a)",
        ],
        Fires(&[]),
    ),
    row(
        "a condition appended to a macro",
        &[
            "macro m: proc.name = zsh",
            "- macro: m\n  condition: or proc.name = bash\n  override: {condition: append}\nrule r: m",
        ],
        Fires(&["r"]),
    ),
    row(
        "a condition of a macro replaced",
        &[
            "macro m: proc.name = zsh",
            "- macro: m\n  condition: proc.name = bash\n  override: {condition: replace}\nrule r: m",
        ],
        Fires(&["r"]),
    ),
    row(
        "a rule defined again keeps its place in the order",
        &["rule a: proc.name = zsh\nrule b: proc.name = bash", "rule a: proc.pid = 42"],
        Fires(&["a", "b"]),
    ),
    row(
        "a condition appended to a rule",
        &[
            "rule r: proc.name = bash",
            "- rule: r\n  condition: and proc.pid = 1\n  override: {condition: append}",
        ],
        Fires(&[]),
    ),
    row(
        "a condition of a rule replaced",
        &[
            "rule r: proc.name = zsh",
            "- rule: r\n  condition: proc.name = bash\n  override: {condition: replace}",
        ],
        Fires(&["r"]),
    ),
    row(
        "a rule switched off by override",
        &["rule r: proc.name = bash", "- rule: r\n  enabled: false\n  override: {enabled: replace}"],
        Fires(&[]),
    ),
    row(
        "a priority may be replaced, not appended to",
        &["rule r: proc.name = bash", "- rule: r\n  priority: ERROR\n  override: {priority: append}"],
        Fails("LOAD_ERR_YAML_VALIDATE", 3, "priority"),
    ),
    row(
        "an override of a rule that does not exist",
        &["- rule: r\n  condition: and proc.pid = 1\n  override: {condition: append}"],
        Fails("LOAD_ERR_VALIDATE", 1, "r"),
    ),
    row(
        "an override of a rule that comes later",
        &[
            "- rule: r\n  condition: and proc.pid = 1\n  override: {condition: append}\nrule r: proc.name = bash",
        ],
        Fails("LOAD_ERR_VALIDATE", 1, "r"),
    ),
    row(
        "a key that override does not name",
        &[
            "rule r: proc.name = bash",
            "- rule: r\n  condition: and proc.pid = 1\n  output: x\n  override: {condition: append}",
        ],
        Fails("LOAD_ERR_YAML_VALIDATE", 3, "output"),
    ),
    row(
        "a key that override names and that is not there",
        &["rule r: proc.name = bash", "- rule: r\n  override: {condition: append}"],
        Fails("LOAD_ERR_YAML_VALIDATE", 2, "condition"),
    ),
    row(
        "`append: true` still works, with a warning",
        &["rule r: proc.name = bash", "- rule: r\n  condition: and proc.pid = 1\n  append: true"],
        Warns("LOAD_DEPRECATED_ITEM", &[]),
    ),
    row(
        "`append: true` and `override` together",
        &[
            "rule r: proc.name = bash",
            "- rule: r\n  condition: and proc.pid = 1\n  append: true\n  override: {condition: append}",
        ],
        Fails("LOAD_ERR_YAML_VALIDATE", 3, "append"),
    ),
    row(
        "a rule with only `enabled` switches an earlier one",
        &["rule r: proc.name = bash", "- rule: r\n  enabled: false"],
        Warns("LOAD_DEPRECATED_ITEM", &[]),
    ),
];

const EXCEPTIONS: &[Row] = &[
    row(
        "an exception takes out what its values say",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name]\n      comps: [=]\n      values:\n        - [bash]",
        ],
        Fires(&[]),
    ),
    row(
        "another value",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name]\n      comps: [=]\n      values:\n        - [zsh]",
        ],
        Fires(&["r"]),
    ),
    row(
        "without comps each field is compared with =",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name, proc.pname]\n      values:\n        - [bash, sshd]",
        ],
        Fires(&[]),
    ),
    row(
        "all fields of a tuple must hold",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name, proc.pname]\n      values:\n        - [bash, cron]",
        ],
        Fires(&["r"]),
    ),
    row(
        "one tuple of several is enough",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name, proc.pname]\n      values:\n        - [zsh, cron]\n        - [bash, sshd]",
        ],
        Fires(&[]),
    ),
    row(
        "comps may differ by field",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name, proc.cmdline]\n      comps: [in, contains]\n      values:\n        - [[sh, bash], /tmp]",
        ],
        Fires(&[]),
    ),
    row(
        "a single field may be a word, and its values a list",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: proc.name\n      comps: in\n      values: [sh, bash]",
        ],
        Fires(&[]),
    ),
    row(
        "without values it does nothing yet",
        &["rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name]"],
        Fires(&["r"]),
    ),
    row(
        "values appended by a later file",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name]\n      values:\n        - [zsh]",
            "- rule: r\n  exceptions:\n    - name: e\n      values:\n        - [bash]\n  override: {exceptions: append}",
        ],
        Fires(&[]),
    ),
    row(
        "a whole exception appended",
        &[
            "rule r: proc.pid = 42",
            "- rule: r\n  exceptions:\n    - name: e\n      fields: [proc.name]\n      values:\n        - [bash]\n  override: {exceptions: append}",
        ],
        Fires(&[]),
    ),
    row(
        "fewer values than fields",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name, proc.pname]\n      values:\n        - [bash]",
        ],
        Fails("LOAD_ERR_VALIDATE", 0, ""),
    ),
    row(
        "more comps than fields",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name]\n      comps: [=, in]\n      values:\n        - [bash]",
        ],
        Fails("LOAD_ERR_VALIDATE", 0, ""),
    ),
    row(
        "a field that does not exist",
        &[
            "rule r: proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.nam]\n      values:\n        - [bash]",
        ],
        Fails("LOAD_ERR_COMPILE_CONDITION", 0, "proc.nam"),
    ),
    row(
        "an exception belongs to `and`: a condition with `or` is excepted as a whole",
        &[
            "rule r: proc.name = zsh or proc.pid = 42\n  exceptions:\n    - name: e\n      fields: [proc.name]\n      values:\n        - [bash]",
        ],
        Fires(&[]),
    ),
];

const OPERATORS: &[Row] = &[
    row(
        "`and` binds tighter than `or`",
        &["rule r: proc.pid = 42 or proc.name = zsh and proc.name = bash"],
        Fires(&["r"]),
    ),
    row("`not` binds tightest", &["rule r: not proc.name = zsh and proc.pid = 42"], Fires(&["r"])),
    row("parentheses", &["rule r: (proc.pid = 42 or proc.name = zsh) and proc.name = zsh"], Fires(&[])),
    row("`=` and `==` are the same", &["rule r: proc.name == bash"], Fires(&["r"])),
    row("`!=`", &["rule r: proc.name != zsh"], Fires(&["r"])),
    row(
        "comparisons of numbers",
        &["rule r: proc.pid >= 42 and proc.pid < 43 and proc.pid > 1 and proc.pid <= 42"],
        Fires(&["r"]),
    ),
    row("`contains`", &["rule r: proc.cmdline contains \"-c ls\""], Fires(&["r"])),
    row("`icontains` ignores case", &["rule r: proc.cmdline icontains BASH"], Fires(&["r"])),
    row("`startswith`", &["rule r: proc.exepath startswith /usr/"], Fires(&["r"])),
    row("`endswith`", &["rule r: proc.exepath endswith /bash"], Fires(&["r"])),
    row("`glob`: a star also matches a slash", &["rule r: proc.exepath glob /*/bash"], Fires(&["r"])),
    row("`iglob` ignores case", &["rule r: proc.exepath iglob /USR/*"], Fires(&["r"])),
    row("`regex` must match all of it", &["rule r: proc.name regex 'ba.'"], Fires(&[])),
    row("`regex` that does", &["rule r: proc.name regex 'ba.*'"], Fires(&["r"])),
    row("`pmatch`: a path or what is below it", &["rule r: proc.exepath pmatch (/etc, /usr)"], Fires(&["r"])),
    row("`pmatch` is no prefix of a name", &["rule r: proc.exepath pmatch (/us)"], Fires(&[])),
    row("`in` with values", &["rule r: proc.pid in (1, 42)"], Fires(&["r"])),
    row("`intersects` with one value", &["rule r: proc.name intersects (bash, zsh)"], Fires(&["r"])),
    row("`exists`", &["rule r: proc.name exists"], Fires(&["r"])),
    row("transformers", &["rule r: toupper(proc.name) = BASH and tolower(proc.name) = bash"], Fires(&["r"])),
    row("`basename`", &["rule r: basename(proc.exepath) = bash"], Fires(&["r"])),
    row("`val` compares two fields", &["rule r: proc.name = val(proc.pname)"], Fires(&[])),
];

const ABSENT: &[Row] = &[
    row("a comparison with an absent field is false", &["rule r: fd.name = x"], Fires(&[])),
    row("so is its opposite", &["rule r: fd.name != x"], Fires(&[])),
    row("`not` of it is true", &["rule r: not fd.name = x"], Fires(&["r"])),
    row("`exists` of it is false", &["rule r: fd.name exists"], Fires(&[])),
    row("`in` of it is false", &["rule r: fd.name in (x, y)"], Fires(&[])),
];

const KEYS: &[Row] = &[
    row(
        "rules of one event in the order of the files",
        &["rule b: proc.pid = 42", "rule a: proc.pid = 42"],
        Fires(&["b", "a"]),
    ),
    row("`enabled: false`", &["rule r: proc.name = bash\n  enabled: false"], Fires(&[])),
    row(
        "a source that is not collected is skipped with a warning",
        &["rule r: proc.name = bash\n  source: aws_cloudtrail"],
        Warns("LOAD_UNKNOWN_SOURCE", &[]),
    ),
    row(
        "an unknown key is a warning",
        &["rule r: proc.name = bash\n  colour: red"],
        Warns("LOAD_UNKNOWN_KEY", &["r"]),
    ),
    row(
        "a missing key",
        &["- rule: r\n  desc: d\n  output: o\n  condition: proc.name = bash"],
        Fails("LOAD_ERR_YAML_VALIDATE", 1, "priority"),
    ),
    row(
        "a priority that does not exist",
        &["- rule: r\n  desc: d\n  output: o\n  priority: LOUD\n  condition: proc.name = bash"],
        Fails("LOAD_ERR_YAML_VALIDATE", 4, "LOUD"),
    ),
    row(
        "`skip-if-unknown-filter: true` skips a rule with an unknown field",
        &["rule a: proc.nam = bash\n  skip-if-unknown-filter: true\nrule r: proc.name = bash"],
        Warns("LOAD_UNKNOWN_FILTER", &["r"]),
    ),
    row(
        "an engine version that is older or ours",
        &["- required_engine_version: 0.26.0\nrule r: proc.name = bash"],
        Fires(&["r"]),
    ),
    row(
        "an engine version that is newer",
        &["- required_engine_version: 99.0.0\nrule r: proc.name = bash"],
        Fails("LOAD_ERR_VALIDATE", 1, "99.0.0"),
    ),
    row(
        "required plugins are not there",
        &["- required_plugin_versions:\n  - name: k8saudit\n    version: 0.7.0\nrule r: proc.name = bash"],
        Warns("", &["r"]),
    ),
    row(
        "an unknown field of the output",
        &["- rule: r\n  desc: d\n  priority: INFO\n  condition: proc.name = bash\n  output: '%proc.nam'"],
        Fails("LOAD_ERR_COMPILE_OUTPUT", 5, "proc.nam"),
    ),
];

const WRONG: &[Row] = &[
    row(
        "an unknown field",
        &["rule r: proc.nam = bash"],
        Fails("LOAD_ERR_COMPILE_CONDITION", 5, "did you mean 'proc.name'"),
    ),
    row("an operator without a value", &["rule r: proc.name ="], Fails("LOAD_ERR_COMPILE_CONDITION", 5, "")),
    row("a missing parenthesis", &["rule r: (proc.name = bash"], Fails("LOAD_ERR_COMPILE_CONDITION", 5, "")),
    row(
        "two operands without `and`",
        &["rule r: proc.name = bash proc.pid = 42"],
        Fails("LOAD_ERR_COMPILE_CONDITION", 5, ""),
    ),
    row(
        "a text where a number belongs",
        &["rule r: proc.pid = x"],
        Fails("LOAD_ERR_COMPILE_CONDITION", 5, ""),
    ),
    row(
        "an operator that the type does not have",
        &["rule r: proc.pid contains 4"],
        Fails("LOAD_ERR_COMPILE_CONDITION", 5, ""),
    ),
    differs(
        "an event type that is not collected",
        &["rule r: evt.type = getcwd"],
        Fails("LOAD_ERR_COMPILE_CONDITION", 5, "getcwd"),
        "loads, and never fires",
    ),
    row(
        "a broken regular expression",
        &["rule r: proc.name regex '('"],
        Fails("LOAD_ERR_COMPILE_CONDITION", 5, ""),
    ),
    row(
        "an empty condition",
        &["- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: ''"],
        Fails("LOAD_ERR_YAML_VALIDATE", 5, ""),
    ),
    row("YAML that is none", &["- rule: [\n"], Fails("LOAD_ERR_YAML_PARSE", 0, "")),
    row("an item that is none of list, macro, rule", &["- ruel: r"], Warns("LOAD_UNKNOWN_ITEM", &[])),
];

/// The YAML of a text in the short form; with `whole` all keys that a rule needs.
fn expand(text: &str, whole: bool) -> String {
    let mut yaml = String::new();
    for line in text.lines() {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let definition = |keyword: &str| {
            line.strip_prefix(keyword)?.split_once(':').map(|(name, value)| (name.trim(), value.trim()))
        };
        if let Some((name, condition)) = definition("rule ") {
            let keys = if whole { "  desc: d\n  output: o\n  priority: INFO\n" } else { "" };
            let condition = if whole { quoted(condition) } else { condition.to_owned() };
            let _ = write!(yaml, "- rule: {name}\n{keys}  condition: {condition}\n");
        } else if let Some((name, condition)) = definition("macro ") {
            let condition = if whole { quoted(condition) } else { condition.to_owned() };
            let _ = write!(yaml, "- macro: {name}\n  condition: {condition}\n");
        } else if let Some((name, items)) = definition("list ") {
            let _ = write!(yaml, "- list: {name}\n  items: [{items}]\n");
        } else {
            yaml.push_str(line);
            yaml.push('\n');
        }
    }
    yaml
}

/// What is wrong with a row, `None` if nothing is.
fn fault(row: &Row) -> Option<String> {
    let files: Vec<String> = row.files.iter().map(|text| expand(text, true)).collect();
    let texts: Vec<&str> = files.iter().map(String::as_str).collect();
    let options = LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() };
    let load = load_files(&texts, &options);
    let printed: Vec<String> = load.diagnostics.iter().map(ToString::to_string).collect();
    let printed = printed.join("\n");
    let fired = load.rules.as_ref().map(|rules| matches(rules, &event()));
    let fires = |expected: &[&str]| match &fired {
        Some(fired) if fired == expected => None,
        other => Some(format!("{other:?} fire, not {expected:?}\n{printed}")),
    };
    match row.outcome {
        Fires(expected) => fires(expected),
        Warns(code, expected) => {
            let warned = load
                .diagnostics
                .iter()
                .any(|d| d.severity == Severity::Warning && d.code.name().contains(code));
            if warned || code.is_empty() { fires(expected) } else { Some(format!("no {code}:\n{printed}")) }
        }
        Fails(code, line, text) => {
            let fits = |d: &crate::rules::Diagnostic| {
                d.severity == Severity::Error
                    && (line == 0 || d.line == line)
                    && d.code.name().contains(code)
                    && d.to_string().contains(text)
            };
            let found = load.diagnostics.iter().any(fits) && fired.is_none();
            (!found).then(|| format!("no {code} in line {line} with {text:?}:\n{printed}"))
        }
    }
}

#[test]
fn the_language_behaves_as_written() {
    let rows: Vec<&Row> = SECTIONS.iter().flat_map(|(_, rows)| *rows).collect();
    assert!(rows.len() >= 80, "{} rows", rows.len());
    let faults: Vec<String> =
        rows.iter().filter_map(|row| Some(format!("{}:\n{}", row.about, fault(row)?))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn docs_the_page_of_the_language() {
    let mut page = "# The rule language by example\n\n<!-- Made by `make docs` from exporter/src/rules/tests/table.rs. -->\n\n\
                    Falco's documented behaviour, one row each, as the tests run it (`cargo test -p exporter --lib table`). \
                    Keys that a rule needs\n(`desc`, `output`, `priority`) are left out. All rows are about one event: an `execve` \
                    with `proc.name=bash`,\n`proc.cmdline=\"bash -c ls /tmp\"`, `proc.exepath=/usr/bin/bash`, `proc.pname=sshd`, \
                    `proc.pid=42`, and with no `fd.name`.\nWhat differs from Falco on purpose says so; [rules](rules.md) \
                    explains.\n"
        .to_owned();
    for (title, rows) in SECTIONS {
        let _ = write!(page, "\n## {title}\n");
        for row in *rows {
            let _ = write!(page, "\n**{}**\n\n```yaml\n", row.about);
            for (number, text) in row.files.iter().enumerate() {
                if row.files.len() > 1 {
                    let _ = writeln!(page, "# file {}", number + 1);
                }
                page.push_str(&expand(text, false));
            }
            page.push_str("```\n\n");
            let names = |rules: &[&str]| match rules {
                [] => "nothing fires".to_owned(),
                rules => format!(
                    "{} fires",
                    rules.iter().map(|rule| format!("`{rule}`")).collect::<Vec<_>>().join(", then ")
                ),
            };
            let _ = match row.outcome {
                Fires(rules) => writeln!(page, "→ {}.", names(rules)),
                Warns("", rules) => writeln!(page, "→ {}.", names(rules)),
                Warns(code, rules) => writeln!(page, "→ warning `{code}`; {}.", names(rules)),
                Fails(code, ..) => writeln!(page, "→ error `{code}`."),
            };
            if !row.falco.is_empty() {
                let _ = writeln!(page, "\nFalco: {}.", row.falco);
            }
        }
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rule-language.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).expect("docs/rule-language.md");
    } else {
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == page, "docs/rule-language.md is not up to date: run `make docs`");
    }
}
