//! OTLP: detections as log records, by option the registry as metrics, to anything that takes OpenTelemetry's protocol by
//! HTTP.
//!
//! The messages of these are `opentelemetry-proto`'s, the crate that `opentelemetry-otlp` encodes with. Its exporters hide what
//! a receiver answered (status, `Retry-After`, how many records it kept), and the journal's cursor may move only by that; they
//! send Yagura's own spans.

mod answer;
mod attributes;
mod logs;
mod metrics;
mod push;
mod resource;
#[cfg(test)]
mod tests;
mod traces;
mod transport;

use std::time::Duration;

use reqwest::header::HeaderName;

use super::{http::Target, tenant_ids::TenantIds};

pub use push::{MetricsPush, PushSetup};
pub use traces::{Traces, TracesError};
pub use transport::Otlp;

/// Where to and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The endpoint, to whose path `v1/logs` and `v1/metrics` are added.
    pub target: Target,
    pub gzip: bool,
    /// The header that says whose it is.
    pub tenant_header: Option<(HeaderName, TenantIds)>,
    /// How often the registry is sent; `None`: not at all.
    pub metrics: Option<Duration>,
    /// Which part of Yagura's own traces is sent, from 0 to 1; `None`: nothing.
    pub sample_ratio: Option<f64>,
}
