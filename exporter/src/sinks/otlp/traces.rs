//! Yagura's own spans, sampled: `opentelemetry-otlp` makes the requests, our client sends them, so that secrets, TLS and what
//! names a tenant are as for everything else that goes to this receiver. Spans are not journaled: what cannot be sent is
//! gone.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

use super::{
    Settings,
    resource::{Origin, names},
    transport::Endpoint,
};
use crate::detection::{Identity, PLATFORM_TENANT};

/// How long the last spans may take in the end.
const LAST: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
    #[error("spans cannot be exported: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// The running export of spans. What was sampled last is sent when it is dropped.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    /// Sends what the exporter's own thread, which has no runtime, has made.
    _runtime: Runtime,
}

impl Traces {
    /// Starts it; `ratio` of the traces, from 0 to 1, are kept.
    pub fn start(
        settings: Settings,
        ratio: f64,
        identity: &Identity,
    ) -> Result<(Traces, SdkTracer), TracesError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("yagura-traces")
            .enable_all()
            .build()?;
        let endpoint = Endpoint::new(settings);
        let url = endpoint.url("traces").to_string();
        let client = Client {
            endpoint: Arc::new(endpoint),
            runtime: runtime.handle().clone(),
            fails: Arc::new(AtomicBool::new(false)),
        };
        let exporter =
            SpanExporter::builder().with_http().with_http_client(client).with_endpoint(url).build()?;
        let Identity { hostname, node, cluster } = identity;
        let attributes = names(Origin { hostname, node, cluster }, PLATFORM_TENANT);
        let attributes = attributes.map(|(name, value)| KeyValue::new(name, value.to_owned()));
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(Resource::builder_empty().with_attributes(attributes).build())
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("yagura");
        Ok((Traces { provider, _runtime: runtime }, tracer))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST) {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

#[derive(Debug)]
struct Client {
    endpoint: Arc<Endpoint>,
    runtime: Handle,
    fails: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (endpoint, body) = (Arc::clone(&self.endpoint), request.into_body().to_vec());
        let (answer, answered) = oneshot::channel();
        self.runtime.spawn(async move {
            let _gone = answer.send(endpoint.post("traces", PLATFORM_TENANT, body).await);
        });
        let result = answered.await?;
        let refusal = match &result {
            Ok(answer) => answer.judge().err(),
            Err(refusal) => Some(refusal.clone()),
        };
        match refusal {
            Some(refusal) if !self.fails.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%refusal, "spans are not taken; they are not kept");
            }
            Some(_) => {}
            None => self.fails.store(false, Ordering::Relaxed),
        }
        let answer = result.map_err(|refusal| refusal.to_string())?;
        Ok(Response::builder().status(answer.status).body(Bytes::from(answer.body))?)
    }
}
