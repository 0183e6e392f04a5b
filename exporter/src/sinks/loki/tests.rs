//! Against a double of Loki's push API, which stores what it takes and refuses the rest as Loki does.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use prost::Message;

use super::{messages::PushRequest, *};
use crate::{
    delivery::{Entry, Reason, Refusal, Sent, Sink},
    sinks::receiver::{Act, Receiver, Request},
};

const SECOND: i64 = 1_000_000_000;

pub(super) fn entry(seq: i64, time_ns: i64, line: &str) -> Entry {
    Entry { time_ns, written_ns: time_ns, ..Entry::of_test(seq, line) }
}

fn now_ns() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_nanos()).unwrap()
}

/// One a second, from now on.
fn entries(count: i64) -> Vec<Entry> {
    let now = now_ns();
    (1..=count)
        .map(|seq| entry(seq, now + seq * SECOND, &format!(r#"{{"uuid":"{seq}","node":"n","cluster":"c"}}"#)))
        .collect()
}

fn settings(receiver: &Receiver) -> Settings {
    Settings {
        target: Target::to(receiver.url()),
        dialect: Dialect::Loki,
        ids: TenantIds::default(),
        limits: Limits::default(),
    }
}

fn decoded(bytes: &[u8]) -> PushRequest {
    let bytes = snap::raw::Decoder::new().decompress_vec(bytes).expect("snappy");
    PushRequest::decode(&*bytes).expect("protobuf")
}

fn lines(request: &PushRequest) -> impl Iterator<Item = &str> {
    request.streams.iter().flat_map(|stream| &stream.entries).map(|entry| &*entry.line)
}

/// What a Loki has, each line once, in the order in which it came.
type Store = Arc<Mutex<Vec<String>>>;

/// Stores what is not refused. `says` is the text about a line that is.
fn loki(receiver: &Receiver, says: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Store {
    let store = Store::default();
    let own = Arc::clone(&store);
    receiver.judge(move |request: &Request| {
        let request = decoded(&request.bytes);
        let mut stored = own.lock().unwrap();
        let mut refused = Vec::new();
        for line in lines(&request) {
            match says(line) {
                Some(text) => refused.push(text),
                None if stored.iter().any(|known| known == line) => {}
                None => stored.push(line.to_owned()),
            }
        }
        match refused.first() {
            None => Act::Answer(200, ""),
            Some(text) => Act::Say(400, text.clone()),
        }
    });
    store
}

/// As a lane does it: on after what was refused. What was set aside, by number.
async fn deliver(sink: &Loki, entries: &[Entry]) -> Vec<(i64, String)> {
    let (mut taken, mut rejected) = (0, Vec::new());
    while taken < entries.len() {
        let sent = sink.send("shop", &entries[taken..]).await;
        taken += sent.taken;
        match sent.refusal {
            None => {}
            Some(Refusal::Poison { what }) => {
                rejected.push((entries[taken].seq, what));
                taken += 1;
            }
            Some(Refusal::Later { .. } | Refusal::Part { .. }) => {}
        }
    }
    rejected
}

#[test]
fn a_body_has_streams_of_few_labels() {
    let line = r#"{"rule":"r","uuid":"u-1","tenant":"other","cluster":"c","node":"n \"1\"","output_fields":{"fd.name":"/é"}}"#;
    let named = Entry {
        namespace: Some("shop-1".into()),
        rule: "Read \"x\"".into(),
        ..entry(2, 1_507_591_916_746_609_046, "no JSON")
    };
    let all = [entry(1, 1_507_591_916_746_609_046, line), named, entry(3, -1, line)];
    let body = encode::body("shop", &all).unwrap();
    assert_eq!(body, encode::body("shop", &all).unwrap(), "the same entries, the same bytes");
    let request = decoded(&body);
    let labels: Vec<&str> = request.streams.iter().map(|stream| &*stream.labels).collect();
    assert_eq!(
        labels,
        [
            r#"{job="yagura", cluster="c", node="n \"1\"", tenant="shop", rule="r", priority="Notice", source="syscall"}"#,
            // Of a line that is no detection's all is sent that is known.
            r#"{job="yagura", tenant="shop", namespace="shop-1", rule="Read \"x\"", priority="Notice", source="syscall"}"#,
        ]
    );
    let [first, second] = &*request.streams else { panic!("{request:?}") };
    assert_eq!(first.entries.iter().map(|entry| &*entry.line).collect::<Vec<_>>(), [line, line]);
    let times: Vec<_> = (first.entries.iter())
        .map(|entry| entry.timestamp.map(|time| (time.seconds, time.nanos)).unwrap())
        .collect();
    assert_eq!(times, [(1_507_591_916, 746_609_046), (-1, 999_999_999)]);
    let pairs: Vec<_> =
        (first.entries[0].structured_metadata.iter()).map(|pair| (&*pair.name, &*pair.value)).collect();
    assert_eq!(pairs, [("uuid", "u-1"), ("fd_name", "/é")]);
    assert_eq!(second.entries[0].line, "no JSON");
    assert!(second.entries[0].structured_metadata.is_empty());
}

#[tokio::test]
async fn a_request_is_one_tenants() {
    let receiver = Receiver::start().await;
    let ids = TenantIds {
        named: [("shop".to_owned(), "7:9".to_owned())].into(),
        otherwise: Some("org-{tenant}".into()),
    };
    for (dialect, ids, tenant, expected) in [
        (Dialect::Loki, TenantIds::default(), "shop", &[][..]),
        (Dialect::Loki, ids.clone(), "platform", &["x-scope-orgid: org-platform"]),
        (Dialect::VictoriaLogs, ids, "shop", &["accountid: 7", "projectid: 9"]),
    ] {
        let sink = Loki::new(Settings { dialect, ids, ..settings(&receiver) });
        assert_eq!(sink.send(tenant, &entries(3)).await, Sent { taken: 3, refusal: None });
        let request = receiver.taken().pop().unwrap();
        let head = request.head.to_ascii_lowercase();
        assert!(head.starts_with("post /in?x=1 http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
        let mut found: Vec<&str> = head
            .lines()
            .filter(|line| {
                ["x-scope-orgid", "accountid", "projectid"].iter().any(|name| line.starts_with(name))
            })
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{dialect:?} {tenant}");
        assert_eq!(lines(&decoded(&request.bytes)).count(), 3);
    }
    // Without an id of its own it would be whoever has none there.
    let taken = receiver.taken().len();
    let ids = TenantIds { named: [("shop".to_owned(), "7:9".to_owned())].into(), otherwise: None };
    let sink = Loki::new(Settings { dialect: Dialect::VictoriaLogs, ids, ..settings(&receiver) });
    for refusal in [sink.send("ml", &entries(3)).await.refusal, sink.probe("ml").await.err()] {
        assert!(matches!(refusal, Some(Refusal::Later { reason: Reason::Denied, .. })), "{refusal:?}");
    }
    assert_eq!(receiver.taken().len(), taken);
    // A check is made as the tenant, too.
    assert_eq!(sink.probe("shop").await, Ok(()));
    let head = receiver.all().pop().unwrap().head.to_ascii_lowercase();
    assert!(head.starts_with("head ") && head.contains("accountid: 7"), "{head}");
}

#[tokio::test]
async fn what_loki_would_refuse_is_not_sent() {
    let receiver = Receiver::start().await;
    let now = now_ns();
    let day = 86400 * SECOND;
    for (time_ns, length, limits, reason) in [
        (now, (256 << 10) + 1, Limits::default(), "262145 bytes are more than max_line_size, 262144"),
        (now, 11, Limits { max_line_size: 10, ..Limits::default() }, "11 bytes"),
        (now - 7 * day - SECOND, 2, Limits::default(), "more than reject_old_samples_max_age, 604800 s"),
        (
            now - 61 * SECOND,
            2,
            Limits { reject_old_samples_max_age: Duration::from_secs(60), ..Limits::default() },
            " s old, more than reject_old_samples_max_age, 60 s",
        ),
        (now + 3700 * SECOND, 2, Limits::default(), "more than creation_grace_period, 3600 s"),
        (i64::MIN, 2, Limits::default(), "old"),
        (i64::MAX, 2, Limits::default(), "in the future"),
    ] {
        let sink = Loki::new(Settings { limits, ..settings(&receiver) });
        let before = receiver.all().len();
        let all = [entry(1, now, "1"), entry(2, time_ns, &"x".repeat(length)), entry(3, now, "3")];
        let rejected = deliver(&sink, &all).await;
        let [(2, what)] = &*rejected else { panic!("{reason}: {rejected:?}") };
        assert!(what.starts_with("not sent: ") && what.contains(reason), "{what}");
        let requests = receiver.all().split_off(before);
        let sent: Vec<String> = requests
            .iter()
            .flat_map(|request| lines(&decoded(&request.bytes)).map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(sent, ["1", "3"]);
    }
    let unlimited = Limits { max_line_size: 0, ..Limits::default() };
    let sink = Loki::new(Settings { limits: unlimited, ..settings(&receiver) });
    assert_eq!(deliver(&sink, &[entry(1, now, &"x".repeat(1 << 20))]).await, []);
}

#[tokio::test]
async fn a_refused_batch_is_never_sent_whole_again() {
    for (bad, named) in [
        (&[][..], false),
        (&[1], false),
        (&[40], false),
        (&[40], true),
        (&[100], true),
        (&[1, 2, 50, 99], false),
        (&[1, 2, 50, 99], true),
    ] {
        let receiver = Receiver::start().await;
        let all = entries(100);
        let times: Vec<(String, i64)> = all.iter().map(|entry| (entry.line.clone(), entry.time_ns)).collect();
        let refused: Vec<String> = bad.iter().map(|seq| all[*seq as usize - 1].line.clone()).collect();
        let store = loki(&receiver, move |line| {
            let (_, time) = times.iter().find(|(known, _)| known == line).unwrap();
            let time = jiff::Timestamp::from_nanosecond((*time).into()).unwrap();
            let text = if named {
                format!(
                    "entry for stream '{{}}' has timestamp too old: {}",
                    time.strftime("%Y-%m-%dT%H:%M:%SZ")
                )
            } else {
                "why should I say".into()
            };
            refused.iter().any(|known| known == line).then_some(text)
        });
        let sink = Loki::new(settings(&receiver));
        let rejected = deliver(&sink, &all).await;
        let set_aside: Vec<i64> = rejected.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(set_aside, bad);
        let text = if named { "has timestamp too old" } else { "why should I say" };
        assert!(rejected.iter().all(|(_, what)| what.contains(text)), "{rejected:?}");
        let good: Vec<String> =
            all.iter().filter(|entry| !bad.contains(&entry.seq)).map(|entry| entry.line.clone()).collect();
        assert_eq!(*store.lock().unwrap(), good, "in order");
        let bodies: Vec<Vec<u8>> = receiver.all().into_iter().map(|request| request.bytes).collect();
        let different: HashSet<&Vec<u8>> = bodies.iter().collect();
        assert_eq!(different.len(), bodies.len(), "{bad:?}: a request was repeated");
        if named {
            assert!(bodies.len() <= 1 + 3 * bad.len(), "{} requests for {bad:?}", bodies.len());
        }
    }
}

#[tokio::test]
async fn nor_after_a_failure_in_between() {
    let receiver = Receiver::start().await;
    let all = entries(64);
    let poison = all[20].line.clone();
    let store = loki(&receiver, move |line| (line == poison).then(|| "no".into()));
    receiver.next([
        Act::Say(400, "no".into()),
        Act::Answer(503, ""),
        Act::Answer(429, ""),
        Act::Say(260, String::new()),
    ]);
    let sink = Loki::new(settings(&receiver));
    let mut reasons = Vec::new();
    for _ in 0..3 {
        match sink.send("shop", &all).await {
            Sent { taken: 0, refusal: Some(Refusal::Later { reason, .. }) } => reasons.push(reason),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reasons, [Reason::Answer, Reason::Throttled, Reason::Answer]);
    // Another tenant has nothing to do with it.
    assert_eq!(sink.send("ml", &entries(2)).await.taken, 2);
    let rejected = deliver(&sink, &all).await;
    assert_eq!(rejected.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [21]);
    assert_eq!(store.lock().unwrap().len(), 63);
    let bodies: Vec<Vec<u8>> = receiver.all().into_iter().map(|request| request.bytes).collect();
    assert_eq!(bodies.iter().filter(|body| **body == bodies[0]).count(), 1, "the whole went once");
    assert_eq!(bodies[1], bodies[2], "what failed comes again, byte by byte");
}

#[tokio::test]
async fn a_request_spans_less_than_loki_looks_back() {
    let receiver = Receiver::start().await;
    let now = now_ns();
    let minutes = [0, 10, 30, 31, 50, 19, 62, 200, 170, 169];
    let all: Vec<Entry> = minutes
        .iter()
        .zip(1..)
        .map(|(minute, seq)| entry(seq, now - (300 - minute) * 60 * SECOND, &seq.to_string()))
        .collect();
    let sink = Loki::new(settings(&receiver));
    assert_eq!(sink.send("shop", &all).await, Sent { taken: 10, refusal: None });
    let parts: Vec<String> = (receiver.taken().iter())
        .map(|request| lines(&decoded(&request.bytes)).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(parts, ["1 2 3", "4 5", "6", "7", "8 9", "10"]);
}
