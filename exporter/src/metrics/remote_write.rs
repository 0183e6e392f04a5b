//! What is counted of remote-write, in samples, by sink and tenant.
//!
//! Of each lane, exactly and at any moment:
//!
//! ```text
//! resumed + gathered = sent + rejected + dropped + pending
//! ```

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{
    core::{Collector, Desc},
    proto::{MetricFamily, MetricType},
};
use serde::Serialize;

use super::sinks::{About, Family, descs};
use crate::delivery::Reason;

/// Why samples were dropped that nobody has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Beyond the spool's size.
    Size,
    /// Beyond its age.
    Age,
    /// The spool's file could not be used, and memory's bound was reached, or the daemon ended.
    Memory,
    /// They could not be read back.
    Unreadable,
}

impl Dropped {
    pub const ALL: [Dropped; 4] = [Dropped::Size, Dropped::Age, Dropped::Memory, Dropped::Unreadable];

    pub const fn name(self) -> &'static str {
        match self {
            Dropped::Size => "size",
            Dropped::Age => "age",
            Dropped::Memory => "memory",
            Dropped::Unreadable => "unreadable",
        }
    }
}

/// The numbers of a lane; all that follows from one step is changed at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteNumbers {
    /// Times the registry was gathered.
    pub gathers: u64,
    /// Left by an earlier run.
    pub resumed: u64,
    pub gathered: u64,
    /// Taken by the receiver.
    pub sent: u64,
    /// Refused by it for good.
    pub rejected: u64,
    pub dropped: [u64; Dropped::ALL.len()],
    /// In the spool.
    pub pending: u64,
    /// Bytes of the spool.
    pub spooled_bytes: u64,
    /// When the first of these was gathered, milliseconds since the epoch.
    pub oldest_ms: Option<i64>,
    pub retried: u64,
    pub failed: [u64; Reason::ALL.len()],
    /// The receiver is thought not to work.
    pub down: bool,
}

impl WriteNumbers {
    pub fn lose(&mut self, why: Dropped, samples: u64) {
        if let Some(slot) = self.dropped.get_mut(why as usize) {
            *slot += samples;
        }
    }

    pub fn fail(&mut self, reason: Reason) {
        if let Some(slot) = self.failed.get_mut(reason as usize) {
            *slot += 1;
        }
    }
}

/// What a lane counts.
#[derive(Debug)]
pub struct WriteCounters {
    pub sink: String,
    pub tenant: String,
    numbers: Mutex<WriteNumbers>,
}

impl WriteCounters {
    pub fn new(sink: &str, tenant: &str) -> WriteCounters {
        WriteCounters { sink: sink.into(), tenant: tenant.into(), numbers: Mutex::default() }
    }

    pub fn numbers(&self) -> MutexGuard<'_, WriteNumbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane's part of the ledger, in samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriteBalance {
    pub sink: String,
    pub tenant: String,
    pub resumed: u64,
    pub gathered: u64,
    pub sent: u64,
    pub rejected: u64,
    pub dropped: u64,
    pub pending: u64,
}

/// All lanes, as metrics.
#[derive(Clone, Debug, Default)]
pub struct WriteMetrics {
    lanes: Arc<Mutex<Vec<Arc<WriteCounters>>>>,
    /// Times the spool's file could not be opened, read or written.
    spool_failures: Arc<AtomicU64>,
}

impl WriteMetrics {
    /// A lane begins: its numbers are exported from now on.
    pub fn add(&self, lane: Arc<WriteCounters>) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    pub fn spool_failed(&self) {
        self.spool_failures.fetch_add(1, Relaxed);
    }

    pub fn spool_failures(&self) -> u64 {
        self.spool_failures.load(Relaxed)
    }

    fn lanes(&self) -> Vec<Arc<WriteCounters>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What became of what, by sink and tenant.
    pub fn balances(&self) -> Vec<WriteBalance> {
        let balance = |lane: Arc<WriteCounters>| {
            let WriteNumbers { resumed, gathered, sent, rejected, dropped, pending, .. } = *lane.numbers();
            let (sink, tenant) = (lane.sink.clone(), lane.tenant.clone());
            let dropped = dropped.iter().sum();
            WriteBalance { sink, tenant, resumed, gathered, sent, rejected, dropped, pending }
        };
        self.lanes().into_iter().map(balance).collect()
    }

    fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = FAMILIES.iter().map(Family::new).collect();
        let (mut drops, mut failures) = (Family::new(&DROPS), Family::new(&FAILURES));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        for lane in self.lanes() {
            let WriteNumbers {
                gathers,
                resumed,
                gathered,
                sent,
                rejected,
                dropped,
                pending,
                spooled_bytes,
                oldest_ms,
                retried,
                failed,
                down,
            } = lane.numbers().clone();
            let lag = oldest_ms.map_or(0, |oldest| now.saturating_sub(oldest).max(0));
            let plain = [
                gathers as f64,
                resumed as f64,
                gathered as f64,
                sent as f64,
                rejected as f64,
                pending as f64,
                spooled_bytes as f64,
                lag as f64 / 1e3,
                retried as f64,
                f64::from(u8::from(!down)),
            ];
            for (family, value) in families.iter_mut().zip(plain) {
                family.sample(&lane.sink, &lane.tenant, None, value);
            }
            for (why, count) in Dropped::ALL.iter().zip(dropped) {
                drops.sample(&lane.sink, &lane.tenant, Some(why.name()), count as f64);
            }
            for (reason, count) in Reason::ALL.iter().zip(failed) {
                failures.sample(&lane.sink, &lane.tenant, Some(reason.name()), count as f64);
            }
        }
        families.extend([drops, failures]);
        families
    }
}

/// In the order of the samples.
const FAMILIES: [About; 10] = [
    (
        "yagura_remote_write_gathers_total",
        MetricType::COUNTER,
        "Times a tenant's samples were gathered for a sink.",
    ),
    (
        "yagura_remote_write_resumed_samples_total",
        MetricType::COUNTER,
        "Samples that waited for a sink when the daemon began.",
    ),
    ("yagura_remote_write_samples_total", MetricType::COUNTER, "Samples gathered for a sink since then."),
    ("yagura_remote_write_sent_samples_total", MetricType::COUNTER, "Samples that a sink's receiver took."),
    (
        "yagura_remote_write_rejected_samples_total",
        MetricType::COUNTER,
        "Samples that a sink's receiver refused for good.",
    ),
    ("yagura_remote_write_pending_samples", MetricType::GAUGE, "Samples that wait for a sink."),
    ("yagura_remote_write_spooled_bytes", MetricType::GAUGE, "Bytes of the requests with these."),
    (
        "yagura_remote_write_lag_seconds",
        MetricType::GAUGE,
        "How old the first of the samples is that wait for a sink.",
    ),
    ("yagura_remote_write_retried_total", MetricType::COUNTER, "Requests made again after a failure."),
    ("yagura_remote_write_up", MetricType::GAUGE, "0 while a sink's receiver fails again and again."),
];

/// With a reason.
const DROPS: About = (
    "yagura_remote_write_dropped_samples_total",
    MetricType::COUNTER,
    "Samples that a bound removed before a sink had sent them.",
);
const FAILURES: About =
    ("yagura_remote_write_failed_total", MetricType::COUNTER, "Requests that failed and are made again.");

/// Of all lanes together.
const SPOOL_FAILURES: About = (
    "yagura_remote_write_spool_failures_total",
    MetricType::COUNTER,
    "Times the file of waiting samples could not be opened, read or written.",
);

/// The registry's view of them.
#[derive(Debug)]
pub(super) struct WriteCollector {
    metrics: WriteMetrics,
    descs: Vec<Desc>,
}

impl WriteCollector {
    pub fn new(metrics: WriteMetrics) -> prometheus::Result<WriteCollector> {
        let plain = FAMILIES.iter().map(|about| (about, &["sink", "tenant"][..]));
        let by_reason = [&DROPS, &FAILURES].map(|about| (about, &["sink", "tenant", "reason"][..]));
        let all = plain.chain(by_reason).chain([(&SPOOL_FAILURES, &[][..])]);
        Ok(WriteCollector { metrics, descs: descs(all)? })
    }
}

impl Collector for WriteCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let lanes = self.metrics.families().into_iter().filter_map(Family::into_proto);
        let mut families: Vec<MetricFamily> = lanes.collect();
        if !families.is_empty() {
            let mut failures = Family::new(&SPOOL_FAILURES);
            failures.sample_of_none(self.metrics.spool_failures() as f64);
            families.extend(failures.into_proto());
        }
        families
    }
}
