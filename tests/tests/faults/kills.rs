//! A daemon that is killed at any moment: while it starts, opens its journal, writes, sends, or keeps cursors.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use end_to_end::{
    daemon::{Daemon, Options},
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

use super::{at, journal, journaled, lane, of, once, open, opened_rule, uuids};

const KILLS: usize = 20;
/// How long it may work before it is killed.
const WORK: Duration = Duration::from_millis(700);

#[test]
fn what_was_journaled_arrives_though_the_daemon_is_killed_twenty_times() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let address = free_address();
    // One in seven fails, each in another way.
    let count = AtomicUsize::new(0);
    let receiver = Receiver::start(address, move |_| match count.fetch_add(1, Ordering::SeqCst) % 21 {
        6 => Act::Answer(503),
        13 => Act::Reset,
        20 => Act::Answer(429),
        _ => Act::Answer(200),
    });
    let config = format!("{}{}", at(address), journal(&path));
    let rules = opened_rule("slain");
    let options = || Options { rules: &rules, config: &config, ..Options::default() };
    // Once whole, so that the sink has a beginning.
    let begin = Instant::now();
    let first = Daemon::start(&options());
    let start = begin.elapsed();
    first.stop();
    let ended = Arc::new(AtomicBool::new(false));
    let flood = thread::spawn({
        let ended = Arc::clone(&ended);
        move || {
            for number in 0.. {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                open("slain", number * 10..number * 10 + 10);
                // Some hundred a second.
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let random = RandomState::new();
    for kill in 0..KILLS {
        // Every other one while it starts, however long that takes today; the others while it works.
        let (daemon, within) = if kill % 2 == 0 {
            (Daemon::launch(&options()), start)
        } else {
            (Daemon::start(&options()), WORK)
        };
        let moment = within.mul_f64(random.hash_one(kill) as f64 / u64::MAX as f64);
        eprintln!("kill {kill} after {moment:?}");
        thread::sleep(moment);
        daemon.signal(libc::SIGKILL);
        daemon.wait();
    }
    let daemon = Daemon::start(&options());
    // However little the others had time for.
    daemon.until("enough is journaled", |daemon| daemon.metric("yagura_journal_written_total") >= 250.0);
    ended.store(true, Ordering::SeqCst);
    flood.join().expect("it ends");
    end_to_end::activity::open("slain", "last");
    daemon.detection(|detection| detection["output_fields"]["fd.name"] == "/yagura-slain-last");
    daemon.until("all is sent", |daemon| of(daemon, "up") == 1.0 && of(daemon, "unsent") == 0.0);
    let ended = daemon.stop();
    assert_eq!((lane(&ended, "lost"), lane(&ended, "rejected")), (0, 0));
    let kept = uuids(&journaled(&path));
    assert!(kept.len() > 200, "{} were journaled", kept.len());
    let taken = receiver.taken();
    eprintln!("{} journaled, {} requests taken", kept.len(), taken.len());
    assert!(once(&uuids(&taken)) == kept, "all of it, each in its place");
}
