use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use super::*;

fn entry(line: &str) -> Entry {
    Entry::of_test(1, line)
}

fn entries(numbers: std::ops::Range<u32>) -> Vec<Entry> {
    numbers.map(|number| entry(&format!(r#"{{"n":{number}}}"#))).collect()
}

fn json(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("{{\"n\":{number}}}\n")).collect()
}

fn sink(path: &Path, rotate: Option<Rotate>) -> FileSink {
    FileSink::new(Settings { path: path.to_str().unwrap().into(), format: Format::Json, rotate })
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

async fn all_taken(sink: &FileSink, tenant: &str, entries: &[Entry]) {
    assert_eq!(sink.send(tenant, entries).await, Sent { taken: entries.len(), refusal: None });
}

fn is_later(sent: &Sent) -> bool {
    matches!(sent, Sent { taken: 0, refusal: Some(Refusal::Later { reason: Reason::Write, .. }) })
}

#[test]
fn a_line_is_the_journals_or_its_output() {
    for (format, line, expected) in [
        (Format::Json, r#"{"b": 1,"a":"\u001b"}"#, Some("{\"b\": 1,\"a\":\"\\u001b\"}\n")),
        (Format::Text, r#"{"output":"10:00: Notice x (é)"}"#, Some("10:00: Notice x (é)\n")),
        (Format::Text, r#"{"output":"a\nb\t\u001b[2J\u202e"}"#, Some("a\\nb\\t\\x1b[2J\\u{202e}\n")),
        (Format::Text, r#"{"rule":"r"}"#, None),
        (Format::Text, "{", None),
    ] {
        let made = super::line(format, &entry(line)).ok().map(|line| String::from_utf8(line).unwrap());
        assert_eq!(made.as_deref(), expected, "{line}");
    }
}

#[tokio::test]
async fn what_has_no_output_is_refused_and_what_was_before_it_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let settings = Settings { path: path.to_str().unwrap().into(), format: Format::Text, rotate: None };
    let sink = FileSink::new(settings);
    let three = [entry(r#"{"output":"one"}"#), entry("{}"), entry(r#"{"output":"three"}"#)];
    let Sent { taken, refusal } = sink.send("t", &three).await;
    assert!(taken == 1 && matches!(refusal, Some(Refusal::Poison { .. })), "{taken} {refusal:?}");
    assert!(!sink.sends_together());
    assert_eq!(text(&path), "one\n");
}

#[tokio::test]
async fn is_there_from_the_start_for_its_owner_and_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deep/log");
    let sink = sink(&path, None);
    assert_eq!(sink.probe("shop").await, Ok(()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(folder.path().join("new")).unwrap().permissions().mode() & 0o007, 0);
    all_taken(&sink, "t", &entries(0..3)).await;
    all_taken(&sink, "u", &entries(3..5)).await;
    assert_eq!(text(&path), json(0..5));
}

#[tokio::test]
async fn each_tenant_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(&folder.path().join("{tenant}/log-{tenant}"), None);
    assert_eq!(sink.probe("shop").await, Ok(()));
    all_taken(&sink, "shop", &entries(0..2)).await;
    all_taken(&sink, "ml", &entries(2..3)).await;
    assert_eq!(text(folder.path().join("shop/log-shop")), json(0..2));
    assert_eq!(text(folder.path().join("ml/log-ml")), json(2..3));
    for hostile in ["", "..", ".hidden", "a/../../b"] {
        assert!(is_later(&sink.send(hostile, &entries(0..1)).await), "{hostile}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn rotates_before_it_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    // A line is 8 bytes.
    let sink = sink(&path, Some(Rotate { max_size: 30, keep: 2 }));
    all_taken(&sink, "t", &entries(0..2)).await;
    all_taken(&sink, "t", &entries(2..7)).await;
    assert_eq!(text(folder.path().join("log.2")), json(0..3));
    assert_eq!(text(folder.path().join("log.1")), json(3..6));
    assert_eq!(text(&path), json(6..7));
    // One that is longer than a file may be has one of its own; the oldest goes.
    let long = entry(&"x".repeat(100));
    all_taken(&sink, "t", std::slice::from_ref(&long)).await;
    all_taken(&sink, "t", &entries(7..8)).await;
    assert_eq!(text(folder.path().join("log.2")), json(6..7));
    assert_eq!(text(folder.path().join("log.1")), long.line + "\n");
    assert_eq!(text(&path), json(7..8));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn follows_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let moved = folder.path().join("moved");
    let sink = sink(&path, None);
    all_taken(&sink, "t", &entries(0..1)).await;
    fs::rename(&path, &moved).unwrap();
    sink.reopen();
    assert_eq!(text(&path), "", "it is there before anything comes");
    all_taken(&sink, "t", &entries(1..2)).await;
    assert_eq!((text(&moved), text(&path)), (json(0..1), json(1..2)));
    // Nobody has said so.
    fs::remove_file(&path).unwrap();
    all_taken(&sink, "t", &entries(2..3)).await;
    assert_eq!(text(&path), json(2..3));
    // As logrotate does with copytruncate.
    fs::write(&path, "").unwrap();
    all_taken(&sink, "t", &entries(3..4)).await;
    assert_eq!(text(&path), json(3..4));
}

#[tokio::test]
async fn half_a_line_that_a_crash_left_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "whole\nha").unwrap();
    let sink = sink(&path, None);
    all_taken(&sink, "t", &entries(0..1)).await;
    all_taken(&sink, "t", &entries(1..2)).await;
    assert_eq!(text(&path), format!("whole\nha\n{}", json(0..2)));
}

#[test]
fn what_was_torn_is_taken_back_unless_somebody_else_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for (others, expected) in [("", "one\ntwo\n"), ("others\n", "one\ntwo\nthrothers\n")] {
        fs::write(&path, "one\ntwo\nthr").unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(others.as_bytes()).unwrap();
        // Of "two\nthr", after "one\n".
        appender::take_back(&file, 4, 7, 4);
        assert_eq!(text(&path), expected);
    }
}

#[tokio::test]
async fn writes_to_nothing_but_a_plain_file_with_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "precious").unwrap();
    let at = |name: &str| folder.path().join(name);
    symlink(&other, at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fs::hard_link(&other, at("second-name")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for name in ["link", "dangling", "second-name", "folder", "pipe", "other/below"] {
        let sink = sink(&at(name), None);
        assert!(is_later(&sink.send("t", &entries(0..1)).await), "{name}");
        assert!(sink.probe("shop").await.is_err(), "{name}");
    }
    assert_eq!(text(&other), "precious");
    assert!(!at("nowhere").exists());
    // Once what is in the way is gone it works.
    let sink = sink(&at("link"), None);
    assert!(is_later(&sink.send("t", &entries(0..1)).await));
    fs::remove_file(at("link")).unwrap();
    all_taken(&sink, "t", &entries(0..1)).await;
    assert_eq!(fs::metadata(at("link")).unwrap().nlink(), 1);
}

#[tokio::test]
async fn a_disk_that_hangs_delays_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(&folder.path().join("{tenant}"), None);
    let (hung, (held, holds), (release, released)) =
        (sink.file("a").unwrap(), std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let disk = std::thread::spawn(move || {
        let _guard = lock(&hung);
        held.send(()).unwrap();
        released.recv().unwrap();
    });
    holds.recv().unwrap();
    let entries = entries(0..2);
    let mut waiting = sink.send("a", &entries);
    // All on this one thread.
    let other = sink.send("b", &entries);
    let sent = tokio::select! {
        biased;
        sent = &mut waiting => panic!("{sent:?}"),
        sent = other => sent,
    };
    assert_eq!(sent, Sent { taken: 2, refusal: None });
    release.send(()).unwrap();
    disk.join().unwrap();
    assert_eq!(waiting.await, sent);
    assert_eq!(text(folder.path().join("a")), json(0..2));
}
