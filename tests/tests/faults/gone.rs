//! A receiver that is gone for more than two minutes, while detections go on.

use end_to_end::{
    daemon::{Daemon, Options},
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

use super::{lane, of, open, opened_rule, until_sent};

#[test]
fn a_receiver_that_is_gone_for_minutes_gets_everything_once_it_is_back() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    // Tried again as seldom as a real one is, but for the last step: it must be noticed before a wait's deadline.
    let config = format!(
        "rate_limit: {{rate: 0}}\nsinks: [{{name: hook, type: webhook, url: 'http://{address}/', retry: {{longest: 20s}}}}]\n"
    );
    let before = Receiver::start(address, |_| Act::Answer(200));
    let daemon =
        Daemon::start(&Options { rules: &opened_rule("gone"), config: &config, ..Options::default() });
    open("gone", 0..50);
    until_sent(&daemon, 50.0);
    let mut taken = before.stop();

    // The daemon itself says how long it is; each wait ends long before its own deadline.
    let mut opened = 50;
    for seconds in [0.0, 40.0, 80.0, 120.0] {
        daemon.until("time passes", |daemon| of(daemon, "oldest_unsent_seconds") >= seconds);
        open("gone", opened..opened + 50);
        opened += 50;
        daemon.until("it is kept", |daemon| of(daemon, "unsent") == (opened - 50) as f64);
    }
    assert_eq!(of(&daemon, "up"), 0.0);

    let after = Receiver::start(address, |_| Act::Answer(200));
    until_sent(&daemon, opened as f64);
    assert_eq!((of(&daemon, "up"), of(&daemon, "oldest_unsent_seconds")), (1.0, 0.0));
    taken.extend(after.bodies());
    let ended = daemon.stop();
    assert_eq!((lane(&ended, "sent"), lane(&ended, "lost"), lane(&ended, "unsent")), (opened as u64, 0, 0));
    let taken: Vec<serde_json::Value> =
        taken.iter().map(|body| serde_json::from_str(body).expect("JSON")).collect();
    assert_eq!(taken, ended.detections(), "each once, in order");
}
