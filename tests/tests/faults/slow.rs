//! A receiver that takes half a minute for each answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use end_to_end::{
    daemon::{Daemon, Options},
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

use super::{config, lane, open, opened_rule};

#[test]
fn a_receiver_that_takes_half_a_minute_gets_everything_once() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let began = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start(address, {
        let began = Arc::clone(&began);
        move |_| {
            began.store(true, Ordering::SeqCst);
            Act::After(Duration::from_secs(30))
        }
    });
    // All the others in one request, however long the line of their ancestors is.
    let webhook = ", format: array, timeout: 60s, batch: {max_entries: 1000, max_size: 1MiB}";
    let config = config(&address.to_string(), webhook);
    let daemon =
        Daemon::start(&Options { rules: &opened_rule("slow"), config: &config, ..Options::default() });
    open("slow", 0..1);
    daemon.until("the first is on its way, alone", |_| began.load(Ordering::SeqCst));
    open("slow", 1..300);
    receiver.until("the first answer", |taken| !taken.is_empty());
    receiver.until("the second answer", |taken| taken.len() > 1);
    let ended = daemon.stop();
    let parts: Vec<Vec<serde_json::Value>> =
        receiver.taken().iter().map(|part| part.as_array().expect("an array").clone()).collect();
    assert_eq!(parts.concat(), ended.detections(), "each once, in order");
    assert_eq!((parts.len(), lane(&ended, "sent"), lane(&ended, "unsent")), (2, 300, 0));
}
