//! A receiver that refuses for a long time, in every way, and one detection for ever.

use std::sync::atomic::{AtomicUsize, Ordering};

use end_to_end::{
    daemon::{Daemon, Options, yagura},
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

use super::{at, journal, lane, of, once, open, opened_rule, uuids};

#[test]
fn storms_of_refusals_lose_nothing_and_one_poison_blocks_nothing() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let count = AtomicUsize::new(0);
    let receiver = Receiver::start(address, move |body| match count.fetch_add(1, Ordering::SeqCst) {
        _ if body.contains("/yagura-storm-7\"") => Act::Answer(400),
        20..80 => Act::Answer(429),
        90..150 => Act::Answer(500),
        160..190 => Act::Reset,
        200..220 => Act::Answer(503),
        _ => Act::Answer(200),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let config = format!("{}{}", at(address), journal(&path));
    let daemon =
        Daemon::start(&Options { rules: &opened_rule("storm"), config: &config, ..Options::default() });
    open("storm", 0..200);
    daemon.until("all is over", |daemon| {
        of(daemon, "sent_total") == 199.0 && of(daemon, "rejected_total") == 1.0
    });
    let ended = daemon.stop();
    let mut expected = ended.detections();
    expected.retain(|detection| detection["output_fields"]["fd.name"] != "/yagura-storm-7");
    assert_eq!(receiver.taken(), expected, "each once, in order");
    assert_eq!(once(&uuids(&receiver.taken())).len(), 199);
    assert_eq!((lane(&ended, "rejected"), lane(&ended, "lost")), (1, 0));
}

#[test]
fn what_the_journals_bound_removes_is_counted_exactly() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let config = format!("{}{}  max_size: 1MiB\n", at(address), journal(&path));
    // Nobody listens yet.
    let daemon =
        Daemon::start(&Options { rules: &opened_rule("bound"), config: &config, ..Options::default() });
    open("bound", 0..3000);
    // What is too much is removed after it was written: by the file itself that is over.
    let stats = || {
        let output = yagura(&["journal", "stats", "-o", "json", "--path", path.to_str().expect("text")]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default()
    };
    daemon.until("all is journaled, and what is too much removed", |daemon| {
        daemon.metric("yagura_journal_written_total") == 3000.0
            && stats()["size"].as_u64().is_some_and(|size| size <= 1 << 19)
    });
    let receiver = Receiver::start(address, |_| Act::Answer(200));
    daemon.until("what is left is sent", |daemon| of(daemon, "unsent") == 0.0);
    let removed = daemon.metric("yagura_journal_removed_total{bound=\"share\",tenant=\"platform\"}");
    assert_eq!(of(&daemon, "lost_total"), removed);
    let ended = daemon.stop();
    let (sent, lost) = (lane(&ended, "sent"), lane(&ended, "lost"));
    assert!(lost > 1000 && sent + lost == 3000, "{sent} sent, {lost} lost");
    let all = ended.detections();
    assert_eq!(receiver.taken(), all[all.len() - sent as usize..], "the newest, each once, in order");
}
