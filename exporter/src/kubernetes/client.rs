//! Requests to the API server: one connection each, TLS by its own authority, the token read anew each time.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::Timing;
use crate::secret::{Secret, SecretError};

/// Longest answer that is taken whole.
const MAX_BODY: usize = 32 << 20;
/// How much of a refusal is read, and shown.
const MAX_REFUSAL: usize = 16 << 10;
const MAX_SHOWN: usize = 300;

/// `http(s)://host[:port]`. Without TLS only on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    /// A name or an address, without brackets.
    host: String,
    port: u16,
    /// As a `Host` header has it.
    authority: String,
}

impl ServerUrl {
    /// Reads it; else says what is wrong.
    pub fn parse(text: &str) -> Result<ServerUrl, String> {
        let url: hyper::Uri = text.parse().map_err(|error| format!("'{text}' is no URL: {error}"))?;
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(format!("'{text}' has no scheme or host; expected https://host:port"));
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || authority.as_str().contains('@') {
            return Err(format!("'{text}': expected https://host:port and no more"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = match scheme {
            "https" => true,
            "http" if matches!(&*host, "127.0.0.1" | "::1" | "localhost") => false,
            "http" => return Err(format!("'{text}': without TLS only on loopback")),
            other => return Err(format!("'{text}': {other} is not https")),
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(ServerUrl { tls, host, port, authority: authority.as_str().to_owned() })
    }
}

/// How to ask.
#[derive(Debug)]
pub(super) struct Client {
    pub server: ServerUrl,
    /// `None`: no authority is trusted, so no TLS works.
    pub ca_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    pub timing: Timing,
}

/// There is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("no TLS: {0}")]
    Tls(String),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Token(#[from] SecretError),
    #[error("no request: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer breaks off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer is {status}: {text}")]
    Refused { status: StatusCode, text: String },
    #[error("more than {0} bytes at once")]
    TooLong(usize),
    #[error("no sense: {0}")]
    Json(#[from] serde_json::Error),
}

impl ClientError {
    /// Label of its metric.
    pub fn reason(&self) -> &'static str {
        match self {
            ClientError::Connect(_) => "connect",
            ClientError::Tls(_) => "tls",
            ClientError::File { .. } | ClientError::Token(_) => "file",
            ClientError::Request(_) => "invalid",
            ClientError::Http(_) | ClientError::Body(_) => "connection",
            ClientError::Timeout => "timeout",
            ClientError::Refused { status, .. } if matches!(status.as_u16(), 401 | 403) => "forbidden",
            ClientError::Refused { .. } => "refused",
            ClientError::TooLong(_) => "too_long",
            ClientError::Json(_) => "invalid",
        }
    }

    /// Whether the server says that it will not change its mind soon.
    pub fn is_final(&self) -> bool {
        matches!(self, ClientError::Refused { status, .. } if matches!(status.as_u16(), 403 | 404))
    }
}

impl Client {
    /// The whole answer.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Bytes, ClientError> {
        let answer = self.open(path, accept).await?;
        // As long again as the first byte may take, and some for what is large.
        let patience = self.timing.answer + Duration::from_secs(20);
        timeout(patience, whole(answer.into_body(), MAX_BODY)).await.map_err(|_| ClientError::Timeout)?
    }

    /// The beginning of an answer whose body is read as it comes.
    pub async fn open(&self, path: &str, accept: &str) -> Result<Response<Incoming>, ClientError> {
        let request = self.request(path, accept).await?;
        let answer = timeout(self.timing.answer, self.send(request));
        let answer = answer.await.map_err(|_| ClientError::Timeout)??;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let refusal = timeout(self.timing.answer, whole(answer.into_body(), MAX_REFUSAL)).await;
        let text = refusal.ok().and_then(Result::ok).unwrap_or_default();
        Err(ClientError::Refused { status, text: reason(&text) })
    }

    async fn request(&self, path: &str, accept: &str) -> Result<Request<Empty<Bytes>>, ClientError> {
        let mut request = Request::get(path)
            .header(header::HOST, &self.server.authority)
            .header(header::USER_AGENT, concat!("yagura/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, accept);
        if let Some(path) = &self.token_file {
            let token = Secret::File(path.clone()).read()?;
            let mut value = header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                let source = io::Error::new(io::ErrorKind::InvalidData, "not a token");
                ClientError::File { path: path.clone(), source }
            })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        // The parts are ours but for names of objects, which are checked where they come in.
        Ok(request.body(Empty::new())?)
    }

    async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let ServerUrl { tls, host, port, .. } = &self.server;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(ClientError::Connect)?;
        // A server that vanishes without a word is noticed.
        let _unset = stream.set_nodelay(true);
        if !tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(host.clone()).map_err(|error| ClientError::Tls(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        let stream =
            connector.connect(name, stream).await.map_err(|error| ClientError::Tls(error.to_string()))?;
        exchange(stream, request).await
    }

    /// With the authority's file as it is now: authorities are replaced too.
    fn tls(&self) -> Result<ClientConfig, ClientError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca_file {
            let bytes =
                std::fs::read(path).map_err(|source| ClientError::File { path: path.clone(), source })?;
            for certificate in CertificateDer::pem_slice_iter(&bytes) {
                let added = certificate.map_err(|error| error.to_string());
                added
                    .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
                    .map_err(|error| ClientError::Tls(format!("{}: {error}", path.display())))?;
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Tls(error.to_string()))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, ClientError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the answer's body is dropped. What goes wrong there is an error of the body too.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

async fn whole(body: Incoming, bound: usize) -> Result<Bytes, ClientError> {
    match Limited::new(body, bound).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => ClientError::Http(*error),
            Err(error) if error.is::<LengthLimitError>() => ClientError::TooLong(bound),
            Err(error) => ClientError::Body(error),
        }),
    }
}

/// What a refusal says: the message of a `Status`, or its beginning.
fn reason(text: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Status {
        message: String,
    }
    let text = match serde_json::from_slice::<Status>(text) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(text).into_owned(),
    };
    let end = text.floor_char_boundary(MAX_SHOWN);
    text.get(..end).unwrap_or_default().escape_debug().to_string()
}
