//! A pod's labels, namespace and makers, by what [`crate::kubernetes`] has watched.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{Answer, Known, Query, Resolver};
use crate::{
    enrich::container::{Container, Pod},
    kubernetes::Store,
};

/// A pod is on the API server before it is on the node, but its news may come a moment later.
const PATIENCE: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(super) struct Kubernetes {
    store: Arc<Store>,
}

impl Kubernetes {
    pub fn new(store: Arc<Store>) -> Kubernetes {
        Kubernetes { store }
    }

    async fn look(&self, known: &Known) -> Option<Known> {
        let uid = known.container.pod.as_ref()?.uid.as_deref()?;
        let mut changes = self.store.changes();
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.store.pod(uid);
            let whole = found.as_ref().is_some_and(|pod| pod.workloads.is_some());
            if whole || !self.store.knows_pods() || timeout_at(end, changes.changed()).await.is_err() {
                return found.map(|pod| Known { container: of_pod(pod), namespace: None });
            }
        }
    }
}

fn of_pod(pod: Pod) -> Container {
    Container { pod: Some(pod), ..Container::default() }
}

impl Resolver for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn may_know(&self, known: &Known) -> bool {
        known.container.pod.as_ref().is_some_and(|pod| pod.uid.is_some())
    }

    fn resolve<'a>(&'a self, query: Query<'a>) -> Answer<'a> {
        Box::pin(async { Ok(self.look(query.known).await) })
    }
}
