//! `POST /k8s-audit`: what an API server's audit webhook sends.
//!
//! The answer is 200 once all events of the request are taken, and anything else if none is. An API server sends
//! again after 429, 500 and a connection that broke; it gives the events up after 400, 401, 413 and 415, which
//! are for a person to see to, and counted.

use std::{io::Read as _, sync::Arc, time::Duration};

use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Bytes, Incoming},
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use tokio::{
    sync::{Semaphore, TryAcquireError},
    task::spawn_blocking,
    time::timeout,
};

use tracing::{
    Instrument as _,
    field::{Empty, display},
};

use super::{Forbidden, Peer, State, text};
use crate::{
    audit::{Accepted, Intake, ParseError, Refused, parse},
    metrics::AuditRequest,
    spans::TARGET,
};

/// Bodies in memory at once.
const MAX_BODIES: usize = 8;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The page, with its bounds.
#[derive(Debug)]
pub struct AuditEndpoint {
    intake: Arc<Intake>,
    max_body: usize,
    bodies: Semaphore,
}

impl AuditEndpoint {
    pub fn new(intake: Arc<Intake>, max_body: usize) -> AuditEndpoint {
        AuditEndpoint { intake, max_body, bodies: Semaphore::new(MAX_BODIES) }
    }
}

/// Why a request's events were not taken.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error("method not allowed")]
    Method,
    #[error("a client certificate or a bearer token is required")]
    Unauthorized,
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the body must be application/json, as it is or gzip")]
    Unsupported,
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the body took too long")]
    TimedOut,
    #[error("the body could not be read")]
    Broken,
    #[error("the body is not gzip: {0}")]
    Gzip(std::io::Error),
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("too many requests at once; come again later")]
    Crowded,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("a defect; see the log")]
    Panicked,
}

impl Rejection {
    fn status(&self) -> StatusCode {
        match self {
            Rejection::Method => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::Unauthorized => StatusCode::UNAUTHORIZED,
            Rejection::Forbidden(_) => StatusCode::FORBIDDEN,
            Rejection::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Rejection::TooLarge(_) | Rejection::Parse(ParseError::TooMany { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Rejection::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Rejection::Broken | Rejection::Gzip(_) | Rejection::Parse(_) => StatusCode::BAD_REQUEST,
            // Also when the daemon ends: an API server comes again after this, but not after 503.
            Rejection::Crowded | Rejection::Refused(_) => StatusCode::TOO_MANY_REQUESTS,
            Rejection::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn counted(&self) -> AuditRequest {
        match self.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => AuditRequest::Unauthorized,
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE => AuditRequest::Unsupported,
            StatusCode::PAYLOAD_TOO_LARGE => AuditRequest::TooLarge,
            StatusCode::REQUEST_TIMEOUT => AuditRequest::TimedOut,
            StatusCode::TOO_MANY_REQUESTS => AuditRequest::Busy,
            _ => AuditRequest::Invalid,
        }
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = text(self.status(), format!("{self}\n"));
        let headers = response.headers_mut();
        match self.status() {
            StatusCode::METHOD_NOT_ALLOWED => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

pub(super) async fn respond(
    request: Request<Incoming>,
    peer: Peer,
    state: &State,
    endpoint: &AuditEndpoint,
) -> Response<Full<Bytes>> {
    let span = tracing::info_span!(target: TARGET, "k8s_audit.request", events = Empty, rejection = Empty);
    let result = take(request, peer, state, endpoint).instrument(span.clone()).await;
    match &result {
        Ok(accepted) => span.record("events", accepted.events as i64),
        Err(rejection) => span.record("rejection", display(rejection)),
    };
    drop(span);
    state.metrics.audit_request(result.as_ref().map_or_else(Rejection::counted, |_| AuditRequest::Accepted));
    match result {
        Ok(Accepted { events, repeated }) => {
            text(StatusCode::OK, format!("accepted {events}, of these repeated {repeated}\n"))
        }
        Err(rejection) => {
            tracing::debug!(%rejection, "audit events refused");
            rejection.response()
        }
    }
}

async fn take(
    request: Request<Incoming>,
    peer: Peer,
    state: &State,
    endpoint: &AuditEndpoint,
) -> Result<Accepted, Rejection> {
    if request.method() != Method::POST {
        return Err(Rejection::Method);
    }
    let guard = state.protection.guard();
    guard.access(peer, request.headers()).ok_or(Rejection::Unauthorized)?.posts_audit()?;
    let gzip = is_gzip(request.headers()).ok_or(Rejection::Unsupported)?;
    let max = endpoint.max_body;
    if request.body().size_hint().lower() > max as u64 {
        return Err(Rejection::TooLarge(max));
    }
    let _permit = endpoint.bodies.try_acquire().map_err(|_: TryAcquireError| Rejection::Crowded)?;
    let body = match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), max).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Rejection::TooLarge(max)),
        Ok(Err(_)) => return Err(Rejection::Broken),
        Err(_) => return Err(Rejection::TimedOut),
    };
    let intake = Arc::clone(&endpoint.intake);
    // Unpacking and reading takes a while, and others share this thread.
    let taken = spawn_blocking(move || {
        let body = if gzip { unpacked(&body, max)?.into() } else { body };
        Ok(intake.offer(parse(&body, intake.max_events())?)?)
    });
    taken.await.unwrap_or(Err(Rejection::Panicked))
}

/// Whether the body is packed; `None` if it is nothing that can be read. A web page in somebody's browser cannot
/// send this type to another site without asking first, so it cannot post events to a loopback address.
fn is_gzip(headers: &HeaderMap) -> Option<bool> {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    let kind = value(CONTENT_TYPE)?.split(|byte| *byte == b';').next()?;
    if !kind.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        return None;
    }
    match value(CONTENT_ENCODING) {
        None => Some(false),
        Some(coding) if coding.eq_ignore_ascii_case(b"identity") => Some(false),
        Some(coding) if coding.eq_ignore_ascii_case(b"gzip") => Some(true),
        Some(_) => None,
    }
}

fn unpacked(body: &[u8], max: usize) -> Result<Vec<u8>, Rejection> {
    let mut out = Vec::new();
    let mut reader = MultiGzDecoder::new(body).take(max as u64 + 1);
    reader.read_to_end(&mut out).map_err(Rejection::Gzip)?;
    if out.len() > max { Err(Rejection::TooLarge(max)) } else { Ok(out) }
}
