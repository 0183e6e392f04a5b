//! The webhook: detections as JSON by HTTP POST, as Falco's `http_output` does it, one a request; or several at once.

mod encode;
mod secret;
#[cfg(test)]
mod tests;
mod transport;

use std::{path::PathBuf, time::Duration};

pub use encode::Form;
pub use secret::{Secret, SecretError};
pub use transport::Webhook;

/// Where to and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub url: reqwest::Url,
    pub form: Form,
    pub headers: Vec<(String, Secret)>,
    /// Sent as `Authorization: Bearer`.
    pub bearer_token: Option<Secret>,
    /// PEM file of who signs the receiver's certificate; `None`: whom the machine trusts.
    pub ca: Option<PathBuf>,
    /// PEM files of the certificate and the key that we show.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// From the first byte to the end of the answer.
    pub timeout: Duration,
}
