//! A clock that is set back an hour while the daemon runs. The machine's own is left alone: a library between the daemon
//! and its C library tells it another time.

use std::{fs, path::Path};

use super::{at, journal, journaled, lane, of, once, open, opened_rule, until_sent, uuids};
use end_to_end::{
    daemon::{Daemon, Options},
    install, kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// When each was journaled, nanoseconds since the epoch.
fn written(path: &Path) -> Vec<i64> {
    let connection = yagura::journal::open_beside(path).expect("a journal");
    let mut statement = connection.prepare("SELECT written_ns FROM detections ORDER BY id").expect("SQL");
    let times = statement.query_map([], |row| row.get(0)).expect("rows");
    times.map(|time| time.expect("a number")).collect()
}

#[test]
fn a_clock_that_is_set_back_an_hour_reorders_and_loses_nothing() {
    if !kernel_tests_run() {
        return;
    }
    install("clock");
    let folder = tempfile::tempdir().expect("a folder");
    let (path, offset) = (folder.path().join("journal.db"), folder.path().join("offset"));
    fs::write(&offset, "+0").expect("a file");
    let env = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().expect("text")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let address = free_address();
    let config = format!("{}{}", at(address), journal(&path));
    let options = Options { rules: &opened_rule("clock"), config: &config, env: &env, ..Options::default() };
    let daemon = Daemon::start(&options);
    open("clock", 0..50);
    daemon.until("the first are journaled", |daemon| daemon.metric("yagura_journal_written_total") == 50.0);
    // In one step: the library reads it at each look at the clock.
    let back = folder.path().join("back");
    fs::write(&back, "-1h").expect("a file");
    fs::rename(&back, &offset).expect("renamed");
    open("clock", 50..100);
    daemon.until("the others too", |daemon| daemon.metric("yagura_journal_written_total") == 100.0);
    daemon.until("how long the first has waited is told by the clock that there is now", |daemon| {
        of(daemon, "oldest_unsent_seconds") > 0.0
    });
    let receiver = Receiver::start(address, |_| Act::Answer(200));
    until_sent(&daemon, 100.0);
    assert!(of(&daemon, "lag_seconds") > 0.0, "of what was written and sent by the same clock");
    let ended = daemon.stop();
    assert_eq!(receiver.taken(), ended.detections(), "each once, in order");
    assert_eq!((once(&uuids(&receiver.taken())), lane(&ended, "lost")), (uuids(&journaled(&path)), 0));
    // The clock was set back indeed: the journal says when it wrote.
    let written = written(&path);
    assert!(written[50] < written[49] - 3_000_000_000_000, "{} {}", written[49], written[50]);
}
