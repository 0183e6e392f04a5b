//! A real Prometheus that scrapes the daemon, with tokens; and promtool's opinion of what it gets.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use end_to_end::{
    activity::{SEEN_RULE, audit_event, open, opened_rule, post_audit},
    daemon::{Daemon, Options},
    http::Client,
    install, kernel_tests_run,
    prometheus::Prometheus,
    receiver::free_address,
};

const PLATFORM: &str = "the-platforms-own-token";
const SHOP: &str = "the-token-of-the-shop";

/// The equations of docs/metrics.md, each as a query for what is left when one side is taken from the other.
const LEDGER: [(&str, &str); 3] = [
    (
        "events",
        "sum(yagura_events_total) - sum(yagura_events_filtered_total) - sum(yagura_events_matched_total) \
         - sum(yagura_events_unmatched_total) - sum(yagura_lost_total{stage=~'kernel|decode|match|audit'})",
    ),
    (
        "detections",
        "sum(yagura_detections_total) - sum(yagura_sink_delivered_total) - sum(yagura_suppressed_total) \
         - sum(yagura_lost_total{stage=~'queue|stdout'})",
    ),
    (
        "lanes",
        "sum(yagura_sink_resumed_total) + sum(yagura_sink_spooled_total) - sum(yagura_sink_sent_total) \
         - sum(yagura_sink_rejected_total) - sum(yagura_sink_filtered_total) - sum(yagura_sink_lost_total) \
         - sum(yagura_sink_unsent)",
    ),
];

/// The other test opens files too.
fn daemon(test: &str, folder: &std::path::Path) -> Daemon {
    for (name, token) in [("platform", PLATFORM), ("shop", SHOP)] {
        fs::write(folder.join(name), token).expect("a file");
    }
    let at = |name: &str| folder.join(name).display().to_string();
    // Every type of sink, of which nobody answers: all metrics are there.
    let nobody = free_address();
    let config = format!(
        "rate_limit: {{rate: 0}}\ntenants: [{{name: shop, match: {{namespaces: [shop]}}}}]\n\
         web: {{tokens: [{{file: {}}}, {{file: {}, tenant: shop}}]}}\nsinks:\n\
         - {{name: hook, type: webhook, url: 'http://{nobody}/'}}\n\
         - {{name: loki, type: loki, url: 'http://{nobody}'}}\n\
         - {{name: alerts, type: alertmanager, url: 'http://{nobody}'}}\n\
         - {{name: otel, type: otlp, url: 'http://{nobody}', metrics: {{}}}}\n\
         - {{name: log, type: file, path: '{}'}}\n\
         - {{name: metrics, type: remote_write, url: 'http://{nobody}/api/v1/write'}}\n",
        at("platform"),
        at("shop"),
        at("log/{tenant}")
    );
    Daemon::start(&Options { rules: &(opened_rule(test) + SEEN_RULE), config: &config, ..Options::default() })
}

/// Metrics of a page, with a token.
fn page(daemon: &Daemon, path: &str, token: &str) -> String {
    let answer = Client::plain(daemon.address()).get_as(path, token).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

fn act(test: &str, daemon: &Daemon) {
    (0..7).for_each(|number| open(test, number));
    let token = format!("Authorization: Bearer {PLATFORM}");
    let events = (0..5).map(|id| audit_event(format!("scraped-{id}"), "shop"));
    assert_eq!(post_audit(&Client::plain(daemon.address()), &[&token], events), 200);
    let last = format!("/yagura-{test}-6");
    daemon.detection(|detection| detection["output_fields"]["fd.name"] == *last);
    daemon.detection(|detection| detection["output_fields"]["ka.auditid"] == "scraped-4");
}

#[test]
fn promtool_finds_nothing_wrong_with_any_view() {
    if !kernel_tests_run() {
        return;
    }
    install("prometheus");
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = daemon("checkedmetrics", folder.path());
    act("checkedmetrics", &daemon);
    for (path, token, has, lacks) in [
        ("/metrics", PLATFORM, "yagura_remote_write_up{", "no_such_metric"),
        ("/metrics?tenant=shop", PLATFORM, "tenant=\"shop\"", "tenant=\"platform\""),
        ("/metrics", SHOP, "yagura_sink_unsent{sink=\"loki\",tenant=\"shop\"}", "tenant=\"platform\""),
        ("/metrics?tenant=platform", PLATFORM, "yagura_build_info", "tenant=\"shop\""),
    ] {
        let text = page(&daemon, path, token);
        assert!(text.contains(has) && !text.contains(lacks), "{path}: {text}");
        let mut promtool = Command::new("promtool");
        promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut promtool = promtool.spawn().expect("promtool");
        promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
        let output = promtool.wait_with_output().expect("it ends");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{path}: {}", String::from_utf8_lossy(&said));
    }
    daemon.stop().balance();
}

#[test]
fn prometheus_sees_what_a_token_is_for_and_the_ledger_adds_up() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = daemon("scraped", folder.path());
    let job = |name: &str, token: &str, more: &str| {
        format!(
            "- job_name: {name}\n  scrape_interval: 1s\n  {more}authorization: {{credentials_file: {}}}\n  \
             static_configs: [{{targets: ['{}']}}]\n",
            folder.path().join(token).display(),
            daemon.address()
        )
    };
    fs::write(folder.path().join("wrong"), "a-token-of-nobody-at-all").expect("a file");
    let config = format!(
        "scrape_configs:\n{}{}{}{}",
        job("platform", "platform", ""),
        job("shop", "shop", "params: {tenant: [shop]}\n  "),
        job("curious", "shop", "params: {tenant: [platform]}\n  "),
        job("stranger", "wrong", "")
    );
    let prometheus = Prometheus::start_with(free_address(), &config);
    act("scraped", &daemon);
    let one = |query: &str| match &prometheus.query(query)[..] {
        [(_, value)] => Some(*value),
        _ => None,
    };
    daemon.until("both are scraped after what happened", |_| {
        let of = |job: &str| one(&format!("sum(yagura_detections_total{{job='{job}'}})"));
        (of("platform"), of("shop")) == (Some(12.0), Some(5.0))
    });
    for (job, up) in [("platform", 1.0), ("shop", 1.0), ("curious", 0.0), ("stranger", 0.0)] {
        daemon.until(job, |_| one(&format!("up{{job='{job}'}}")) == Some(up));
    }
    assert_eq!(prometheus.query("{job=~'curious|stranger', __name__=~'yagura_.*'}"), []);
    let others = "{job='shop', __name__=~'yagura_.*', tenant!='shop'}";
    assert_eq!(prometheus.query(others), [], "a tenant sees its own");
    for (what, query) in LEDGER {
        let query = query
            .replace("_total", "_total{job='platform'}")
            .replace("}{", ", ")
            .replace("unsent", "unsent{job='platform'}");
        // What is in flight at one scrape is not at another.
        daemon.until(&format!("the equation of {what}: {query}"), |_| one(&query) == Some(0.0));
    }
    drop(prometheus);
    daemon.stop().balance();
}
