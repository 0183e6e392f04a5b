//! The command line as a user meets it: exit codes, and errors with their places. Nothing here needs a kernel.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Output, Stdio},
};

const RULE: &str =
    "- rule: R\n  desc: d\n  condition: evt.type = open and fd.name = /x\n  output: o\n  priority: INFO\n";

/// A folder with a file of each kind.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("good.yaml", RULE.to_owned()),
        ("warn.yaml", format!("{RULE}- list: unused\n  items: [a]\n")),
        ("bad.yaml", RULE.replace("fd.name", "fd.nmae")),
        ("config.yaml", "log_level: loud\nlisten: here\n".to_owned()),
        ("empty.yaml", String::new()),
        ("file", "not a recording, but long enough to be one".to_owned()),
        ("pass.case.yaml", case("/x", "R")),
        ("fail.case.yaml", case("/y", "R")),
        ("unknown.case.yaml", case("/x", "Q")),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// A file with one case: an open of `path`, of which `rule` must speak.
fn case(path: &str, rule: &str) -> String {
    format!("- name: c\n  type: open\n  fields: {{fd.name: {path}}}\n  rules: [{rule}]\n")
}

fn yagura(dir: &Path, args: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_yagura"))
        .args(args.split_whitespace())
        .current_dir(dir)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// Arguments, exit code, and what stdout and stderr must contain.
type Row = (&'static str, i32, &'static str, &'static str);

fn check(rows: &[Row]) {
    let dir = folder();
    for (args, code, stdout, stderr) in rows {
        let output = yagura(dir.path(), args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(*code), "{args}\n{out}\n{err}");
        assert!(out.contains(stdout), "{args}: stdout\n{out}");
        assert!(err.contains(stderr), "{args}: stderr\n{err}");
        if *code != 0 && !args.contains("json") {
            assert!(!err.is_empty() || !out.is_empty(), "{args}: a failure says why");
        }
    }
}

#[test]
fn usage() {
    check(&[
        ("", 2, "", "Usage: yagura"),
        ("--help", 0, "doctor", ""),
        ("--version", 0, env!("CARGO_PKG_VERSION"), ""),
        ("rule list", 2, "", "similar subcommand"),
        ("rules check", 2, "", "<FILE>"),
        ("run --format xml", 2, "", "[possible values: json, text]"),
        ("run --log-level loud", 2, "", "unknown log level 'loud'"),
        ("run --record-max-bytes 5", 2, "", "--record <FILE>"),
        ("fields --source windows", 2, "", "unknown source 'windows'"),
    ]);
}

#[test]
fn rules() {
    check(&[
        ("rules check good.yaml", 0, "1 files: 1 rules, 0 errors, 0 warnings", ""),
        ("rules check warn.yaml", 0, "0 errors, 1 warnings", "warn.yaml:6:"),
        ("rules check --strict warn.yaml", 1, "1 warnings", "LOAD_UNUSED_LIST"),
        ("rules check bad.yaml", 1, "not loaded, 1 errors", "bad.yaml:3:"),
        ("rules check bad.yaml", 1, "", "did you mean 'fd.name'?"),
        ("rules check -o json bad.yaml", 1, "\"rules\": null", ""),
        ("rules check empty.yaml", 0, "0 rules", ""),
        ("rules check absent.yaml", 2, "", "absent.yaml: cannot read: No such file"),
        ("rules list --rules good.yaml", 0, "Informational  yes      syscall  R", ""),
        ("rules list --rules good.yaml -o json", 0, "\"event_types\": [\n      \"open\"", ""),
        ("rules list --rules bad.yaml", 2, "", "bad.yaml:3:"),
        ("rules list", 0, "PRIORITY", ""),
        ("rules test pass.case.yaml --rules good.yaml", 0, "1 cases, 1 passed, 0 failed", ""),
        ("rules test pass.case.yaml --rules good.yaml --coverage", 1, "no near miss: R", ""),
        ("rules test fail.case.yaml --rules good.yaml", 1, "did not fire: R", ""),
        ("rules test unknown.case.yaml --rules good.yaml", 2, "", "unknown.case.yaml:4:"),
        ("rules test good.yaml --rules good.yaml", 2, "", "good.yaml:1:"),
        ("fields", 0, "proc.name", ""),
        ("k8s-audit print-config", 0, "--audit-webhook-config-file=", ""),
        ("k8s-audit print-config --format policy", 0, "kind: Policy", ""),
        (
            "k8s-audit print-config --format webhook --server https://y:1",
            0,
            "server: https://y:1/k8s-audit",
            "",
        ),
        ("k8s-audit print-config --rules bad.yaml", 2, "", "bad.yaml:3:"),
        ("fields --source k8s_audit -o json", 0, "\"name\": \"ka.verb\"", ""),
    ]);
}

#[test]
fn configuration_and_recordings() {
    check(&[
        ("run --config config.yaml", 2, "", "config.yaml:1:12: unknown log level 'loud'"),
        ("run --config config.yaml", 2, "", "config.yaml:2:9: 'here' is not an address"),
        ("run --config absent.yaml", 2, "", "absent.yaml: cannot read: No such file"),
        ("run --rules bad.yaml", 2, "", "bad.yaml:3:"),
        ("run --rules absent.yaml", 2, "", "absent.yaml: cannot read: No such file"),
        ("doctor --config config.yaml", 2, "", "config.yaml:1:12"),
        ("replay file", 2, "", "file: not a recording of Yagura"),
        ("replay absent", 2, "", "absent: No such file"),
        ("replay file --rules bad.yaml", 2, "", "bad.yaml:3:"),
    ]);
}

#[test]
fn a_reader_that_goes_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_yagura"))
        .args(["fields", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_sink_is_tried() {
    use std::{io::Write, net::TcpListener, thread};
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!(
        "sinks:\n- {{name: a, type: webhook, url: 'http://{address}/a'}}\n\
         - {{name: b, type: webhook, url: 'http://{address}/b'}}\n"
    );
    fs::write(dir.path().join("c.yaml"), config).unwrap();
    fs::write(dir.path().join("none.yaml"), "").unwrap();
    // The first is taken, the second refused.
    let receiver = thread::spawn(move || {
        ["200 OK", "403 Forbidden"].map(|status| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut chunk = [0; 4096];
                let length = stream.read(&mut chunk).unwrap();
                assert!(length > 0, "it ends early");
                request.extend_from_slice(&chunk[..length]);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 3\r\nconnection: close\r\n\r\nwhy");
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        })
    });
    let output = yagura(dir.path(), "sink test --config c.yaml");
    let requests = receiver.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a  taken\nb  the answer is 403 Forbidden: why\n");
    assert!(requests[0].starts_with("POST /a ") && requests[0].contains("\"rule\":\"Test of a sink\""));
    for (args, expected) in [
        ("sink test --config c.yaml nobody", "no sink is named 'nobody'"),
        ("sink test --config none.yaml", "no sink is configured"),
    ] {
        let output = yagura(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{args}");
    }
}
