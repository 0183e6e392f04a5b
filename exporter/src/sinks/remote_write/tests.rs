use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounterVec, Opts, Registry, proto::MetricFamily};
use prost::Message as _;
use reqwest::header::HeaderName;

use super::{
    encode::Frame,
    lane::{Lane, Parts},
    queue::First,
    series::{About, Kind, Series, by_tenant},
    spool::Spool,
    stale::STALE,
    *,
};
use crate::{
    backoff::Pace,
    delivery::Feed,
    metrics::{WriteBalance, WriteMetrics},
    sinks::{
        receiver::{Act, Receiver, Request},
        tenant_ids::TenantIds,
    },
};

/// Labels, value and time of a sample.
type Sample = (BTreeMap<String, String>, f64, i64);

fn settings(url: reqwest::Url) -> Settings {
    Settings {
        // Longer than a busy machine takes: what was taken is not to come again.
        target: Target { timeout: Duration::from_secs(30), ..Target::to(url) },
        version: Version::One,
        interval: Duration::from_millis(20),
        tenancy: Tenancy::Plain,
        external_labels: BTreeMap::new(),
        bounds: Bounds::default(),
    }
}

fn ids(named: &[(&str, &str)], otherwise: Option<&str>) -> TenantIds {
    let named = named.iter().map(|(tenant, id)| ((*tenant).to_owned(), (*id).to_owned())).collect();
    TenantIds { named, otherwise: otherwise.map(str::to_owned) }
}

fn unpack(body: &[u8]) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(body).expect("snappy's block format")
}

fn samples(body: &[u8]) -> Vec<Sample> {
    let request = v1::WriteRequest::decode(&*unpack(body)).expect("a WriteRequest");
    let one = |series: v1::TimeSeries| {
        let labels: Vec<_> = series.labels.into_iter().map(|l| (l.name, l.value)).collect();
        assert!(labels.is_sorted(), "{labels:?}");
        let [sample] = series.samples[..] else { panic!("one sample expected: {:?}", series.samples) };
        (labels.into_iter().collect(), sample.value, sample.timestamp)
    };
    request.timeseries.into_iter().map(one).collect()
}

/// Samples of a request that a receiver has recorded; of a check none.
fn samples_of(request: &Request) -> Vec<Sample> {
    if request.head.starts_with("POST") { samples(&request.bytes) } else { Vec::new() }
}

fn named(sample: &Sample, name: &str) -> bool {
    sample.0.get("__name__").is_some_and(|own| own == name)
}

/// A registry with something of each kind.
fn registry() -> (Registry, IntCounterVec) {
    let registry = Registry::new();
    let hits = IntCounterVec::new(Opts::new("hits_total", "Hits."), &["tenant", "namespace"]).unwrap();
    hits.with_label_values(&["shop", "a"]).inc_by(3);
    hits.with_label_values(&["platform", ""]).inc_by(5);
    let up = Gauge::new("up_ish", "Up.").unwrap();
    up.set(0.5);
    let latency =
        Histogram::with_opts(HistogramOpts::new("latency_seconds", "L.").buckets(vec![0.25, 1.0])).unwrap();
    latency.observe(0.5);
    registry.register(Box::new(hits.clone())).unwrap();
    registry.register(Box::new(up)).unwrap();
    registry.register(Box::new(latency)).unwrap();
    (registry, hits)
}

fn gather(registry: &Registry) -> Gather {
    let registry = registry.clone();
    Gather(Arc::new(move || registry.gather()))
}

/// A running remote-write for the tenants `platform` and `shop`, with a folder of its own.
struct Node {
    folder: tempfile::TempDir,
    metrics: WriteMetrics,
    gather: Gather,
}

impl Node {
    fn new(gather: Gather) -> Node {
        Node { folder: tempfile::tempdir().unwrap(), metrics: WriteMetrics::default(), gather }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("remote-write.db")
    }

    fn start(&self, settings: Settings) -> RemoteWrite {
        let pace = Pace { first: Duration::from_millis(5), longest: Duration::from_millis(20) };
        let feed = Feed { pace, ..Feed::default() };
        RemoteWrite::start(Setup {
            sinks: vec![SinkSetup { name: "rw".into(), settings, feed }],
            tenants: vec!["platform".into(), "shop".into()],
            node: "node-1".into(),
            cluster: String::new(),
            path: self.path(),
            gather: self.gather.clone(),
            metrics: self.metrics.clone(),
        })
        .unwrap()
    }

    /// The next run of the daemon, with the same folder.
    fn restart(self) -> Node {
        Node { metrics: WriteMetrics::default(), ..self }
    }

    /// Its equation holds.
    fn balance(&self, tenant: &str) -> WriteBalance {
        let balance = self.metrics.balances().into_iter().find(|lane| lane.tenant == tenant).unwrap();
        let WriteBalance { resumed, gathered, sent, rejected, dropped, pending, .. } = balance;
        assert_eq!(resumed + gathered, sent + rejected + dropped + pending, "{balance:?}");
        balance
    }

    async fn until(&self, what: &str, holds: impl Fn(&Node) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(Instant::now() < end, "never: {what}: {:?}", self.metrics.balances());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn finish(remote_write: RemoteWrite) {
    assert!(remote_write.finish(Instant::now() + Duration::from_secs(20)).await);
}

#[test]
fn families_become_the_series_of_a_scrape() {
    let (registry, _) = registry();
    let families: Vec<MetricFamily> = registry.gather();
    let tenants = by_tenant(&families, |tenant| tenant != "nobody");
    let text = |series: &Series| {
        let labels = series.labels.iter().map(|(name, value)| format!("{name}={value}"));
        format!("{} {}", labels.collect::<Vec<_>>().join(","), series.value)
    };
    let of = |tenant: &str| tenants[tenant].iter().map(text).collect::<BTreeSet<_>>();
    assert_eq!(of("shop"), BTreeSet::from(["__name__=hits_total,namespace=a,tenant=shop 3".to_owned()]));
    // What is of no tenant is the platform's; an empty label is none.
    let expected = [
        "__name__=hits_total,tenant=platform 5",
        "__name__=up_ish 0.5",
        "__name__=latency_seconds_bucket,le=0.25 0",
        "__name__=latency_seconds_bucket,le=1 1",
        "__name__=latency_seconds_bucket,le=+Inf 1",
        "__name__=latency_seconds_sum 0.5",
        "__name__=latency_seconds_count 1",
    ];
    assert_eq!(of("platform"), expected.map(str::to_owned).into());
    assert!(!by_tenant(&families, |tenant| tenant == "shop").contains_key("platform"));
}

#[test]
fn a_summary_becomes_its_quantiles_sum_and_count() {
    use prometheus::proto::{Metric, MetricType, Quantile, Summary};
    let mut quantile = Quantile::default();
    quantile.set_quantile(0.99);
    quantile.set_value(2.5);
    let mut summary = Summary::default();
    summary.set_quantile(vec![quantile]);
    summary.set_sample_sum(7.5);
    summary.set_sample_count(4);
    let mut metric = Metric::default();
    metric.set_summary(summary);
    let mut family = MetricFamily::default();
    family.set_name("s".into());
    family.set_field_type(MetricType::SUMMARY);
    family.set_metric(vec![metric]);
    let series = by_tenant(&[family], |_| true).remove("platform").unwrap();
    let found: Vec<(String, f64)> =
        series.iter().map(|one| (format!("{:?}", one.labels), one.value)).collect();
    let expected = [
        (r#"[("__name__", "s"), ("quantile", "0.99")]"#, 2.5),
        (r#"[("__name__", "s_sum")]"#, 7.5),
        (r#"[("__name__", "s_count")]"#, 4.0),
    ];
    assert_eq!(found, expected.map(|(labels, value)| (labels.to_owned(), value)));
}

fn one_series(labels: &[(&str, &str)], value: f64) -> Series {
    let about = About { name: "hits_total".into(), kind: Kind::Counter, help: "Hits.".into() };
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Series { labels, value, about: Arc::new(about) }
}

#[test]
fn a_request_of_1_0_is_this() {
    let external = BTreeMap::from([("job".to_owned(), "yagura".to_owned()), ("zone".into(), "z".into())]);
    let series = [one_series(&[("__name__", "hits_total"), ("zone", "own")], 3.0)];
    for with_metadata in [true, false] {
        let frame = Frame { version: Version::One, time_ms: 1234, external: &external, with_metadata };
        let mut expected = Vec::new();
        // By hand, as the protocol has it: length-delimited fields 1 (series) and 3 (metadata).
        let label = |name: &str, value: &str| {
            let inner = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
            field(1, &inner)
        };
        let sample = [&[0x09][..], &3.0_f64.to_le_bytes(), &[0x10, 0xd2, 0x09]].concat();
        let timeseries = [
            label("__name__", "hits_total"),
            label("job", "yagura"),
            label("zone", "own"),
            field(2, &sample),
        ];
        expected.extend(field(1, &timeseries.concat()));
        if with_metadata {
            let counter = [&[0x08, 1][..], &field(2, b"hits_total"), &field(4, b"Hits.")].concat();
            expected.extend(field(3, &counter));
        }
        assert_eq!(unpack(&frame.body(&series).unwrap()), expected);
    }
}

/// A length-delimited field, of less than 128 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

#[test]
fn a_request_of_2_0_is_this() {
    let external = BTreeMap::from([("job".to_owned(), "yagura".to_owned())]);
    let series = [
        one_series(&[("__name__", "hits_total"), ("a", "yagura")], 3.0),
        one_series(&[("__name__", "hits_total"), ("a", "b")], 3.0),
    ];
    let frame = Frame { version: Version::Two, time_ms: 1234, external: &external, with_metadata: false };
    let symbols = ["", "__name__", "hits_total", "a", "yagura", "job", "Hits.", "b"];
    let mut expected: Vec<u8> = symbols.iter().flat_map(|text| field(4, text.as_bytes())).collect();
    let sample = [&[0x09][..], &3.0_f64.to_le_bytes(), &[0x10, 0xd2, 0x09]].concat();
    // Type 1, help_ref 6.
    let metadata = field(5, &[0x08, 1, 0x18, 6]);
    for refs in [[1, 2, 3, 4, 5, 4], [1, 2, 3, 7, 5, 4]] {
        expected.extend(field(5, &[field(1, &refs), field(2, &sample), metadata.clone()].concat()));
    }
    assert_eq!(unpack(&frame.body(&series).unwrap()), expected);
}

#[test]
fn a_tenant_has_its_own_way_or_none() {
    let plain = "http://r/api/v1/write";
    let account = "http://r/insert/{tenant_id}/prometheus/api/v1/write";
    let shop = &[("shop", "3:1")][..];
    let org = HeaderName::from_static("x-scope-orgid");
    for (url, tenancy, tenant, expected) in [
        (plain, Tenancy::Plain, "ml", Some((plain, "", ""))),
        (
            account,
            Tenancy::Path(ids(shop, None)),
            "shop",
            Some(("http://r/insert/3:1/prometheus/api/v1/write", "", "")),
        ),
        (account, Tenancy::Path(ids(shop, None)), "ml", None),
        (
            account,
            Tenancy::Path(ids(shop, Some("7"))),
            "ml",
            Some(("http://r/insert/7/prometheus/api/v1/write", "", "")),
        ),
        // A name made from the tenant's may be none.
        (account, Tenancy::Path(ids(&[], Some("{tenant}"))), "ml", None),
        (account, Tenancy::Path(ids(&[], Some("{tenant}"))), "..", None),
        (
            plain,
            Tenancy::Labels(ids(shop, None)),
            "shop",
            Some((plain, "", "vm_account_id=3 vm_project_id=1")),
        ),
        (
            plain,
            Tenancy::Labels(ids(shop, Some("7"))),
            "ml",
            Some((plain, "", "vm_account_id=7 vm_project_id=0")),
        ),
        (plain, Tenancy::Labels(ids(shop, None)), "ml", None),
        (
            plain,
            Tenancy::Header(org.clone(), ids(&[], Some("team-{tenant}"))),
            "ml",
            Some((plain, "team-ml", "")),
        ),
        (plain, Tenancy::Header(org.clone(), ids(&[], Some("a|b"))), "ml", None),
    ] {
        let settings = Settings { tenancy, ..settings(url.parse().unwrap()) };
        let route = settings.route(tenant).map(|route| {
            let labels = route.labels.iter().map(|(name, value)| format!("{name}={value}"));
            let header = route.headers.get(&org).map_or("", |value| value.to_str().unwrap());
            (route.url.to_string(), header.to_owned(), labels.collect::<Vec<_>>().join(" "))
        });
        let expected = expected.map(|(url, header, labels)| (url.into(), header.into(), labels.into()));
        assert_eq!(route, expected, "{:?} {tenant}", settings.tenancy);
    }
}

#[tokio::test]
async fn values_come_with_the_labels_of_a_scrape_and_end_with_markers() {
    let receiver = Receiver::start().await;
    let (registry, _) = registry();
    let node = Node::new(gather(&registry));
    let remote_write = node.start(settings(receiver.url()));
    receiver.until(|taken| taken.iter().filter(|request| request.head.starts_with("POST")).count() > 6).await;
    finish(remote_write).await;
    let taken = receiver.taken();
    let post = taken.iter().find(|request| request.head.starts_with("POST")).unwrap();
    let head = post.head.to_ascii_lowercase();
    for line in [
        "content-encoding: snappy\r\n",
        "content-type: application/x-protobuf\r\n",
        "x-prometheus-remote-write-version: 0.1.0\r\n",
        "user-agent: yagura/",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    for tenant in ["platform", "shop"] {
        let hits: Vec<Sample> = (taken.iter().flat_map(samples_of))
            .filter(|sample| named(sample, "hits_total") && sample.0["tenant"] == tenant)
            .collect();
        let (labels, value, _) = hits.first().unwrap();
        assert_eq!(*value, if tenant == "shop" { 3.0 } else { 5.0 });
        assert_eq!((&*labels["job"], &*labels["instance"]), ("yagura", "node-1"));
        assert!(!labels.contains_key("cluster"), "{labels:?}");
        assert!(hits.is_sorted_by(|a, b| a.2 < b.2), "{hits:?}");
        let stale = hits.iter().filter(|(_, value, _)| value.to_bits() == STALE.to_bits()).count();
        assert_eq!(stale, 1);
        assert_eq!(hits.last().unwrap().1.to_bits(), STALE.to_bits());
        let balance = node.balance(tenant);
        assert_eq!((balance.pending, balance.rejected, balance.dropped), (0, 0, 0));
        assert_eq!(balance.gathered, balance.sent);
    }
    // What the families are is said once, at the start.
    let described = taken.iter().filter(|request| {
        request.head.starts_with("POST")
            && !v1::WriteRequest::decode(&*unpack(&request.bytes)).unwrap().metadata.is_empty()
    });
    assert_eq!(described.count(), 2, "once for each tenant");
}

#[tokio::test]
async fn a_series_that_ends_gets_one_marker() {
    let receiver = Receiver::start().await;
    let (registry, hits) = registry();
    let node = Node::new(gather(&registry));
    let remote_write = node.start(settings(receiver.url()));
    let of_shop = |request: &Request| {
        samples_of(request)
            .into_iter()
            .filter(|s| s.0.get("tenant").is_some_and(|t| t == "shop"))
            .collect::<Vec<_>>()
    };
    receiver.until(|taken| taken.iter().any(|request| !of_shop(request).is_empty())).await;
    hits.remove_label_values(&["shop", "a"]).unwrap();
    let ended = |taken: &[Request]| {
        taken.iter().flat_map(of_shop).filter(|sample| sample.1.to_bits() == STALE.to_bits()).count()
    };
    receiver.until(|taken| ended(taken) > 0).await;
    finish(remote_write).await;
    assert_eq!(ended(&receiver.taken()), 1);
}

#[tokio::test]
async fn what_a_receiver_missed_comes_in_order_with_its_times_also_after_a_restart() {
    let receiver = Receiver::start().await;
    let (address, url) = (receiver.address, receiver.url());
    drop(receiver);
    let count = Arc::new(Mutex::new(0.0));
    let gather = {
        let registry = Registry::new();
        let gauge = Gauge::new("count", "c").unwrap();
        registry.register(Box::new(gauge.clone())).unwrap();
        let count = Arc::clone(&count);
        Gather(Arc::new(move || {
            let mut count = count.lock().unwrap();
            *count += 1.0;
            gauge.set(*count);
            registry.gather()
        }))
    };
    let node = Node::new(gather);
    let remote_write = node.start(settings(url.clone()));
    node.until("it waits", |node| node.balance("platform").pending >= 10).await;
    assert!(node.metrics.balances().iter().all(|lane| lane.sent == 0));
    finish(remote_write).await;
    let left = node.balance("platform");
    assert_eq!((left.pending, left.dropped), (left.gathered, 0));
    let node = node.restart();
    let receiver = Receiver::start_at(address).await;
    let remote_write = node.start(settings(url));
    node.until("all is sent", |node| node.balance("platform").sent > left.pending + 5).await;
    finish(remote_write).await;
    let balance = node.balance("platform");
    assert_eq!((balance.resumed, balance.pending, balance.dropped), (left.pending, 0, 0));
    let taken: Vec<Sample> = receiver.taken().iter().flat_map(samples_of).collect();
    assert!(taken.is_sorted_by(|a, b| a.2 < b.2), "{taken:?}");
    let values: Vec<f64> = taken.iter().map(|sample| sample.1).filter(|value| !value.is_nan()).collect();
    let expected: Vec<f64> = (1..=values.len()).map(|n| n as f64).collect();
    assert_eq!(values, expected, "each gathering, none twice");
    assert_eq!(values.last(), Some(&*count.lock().unwrap()));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(node.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_may_work_later_comes_again_and_what_never_will_is_passed_over() {
    let receiver = Receiver::start().await;
    receiver.judge(|request| Act::Answer(if request.head.starts_with("HEAD") { 405 } else { 200 }, ""));
    let (registry, _) = registry();
    let node = Node::new(gather(&registry));
    // One gathering at the start, and the last one.
    let remote_write = {
        let mut settings = settings(receiver.url());
        settings.interval = Duration::from_secs(3600);
        settings.tenancy = Tenancy::Header(HeaderName::from_static("x-t"), ids(&[], Some("{tenant}")));
        receiver.judge(|request| {
            static SEEN: Mutex<u32> = Mutex::new(0);
            if !request.head.contains("x-t: platform") || request.head.starts_with("HEAD") {
                return Act::Answer(200, "");
            }
            let mut seen = SEEN.lock().unwrap();
            *seen += 1;
            match *seen {
                1 => Act::Answer(503, ""),
                2 => Act::Reset,
                3 => Act::Answer(429, "retry-after: 0\r\n"),
                4 => Act::Answer(400, ""),
                _ => Act::Answer(200, ""),
            }
        });
        node.start(settings)
    };
    node.until("it is refused", |node| node.metrics.balances().iter().any(|lane| lane.rejected > 0)).await;
    finish(remote_write).await;
    let posts: Vec<Request> = (receiver.all().into_iter())
        .filter(|request| request.head.starts_with("POST") && request.head.contains("x-t: platform"))
        .collect();
    assert!(posts[..4].iter().all(|post| post.bytes == posts[0].bytes), "the same bytes");
    assert_eq!(posts.len(), 6, "and the last gathering, and the markers");
    let balance = node.balance("platform");
    assert_eq!((balance.rejected, balance.sent, balance.pending), (7, 14, 0));
    assert_eq!((node.balance("shop").sent, node.balance("shop").rejected), (3, 0));
}

#[tokio::test]
async fn a_tenant_whose_receiver_hangs_delays_nobody_else() {
    let receiver = Receiver::start().await;
    receiver.judge(
        |request| {
            if request.head.contains("/insert/3:1/") { Act::Hang } else { Act::Answer(200, "") }
        },
    );
    let (registry, _) = registry();
    let node = Node::new(gather(&registry));
    let url = format!("http://{}/insert/{{tenant_id}}/prometheus/api/v1/write", receiver.address);
    let tenancy = Tenancy::Path(ids(&[("shop", "3:1"), ("platform", "0")], None));
    let remote_write = node.start(Settings { tenancy, ..settings(url.parse().unwrap()) });
    node.until("the other's are sent", |node| {
        node.metrics.balances().iter().any(|lane| lane.tenant == "platform" && lane.sent > 70)
    })
    .await;
    assert_eq!(node.balance("shop").sent, 0);
    // It ends by the deadline all the same, and the rest waits.
    assert!(remote_write.finish(Instant::now() + Duration::from_millis(200)).await);
    let balance = node.balance("shop");
    assert_eq!((balance.sent, balance.pending), (0, balance.gathered));
    for request in receiver.taken() {
        let tenants: Vec<Option<String>> =
            samples_of(&request).into_iter().map(|sample| sample.0.get("tenant").cloned()).collect();
        assert!(!tenants.contains(&Some("shop".into())), "{}", request.head);
        assert!(request.head.contains(" /insert/0/"), "{}", request.head);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_say_that_2_0_was_written_is_a_failure() {
    let receiver = Receiver::start().await;
    receiver.judge(|_| Act::Answer(204, ""));
    let (registry, _) = registry();
    let node = Node::new(gather(&registry));
    let mut settings = settings(receiver.url());
    settings.version = Version::Two;
    let remote_write = node.start(settings);
    node.until("it fails", |node| {
        let text = format!("{:?}", node.metrics);
        text.contains("down: true")
    })
    .await;
    let balance = node.balance("shop");
    assert_eq!((balance.sent, balance.rejected, balance.dropped), (0, 0, 0));
    assert!(balance.pending > 0);
    let head = receiver.taken().into_iter().find(|request| request.head.starts_with("POST")).unwrap().head;
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("content-type: application/x-protobuf;proto=io.prometheus.write.v2.request\r\n"),
        "{head}"
    );
    assert!(head.contains("x-prometheus-remote-write-version: 2.0.0\r\n"), "{head}");
    receiver.judge(|request| {
        let written = v2::Request::decode(&*unpack(&request.bytes)).unwrap().timeseries.len();
        let lines = format!("x-prometheus-remote-write-samples-written: {written}\r\n");
        Act::Answer(204, Box::leak(lines.into_boxed_str()))
    });
    finish(remote_write).await;
    for tenant in ["platform", "shop"] {
        let balance = node.balance(tenant);
        assert_eq!((balance.sent, balance.pending), (balance.gathered, 0));
    }
}

#[test]
fn an_answer_means_this() {
    use reqwest::{StatusCode, header::HeaderMap};
    let answer = |status: u16, written: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        let value = written.map(reqwest::header::HeaderValue::from_static);
        headers
            .extend(value.map(|v| (HeaderName::from_static("x-prometheus-remote-write-samples-written"), v)));
        crate::sinks::http::Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Vec::new(),
        }
    };
    for (version, status, written, expected) in [
        (Version::One, 204, None, Some((10, 0))),
        (Version::One, 200, Some("3"), Some((10, 0))),
        (Version::One, 400, None, Some((0, 10))),
        (Version::One, 413, None, Some((0, 10))),
        (Version::One, 404, None, None),
        (Version::One, 429, None, None),
        (Version::One, 500, None, None),
        (Version::Two, 204, None, None),
        (Version::Two, 204, Some("x"), None),
        (Version::Two, 204, Some("10"), Some((10, 0))),
        (Version::Two, 204, Some("4"), Some((4, 6))),
        (Version::Two, 204, Some("400"), Some((10, 0))),
        (Version::Two, 400, Some("9"), Some((9, 1))),
        (Version::Two, 413, None, Some((0, 10))),
        (Version::Two, 415, None, None),
        (Version::One, 415, None, Some((0, 10))),
        (Version::Two, 503, Some("9"), None),
    ] {
        let done = judge::judge(version, 10, &answer(status, written)).ok();
        let numbers = done.as_ref().map(|done| (done.sent, done.rejected));
        assert_eq!(numbers, expected, "{version:?} {status} {written:?}");
        assert_eq!(done.is_some_and(|done| done.what.is_some()), expected.is_some_and(|(_, bad)| bad > 0));
    }
}

/// A lane that nobody sends from.
fn lane(path: PathBuf, bounds: Bounds, metrics: &WriteMetrics) -> Lane {
    let mut spool = Spool::new(path, metrics.clone());
    spool.opens();
    lane_with(Arc::new(Mutex::new(spool)), bounds, metrics)
}

fn lane_with(spool: Arc<Mutex<Spool>>, bounds: Bounds, metrics: &WriteMetrics) -> Lane {
    let lane = Lane::new(Parts {
        sink: "rw".into(),
        tenant: "shop".into(),
        route: settings("http://r/".parse().unwrap()).route("shop").unwrap(),
        pace: Pace::default(),
        version: Version::One,
        bounds,
        external: BTreeMap::new(),
        spool,
    });
    metrics.add(Arc::clone(&lane.counters));
    lane.resume();
    lane
}

/// As many series, with values that do not compress.
fn many(count: usize, seed: usize) -> Vec<Series> {
    (0..count)
        .map(|n| one_series(&[("__name__", "m"), ("n", &n.to_string())], ((seed * 7919 + n) as f64).sqrt()))
        .collect()
}

fn balance(metrics: &WriteMetrics) -> WriteBalance {
    let balance = metrics.balances().remove(0);
    let WriteBalance { resumed, gathered, sent, rejected, dropped, pending, .. } = balance;
    assert_eq!(resumed + gathered, sent + rejected + dropped + pending, "{balance:?}");
    balance
}

fn first(lane: &Lane) -> Option<queue::Request> {
    match lane.first() {
        First::Request(request) => Some(request),
        First::Nothing => None,
        First::Unreadable => panic!("it can be read"),
    }
}

#[test]
fn bounds_drop_the_oldest_and_count_it() {
    let folder = tempfile::tempdir().unwrap();
    let now = lane::now_ms();
    for (at, bounds) in [
        Bounds { max_size: 40_000, ..Bounds::default() },
        Bounds { max_age: Duration::from_secs(75), ..Bounds::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let metrics = WriteMetrics::default();
        let lane = lane(folder.path().join(format!("{at}.db")), bounds, &metrics);
        let times: Vec<i64> = (0..30).map(|n| now - 90_000 + n * 3_000).collect();
        for (n, time) in times.iter().enumerate() {
            lane.take(many(200, n), *time);
        }
        let mut left = Vec::new();
        while let Some(request) = first(&lane) {
            left.push(request.time_ms);
            lane.done(request.samples, 0);
        }
        let end = balance(&metrics);
        assert_eq!((end.gathered, end.pending, end.sent), (6000, 0, left.len() as u64 * 200));
        assert!(end.dropped > 0 && !left.is_empty(), "{end:?}");
        assert_eq!(left, times[times.len() - left.len()..]);
    }
}

#[test]
fn a_large_gathering_is_several_requests() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = WriteMetrics::default();
    let lane = lane(folder.path().join("x.db"), Bounds::default(), &metrics);
    lane.take(many(4500, 1), lane::now_ms());
    let mut sizes = Vec::new();
    while let Some(request) = first(&lane) {
        assert_eq!(samples(&request.body).len() as u64, request.samples);
        sizes.push(request.samples);
        lane.done(request.samples, 0);
    }
    assert_eq!(sizes, [2000, 2000, 500]);
}

#[test]
fn times_go_on_though_the_clock_goes_back_and_the_daemon_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let now = lane::now_ms();
    let mut times = Vec::new();
    for clocks in [[now, now - 5_000, now], [now - 60_000, now + 1, now + 10]] {
        let lane = lane(path.clone(), Bounds::default(), &WriteMetrics::default());
        for clock in clocks {
            lane.take(many(1, 1), clock);
            let request = first(&lane).unwrap();
            times.push(request.time_ms - now);
            lane.done(1, 0);
        }
    }
    assert_eq!(times, [0, 1, 2, 3, 4, 10]);
}

#[test]
fn what_is_being_sent_is_not_dropped_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = WriteMetrics::default();
    let bounds = Bounds { max_size: 10_000, ..Bounds::default() };
    let lane = lane(folder.path().join("x.db"), bounds, &metrics);
    let now = lane::now_ms();
    lane.take(many(100, 0), now);
    let request = first(&lane).unwrap();
    (1..50).for_each(|n| lane.take(many(100, n), now + n as i64));
    assert!(balance(&metrics).dropped > 0);
    lane.failed();
    // It is the oldest now, and goes with the next one that comes.
    lane.take(many(100, 51), now + 100);
    assert_ne!(first(&lane).unwrap().time_ms, request.time_ms);
    lane.done(100, 0);
    assert_eq!(balance(&metrics).sent, 100);
}

#[test]
fn without_a_file_memory_keeps_a_little() {
    let metrics = WriteMetrics::default();
    let lane = lane("/proc/none/remote-write.db".into(), Bounds::default(), &metrics);
    let now = lane::now_ms();
    assert_eq!(metrics.spool_failures(), 1);
    for n in 0..200 {
        lane.take(many(2000, n), now + n as i64);
    }
    let kept = balance(&metrics);
    assert!(kept.dropped > 0 && kept.pending > 0, "{kept:?}");
    assert!(lane.counters.numbers().spooled_bytes <= 2 << 20);
    let request = first(&lane).unwrap();
    assert_eq!(request.samples, 2000);
    lane.done(2000, 0);
    lane.close();
    let end = balance(&metrics);
    assert_eq!((end.sent, end.pending), (2000, 0), "what is in memory ends with the daemon");
}

#[test]
fn what_a_full_disk_does_not_take_waits_in_memory_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let metrics = WriteMetrics::default();
    let mut file = Spool::new(path.clone(), metrics.clone());
    file.opens();
    let spool = Arc::new(Mutex::new(file));
    let limit = |pages| spool.lock().unwrap().with(|disk| disk.limit_pages(pages));
    let lane = lane_with(Arc::clone(&spool), Bounds::default(), &metrics);
    let now = lane::now_ms();
    for n in 0..30_i64 {
        match n {
            5 => limit(1),
            20 => limit(1 << 20),
            _ => Some(()),
        }
        .unwrap();
        lane.take(many(300, n as usize), now + n);
    }
    assert!(metrics.spool_failures() > 0);
    assert_eq!((balance(&metrics).pending, balance(&metrics).dropped), (9000, 0));
    for n in 0..10 {
        assert_eq!(first(&lane).unwrap().time_ms, now + n);
        lane.done(300, 0);
    }
    drop((lane, spool));
    // The rest is on disk, in order.
    let metrics = WriteMetrics::default();
    let lane = self::lane(path, Bounds::default(), &metrics);
    assert_eq!(balance(&metrics).resumed, 6000);
    for n in 10..30 {
        assert_eq!(first(&lane).unwrap().time_ms, now + n);
        lane.done(300, 0);
    }
    assert_eq!(balance(&metrics).sent, 6000);
}

#[test]
fn a_damaged_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let metrics = WriteMetrics::default();
    let lane = lane(path, Bounds::default(), &metrics);
    lane.take(many(5, 1), lane::now_ms());
    lane.close();
    assert_eq!((balance(&metrics).pending, metrics.spool_failures()), (5, 1));
    let names = std::fs::read_dir(folder.path()).unwrap();
    let aside = names.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(".damaged-"));
    assert_eq!(aside.count(), 1);
}

#[tokio::test]
async fn samples_of_those_who_are_no_longer_configured_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remote-write.db");
    let metrics = WriteMetrics::default();
    // Of a sink `rw` and a tenant `shop`.
    lane(path.clone(), Bounds::default(), &metrics).take(many(5, 1), lane::now_ms());
    let mut disk = disk::Disk::open(&path).unwrap();
    assert_eq!(disk.keep_only(&[("rw", "shop"), ("rw", "platform")]).unwrap(), 0);
    assert_eq!(disk.keep_only(&[("other", "shop")]).unwrap(), 5);
    assert_eq!(disk.kept(("rw", "shop")).unwrap(), []);
}

#[tokio::test]
async fn a_trial_sends_one_sample() {
    let receiver = Receiver::start().await;
    let mut settings = settings(receiver.url());
    settings.tenancy = Tenancy::Labels(ids(&[("shop", "3:1")], None));
    let labels = external_labels("node-1", "c", &settings.external_labels);
    assert_eq!(try_out(&settings, "shop", labels.clone()).await, Ok(()));
    let [request] = &receiver.taken()[..] else { panic!("one request") };
    let [(labels_sent, value, _)] = &samples(&request.bytes)[..] else { panic!("one sample") };
    let text: Vec<String> = labels_sent.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        text.join(" "),
        "__name__=yagura_sink_test cluster=c instance=node-1 job=yagura tenant=shop vm_account_id=3 vm_project_id=1"
    );
    assert_eq!(*value, 1.0);
    receiver.next([Act::Answer(400, ""), Act::Answer(503, "")]);
    for _ in 0..2 {
        assert!(try_out(&settings, "shop", labels.clone()).await.unwrap_err().starts_with("the answer is"));
    }
    assert!(try_out(&settings, "ml", labels).await.unwrap_err().contains("no id"));
}

#[test]
fn labels_of_a_scrape_can_be_replaced_and_taken_away() {
    let configured = BTreeMap::from([("job".to_owned(), "j".to_owned()), ("instance".into(), String::new())]);
    let labels = external_labels("n", "c", &configured);
    assert_eq!(labels, BTreeMap::from([("cluster".into(), "c".into()), ("job".into(), "j".into())]));
}
