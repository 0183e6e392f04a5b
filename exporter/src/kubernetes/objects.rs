//! The metadata of objects as the API server writes it (`meta.k8s.io/v1` `PartialObjectMetadata`), and what is kept.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use crate::{containers::bounds, enrich::container::Labels};

/// What is asked for: metadata only.
pub(super) const ONE: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub(super) const MANY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Annotations of a namespace that are kept: those that are meant for us.
const OURS: &str = "yagura.dev/";
/// The kubelet's own uid of a pod that it read from a file, on the pod that the API server shows for it.
const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Debug, Deserialize)]
pub(super) struct Object {
    pub metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<OwnerReference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OwnerReference {
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    pub metadata: ListMetadata,
    pub items: Vec<Object>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMetadata {
    pub resource_version: String,
    #[serde(rename = "continue")]
    pub next: String,
}

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub kind: String,
    pub object: serde_json::Value,
}

/// Who made an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Controller {
    pub kind: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodFacts {
    pub name: Box<str>,
    pub namespace: Box<str>,
    pub labels: Labels,
    pub annotations: Labels,
    pub controller: Option<Controller>,
}

/// What is kept of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NamespaceFacts {
    pub labels: Arc<Labels>,
    pub annotations: Arc<Labels>,
}

fn kept(labels: &BTreeMap<String, String>) -> Labels {
    bounds::labels(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

impl Metadata {
    /// The uid by which the node knows the pod.
    pub fn pod_uid(&self) -> &str {
        self.annotations.get(MIRROR).map_or(&self.uid, String::as_str)
    }

    pub fn controller(&self) -> Option<Controller> {
        let owner = self.owner_references.iter().find(|owner| owner.controller)?;
        let text = bounds::text;
        Some(Controller { kind: text(&owner.kind)?, name: text(&owner.name)?, uid: text(&owner.uid)? })
    }

    pub fn pod(&self) -> Option<PodFacts> {
        Some(PodFacts {
            name: bounds::text(&self.name)?,
            namespace: bounds::text(&self.namespace)?,
            labels: kept(&self.labels),
            annotations: kept(&self.annotations),
            controller: self.controller(),
        })
    }

    pub fn namespace_facts(&self) -> NamespaceFacts {
        let ours = self.annotations.iter().filter(|(name, _)| name.starts_with(OURS));
        NamespaceFacts {
            labels: Arc::new(kept(&self.labels)),
            annotations: Arc::new(bounds::labels(ours.map(|(name, value)| (name.as_str(), value.as_str())))),
        }
    }

    pub fn node(&self) -> Labels {
        kept(&self.labels)
    }
}
