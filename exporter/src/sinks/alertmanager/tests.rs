use reqwest::Url;
use serde_json::{Value as Json, json};
use tokio::time::advance;

use super::*;
use crate::{
    rules::Priority,
    sinks::receiver::{Act, Receiver, Request},
};

const SECOND: i64 = 1_000_000_000;
/// When the tests are: 2026-11-27T10:00:00Z.
const NOON: i64 = 1_795_773_600 * SECOND;

fn entry(seq: i64, rule: &str, namespace: Option<&str>) -> Entry {
    let line = json!({"output": format!("{rule} {seq}"), "uuid": format!("id-{seq}"), "cluster": "eu", "node": "n1"});
    Entry {
        time_ns: NOON + seq * SECOND,
        namespace: namespace.map(str::to_owned),
        priority: Priority::Warning,
        rule: rule.into(),
        ..Entry::of_test(seq, &line.to_string())
    }
}

/// As many seconds later as the clock of the test has advanced.
fn now(begin: Instant) -> Now {
    let since = i64::try_from(begin.elapsed().as_nanos()).unwrap();
    Now { instant: Instant::now(), wall_ns: NOON + 60 * SECOND + since }
}

fn alerts(body: &[u8]) -> Vec<Json> {
    serde_json::from_slice(body).unwrap()
}

fn all(bodies: &[Vec<u8>]) -> Vec<Json> {
    bodies.iter().flat_map(|body| alerts(body)).collect()
}

/// Rule, namespace, severity and count of each.
fn brief(alerts: &[Json]) -> Vec<String> {
    let text = |value: &Json| value.as_str().unwrap_or("-").to_owned();
    let one = |alert: &Json| {
        let labels = &alert["labels"];
        assert_eq!(labels["alertname"], labels["rule"]);
        let parts =
            [&labels["rule"], &labels["namespace"], &labels["severity"], &alert["annotations"]["count"]];
        parts.map(text).join(" ")
    };
    alerts.iter().map(one).collect()
}

fn table(max_alerts: usize) -> Table {
    Table::new(Settings::DEFAULT_RESOLVE_AFTER, max_alerts, Links::default())
}

#[tokio::test(start_paused = true)]
async fn an_alert_as_it_is_posted() {
    let link = |text| Some(Template::parse(text).unwrap());
    let links = Links {
        dashboard_url: link("https://g/{tenant}?ns={namespace}"),
        runbook_url: link("https://r/{rule}"),
        generator_url: link("https://y/{cluster}/{uuid}"),
    };
    let mut table = Table::new(Duration::from_secs(300), 10, links);
    let begin = Instant::now();
    let body = table.take(
        "shop",
        &[entry(1, "A shell", Some("shop-1")), entry(2, "A shell", Some("shop-1"))],
        now(begin),
    );
    let expected = json!([{
        "labels": {"alertname": "A shell", "rule": "A shell", "tenant": "shop", "namespace": "shop-1",
                   "severity": "warning", "cluster": "eu"},
        "annotations": {"summary": "A shell in namespace shop-1", "description": "A shell 2", "count": "2",
                        "uuid": "id-2", "node": "n1", "dashboard_url": "https://g/shop?ns=shop-1",
                        "runbook_url": "https://r/A%20shell"},
        "startsAt": "2026-11-27T10:00:01.000000000Z",
        "endsAt": "2026-11-27T10:06:00.000000000Z",
        "generatorURL": "https://y/eu/id-2",
    }]);
    assert_eq!(Json::from(alerts(&body)), expected);
    assert_eq!(Json::from(all(&table.active("shop", now(begin)))), expected, "a refresh says the same");
    // What is empty is left out.
    let mut bare = entry(3, "r", None);
    bare.line = "{}".into();
    let posted = &alerts(&table.take("platform", &[bare], now(begin)))[0];
    assert_eq!(
        posted["labels"],
        json!({"alertname": "r", "rule": "r", "tenant": "platform", "severity": "warning"})
    );
    assert_eq!(posted["annotations"]["summary"], "r");
    assert!(posted["annotations"].get("description").is_none());
}

#[test]
fn severities_are_those_of_alertmanagers() {
    let mapped = Priority::ALL.map(alert::severity);
    let expected = ["critical", "critical", "critical", "warning", "warning", "info", "info", "info"];
    assert_eq!(mapped, expected);
}

#[tokio::test(start_paused = true)]
async fn one_alert_for_each_set_of_labels() {
    let mut table = table(10);
    let mut other_severity = entry(5, "a", Some("x"));
    other_severity.priority = Priority::Critical;
    let entries = [
        entry(1, "a", Some("x")),
        entry(2, "b", Some("x")),
        entry(3, "a", Some("y")),
        entry(4, "a", Some("x")),
        other_severity,
        entry(6, "a", None),
    ];
    let begin = Instant::now();
    let body = table.take("t", &entries, now(begin));
    let expected = ["a - warning 1", "a x critical 1", "a x warning 2", "a y warning 1", "b x warning 1"];
    assert_eq!(brief(&alerts(&body)), expected);
    assert_eq!(brief(&all(&table.active("t", now(begin)))), expected);
    assert_eq!(table.active("u", now(begin)), [[0; 0]; 0]);
    // Only what changed is posted with new ones; another tenant's are its own.
    assert_eq!(brief(&alerts(&table.take("t", &[entry(7, "b", Some("x"))], now(begin)))), ["b x warning 2"]);
    assert_eq!(brief(&alerts(&table.take("u", &[entry(1, "b", Some("x"))], now(begin)))), ["b x warning 1"]);
    // What comes again after a failure is told again and not counted again.
    assert_eq!(
        brief(&alerts(&table.take("t", &[entry(6, "a", None), entry(7, "b", Some("x"))], now(begin)))),
        ["a - warning 1", "b x warning 2"]
    );
    assert_eq!(table.tenants(), ["t", "u"]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_over_once_it_has_been_quiet() {
    let mut table = table(10);
    let begin = Instant::now();
    let times = |alerts: &[Json]| {
        alerts.iter().map(|alert| (alert["startsAt"].clone(), alert["endsAt"].clone())).collect::<Vec<_>>()
    };
    let at = |text: &str| Json::from(format!("2026-11-27T10:{text}.000000000Z"));
    table.take("t", &[entry(1, "a", None)], now(begin));
    advance(Duration::from_secs(200)).await;
    table.take("t", &[entry(2, "a", None)], now(begin));
    advance(Duration::from_secs(299)).await;
    let active = all(&table.active("t", now(begin)));
    assert_eq!(brief(&active), ["a - warning 2"]);
    assert_eq!(times(&active), [(at("00:01"), at("09:20"))], "five minutes after the last");
    advance(Duration::from_secs(1)).await;
    assert_eq!(table.active("t", now(begin)), [[0; 0]; 0]);
    assert_eq!(table.numbers("t"), (0, 0));
    let again = alerts(&table.take("t", &[entry(400, "a", None)], now(begin)));
    assert_eq!(
        (brief(&again), times(&again)),
        (vec!["a - warning 1".into()], vec![(at("06:40"), at("14:20"))])
    );
}

#[tokio::test(start_paused = true)]
async fn a_detection_of_another_time_is_an_alert_of_now() {
    for (time_ns, starts) in [
        // The Alertmanagers were away for an hour.
        (NOON - 3600 * SECOND, "2026-11-27T09:00:00.000000000Z"),
        // The clock was set back since.
        (NOON + 3600 * SECOND, "2026-11-27T10:01:00.000000000Z"),
        (-1, "1970-01-01T00:00:00.000000000Z"),
    ] {
        let body = table(10).take("t", &[Entry { time_ns, ..entry(1, "a", None) }], now(Instant::now()));
        let alert = &alerts(&body)[0];
        assert_eq!(alert["startsAt"], starts);
        assert_eq!(alert["endsAt"], "2026-11-27T10:06:00.000000000Z", "five minutes from now");
    }
}

#[tokio::test(start_paused = true)]
async fn what_there_is_no_room_for_is_told_as_one() {
    let mut table = table(2);
    let begin = Instant::now();
    let mut critical = entry(5, "e", None);
    critical.priority = Priority::Alert;
    let entries =
        [entry(1, "a", None), entry(2, "b", None), entry(3, "c", None), entry(4, "d", Some("x")), critical];
    let body = table.take("t", &entries, now(begin));
    let expected = ["a - warning 1", "b - warning 1", "~other - critical 1", "~other - warning 2"];
    assert_eq!(brief(&alerts(&body)), expected);
    let other = alerts(&body).pop().unwrap();
    assert_eq!(other["annotations"]["description"], "d 4", "what it is about is not lost");
    assert_eq!(table.numbers("t"), (4, 3));
    // Those that are there go on; another tenant has room; and so has this one once it is quiet.
    assert_eq!(brief(&alerts(&table.take("t", &[entry(6, "a", None)], now(begin)))), ["a - warning 2"]);
    assert_eq!(brief(&alerts(&table.take("u", &[entry(1, "c", None)], now(begin)))), ["c - warning 1"]);
    advance(Duration::from_secs(300)).await;
    assert_eq!(brief(&alerts(&table.take("t", &[entry(7, "c", None)], now(begin)))), ["c - warning 1"]);
    assert_eq!(table.numbers("t"), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn many_are_refreshed_in_several_requests() {
    let mut table = table(1000);
    let entries: Vec<Entry> = (1..=450).map(|seq| entry(seq, &format!("r{seq:03}"), None)).collect();
    table.take("t", &entries, now(Instant::now()));
    let bodies = table.active("t", now(Instant::now()));
    assert_eq!(bodies.iter().map(|body| alerts(body).len()).collect::<Vec<_>>(), [200, 200, 50]);
}

#[tokio::test(start_paused = true)]
async fn what_a_workload_says_deceives_nobody() {
    let mut hostile = entry(1, "a", Some("x\u{202e}y"));
    hostile.line = json!({"output": format!("\u{1b}[2J\n{}", "é".repeat(3000)), "node": "n\r"}).to_string();
    let alert = alerts(&table(1).take("t", &[hostile], now(Instant::now()))).remove(0);
    let description = alert["annotations"]["description"].as_str().unwrap();
    assert!(description.starts_with("\\x1b[2J\\né") && description.ends_with("é…"), "{description}");
    assert!(description.len() < 2060, "{}", description.len());
    assert_eq!(alert["labels"]["namespace"], "x\\u{202e}y");
    assert_eq!(alert["annotations"]["node"], "n\\r");
}

/// Keeps the paused clock from running ahead of sockets: it only moves when the test says so.
struct Frozen(
    #[expect(dead_code, reason = "whoever waits for it is told by its end")] std::sync::mpsc::Sender<()>,
);

fn freeze() -> Frozen {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || receiver.recv().is_ok());
    Frozen(sender)
}

/// Waits without the clock.
async fn until(holds: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < end, "it does not come to be");
        tokio::task::yield_now().await;
    }
}

fn at(receiver: &Receiver) -> Url {
    format!("http://{}/prefix/", receiver.address).parse().unwrap()
}

fn sink(urls: impl IntoIterator<Item = Url>) -> (Alertmanager, Arc<AlertmanagerCounters>) {
    let settings = Settings {
        // Of the clock that the tests set forward.
        targets: urls
            .into_iter()
            .map(|url| Target { timeout: Duration::from_secs(1), ..Target::to(url) })
            .collect(),
        refresh: Duration::from_secs(60),
        resolve_after: Duration::from_secs(300),
        max_alerts: 100,
        links: Links::default(),
    };
    let counters = Arc::new(AlertmanagerCounters::new("am"));
    (Alertmanager::new(settings, Arc::clone(&counters)), counters)
}

fn is_taken(sent: &Sent, entries: usize) -> bool {
    *sent == Sent { taken: entries, refusal: None }
}

fn told(requests: &[Request]) -> Vec<Vec<String>> {
    requests.iter().map(|request| brief(&alerts(request.body.as_bytes()))).collect()
}

fn posts(counters: &AlertmanagerCounters, receiver: &Receiver, result: &str) -> u64 {
    let name = format!("http://{}/prefix", receiver.address);
    let found = counters.posts().into_iter().find(|(peer, named, _)| *peer == name && *named == result);
    found.unwrap_or_else(|| panic!("no {name} {result}: {:?}", counters.posts())).2
}

fn all_posts(counters: &AlertmanagerCounters) -> u64 {
    counters.posts().iter().map(|(_, _, count)| count).sum()
}

#[tokio::test(start_paused = true)]
async fn everything_active_is_posted_again_until_it_is_quiet() {
    let _frozen = freeze();
    let receiver = Receiver::start().await;
    let (sink, counters) = sink([at(&receiver)]);
    assert!(is_taken(&sink.send("t", &[entry(1, "a", None), entry(2, "b", None)]).await, 2));
    assert!(is_taken(&sink.send("u", &[entry(1, "c", None)]).await, 1));
    advance(Duration::from_secs(60)).await;
    until(|| posts(&counters, &receiver, "taken") == 4).await;
    advance(Duration::from_secs(200)).await;
    until(|| posts(&counters, &receiver, "taken") == 6).await;
    assert!(is_taken(&sink.send("u", &[entry(2, "c", None)]).await, 1));
    // Those of the first tenant are over now; the other's are refreshed for a last time after a while.
    advance(Duration::from_secs(60)).await;
    until(|| posts(&counters, &receiver, "taken") == 8).await;
    let both = vec!["a - warning 1".to_owned(), "b - warning 1".into()];
    let (first, second) = (vec!["c - warning 1".to_owned()], vec!["c - warning 2".to_owned()]);
    let expected = [&both, &first, &both, &first, &both, &first, &second, &second].map(Clone::clone);
    assert_eq!(told(&receiver.taken()), expected);
    assert_eq!(counters.tenants(), [("t".into(), 0, 0), ("u".into(), 1, 0)]);
    let requests = receiver.taken();
    assert!(requests[0].head.starts_with("POST /prefix/api/v2/alerts HTTP/1.1\r\n"), "{}", requests[0].head);
    // A last time, of which nothing comes: then one that is posted anew comes alone.
    advance(Duration::from_secs(300)).await;
    assert!(is_taken(&sink.send("t", &[entry(3, "d", None)]).await, 1));
    let after = told(&receiver.taken()).split_off(8);
    assert!(!after.is_empty() && after.iter().all(|alerts| *alerts == ["d - warning 1"]), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_away_or_hangs_delays_nobody_and_gets_everything_later() {
    // The clock stands: whoever waited for a timeout would wait for ever.
    let _frozen = freeze();
    let (good, hanging, gone) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let (sink, counters) = sink([at(&gone), at(&hanging), at(&good)]);
    let address = gone.address;
    drop(gone);
    tokio::task::yield_now().await;
    hanging.next([Act::Hang]);
    for seq in 1..=3 {
        assert!(is_taken(&sink.send("t", &[entry(seq, &format!("r{seq}"), None)]).await, 1));
    }
    assert!(is_taken(&sink.send("u", &[entry(1, "x", None)]).await, 1));
    until(|| good.taken().len() == 4).await;
    until(|| hanging.taken().len() == 1).await;
    assert_eq!(told(&hanging.taken()), [["x - warning 1"]], "another tenant does not wait");
    assert_eq!(posts(&counters, &hanging, "skipped"), 2);
    until(|| posts(&counters, &good, "taken") == 4).await;
    // One gives up waiting, the other is back: both get all of it at the next refresh.
    advance(Duration::from_secs(2)).await;
    until(|| posts(&counters, &hanging, "timeout") == 1).await;
    let back = Receiver::start_at(address).await;
    assert!(posts(&counters, &back, "connect") > 0);
    advance(Duration::from_secs(60)).await;
    let three = ["r1 - warning 1", "r2 - warning 1", "r3 - warning 1"].map(str::to_owned).to_vec();
    until(|| told(&hanging.taken()).contains(&three)).await;
    let other = vec!["x - warning 1".to_owned()];
    until(|| [&three, &other].iter().all(|alerts| told(&back.taken()).contains(alerts))).await;
}

#[tokio::test(start_paused = true)]
async fn what_it_refuses_of_one_tenant_keeps_no_other_from_it() {
    let _frozen = freeze();
    let receiver = Receiver::start().await;
    let (sink, counters) = sink([at(&receiver)]);
    for tenant in ["t", "u"] {
        assert!(is_taken(&sink.send(tenant, &[entry(1, tenant, None)]).await, 1));
    }
    receiver.next([Act::Answer(413, "")]);
    advance(Duration::from_secs(60)).await;
    until(|| all_posts(&counters) == 4).await;
    assert_eq!(told(&receiver.taken())[2..], [vec!["u - warning 1"]]);
    assert_eq!(posts(&counters, &receiver, "taken"), 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_works_again_is_given_what_it_has_missed_at_once() {
    let _frozen = freeze();
    let (good, broken) = (Receiver::start().await, Receiver::start().await);
    let (sink, counters) = sink([at(&good), at(&broken)]);
    broken.next([Act::Answer(503, "")]);
    assert!(is_taken(&sink.send("t", &[entry(1, "a", None)]).await, 1));
    until(|| posts(&counters, &broken, "answer") == 1).await;
    // Without a second that passes.
    assert!(is_taken(&sink.send("t", &[entry(2, "b", None)]).await, 1));
    let expected = [vec!["b - warning 1"], vec!["a - warning 1", "b - warning 1"]];
    until(|| told(&broken.taken()) == expected).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_told_once_somebody_took_it() {
    let _frozen = freeze();
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let (sink, counters) = sink([at(&one), at(&two)]);
    let later = |reason, seconds: Option<u64>| Some(Some((reason, seconds.map(Duration::from_secs))));
    for (first, second, expected) in [
        (Act::Answer(200, ""), Act::Answer(200, ""), None),
        (Act::Answer(400, ""), Act::Answer(200, ""), None),
        (Act::Reset, Act::Answer(200, ""), None),
        (Act::Answer(401, ""), Act::Answer(403, ""), later(Reason::Denied, None)),
        (
            Act::Answer(429, "retry-after: 9\r\n"),
            Act::Answer(429, "retry-after: 7\r\n"),
            later(Reason::Throttled, Some(7)),
        ),
        (Act::Answer(503, "retry-after: 9\r\n"), Act::Answer(503, ""), later(Reason::Answer, None)),
        (Act::Answer(400, ""), Act::Answer(503, ""), later(Reason::Answer, None)),
        (Act::Answer(400, ""), Act::Answer(413, ""), Some(None)),
    ] {
        let before = all_posts(&counters);
        one.next([first.clone()]);
        two.next([second.clone()]);
        let Sent { taken, refusal } = sink.send("t", &[entry(1, "a", None)]).await;
        assert_eq!(taken, usize::from(expected.is_none()), "{first:?} {second:?}");
        let found = refusal.map(|refusal| match refusal {
            Refusal::Later { reason, after, .. } => Some((reason, after)),
            Refusal::Poison { .. } | Refusal::Part { .. } => None,
        });
        assert_eq!(found, expected, "{first:?} {second:?}");
        // The next row's answers are for the next row, and for those who are nudged by this one.
        until(|| all_posts(&counters) >= before + 2).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert!(sink.sends_together());
}

#[tokio::test(start_paused = true)]
async fn is_ready_if_one_is() {
    let _frozen = freeze();
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let (sink, _) = sink([at(&one), at(&two)]);
    for (first, second, ready) in [(200, 200, true), (401, 200, true), (200, 403, true), (401, 403, false)] {
        one.next([Act::Answer(first, "")]);
        two.next([Act::Answer(second, "")]);
        assert_eq!(sink.probe("shop").await.is_ok(), ready, "{first} {second}");
    }
    assert!(one.all().iter().all(|request| request.head.starts_with("HEAD /prefix/-/ready HTTP/1.1\r\n")));
}
