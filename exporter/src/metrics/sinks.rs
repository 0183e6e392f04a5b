//! What is counted of delivery, by sink and tenant.
//!
//! Of each lane, exactly and at any moment:
//!
//! ```text
//! resumed + spooled = sent + rejected + filtered + lost + unsent
//! ```

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prometheus::{
    core::{Collector, Desc},
    proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType},
};
use serde::Serialize;
use tokio::sync::watch;

use super::{AlertmanagerCounters, remote_write::WriteMetrics};
use crate::delivery::Reason;

/// The numbers of a lane; all that follows from one step is changed at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneNumbers {
    /// Taken by the receiver.
    pub sent: u64,
    /// Set aside because the receiver will never take them.
    pub rejected: u64,
    /// Not wanted by the sink's filter.
    pub filtered: u64,
    /// Removed from the journal before their turn came.
    pub lost: u64,
    /// Requests made again after a failure.
    pub retried: u64,
    pub failed: [u64; Reason::ALL.len()],
    /// Time between journal and receiver of what was sent last.
    pub lag_ns: i64,
    /// What waits first.
    pub oldest: Option<Oldest>,
    /// The receiver is thought not to work.
    pub down: bool,
}

/// The first of what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// When it was journaled, by the clock.
    pub written_ns: i64,
    /// When it was first seen to wait: a clock that is set back does not make it young.
    pub seen: Instant,
}

impl Oldest {
    fn age(&self, now_ns: i64) -> Duration {
        let age = u64::try_from(now_ns.saturating_sub(self.written_ns)).unwrap_or(0);
        Duration::from_nanos(age).max(self.seen.elapsed())
    }
}

impl LaneNumbers {
    /// Says what waits first now, if anything.
    pub fn waits(&mut self, written_ns: Option<i64>) {
        self.oldest = written_ns.map(|written_ns| {
            let known = self.oldest.filter(|oldest| oldest.written_ns == written_ns);
            known.unwrap_or_else(|| Oldest { written_ns, seen: Instant::now() })
        });
    }

    fn passed(&self) -> u64 {
        self.sent + self.rejected + self.filtered + self.lost
    }
}

/// What a lane counts.
#[derive(Debug)]
pub struct LaneCounters {
    pub sink: String,
    pub tenant: String,
    /// Left by an earlier run.
    resumed: u64,
    /// The number of the tenant's last entry when the lane began.
    start: i64,
    /// That number now.
    last: watch::Receiver<i64>,
    numbers: Mutex<LaneNumbers>,
}

impl LaneCounters {
    pub fn new(
        sink: &str,
        tenant: &str,
        cursor: i64,
        start: i64,
        last: watch::Receiver<i64>,
    ) -> LaneCounters {
        LaneCounters {
            sink: sink.into(),
            tenant: tenant.into(),
            resumed: u64::try_from(start - cursor).unwrap_or(0),
            start,
            last,
            numbers: Mutex::default(),
        }
    }

    pub fn numbers(&self) -> MutexGuard<'_, LaneNumbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resumed, spooled, and what waits.
    fn flow(&self, numbers: &LaneNumbers) -> (u64, u64, u64) {
        let told = u64::try_from(*self.last.borrow() - self.start).unwrap_or(0);
        let passed = numbers.passed();
        // An entry may be delivered before its writer has told of it.
        let spooled = told.max(passed.saturating_sub(self.resumed));
        (self.resumed, spooled, (self.resumed + spooled).saturating_sub(passed))
    }
}

/// A lane's part of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneBalance {
    pub sink: String,
    pub tenant: String,
    pub resumed: u64,
    pub spooled: u64,
    pub sent: u64,
    pub rejected: u64,
    pub filtered: u64,
    pub lost: u64,
    pub unsent: u64,
}

/// All lanes, as metrics.
#[derive(Clone, Debug, Default)]
pub struct SinkMetrics {
    /// Of those that are sent samples.
    pub remote_write: WriteMetrics,
    lanes: Arc<Mutex<Vec<Arc<LaneCounters>>>>,
    alertmanagers: Arc<Mutex<Vec<Arc<AlertmanagerCounters>>>>,
}

impl SinkMetrics {
    /// A lane begins: its numbers are exported from now on.
    pub fn add(&self, lane: Arc<LaneCounters>) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    /// A sink of Alertmanagers begins.
    pub fn alertmanager(&self, sink: &str) -> Arc<AlertmanagerCounters> {
        let counters = Arc::new(AlertmanagerCounters::new(sink));
        let mut all = self.alertmanagers.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&counters));
        counters
    }

    /// What became of what, by sink and tenant.
    pub fn balances(&self) -> Vec<LaneBalance> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let balance = |lane: &Arc<LaneCounters>| {
            let numbers = lane.numbers();
            let (resumed, spooled, unsent) = lane.flow(&numbers);
            let LaneNumbers { sent, rejected, filtered, lost, .. } = *numbers;
            let (sink, tenant) = (lane.sink.clone(), lane.tenant.clone());
            LaneBalance { sink, tenant, resumed, spooled, sent, rejected, filtered, lost, unsent }
        };
        lanes.iter().map(balance).collect()
    }

    #[cfg(test)]
    pub fn failures(&self, sink: &str, tenant: &str) -> u64 {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let own = lanes.iter().filter(|lane| lane.sink == sink && lane.tenant == tenant);
        own.map(|lane| lane.numbers().failed.iter().sum::<u64>()).sum()
    }

    fn families(&self) -> Vec<Family> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut families: Vec<Family> = FAMILIES.iter().map(Family::new).collect();
        let mut failures = Family::new(&FAILURES);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        for lane in lanes {
            let numbers = lane.numbers().clone();
            let (resumed, spooled, unsent) = lane.flow(&numbers);
            let LaneNumbers { sent, rejected, filtered, lost, retried, failed, lag_ns, oldest, down } =
                numbers;
            let age = oldest.filter(|_| unsent > 0).map_or(Duration::ZERO, |oldest| oldest.age(now));
            let plain = [
                resumed as f64,
                spooled as f64,
                sent as f64,
                rejected as f64,
                filtered as f64,
                lost as f64,
                retried as f64,
                unsent as f64,
                lag_ns.max(0) as f64 / 1e9,
                age.as_secs_f64(),
                f64::from(u8::from(!down)),
            ];
            for (family, value) in families.iter_mut().zip(plain) {
                family.sample(&lane.sink, &lane.tenant, None, value);
            }
            for (reason, count) in Reason::ALL.iter().zip(failed) {
                failures.sample(&lane.sink, &lane.tenant, Some(reason.name()), count as f64);
            }
        }
        families.push(failures);
        families.extend(self.of_alertmanagers());
        families
    }

    fn of_alertmanagers(&self) -> [Family; 3] {
        let [mut alerts, mut collapsed, mut posts] = ALERTMANAGERS.map(|(about, _)| Family::new(&about));
        let all = self.alertmanagers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for sink in all {
            for (tenant, active, without) in sink.tenants() {
                let labels = [("sink", sink.sink()), ("tenant", &*tenant)];
                alerts.labelled(labels, active as f64);
                collapsed.labelled(labels, without as f64);
            }
            for (alertmanager, result, count) in sink.posts() {
                let labels = [("sink", sink.sink()), ("alertmanager", &*alertmanager), ("result", result)];
                posts.labelled(labels, count as f64);
            }
        }
        [alerts, collapsed, posts]
    }
}

/// Name, kind and help.
pub(super) type About = (&'static str, MetricType, &'static str);

/// In the order of the samples.
const FAMILIES: [About; 11] = [
    (
        "yagura_sink_resumed_total",
        MetricType::COUNTER,
        "Detections that waited for a sink when the daemon began.",
    ),
    ("yagura_sink_spooled_total", MetricType::COUNTER, "Detections journaled for a sink since then."),
    ("yagura_sink_sent_total", MetricType::COUNTER, "Detections that a sink's receiver took."),
    (
        "yagura_sink_rejected_total",
        MetricType::COUNTER,
        "Detections set aside because a sink's receiver will never take them.",
    ),
    ("yagura_sink_filtered_total", MetricType::COUNTER, "Detections that a sink is not to send."),
    (
        "yagura_sink_lost_total",
        MetricType::COUNTER,
        "Detections that the journal's bounds removed before a sink had sent them.",
    ),
    ("yagura_sink_retried_total", MetricType::COUNTER, "Requests made again after a failure."),
    ("yagura_sink_unsent", MetricType::GAUGE, "Detections that wait for a sink."),
    (
        "yagura_sink_lag_seconds",
        MetricType::GAUGE,
        "From the journal to the receiver, of what was sent last.",
    ),
    (
        "yagura_sink_oldest_unsent_seconds",
        MetricType::GAUGE,
        "How long the first of the detections that wait for a sink has waited.",
    ),
    ("yagura_sink_up", MetricType::GAUGE, "0 while a sink's receiver fails again and again."),
];

/// With a reason.
const FAILURES: About =
    ("yagura_sink_failed_total", MetricType::COUNTER, "Requests that failed and are made again.");

/// And their labels.
const ALERTMANAGERS: [(About, &[&str]); 3] = [
    (
        (
            "yagura_alertmanager_alerts",
            MetricType::GAUGE,
            "Alerts that are active, of a sink of type alertmanager.",
        ),
        &["sink", "tenant"],
    ),
    (
        (
            "yagura_alertmanager_collapsed_total",
            MetricType::COUNTER,
            "Detections told by an alert that they share because too many are active.",
        ),
        &["sink", "tenant"],
    ),
    (
        (
            "yagura_alertmanager_posts_total",
            MetricType::COUNTER,
            "Requests to each Alertmanager, by what came of them.",
        ),
        &["sink", "alertmanager", "result"],
    ),
];

pub(super) struct Family {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    samples: Vec<Metric>,
}

impl Family {
    pub fn new((name, kind, help): &About) -> Family {
        Family { name, kind: *kind, help, samples: Vec::new() }
    }

    pub fn sample(&mut self, sink: &str, tenant: &str, reason: Option<&str>, value: f64) {
        let labels = [("sink", Some(sink)), ("tenant", Some(tenant)), ("reason", reason)];
        self.labelled(labels.into_iter().filter_map(|(name, value)| Some((name, value?))), value);
    }

    fn labelled<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>, value: f64) {
        let pairs = labels.into_iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        });
        self.push(pairs.collect(), value);
    }

    /// One without labels.
    pub fn sample_of_none(&mut self, value: f64) {
        self.push(Vec::new(), value);
    }

    fn push(&mut self, labels: Vec<LabelPair>, value: f64) {
        let mut metric = Metric::from_label(labels);
        if self.kind == MetricType::GAUGE {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        } else {
            let mut counter = prometheus::proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        self.samples.push(metric);
    }

    /// Nothing if it has no samples.
    pub fn into_proto(self) -> Option<MetricFamily> {
        let Family { name, kind, help, samples } = self;
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(samples);
        (!family.get_metric().is_empty()).then_some(family)
    }
}

/// Of families by sink and tenant, and by reason too.
pub(super) fn descs<'a>(
    families: impl Iterator<Item = (&'a About, &'a [&'a str])>,
) -> prometheus::Result<Vec<Desc>> {
    families
        .map(|((name, _, help), labels)| {
            let labels = labels.iter().map(ToString::to_string).collect();
            Desc::new((*name).to_owned(), (*help).to_owned(), labels, Default::default())
        })
        .collect()
}

/// The registry's view of them.
#[derive(Debug)]
pub(super) struct SinkCollector {
    metrics: SinkMetrics,
    descs: Vec<Desc>,
}

impl SinkCollector {
    pub fn new(metrics: SinkMetrics) -> prometheus::Result<SinkCollector> {
        let all = FAMILIES.iter().map(|about| (about, &["sink", "tenant"][..]));
        let all = all.chain([(&FAILURES, &["sink", "tenant", "reason"][..])]);
        let all = all.chain(ALERTMANAGERS.iter().map(|(about, labels)| (about, *labels)));
        Ok(SinkCollector { metrics, descs: descs(all)? })
    }
}

impl Collector for SinkCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.metrics.families().into_iter().filter_map(Family::into_proto).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_grows_old_whatever_the_clock_does() {
        const SECOND: i64 = 1_000_000_000;
        let mut numbers = LaneNumbers::default();
        numbers.waits(Some(100 * SECOND));
        let first = numbers.oldest.unwrap();
        assert_eq!(first.age(130 * SECOND), Duration::from_secs(30));
        // Set back: as long as it has been waiting here. The same entry is as old as before.
        numbers.waits(Some(100 * SECOND));
        assert_eq!(numbers.oldest, Some(first));
        let since = first.seen.elapsed();
        assert!(first.age(0) >= since && first.age(0) < Duration::from_secs(100));
        numbers.waits(Some(101 * SECOND));
        assert_ne!(numbers.oldest, Some(first));
        numbers.waits(None);
        assert_eq!(numbers.oldest, None);
    }
}
