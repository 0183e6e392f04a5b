//! The webhook: detections as JSON by HTTP POST, as Falco's `http_output` does it, one a request; or several at once.

mod encode;
#[cfg(test)]
mod tests;
mod transport;

pub use encode::Form;
pub use transport::Webhook;

use super::http::Target;

/// Where to and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub target: Target,
    pub form: Form,
}
