//! Detections by HTTP POST: one JSON object a request, which is the body of Falco's `http_output`, so that
//! falcosidekick and its outputs work unchanged; or a JSON array of several.

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, time::Duration};

use reqwest::{
    Certificate, Client, Identity, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};

use super::{Entry, SendError, Sent, Sink};

/// How much of an answer is shown.
const MAX_SHOWN: usize = 300;
/// The longest pause that a receiver may ask for.
const MAX_AFTER: Duration = Duration::from_secs(300);

/// Where and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub url: Url,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A file with a bearer token, read anew for each request.
    pub token_file: Option<PathBuf>,
    /// The authority to trust, instead of the machine's own.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key, in one PEM file.
    pub identity_file: Option<PathBuf>,
    /// Entries in a request; from 2 on they are an array.
    pub batch: usize,
    pub timeout: Duration,
}

/// It cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Pem { path: PathBuf, source: reqwest::Error },
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

#[derive(Debug)]
pub struct Webhook {
    settings: Settings,
    client: Client,
}

impl Webhook {
    pub fn new(settings: Settings) -> Result<Webhook, WebhookError> {
        // Whoever comes second finds the same one there.
        let _there = rustls::crypto::ring::default_provider().install_default();
        let headers: HeaderMap = settings.headers.iter().cloned().collect();
        let mut builder = Client::builder()
            .user_agent(concat!("yagura/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            // What is told goes where the configuration says and nowhere else.
            .redirect(Policy::none());
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| WebhookError::File { path: path.clone(), source })
        };
        if let Some(path) = &settings.ca_file {
            let certificates = Certificate::from_pem_bundle(&read(path)?)
                .map_err(|source| WebhookError::Pem { path: path.clone(), source })?;
            builder = builder.tls_certs_only(certificates);
        }
        if let Some(path) = &settings.identity_file {
            let identity = Identity::from_pem(&read(path)?)
                .map_err(|source| WebhookError::Pem { path: path.clone(), source })?;
            builder = builder.identity(identity);
        }
        Ok(Webhook { client: builder.build()?, settings })
    }

    async fn post(&self, entries: &[Entry]) -> Result<(), SendError> {
        let mut request = self
            .client
            .post(self.settings.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body(entries, self.settings.batch > 1));
        if let Some(path) = &self.settings.token_file {
            let token = std::fs::read_to_string(path).map_err(|error| SendError::Later {
                reason: "file",
                text: format!("{}: {error}", path.display()),
                after: None,
            })?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| SendError::Later {
                reason: "file",
                text: format!("{}: not a token", path.display()),
                after: None,
            })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let answer = request.send().await.map_err(|error| transport(&error))?;
        judge(answer).await
    }
}

impl Sink for Webhook {
    fn most(&self) -> usize {
        self.settings.batch.max(1)
    }

    fn send<'a>(&'a self, _tenant: &'a str, entries: &'a [Entry]) -> Sent<'a> {
        Box::pin(self.post(entries))
    }
}

fn body(entries: &[Entry], array: bool) -> String {
    let lines: Vec<&str> = entries.iter().map(|entry| entry.line.as_str()).collect();
    if array { format!("[{}]", lines.join(",")) } else { lines.concat() }
}

fn transport(error: &reqwest::Error) -> SendError {
    let reason = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "connection"
    };
    // The cause says more than the error itself.
    let text = crate::kernel::chain(error);
    SendError::Later { reason, text, after: None }
}

/// What an answer means. Only what says that this very request is wrong rejects it: a receiver that is set up wrongly
/// (401, 404, …) may be mended.
async fn judge(answer: Response) -> Result<(), SendError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds).min(MAX_AFTER));
    let text = answer.text().await.unwrap_or_default();
    let end = text.floor_char_boundary(MAX_SHOWN);
    let text = format!("{status}: {}", text.get(..end).unwrap_or_default().escape_debug());
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(SendError::Rejected { text })
        }
        StatusCode::TOO_MANY_REQUESTS => Err(SendError::Later { reason: "too_many", text, after }),
        _ if status.is_server_error() => Err(SendError::Later { reason: "server_error", text, after }),
        _ => Err(SendError::Later { reason: "refused", text, after }),
    }
}
