//! What the delivery to sinks counts.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// By sink and tenant, both as the configuration names them.
#[derive(Debug)]
pub struct SinksCounters {
    up: IntGaugeVec,
    sent: IntCounterVec,
    failed: IntCounterVec,
    retried: IntCounterVec,
    rejected: IntCounterVec,
    expired: IntCounterVec,
    spooled: IntGaugeVec,
    lag: GaugeVec,
    oldest: GaugeVec,
}

const BY: [&str; 2] = ["sink", "tenant"];

impl SinksCounters {
    pub fn new() -> prometheus::Result<SinksCounters> {
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &BY);
        let gauge = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &BY);
        let whole = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &BY);
        Ok(SinksCounters {
            up: whole("yagura_sink_up", "Whether the last request to the receiver was taken.")?,
            sent: counter("yagura_sink_sent_total", "Detections that the receiver has.")?,
            failed: IntCounterVec::new(
                Opts::new("yagura_sink_failed_total", "Requests that failed and are made again."),
                &["sink", "tenant", "reason"],
            )?,
            retried: counter("yagura_sink_retried_total", "Requests that were made again.")?,
            rejected: counter(
                "yagura_sink_rejected_total",
                "Detections that the receiver will not have; they stay in the journal.",
            )?,
            expired: counter(
                "yagura_sink_expired_total",
                "Detections that a bound removed from the journal before the receiver had them.",
            )?,
            spooled: whole(
                "yagura_sink_spooled",
                "Detections in the journal that have not been dealt with.",
            )?,
            lag: gauge(
                "yagura_sink_lag_seconds",
                "From the journal to the receiver, of the last that was sent.",
            )?,
            oldest: gauge(
                "yagura_sink_oldest_unsent_seconds",
                "How long the oldest detection that is to be sent has waited.",
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        for counter in [&self.sent, &self.failed, &self.retried, &self.rejected, &self.expired] {
            registry.register(Box::new(counter.clone()))?;
        }
        for gauge in [&self.up, &self.spooled] {
            registry.register(Box::new(gauge.clone()))?;
        }
        for gauge in [&self.lag, &self.oldest] {
            registry.register(Box::new(gauge.clone()))?;
        }
        Ok(())
    }

    /// All of a cursor's series, at 0.
    pub fn begin(&self, sink: &str, tenant: &str) {
        let by = [sink, tenant];
        for counter in [&self.sent, &self.retried, &self.rejected, &self.expired] {
            counter.with_label_values(&by);
        }
        self.failed.with_label_values(&[sink, tenant, "connect"]);
        self.up.with_label_values(&by);
        self.lag.with_label_values(&by);
        self.waiting(sink, tenant, 0, None);
    }

    pub fn sent(&self, sink: &str, tenant: &str, count: u64, lag: f64) {
        self.sent.with_label_values(&[sink, tenant]).inc_by(count);
        self.lag.with_label_values(&[sink, tenant]).set(lag);
        self.up.with_label_values(&[sink, tenant]).set(1);
    }

    pub fn failed(&self, sink: &str, tenant: &str, reason: &str) {
        self.failed.with_label_values(&[sink, tenant, reason]).inc();
        self.up.with_label_values(&[sink, tenant]).set(0);
    }

    pub fn retried(&self, sink: &str, tenant: &str) {
        self.retried.with_label_values(&[sink, tenant]).inc();
    }

    pub fn rejected(&self, sink: &str, tenant: &str) {
        self.rejected.with_label_values(&[sink, tenant]).inc();
    }

    pub fn expired(&self, sink: &str, tenant: &str) {
        self.expired.with_label_values(&[sink, tenant]).inc();
    }

    /// What waits, and for how long the first of it has.
    pub fn waiting(&self, sink: &str, tenant: &str, count: u64, oldest: Option<f64>) {
        let by = [sink, tenant];
        self.spooled.with_label_values(&by).set(i64::try_from(count).unwrap_or(i64::MAX));
        self.oldest.with_label_values(&by).set(oldest.unwrap_or(0.0));
    }

    /// Of a cursor: sent, rejected, expired, spooled.
    pub fn numbers(&self, sink: &str, tenant: &str) -> [u64; 4] {
        let by = [sink, tenant];
        let spooled = u64::try_from(self.spooled.with_label_values(&by).get()).unwrap_or(0);
        let of = |counter: &IntCounterVec| counter.with_label_values(&by).get();
        [of(&self.sent), of(&self.rejected), of(&self.expired), spooled]
    }
}
