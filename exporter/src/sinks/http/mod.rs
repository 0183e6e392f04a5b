//! Requests to receivers, as every sink that speaks HTTP makes them: who we are to them, whom we trust, and what an
//! answer means for what was sent.

mod answer;
mod client;

use std::{path::PathBuf, time::Duration};

pub use answer::Answer;
pub use client::HttpClient;

use crate::secret::Secret;

/// Where to and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub url: reqwest::Url,
    pub headers: Vec<(String, Secret)>,
    pub authorization: Option<Authorization>,
    /// PEM file of who signs the receiver's certificate; `None`: whom the machine trusts.
    pub ca: Option<PathBuf>,
    /// PEM files of the certificate and the key that we show.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// From the first byte to the end of the answer.
    pub timeout: Duration,
}

/// The header of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    Bearer(Secret),
    Basic { username: String, password: Secret },
}

#[cfg(test)]
impl Target {
    /// To somebody who asks for nothing. Waits longer than a busy machine takes: what was taken but not heard of in time
    /// comes again.
    pub fn to(url: reqwest::Url) -> Target {
        Target {
            url,
            headers: Vec::new(),
            authorization: None,
            ca: None,
            identity: None,
            timeout: Duration::from_secs(60),
        }
    }
}
