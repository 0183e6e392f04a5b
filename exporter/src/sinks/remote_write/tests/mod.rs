mod messages;
mod waiting;

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
    metrics::{Gather, WriteBalance, WriteMetrics},
    sinks::{
        receiver::{Act, Receiver, Request},
        tenant_ids::TenantIds,
    },
};

/// Labels, value and time of a sample.
type Sample = (BTreeMap<String, String>, f64, i64);

fn settings(url: reqwest::Url) -> Settings {
    Settings {
        target: Target::to(url),
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
    // Of one who is not configured.
    hits.with_label_values(&["gone", ""]).inc_by(7);
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
    assert!(remote_write.finish(Instant::now() + Duration::from_secs(120)).await);
}

fn one_series(labels: &[(&str, &str)], value: f64) -> Series {
    let about = About { name: "hits_total".into(), kind: Kind::Counter, help: "Hits.".into() };
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Series { labels, value, about: Arc::new(about) }
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
    let named_gone = |sample: &Sample| sample.0.get("tenant").is_some_and(|tenant| tenant == "gone");
    assert!(!taken.iter().flat_map(samples_of).any(|sample| named_gone(&sample)));
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
