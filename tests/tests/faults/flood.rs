//! A tenant that floods its receiver, and another whose detections are told all the same.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::at;
use end_to_end::{
    activity::{SEEN_RULE, audit_event, journaled, once, post_audit, uuids},
    daemon::{Daemon, Options},
    http::Client,
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

/// Most batches of five hundred that the flood has.
const BATCHES: u64 = 40;

fn post(client: &Client, namespace: &str, ids: impl Iterator<Item = String>) -> u16 {
    post_audit(client, &[], ids.map(|id| audit_event(id, namespace)))
}

#[test]
fn a_tenants_flood_delays_no_other_tenant() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    // The flood's receiver is not fast either, until the end.
    let slow = Arc::new(AtomicBool::new(true));
    let receiver = Receiver::start(address, {
        let slow = Arc::clone(&slow);
        move |body| {
            let is_flood = body.contains("\"tenant\":\"shop\"");
            if is_flood && slow.load(Ordering::SeqCst) {
                Act::After(Duration::from_millis(20))
            } else {
                Act::Answer(200)
            }
        }
    });
    let config = format!("{}tenants: [{{name: shop, match: {{namespaces: [shop]}}}}]\n", at(address));
    let daemon = Daemon::start(&Options { rules: SEEN_RULE, config: &config, ..Options::default() });
    let client = Client::plain(daemon.address());
    let ended = Arc::new(AtomicBool::new(false));
    let flood = thread::spawn({
        let (client, ended) = (client.clone(), Arc::clone(&ended));
        move || {
            let mut sent = 0;
            // No more than can be sent one by one, however long the other tenant takes.
            while sent < BATCHES && !ended.load(Ordering::SeqCst) {
                // Too many at once are refused, as an API server would be.
                if post(&client, "shop", (0..500).map(|n| format!("flood-{sent}-{n}"))) == 200 {
                    sent += 1;
                }
                thread::sleep(Duration::from_millis(50));
            }
            sent
        }
    });
    let waiting =
        |tenant: &str| daemon.metric(&format!("yagura_sink_unsent{{sink=\"hook\",tenant=\"{tenant}\"}}"));
    // More than the receiver takes while the other tenant is looked at.
    daemon.until("the flood has begun", |_| waiting("shop") > 5000.0);
    let mut longest = Duration::ZERO;
    for number in 0..20 {
        let id = format!("other-{number}");
        let begin = Instant::now();
        while post(&client, "other", std::iter::once(id.clone())) != 200 {}
        receiver.until("the other tenant's next one", |taken| taken.iter().any(|body| body.contains(&id)));
        longest = longest.max(begin.elapsed());
        assert!(waiting("shop") > 1000.0, "the flood is still there");
    }
    ended.store(true, Ordering::SeqCst);
    let flooded = flood.join().expect("it ends") * 500;
    // Said, not asserted: how fast the machine is today is another matter.
    eprintln!("the other tenant waited {longest:?} at most beside a flood of {flooded}");
    daemon.until("all of the flood is journaled", |daemon| {
        daemon.metric("yagura_journal_written_total") == (flooded + 20) as f64
    });
    slow.store(false, Ordering::SeqCst);
    daemon.until("all of it is sent", |_| waiting("shop") == 0.0 && waiting("platform") == 0.0);
    let path = daemon.folder().join("journal.db");
    let (kept, taken) = (journaled(&path), receiver.taken());
    let ended = daemon.stop();
    let balance = ended.balance();
    assert_eq!((balance["journaled"].as_u64(), balance["dropped"].as_u64()), (Some(flooded + 20), Some(0)));
    for lane in balance["sinks"].as_array().expect("lanes") {
        assert_eq!((lane["lost"].as_u64(), lane["rejected"].as_u64()), (Some(0), Some(0)), "{lane}");
    }
    for (tenant, count) in [("shop", flooded), ("platform", 20)] {
        let own = |all: &[serde_json::Value]| -> Vec<String> {
            let own = all.iter().filter(|detection| detection["tenant"] == tenant).cloned();
            once(&uuids(&own.collect::<Vec<_>>()))
        };
        let (kept, taken) = (own(&kept), own(&taken));
        assert_eq!((kept.len() as u64, taken.len() as u64), (count, count), "{tenant}");
        assert!(kept == taken, "{tenant}: each in its place");
    }
}
