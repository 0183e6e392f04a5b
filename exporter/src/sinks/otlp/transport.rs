//! Messages to requests.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use prost::Message as _;
use reqwest::{
    Url,
    header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue},
};

use super::{Settings, answer, logs};
use crate::{
    delivery::{Entry, Probing, Reason, Refusal, Sending, Sent, Sink},
    sinks::{
        http::{Answer, HttpClient},
        tenant_ids::TenantIds,
    },
};

/// Sends messages to an endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: HttpClient,
    gzip: bool,
    tenant_header: Option<(HeaderName, TenantIds)>,
}

impl Endpoint {
    pub fn new(Settings { target, gzip, tenant_header, metrics: _, sample_ratio: _ }: Settings) -> Endpoint {
        Endpoint { client: HttpClient::new(target), gzip, tenant_header }
    }

    /// Posts an encoded message of a tenant to a signal's path below the endpoint: `logs`, `metrics`, `traces`.
    pub async fn post(&self, signal: &str, tenant: &str, mut body: Vec<u8>) -> Result<Answer, Refusal> {
        let mut headers = self.headers(tenant)?;
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
            let packed = encoder.write_all(&body).and_then(|()| encoder.finish());
            body = packed.map_err(|error| Refusal::Poison { what: format!("cannot be packed: {error}") })?;
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self.client.post(self.url(signal), "application/x-protobuf", headers, body).await
    }

    /// Those that say whose a request is.
    fn headers(&self, tenant: &str) -> Result<HeaderMap, Refusal> {
        let mut headers = HeaderMap::new();
        if let Some((name, ids)) = &self.tenant_header {
            // Without it everything would be somebody else's.
            let denied = || Refusal::Later {
                reason: Reason::Denied,
                what: format!("tenant {tenant} has no id that can be a header"),
                after: None,
            };
            let id = ids.of(tenant).ok_or_else(denied)?;
            headers.insert(name.clone(), HeaderValue::from_str(&id).map_err(|_| denied())?);
        }
        Ok(headers)
    }

    pub fn url(&self, signal: &str) -> Url {
        let mut url = self.client.url().clone();
        let path = format!("{}/v1/{signal}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }
}

/// The sink.
#[derive(Debug)]
pub struct Otlp {
    endpoint: Endpoint,
}

impl Otlp {
    pub fn new(settings: Settings) -> Otlp {
        Otlp { endpoint: Endpoint::new(settings) }
    }
}

impl Sink for Otlp {
    fn send<'s>(&'s self, tenant: &'s str, entries: &'s [Entry]) -> Sending<'s> {
        Box::pin(async move {
            let result =
                self.endpoint.post("logs", tenant, logs::request(tenant, entries).encode_to_vec()).await;
            match result.and_then(|answer| answer::judge(&answer)) {
                Ok(()) => Sent { taken: entries.len(), refusal: None },
                Err(refusal @ Refusal::Part { .. }) => Sent { taken: entries.len(), refusal: Some(refusal) },
                Err(refusal) => Sent { taken: 0, refusal: Some(refusal) },
            }
        })
    }

    fn sends_together(&self) -> bool {
        true
    }

    fn probe<'s>(&'s self, tenant: &'s str) -> Probing<'s> {
        Box::pin(async move {
            let headers = self.endpoint.headers(tenant)?;
            self.endpoint.client.probe_with(self.endpoint.url("logs"), headers).await
        })
    }
}
