//! A receiver that closes the connection when it has half of a request.

use end_to_end::{
    daemon::{Daemon, Options},
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

use super::{config, lane, of, open, opened_rule, until_sent};

/// Some megabytes: what is sent at once is not all of it.
const LINE: usize = 4 << 20;

#[test]
fn a_receiver_that_goes_in_the_middle_of_a_large_request_gets_it_whole_later() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let receiver = Receiver::start(address, |_| Act::Answer(200));
    // One line that says the same name again and again.
    let name = "x".repeat(250);
    let rule = opened_rule("half");
    let rule =
        rule.replacen("opened %fd.name", &format!("opened{}", " %fd.name".repeat(LINE / name.len())), 1);
    // However slow the machine is today: nothing here is about time.
    let config = config(&address.to_string(), ", timeout: 60s");
    let daemon = Daemon::start(&Options { rules: &rule, config: &config, ..Options::default() });
    receiver.cut(3);
    for number in 0..3 {
        end_to_end::activity::open("half", format!("{number}{name}"));
        // Few of these have room in a queue.
        daemon.until("it is journaled", |daemon| {
            daemon.metric("yagura_journal_written_total") == f64::from(number + 1)
        });
    }
    until_sent(&daemon, 3.0);
    assert_eq!(receiver.cuts_left(), 0);
    let broken = "yagura_sink_failed_total{sink=\"hook\",tenant=\"platform\",reason=\"connection\"}";
    assert_eq!((daemon.metric(broken), of(&daemon, "retried_total")), (3.0, 3.0));
    // The connection that the last one went by does for the next.
    open("half", 3..4);
    until_sent(&daemon, 4.0);
    let ended = daemon.stop();
    let bodies = receiver.bodies();
    assert!(bodies[..3].iter().all(|body| body.len() > LINE));
    assert_eq!(receiver.taken(), ended.detections(), "each once, in order");
    assert_eq!((lane(&ended, "sent"), lane(&ended, "rejected"), lane(&ended, "lost")), (4, 0, 0));
}
