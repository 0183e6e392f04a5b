//! The client: made from the target's files when it is needed, and anew when these may have changed.

use std::{
    error::Error as _,
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Certificate, Client, Identity, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect,
};

use super::{Answer, Authorization, Target};
use crate::{
    delivery::{Reason, Refusal},
    secret::SecretError,
};

/// Longest time to a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Sends requests to one receiver.
#[derive(Debug)]
pub struct HttpClient {
    target: Target,
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

impl HttpClient {
    pub fn new(target: Target) -> HttpClient {
        HttpClient { target, client: Mutex::new(None) }
    }

    pub fn url(&self) -> &Url {
        &self.target.url
    }

    /// Posts a body; an answer of any status is one.
    pub async fn post(
        &self,
        url: Url,
        content_type: &'static str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let request = self.client()?.post(url).header(CONTENT_TYPE, content_type).headers(headers).body(body);
        let result = match request.send().await {
            Ok(response) => Ok(Answer::read(response).await),
            Err(error) => Err(failed(&error)),
        };
        let denied = |answer: &Answer| matches!(answer.status.as_u16(), 401 | 403);
        // Who does not like our certificate says so after the connection is there, with TLS 1.3: it breaks off.
        if matches!(&result, Err(Refusal::Later { reason: Reason::Connect | Reason::Connection, .. }))
            || result.as_ref().is_ok_and(denied)
        {
            self.forget_client();
        }
        result
    }

    /// Whether the receiver is there and lets us in, without giving it anything.
    pub async fn probe(&self) -> Result<(), Refusal> {
        self.probe_with(self.target.url.clone(), HeaderMap::new()).await
    }

    /// The same at one of its other addresses.
    pub async fn probe_with(&self, url: Url, headers: HeaderMap) -> Result<(), Refusal> {
        match self.client()?.head(url).headers(headers).send().await {
            // Whatever else it thinks of a request without a detection: it is there.
            Ok(answer) if matches!(answer.status().as_u16(), 401 | 403) => Answer::read(answer).await.judge(),
            Ok(_) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    fn client(&self) -> Result<Client, Refusal> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let made = make(&self.target)
            .map_err(|error| later(Reason::Secret, format!("cannot prepare requests: {error}")))?;
        Ok(client.insert(made).clone())
    }

    fn forget_client(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn make(target: &Target) -> Result<Client, ClientError> {
    let Target { url, headers, authorization, ca, identity, timeout } = target;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|_| ClientError::Header(name.clone()))?;
        let value = sensitive(&value.read()?).ok_or_else(|| ClientError::Header(name.to_string()))?;
        map.append(name, value);
    }
    let authorization = match authorization {
        None => None,
        Some(Authorization::Bearer(token)) => Some(format!("Bearer {}", token.read()?)),
        Some(Authorization::Basic { username, password }) => {
            Some(format!("Basic {}", base64(format!("{username}:{}", password.read()?).as_bytes())))
        }
    };
    if let Some(value) = authorization {
        let value = sensitive(&value).ok_or_else(|| ClientError::Header(AUTHORIZATION.to_string()))?;
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
    } else if url.scheme() == "http" {
        // Nobody is trusted where nobody need be: a machine without authorities can make this client too.
        builder = builder.tls_certs_only([]);
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

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
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
