//! Detections in Loki (a double of it): each tenant's under its own organisation, each once, in order.

use std::{collections::BTreeMap, fs};

use end_to_end::{
    activity::{audit_event, journal_lines, open, post_audit},
    authority::Authority,
    daemon::{Daemon, Options, yagura},
    http::Client,
    kernel_tests_run,
    loki::{Entry, Labels, Loki, Mishap},
    receiver::free_address,
    server,
};
use serde_json::Value;
use tempfile::TempDir;

const AUDIT_RULE: &str = "- rule: Seen\n  desc: d\n  source: k8s_audit\n  condition: ka.stage = ResponseComplete\n  \
                          output: seen %ka.auditid %ka.target.namespace\n  priority: NOTICE\n";
const TENANTS: &str = "tenants: [{name: shop, match: {namespaces: [\"shop-*\"]}}]\n";

/// A rule about the opens of one test.
fn open_rule(test: &str) -> String {
    format!(
        "- rule: Opened \"it\"\n  desc: d\n  condition: evt.type = openat and fd.name startswith /yagura-{test}-\n  \
         output: opened %fd.name %proc.aname[2]\n  priority: WARNING\n"
    )
}

/// An event that the API server tells of; `time` is now if it is empty.
fn event(id: &str, namespace: &str, time: &str) -> Value {
    let mut event = audit_event(id, namespace);
    if !time.is_empty() {
        event["stageTimestamp"] = time.into();
    }
    event
}

fn days_ago(days: i64) -> String {
    (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days)).to_string()
}

fn post(client: &Client, events: Vec<Value>) {
    assert_eq!(post_audit(client, &[], events), 200);
}

fn config(folder: &TempDir, url: &str, more: &str) -> String {
    let path = folder.path().join("journal.db");
    format!(
        "rate_limit: {{rate: 0}}\nqueue_size: 100000\nnode: n-1\ncluster: c-1\njournal:\n  path: {}\n\
         sinks:\n- name: loki\n  type: loki\n  url: '{url}'\n  tenant_id: 'team-{{tenant}}'\n  \
         tenant_ids: [{{tenant: platform, id: ops}}]\n  timeout: 60s\n  retry: {{first: 10ms, longest: 200ms}}\n{more}",
        path.display()
    )
}

fn metric(daemon: &Daemon, name: &str, tenant: &str) -> f64 {
    daemon.metric(&format!("yagura_sink_{name}{{sink=\"loki\",tenant=\"{tenant}\"}}"))
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let same = [("job", "yagura"), ("cluster", "c-1"), ("node", "n-1")];
    same.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// By organisation and rule.
fn lines(streams: &BTreeMap<(String, Labels), Vec<Entry>>, org: &str, rule: &str) -> Vec<String> {
    let own = streams.iter().filter(|((own, labels), _)| own == org && labels["rule"] == rule);
    own.flat_map(|(_, entries)| entries.iter().map(|entry| entry.line.clone())).collect()
}

#[test]
fn each_tenant_has_its_own_and_poison_blocks_nothing() {
    if !kernel_tests_run() {
        return;
    }
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let loki = Loki::start(address, None, |line| line.contains("seen bitter"), |_| None);
    let rules = format!("{AUDIT_RULE}{}", open_rule("lokiorgs"));
    let more =
        format!("  batch: {{max_wait: 100ms}}\n  limits: {{reject_old_samples_max_age: 60d}}\n{TENANTS}");
    let config = config(&folder, &format!("http://{address}"), &more);
    let daemon = Daemon::start(&Options { rules: &rules, config: &config, ..Options::default() });
    let client = Client::plain(daemon.address());
    for number in 0..40 {
        open("lokiorgs", number);
    }
    let mut events: Vec<Value> = (0..60).map(|number| event(&format!("a{number}"), "shop-1", "")).collect();
    // What the limits here exclude, what Loki's do, and what Loki refuses without saying which.
    events[20] = event("ancient", "shop-1", &days_ago(90));
    events[30] = event("old", "shop-1", &days_ago(30));
    events[40] = event("bitter", "shop-1", "");
    events.extend((0..10).map(|number| event(&format!("b{number}"), "other", "")));
    post(&client, events);
    loki.until("ops", 50);
    loki.until("team-shop", 57);
    daemon.until("it is counted", |daemon| {
        metric(daemon, "rejected_total", "shop") == 3.0
            && metric(daemon, "sent_total", "shop") == 57.0
            && metric(daemon, "sent_total", "platform") == 50.0
    });
    for what in ["more than reject_old_samples_max_age", "has timestamp too old", "it is not to its taste"] {
        daemon.log(|line| line.contains("set aside") && line.contains(what));
    }
    daemon.stop().balance();
    let streams = loki.streams();
    let of_open =
        [("tenant", "platform"), ("rule", "Opened \"it\""), ("priority", "Warning"), ("source", "syscall")];
    let of_audit = [("rule", "Seen"), ("priority", "Notice"), ("source", "k8s_audit")];
    let audit = |tenant, namespace| {
        let mut all = vec![("tenant", tenant), ("namespace", namespace)];
        all.extend(of_audit);
        labels(&all)
    };
    let mut expected = vec![
        ("ops".to_owned(), labels(&of_open)),
        ("ops".to_owned(), audit("platform", "other")),
        ("team-shop".to_owned(), audit("shop", "shop-1")),
    ];
    expected.sort();
    assert_eq!(streams.keys().cloned().collect::<Vec<_>>(), expected, "these labels and no others");
    let journal = journal_lines(&folder.path().join("journal.db"));
    assert_eq!(journal.len(), 110);
    for (org, tenant, rule) in
        [("ops", "platform", "Opened \"it\""), ("ops", "platform", "Seen"), ("team-shop", "shop", "Seen")]
    {
        let expected: Vec<String> = (journal.iter())
            .filter(|line| {
                let detection: Value = serde_json::from_str(line).expect("JSON");
                detection["tenant"] == tenant && detection["rule"] == rule
            })
            .filter(|line| {
                !["ancient", "old", "bitter"].iter().any(|id| line.contains(&format!("seen {id} ")))
            })
            .cloned()
            .collect();
        assert_eq!(lines(&streams, org, rule), expected, "{org} {rule}");
    }
    for (_, entry) in streams.iter().flat_map(|(key, entries)| entries.iter().map(move |entry| (key, entry)))
    {
        let detection: Value = serde_json::from_str(&entry.line).expect("JSON");
        let metadata: BTreeMap<&str, &str> =
            entry.metadata.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(metadata["uuid"], detection["uuid"]);
        assert_eq!(metadata["evt_time"], entry.time_ns.to_string());
        let field = if detection["source"] == "syscall" {
            ("fd_name", "fd.name")
        } else {
            ("ka_auditid", "ka.auditid")
        };
        assert_eq!(metadata[field.0], detection["output_fields"][field.1]);
        assert!(entry.metadata.iter().all(|(name, _)| !name.contains(['.', '[', ']'])), "{metadata:?}");
    }
    let (mut bodies, all) = (Vec::new(), loki.pushes());
    assert!(all.iter().any(|push| push.status == 400));
    for push in all {
        assert!(!bodies.contains(&push.body), "nothing was refused and sent again as it was");
        bodies.push(push.body);
    }
}

#[test]
fn after_an_outage_each_is_there_once_and_in_order() {
    if !kernel_tests_run() {
        return;
    }
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let rules = format!("{AUDIT_RULE}{}", open_rule("lokiaway"));
    let config =
        config(&folder, &format!("http://{address}/"), &format!("  batch: {{max_entries: 7}}\n{TENANTS}"));
    let options = Options { rules: &rules, config: &config, ..Options::default() };
    let daemon = Daemon::start(&options);
    let client = Client::plain(daemon.address());
    let burst = |from: usize| {
        for number in from..from + 100 {
            open("lokiaway", number);
        }
        let events: Vec<Value> =
            (from..from + 100).map(|number| event(&format!("a{number}"), "shop-1", "")).collect();
        post(&client, events);
    };
    burst(0);
    daemon.until("Loki is thought to be down", |daemon| {
        metric(daemon, "up", "platform") == 0.0 && metric(daemon, "up", "shop") == 0.0
    });
    let loki = Loki::start(
        address,
        None,
        |_| false,
        |number| match number % 12 {
            2 => Some(Mishap::Answer(429)),
            5 => Some(Mishap::Answer(503)),
            8 => Some(Mishap::Lost),
            _ => None,
        },
    );
    loki.until("team-shop", 30);
    burst(100);
    loki.until("ops", 110);
    // What is not in the journal yet would be gone.
    daemon.until("all is journaled", |daemon| daemon.metric("yagura_journal_written_total") >= 400.0);
    // What was sent and not yet noted comes again.
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    let daemon = Daemon::start(&options);
    daemon.until("all is sent", |daemon| {
        ["platform", "shop"]
            .iter()
            .all(|tenant| metric(daemon, "up", tenant) == 1.0 && metric(daemon, "unsent", tenant) == 0.0)
    });
    daemon.stop().balance();
    let journal = journal_lines(&folder.path().join("journal.db"));
    let streams = loki.streams();
    for (org, tenant, rule) in [("ops", "platform", "Opened \"it\""), ("team-shop", "shop", "Seen")] {
        let expected: Vec<String> = journal
            .iter()
            .filter(|line| line.contains(&format!("\"tenant\":\"{tenant}\"")))
            .cloned()
            .collect();
        let came = lines(&streams, org, rule);
        assert!(expected.len() > 100, "{}", expected.len());
        assert_eq!(came.len(), expected.len(), "{org}");
        assert!(came == expected, "{org}: each in its place");
    }
    assert_eq!(streams.len(), 2);
    assert!(loki.duplicates() > 0, "answers were lost");
    let statuses: Vec<u16> = loki.pushes().iter().map(|push| push.status).collect();
    assert!(statuses.contains(&429) && statuses.contains(&503) && !statuses.contains(&400), "{statuses:?}");
}

#[test]
fn a_certificate_is_shown_and_asked_for() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (certificate, key) = servers.server(&["127.0.0.1"]);
    let tls = server::tls(&certificate, &key, &clients.pem);
    let loki = Loki::start(address, Some(tls), |_| false, |_| None);
    let (certificate, key) = clients.client(&["yagura"]);
    let (ca, certificate, key) =
        (file("ca.crt", &servers.pem), file("client.crt", &certificate), file("client.key", &key));
    let test = |tls: &str| {
        let config = config(&folder, &format!("https://{address}/"), tls);
        let output = yagura(&["sink", "test", "--config", &file("yagura.yaml", &config)]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = test(&format!("  tls: {{ca: {ca}, certificate: {certificate}, key: {key}}}\n"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("taken"), "{said}");
    for tls in [format!("  tls: {{ca: {ca}}}\n"), String::new()] {
        let (code, said) = test(&tls);
        assert_eq!(code, Some(1), "{tls}: {said}");
    }
    let streams = loki.streams();
    let [((org, labels), entries)] = &*streams.into_iter().collect::<Vec<_>>() else { panic!("one stream") };
    assert_eq!((&**org, &*labels["rule"], entries.len()), ("ops", "Test of a sink", 1));
}

#[test]
fn without_an_organisation_nothing_is_lost() {
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let loki = Loki::start(address, None, |_| false, |_| None);
    let config = config(&folder, &format!("http://{address}/"), "").replace("tenant_id: 'team-{tenant}'", "");
    let config = config.replace("tenant_ids: [{tenant: platform, id: ops}]", "");
    let path = folder.path().join("yagura.yaml");
    fs::write(&path, config).expect("a file");
    let output = yagura(&["sink", "test", "--config", path.to_str().expect("text")]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("401") && said.contains("no org id"), "{said}");
    assert!(loki.streams().is_empty());
}

#[test]
fn a_sink_for_one_tenant_is_tried_as_that_tenant() {
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let loki = Loki::start(address, None, |_| false, |_| None);
    let path = folder.path().join("yagura.yaml");
    let config = format!(
        "sinks:\n- {{name: loki, type: loki, url: 'http://{address}/', tenants: [shop], tenant_ids: [{{tenant: shop, id: s-1}}]}}\n\
         tenants:\n- {{name: shop, match: {{namespaces: [shop]}}}}\n"
    );
    fs::write(&path, config).expect("a file");
    let output = yagura(&["sink", "test", "--config", path.to_str().expect("text")]);
    assert!(output.status.success(), "{output:?}");
    let streams = loki.streams();
    let [((org, labels), entries)] = &*streams.into_iter().collect::<Vec<_>>() else { panic!("one stream") };
    assert_eq!((&**org, &*labels["tenant"], entries.len()), ("s-1", "shop", 1));
}
