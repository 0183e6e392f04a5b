//! Who made a pod's maker: the Deployment behind a ReplicaSet, the CronJob behind a Job. Asked once per maker, rather than
//! watched: a watch would be of all that there are in the cluster.

use std::sync::{Arc, Weak};

use tokio::{sync::mpsc::Receiver, time::sleep};

use super::{
    Timing,
    client::{Client, ClientError},
    objects::{ONE, Object},
    store::{OwnerQuestion, Store},
};
use crate::{backoff::Backoff, metrics::KubernetesCounters};

pub(super) async fn run(
    client: Arc<Client>,
    store: Weak<Store>,
    mut questions: Receiver<OwnerQuestion>,
    counters: Arc<KubernetesCounters>,
    timing: Timing,
) {
    let mut backoff = Backoff::new(timing.pace);
    while let Some(question) = questions.recv().await {
        let Some(path) = path(&question) else { continue };
        loop {
            let Some(store) = store.upgrade() else { return };
            let uid = &question.controller.uid;
            match client.get(&path, ONE).await.and_then(|body| Ok(serde_json::from_slice::<Object>(&body)?)) {
                Ok(object) => {
                    // One of the same name that was made since is another.
                    let same = object.metadata.uid == **uid;
                    store.put_owner(uid, object.metadata.controller().filter(|_| same));
                    backoff.succeed();
                    break;
                }
                // It is gone, or we may not know: then it is known that nothing more will be.
                Err(error) if error.is_final() => {
                    if !matches!(error, ClientError::Refused { status, .. } if status.as_u16() == 404) {
                        counters.failed(error.reason());
                        tracing::debug!(%error, "cannot ask who made a pod");
                    }
                    store.put_owner(uid, None);
                    break;
                }
                Err(error) => {
                    counters.failed(error.reason());
                    tracing::debug!(%error, "cannot ask who made a pod");
                    drop(store);
                    sleep(backoff.fail(None)).await;
                }
            }
        }
    }
}

/// Names come from the network: only those that Kubernetes allows are put into a path.
fn path(question: &OwnerQuestion) -> Option<String> {
    let group = match &*question.controller.kind {
        "ReplicaSet" => "apps/v1",
        "Job" => "batch/v1",
        _ => return None,
    };
    let resource = if group == "apps/v1" { "replicasets" } else { "jobs" };
    let (namespace, name) = (&*question.namespace, &*question.controller.name);
    let plain = |text: &str| {
        text.len() <= 253
            && !text.starts_with('.')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
    };
    (plain(namespace) && plain(name))
        .then(|| format!("/apis/{group}/namespaces/{namespace}/{resource}/{name}"))
}
