//! Lanes over a real journal, to a receiver on loopback that is at times not what one would wish.

use std::{
    ops::RangeInclusive,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    backoff::Pace,
    detection::Detection,
    journal::{Journal, News, Settings},
    metrics::{JournalCounters, LaneBalance, SinkMetrics},
    sinks::{
        http::Target,
        receiver::{Act, Receiver, Request},
        webhook::{self, Form, Webhook},
    },
    tenants::Pattern,
};

struct Node {
    folder: tempfile::TempDir,
    journal: Journal,
    news: Arc<News>,
    metrics: SinkMetrics,
    /// How long an answer may take: where no receiver hangs, longer than a busy machine takes. What was taken but not heard
    /// of in time comes again.
    timeout: Duration,
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("journal.db")
}

impl Node {
    fn new(change: impl FnOnce(&mut Settings)) -> Node {
        Node::over(tempfile::tempdir().unwrap(), change)
    }

    fn over(folder: tempfile::TempDir, change: impl FnOnce(&mut Settings)) -> Node {
        let mut settings = Settings { path: path(&folder), ..Settings::default() };
        change(&mut settings);
        let news = Arc::new(News::default());
        let counters = Arc::new(JournalCounters::new().unwrap());
        let journal = Journal::new(settings, counters, Arc::clone(&news));
        Node { folder, journal, news, metrics: SinkMetrics::default(), timeout: Duration::from_secs(60) }
    }

    /// As after a kill: nothing but the file is left.
    fn restart(self) -> Node {
        let Node { folder, journal, .. } = self;
        drop(journal);
        Node::over(folder, |_| {})
    }

    fn start(&self, receiver: &Receiver, form: Form, change: impl FnOnce(&mut Feed)) -> Delivery {
        let target = Target { timeout: self.timeout, ..Target::to(receiver.url()) };
        let settings = webhook::Settings { target, form };
        let pace = Pace { first: Duration::from_millis(5), longest: Duration::from_millis(50) };
        let mut feed = Feed { pace, batch: 8, ..Feed::default() };
        change(&mut feed);
        Delivery::start(Setup {
            lanes: vec![Lane {
                name: "hook".into(),
                sink: Arc::new(Webhook::new(settings)),
                feed: Arc::new(feed),
            }],
            path: path(&self.folder),
            tenants: vec!["platform".into(), "shop".into()],
            news: Arc::clone(&self.news),
            metrics: self.metrics.clone(),
        })
        .unwrap()
    }

    /// Journals detections together; they are.
    fn append(&mut self, tenant: &str, numbers: RangeInclusive<u64>) {
        assert!(self.try_append(tenant, numbers));
    }

    fn try_append(&mut self, tenant: &str, numbers: RangeInclusive<u64>) -> bool {
        let detections: Vec<(Detection, String)> = numbers
            .map(|number| {
                let mut detection = Detection::of_quota(&tenant.into(), number, number);
                detection.rule = if number.is_multiple_of(2) { "even" } else { "odd" }.into();
                (detection, line(tenant, number))
            })
            .collect();
        self.journal.append(detections.iter().map(|(detection, line)| (detection, line.as_str())))
    }

    fn balance(&self, tenant: &str) -> LaneBalance {
        let found = self.metrics.balances().into_iter().find(|lane| lane.tenant == tenant).unwrap();
        let LaneBalance { resumed, spooled, sent, rejected, filtered, lost, unsent, .. } = found.clone();
        assert_eq!(resumed + spooled, sent + rejected + filtered + lost + unsent, "{found:?}");
        found
    }
}

fn line(tenant: &str, number: u64) -> String {
    format!(r#"{{"tenant":"{tenant}","n":{number}}}"#)
}

fn lines(tenant: &str, numbers: RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| line(tenant, number)).collect()
}

/// The bodies of a tenant, split where several came together, each once.
fn of(requests: &[Request], tenant: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for request in requests {
        for line in request.body.lines().filter(|line| line.contains(&format!("\"{tenant}\""))) {
            if !all.iter().any(|known| known == line) {
                all.push(line.to_owned());
            }
        }
    }
    all
}

async fn finish(delivery: Delivery) {
    assert!(delivery.finish(Instant::now() + Duration::from_secs(120)).await);
}

#[tokio::test]
async fn all_arrive_in_order_and_once() {
    for form in [Form::Single, Form::Lines] {
        let receiver = Receiver::start().await;
        let mut node = Node::new(|_| {});
        node.append("platform", 1..=3);
        let delivery = node.start(&receiver, form, |_| {});
        node.append("platform", 4..=30);
        node.append("shop", 1..=20);
        finish(delivery).await;
        let taken = receiver.taken();
        assert_eq!(of(&taken, "platform"), lines("platform", 4..=30), "a new sink begins with what comes");
        assert_eq!(of(&taken, "shop"), lines("shop", 1..=20));
        assert_eq!(taken.iter().map(|request| request.body.lines().count()).sum::<usize>(), 47);
        let balance = node.balance("platform");
        assert_eq!((balance.resumed, balance.spooled, balance.sent, balance.unsent), (0, 27, 27, 0));
    }
}

#[tokio::test]
async fn a_receiver_that_is_down_gets_all_of_it_later() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut node = Node::new(|_| {});
    let delivery = node.start(&receiver, Form::Single, |_| {});
    drop(receiver);
    node.append("platform", 1..=50);
    let failing = async {
        while node.metrics.balances().is_empty() || node.metrics.failures("hook", "platform") < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), failing).await.unwrap();
    assert_eq!(node.balance("platform").unsent, 50);
    let receiver = Receiver::start_at(address).await;
    receiver.until(|taken| of(taken, "platform").len() == 50).await;
    finish(delivery).await;
    assert_eq!(of(&receiver.taken(), "platform"), lines("platform", 1..=50));
    assert_eq!(node.balance("platform").sent, 50);
}

#[tokio::test]
async fn what_fails_comes_again_byte_by_byte() {
    for form in [Form::Single, Form::Lines] {
        let receiver = Receiver::start().await;
        receiver.judge(|request| {
            if request.head.starts_with("HEAD") { Act::Answer(405, "") } else { Act::Answer(200, "") }
        });
        let mut node = Node { timeout: Duration::from_secs(2), ..Node::new(|_| {}) };
        let delivery = node.start(&receiver, form, |_| {});
        receiver.until_probed().await;
        receiver.next([
            Act::Answer(500, ""),
            Act::Hang,
            Act::Answer(429, "retry-after: 0\r\n"),
            Act::Answer(200, ""),
            Act::Answer(503, ""),
            Act::Reset,
        ]);
        node.append("platform", 1..=40);
        receiver.until(|taken| of(taken, "platform").len() == 40).await;
        finish(delivery).await;
        assert_eq!(of(&receiver.taken(), "platform"), lines("platform", 1..=40));
        let posts: Vec<String> = (receiver.all().into_iter())
            .filter(|request| request.head.starts_with("POST"))
            .map(|request| request.body)
            .collect();
        assert!(posts[..4].iter().all(|body| *body == posts[0]), "{:?}", &posts[..4]);
        assert!(posts[4..7].iter().all(|body| *body == posts[4]), "{:?}", &posts[4..7]);
        assert_eq!(node.balance("platform").sent, 40);
    }
}

#[tokio::test]
async fn poison_is_set_aside_and_blocks_nothing() {
    for form in [Form::Single, Form::Lines] {
        let receiver = Receiver::start().await;
        receiver.judge(|request| {
            let bad = request.body.lines().any(|line| line.ends_with(":7}") || line.ends_with(":23}"));
            Act::Answer(if bad { 400 } else { 200 }, "")
        });
        let mut node = Node::new(|_| {});
        let delivery = node.start(&receiver, form, |_| {});
        node.append("platform", 1..=30);
        receiver.until(|taken| of(taken, "platform").len() == 28).await;
        finish(delivery).await;
        let mut expected = lines("platform", 1..=30);
        expected.retain(|line| !line.ends_with(":7}") && !line.ends_with(":23}"));
        assert_eq!(of(&receiver.taken(), "platform"), expected);
        let balance = node.balance("platform");
        assert_eq!((balance.sent, balance.rejected, balance.lost), (28, 2, 0));
        let connection = crate::journal::open_beside(&path(&node.folder)).unwrap();
        let kept: Vec<(i64, String)> = connection
            .prepare("SELECT seq, line FROM rejected ORDER BY seq")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(kept, [(7, line("platform", 7)), (23, line("platform", 23))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_of_a_lane_is_bounded_by_what_it_weighs() {
    let receiver = Receiver::start().await;
    receiver.judge(|_| Act::Answer(413, ""));
    let mut node = Node::new(|_| {});
    let delivery = node.start(&receiver, Form::Single, |_| {});
    for number in 1..=12 {
        let detection = Detection::of_quota(&"platform".into(), number, number);
        let line = format!("{{\"n\":\"{}\"}}", "x".repeat(1 << 20));
        assert!(node.journal.append([(&detection, line.as_str())].into_iter()));
    }
    let refused = async {
        while node.balance("platform").rejected < 12 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    finish(delivery).await;
    let connection = crate::journal::open_beside(&path(&node.folder)).unwrap();
    let kept: Vec<i64> = connection
        .prepare("SELECT seq FROM rejected ORDER BY seq")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    // Each is a little more than an eighth of it.
    assert_eq!(kept, (6..=12).collect::<Vec<_>>());
}

#[tokio::test]
async fn less_than_a_batch_waits_for_more() {
    const LONG: Duration = Duration::from_secs(3600);
    let receiver = Receiver::start().await;
    let mut node = Node::new(|_| {});
    let delivery = node.start(&receiver, Form::Lines, |feed| feed.max_wait = LONG);
    for number in 1..=11 {
        node.append("platform", number..=number);
    }
    receiver.until(|taken| of(taken, "platform").len() == 8).await;
    // What waits goes when the end comes.
    finish(delivery).await;
    let bodies: Vec<usize> = receiver
        .taken()
        .iter()
        .map(|request| request.body.lines().count())
        .filter(|count| *count > 0)
        .collect();
    assert_eq!(bodies, [8, 3]);
    assert_eq!(of(&receiver.taken(), "platform"), lines("platform", 1..=11));
    // And when its time has come.
    let mut node = node.restart();
    let delivery = node.start(&receiver, Form::Lines, |feed| feed.max_wait = Duration::from_millis(20));
    node.append("platform", 12..=13);
    receiver.until(|taken| of(taken, "platform").len() == 13).await;
    // What has waited for as long already does not wait.
    node.append("platform", 14..=14);
    receiver.until(|taken| of(taken, "platform").len() == 14).await;
    finish(delivery).await;
    assert_eq!(node.balance("platform").sent, 3);
}

#[tokio::test]
async fn a_tenant_whose_receiver_hangs_delays_nobody_else() {
    let receiver = Receiver::start().await;
    receiver.judge(
        |request| {
            if request.body.contains("\"shop\"") { Act::Hang } else { Act::Answer(200, "") }
        },
    );
    let mut node = Node::new(|_| {});
    let delivery = node.start(&receiver, Form::Single, |_| {});
    node.append("shop", 1..=500);
    node.append("platform", 1..=100);
    receiver.until(|taken| of(taken, "platform").len() == 100).await;
    assert_eq!(of(&receiver.taken(), "platform"), lines("platform", 1..=100));
    assert_eq!(node.balance("shop").sent, 0);
    // It ends by the deadline all the same, and the rest waits.
    assert!(delivery.finish(Instant::now() + Duration::from_millis(100)).await);
    assert_eq!(node.balance("shop").unsent, 500);
    let node = node.restart();
    receiver.judge(|_| Act::Answer(200, ""));
    let delivery = node.start(&receiver, Form::Single, |_| {});
    finish(delivery).await;
    assert_eq!(of(&receiver.taken(), "shop"), lines("shop", 1..=500));
    let balance = node.balance("shop");
    assert_eq!((balance.resumed, balance.spooled, balance.sent), (500, 0, 500));
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again_after_an_end() {
    let receiver = Receiver::start().await;
    let mut node = Node::new(|_| {});
    let delivery = node.start(&receiver, Form::Single, |_| {});
    node.append("platform", 1..=10);
    finish(delivery).await;
    let mut node = node.restart();
    let delivery = node.start(&receiver, Form::Single, |_| {});
    node.append("platform", 11..=20);
    finish(delivery).await;
    let bodies: Vec<String> = receiver.taken().into_iter().map(|request| request.body).collect();
    let posts: Vec<String> = bodies.into_iter().filter(|body| !body.is_empty()).collect();
    assert_eq!(posts, lines("platform", 1..=20));
}

// The receiver answers beside the one who writes, however long that takes: what was given up on here and taken there would
// be counted by both.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_bound_removes_unsent_is_counted() {
    let receiver = Receiver::start().await;
    receiver.judge(|_| Act::Answer(503, ""));
    // Room for less than two thousand: a tenant has half of it, and each is a line and 256 bytes.
    let mut node = Node::new(|settings| settings.max_size = 1 << 20);
    let delivery = node.start(&receiver, Form::Single, |_| {});
    for hundred in 0..40 {
        node.append("platform", hundred * 100 + 1..=hundred * 100 + 100);
    }
    receiver.judge(|_| Act::Answer(200, ""));
    finish_all(&node, delivery).await;
    let sent = of(&receiver.taken(), "platform");
    let balance = node.balance("platform");
    assert_eq!((balance.spooled, balance.unsent), (4000, 0));
    assert_eq!(balance.sent, sent.len() as u64);
    assert!(balance.lost > 2000, "{balance:?}");
    assert_eq!(balance.sent + balance.lost, 4000);
    // What was sent before anything was removed, and what is left of the rest.
    let all = lines("platform", 1..=4000);
    let expected: Vec<String> = all.into_iter().filter(|line| sent.contains(line)).collect();
    assert_eq!(sent, expected, "in order");
    assert_eq!(sent.last(), Some(&line("platform", 4000)));
}

/// Waits until nothing is left, then ends it.
async fn finish_all(node: &Node, delivery: Delivery) {
    let sent = async {
        while node.metrics.balances().iter().any(|lane| lane.unsent > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), sent).await.unwrap();
    finish(delivery).await;
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_from_being_sent() {
    let receiver = Receiver::start().await;
    let mut node = Node::new(|_| {});
    let delivery = node.start(&receiver, Form::Single, |_| {});
    node.append("platform", 1..=20);
    node.journal.limit_pages(1);
    assert!(!node.try_append("platform", 1000..=3000), "there is no room");
    node.journal.limit_pages(1 << 20);
    node.append("platform", 21..=30);
    finish(delivery).await;
    assert_eq!(of(&receiver.taken(), "platform"), lines("platform", 1..=30));
    let balance = node.balance("platform");
    assert_eq!(
        (balance.spooled, balance.sent, balance.lost),
        (30, 30, 0),
        "what was not journaled has no number"
    );
}

#[tokio::test]
async fn a_journal_that_is_replaced_is_followed() {
    let receiver = Receiver::start().await;
    let mut node = Node::new(|_| {});
    let delivery = node.start(&receiver, Form::Single, |_| {});
    node.append("platform", 1..=5);
    receiver.until(|taken| of(taken, "platform").len() == 5).await;
    node.journal.begin_anew();
    node.append("platform", 6..=9);
    receiver.until(|taken| of(taken, "platform").len() == 9).await;
    finish(delivery).await;
    let balance = node.balance("platform");
    assert_eq!((balance.spooled, balance.sent, balance.lost, balance.unsent), (9, 9, 0, 0));
    let node = node.restart();
    let delivery = node.start(&receiver, Form::Single, |_| {});
    finish(delivery).await;
    assert_eq!(node.balance("platform").resumed, 0, "the cursors are in the new file");
}

#[tokio::test]
async fn a_journal_that_cannot_be_opened_stops_no_start() {
    let receiver = Receiver::start().await;
    let node = Node::new(|settings| settings.path = "/proc/none/journal.db".into());
    let delivery = node.start(&receiver, Form::Single, |_| {});
    finish(delivery).await;
    assert!(node.metrics.balances().is_empty());
}

#[tokio::test]
async fn what_is_not_wanted_is_passed_over_and_counted() {
    let receiver = Receiver::start().await;
    let mut node = Node::new(|_| {});
    let delivery = node.start(&receiver, Form::Single, |feed| {
        feed.filter.tenants = vec![Pattern::new("plat*")];
        feed.filter.rules = vec![Pattern::new("even")];
    });
    node.append("platform", 1..=21);
    node.append("shop", 1..=5);
    finish(delivery).await;
    let expected: Vec<String> = (1..=10).map(|half| line("platform", half * 2)).collect();
    assert_eq!(of(&receiver.taken(), "platform"), expected);
    assert_eq!(of(&receiver.taken(), "shop"), [""; 0]);
    let balance = node.balance("platform");
    assert_eq!((balance.sent, balance.filtered, balance.lost), (10, 11, 0));
    assert_eq!(node.metrics.balances().len(), 1, "no lane for a tenant that is not wanted");
}
