//! `yagura_detections_total`: bounded for each tenant, and without series of namespaces that are gone.
//!
//! Threads keep the counters that they use. A series is taken away in two steps, so that none counts what nobody will see:
//! [`Detections::retire`] marks it and tells the threads (by [`Detections::generation`]) to look their counters up anew, and
//! only what nobody has looked up or counted until the next time is removed.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::{MAX_SERIES, OTHER};

/// How long a namespace must have been silent, and gone, for its series to end.
const SILENCE: Duration = Duration::from_secs(3600);

/// The labels of a rule's detections.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    pub tenant: &'a str,
    /// Empty: of what is in no namespace.
    pub namespace: &'a str,
    pub rule: &'a str,
    pub priority: &'a str,
    pub source: &'a str,
}

/// Namespace, rule, priority, source.
type Key = [String; 4];

#[derive(Debug)]
struct TenantSeries {
    known: HashMap<Key, Known>,
    bound: usize,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// At the last look, and since when.
    value: u64,
    since: Instant,
    retiring: bool,
}

impl Known {
    fn new() -> Known {
        Known { value: 0, since: Instant::now(), retiring: false }
    }
}

#[derive(Debug)]
pub(super) struct Detections {
    counters: IntCounterVec,
    /// What series that are gone had counted.
    retired: IntCounter,
    /// The label values so far, by tenant.
    series: Mutex<HashMap<String, TenantSeries>>,
    generation: AtomicU64,
}

impl Detections {
    pub fn new(registry: &Registry) -> prometheus::Result<Detections> {
        let counters = IntCounterVec::new(
            Opts::new("yagura_detections_total", "Matches of a rule, written or suppressed or dropped."),
            &["tenant", "namespace", "rule", "priority", "source"],
        )?;
        registry.register(Box::new(counters.clone()))?;
        let retired = IntCounter::new(
            "yagura_detections_retired_total",
            "Matches that were counted in series of yagura_detections_total that have ended.",
        )?;
        registry.register(Box::new(retired.clone()))?;
        Ok(Detections { counters, retired, series: Mutex::default(), generation: AtomicU64::new(0) })
    }

    /// See [`super::Metrics::detections_of`].
    pub fn of(&self, series: Series<'_>) -> IntCounter {
        let Series { tenant, namespace, rule, priority, source } = series;
        let mut tenants = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let TenantSeries { known, bound } = tenants
            .entry(tenant.to_owned())
            .or_insert_with(|| TenantSeries { known: HashMap::new(), bound: MAX_SERIES });
        let mut fits = |namespace: &str, rule: &str| {
            let key = [namespace, rule, priority, source].map(str::to_owned);
            if let Some(known) = known.get_mut(&key) {
                known.retiring = false;
                return true;
            }
            known.len() < *bound && known.insert(key, Known::new()).is_none()
        };
        let (namespace, rule) = if fits(namespace, rule) {
            (namespace, rule)
        } else if fits(OTHER, rule) {
            (OTHER, rule)
        } else {
            (OTHER, OTHER)
        };
        self.counters.with_label_values(&[tenant, namespace, rule, priority, source])
    }

    pub fn bound(&self, tenant: &str, bound: usize) {
        let mut tenants = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(tenant.to_owned()).or_insert_with(|| TenantSeries { known: HashMap::new(), bound });
    }

    /// Changes whenever counters that were looked up may no longer be the exported ones.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Removes what was marked the last time and has not been used since; marks the series of namespaces that have been
    /// silent for an hour and are gone. To be called with at least seconds in between. How many were removed.
    pub fn retire(&self, now: Instant, exists: impl Fn(&str) -> bool) -> usize {
        let mut tenants = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut removed, mut marked) = (0, false);
        for (tenant, TenantSeries { known, .. }) in tenants.iter_mut() {
            let mut alive: HashMap<String, bool> = HashMap::new();
            // A namespace ends as a whole.
            for (key, known) in known.iter_mut() {
                let [namespace, rule, priority, source] = key;
                if namespace.is_empty() || namespace == OTHER {
                    continue;
                }
                let labels = [tenant, namespace, rule, priority, source];
                let value = self.counters.get_metric_with_label_values(&labels).map_or(0, |c| c.get());
                if value != known.value {
                    (known.value, known.since, known.retiring) = (value, now, false);
                }
                let silent = now.saturating_duration_since(known.since) >= SILENCE;
                let lives = alive.entry(namespace.clone()).or_insert_with(|| exists(namespace));
                *lives |= !silent;
            }
            known.retain(|key, known| {
                let gone = alive.get(&key[0]).is_some_and(|alive| !alive);
                if !gone {
                    known.retiring = false;
                    return true;
                }
                if known.retiring {
                    let [namespace, rule, priority, source] = key;
                    let labels = [tenant, namespace, rule, priority, source];
                    let counted = self.counters.get_metric_with_label_values(&labels).map_or(0, |c| c.get());
                    self.retired.inc_by(counted);
                    // It is there: it was asked for above.
                    let _removed = self.counters.remove_label_values(&labels);
                    removed += 1;
                    return false;
                }
                known.retiring = true;
                marked = true;
                true
            });
        }
        if marked {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(detections: &Detections, namespace: &str, rule: &str) -> IntCounter {
        detections.of(Series { tenant: "shop", namespace, rule, priority: "Notice", source: "syscall" })
    }

    fn exported(registry: &Registry) -> Vec<String> {
        let families = registry.gather();
        let label = |metric: &prometheus::proto::Metric, name: &str| {
            metric.get_label().iter().find(|label| label.name() == name).map(|label| label.value().to_owned())
        };
        let families = families.iter().filter(|family| family.name() == "yagura_detections_total");
        let mut all: Vec<String> = families
            .flat_map(|family| family.get_metric())
            .map(|metric| {
                let (namespace, rule) = (label(metric, "namespace").unwrap(), label(metric, "rule").unwrap());
                format!("{namespace}/{rule} {}", metric.get_counter().get_value())
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn series_of_a_namespace_end_an_hour_after_it() {
        let registry = Registry::new();
        let detections = Detections::new(&registry).unwrap();
        detections.bound("shop", 4);
        of(&detections, "", "r");
        let kept = of(&detections, "old", "r");
        kept.inc();
        of(&detections, "old", "s").inc_by(2);
        of(&detections, "alive", "r").inc();
        of(&detections, "beyond", "r").inc();
        let all = ["/r 0", "alive/r 1", "old/r 1", "old/s 2", "~other/~other 1"];
        assert_eq!(exported(&registry), all);
        let begin = Instant::now();
        let after = |minutes: u64| begin + Duration::from_secs(minutes * 60);
        let retire = |minutes| detections.retire(after(minutes), |namespace| namespace == "alive");
        assert_eq!((retire(0), retire(59), detections.generation()), (0, 0, 0));
        kept.inc();
        // It counts again, so the other one of its namespace stays too.
        assert_eq!((retire(62), retire(63), detections.generation()), (0, 0, 0));
        // Marked; whoever keeps a counter is told. It counts, by a counter that is kept or looked up anew.
        assert_eq!((retire(125), detections.generation()), (0, 1));
        kept.inc();
        assert_eq!(retire(126), 0);
        assert_eq!((retire(190), detections.generation()), (0, 2));
        assert_eq!(exported(&registry)[2..4], ["old/r 3", "old/s 2"]);
        assert_eq!((retire(191), detections.retired.get()), (2, 5));
        assert_eq!(exported(&registry), ["/r 0", "alive/r 1", "~other/~other 1"]);
        // There is room again, and it may come back.
        of(&detections, "old", "r").inc();
        assert_eq!(exported(&registry), ["/r 0", "alive/r 1", "old/r 1", "~other/~other 1"]);
    }

    #[test]
    fn who_looks_a_series_up_keeps_it() {
        let registry = Registry::new();
        let detections = Detections::new(&registry).unwrap();
        of(&detections, "old", "r").inc();
        let begin = Instant::now();
        let at = |minutes: u64| begin + Duration::from_secs(minutes * 60);
        detections.retire(at(0), |_| false);
        detections.retire(at(61), |_| false);
        let counter = of(&detections, "old", "r");
        assert_eq!(detections.retire(at(62), |_| false), 0);
        counter.inc();
        assert_eq!(exported(&registry), ["old/r 2"]);
    }
}
