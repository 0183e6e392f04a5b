use std::{collections::BTreeMap, io::Read, sync::Arc, time::Instant};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
        metrics::v1::ExportMetricsServiceRequest,
    },
    common::v1::{KeyValue, any_value},
    metrics::v1::{Metric, metric, number_data_point},
};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};
use prost::Message;

use super::*;
use crate::{
    delivery::{Entry, Reason, Refusal, Sent, Sink},
    detection::Identity,
    metrics::Gather,
    rules::Priority,
    secret::Secret,
    sinks::{
        http::Authorization,
        receiver::{Act, Receiver},
    },
};

fn settings(receiver: &Receiver) -> Settings {
    let mut url = receiver.url();
    url.set_path("/base/");
    Settings { target: Target::to(url), gzip: false, tenant_header: None, metrics: None, sample_ratio: None }
}

fn entry(seq: i64, line: &str) -> Entry {
    Entry {
        time_ns: 1_507_591_916_746_609_046,
        written_ns: 1_507_591_917_000_000_000,
        namespace: Some("shop-1".into()),
        priority: Priority::Warning,
        rule: "Shell".into(),
        tags: vec!["T1059".into()],
        ..Entry::of_test(seq, line)
    }
}

const LINE: &str = r#"{"output":"a shell","hostname":"h","uuid":"u-1","node":"n","cluster":"c","output_fields":
    {"proc.pid":7,"container.id":"abc","k8s.ns.name":"other"}}"#;

fn texts(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
        any_value::Value::StringValue(value) => value.clone(),
        any_value::Value::IntValue(value) => value.to_string(),
        any_value::Value::ArrayValue(list) => format!("{} values", list.values.len()),
        other => panic!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_detection_is_a_log_record() {
    let request = logs::request("shop", &[entry(1, LINE)]);
    let [of_resource] = &request.resource_logs[..] else { panic!("{request:?}") };
    assert_eq!(
        texts(&of_resource.resource.as_ref().unwrap().attributes),
        map(&[
            ("service.name", "yagura"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("host.name", "h"),
            ("k8s.node.name", "n"),
            ("k8s.cluster.name", "c"),
            ("yagura.tenant", "shop"),
        ])
    );
    let [record] = &of_resource.scope_logs[0].log_records[..] else { panic!("{request:?}") };
    assert_eq!(
        (record.time_unix_nano, record.observed_time_unix_nano),
        (1_507_591_916_746_609_046, 1_507_591_917_000_000_000)
    );
    assert_eq!((record.severity_number, &*record.severity_text), (13, "Warning"));
    assert_eq!(record.body, Some(resource::text("a shell")));
    assert_eq!((&*record.event_name, record.dropped_attributes_count), ("yagura.detection", 0));
    assert_eq!(
        texts(&record.attributes),
        map(&[
            ("log.record.uid", "u-1"),
            ("security_rule.name", "Shell"),
            ("yagura.source", "syscall"),
            ("yagura.tags", "1 values"),
            // The namespace that the detection is about, whatever its output says.
            ("k8s.namespace.name", "shop-1"),
            ("process.pid", "7"),
            ("container.id", "abc"),
            ("yagura.field.proc.pid", "7"),
            ("yagura.field.container.id", "abc"),
            ("yagura.field.k8s.ns.name", "other"),
        ])
    );
    // Of a line that is no detection what is known beside it.
    let request = logs::request("shop", &[entry(1, "torn")]);
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(record.body, Some(resource::text("torn")));
    assert_eq!(texts(&record.attributes)["security_rule.name"], "Shell");
}

#[test]
fn another_node_is_another_resource_and_the_order_stays() {
    let line = |node: &str| format!(r#"{{"node":"{node}"}}"#);
    let entries: Vec<Entry> =
        ["a", "a", "b", "a"].iter().zip(1..).map(|(node, seq)| entry(seq, &line(node))).collect();
    let request = logs::request("t", &entries);
    let counts: Vec<usize> =
        request.resource_logs.iter().map(|logs| logs.scope_logs[0].log_records.len()).collect();
    assert_eq!(counts, [2, 1, 1]);
    assert_eq!(request.encode_to_vec(), logs::request("t", &entries).encode_to_vec());
}

#[test]
fn severities_are_those_of_syslog_and_fall_with_the_priority() {
    let numbers = Priority::ALL.map(logs::severity);
    assert_eq!(numbers, [21, 19, 18, 17, 13, 10, 9, 5]);
}

#[tokio::test]
async fn posts_below_the_endpoint_with_what_the_receiver_asks_for() {
    let receiver = Receiver::start().await;
    let ids = TenantIds { otherwise: Some("org-{tenant}".into()), ..TenantIds::default() };
    for gzip in [false, true] {
        let mut settings = settings(&receiver);
        settings.gzip = gzip;
        settings.tenant_header = Some((HeaderName::from_static("x-scope-orgid"), ids.clone()));
        settings.target.authorization = Some(Authorization::Bearer(Secret::Literal("open".into())));
        let sink = Otlp::new(settings);
        assert_eq!(
            sink.send("shop", &[entry(1, LINE), entry(2, LINE)]).await,
            Sent { taken: 2, refusal: None }
        );
        let request = receiver.taken().pop().unwrap();
        let head = request.head.to_ascii_lowercase();
        for line in [
            "post /base/v1/logs?x=1 http/1.1",
            "content-type: application/x-protobuf",
            "x-scope-orgid: org-shop",
            "authorization: bearer open",
        ] {
            assert!(head.contains(line), "{line}: {head}");
        }
        assert_eq!(head.contains("content-encoding: gzip"), gzip, "{head}");
        let mut body = request.bytes.clone();
        if gzip {
            body.clear();
            flate2::read::GzDecoder::new(&request.bytes[..]).read_to_end(&mut body).unwrap();
        }
        let sent = ExportLogsServiceRequest::decode(&*body).unwrap();
        assert_eq!(sent, logs::request("shop", &[entry(1, LINE), entry(2, LINE)]));
    }
    // Who has no id is sent nowhere.
    let mut settings = settings(&receiver);
    settings.tenant_header = Some((HeaderName::from_static("x-scope-orgid"), TenantIds::default()));
    let refusal = Otlp::new(settings).send("shop", &[entry(1, LINE)]).await.refusal;
    assert!(matches!(refusal, Some(Refusal::Later { reason: Reason::Denied, .. })), "{refusal:?}");
}

fn part(rejected: i64, message: &str) -> Act {
    let partial_success =
        Some(ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: message.into() });
    let body = ExportLogsServiceResponse { partial_success }.encode_to_vec();
    Act::Say(200, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn an_answer_says_what_became_of_them() {
    let receiver = Receiver::start().await;
    let sink = Otlp::new(settings(&receiver));
    for (act, taken, expected) in [
        (Act::Say(200, String::new()), 3, None),
        // Of a receiver that answers with something else than the protocol's message.
        (Act::Say(200, "{\"partialSuccess\":{}}".into()), 3, None),
        (part(0, "a remark"), 3, None),
        (
            part(2, "too large"),
            3,
            Some(Refusal::Part { rejected: 2, what: "2 were not kept: too large".into() }),
        ),
        (Act::Answer(400, ""), 0, Some(Refusal::Poison { what: "the answer is 400 Bad Request: ok".into() })),
    ] {
        receiver.next([act.clone()]);
        let entries: Vec<Entry> = (1..=3).map(|seq| entry(seq, LINE)).collect();
        assert_eq!(sink.send("t", &entries).await, Sent { taken, refusal: expected }, "{act:?}");
    }
    for (status, reason) in [(401, Reason::Denied), (429, Reason::Throttled), (503, Reason::Answer)] {
        receiver.next([Act::Answer(status, "retry-after: 3\r\n")]);
        let refusal = sink.send("t", &[entry(1, LINE)]).await.refusal;
        let Some(Refusal::Later { reason: found, after, .. }) = refusal else { panic!("{refusal:?}") };
        assert_eq!((found, after), (reason, Some(Duration::from_secs(3))));
    }
}

fn registry() -> Registry {
    let registry = Registry::new();
    let counter = IntCounterVec::new(Opts::new("a_bytes_total", "A."), &["tenant"]).unwrap();
    counter.with_label_values(&["shop"]).inc_by(7);
    counter.with_label_values(&["ml"]).inc_by(8);
    let gauge = IntGauge::new("b", "B.").unwrap();
    gauge.set(-2);
    let histogram = Histogram::with_opts(
        HistogramOpts::new("c_seconds", "C.").buckets(vec![1.0, 2.0]).const_label("tenant", "shop"),
    )
    .unwrap();
    [0.5, 0.5, 1.5, 9.0].iter().for_each(|value| histogram.observe(*value));
    registry.register(Box::new(counter)).unwrap();
    registry.register(Box::new(gauge)).unwrap();
    registry.register(Box::new(histogram)).unwrap();
    registry
}

fn metrics_of(request: &ExportMetricsServiceRequest) -> Vec<Metric> {
    request.resource_metrics[0].scope_metrics[0].metrics.clone()
}

#[tokio::test]
async fn the_registry_is_sent_to_each_tenant() {
    let receiver = Receiver::start().await;
    let registry = registry();
    let push = MetricsPush::start(PushSetup {
        name: "o".into(),
        settings: settings(&receiver),
        interval: Duration::from_secs(3600),
        tenants: vec!["platform".into(), "shop".into(), "none".into()],
        identity: Identity { hostname: "h".into(), node: "n".into(), cluster: String::new() },
        gather: Gather(Arc::new(move || registry.gather())),
    });
    receiver.until(|taken| taken.len() == 2).await;
    push.finish(Instant::now() + Duration::from_secs(30)).await;
    let taken = receiver.taken();
    assert_eq!(taken.len(), 4, "and once more in the end");
    assert!(taken.iter().all(|request| request.head.starts_with("POST /base/v1/metrics?")));
    let requests: Vec<ExportMetricsServiceRequest> =
        taken.iter().map(|request| ExportMetricsServiceRequest::decode(&*request.bytes).unwrap()).collect();
    let tenants: Vec<String> = requests
        .iter()
        .map(|request| {
            texts(&request.resource_metrics[0].resource.as_ref().unwrap().attributes)["yagura.tenant"].clone()
        })
        .collect();
    assert_eq!(tenants, ["platform", "shop", "platform", "shop"]);
    let [gauge] = &metrics_of(&requests[0])[..] else { panic!("{requests:?}") };
    assert_eq!((&*gauge.name, &*gauge.description, &*gauge.unit), ("b", "B.", ""));
    let Some(metric::Data::Gauge(points)) = &gauge.data else { panic!("{gauge:?}") };
    assert_eq!(points.data_points[0].value, Some(number_data_point::Value::AsDouble(-2.0)));
    let [counter, histogram] = &metrics_of(&requests[1])[..] else { panic!("{requests:?}") };
    let Some(metric::Data::Sum(sum)) = &counter.data else { panic!("{counter:?}") };
    assert_eq!((&*counter.unit, sum.is_monotonic, sum.aggregation_temporality), ("By", true, 2));
    let [point] = &sum.data_points[..] else { panic!("nothing of another tenant: {sum:?}") };
    assert_eq!(point.value, Some(number_data_point::Value::AsDouble(7.0)));
    assert_eq!(texts(&point.attributes), map(&[("tenant", "shop")]));
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano <= point.time_unix_nano);
    let Some(metric::Data::Histogram(data)) = &histogram.data else { panic!("{histogram:?}") };
    let point = &data.data_points[0];
    assert_eq!((&point.explicit_bounds[..], &point.bucket_counts[..]), (&[1.0, 2.0][..], &[2, 1, 1][..]));
    assert_eq!((point.count, point.sum, &*histogram.unit), (4, Some(11.5), "s"));
}
