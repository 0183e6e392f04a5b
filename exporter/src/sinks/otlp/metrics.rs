//! The registry's families as OTLP metrics: counters are cumulative sums, so that what one request misses the next one says.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
    },
};
use prometheus::proto::{self, MetricFamily, MetricType};

use super::resource::{Origin, pair, resource, scope, text};

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Since when counters count, and when they were read; nanoseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub start: u64,
    pub now: u64,
}

/// All families of a tenant.
pub(super) fn request(
    families: &[MetricFamily],
    origin: Origin<'_>,
    tenant: &str,
    times: Times,
) -> ExportMetricsServiceRequest {
    let metrics = families.iter().filter_map(|family| metric(family, times)).collect();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(origin, tenant)),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }
}

/// `None`: of a kind that the registry does not have.
fn metric(family: &MetricFamily, times: Times) -> Option<Metric> {
    let numbers = |start: u64, value: fn(&proto::Metric) -> f64| -> Vec<NumberDataPoint> {
        let point = |metric: &proto::Metric| NumberDataPoint {
            attributes: labels(metric),
            start_time_unix_nano: start,
            time_unix_nano: times.now,
            value: Some(number_data_point::Value::AsDouble(value(metric))),
            ..NumberDataPoint::default()
        };
        family.get_metric().iter().map(point).collect()
    };
    let data = match family.get_field_type() {
        MetricType::COUNTER => metric::Data::Sum(Sum {
            data_points: numbers(times.start, |metric| metric.get_counter().get_value()),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        MetricType::GAUGE => {
            metric::Data::Gauge(Gauge { data_points: numbers(0, |metric| metric.get_gauge().get_value()) })
        }
        MetricType::HISTOGRAM => metric::Data::Histogram(Histogram {
            data_points: family.get_metric().iter().map(|metric| histogram(metric, times)).collect(),
            aggregation_temporality: CUMULATIVE,
        }),
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit(family.name()).to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn histogram(metric: &proto::Metric, times: Times) -> HistogramDataPoint {
    let histogram = metric.get_histogram();
    let buckets = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in buckets {
        bounds.push(bucket.upper_bound());
        // Here each bucket counts what the ones before it do not.
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    counts.push(histogram.get_sample_count().saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(metric),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: histogram.get_sample_count(),
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn labels(metric: &proto::Metric) -> Vec<KeyValue> {
    let labels = metric.get_label().iter();
    labels.map(|label| pair(label.name(), text(label.value()))).collect()
}

/// UCUM, by the base units that Prometheus' names end in.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "",
    }
}
