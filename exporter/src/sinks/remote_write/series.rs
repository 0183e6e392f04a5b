//! The registry's families as series, as a scrape of them would be stored.

use std::{collections::HashMap, sync::Arc};

use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::metrics::owner;

/// What a family is; the numbers are those of both versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unknown = 0,
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
    Summary = 5,
}

/// What is said of a family.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct About {
    pub name: String,
    pub kind: Kind,
    pub help: String,
}

/// Sorted by name, none empty; `__name__` is one of them.
pub(super) type Labels = Vec<(String, String)>;

/// A series and its value at one moment.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub labels: Labels,
    pub value: f64,
    pub about: Arc<About>,
}

/// The series of those tenants that are wanted.
pub(super) fn by_tenant(
    families: &[MetricFamily],
    wanted: impl Fn(&str) -> bool,
) -> HashMap<String, Vec<Series>> {
    let mut tenants: HashMap<String, Vec<Series>> = HashMap::new();
    for family in families {
        let about = Arc::new(About {
            name: family.name().to_owned(),
            kind: match family.get_field_type() {
                MetricType::COUNTER => Kind::Counter,
                MetricType::GAUGE => Kind::Gauge,
                MetricType::HISTOGRAM => Kind::Histogram,
                MetricType::SUMMARY => Kind::Summary,
                MetricType::UNTYPED => Kind::Unknown,
            },
            help: family.help().to_owned(),
        });
        for metric in family.get_metric() {
            let tenant = owner(metric);
            if !wanted(tenant) {
                continue;
            }
            let into = match tenants.get_mut(tenant) {
                Some(into) => into,
                None => tenants.entry(tenant.to_owned()).or_default(),
            };
            expand(&about, metric, into);
        }
    }
    tenants
}

fn expand(about: &Arc<About>, metric: &Metric, into: &mut Vec<Series>) {
    let mut add = |end: &str, more: Option<(&str, String)>, value: f64| {
        let labels = labels(&about.name, end, metric, more);
        into.push(Series { labels, value, about: Arc::clone(about) });
    };
    match about.kind {
        Kind::Counter => add("", None, metric.get_counter().get_value()),
        Kind::Gauge => add("", None, metric.get_gauge().get_value()),
        // The library has no such metrics, and cannot print them either.
        Kind::Unknown => {}
        Kind::Histogram => {
            let histogram = metric.get_histogram();
            let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
            for bucket in finite {
                let le = go_number(bucket.upper_bound());
                add("_bucket", Some(("le", le)), bucket.cumulative_count() as f64);
            }
            let count = histogram.get_sample_count() as f64;
            add("_bucket", Some(("le", "+Inf".into())), count);
            add("_sum", None, histogram.get_sample_sum());
            add("_count", None, count);
        }
        Kind::Summary => {
            let summary = metric.get_summary();
            for quantile in summary.get_quantile() {
                add("", Some(("quantile", go_number(quantile.quantile()))), quantile.value());
            }
            add("_sum", None, summary.sample_sum());
            add("_count", None, summary.sample_count() as f64);
        }
    }
}

fn labels(name: &str, end: &str, metric: &Metric, more: Option<(&str, String)>) -> Labels {
    let own = metric.get_label().iter().map(|pair| (pair.name().to_owned(), pair.value().to_owned()));
    let mut labels: Labels = own.filter(|(_, value)| !value.is_empty()).collect();
    labels.push(("__name__".into(), format!("{name}{end}")));
    labels.extend(more.map(|(name, value)| (name.to_owned(), value)));
    labels.sort_unstable();
    labels
}

/// A number as Prometheus' own client writes it: the shortest digits, with an exponent below 1e-4 and from the million on
/// (Go's `%g`). Bounds are compared as text.
fn go_number(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if number != 0.0 && !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        for (number, expected) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (1.0, "1"),
            (30.0, "30"),
            (0.0005, "0.0005"),
            (0.00005, "5e-05"),
            (1234.5678, "1234.5678"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e21, "1e+21"),
            (-2.5, "-2.5"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(go_number(number), expected);
        }
    }
}
