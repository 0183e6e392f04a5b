//! Metrics: what the daemon counts, and its text for Prometheus.
//!
//! The hot thread touches only counters that were looked up beforehand. Names are documented in
//! `docs/metrics.md`, which a test compares with the registry.

mod collector;
mod counters;
mod ledger;
mod process;

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

pub use counters::{
    AuditCounters, ContainerCounters, EngineCounters, HeldCounters, LookupCounters, RecordingCounters,
    RootCounters, SinkCounters, TableCounters, Tally,
};
pub use ledger::{Balance, KernelNumbers, KernelSource, Ledger, LostBy};

/// Most rules with a series of their own; the detections of rules beyond are counted under [`OTHER`].
const MAX_RULE_SERIES: usize = 2000;
/// The label value that stands for everything beyond a series budget.
pub const OTHER: &str = "~other";

/// Results of a reload of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    Success,
    /// The rules did not load: the old ones run on.
    Failure,
    /// The kernel refused what the new rules need: the old ones run on.
    KernelFailure,
}

impl ReloadResult {
    const ALL: [ReloadResult; 3] =
        [ReloadResult::Success, ReloadResult::Failure, ReloadResult::KernelFailure];

    const fn name(self) -> &'static str {
        match self {
            ReloadResult::Success => "success",
            ReloadResult::Failure => "failure",
            ReloadResult::KernelFailure => "kernel_failure",
        }
    }
}

/// What became of a request to `/k8s-audit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditRequest {
    Accepted,
    Unauthorized,
    Unsupported,
    TooLarge,
    Invalid,
    TimedOut,
    Busy,
}

impl AuditRequest {
    const ALL: [AuditRequest; 7] = [
        AuditRequest::Accepted,
        AuditRequest::Unauthorized,
        AuditRequest::Unsupported,
        AuditRequest::TooLarge,
        AuditRequest::Invalid,
        AuditRequest::TimedOut,
        AuditRequest::Busy,
    ];

    const fn name(self) -> &'static str {
        match self {
            AuditRequest::Accepted => "accepted",
            AuditRequest::Unauthorized => "unauthorized",
            AuditRequest::Unsupported => "unsupported",
            AuditRequest::TooLarge => "too_large",
            AuditRequest::Invalid => "invalid",
            AuditRequest::TimedOut => "timed_out",
            AuditRequest::Busy => "busy",
        }
    }
}

/// The registry and the metrics that are written directly.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    detections: IntCounterVec,
    /// The label values of `detections` so far.
    rule_series: Mutex<HashSet<[String; 4]>>,
    rules_loaded: IntGauge,
    reloads: IntCounterVec,
    /// From the event to the end of the write.
    pub latency: Histogram,
    /// Connections closed at once because too many were open.
    pub http_refused: IntCounter,
    /// TLS handshakes that failed or took too long.
    pub tls_failed: IntCounter,
    audit_requests: IntCounterVec,
}

impl Metrics {
    /// Registers everything, each closed set of labels at 0.
    pub fn new(ledger: Ledger) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        let detections = IntCounterVec::new(
            Opts::new("yagura_detections_total", "Matches of a rule, written or suppressed or dropped."),
            &["tenant", "namespace", "rule", "priority", "source"],
        )?;
        let rules_loaded = IntGauge::new("yagura_rules_loaded", "Enabled rules.")?;
        let reloads = IntCounterVec::new(
            Opts::new(
                "yagura_rules_reload_total",
                "Reloads of the rules; after a failure the old rules run on.",
            ),
            &["result"],
        )?;
        for result in ReloadResult::ALL {
            reloads.with_label_values(&[result.name()]);
        }
        let latency = Histogram::with_opts(
            HistogramOpts::new("yagura_detection_latency_seconds", "From an event to its written detection.")
                .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0]),
        )?;
        let http_refused = IntCounter::new(
            "yagura_http_connections_refused_total",
            "HTTP connections closed at once because too many were open.",
        )?;
        let tls_failed =
            IntCounter::new("yagura_http_tls_failed_total", "TLS handshakes that failed or took too long.")?;
        let audit_requests = IntCounterVec::new(
            Opts::new(
                "yagura_k8s_audit_requests_total",
                "Requests with audit events, by what became of them.",
            ),
            &["result"],
        )?;
        for result in AuditRequest::ALL {
            audit_requests.with_label_values(&[result.name()]);
        }
        let build = IntGauge::with_opts(
            Opts::new("yagura_build_info", "Always 1; the version is the label.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        registry.register(Box::new(detections.clone()))?;
        registry.register(Box::new(rules_loaded.clone()))?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        registry.register(Box::new(http_refused.clone()))?;
        registry.register(Box::new(tls_failed.clone()))?;
        registry.register(Box::new(audit_requests.clone()))?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(collector::LedgerCollector::new(ledger)?))?;
        registry.register(Box::new(process::ProcessCollector::new()?))?;
        Ok(Metrics {
            registry,
            detections,
            rule_series: Mutex::default(),
            rules_loaded,
            reloads,
            latency,
            http_refused,
            tls_failed,
            audit_requests,
        })
    }

    /// The counter of a rule's detections, exported from now on. Series of rules that are gone stay, so that
    /// sums never go back; the number of series is bounded.
    pub fn detections_of(&self, tenant: &str, rule: &str, priority: &str, source: &str) -> IntCounter {
        let mut series = self.rule_series.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [tenant, rule, priority, source].map(str::to_owned);
        let rule = if series.contains(&key) || series.len() < MAX_RULE_SERIES {
            series.insert(key);
            rule
        } else {
            OTHER
        };
        self.detections.with_label_values(&[tenant, "", rule, priority, source])
    }

    pub fn audit_request(&self, result: AuditRequest) {
        self.audit_requests.with_label_values(&[result.name()]).inc();
    }

    pub fn set_rules_loaded(&self, rules: usize) {
        self.rules_loaded.set(i64::try_from(rules).unwrap_or(i64::MAX));
    }

    pub fn reloaded(&self, result: ReloadResult) {
        self.reloads.with_label_values(&[result.name()]).inc();
    }

    /// The text for `/metrics`.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests;
