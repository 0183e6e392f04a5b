//! Sinks: where detections go. A sink sees only detections, never events or rules.

pub mod queue;
pub mod stdout;
