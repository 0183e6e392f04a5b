//! Measures Yagura: `make bench` runs the binary of this package and its Criterion benchmark, `benches/rules.rs`.
//!
//! What another process does is measured by its own clocks (the loop's, the daemon's CPU clock), never by the
//! length of a sleep; and never from a single run.

pub mod daemon;
pub mod journal;
pub mod latency;
pub mod loops;
pub mod report;
pub mod ruleset;
pub mod stream;
pub mod summary;
