//! Detections and metrics by OTLP, to a double of an OpenTelemetry collector: it decodes what it gets with the project's own
//! messages, and answers as the protocol says.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};

use end_to_end::{
    DEADLINE,
    activity::{SEEN_RULE, audit_event, journaled, open, post_audit},
    daemon::{Daemon, Options},
    http::Client,
    kernel_tests_run,
    receiver::free_address,
    server::{Reply, Request, Server},
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
        metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
        trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    },
    common::v1::{KeyValue, any_value},
    logs::v1::LogRecord,
    metrics::v1::{metric, number_data_point},
};
use prost::Message;
use serde_json::{Value, json};

const RULES: &str = "
- rule: Opened
  desc: d
  condition: evt.type = openat and fd.name startswith /yagura-otlpTEST-
  output: opened %fd.name %proc.pid %proc.name %container.id
  priority: CRITICAL
  tags: [T1005]
";

/// A record as it came, and whose it is.
#[derive(Clone, Debug)]
struct Record {
    resource: BTreeMap<String, Value>,
    attributes: BTreeMap<String, Value>,
    log: LogRecord,
}

#[derive(Default)]
struct Taken {
    records: Vec<Record>,
    metrics: Vec<ExportMetricsServiceRequest>,
    /// Names and attributes of spans.
    spans: Vec<(String, BTreeMap<String, Value>)>,
}

/// Takes what it can decode.
struct Collector {
    taken: Arc<(Mutex<Taken>, Condvar)>,
    _server: Server,
}

fn plain(pairs: &[KeyValue]) -> BTreeMap<String, Value> {
    fn value(of: &any_value::Value) -> Value {
        match of {
            any_value::Value::StringValue(text) => json!(text),
            any_value::Value::IntValue(number) => json!(number),
            any_value::Value::ArrayValue(list) => {
                list.values.iter().filter_map(|one| one.value.as_ref().map(value)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
    let one =
        |pair: &KeyValue| (pair.key.clone(), value(pair.value.as_ref().unwrap().value.as_ref().unwrap()));
    let all: BTreeMap<String, Value> = pairs.iter().map(one).collect();
    assert_eq!(all.len(), pairs.len(), "each key once: {pairs:?}");
    all
}

impl Collector {
    /// `judge` says of the logs of a request how it is answered.
    fn start(address: SocketAddr, judge: impl Fn(&[Record]) -> Reply + Send + Sync + 'static) -> Collector {
        let taken: Arc<(Mutex<Taken>, Condvar)> = Arc::default();
        let own = Arc::clone(&taken);
        let server = Server::start(address, None, move |request: Request| {
            if request.method != "POST" {
                return Reply::Answer(405, String::new());
            }
            assert_eq!(request.header("content-type"), ["application/x-protobuf"]);
            let (mutex, news) = &*own;
            let reply = match &*request.path {
                "/v1/logs" => {
                    let Ok(logs) = ExportLogsServiceRequest::decode(&*request.body) else {
                        return Reply::Answer(400, "not protobuf".into());
                    };
                    let mut records = Vec::new();
                    for of_resource in logs.resource_logs {
                        let resource = plain(&of_resource.resource.expect("a resource").attributes);
                        for log in of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                            let attributes = plain(&log.attributes);
                            records.push(Record { resource: resource.clone(), attributes, log });
                        }
                    }
                    let reply = judge(&records);
                    if matches!(&reply, Reply::Answer(200, _)) {
                        mutex.lock().expect("taken").records.extend(records);
                    }
                    reply
                }
                "/v1/metrics" => {
                    let metrics = ExportMetricsServiceRequest::decode(&*request.body).expect("protobuf");
                    mutex.lock().expect("taken").metrics.push(metrics);
                    answer(&ExportMetricsServiceResponse::default())
                }
                "/v1/traces" => {
                    let traces = ExportTraceServiceRequest::decode(&*request.body).expect("protobuf");
                    for of_resource in traces.resource_spans {
                        let resource = plain(&of_resource.resource.expect("a resource").attributes);
                        assert_eq!(
                            (&resource["service.name"], &resource["k8s.node.name"]),
                            (&json!("yagura"), &json!("n1"))
                        );
                        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                        let spans = spans.map(|span| {
                            assert!(
                                span.start_time_unix_nano > 0
                                    && span.end_time_unix_nano >= span.start_time_unix_nano
                            );
                            (span.name, plain(&span.attributes))
                        });
                        mutex.lock().expect("taken").spans.extend(spans);
                    }
                    answer(&ExportTraceServiceResponse::default())
                }
                _ => Reply::Answer(404, String::new()),
            };
            news.notify_all();
            reply
        });
        Collector { taken, _server: server }
    }

    fn until(&self, what: &str, holds: impl Fn(&Taken) -> bool) {
        let end = Instant::now() + DEADLINE;
        let (mutex, news) = &*self.taken;
        let mut taken = mutex.lock().expect("taken");
        while !holds(&taken) {
            let left = end.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| {
                panic!("never: {what}; {} records, {} spans", taken.records.len(), taken.spans.len())
            });
            taken = news.wait_timeout(taken, left).expect("taken").0;
        }
    }

    fn records(&self) -> Vec<Record> {
        self.taken.0.lock().expect("taken").records.clone()
    }
}

/// What is in ASCII only, as short messages are.
fn answer(message: &impl Message) -> Reply {
    Reply::Answer(200, String::from_utf8(message.encode_to_vec()).expect("ASCII"))
}

fn fine(_: &[Record]) -> Reply {
    answer(&ExportLogsServiceResponse::default())
}

fn config(address: SocketAddr, journal: &Path, more: &str) -> String {
    format!(
        "rate_limit: {{rate: 0}}\nqueue_size: 100000\ncluster: c1\nnode: n1\n\
         tenants: [{{name: shop, match: {{namespaces: [shop]}}}}]\njournal:\n  path: {}\nsinks:\n\
         - {{name: otel, type: otlp, url: 'http://{address}', retry: {{first: 10ms, longest: 100ms}}{more}}}\n",
        journal.display()
    )
}

fn rules(test: &str) -> String {
    RULES.replace("TEST", test) + SEEN_RULE
}

fn of(daemon: &Daemon, name: &str, tenant: &str) -> f64 {
    daemon.metric(&format!("yagura_sink_{name}{{sink=\"otel\",tenant=\"{tenant}\"}}"))
}

#[test]
fn each_detection_is_a_record_of_its_tenant_also_after_an_outage() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let address = free_address();
    let config = config(address, &path, ", metrics: {interval: 1s}, traces: {sample_ratio: 1}");
    // Nobody is there at first.
    let daemon = Daemon::start(&Options { rules: &rules("outage"), config: &config, ..Options::default() });
    (0..150).for_each(|number| open("otlpoutage", number));
    let events = (0..120).map(|id| audit_event(format!("a-{id}"), "shop"));
    assert_eq!(post_audit(&Client::plain(daemon.address()), &[], events), 200);
    daemon.until("both wait", |daemon| {
        of(daemon, "unsent", "platform") == 150.0 && of(daemon, "unsent", "shop") == 120.0
    });
    let collector = Collector::start(address, fine);
    collector.until("all", |taken| taken.records.len() >= 270);
    // The registry, as it is when nothing more comes.
    let counts = |taken: &Taken, tenant: &str, wanted: f64| {
        taken.metrics.iter().any(|request| {
            let of_resource = &request.resource_metrics[0];
            let resource = plain(&of_resource.resource.as_ref().expect("a resource").attributes);
            let own = |pairs: &[KeyValue]| plain(pairs).get("tenant").is_none_or(|name| *name == *tenant);
            let metrics = of_resource.scope_metrics.iter().flat_map(|scope| &scope.metrics);
            resource["yagura.tenant"] == *tenant
                && metrics.filter(|metric| metric.name == "yagura_detections_total").any(|metric| {
                    let Some(metric::Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
                    assert!(sum.data_points.iter().all(|point| own(&point.attributes)), "{sum:?}");
                    let values = sum.data_points.iter().map(|point| match point.value {
                        Some(number_data_point::Value::AsDouble(value)) => value,
                        _ => panic!("{point:?}"),
                    });
                    values.sum::<f64>() == wanted
                })
        })
    };
    collector.until("the metrics of both", |taken| {
        counts(taken, "platform", 150.0) && counts(taken, "shop", 120.0)
    });
    // Spans of the time without a collector are gone, so once more: what is repeated counts as nothing.
    assert_eq!(post_audit(&Client::plain(daemon.address()), &[], [audit_event("a-0", "shop")]), 200);
    daemon.signal(libc::SIGHUP);
    let span = |taken: &Taken, name: &str, attribute: &str, value: &Value| {
        taken.spans.iter().any(|(own, attributes)| own == name && attributes.get(attribute) == Some(value))
    };
    collector.until("spans of what it did", |taken| {
        span(taken, "sink.send", "tenant", &json!("shop"))
            && span(taken, "k8s_audit.request", "events", &json!(1))
            && span(taken, "rules.reload", "result", &json!("success"))
    });
    let ended = daemon.stop();
    ended.balance();
    assert!(ended.stderr.iter().all(|line| !line.contains("sink.send")), "no log has them");
    let records = collector.records();
    for (tenant, severity, text) in [("platform", 18, "Critical"), ("shop", 10, "Notice")] {
        let journal: Vec<Value> =
            journaled(&path).into_iter().filter(|detection| detection["tenant"] == *tenant).collect();
        let mut known = HashSet::new();
        let came: Vec<&Record> = records
            .iter()
            .filter(|record| record.resource["yagura.tenant"] == *tenant)
            .filter(|record| known.insert(record.attributes["log.record.uid"].to_string()))
            .collect();
        assert_eq!(came.len(), journal.len());
        for (record, detection) in came.iter().zip(&journal) {
            assert_eq!(record.attributes["log.record.uid"], detection["uuid"], "in order");
            assert_eq!(record.attributes["security_rule.name"], detection["rule"]);
            assert_eq!(record.attributes["yagura.tags"], detection["tags"]);
            assert_eq!((record.log.severity_number, &*record.log.severity_text), (severity, text));
            assert_eq!(
                record.log.time_unix_nano,
                detection["output_fields"]["evt.time"].as_u64().expect("ns")
            );
            assert!(record.log.observed_time_unix_nano > 0);
            let body = record.log.body.as_ref().and_then(|body| body.value.as_ref());
            assert_eq!(
                body,
                Some(&any_value::Value::StringValue(detection["output"].as_str().expect("text").into()))
            );
            assert_eq!(record.resource["service.name"], "yagura");
            assert_eq!(
                (&record.resource["k8s.node.name"], &record.resource["k8s.cluster.name"]),
                (&json!("n1"), &json!("c1"))
            );
            assert_eq!(record.resource["host.name"], detection["hostname"]);
            if tenant == "platform" {
                let fields = &detection["output_fields"];
                assert_eq!(record.attributes["process.pid"], fields["proc.pid"]);
                assert_eq!(record.attributes["file.path"], fields["fd.name"]);
                assert_eq!(record.attributes["process.executable.name"], fields["proc.name"]);
                assert!(!record.attributes.contains_key("container.id"), "the host is no container");
                assert_eq!(record.attributes["yagura.field.container.id"], "host");
            } else {
                assert_eq!(record.attributes["k8s.namespace.name"], "shop");
            }
        }
    }
}

#[test]
fn what_a_collector_does_not_keep_is_counted_and_blocks_nothing() {
    if !kernel_tests_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let address = free_address();
    let has = |records: &[Record], name: &str| {
        records.iter().any(|record| record.attributes.get("file.path").is_some_and(|path| *path == *name))
    };
    // One that it never takes; one request, of however many, of which it keeps all but one.
    let collector = Collector::start(address, move |records| {
        if has(records, "/yagura-otlppart-7") {
            return Reply::Answer(400, "bad".into());
        }
        if has(records, "/yagura-otlppart-500") {
            let partial_success =
                Some(ExportLogsPartialSuccess { rejected_log_records: 1, error_message: "one".into() });
            return answer(&ExportLogsServiceResponse { partial_success });
        }
        fine(records)
    });
    let daemon = Daemon::start(&Options {
        rules: &rules("part"),
        config: &config(address, &path, ""),
        ..Options::default()
    });
    (0..40).for_each(|number| open("otlppart", number));
    collector.until("all but the one", |taken| taken.records.len() == 39);
    daemon.until("it is set aside", |daemon| of(daemon, "rejected_total", "platform") == 1.0);
    (500..510).for_each(|number| open("otlppart", number));
    collector.until("the others", |taken| taken.records.len() == 49);
    daemon.until("the one that it did not keep is counted", |daemon| {
        of(daemon, "rejected_total", "platform") == 2.0 && of(daemon, "sent_total", "platform") == 48.0
    });
    daemon.log(|line| line.contains("has not kept some detections") && line.contains("1 were not kept: one"));
    daemon.stop().balance();
    let names: Vec<String> = collector
        .records()
        .iter()
        .map(|record| record.attributes["file.path"].as_str().expect("text").to_owned())
        .collect();
    let expected: Vec<String> = (0..40)
        .chain(500..510)
        .filter(|number| *number != 7)
        .map(|number| format!("/yagura-otlppart-{number}"))
        .collect();
    assert_eq!(names, expected, "each once, in order");
}
