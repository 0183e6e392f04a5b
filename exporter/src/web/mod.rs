//! The HTTP server: `/metrics`, `/livez`, `/readyz`, and `POST /k8s-audit`.
//!
//! Whoever can connect is not trusted: connections, their number, their headers, their bodies and their time are
//! bounded. Where the configuration asks for a proof of who one is, nothing but the probes answers without, a tenant
//! sees what is its own, and a body is read of `/k8s-audit` only.

mod access;
mod audit;
mod guard;
mod metrics;
mod protection;
mod tls;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::timeout,
};

pub use access::{Access, Forbidden};
pub use audit::AuditEndpoint;
pub use guard::{Guard, ProtectionError};
pub use protection::Protection;

use crate::{app::Health, metrics::Metrics};

const MAX_CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// After this a connection ends with the request it is at: scrapers and API servers reconnect.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long that request may take.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEADERS: usize = 64;
const MAX_BUFFER: usize = 16 << 10;

/// What the pages show.
#[derive(Debug)]
pub struct State {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub protection: Arc<Protection>,
    /// Absent: there is no such page.
    pub audit: Option<AuditEndpoint>,
}

/// What is known of whoever sent a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// It has a certificate that the configured authority signed.
    pub certified: bool,
}

/// A bound but not yet served address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
}

impl Server {
    pub async fn bind(address: SocketAddr) -> io::Result<Server> {
        Ok(Server { listener: TcpListener::bind(address).await? })
    }

    /// The address, with the port the system chose if 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until dropped.
    pub async fn serve(self, state: Arc<State>) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, or the peer has gone: neither is cured by trying again at once.
                    tracing::debug!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                state.metrics.http_refused.inc();
                continue;
            };
            let (state, tls) = (Arc::clone(&state), state.protection.acceptor());
            tokio::spawn(async move {
                match tls {
                    None => connection(stream, Peer::default(), state).await,
                    Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let certified = stream.get_ref().1.peer_certificates().is_some();
                            connection(stream, Peer { certified }, state).await;
                        }
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "TLS handshake failed");
                            state.metrics.tls_failed.inc();
                        }
                        Err(_) => state.metrics.tls_failed.inc(),
                    },
                }
                drop(permit);
            });
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer, state: Arc<State>) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(respond(request, peer, &state).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(stream), service)
    );
    // A client's protocol error or timeout is the client's affair.
    if timeout(CONNECTION_TIMEOUT, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_REQUEST_TIMEOUT, connection).await;
    }
}

async fn respond(request: Request<Incoming>, peer: Peer, state: &State) -> Response<Full<Bytes>> {
    let page: fn(&Request<Incoming>, Peer, &State) -> Response<Full<Bytes>> = match request.uri().path() {
        "/metrics" => metrics::respond,
        // Probes have no proof of who they are, and learn nothing of anybody.
        "/livez" => |_, _, state| checks(&state.health.live()),
        "/readyz" => |_, _, state| checks(&state.health.ready()),
        "/k8s-audit" => {
            return match &state.audit {
                Some(endpoint) => audit::respond(request, peer, state, endpoint).await,
                None => text(StatusCode::NOT_FOUND, "k8s_audit.enabled is false\n".into()),
            };
        }
        _ => return text(StatusCode::NOT_FOUND, "not found\n".into()),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    page(&request, peer, state)
}

/// As Kubernetes' own servers print them: one line a check, then the sum.
fn checks(checks: &[(&'static str, bool)]) -> Response<Full<Bytes>> {
    let ok = checks.iter().all(|(_, ok)| *ok);
    let mut body = String::new();
    for (name, ok) in checks {
        body.push_str(if *ok { "[+]" } else { "[-]" });
        body.push_str(name);
        body.push_str(if *ok { " ok\n" } else { " failed\n" });
    }
    body.push_str(if ok { "ok\n" } else { "failed\n" });
    text(if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
