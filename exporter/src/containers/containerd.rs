//! containerd's own interface: image and labels of containers that no kubelet made (`ctr`, nerdctl), and of sandboxes.

use std::{collections::HashMap, path::Path};

use prost::Message;

use super::{Answer, Known, Query, ResolveError, Resolver, bounds, grpc::Channel, socket::TIMEOUT};
use crate::enrich::container::{Container, Image, Pod, Runtime};

const GET: &str = "/containerd.services.containers.v1.Containers/Get";
/// The label with which containerd's CRI tells sandboxes from containers.
const KIND: &str = "io.cri-containerd.kind";

#[derive(Clone, PartialEq, Message)]
struct GetContainerRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    container: Option<ContainerRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerRecord {
    #[prost(map = "string, string", tag = "2")]
    labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    image: String,
    #[prost(message, optional, tag = "8")]
    created_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Debug)]
pub(super) struct Containerd {
    channel: Channel,
}

impl Containerd {
    pub fn new(path: &Path) -> Containerd {
        Containerd { channel: Channel::new(path, TIMEOUT) }
    }

    async fn look(&self, query: Query<'_>) -> Result<Option<Known>, ResolveError> {
        let Some(namespace) = &query.known.namespace else { return Ok(None) };
        let request = GetContainerRequest { id: query.id.into() };
        let headers = [("containerd-namespace", &**namespace)];
        let found: Option<GetContainerResponse> = self.channel.call(GET, &headers, &request).await?;
        let Some(record) = found.and_then(|response| response.container) else { return Ok(None) };
        Ok(Some(Known { container: container(&record), namespace: None }))
    }
}

fn container(record: &ContainerRecord) -> Container {
    let mut labels: Vec<_> = record.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    labels.sort_unstable();
    let labels = bounds::labels(labels);
    // A sandbox carries its pod's labels before CRI shows them.
    let is_sandbox = record.labels.get(KIND).is_some_and(|kind| kind == "sandbox");
    let created_ns = record.created_at.as_ref().and_then(|time| {
        let seconds = u64::try_from(time.seconds).ok()?.checked_mul(1_000_000_000)?;
        seconds.checked_add(u64::try_from(time.nanos).ok()?)
    });
    Container {
        name: record.labels.get("nerdctl/name").and_then(|name| bounds::text(name)),
        image: Image { reference: bounds::text(&record.image), ..Image::default() },
        created_ns,
        pod: is_sandbox.then(|| Pod { labels: Some(labels.clone()), ..Pod::default() }),
        labels: Some(labels),
        ..Container::default()
    }
}

impl Resolver for Containerd {
    fn name(&self) -> &'static str {
        "containerd"
    }

    fn may_know(&self, known: &Known) -> bool {
        // Of a pod's containers CRI knows more, but not of its sandbox what it runs.
        known.container.runtime == Some(Runtime::Containerd)
            && known.namespace.is_some()
            && known.container.image.reference.is_none()
    }

    fn resolve<'a>(&'a self, query: Query<'a>) -> Answer<'a> {
        Box::pin(self.look(query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_image_labels_and_time() {
        let record = ContainerRecord {
            labels: [("nerdctl/name".to_owned(), "web".to_owned())].into(),
            image: "docker.io/library/busybox:1".into(),
            created_at: Some(Timestamp { seconds: 2, nanos: 5 }),
        };
        let found = container(&record);
        assert_eq!((found.name.as_deref(), found.image.tag()), (Some("web"), Some("1")));
        assert_eq!(found.created_ns, Some(2_000_000_005));
        assert_eq!(found.pod, None);
        let mut sandbox = record.clone();
        sandbox.labels.insert(KIND.into(), "sandbox".into());
        assert!(
            container(&sandbox).pod.is_some_and(|pod| pod.labels.is_some_and(|labels| labels.len() == 2))
        );
        let hostile = Timestamp { seconds: i64::MAX, nanos: -1 };
        assert_eq!(container(&ContainerRecord { created_at: Some(hostile), ..record }).created_ns, None);
    }
}
