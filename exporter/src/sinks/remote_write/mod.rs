//! Prometheus remote-write: the registry's samples, each tenant's to that tenant's receiver.
//!
//! ```text
//! registry ─ gather (every interval) ─ lane of (sink, tenant): series that ended get a staleness marker
//!                                        └ encode (1.0 or 2.0, snappy) ─ spool (SQLite) ─ send ─ receiver
//! ```
//!
//! It sees samples and no detections, so it is no lane of [`crate::delivery`]; it is as strict: a request is kept until the
//! receiver has answered for it, requests of a tenant go in order, a repetition is the same bytes, and one tenant's broken
//! receiver delays nobody else. What cannot be kept is dropped, the oldest first, and every sample is counted.

mod disk;
mod encode;
mod engine;
mod judge;
mod lane;
mod queue;
mod route;
mod sender;
mod series;
mod spool;
mod stale;
#[cfg(test)]
mod tests;
mod try_out;
mod v1;
mod v2;

use std::{collections::BTreeMap, time::Duration};

pub use encode::Version;
pub use engine::{RemoteWrite, Setup, SinkSetup};
pub use route::{Tenancy, has_place};
pub use try_out::try_out;

use super::http::Target;

/// Where to, what and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub target: Target,
    pub version: Version,
    pub interval: Duration,
    pub tenancy: Tenancy,
    /// Labels of every series that does not have them itself; an empty value takes a default one away.
    pub external_labels: BTreeMap<String, String>,
    pub bounds: Bounds,
}

/// What is kept of each tenant while its receiver does not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the compressed requests, with what the table needs for them.
    pub max_size: u64,
    pub max_age: Duration,
}

pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { max_size: 64 << 20, max_age: Duration::from_secs(2 * 3600) }
    }
}

/// The labels that a scrape of this daemon would give its series, with those of the configuration.
pub fn external_labels(
    node: &str,
    cluster: &str,
    configured: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let defaults = [("job", "yagura"), ("instance", node), ("cluster", cluster)];
    let mut labels: BTreeMap<String, String> =
        defaults.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    labels.extend(configured.iter().map(|(name, value)| (name.clone(), value.clone())));
    // To Prometheus an empty label is none.
    labels.retain(|_, value| !value.is_empty());
    labels
}
