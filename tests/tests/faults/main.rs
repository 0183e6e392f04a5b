//! What goes wrong between a detection and its receiver. Each test asserts that all that was journaled arrives: at least
//! once, once after repetitions are left out, and in order.

mod clock;
mod disk;
mod flood;
mod gone;
mod half;
mod kills;
mod names;
mod slow;
mod storms;

use std::{net::SocketAddr, path::Path};

use end_to_end::{
    activity::{self, journaled, once, opened_rule, uuids},
    daemon::{Daemon, Ended},
};

/// Makes detections of [`opened_rule`].
fn open(test: &str, numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| activity::open(test, number));
}

/// A webhook at an address or a name, that is tried again soon.
fn config(authority: &str, webhook: &str) -> String {
    format!(
        "rate_limit: {{rate: 0}}\nqueue_size: 100000\nsinks:\n- {{name: hook, type: webhook, \
         url: 'http://{authority}/', retry: {{first: 10ms, longest: 100ms}}{webhook}}}\n"
    )
}

/// The same, with much time for each answer: a request that is made again because the machine is slow would come twice.
fn at(address: SocketAddr) -> String {
    config(&address.to_string(), ", timeout: 60s")
}

fn journal(path: &Path) -> String {
    format!("journal:\n  path: {}\n", path.display())
}

/// A metric of the sink's lane.
fn of(daemon: &Daemon, name: &str) -> f64 {
    daemon.metric(&format!("yagura_sink_{name}{{sink=\"hook\",tenant=\"platform\"}}"))
}

/// Waits until the sink has nothing left of so many journaled detections.
fn until_sent(daemon: &Daemon, written: f64) {
    daemon.until("everything is sent", |daemon| {
        daemon.metric("yagura_journal_written_total") == written && of(daemon, "unsent") == 0.0
    });
}

/// The lane's part of the daemon's last line, its equation checked.
fn lane(ended: &Ended, key: &str) -> u64 {
    let balance = ended.balance();
    let lane = &balance["sinks"][0];
    let number = |key: &str| lane[key].as_u64().unwrap_or_else(|| panic!("no {key} in {balance}"));
    assert_eq!(
        number("resumed") + number("spooled"),
        number("sent") + number("rejected") + number("filtered") + number("lost") + number("unsent"),
        "{lane}"
    );
    number(key)
}
