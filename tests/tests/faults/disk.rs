//! A disk without room for the journal.

use end_to_end::{
    daemon::{Daemon, Options},
    disk::Disk,
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

use super::{at, journal, journaled, lane, once, open, opened_rule, until_sent, uuids};

#[test]
fn a_full_disk_costs_what_it_has_no_room_for_and_nothing_else() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::new(folder.path(), "2m");
    let path = folder.path().join("journal.db");
    let address = free_address();
    let config = format!("{}{}", at(address), journal(&path));
    let daemon =
        Daemon::start(&Options { rules: &opened_rule("disk"), config: &config, ..Options::default() });
    let failures = "yagura_journal_failures_total{reason=\"disk_full\"}";
    let mut opened = 0;
    while daemon.metric(failures) == 0.0 {
        assert!(opened < 20_000, "the disk does not fill");
        open("disk", opened..opened + 500);
        opened += 500;
        daemon.until("what was opened is journaled or not", |daemon| {
            daemon.metric("yagura_journal_written_total") + daemon.metric(failures) >= opened as f64
        });
    }
    // stdout has all of them, and somebody who listens gets what is on the disk though there is no room for cursors.
    let last = format!("/yagura-disk-{}", opened - 1);
    daemon.detection(|detection| detection["output_fields"]["fd.name"] == *last);
    let receiver = Receiver::start(address, |_| Act::Answer(200));
    let written = daemon.metric("yagura_journal_written_total");
    assert!(written > 100.0);
    until_sent(&daemon, written);
    disk.resize("64m");
    open("disk", opened..opened + 100);
    let last = format!("/yagura-disk-{}", opened + 99);
    daemon.detection(|detection| detection["output_fields"]["fd.name"] == *last);
    daemon.until("there is room again", |daemon| {
        daemon.metric("yagura_journal_written_total") >= written + 100.0
    });
    let (written, failed) = (daemon.metric("yagura_journal_written_total"), daemon.metric(failures));
    until_sent(&daemon, written);
    let ended = daemon.stop();
    assert_eq!(written + failed, (opened + 100) as f64, "each is journaled or counted");
    assert_eq!(ended.detections().len(), opened + 100, "stdout has all");
    let came = once(&uuids(&receiver.taken()));
    assert_eq!(came.len() as f64, written);
    assert_eq!(came, uuids(&journaled(&path)));
    assert_eq!(lane(&ended, "lost"), 0);
}
