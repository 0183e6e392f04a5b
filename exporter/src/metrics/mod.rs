//! Metrics: what the daemon counts, and its text for Prometheus.
//!
//! The hot thread touches only counters that were looked up beforehand. Names are documented in
//! `docs/metrics.md`, which a test compares with the registry.

mod alertmanager;
mod collector;
mod counters;
mod detections;
mod gather;
mod journal;
mod kubernetes;
mod ledger;
mod process;
mod remote_write;
mod sinks;
mod view;

use std::time::Instant;

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, proto::MetricFamily,
};

use crate::detection::PLATFORM_TENANT;

pub use alertmanager::{AlertmanagerCounters, PeerCounters};
pub use counters::{
    AuditCounters, ContainerCounters, EngineCounters, HeldCounters, LookupCounters, RecordingCounters,
    RootCounters, SinkCounters, TableCounters, Tally,
};
pub use detections::Series;
pub use gather::Gather;
pub use journal::JournalCounters;
pub use kubernetes::KubernetesCounters;
pub use ledger::{Balance, KernelNumbers, KernelSource, Ledger, LostBy};
pub use remote_write::{Dropped, WriteBalance, WriteCounters, WriteMetrics, WriteNumbers};
pub use sinks::{LaneBalance, LaneCounters, LaneNumbers, SinkMetrics};
pub use view::{View, by_owner, owner};

/// Seconds: half a millisecond is what a detection takes on a quiet node, and some seconds what one may wait for its
/// container to be known.
const LATENCY_BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Most series of a tenant's detections, if nothing else is said.
const MAX_SERIES: usize = crate::tenants::DEFAULT_SERIES;
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

    pub const fn name(self) -> &'static str {
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
    detections: detections::Detections,
    quotas: IntCounterVec,
    quota_rate: GaugeVec,
    quota_series: IntGaugeVec,
    rules_loaded: IntGauge,
    tenant_rules_broken: IntGaugeVec,
    reloads: IntCounterVec,
    /// From the event to the end of the write.
    pub latency: Histogram,
    /// Connections closed at once because too many were open.
    pub http_refused: IntCounter,
    /// Requests for metrics without the right proof.
    pub http_denied: IntCounter,
    /// TLS handshakes that failed or took too long.
    pub tls_failed: IntCounter,
    audit_requests: IntCounterVec,
}

impl Metrics {
    /// Registers everything, each closed set of labels at 0.
    pub fn new(ledger: Ledger) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        let detections = detections::Detections::new(&registry)?;
        let rules_loaded = IntGauge::new("yagura_rules_loaded", "Enabled rules.")?;
        let tenant_rules_broken = IntGaugeVec::new(
            Opts::new(
                "yagura_tenant_rules_broken",
                "1 while something of a tenant's own rules and exceptions is not used because it is wrong.",
            ),
            &["tenant"],
        )?;
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
                .buckets(LATENCY_BUCKETS.to_vec()),
        )?;
        let http_refused = IntCounter::new(
            "yagura_http_connections_refused_total",
            "HTTP connections closed at once because too many were open.",
        )?;
        let http_denied = IntCounter::new(
            "yagura_http_requests_denied_total",
            "Requests for metrics without a token or certificate that is good for them.",
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
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let kernel = IntGauge::with_opts(
            Opts::new("yagura_kernel_info", "Always 1; the release of the running kernel is the label.")
                .const_label("release", release),
        )?;
        kernel.set(1);
        let quotas = IntCounterVec::new(
            Opts::new(
                "yagura_tenant_quota_suppressed_total",
                "Detections held back by their tenant's quota; part of yagura_suppressed_total.",
            ),
            &["tenant"],
        )?;
        quotas.with_label_values(&[PLATFORM_TENANT]);
        let quota_rate = GaugeVec::new(
            Opts::new(
                "yagura_tenant_quota_detections_per_second",
                "A tenant's quota; there is none for a tenant without one.",
            ),
            &["tenant"],
        )?;
        let quota_series = IntGaugeVec::new(
            Opts::new(
                "yagura_tenant_quota_series",
                "Most series of yagura_detections_total that a tenant has.",
            ),
            &["tenant"],
        )?;
        registry.register(Box::new(quotas.clone()))?;
        registry.register(Box::new(rules_loaded.clone()))?;
        tenant_rules_broken.with_label_values(&[PLATFORM_TENANT]);
        registry.register(Box::new(tenant_rules_broken.clone()))?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        registry.register(Box::new(http_refused.clone()))?;
        registry.register(Box::new(http_denied.clone()))?;
        registry.register(Box::new(tls_failed.clone()))?;
        registry.register(Box::new(audit_requests.clone()))?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(kernel))?;
        registry.register(Box::new(quota_rate.clone()))?;
        registry.register(Box::new(quota_series.clone()))?;
        registry.register(Box::new(ledger.journal.removed.clone()))?;
        registry.register(Box::new(ledger.journal.rejected_removed.clone()))?;
        registry.register(Box::new(ledger.journal.sizes.clone()))?;
        registry.register(Box::new(ledger.journal.limits.clone()))?;
        registry.register(Box::new(remote_write::WriteCollector::new(ledger.sinks.remote_write.clone())?))?;
        registry.register(Box::new(sinks::SinkCollector::new(ledger.sinks.clone())?))?;
        registry.register(Box::new(collector::LedgerCollector::new(ledger)?))?;
        registry.register(Box::new(process::ProcessCollector::new()?))?;
        Ok(Metrics {
            registry,
            detections,
            quotas,
            quota_rate,
            quota_series,
            rules_loaded,
            tenant_rules_broken,
            reloads,
            latency,
            http_refused,
            http_denied,
            tls_failed,
            audit_requests,
        })
    }

    /// The counter of a rule's detections, exported from now on. Series of rules that are gone stay, so that sums never go
    /// back; those of a namespace end an hour after it. A tenant's series are bounded; beyond, first the namespace and then
    /// the rule is [`OTHER`].
    pub fn detections_of(&self, series: Series<'_>) -> IntCounter {
        self.detections.of(series)
    }

    /// Changes whenever counters that were looked up by namespace may no longer be the exported ones.
    pub fn generation(&self) -> u64 {
        self.detections.generation()
    }

    /// Ends the series of namespaces that have been silent for an hour and are gone; to be called once a minute or so.
    pub fn retire_namespaces(&self, exists: impl Fn(&str) -> bool) {
        let removed = self.detections.retire(Instant::now(), exists);
        if removed > 0 {
            tracing::debug!(removed, "series of namespaces that are gone ended");
        }
    }

    /// Bounds the series of a tenant's detections, before the first of them, and says what its quota is: `rate` detections a
    /// second, 0 if as many as it likes.
    pub fn quota(&self, tenant: &str, rate: f64, series: usize) {
        self.detections.bound(tenant, series);
        self.quota_series.with_label_values(&[tenant]).set(i64::try_from(series).unwrap_or(i64::MAX));
        if rate > 0.0 {
            self.quota_rate.with_label_values(&[tenant]).set(rate);
        }
    }

    /// The counter of what a tenant's quota held back.
    pub fn quota_of(&self, tenant: &str) -> IntCounter {
        self.quotas.with_label_values(&[tenant])
    }

    pub fn audit_request(&self, result: AuditRequest) {
        self.audit_requests.with_label_values(&[result.name()]).inc();
    }

    pub fn set_tenant_rules_broken(&self, tenant: &str, broken: bool) {
        self.tenant_rules_broken.with_label_values(&[tenant]).set(broken.into());
    }

    pub fn set_rules_loaded(&self, rules: usize) {
        self.rules_loaded.set(i64::try_from(rules).unwrap_or(i64::MAX));
    }

    pub fn reloaded(&self, result: ReloadResult) {
        self.reloads.with_label_values(&[result.name()]).inc();
    }

    /// All samples at this moment.
    pub fn gather(&self, view: View<'_>) -> Vec<MetricFamily> {
        view.of(self.registry.gather())
    }

    /// The text for `/metrics`.
    pub fn text(&self, view: View<'_>) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.gather(view))
    }
}

#[cfg(test)]
mod tests;
