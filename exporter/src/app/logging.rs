//! Logs: to stderr, as text or as JSON. Detections never go there, logs never go to stdout.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Format, LogConfig};

/// `RUST_LOG` wins over the configured level. Call once.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&config.level));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.format {
        Format::Json => builder.json().init(),
        Format::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
    }
}
