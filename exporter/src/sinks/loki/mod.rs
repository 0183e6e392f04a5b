//! Loki, and VictoriaLogs by the same protocol: snappy-compressed `logproto.PushRequest` by HTTP POST, one tenant a
//! request.
//!
//! Streams have few labels, and what has many values is structured metadata. The line is the journal's and the time is
//! the event's, so that what is sent again is the same and Loki keeps it once.

mod answer;
mod dialect;
mod encode;
mod labels;
mod limits;
mod messages;
mod metadata;
mod search;
#[cfg(test)]
mod tests;
mod transport;

pub use dialect::Dialect;
pub use limits::Limits;
pub use transport::Loki;

use super::{http::Target, tenant_ids::TenantIds};

/// Where to and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub target: Target,
    pub dialect: Dialect,
    /// What the receiver calls a tenant; who has no name is sent without one.
    pub ids: TenantIds,
    pub limits: Limits,
}
