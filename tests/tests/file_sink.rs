//! Detections in files: moved away by logrotate, on a disk that is full, one for each tenant.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use end_to_end::{
    activity::{open, opened_rule},
    daemon::{Daemon, Options, yagura},
    kernel_tests_run,
};
use serde_json::Value;
use tempfile::TempDir;

fn config(path: &Path, more: &str) -> String {
    format!(
        "rate_limit: {{rate: 0}}\nqueue_size: 100000\nsinks:\n\
         - {{name: log, type: file, path: '{}', retry: {{first: 10ms, longest: 200ms}}{more}}}\n",
        path.display()
    )
}

fn metric(daemon: &Daemon, name: &str) -> f64 {
    daemon.metric(&format!("yagura_sink_{name}{{sink=\"log\",tenant=\"platform\"}}"))
}

/// The lines of a file, of which the last is whole too.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.is_empty() || text.ends_with('\n'), "the last line of {} is torn", path.display());
    text.lines().map(str::to_owned).collect()
}

#[test]
fn what_logrotate_moves_away_and_what_comes_after_is_all_there_is() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("detections.log");
    let daemon = Daemon::start(&Options {
        rules: &opened_rule("moved"),
        config: &config(&path, ", batch: {max_entries: 7}"),
        ..Options::default()
    });
    let enough = AtomicBool::new(false);
    let mut files: Vec<PathBuf> = Vec::new();
    thread::scope(|scope| {
        let flood = scope.spawn(|| {
            for number in (0..).take_while(|_| !enough.load(Ordering::SeqCst)) {
                (0..10).for_each(|more| open("moved", number * 10 + more));
                // Some hundred a second: what comes while the machine stands still has room.
                thread::sleep(Duration::from_millis(20));
            }
        });
        for round in 1..=5 {
            daemon.until("some of it is in the file", |_| {
                lines_until_now(&path).iter().filter(|byte| **byte == b'\n').count() > 10
            });
            let moved = folder.path().join(format!("detections.log.{round}"));
            fs::rename(&path, &moved).expect("moved away");
            daemon.signal(libc::SIGHUP);
            daemon.until("there is a new file", |_| path.exists());
            files.push(moved);
        }
        enough.store(true, Ordering::SeqCst);
        flood.join().expect("it ends");
    });
    open("moved", "last");
    daemon.detection(|detection| detection["output_fields"]["fd.name"] == "/yagura-moved-last");
    // Also when nothing comes.
    daemon.until("all is written", |daemon| {
        metric(daemon, "unsent") == 0.0 && metric(daemon, "sent_total") == metric(daemon, "spooled_total")
    });
    let last = folder.path().join("detections.log.6");
    fs::rename(&path, &last).expect("moved away");
    daemon.signal(libc::SIGHUP);
    daemon.until("there is a new file", |_| path.exists());
    assert_eq!(lines(&path), [""; 0]);
    files.push(last);
    let ended = daemon.stop();
    ended.balance();
    let written: Vec<Value> = files
        .iter()
        .flat_map(|file| lines(file))
        .map(|line| serde_json::from_str(&line).expect("JSON"))
        .collect();
    assert!(written.len() > 50, "{}", written.len());
    let said = ended.detections();
    let differs = written.iter().zip(&said).position(|(written, said)| written != said);
    assert!(
        differs.is_none() && written.len() == said.len(),
        "what stdout said, each once and in its place: {} of {}, {differs:?}",
        written.len(),
        said.len()
    );
}

/// While it is written.
fn lines_until_now(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

/// A disk of a few pages; gone when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new() -> SmallDisk {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
        let status = Command::new("mount").args(mount).arg(folder.path()).status().expect("mount runs");
        assert!(status.success(), "a disk cannot be mounted");
        SmallDisk(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_tears_no_line_and_loses_none() {
    if !kernel_tests_run() {
        return;
    }
    let disk = SmallDisk::new();
    let path = disk.0.path().join("detections.log");
    let filler = disk.0.path().join("filler");
    let daemon = Daemon::start(&Options {
        rules: &opened_rule("full"),
        config: &config(&path, ""),
        ..Options::default()
    });
    daemon.until("the file is there", |_| path.exists());
    // One page is left for the file: it ends in the middle of a line.
    fs::write(&filler, vec![b'x'; 48 << 10]).expect("a filler");
    (0..60).for_each(|number| open("full", number));
    daemon.until("it does not fit", |daemon| {
        daemon.metric("yagura_sink_failed_total{sink=\"log\",tenant=\"platform\",reason=\"write\"}") > 3.0
    });
    // It is tried again and again, and the end of each try is taken back.
    let mut before = Vec::new();
    daemon.until("no line is torn", |_| {
        before = lines_until_now(&path);
        before.last() == Some(&b'\n')
    });
    let before = before.iter().filter(|byte| **byte == b'\n').count();
    assert!(before > 0 && before < 60, "{before}");
    assert!(metric(&daemon, "unsent") > 0.0);
    daemon.log(|line| line.contains("cannot write to") && line.contains("No space left"));
    fs::remove_file(&filler).expect("removed");
    daemon.until("all is written", |daemon| {
        metric(daemon, "sent_total") == metric(daemon, "spooled_total") && metric(daemon, "unsent") == 0.0
    });
    let written: Vec<Value> =
        lines(&path).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ended = daemon.stop();
    ended.balance();
    assert_eq!(written.len(), 60);
    assert!(written == ended.detections(), "each once and in its place");
}

#[test]
fn what_was_journaled_is_in_the_file_though_the_daemon_is_killed() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal.db");
    let journal = journal.to_str().expect("text");
    let path = folder.path().join("detections.log");
    let rules = opened_rule("slain");
    let start = |more: &str| {
        let config = config(&path, more) + &format!("journal:\n  path: {journal}\n");
        Daemon::start(&Options { rules: &rules, config: &config, ..Options::default() })
    };
    for round in 0..3 {
        let daemon = start(", batch: {max_entries: 3}");
        let before = lines_until_now(&path).len();
        (0..300).for_each(|number| open("slain", format!("{round}-{number}-")));
        daemon.until("some of it is written", |_| lines_until_now(&path).len() > before + 1000);
        daemon.signal(libc::SIGKILL);
        daemon.wait();
    }
    // Each batch is synced, so now in few of them.
    let daemon = start("");
    daemon.until("all is written", |daemon| metric(daemon, "up") == 1.0 && metric(daemon, "unsent") == 0.0);
    daemon.stop();
    let export = yagura(&["journal", "export", "--path", journal]);
    let export = String::from_utf8(export.stdout).expect("text");
    let mut known = std::collections::HashSet::new();
    // What was sent before a kill and whose cursor was not kept comes again, the same; so does what a kill has torn.
    let (whole, torn): (Vec<String>, Vec<String>) =
        lines(&path).into_iter().partition(|line| serde_json::from_str::<Value>(line).is_ok());
    assert!(torn.len() <= 3, "one of each kill: {torn:?}");
    let written: Vec<String> = whole.into_iter().filter(|line| known.insert(line.clone())).collect();
    // At least what each round waits for.
    assert!(written.len() >= 6, "{}", written.len());
    assert!(written == export.lines().collect::<Vec<_>>(), "the journal's lines, byte by byte");
}

#[test]
fn a_test_line_shows_that_it_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("yagura.yaml");
    let path = folder.path().join("platform.log");
    let text = config(&folder.path().join("{tenant}.log"), ", format: text");
    fs::write(&file, text).expect("a file");
    let test = || yagura(&["sink", "test", "--config", file.to_str().expect("text")]);
    let output = test();
    assert!(output.status.success(), "{output:?}");
    let [line] = &*lines(&path) else { panic!("not one line") };
    assert!(line.ends_with(": Debug Test of a sink; nothing has happened"), "{line}");
    // What is in the way is said.
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a folder");
    let output = test();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot open") && said.contains("Is a directory"), "{said}");
}
