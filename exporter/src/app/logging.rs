//! Logs: to stderr, as text or as JSON. Detections never go there, logs never go to stdout. And spans, to whom asks for them.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{Config, Format, LogConfig, SinkKind},
    sinks::otlp::{Traces, TracesError},
    spans::TARGET,
};

/// `RUST_LOG` wins over the configured level. Call once. Spans are sent for as long as what is returned lives; that they
/// cannot be is said, and prevents nothing.
pub fn init(config: &Config) -> Option<Traces> {
    let LogConfig { level, format } = &config.log;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let layer = match format {
        Format::Json => fmt::layer().with_writer(io::stderr).json().boxed(),
        Format::Text => fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).boxed(),
    };
    let (traces, tracer, error) = match traced(config) {
        Some(Ok((traces, tracer))) => (Some(traces), Some(tracer), None),
        Some(Err(error)) => (None, None, Some(error)),
        None => (None, None, None),
    };
    let spans = tracer.map(|tracer| {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false);
        layer.with_filter(filter_fn(|metadata| metadata.target() == TARGET))
    });
    let not_spans = filter_fn(|metadata| metadata.target() != TARGET);
    tracing_subscriber::registry().with(layer.with_filter(filter.and(not_spans))).with(spans).init();
    if let Some(error) = error {
        tracing::error!(%error, "no spans are sent");
    }
    traces
}

fn traced(config: &Config) -> Option<Result<(Traces, opentelemetry_sdk::trace::SdkTracer), TracesError>> {
    config.sinks.iter().find_map(|sink| match &sink.kind {
        SinkKind::Otlp(settings) => {
            let ratio = settings.sample_ratio?;
            Some(Traces::start(settings.clone(), ratio, &super::identity(config)))
        }
        _ => None,
    })
}
