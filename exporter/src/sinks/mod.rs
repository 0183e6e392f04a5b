//! Sinks: where detections go. A sink sees only detections, never events or rules.

pub mod alertmanager;
pub mod file;
pub mod http;
pub mod queue;
#[cfg(test)]
pub(crate) mod receiver;
pub mod stdout;
pub mod tenant_ids;
pub mod webhook;
