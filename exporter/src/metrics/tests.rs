use std::{collections::BTreeMap, path::Path, sync::Arc};

use exporter_common::{counters::TypeCounters, event_type::EventType};

use super::*;
use crate::{audit::Stage, journal::Settings, kernel::ProgramRuns};

fn kernel() -> KernelNumbers {
    let counters = TypeCounters {
        seen: 100,
        filtered: 60,
        submitted: 35,
        lost_ring_full: 3,
        lost_scratch_busy: 2,
        truncated: 1,
        fault: 1,
    };
    KernelNumbers {
        types: EventType::ALL
            .iter()
            .map(|t| (*t, if *t == EventType::Openat { counters } else { TypeCounters::default() }))
            .collect(),
        tail_call_failed: 4,
        own_syscalls: 9,
        uring_forgotten: 6,
        ring_used: 1,
        ring_capacity: 2,
        ring_corrupt: 0,
        programs: vec![("sys_exit", ProgramRuns { runs: 3, time_ns: 1500 })],
        shortfall: vec![("fields", 2)],
    }
}

fn ledger() -> Ledger {
    Ledger::new(Arc::new(|| Some(kernel()))).unwrap()
}

fn metrics() -> Metrics {
    let ledger = ledger();
    // Its series are there once there is a sink.
    let (_, last) = tokio::sync::watch::channel(0);
    ledger.sinks.add(Arc::new(LaneCounters::new("s", "t", 0, 0, last)));
    ledger.sinks.remote_write.add(Arc::new(WriteCounters::new("s", "t")));
    let alertmanager = ledger.sinks.alertmanager("s");
    alertmanager.tenant("t", 0, 0);
    alertmanager.peer("a");
    ledger.journal.begin(&Settings::default(), ["t"]);
    let metrics = Metrics::new(ledger).unwrap();
    metrics.quota("t", 2.5, 100);
    metrics.excepted_of("t", "A rule");
    metrics.detections_of(series("A rule", "Warning"));
    metrics
}

/// The value of a sample in the exported text.
fn sample(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn the_ledger_balances() {
    let ledger = ledger();
    let engine = &ledger.engine;
    for _ in 0..32 {
        engine.receive(EventType::Openat);
    }
    engine.invalid.add(1);
    engine.matched.add(12);
    engine.unmatched.add(20);
    engine.detections.add(14);
    engine.suppressed.add(5);
    let audit = &ledger.audit;
    for _ in 0..7 {
        audit.accept(Stage::ResponseComplete);
    }
    for _ in 0..5 {
        audit.receive(Stage::ResponseComplete);
    }
    audit.matched.add(2);
    audit.unmatched.add(1);
    audit.invalid.add(1);
    audit.panicked();
    audit.panicked();
    audit.detections.add(2);
    audit.suppressed.add(1);
    ledger.stdout.delivered.add(7);
    ledger.stdout.write_error.add(1);
    let balance = ledger.close();
    assert_eq!(
        balance.lost_by,
        LostBy { ring_full: 3, scratch_busy: 2, tail_call_failed: 4, invalid: 2, panicked: 1, undrained: 4 }
    );
    assert_eq!(balance.seen, balance.filtered + balance.matched + balance.unmatched + balance.lost);
    assert_eq!((balance.seen, balance.lost), (111, 16));
    assert_eq!(balance.detections, balance.delivered + balance.suppressed + balance.dropped);
    assert_eq!(balance.dropped, 3);
}

#[test]
fn bounds_stand_beside_what_they_bound() {
    let metrics = metrics();
    metrics.quota("unlimited", 0.0, 7);
    let text = metrics.text(View::Everything).unwrap();
    for (series, value) in [
        ("yagura_tenant_quota_detections_per_second{tenant=\"t\"}", Some(2.5)),
        ("yagura_tenant_quota_detections_per_second{tenant=\"unlimited\"}", None),
        ("yagura_tenant_quota_series{tenant=\"t\"}", Some(100.0)),
        ("yagura_tenant_quota_series{tenant=\"unlimited\"}", Some(7.0)),
        ("yagura_journal_limit_bytes", Some(536_870_912.0)),
        ("yagura_journal_tenant_limit_bytes{tenant=\"t\"}", Some(268_435_456.0)),
        ("yagura_journal_tenant_size_bytes{tenant=\"t\"}", Some(0.0)),
    ] {
        assert_eq!(sample(&text, series), value, "{series}\n{text}");
    }
}

#[test]
fn every_loss_and_rule_is_exported_at_zero() {
    let text = metrics().text(View::Everything).unwrap();
    for series in [
        "yagura_detections_total{namespace=\"\",priority=\"Warning\",rule=\"A rule\",source=\"syscall\",tenant=\"platform\"}",
        "yagura_lost_total{stage=\"queue\",reason=\"full\"}",
        "yagura_lost_total{stage=\"stdout\",reason=\"write_error\"}",
        "yagura_lost_total{stage=\"decode\",reason=\"invalid\"}",
        "yagura_lost_total{stage=\"recording\",reason=\"behind\"}",
        "yagura_lost_total{stage=\"audit\",reason=\"invalid\"}",
        "yagura_lost_total{stage=\"audit\",reason=\"panicked\"}",
        "yagura_events_total{source=\"k8s_audit\",type=\"ResponseComplete\"}",
        "yagura_events_total{source=\"k8s_audit\",type=\"other\"}",
        "yagura_k8s_audit_requests_total{result=\"accepted\"}",
        "yagura_k8s_audit_requests_total{result=\"busy\"}",
        "yagura_rules_reload_total{result=\"success\"}",
        "yagura_rules_reload_total{result=\"failure\"}",
        "yagura_sink_delivered_total{sink=\"stdout\",tenant=\"platform\"}",
        "yagura_events_total{source=\"syscall\",type=\"execve\"}",
    ] {
        assert_eq!(sample(&text, series), Some(0.0), "{series}\n{text}");
    }
    assert_eq!(sample(&text, "yagura_events_total{source=\"syscall\",type=\"openat\"}"), Some(100.0));
    assert_eq!(sample(&text, "yagura_events_total{source=\"syscall\",type=\"unknown\"}"), Some(4.0));
    assert_eq!(sample(&text, "yagura_lost_total{stage=\"kernel\",reason=\"ring_full\"}"), Some(3.0));
    assert!(sample(&text, "process_resident_memory_bytes").unwrap() > 0.0);
}

fn series<'a>(rule: &'a str, priority: &'a str) -> Series<'a> {
    Series { tenant: "platform", namespace: "", rule, priority, source: "syscall" }
}

#[test]
fn the_series_of_rules_are_bounded() {
    let metrics = metrics();
    for i in 0..MAX_SERIES + 10 {
        metrics.detections_of(series(&format!("rule {i}"), "Notice")).inc();
    }
    metrics.detections_of(series("rule 3", "Notice")).inc();
    let text = metrics.text(View::Everything).unwrap();
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("yagura_detections_total{")).collect();
    assert_eq!(lines.len(), MAX_SERIES + 1);
    let sum: f64 = lines.iter().map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(sum, (MAX_SERIES + 11) as f64);
    assert!(lines.iter().any(|l| l.contains("rule=\"~other\"") && l.ends_with(" 11")), "{lines:?}");
}

/// Name → (type, sorted labels) of every family that is exported.
fn exported() -> BTreeMap<String, (String, String)> {
    let families = metrics().registry.gather();
    let describe = |family: &MetricFamily| {
        let labels: std::collections::BTreeSet<String> = family
            .get_metric()
            .iter()
            .flat_map(|m| m.get_label().iter().map(|l| l.name().to_owned()))
            .collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        (family.name().to_owned(), (kind, labels.into_iter().collect::<Vec<_>>().join(", ")))
    };
    families.iter().map(describe).collect()
}

#[test]
fn the_page_lists_exactly_what_is_exported() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut documented = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("four cells expected: {line}") };
        assert!(!meaning.is_empty(), "{line}");
        let mut labels: Vec<&str> = labels.split(", ").map(|l| l.trim_matches('`')).collect();
        labels.sort_unstable();
        documented.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels.join(", ")));
    }
    assert_eq!(documented, exported());
}

#[test]
fn a_tenant_sees_its_own_samples_and_the_platform_the_rest() {
    let metrics = metrics();
    for tenant in ["shop", "ml"] {
        let (rule, priority) = ("r", "Notice");
        metrics.detections_of(Series { tenant, namespace: "", rule, priority, source: "syscall" }).inc();
    }
    let shop = metrics.text(View::Tenant("shop")).unwrap();
    let samples: Vec<&str> = shop.lines().filter(|line| !line.starts_with('#')).collect();
    let detection = r#"yagura_detections_total{namespace="",priority="Notice",rule="r",source="syscall",tenant="shop"} 1"#;
    assert_eq!(samples, [detection], "{shop}");
    assert_eq!(metrics.text(View::Tenant("nobody")).unwrap(), "");
    let platform = metrics.text(View::Tenant(PLATFORM_TENANT)).unwrap();
    assert!(platform.contains("yagura_build_info{") && !platform.contains(r#"tenant="shop""#), "{platform}");
    let all = metrics.text(View::Everything).unwrap();
    assert!(all.contains(detection) && all.contains(r#"tenant="ml""#) && all.contains("yagura_build_info{"));
}
