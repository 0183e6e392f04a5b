//! Unary gRPC calls over a unix socket: what CRI and containerd speak. HTTP/2 is hyper's.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    body::{Buf, Bytes},
    client::conn::http2::{self, SendRequest},
    header::HeaderMap,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use super::{ResolveError, socket::Socket};

/// Longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;
/// `NOT_FOUND` in the table of gRPC's codes.
const NOT_FOUND: &str = "5";

/// A connection that is made when it is needed and again when it broke.
#[derive(Debug)]
pub struct Channel {
    socket: Socket,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Channel {
    /// `timeout`: an answer that takes longer is none.
    pub fn new(path: &Path, timeout: Duration) -> Channel {
        Channel { socket: Socket::new(path, timeout), sender: Mutex::default() }
    }

    /// Calls a method (`/package.Service/Method`). `None`: what was asked for does not exist.
    pub async fn call<A: Message + Default>(
        &self,
        method: &str,
        headers: &[(&'static str, &str)],
        request: &impl Message,
    ) -> Result<Option<A>, ResolveError> {
        self.socket.ask(self.try_call(method, headers, request)).await
    }

    async fn try_call<A: Message + Default>(
        &self,
        method: &str,
        headers: &[(&'static str, &str)],
        request: &impl Message,
    ) -> Result<Option<A>, ResolveError> {
        let bad = |error: &dyn std::fmt::Display| ResolveError::Answer(error.to_string());
        let mut sender = self.sender().await?;
        let message = request.encode_to_vec();
        // Not compressed, four bytes of length.
        let length = u32::try_from(message.len()).map_err(|error| bad(&error))?;
        let body: Vec<u8> = [&[0][..], &length.to_be_bytes(), &message].concat();
        let mut request = Request::post(format!("http://localhost{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).map_err(|error| bad(&error))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| bad(&error))?;
        // The status is in the trailers, or with the headers if there is no answer.
        let status = |map: Option<&HeaderMap>, name: &str| -> Option<String> {
            Some(String::from_utf8_lossy(map?.get(name)?.as_bytes()).into_owned())
        };
        let of = |name: &str| status(body.trailers(), name).or_else(|| status(Some(&head.headers), name));
        match of("grpc-status").as_deref() {
            Some("0") => {}
            Some(NOT_FOUND) => return Ok(None),
            code => {
                let message = of("grpc-message").unwrap_or_default();
                return Err(ResolveError::Answer(format!(
                    "{method}: {message} (HTTP {}, gRPC {})",
                    head.status.as_u16(),
                    code.unwrap_or("without status")
                )));
            }
        }
        let mut body = body.to_bytes();
        if body.len() < 5 || body.get_u8() != 0 {
            return Err(ResolveError::Answer(format!("{method}: not one uncompressed message")));
        }
        let length = body.get_u32() as usize;
        let message = body.get(..length).ok_or_else(|| bad(&"a cut message"))?;
        A::decode(message).map(Some).map_err(|error| bad(&error))
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, ResolveError> {
        let lock = || self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = lock().as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(open.clone());
        }
        let stream = TokioIo::new(self.socket.connect().await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a container runtime broke");
            }
        });
        *lock() = Some(sender.clone());
        Ok(sender)
    }
}
