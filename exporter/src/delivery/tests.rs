//! Delivery against receivers that do what receivers do.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Mutex,
};

use super::*;
use crate::{
    detection::Detection,
    journal::{Journal, Settings},
    metrics::JournalCounters,
    rules::Priority,
    sinks::{Entry, SendError, Sent},
    tenants::Pattern,
};

/// What a receiver has, and what it does with the next requests of a tenant.
#[derive(Debug, Default)]
struct Receiver {
    has: Mutex<BTreeMap<String, Vec<String>>>,
    next: Mutex<BTreeMap<String, VecDeque<Do>>>,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
enum Do {
    /// Fails, and has nothing of it.
    Fail,
    /// Has it, and the answer is lost.
    TakeAndFail,
    /// Is away for ever.
    Hang,
}

impl Sink for Receiver {
    fn most(&self) -> usize {
        self.most
    }

    fn send<'a>(&'a self, tenant: &'a str, entries: &'a [Entry]) -> Sent<'a> {
        Box::pin(async move {
            let todo = self.next.lock().unwrap().get_mut(tenant).and_then(VecDeque::pop_front);
            let later = || Err(SendError::Later { reason: "server_error", text: "no".into(), after: None });
            let take = || {
                let mut has = self.has.lock().unwrap();
                has.entry(tenant.to_owned())
                    .or_default()
                    .extend(entries.iter().map(|entry| entry.line.clone()));
            };
            if entries.iter().any(|entry| entry.line.contains("poison")) {
                return Err(SendError::Rejected { text: "400".into() });
            }
            match todo {
                None => {
                    take();
                    Ok(())
                }
                Some(Do::Fail) => later(),
                Some(Do::TakeAndFail) => {
                    take();
                    later()
                }
                Some(Do::Hang) => std::future::pending().await,
            }
        })
    }
}

struct Told {
    dir: tempfile::TempDir,
    journal: Journal,
    counters: Arc<SinksCounters>,
    cursors: Arc<Cursors>,
    number: u64,
}

impl Told {
    fn new(change: impl FnOnce(&mut Settings)) -> Told {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings { path: dir.path().join("j.db"), ..Settings::default() };
        change(&mut settings);
        let counters = Arc::new(SinksCounters::new().unwrap());
        let cursors = Arc::new(Cursors::new(Arc::clone(&counters)));
        let mut journal = Journal::new(settings, Arc::new(JournalCounters::new().unwrap()));
        journal.tell(Arc::clone(&cursors));
        Told { dir, journal, counters, cursors, number: 0 }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("j.db")
    }

    fn write(&mut self, tenant: &str, priority: Priority, count: usize, word: &str) {
        for _ in 0..count {
            let detection = Detection {
                time_ns: self.number,
                rule: "r".into(),
                priority,
                source: "syscall",
                tags: Arc::from(["container".to_owned()]),
                message: String::new(),
                output_fields: Vec::new(),
                incomplete_fields: Vec::new(),
                uuid: uuid::Uuid::new_v4(),
                tenant: tenant.into(),
                namespace: None,
                correlation: None,
            };
            let line = format!("{}-{word}", self.number);
            self.number += 1;
            assert!(self.journal.append([(&detection, line.as_str())].into_iter()));
        }
    }

    /// A way of a sink through a tenant's, running.
    fn way(&self, receiver: &Arc<Receiver>, tenant: &str, selection: Selection) -> watch::Sender<bool> {
        let (stop, stopped) = watch::channel(false);
        self.counters.begin("s", tenant);
        let way = Way {
            sink: Arc::clone(receiver) as Arc<dyn Sink>,
            name: "s".into(),
            tenant: tenant.into(),
            selection,
            pause: Pause::new(Duration::from_millis(1), Duration::from_millis(4)),
            path: self.path(),
            cursors: Arc::clone(&self.cursors),
            counters: Arc::clone(&self.counters),
            grown: self.journal.grown(),
            stop: stopped,
        };
        let place = way.open().unwrap();
        tokio::spawn(way.run(Some(place)));
        stop
    }
}

fn receiver(most: usize, next: &[(&str, &[Do])]) -> Arc<Receiver> {
    let next =
        next.iter().map(|(tenant, todo)| ((*tenant).to_owned(), todo.iter().copied().collect())).collect();
    Arc::new(Receiver { has: Mutex::default(), next: Mutex::new(next), most })
}

fn has(receiver: &Receiver, tenant: &str) -> Vec<String> {
    receiver.has.lock().unwrap().get(tenant).cloned().unwrap_or_default()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn numbers(lines: &[String]) -> Vec<u64> {
    lines.iter().map(|line| line.split('-').next().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn everything_arrives_in_order_whatever_fails() {
    let mut told = Told::new(|_| {});
    told.write("shop", Priority::Notice, 5, "before");
    let todo = [Do::Fail, Do::Fail, Do::TakeAndFail, Do::Fail];
    let receiver = receiver(10, &[("shop", &todo)]);
    let _stop = told.way(&receiver, "shop", Selection::default());
    told.write("shop", Priority::Notice, 35, "x");
    told.write("bank", Priority::Notice, 3, "not this tenant's");
    until("all have arrived", || told.counters.numbers("s", "shop") == [35, 0, 0, 0]).await;
    let mut all = numbers(&has(&receiver, "shop"));
    assert!(all.len() > 35, "what was taken without an answer comes again: {all:?}");
    all.dedup();
    let mut once = Vec::new();
    all.into_iter().for_each(|number| {
        if !once.contains(&number) {
            once.push(number)
        }
    });
    assert_eq!(
        once,
        (5..40).collect::<Vec<_>>(),
        "a sink that is new begins at the end, and keeps the order"
    );
    assert_eq!(has(&receiver, "bank").len(), 0);
}

#[tokio::test]
async fn it_goes_on_where_it_was_after_an_end_of_any_kind() {
    let mut told = Told::new(|_| {});
    let first = receiver(4, &[("shop", &[])]);
    let stop = told.way(&first, "shop", Selection::default());
    told.write("shop", Priority::Notice, 10, "x");
    until("the first ten", || has(&first, "shop").len() == 10).await;
    until("the cursor is kept", || told.counters.numbers("s", "shop")[3] == 0).await;
    stop.send_replace(true);
    told.write("shop", Priority::Notice, 7, "while nobody delivers");
    // Ended in the middle of a request.
    let second = receiver(4, &[("shop", &[Do::Hang])]);
    let stop = told.way(&second, "shop", Selection::default());
    until("it is tried", || second.next.lock().unwrap()["shop"].is_empty()).await;
    stop.send_replace(true);
    let third = receiver(4, &[]);
    let _stop = told.way(&third, "shop", Selection::default());
    until("the rest", || has(&third, "shop").len() == 7).await;
    assert_eq!(numbers(&has(&third, "shop")), (10..17).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_that_is_rejected_is_set_aside_and_the_others_arrive() {
    let mut told = Told::new(|_| {});
    let receiver = receiver(8, &[]);
    told.write("shop", Priority::Notice, 1, "before");
    let _stop = told.way(&receiver, "shop", Selection::default());
    told.write("shop", Priority::Notice, 5, "x");
    told.write("shop", Priority::Notice, 2, "poison");
    told.write("shop", Priority::Notice, 5, "x");
    until("all are dealt with", || told.counters.numbers("s", "shop") == [10, 2, 0, 0]).await;
    assert_eq!(numbers(&has(&receiver, "shop")), [1, 2, 3, 4, 5, 8, 9, 10, 11, 12]);
}

#[tokio::test]
async fn a_tenants_receiver_that_hangs_holds_back_nobody_else() {
    let mut told = Told::new(|_| {});
    let receiver = receiver(10, &[("stuck", &[Do::Hang])]);
    let _stuck = told.way(&receiver, "stuck", Selection::default());
    let _fine = told.way(&receiver, "fine", Selection::default());
    told.write("stuck", Priority::Notice, 50, "x");
    told.write("fine", Priority::Notice, 50, "x");
    until("the other one's arrive", || told.counters.numbers("s", "fine") == [50, 0, 0, 0]).await;
    until("what waits is known", || told.counters.numbers("s", "stuck")[3] > 0).await;
    assert_eq!(told.counters.numbers("s", "stuck")[0], 0);
}

#[tokio::test]
async fn a_sink_gets_what_it_selects_and_moves_past_the_rest() {
    let mut told = Told::new(|_| {});
    let receiver = receiver(10, &[]);
    let urgent = Selection {
        minimum_priority: Priority::Error,
        rules: vec![Pattern::new("r*")],
        tags: vec!["container".into()],
        ..Selection::default()
    };
    let _stop = told.way(&receiver, "shop", urgent);
    for _ in 0..3 {
        told.write("shop", Priority::Notice, 20, "x");
        told.write("shop", Priority::Critical, 1, "urgent");
    }
    until("the urgent ones", || told.counters.numbers("s", "shop") == [3, 0, 0, 0]).await;
    assert!(has(&receiver, "shop").iter().all(|line| line.ends_with("urgent")));
}

#[tokio::test]
async fn what_a_bound_removes_before_it_arrives_is_counted_exactly() {
    let mut told = Told::new(|settings| {
        settings.max_size = 1 << 20;
        settings.shares = [("shop".to_owned(), 0.1)].into();
    });
    let receiver = receiver(10, &[("shop", &[Do::Hang])]);
    let stop = told.way(&receiver, "shop", Selection::default());
    told.write("shop", Priority::Notice, 1, "first");
    until("it hangs", || receiver.next.lock().unwrap()["shop"].is_empty()).await;
    told.write("shop", Priority::Notice, 2000, "x");
    stop.send_replace(true);
    let again = self::receiver(1000, &[]);
    let _stop = told.way(&again, "shop", Selection::default());
    until("what is left has arrived", || {
        let [sent, rejected, expired, spooled] = told.counters.numbers("s", "shop");
        sent + rejected + expired + spooled == 2001 && spooled == 0
    })
    .await;
    let [sent, _, expired, _] = told.counters.numbers("s", "shop");
    assert_eq!(sent, has(&again, "shop").len() as u64);
    assert!(expired > 1000 && sent > 100, "{sent} {expired}");
}

#[tokio::test]
async fn a_journal_that_was_set_aside_is_followed_by_the_new_one() {
    let mut told = Told::new(|_| {});
    let receiver = receiver(10, &[]);
    let _stop = told.way(&receiver, "shop", Selection::default());
    told.write("shop", Priority::Notice, 5, "old");
    until("the old ones", || has(&receiver, "shop").len() == 5).await;
    std::fs::rename(told.path(), told.dir.path().join("aside")).unwrap();
    for end in ["-wal", "-shm"] {
        let _absent = std::fs::remove_file(told.dir.path().join(format!("j.db{end}")));
    }
    let settings = Settings { path: told.path(), ..Settings::default() };
    told.journal = Journal::new(settings, Arc::new(JournalCounters::new().unwrap()));
    told.write("shop", Priority::Notice, 5, "new");
    until("the new ones", || has(&receiver, "shop").len() == 10).await;
    assert_eq!(numbers(&has(&receiver, "shop")), (0..10).collect::<Vec<_>>());
}
