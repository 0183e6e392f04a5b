//! OTLP: detections as log records, by option the registry as metrics, to anything that takes OpenTelemetry's protocol by
//! HTTP.
//!
//! The messages are those of `opentelemetry-proto`, the crate that `opentelemetry-otlp` encodes with. Its exporters are not
//! used: they hide what a receiver answered (status, `Retry-After`, how many records it kept), and the journal's cursor may
//! move only by that.

mod answer;
mod attributes;
mod logs;
mod metrics;
mod push;
mod resource;
#[cfg(test)]
mod tests;
mod transport;

use std::time::Duration;

use reqwest::header::HeaderName;

use super::{http::Target, tenant_ids::TenantIds};

pub use push::{Gather, MetricsPush, PushSetup};
pub use transport::Otlp;

/// Where to and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The endpoint, to whose path `v1/logs` and `v1/metrics` are added.
    pub target: Target,
    pub gzip: bool,
    /// The header that says whose it is.
    pub tenant_header: Option<(HeaderName, TenantIds)>,
    /// How often the registry is sent; `None`: not at all.
    pub metrics: Option<Duration>,
}
