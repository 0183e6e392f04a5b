//! Operators, types, missing fields: one row per behaviour.

use std::borrow::Cow;

use exporter_common::event_type::EventType;

use super::support::{Event, holds};
use crate::fields::Value;

fn event() -> Event {
    let ip = |text: &str| Value::Ip(text.parse().expect("an address"));
    Event::new(EventType::Openat)
        .text("proc.name", "bash")
        .text("proc.pname", "sshd")
        .text("proc.cmdline", "bash -c 'Cat /etc/shadow'")
        .text("fd.name", "/etc/ssh/sshd_config")
        .text("fd.typechar", "f")
        .text("proc.args", "")
        .with("fd.num", Value::Int(3))
        .with("proc.pid", Value::Int(4321))
        .with("proc.ppid", Value::Int(4321))
        .with("evt.is_open_read", Value::Bool(true))
        .with("evt.is_open_write", Value::Bool(false))
        .with("proc.duration", Value::RelTime(5_000_000_000))
        .with("fd.ip", Value::List(vec![ip("10.1.2.3"), ip("8.8.8.8")]))
        .with("fd.sport", Value::Port(443))
        .with(
            "proc.aname",
            Value::List(["bash", "sshd", "init"].map(|name| Value::str(name.as_bytes())).into()),
        )
        .with("evt.buffer", Value::Bytes(Cow::Borrowed(b"\xca\xfe\xba\xbe rest")))
}

fn check(rows: &[(&str, bool)]) {
    let event = event();
    for (condition, expected) in rows {
        assert_eq!(holds(condition, &event), *expected, "{condition}");
    }
}

#[test]
fn string_operators() {
    check(&[
        ("proc.name = bash", true),
        ("proc.name == bash", true),
        ("proc.name=\"bash\"", true),
        ("proc.name = Bash", false),
        ("proc.name != bash", false),
        ("proc.name != zsh", true),
        ("proc.args = \"\"", true),
        ("proc.args exists", true),
        ("proc.cmdline contains shadow", true),
        ("proc.cmdline contains Shadow", false),
        ("proc.cmdline contains \"\"", true),
        ("proc.cmdline icontains CAT", true),
        ("proc.cmdline icontains dog", false),
        ("fd.name startswith /etc/", true),
        ("fd.name startswith /usr", false),
        ("fd.name endswith _config", true),
        ("fd.name endswith config_", false),
        ("fd.name glob /etc/*/sshd_*", true),
        ("fd.name glob /ETC/*", false),
        ("fd.name iglob /ETC/*", true),
        ("fd.name regex \"/etc/.*_config\"", true),
        ("fd.name regex /etc", false),
        ("fd.name pmatch (/etc/ssh)", true),
        ("fd.name pmatch (/etc/ssh/)", true),
        ("fd.name pmatch (/etc/ss)", false),
        ("fd.name pmatch (/usr, /etc/*/sshd_config)", true),
        ("fd.name pmatch (/*/sshd_config)", false),
        ("fd.name pmatch (/)", true),
        ("fd.name pmatch ()", false),
        ("proc.name in (zsh, bash)", true),
        ("proc.name in ()", false),
        ("not proc.name in ()", true),
        ("proc.name in (\"bash\")", true),
        ("proc.name intersects (zsh, bash)", true),
        ("proc.name in bash", true),
    ]);
}

#[test]
fn operators_with_modifiers() {
    check(&[
        ("proc.name = anyof (zsh, bash)", true),
        ("proc.name != allof (zsh, fish)", true),
        ("proc.name != allof (zsh, bash)", false),
        ("fd.name startswith anyof (/usr, /etc)", true),
        ("fd.name startswith allof (/etc, /etc/ssh)", true),
        ("fd.name startswith allof (/etc, /usr)", false),
        ("fd.name startswith oneof (/etc, /usr)", true),
        ("fd.name startswith oneof (/etc, /etc/ssh)", false),
        ("fd.name startswith oneof (/bin, /usr)", false),
        ("proc.name regex anyof (\"z.*\", \"b.*\")", true),
        ("proc.cmdline icontains allof (CAT, ETC)", true),
        ("proc.name = anyof ()", false),
        ("proc.name = allof ()", false),
        ("proc.name = oneof ()", false),
        // Without a list it is just a word.
        ("proc.name != anyof", true),
    ]);
}

#[test]
fn numbers_times_bools_and_addresses() {
    check(&[
        ("fd.num >= 0", true),
        ("fd.num>=4", false),
        ("fd.num = 3", true),
        ("fd.num = 0x3", true),
        ("fd.num != 3", false),
        ("fd.num < 4 and fd.num > 2 and fd.num <= 3", true),
        ("fd.num in (1, 3)", true),
        ("fd.num > -1", true),
        ("proc.duration <= 5000000000", true),
        ("proc.duration < 5000000000", false),
        ("evt.is_open_read = true", true),
        ("evt.is_open_write = true", false),
        ("evt.is_open_write != true", true),
        ("fd.sport = 443", true),
        ("fd.sport = https", true),
        ("fd.sport in (80, 8080)", false),
        ("fd.ip = 8.8.8.8", true),
        ("fd.ip = \"10.0.0.0/8\"", true),
        ("fd.ip in (\"192.168.0.0/16\", \"8.8.8.8\")", true),
        ("fd.ip = 1.1.1.1", false),
        // On addresses `!=` asks that neither end is it.
        ("fd.ip != 8.8.8.8", false),
        ("fd.ip != 1.1.1.1", true),
        ("fd.ip != \"10.0.0.0/8\"", false),
    ]);
}

#[test]
fn several_values_and_buffers() {
    check(&[
        ("proc.aname = sshd", true),
        ("proc.aname = cron", false),
        ("proc.aname in (cron, init)", true),
        ("proc.aname startswith ini", true),
        ("proc.aname != sshd", true),
        ("not proc.aname = sshd", false),
        ("evt.buffer bcontains cafebabe", true),
        ("evt.buffer bstartswith CAFE", true),
        ("evt.buffer bcontains deadbeef", false),
        ("evt.buffer contains rest", true),
        ("evt.buffer endswith rest", true),
    ]);
}

#[test]
fn a_missing_field_makes_a_comparison_false() {
    check(&[
        ("proc.exepath = x", false),
        ("proc.exepath != x", false),
        ("not proc.exepath = x", true),
        ("not proc.exepath != x", true),
        ("proc.exepath in (x)", false),
        ("proc.exepath contains \"\"", false),
        ("proc.exepath startswith \"\"", false),
        ("proc.exepath exists", false),
        ("not proc.exepath exists", true),
        ("proc.vpid >= 0", false),
        ("proc.vpid < 0", false),
        ("fd.sip != 1.2.3.4", false),
        ("tolower(proc.exepath) = x", false),
        ("len(proc.exepath) >= 0", false),
        ("proc.name = val(proc.exepath)", false),
        ("proc.name != val(proc.exepath)", false),
    ]);
}

#[test]
fn transformers_and_fields_on_the_right() {
    check(&[
        ("toupper(proc.name) = BASH", true),
        ("tolower(toupper(proc.name)) = bash", true),
        ("basename(fd.name) = sshd_config", true),
        ("basename(proc.name) = bash", true),
        ("len(proc.name) = 4", true),
        ("len(proc.name) > 4", false),
        ("len(proc.aname) = 3", true),
        ("b64(proc.name) exists", true),
        ("concat(proc.name, \":\", fd.num) = \"bash:3\"", true),
        ("join(\",\", proc.aname) = \"bash,sshd,init\"", true),
        ("join(\"-\", (a, \"b c\")) = \"a-b c\"", true),
        ("join(\"-\", (proc.name, \"x\", fd.num, toupper(proc.name))) = \"bash-x-3-BASH\"", true),
        ("len((proc.name, proc.aname)) = 4", true),
        ("join(\",\", (proc.name, proc.exepath)) exists", false),
        ("getopt((\"-t\", hello), \"t:\") intersects (t)", true),
        ("getopt((\"-t\", hello), \"t:\")[t] = hello", true),
        ("getopt((\"-t\", hello), \"t:\") in (t, hello, x)", true),
        ("getopt((\"-t\", hello), \"t:\") in (t)", false),
        ("proc.pid = val(proc.ppid)", true),
        ("proc.pid < val(proc.ppid)", false),
        ("proc.name = val(proc.pname)", false),
        ("proc.pname in val(proc.aname)", true),
        ("proc.name = tolower(proc.name)", true),
        ("proc.cmdline startswith val(proc.name)", true),
        ("fd.name contains toupper(proc.name)", false),
    ]);
}

#[test]
fn grammar() {
    check(&[
        ("proc.name=bash and fd.num=3", true),
        ("proc.name=bash and(fd.num=3)", true),
        ("proc.name=zsh or(fd.num=3)", true),
        ("not(proc.name=zsh)", true),
        ("not not proc.name=bash", true),
        ("not not(proc.name=bash)", true),
        ("not(not proc.name=bash)", true),
        ("not proc.name=zsh and fd.num=3", true),
        ("not (proc.name=bash and fd.num=3)", false),
        ("proc.name=zsh and fd.num=3 or fd.num=3", true),
        ("proc.name=zsh and (fd.num=3 or fd.num=3)", false),
        ("((((proc.name=bash))))", true),
        ("  proc.name  =  bash  ", true),
        ("proc.name in(bash,zsh)", true),
        ("fd.name startswith\t/etc", true),
    ]);
}

#[test]
fn event_types_are_decided_before_the_event() {
    check(&[
        ("evt.type = openat", true),
        ("evt.type in (open, openat)", true),
        ("evt.type != open", true),
        ("not evt.type = openat", false),
        ("evt.type startswith open", true),
        ("evt.type glob \"*at2\"", false),
        ("evt.type exists", true),
        ("evt.type = open or proc.name = bash", true),
        ("evt.num = 0", false),
    ]);
}
