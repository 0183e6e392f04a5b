//! The journal beside a running daemon, and after one that was killed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use end_to_end::{
    activity::{open, opened_rule},
    daemon::{Daemon, Options, yagura},
    kernel_tests_run,
};
use serde_json::Value;

fn lines(args: &[&str]) -> Vec<Value> {
    let output = yagura(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn uuids(detections: &[Value]) -> BTreeSet<String> {
    detections.iter().map(|detection| detection["uuid"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn what_stdout_says_is_in_the_journal_even_if_the_daemon_is_killed() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let path = path.to_str().expect("text");
    let config = format!("rate_limit: {{rate: 0}}\nqueue_size: 100000\njournal:\n  path: {path}\n");
    let mut said = BTreeSet::new();
    // At five moments of a flood, each after as many detections more, on the same file.
    for round in 0..5 {
        let daemon =
            Daemon::start(&Options { rules: &opened_rule("killed"), config: &config, ..Options::default() });
        let stop = Arc::new(AtomicBool::new(false));
        let flood = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    open("killed", format!("{round}-{number}-"));
                    number += 1;
                }
            }
        });
        let mark = format!("/yagura-killed-{round}-{}-", 37 * (round + 1) * (round + 1));
        daemon.detection(|detection| detection["output"].as_str().is_some_and(|text| text.contains(&mark)));
        daemon.signal(libc::SIGKILL);
        stop.store(true, Ordering::Relaxed);
        flood.join().expect("it ends");
        let ended = daemon.wait();
        let printed: Vec<Value> =
            ended.stdout.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(!printed.is_empty());
        said.extend(uuids(&printed));
        let kept = lines(&["journal", "export", "--path", path]);
        let missing: Vec<_> = said.difference(&uuids(&kept)).cloned().collect();
        assert!(missing.is_empty(), "round {round}: {} of {} are missing", missing.len(), said.len());
    }
}

#[test]
fn the_command_line_reads_beside_the_daemon() {
    if !kernel_tests_run() {
        return;
    }
    // stdout in another form: the journal's is whole all the same.
    let config = "rate_limit: {rate: 0}\njson_include_output_fields_property: false\n";
    let daemon = Daemon::start(&Options { rules: &opened_rule("read"), config, ..Options::default() });
    for number in 0..5 {
        open("read", number);
    }
    daemon.detection(|detection| detection["output"].as_str().is_some_and(|text| text.ends_with("-4")));
    let path = daemon.folder().join("journal.db");
    let path = path.to_str().expect("text");
    let last = lines(&["journal", "tail", "--path", path, "-n", "2"]);
    let names: Vec<_> = last.iter().map(|line| line["output_fields"]["fd.name"].as_str()).collect();
    assert_eq!(names, [Some("/yagura-read-3"), Some("/yagura-read-4")]);
    assert_eq!(lines(&["journal", "export", "--path", path, "--rule", "Opened"]).len(), 5);
    assert_eq!(lines(&["journal", "export", "--path", path, "--tenant", "nobody"]).len(), 0);
    assert_eq!(lines(&["journal", "export", "--path", path, "--until", "2000-01-01T00:00:00Z"]).len(), 0);
    let stats = yagura(&["journal", "stats", "--path", path, "-o", "json"]);
    let stats: Value = serde_json::from_slice(&stats.stdout).expect("JSON");
    assert_eq!((&stats["detections"], &stats["tenants"][0]["tenant"]), (&5.into(), &"platform".into()));
    assert_eq!(daemon.metric("yagura_journal_written_total"), 5.0);
    assert_eq!(daemon.metric("yagura_journal_up"), 1.0);
    let balance = daemon.stop().balance();
    assert_eq!((&balance["delivered"], &balance["dropped"]), (&5.into(), &0.into()), "{balance}");
    let absent = yagura(&["journal", "stats", "--path", "/nonexistent/journal.db"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("/nonexistent/journal.db"));
}

#[test]
fn without_a_journal_detections_go_to_stdout() {
    if !kernel_tests_run() {
        return;
    }
    for journal in ["enabled: false", "path: /proc/no/journal.db"] {
        let config = format!("rate_limit: {{rate: 0}}\njournal:\n  {journal}\n");
        let daemon =
            Daemon::start(&Options { rules: &opened_rule("without"), config: &config, ..Options::default() });
        open("without", "any");
        daemon.detection(|detection| detection["rule"] == "Opened");
        assert_eq!(daemon.metric("yagura_journal_up"), 0.0, "{journal}");
        let failed = daemon.metric("yagura_journal_failures_total{reason=\"closed\"}");
        assert_eq!(failed, if journal.starts_with("path") { 1.0 } else { 0.0 }, "{journal}");
        let balance = daemon.stop().balance();
        assert_eq!((&balance["delivered"], &balance["dropped"]), (&1.into(), &0.into()), "{balance}");
    }
}
