//! `yagura run` from a system call to a line on stdout, and what an operator does to it.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use end_to_end::{
    actor,
    daemon::{Daemon, Options, yagura},
    scratch::Scratch,
};
use serde_json::Value;

fn off() -> bool {
    !end_to_end::kernel_tests_run()
}

/// A rule that fires on opens of this file by name.
fn rule(name: &str, path: &Path) -> String {
    format!(
        "- rule: {name}\n  desc: d\n  condition: evt.type in (open, openat, openat2) and fd.name = {}\n  output: \"opened %fd.name by %proc.name (%proc.pid)\"\n  priority: WARNING\n  tags: [a, b]\n",
        path.display()
    )
}

/// `cat FILE`; its pid.
fn cat(path: &str) -> u32 {
    let mut child =
        Command::new("cat").arg(path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("cat runs");
    let pid = child.id();
    child.wait().expect("our child");
    pid
}

/// Does the detection come from this process? By its output, since fields are the rule's choice.
fn by(detection: &Value, pid: u32) -> bool {
    detection["output"].as_str().is_some_and(|output| output.contains(&format!("({pid})")))
}

#[test]
fn cat_of_shadow_is_detected_by_our_own_rules_and_counted() {
    if off() {
        return;
    }
    // No --rules: the rules embedded in the binary.
    let daemon = Daemon::start(&Options::default());
    cat("/etc/shadow");
    let detection = daemon.detection(|detection| {
        detection["output"].as_str().is_some_and(|output| output.contains("/etc/shadow"))
            && detection["output"].as_str().is_some_and(|output| output.contains("cat"))
    });
    for key in ["time", "rule", "priority", "source", "output", "output_fields", "tags", "hostname", "uuid"] {
        assert!(!detection[key].is_null(), "Falco's key {key}: {detection}");
    }
    assert_eq!(detection["source"], "syscall");
    assert_eq!(detection["tenant"], "platform");
    let rule = detection["rule"].as_str().expect("a name").to_owned();
    let metrics = daemon.get("/metrics").1;
    let counted = metrics
        .lines()
        .filter(|line| {
            line.starts_with("yagura_detections_total{") && line.contains(&format!("rule=\"{rule}\""))
        })
        .any(|line| {
            line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok_and(|n| n >= 1.0))
        });
    assert!(counted, "{rule} is counted:\n{metrics}");
    assert!(metrics.contains("yagura_detections_total{"), "rules are exported from the start");
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(0));
    ended.balance();
    assert!(
        ended.stdout.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "stdout holds detections only"
    );
}

#[test]
fn health_answers() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let daemon =
        Daemon::start(&Options { rules: &rule("Any", &scratch.path().join("file")), ..Options::default() });
    assert_eq!(daemon.get("/livez").0, 200);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.get("/no-such-page").0, 404);
    assert!(daemon.metric("yagura_rules_loaded") >= 1.0);
    daemon.stop();
}

#[test]
fn text_format_is_one_line_a_detection() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let rules = rule("Text", &file);
    let daemon = Daemon::start(&Options {
        rules: &rules,
        args: vec!["--format".into(), "text".into()],
        ..Options::default()
    });
    let pid = cat(file.to_str().expect("text"));
    let line = daemon.line(|line| line.contains(&format!("({pid})")));
    // Falco's form: time, priority, output.
    assert!(line.contains(": Warning opened "), "{line}");
    assert!(serde_json::from_str::<Value>(&line).is_err(), "it is no JSON: {line}");
    daemon.stop();
}

#[test]
fn a_new_rule_file_is_taken_and_a_broken_one_is_not() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let path = file.to_str().expect("text");
    let first = rule("First", &file);
    let daemon = Daemon::start(&Options { rules: &first, ..Options::default() });
    let pid = cat(path);
    assert_eq!(daemon.detection(|detection| by(detection, pid))["rule"], "First");

    daemon.replace_rules(&rule("Second", &file));
    daemon.until("the new rules are loaded", |daemon| {
        daemon.metric("yagura_rules_reload_total{result=\"success\"}") >= 1.0
    });
    let pid = cat(path);
    assert_eq!(daemon.detection(|detection| by(detection, pid))["rule"], "Second");

    daemon.replace_rules("- rule: Broken\n  condition: evt.type = opne and fd.nmae = x\n");
    daemon.until("the broken rules are refused", |daemon| {
        daemon.metric("yagura_rules_reload_total{result=\"failure\"}") >= 1.0
    });
    assert_eq!(daemon.get("/readyz").0, 200, "readiness is untouched");
    let pid = cat(path);
    assert_eq!(daemon.detection(|detection| by(detection, pid))["rule"], "Second", "the old rules run on");
    assert!(daemon.logs().iter().any(|line| line.contains("rules.yaml")), "the log names the file");

    // SIGHUP reloads too, whether or not the file changed.
    let before = daemon.metric("yagura_rules_reload_total{result=\"failure\"}");
    daemon.signal(libc::SIGHUP);
    daemon.until("SIGHUP reloads", |daemon| {
        daemon.metric("yagura_rules_reload_total{result=\"failure\"}") > before
    });
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(0));
    ended.balance();
}

/// A new set may need event types that the kernel side did not report until then, and have no use for others.
#[test]
fn a_reload_changes_what_the_kernel_reports() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let daemon = Daemon::start(&Options { rules: &rule("Open", &file), ..Options::default() });
    daemon.replace_rules(
        "- rule: Signal\n  desc: d\n  condition: evt.type = kill and evt.arg.sig = SIGTERM\n  output: \"(%proc.pid)\"\n  priority: INFO\n",
    );
    daemon.until("the new rules are loaded", |daemon| {
        daemon.metric("yagura_rules_reload_total{result=\"success\"}") >= 1.0
    });
    let opens = |daemon: &Daemon| {
        let metrics = daemon.get("/metrics").1;
        let opens =
            |line: &&str| line.starts_with("yagura_events_total{") && line.contains("type=\"openat\"");
        metrics
            .lines()
            .filter(opens)
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum::<f64>()
    };
    let mut actor = Command::new(actor())
        .args(["kill", "signal=SIGTERM"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the actor");
    let pid = actor.id();
    actor.wait().expect("our child");
    assert_eq!(daemon.detection(|detection| by(detection, pid))["rule"], "Signal");
    // What was reported before has come before that.
    let before = opens(&daemon);
    cat(file.to_str().expect("text"));
    assert!((opens(&daemon) - before).abs() < f64::EPSILON, "opens are not reported any more");
    daemon.stop();
}

#[test]
fn it_ends_when_whoever_reads_stdout_is_gone() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let mut daemon =
        Daemon::start(&Options { rules: &rule("Any", &file), stdout_stuck: true, ..Options::default() });
    daemon.close_stdout();
    cat(file.to_str().expect("text"));
    let ended = daemon.wait();
    assert_eq!(ended.status.code(), Some(1), "{:?}", ended.stderr);
    assert!(ended.stderr.iter().any(|line| line.contains("stdout")), "{:?}", ended.stderr);
    assert_eq!(ended.balance()["dropped"], 1, "what nobody took is counted");
}

/// How often a rule matched, by the metric.
fn detections(daemon: &Daemon, rule: &str) -> f64 {
    let label = format!("rule=\"{rule}\"");
    let metrics = daemon.get("/metrics").1;
    let series =
        metrics.lines().filter(|line| line.starts_with("yagura_detections_total{") && line.contains(&label));
    series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Both rule sets match the same events, so the number of detections does not depend on when the swap is.
#[test]
fn reloads_while_events_flow_lose_no_event() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let sets = [rule("Odd", &file), rule("Even", &file)];
    // No limit on what is written, room for all of it.
    let config = "rate_limit:\n  rate: 0\nqueue_size: 65536\n";
    let daemon = Daemon::start(&Options { rules: &sets[0], config, ..Options::default() });
    let stop = scratch.path().join("stop");
    let actor = Command::new(actor())
        // However long the reloads take, the queue has room for what comes meanwhile.
        .args(["flood-opens", "cpu=1", "rate=200", "milliseconds=600000"])
        .args([format!("path={}", file.display()), format!("until={}", stop.display())])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the actor runs");
    for reload in 1..=4 {
        let rule = ["Odd", "Even"][reload % 2];
        let before = detections(&daemon, rule);
        daemon.replace_rules(&sets[reload % 2]);
        daemon.until("the reload", |daemon| {
            daemon.metric("yagura_rules_reload_total{result=\"success\"}") >= reload as f64
        });
        daemon.until("detections by the new rules", |daemon| detections(daemon, rule) > before);
    }
    fs::write(&stop, "").expect("a file");
    let output = actor.wait_with_output().expect("the actor's output");
    let truth: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let opened = truth["opened"].as_u64().expect("a count");
    // A slow machine is behind with the writing; the end has a deadline.
    daemon.until("all is written", |daemon| {
        daemon.metric("yagura_sink_delivered_total{sink=\"stdout\",tenant=\"platform\"}") >= opened as f64
    });
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(0));
    let counters = ended.balance();
    assert_eq!(counters["lost"], 0, "{counters}");
    assert_eq!(
        counters["matched"].as_u64(),
        Some(opened),
        "each open matched one set or the other: {counters}"
    );
    assert_eq!(ended.detections().len() as u64, opened, "and was printed");
    let of = |name: &str| ended.detections().iter().filter(|detection| detection["rule"] == name).count();
    assert!(of("Odd") > 0 && of("Even") > 0, "both sets ran");
}

#[test]
fn sigterm_drains_what_was_seen() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let config = "rate_limit:\n  rate: 0\nqueue_size: 65536\n";
    let daemon = Daemon::start(&Options { rules: &rule("Drained", &file), config, ..Options::default() });
    let output = Command::new(actor())
        .args([
            "flood-opens",
            &format!("path={}", file.display()),
            "cpu=1",
            "count=2000",
            "milliseconds=60000",
        ])
        .output()
        .expect("the actor runs");
    // At once: what is in the ring and in the queue must still come out.
    let ended = daemon.stop();
    let truth: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(ended.status.code(), Some(0));
    let counters = ended.balance();
    assert_eq!(counters["lost"], 0, "{counters}");
    assert_eq!(ended.detections().len() as u64, truth["opened"].as_u64().expect("a count"), "{counters}");
}

#[test]
fn sigint_ends_it_like_sigterm() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let daemon =
        Daemon::start(&Options { rules: &rule("Any", &scratch.path().join("file")), ..Options::default() });
    daemon.signal(libc::SIGINT);
    let ended = daemon.wait();
    assert_eq!(ended.status.code(), Some(0));
    ended.balance();
}

#[test]
fn a_recording_replays_to_the_same_detections() {
    if off() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let rules = rule("Recorded", &file);
    let record = scratch.path().join("events.rec");
    let daemon = Daemon::start(&Options {
        rules: &rules,
        args: vec!["--record".into(), record.to_str().expect("text").into()],
        ..Options::default()
    });
    let rules_copy = scratch.path().join("rules.yaml");
    fs::copy(daemon.rules(), &rules_copy).expect("a copy");
    let mut last = 0;
    for _ in 0..20 {
        last = cat(file.to_str().expect("text"));
    }
    daemon.detection(|detection| by(detection, last));
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(0));
    let live = ended.detections();
    assert_eq!(live.len(), 20);

    let record = record.to_str().expect("text");
    let output = yagura(&["replay", record, "--rules", rules_copy.to_str().expect("text")]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let replayed: Vec<Value> = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|value| value["rule"].is_string())
        .collect();
    assert_eq!(replayed.len(), live.len(), "{stdout}\n{stderr}");
    for (live, replayed) in live.iter().zip(&replayed) {
        for key in
            ["time", "rule", "priority", "source", "output", "output_fields", "tags", "incomplete_fields"]
        {
            assert_eq!(live[key], replayed[key], "{key}");
        }
    }
    assert!(format!("{stdout}{stderr}").contains("/s"), "replay reports its speed: {stdout}\n{stderr}");
}

#[test]
fn rules_check_exits_with_its_verdict() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("text").to_owned()
    };
    let good = write("good.yaml", &rule("Good", Path::new("/etc/shadow")));
    let broken = write(
        "broken.yaml",
        "- rule: Broken\n  desc: d\n  condition: evt.type = open and fd.nmae = x\n  output: o\n  priority: INFO\n",
    );
    let absent = folder.path().join("absent.yaml").to_str().expect("text").to_owned();
    for (args, code, on_stderr) in [
        (&["rules", "check", &good][..], 0, ""),
        (&["rules", "check", &broken], 1, "fd.name"),
        (&["rules", "check", &good, &broken], 1, "broken.yaml"),
        (&["rules", "check", &absent], 2, "absent.yaml"),
        (&["rules", "check"], 2, ""),
        (&["no-such-command"], 2, ""),
        (&["run", "--no-such-option"], 2, ""),
    ] {
        let output = yagura(args);
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{text}");
        assert!(text.contains(on_stderr), "{args:?} says {on_stderr}:\n{text}");
    }
}

#[test]
fn run_refuses_what_is_wrong_before_it_attaches() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("yagura.yaml");
    fs::write(&config, "listen: 127.0.0.1:0\nno_such_key: 1\nrule_matching: some\n").expect("a file");
    let output = yagura(&["run", "--config", config.to_str().expect("text")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    // All errors at once, each with its place.
    assert!(stderr.contains("no_such_key") && stderr.contains("'some'"), "{stderr}");
    assert!(stderr.contains("yagura.yaml:2") && stderr.contains("yagura.yaml:3"), "{stderr}");

    let rules = folder.path().join("broken.yaml");
    fs::write(&rules, "- rule: X\n  desc: d\n  condition: evt.type = open and no.such.field = 1\n  output: o\n  priority: INFO\n").expect("a file");
    fs::write(&config, "listen: 127.0.0.1:0\n").expect("a file");
    let output = yagura(&[
        "run",
        "--config",
        config.to_str().expect("text"),
        "--rules",
        rules.to_str().expect("text"),
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    assert!(stderr.contains("no.such.field") && stderr.contains("broken.yaml:3"), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn without_privileges_it_says_what_is_missing() {
    // A copy that an unprivileged user can reach.
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("yagura");
    fs::copy(end_to_end::daemon::binary(), &program).expect("a copy");
    fs::write(folder.path().join("yagura.yaml"), "listen: 127.0.0.1:0\n").expect("a file");
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let output = Command::new(&program)
        .args(["run", "--config"])
        .arg(folder.path().join("yagura.yaml"))
        .uid(65534)
        .gid(65534)
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("CAP_BPF"), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn doctor_says_what_this_kernel_offers() {
    let output = yagura(&["doctor", "-o", "json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    assert!(report.to_string().contains(release.trim()), "{report}");
    assert_eq!(yagura(&["doctor"]).status.code(), output.status.code(), "both forms say the same");
}
