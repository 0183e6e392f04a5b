//! Sinks: where detections go. A sink sees only detections, never events or rules; remote-write
//! sees only the registry's samples.

pub mod alertmanager;
pub mod file;
pub mod http;
pub mod loki;
pub mod otlp;
pub mod queue;
#[cfg(test)]
pub(crate) mod receiver;
pub mod remote_write;
pub mod stdout;
pub mod tenant_ids;
pub mod webhook;
