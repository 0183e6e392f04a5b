//! The loss ledger, with every way to lose something taken: both of its equations hold all the same, as metrics while the
//! daemon runs and as its last line.

use end_to_end::{
    activity::{audit_event, open, post_audit},
    actor,
    daemon::{Daemon, Options},
    http::Client,
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

const RULES: &str = "
- rule: Opened
  desc: d
  condition: evt.type in (open, openat) and fd.name startswith /yagura-ledger-
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
        all("yagura_detections_total")
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
    let options = Options { rules: RULES, config: &config, stdout_stuck: true, ..Options::default() };
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
    assert!(receiver.bodies().len() > 50);
    let balance = daemon.stop().balance();
    for way in ["filtered", "unmatched", "lost", "suppressed", "dropped", "journaled"] {
        assert!(balance[way].as_u64().is_some_and(|count| count > 0), "{way}: {balance}");
    }
}
