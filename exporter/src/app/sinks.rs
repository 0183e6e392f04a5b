//! From configured sinks to running ones.

use std::{io, sync::Arc};

use crate::{
    config::{Config, SinkConfig, SinkKind},
    delivery::{Delivery, Lane, Setup, Sink},
    journal::News,
    metrics::{Ledger, SinkMetrics},
    sinks::{alertmanager::Alertmanager, file::FileSink, webhook::Webhook},
    tenants::Tenants,
};

/// Starts delivery. Before anything is journaled.
pub fn start(config: &Config, tenants: &Tenants, news: Arc<News>, ledger: &Ledger) -> io::Result<Delivery> {
    Delivery::start(Setup {
        lanes: config.sinks.iter().map(|sink| lane(sink, &ledger.sinks)).collect(),
        path: config.journal.path.clone(),
        tenants: tenants.iter().map(|tenant| Arc::clone(&tenant.name)).collect(),
        news,
        metrics: ledger.sinks.clone(),
    })
}

/// A sink that is ready to be used.
pub fn lane(config: &SinkConfig, metrics: &SinkMetrics) -> Lane {
    let SinkConfig { name, feed, kind } = config;
    let sink: Arc<dyn Sink> = match kind {
        SinkKind::Webhook(settings) => Arc::new(Webhook::new(settings.clone())),
        SinkKind::File(settings) => Arc::new(FileSink::new(settings.clone())),
        SinkKind::Alertmanager(settings) => {
            Arc::new(Alertmanager::new(settings.clone(), metrics.alertmanager(name)))
        }
    };
    Lane { name: name.as_str().into(), sink, feed: Arc::new(feed.clone()) }
}
