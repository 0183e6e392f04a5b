//! From the kernel to a receiver over HTTP, which may be away, and past the daemon's death.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use end_to_end::{
    DEADLINE,
    daemon::{Daemon, Options, yagura},
    kernel_tests_run,
};
use serde_json::Value;

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Fine,
    /// 503
    Broken,
    /// Closes in the middle of its answer, when it has the detection.
    Torn,
}

/// A receiver of webhooks: a double of falcosidekick, as far as its input goes.
#[derive(Clone)]
struct Receiver {
    has: Arc<Mutex<Vec<Value>>>,
    mood: Arc<Mutex<Mood>>,
    stop: Arc<AtomicBool>,
    port: u16,
}

impl Receiver {
    /// At a port, or at any.
    fn start(port: u16) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let receiver = Receiver {
            has: Arc::default(),
            mood: Arc::new(Mutex::new(Mood::Fine)),
            stop: Arc::default(),
            port: listener.local_addr().expect("an address").port(),
        };
        let own = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.stop.load(Ordering::Relaxed) {
                    return;
                }
                let own = own.clone();
                thread::spawn(move || while own.answer(&stream).is_some() {});
            }
        });
        receiver
    }

    /// Answers one request; `None` when the connection is over.
    fn answer(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let mood = *self.mood.lock().expect("a mood");
        if mood == Mood::Broken {
            return stream.write_all(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n").ok();
        }
        self.has.lock().expect("a list").push(serde_json::from_slice(&body).expect("JSON"));
        if mood == Mood::Torn {
            let _sent = stream.write_all(b"HTTP/1.1 200 O");
            return None;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
    }

    fn outputs(&self) -> Vec<String> {
        let has = self.has.lock().expect("a list");
        has.iter()
            .map(|detection| detection["output_fields"]["fd.name"].as_str().expect("a path").into())
            .collect()
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().expect("a mood") = mood;
    }
}

fn rules(test: &str) -> String {
    format!(
        "- rule: Opened\n  desc: d\n  condition: evt.type = openat and fd.name startswith /yagura-{test}-\n  \
         output: opened %fd.name\n  priority: NOTICE\n"
    )
}

fn open(test: &str, number: usize) {
    assert!(File::open(format!("/yagura-{test}-{number}")).is_err());
}

fn names(test: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("/yagura-{test}-{number}")).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The first time that each was heard, in order.
fn once(all: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

#[test]
fn everything_arrives_at_a_receiver_that_was_away_broken_and_torn() {
    if !kernel_tests_run() {
        return;
    }
    // A port at which nobody is yet.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let config = format!(
        "rate_limit: {{rate: 0}}\nsinks:\n  - {{name: hook, type: webhook, url: \"http://127.0.0.1:{port}/\", max_pause: 1s}}\n"
    );
    let daemon = Daemon::start(&Options { rules: &rules("away"), config: &config, ..Options::default() });
    (0..10).for_each(|number| open("away", number));
    let by = "{sink=\"hook\",tenant=\"platform\"}";
    daemon.until("it was tried", |daemon| {
        daemon.metric("yagura_sink_failed_total{reason=\"connect\",sink=\"hook\",tenant=\"platform\"}") >= 2.0
    });
    assert!(daemon.metric(&format!("yagura_sink_spooled{by}")) >= 1.0);
    assert_eq!(daemon.metric(&format!("yagura_sink_up{by}")), 0.0);
    let receiver = Receiver::start(port);
    until("the first ten", || once(receiver.outputs()).len() == 10);
    receiver.set(Mood::Broken);
    (10..20).for_each(|number| open("away", number));
    daemon.until("it was refused", |daemon| {
        daemon.metric("yagura_sink_failed_total{reason=\"server_error\",sink=\"hook\",tenant=\"platform\"}")
            >= 1.0
    });
    receiver.set(Mood::Torn);
    until("some answers are torn", || once(receiver.outputs()).len() > 10);
    receiver.set(Mood::Fine);
    (20..30).for_each(|number| open("away", number));
    until("all thirty", || once(receiver.outputs()).len() == 30);
    assert_eq!(once(receiver.outputs()), names("away", 0..30), "in order");
    daemon.until("all is accounted for", |daemon| {
        daemon.metric(&format!("yagura_sink_sent_total{by}")) == 30.0
            && daemon.metric(&format!("yagura_sink_spooled{by}")) == 0.0
    });
    for name in ["rejected", "expired"] {
        assert_eq!(daemon.metric(&format!("yagura_sink_{name}_total{by}")), 0.0, "{name}");
    }
    // The same bytes as on stdout, for whoever takes Falco's.
    let printed =
        daemon.detection(|detection| detection["output"].as_str().is_some_and(|o| o.ends_with("-29")));
    let heard =
        receiver.has.lock().expect("a list").iter().find(|heard| heard["uuid"] == printed["uuid"]).cloned();
    assert_eq!(heard, Some(printed));
    assert_eq!(daemon.stop().balance()["dropped"], 0);
    receiver.stop.store(true, Ordering::Relaxed);
}

#[test]
fn a_daemon_that_is_killed_goes_on_where_it_was() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(0);
    let config = format!(
        "rate_limit: {{rate: 0}}\nqueue_size: 100000\njournal:\n  path: {}\n\
         sinks:\n  - {{name: hook, type: webhook, url: \"http://127.0.0.1:{}/\", max_pause: 1s}}\n",
        folder.path().join("journal.db").display(),
        receiver.port
    );
    const EACH: usize = 100;
    let start = || Daemon::start(&Options { rules: &rules("dead"), config: &config, ..Options::default() });
    for round in 0..4 {
        let daemon = start();
        (round * EACH..(round + 1) * EACH).for_each(|number| open("dead", number));
        // The receiver is behind when the daemon dies.
        let last = format!("/yagura-dead-{}", (round + 1) * EACH - 1);
        daemon.detection(|detection| detection["output_fields"]["fd.name"] == last.as_str());
        daemon.signal(libc::SIGKILL);
        daemon.wait();
    }
    let daemon = start();
    until("everything", || once(receiver.outputs()).len() == 4 * EACH);
    assert_eq!(once(receiver.outputs()), names("dead", 0..4 * EACH), "in order, nothing is missing");
    daemon.stop();
    receiver.stop.store(true, Ordering::Relaxed);
}

#[test]
fn a_sink_is_tested_from_the_command_line() {
    let receiver = Receiver::start(0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("yagura.yaml");
    let text = format!(
        "sinks:\n  - {{name: good, type: webhook, url: \"http://127.0.0.1:{}/\"}}\n  \
         - {{name: bad, type: webhook, url: \"http://127.0.0.1:1/\"}}\n",
        receiver.port
    );
    std::fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("text");
    let run = |args: &[&str]| {
        let output = yagura(&[&["sink", "test", "--config", path], args].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run(&["good"]);
    assert_eq!((code, text.as_str()), (Some(0), "good: it was taken\n"));
    assert_eq!(receiver.has.lock().expect("a list")[0]["rule"], "Yagura sink test");
    let (code, text) = run(&[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("good: it was taken") && text.contains("bad: it was not taken: "), "{text}");
    assert_eq!(run(&["other"]).0, Some(2));
    receiver.stop.store(true, Ordering::Relaxed);
}
