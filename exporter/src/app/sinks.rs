//! From configured sinks to running ones.

use std::{
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    config::{Config, Format, OutputConfig, SinkConfig, SinkKind},
    delivery::{Delivery, Entry, Feed, Lane, Sent, Setup, Sink},
    detection::{Detection, Formatter, Identity},
    journal::News,
    metrics::{Gather, Ledger, Metrics, SinkMetrics},
    sinks::{
        alertmanager::Alertmanager,
        file::FileSink,
        loki::Loki,
        otlp::{MetricsPush, Otlp, PushSetup},
        remote_write::{self, RemoteWrite, SinkSetup, external_labels, try_out},
        webhook::Webhook,
    },
    tenants::Tenants,
};

/// The file of samples that wait, beside the journal.
const SAMPLES: &str = "remote-write.db";

/// Starts delivery. Before anything is journaled.
pub fn start(config: &Config, tenants: &Tenants, news: Arc<News>, ledger: &Ledger) -> io::Result<Delivery> {
    Delivery::start(Setup {
        lanes: config.sinks.iter().filter_map(|sink| lane(sink, &ledger.sinks)).collect(),
        path: config.journal.path.clone(),
        tenants: tenants.iter().map(|tenant| Arc::clone(&tenant.name)).collect(),
        news,
        metrics: ledger.sinks.clone(),
    })
}

/// Starts remote-write, if there is a sink for it.
pub fn start_remote_write(
    config: &Config,
    identity: &Identity,
    tenants: &Tenants,
    metrics: &Arc<Metrics>,
    ledger: &Ledger,
) -> io::Result<Option<RemoteWrite>> {
    let sinks: Vec<SinkSetup> = config.sinks.iter().filter_map(remote_write).collect();
    if sinks.is_empty() {
        return Ok(None);
    }
    let setup = remote_write::Setup {
        sinks,
        tenants: tenants.iter().map(|tenant| Arc::clone(&tenant.name)).collect(),
        node: identity.node.clone(),
        cluster: identity.cluster.clone(),
        path: config.journal.path.with_file_name(SAMPLES),
        gather: Gather::of(metrics),
        metrics: ledger.sinks.remote_write.clone(),
    };
    RemoteWrite::start(setup).map(Some)
}

/// Starts the sinks that are sent the registry by OTLP. On a runtime.
pub fn start_metrics(
    config: &Config,
    identity: &Identity,
    tenants: &Tenants,
    metrics: &Arc<Metrics>,
) -> Vec<MetricsPush> {
    let wanted = config.sinks.iter().filter_map(|sink| match &sink.kind {
        SinkKind::Otlp(settings) => Some((sink, settings, settings.metrics?)),
        _ => None,
    });
    wanted
        .map(|(sink, settings, interval)| {
            let own = tenants.iter().filter(|tenant| sink.feed.filter.wants_tenant(&tenant.name));
            MetricsPush::start(PushSetup {
                name: sink.name.clone(),
                settings: settings.clone(),
                interval,
                tenants: own.map(|tenant| Arc::clone(&tenant.name)).collect(),
                identity: identity.clone(),
                gather: Gather::of(metrics),
            })
        })
        .collect()
}

fn remote_write(config: &SinkConfig) -> Option<SinkSetup> {
    let SinkConfig { name, feed, kind: SinkKind::RemoteWrite(settings) } = config else { return None };
    Some(SinkSetup { name: name.as_str().into(), settings: settings.clone(), feed: feed.clone() })
}

/// Sends one made-up sample to a sink that takes samples, as of the first tenant that it is for. The error is what came
/// back.
pub async fn try_remote_write(config: &Config, sink: &SinkConfig) -> Result<(), String> {
    let SinkConfig { feed, kind: SinkKind::RemoteWrite(settings), .. } = sink else {
        return Err("it takes no samples".into());
    };
    let Identity { node, cluster, .. } = super::identity(config);
    let external = external_labels(&node, &cluster, &settings.external_labels);
    try_out(settings, &whose(config, feed)?, external).await
}

/// Sends one made-up detection to a sink that takes detections, as of the first tenant that it is for. The error is what
/// came back.
pub async fn try_lane(config: &Config, sink: &SinkConfig) -> Result<(), String> {
    let Some(lane) = lane(sink, &SinkMetrics::default()) else {
        return Err("it takes no detections".into());
    };
    let tenant = whose(config, &sink.feed)?;
    let entry = synthetic(config, &tenant);
    let Sent { refusal, .. } = lane.sink.send(&tenant, std::slice::from_ref(&entry)).await;
    refusal.map_or(Ok(()), |refusal| Err(refusal.to_string()))
}

/// The first tenant of this node that a sink is for.
fn whose(config: &Config, feed: &Feed) -> Result<Arc<str>, String> {
    let tenants = Tenants::new(&config.tenants, &super::identity(config).node, config.rate_limit);
    let wanted = tenants.iter().find(|tenant| feed.filter.wants_tenant(&tenant.name));
    let none = || "it is for none of the tenants of this node".to_owned();
    wanted.map(|tenant| Arc::clone(&tenant.name)).ok_or_else(none)
}

/// As the journal would have it.
fn synthetic(config: &Config, tenant: &Arc<str>) -> Entry {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let detection = Detection { tenant: Arc::clone(tenant), ..Detection::of_test(now) };
    let whole = OutputConfig { format: Format::Json, ..Config::default().output };
    let mut line = Vec::new();
    Formatter::new(super::identity(config), whole).json(&detection, &mut line);
    Entry {
        seq: 1,
        time_ns: i64::try_from(now).unwrap_or(i64::MAX),
        written_ns: i64::try_from(now).unwrap_or(i64::MAX),
        namespace: None,
        source: detection.source.into(),
        priority: detection.priority,
        rule: detection.rule.to_string(),
        tags: detection.tags.to_vec(),
        line: String::from_utf8_lossy(&line).into_owned(),
    }
}

/// A sink of detections that is ready to be used.
fn lane(config: &SinkConfig, metrics: &SinkMetrics) -> Option<Lane> {
    let SinkConfig { name, feed, kind } = config;
    let sink: Arc<dyn Sink> = match kind {
        SinkKind::Webhook(settings) => Arc::new(Webhook::new(settings.clone())),
        SinkKind::Loki(settings) => Arc::new(Loki::new(settings.clone())),
        SinkKind::Otlp(settings) => Arc::new(Otlp::new(settings.clone())),
        SinkKind::File(settings) => Arc::new(FileSink::new(settings.clone())),
        SinkKind::Alertmanager(settings) => {
            Arc::new(Alertmanager::new(settings.clone(), metrics.alertmanager(name)))
        }
        SinkKind::RemoteWrite(_) => return None,
    };
    Some(Lane { name: name.as_str().into(), sink, feed: Arc::new(feed.clone()) })
}
