//! Lists a kind of objects and follows its changes, for as long as anybody wants to know.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::sleep;

use super::{
    Timing,
    client::{Client, ClientError},
    lines::Lines,
    objects::{Event, List, MANY, Metadata, ONE, Object},
    store::Store,
};
use crate::{backoff::Backoff, metrics::KubernetesCounters};

/// Objects in an answer.
const PAGE: usize = 500;
/// The API server no longer has the version from which to go on.
const GONE: u64 = 410;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Pods,
    Namespaces,
    Node,
}

impl Resource {
    pub const ALL: [Resource; 3] = [Resource::Pods, Resource::Namespaces, Resource::Node];

    /// Label of its metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Resource::Pods => "pods",
            Resource::Namespaces => "namespaces",
            Resource::Node => "nodes",
        }
    }

    /// The path, and what of it concerns this node.
    fn query(self, node: &str) -> (String, String) {
        let of_node = |field: &str| with("", &[("fieldSelector", &format!("{field}={node}"))]);
        match self {
            Resource::Pods => ("/api/v1/pods".into(), of_node("spec.nodeName")),
            Resource::Namespaces => ("/api/v1/namespaces".into(), String::new()),
            Resource::Node => ("/api/v1/nodes".into(), of_node("metadata.name")),
        }
    }
}

/// A query with more parameters.
fn with(query: &str, pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(query.to_owned()).extend_pairs(pairs).finish()
}

/// One kind's watch.
pub(super) struct Watch {
    pub resource: Resource,
    pub node: String,
    pub client: Arc<Client>,
    /// Gone when nobody asks any more, and then this ends.
    pub store: Weak<Store>,
    pub counters: Arc<KubernetesCounters>,
    pub timing: Timing,
}

/// Why a watch was over.
enum End {
    /// As was agreed; from this version on.
    Time(String),
    /// The version is too old: everything has to be listed again.
    Gone,
    /// Nobody wants to know.
    Unwanted,
}

impl Watch {
    pub async fn run(self) {
        let mut backoff = Backoff::new(self.timing.pace);
        loop {
            match self.list().await {
                Ok(Some(version)) => {
                    self.counters.up(self.resource.name(), true);
                    backoff.succeed();
                    if self.follow(version, &mut backoff).await.is_none() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => self.failed(&error, &mut backoff).await,
            }
        }
    }

    /// Follows the changes until everything has to be listed again; `None` if nobody wants to know.
    async fn follow(&self, mut version: String, backoff: &mut Backoff) -> Option<()> {
        loop {
            match self.watch(&mut version).await {
                Ok(End::Time(at)) => {
                    version = at;
                    backoff.succeed();
                    self.counters.up(self.resource.name(), true);
                }
                Ok(End::Gone) => {
                    self.counters.relisted(self.resource.name());
                    return Some(());
                }
                Ok(End::Unwanted) => return None,
                // From where it was: what came before is known.
                Err(error) => self.failed(&error, backoff).await,
            }
            // An answer that is over at once must not become a flood of requests.
            sleep(self.timing.pace.first.min(Duration::from_millis(100))).await;
        }
    }

    async fn failed(&self, error: &ClientError, backoff: &mut Backoff) {
        self.counters.up(self.resource.name(), false);
        self.counters.failed(error.reason());
        let resource = self.resource.name();
        if backoff.failures() == 0 {
            tracing::warn!(resource, %error, "cannot watch the Kubernetes API; what it knew stays");
        } else {
            tracing::debug!(resource, %error, "cannot watch the Kubernetes API");
        }
        // Trying soon makes no sense then.
        let asked = error.is_final().then_some(self.timing.pace.longest);
        sleep(backoff.fail(asked)).await;
    }

    /// Takes everything there is, and the version at which that was.
    async fn list(&self) -> Result<Option<String>, ClientError> {
        let (path, selector) = self.resource.query(&self.node);
        let mut listed = HashSet::new();
        let mut next = String::new();
        loop {
            let limit = PAGE.to_string();
            let page = [("limit", limit.as_str()), ("continue", &next)];
            let query = with(&selector, &page[..if next.is_empty() { 1 } else { 2 }]);
            let body = self.client.get(&format!("{path}?{query}"), MANY).await?;
            let page: List = serde_json::from_slice(&body)?;
            let Some(store) = self.store.upgrade() else { return Ok(None) };
            for Object { metadata } in &page.items {
                listed.insert(self.key(metadata).into());
                self.put(&store, metadata);
            }
            if page.metadata.next.is_empty() {
                match self.resource {
                    Resource::Pods => {
                        store.keep_pods(&listed);
                        store.set_knows_pods();
                    }
                    Resource::Namespaces => store.keep_namespaces(&listed),
                    Resource::Node => {}
                }
                return Ok(Some(page.metadata.resource_version));
            }
            next = page.metadata.next;
        }
    }

    /// Follows changes from a version on, which is kept up to date.
    async fn watch(&self, version: &mut String) -> Result<End, ClientError> {
        let (path, selector) = self.resource.query(&self.node);
        let timeout = self.timing.watch.as_secs().max(1).to_string();
        let pairs = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &timeout),
        ];
        let query = with(&selector, &pairs);
        let answer = match self.client.open(&format!("{path}?{query}"), ONE).await {
            Err(ClientError::Refused { status, .. }) if u64::from(status.as_u16()) == GONE => {
                return Ok(End::Gone);
            }
            answer => answer?,
        };
        self.counters.up(self.resource.name(), true);
        // Nothing for longer than the whole watch may last: the server has gone without a word.
        let mut lines = Lines::new(answer.into_body(), self.timing.watch + self.timing.answer);
        while let Some(line) = lines.next().await? {
            let event: Event = serde_json::from_slice(&line)?;
            let Some(store) = self.store.upgrade() else { return Ok(End::Unwanted) };
            if event.kind == "ERROR" {
                let code = event.object["code"].as_u64();
                if code == Some(GONE) {
                    return Ok(End::Gone);
                }
                let text = event.object["message"].as_str().unwrap_or_default().escape_debug().to_string();
                let status = code.and_then(|code| u16::try_from(code).ok());
                let status = status.and_then(|code| hyper::StatusCode::from_u16(code).ok());
                let status = status.unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
                return Err(ClientError::Refused { status, text });
            }
            let Object { metadata } = serde_json::from_value(event.object)?;
            match event.kind.as_str() {
                "ADDED" | "MODIFIED" => self.put(&store, &metadata),
                "DELETED" => match self.resource {
                    Resource::Pods => store.remove_pod(metadata.pod_uid()),
                    Resource::Namespaces => store.remove_namespace(&metadata.name),
                    Resource::Node => {}
                },
                // A bookmark says how far we are.
                _ => {}
            }
            if !metadata.resource_version.is_empty() {
                *version = metadata.resource_version;
            }
        }
        Ok(End::Time(version.clone()))
    }

    fn key<'m>(&self, metadata: &'m Metadata) -> &'m str {
        match self.resource {
            Resource::Pods => metadata.pod_uid(),
            Resource::Namespaces | Resource::Node => &metadata.name,
        }
    }

    fn put(&self, store: &Store, metadata: &Metadata) {
        match self.resource {
            Resource::Pods => store.put_pod(metadata),
            Resource::Namespaces => store.put_namespace(metadata),
            Resource::Node => store.put_node(metadata),
        }
    }
}
