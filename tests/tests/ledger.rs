//! The loss ledger, with every way to lose something taken: both of its equations hold all the same, as metrics while the
//! daemon runs and as its last line.

use std::fs;

use end_to_end::{
    activity::{audit_event, open, post_audit},
    actor,
    daemon::{Daemon, Options},
    disk::Disk,
    http::Client,
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

const RULES: &str = "
- rule: Opened
  desc: d
  condition: evt.type in (open, openat) and fd.name startswith /yagura-TEST-
  output: opened %fd.name
  priority: NOTICE
- rule: Renamed
  desc: Reaches user space with every rename and matches none.
  condition: evt.type = rename and fs.path.source contains yagura-ledger-never and proc.pid = -1
  output: renamed
  priority: NOTICE
- rule: Seen
  desc: d
  source: k8s_audit
  condition: ka.stage = ResponseComplete and ka.verb = get
  output: seen %ka.auditid
  priority: WARNING
";

/// Not about the opens of another test, of which there are many.
fn rules(test: &str) -> String {
    RULES.replace("TEST", test)
}

/// The sum of the series of a metric that have all of these labels.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let of = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    let values = metrics.lines().filter(of).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

/// What is left of each equation of docs/metrics.md when one side is taken from the other.
fn differences(metrics: &str) -> [f64; 4] {
    let all = |name: &str| sum(metrics, name, &[]);
    let lost = |stage: &str| sum(metrics, "yagura_lost_total", &[&format!("stage=\"{stage}\"")]);
    let before = ["kernel", "decode", "match", "audit"].map(lost).iter().sum::<f64>();
    let dropped = lost("queue") + lost("stdout");
    [
        all("yagura_events_total")
            - all("yagura_events_filtered_total")
            - all("yagura_events_matched_total")
            - all("yagura_events_unmatched_total")
            - before,
        all("yagura_detections_total") + all("yagura_detections_retired_total")
            - all("yagura_sink_delivered_total")
            - all("yagura_suppressed_total")
            - dropped,
        all("yagura_sink_resumed_total") + all("yagura_sink_spooled_total")
            - ["sent_total", "rejected_total", "filtered_total", "lost_total", "unsent"]
                .map(|name| all(&format!("yagura_sink_{name}")))
                .iter()
                .sum::<f64>(),
        // Two sinks are told of each.
        all("yagura_sink_spooled_total") - 2.0 * all("yagura_journal_written_total"),
    ]
}

/// What is left of all that was to be journaled when what became of it is taken away: with nothing lost before the journal
/// or after it.
fn journal_difference(metrics: &str) -> f64 {
    let all = |name: &str| sum(metrics, name, &[]);
    all("yagura_detections_total")
        - all("yagura_suppressed_total")
        - all("yagura_journal_written_total")
        - all("yagura_journal_failures_total")
}

fn post(client: &Client, ids: std::ops::Range<u32>, verb: &str) {
    let events = ids.map(|id| {
        let mut event = audit_event(format!("{verb}-{id}"), "shop");
        event["verb"] = verb.into();
        event
    });
    assert_eq!(post_audit(client, &[], events), 200);
}

fn flood(count: u32) {
    let path = "path=/yagura-ledger-flood".to_owned();
    let count = format!("count={count}");
    let status = std::process::Command::new(actor())
        .args(["flood-opens", &path, "cpu=1", &count, "milliseconds=60000"])
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.expect("it runs").success());
}

#[test]
fn every_way_to_lose_something_is_accounted_for() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let receiver = Receiver::start(address, |body| {
        if body.contains("/yagura-ledger-poison") { Act::Answer(400) } else { Act::Answer(200) }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "kernel: {{ring_size: 256KiB}}\nqueue_size: 64\nrate_limit: {{rate: 1000, burst: 20000}}\n\
         journal:\n  path: {}\n  max_size: 1MiB\n\
         tenants: [{{name: shop, match: {{namespaces: [shop]}}, quota: {{detections_per_second: 1, burst: 5}}}}]\n\
         sinks:\n\
         - {{name: hook, type: webhook, url: 'http://{address}/', rules: [Opened]}}\n\
         - {{name: gone, type: webhook, url: 'http://{}/'}}\n",
        folder.path().join("journal.db").display(),
        free_address()
    );
    let rules = rules("ledger");
    let options = Options { rules: &rules, config: &config, stdout_stuck: true, ..Options::default() };
    let mut daemon = Daemon::start(&options);
    let client = Client::plain(daemon.address());
    // One for ever refused; a tenant beyond its quota, which a sink does not want either; one event that no rule wants.
    open("ledger", "poison");
    post(&client, 0..100, "get");
    post(&client, 0..10, "list");
    let holds = |metrics: &str, name: &str, labels: &[&str]| sum(metrics, name, labels) > 0.0;
    daemon.until("the poison is set aside", |daemon| {
        holds(&daemon.get("/metrics").1, "yagura_sink_rejected_total", &["sink=\"hook\""])
    });
    // Nobody reads stdout: its pipe is full, then the queue, and the rule speaks more often than it may.
    flood(40_000);
    // How much of that the journal gets is the machine's affair; it is to get more than it may have, of which one sink has
    // sent nothing.
    let removed = ("yagura_journal_removed_total", &["bound=\"share\""][..]);
    daemon.until("the journal is full", |daemon| {
        let full = holds(&daemon.get("/metrics").1, removed.0, removed.1);
        if !full {
            flood(1_000);
        }
        full
    });
    // Nobody reads the ring.
    daemon.signal(libc::SIGSTOP);
    flood(20_000);
    daemon.signal(libc::SIGCONT);
    let ways = [
        ("yagura_events_filtered_total", &[][..]),
        ("yagura_events_unmatched_total", &[]),
        ("yagura_lost_total", &["stage=\"kernel\"", "reason=\"ring_full\""]),
        ("yagura_lost_total", &["stage=\"queue\"", "reason=\"full\""]),
        ("yagura_suppressed_total", &[]),
        ("yagura_tenant_quota_suppressed_total", &["tenant=\"shop\""]),
        removed,
        ("yagura_sink_sent_total", &["sink=\"hook\""]),
        ("yagura_sink_rejected_total", &["sink=\"hook\""]),
        ("yagura_sink_filtered_total", &["sink=\"hook\""]),
        ("yagura_sink_lost_total", &["sink=\"gone\""]),
        ("yagura_sink_unsent", &["sink=\"gone\""]),
    ];
    for (name, labels) in ways {
        daemon.until(&format!("{name} {labels:?}"), |daemon| holds(&daemon.get("/metrics").1, name, labels));
    }
    // What waits for whoever reads stdout is neither delivered nor lost.
    daemon.read_stdout();
    for (index, what) in ["events", "detections", "lanes", "journal"].iter().enumerate() {
        // What is in flight at one look is not at another; a difference that stays is a defect.
        daemon.until(&format!("the equation of {what}"), |daemon| {
            differences(&daemon.get("/metrics").1)[index] == 0.0
        });
    }
    receiver.until("some of what was journaled is there", |taken| taken.len() > 50);
    let balance = daemon.stop().balance();
    for way in ["filtered", "unmatched", "lost", "suppressed", "dropped", "journaled"] {
        assert!(balance[way].as_u64().is_some_and(|count| count > 0), "{way}: {balance}");
    }
}

#[test]
fn what_neither_stdout_nor_the_journal_takes_is_accounted_for() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let _disk = Disk::new(folder.path(), "16m");
    // Each tenant may have most of the journal, which does not do for both; and nothing for longer than a minute.
    let config = format!(
        "rate_limit: {{rate: 0}}\nqueue_size: 100000\n\
         journal:\n  path: {}\n  max_size: 1MiB\n  max_age: 1m\n\
         tenants: [{{name: shop, match: {{namespaces: [shop]}}, quota: {{journal: 0.9}}}}]\n\
         sinks: [{{name: gone, type: webhook, url: 'http://{}/'}}]\n",
        folder.path().join("journal.db").display(),
        free_address()
    );
    // Its stdout is a disk that is full.
    let wrapper = ["/bin/sh", "-c", "exec \"$@\" > /dev/full", "sh"];
    let rules = rules("journal");
    let options = Options { rules: &rules, config: &config, wrapper: &wrapper, ..Options::default() };
    let daemon = Daemon::start(&options);
    let client = Client::plain(daemon.address());
    let at_rest = |daemon: &Daemon| {
        daemon.until("all was tried", |daemon| {
            let metrics = daemon.get("/metrics").1;
            journal_difference(&metrics) == 0.0 && differences(&metrics)[1] == 0.0
        });
    };
    let count = |name: &str, labels: &[&str]| sum(&daemon.get("/metrics").1, name, labels);
    let removed = |bound: &str| count("yagura_journal_removed_total", &[&format!("bound=\"{bound}\"")]);
    let mut posted = 0;
    let mut more = || {
        post(&client, posted..posted + 500, "get");
        posted += 500;
        (0..500).for_each(|number| open("journal", number));
        at_rest(&daemon);
    };
    // Somebody else takes all the room there is, for a while.
    let other = folder.path().join("other");
    assert!(fs::write(&other, vec![0; 32 << 20]).is_err());
    more();
    assert!(count("yagura_journal_failures_total", &["reason=\"disk_full\""]) > 0.0);
    fs::remove_file(&other).expect("a file");
    for bound in ["share", "size"] {
        daemon.until(&format!("something is too much for the bound {bound}"), |_| {
            let reached = removed(bound) > 0.0;
            if !reached {
                more();
            }
            reached
        });
    }
    // The daemon itself says how long it has been.
    let waited =
        |daemon: &Daemon| sum(&daemon.get("/metrics").1, "yagura_sink_oldest_unsent_seconds", &["platform"]);
    more();
    daemon.until("time passes", |daemon| waited(daemon) >= 35.0);
    daemon.until("something is too old", |_| removed("age") > 0.0);
    more();
    let ways = [
        ("yagura_lost_total", &["stage=\"stdout\"", "reason=\"write_error\""][..]),
        ("yagura_journal_written_total", &[]),
        ("yagura_sink_lost_total", &["sink=\"gone\""]),
        ("yagura_sink_unsent", &["sink=\"gone\""]),
    ];
    for (name, labels) in ways {
        daemon.until(&format!("{name} {labels:?}"), |_| count(name, labels) > 0.0);
    }
    daemon.until("the equation of lanes", |daemon| differences(&daemon.get("/metrics").1)[2] == 0.0);
    daemon.until("the equation of the journal", |_| {
        // One sink is told of each.
        count("yagura_sink_spooled_total", &[]) == count("yagura_journal_written_total", &[])
    });
    let failed = count("yagura_journal_failures_total", &[]);
    let balance = daemon.stop().balance();
    let number = |key: &str| balance[key].as_u64().unwrap_or_else(|| panic!("no {key} in {balance}"));
    assert_eq!((number("delivered"), number("dropped")), (0, number("detections")), "{balance}");
    assert_eq!(number("journaled") + failed as u64, number("detections"), "{balance}");
}
