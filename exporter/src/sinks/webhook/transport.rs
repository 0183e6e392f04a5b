//! Requests and what their answers mean.

use std::{
    error::Error as _,
    fs, io,
    path::Path,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Certificate, Client, Identity, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};

use super::{SecretError, Settings};
use crate::delivery::{Entry, Reason, Refusal, Sending, Sent, Sink};

/// How much of an answer is read, so that its connection can be used again.
const MAX_ANSWER: usize = 64 << 10;
/// How much of it is shown.
const MAX_SHOWN: usize = 200;
/// Longest time to a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The sink.
#[derive(Debug)]
pub struct Webhook {
    settings: Settings,
    /// Made when it is needed; made anew after an answer that new secrets or certificates may change.
    client: Mutex<Option<Client>>,
}

#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
    #[error("'{0}' cannot be a header")]
    Header(String),
    #[error("{0}")]
    Client(String),
}

impl Webhook {
    pub fn new(settings: Settings) -> Webhook {
        Webhook { settings, client: Mutex::new(None) }
    }

    fn client(&self) -> Result<Client, Refusal> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let made = make(&self.settings)
            .map_err(|error| later(Reason::Secret, format!("cannot prepare requests: {error}")))?;
        Ok(client.insert(made).clone())
    }

    fn forget_client(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn post(&self, entries: &[Entry]) -> Result<(), Refusal> {
        let Settings { url, form, .. } = &self.settings;
        let request = self
            .client()?
            .post(url.clone())
            .header(CONTENT_TYPE, form.content_type())
            .body(form.body(entries));
        let result = match request.send().await {
            Ok(answer) => judge(answer).await,
            Err(error) => Err(failed(&error)),
        };
        if let Err(Refusal::Later { reason: Reason::Connect | Reason::Denied, .. }) = result {
            self.forget_client();
        }
        result
    }
}

impl Sink for Webhook {
    fn send<'s>(&'s self, _tenant: &'s str, entries: &'s [Entry]) -> Sending<'s> {
        let at_once = if self.settings.form.is_batch() { entries.len().max(1) } else { 1 };
        Box::pin(async move {
            let mut taken = 0;
            for part in entries.chunks(at_once) {
                match self.post(part).await {
                    Ok(()) => taken += part.len(),
                    Err(refusal) => return Sent { taken, refusal: Some(refusal) },
                }
            }
            Sent { taken, refusal: None }
        })
    }

    fn sends_together(&self) -> bool {
        self.settings.form.is_batch()
    }

    fn probe(&self) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + '_>> {
        Box::pin(async move {
            match self.client()?.head(self.settings.url.clone()).send().await {
                // Whatever else it thinks of a request without a detection: it is there.
                Ok(answer) if matches!(answer.status().as_u16(), 401 | 403) => judge(answer).await,
                Ok(_) => Ok(()),
                Err(error) => Err(failed(&error)),
            }
        })
    }
}

fn make(settings: &Settings) -> Result<Client, ClientError> {
    let Settings { url: _, form: _, headers, bearer_token, ca, identity, timeout } = settings;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|_| ClientError::Header(name.clone()))?;
        let value = sensitive(&value.read()?).ok_or_else(|| ClientError::Header(name.to_string()))?;
        map.append(name, value);
    }
    if let Some(token) = bearer_token {
        let value = sensitive(&format!("Bearer {}", token.read()?))
            .ok_or_else(|| ClientError::Header(AUTHORIZATION.to_string()))?;
        map.insert(AUTHORIZATION, value);
    }
    // The client takes the process's provider. Whoever has installed it before has installed this one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = |error: reqwest::Error| ClientError::Client(causes(&error));
    let mut builder = Client::builder()
        .user_agent(concat!("yagura/", env!("CARGO_PKG_VERSION")))
        .default_headers(map)
        .connect_timeout(CONNECT)
        .timeout(*timeout)
        // Whoever answers must not send detections elsewhere; and repeating is the lane's business.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(4);
    if let Some(path) = ca {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(&read(path)?).map_err(client)?);
    }
    if let Some((certificate, key)) = identity {
        let mut pem = read(certificate)?;
        pem.push(b'\n');
        pem.extend(read(key)?);
        builder = builder.identity(Identity::from_pem(&pem).map_err(client)?);
    }
    builder.build().map_err(client)
}

fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    fs::read(path).map_err(|source| ClientError::File { path: path.display().to_string(), source })
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn later(reason: Reason, what: String) -> Refusal {
    Refusal::Later { reason, what, after: None }
}

fn failed(error: &reqwest::Error) -> Refusal {
    let reason = if error.is_connect() {
        Reason::Connect
    } else if error.is_timeout() {
        Reason::Timeout
    } else {
        Reason::Connection
    };
    later(reason, causes(error))
}

/// An error and its causes, without the address, which may hold a secret.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "the request failed".into() } else { text }
}

async fn judge(answer: Response) -> Result<(), Refusal> {
    let status = answer.status();
    let after = (answer.headers().get(RETRY_AFTER))
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let text = beginning(answer).await;
    if status.is_success() {
        // Whoever breaks off in the middle of its answer has said that it took the body.
        return Ok(());
    }
    let what = format!("the answer is {status}: {text}");
    Err(match status {
        // About the body, which stays the same.
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Refusal::Poison { what },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Refusal::Later { reason: Reason::Denied, what, after }
        }
        StatusCode::TOO_MANY_REQUESTS => Refusal::Later { reason: Reason::Throttled, what, after },
        _ => Refusal::Later { reason: Reason::Answer, what, after },
    })
}

/// Reads an answer up to a bound; returns what can be shown of it.
async fn beginning(mut answer: Response) -> String {
    let (mut shown, mut read) = (Vec::new(), 0);
    while read < MAX_ANSWER
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        read += chunk.len();
        let room = MAX_SHOWN.saturating_sub(shown.len()).min(chunk.len());
        shown.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
    String::from_utf8_lossy(&shown).escape_debug().to_string()
}
