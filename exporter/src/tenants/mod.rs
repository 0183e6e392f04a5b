//! Who owns what runs here: tenants, and what each has of its own.
//!
//! A tenant is matched by the namespace, labels, annotations and image of a container and by the node; the first that
//! matches owns it. The platform tenant owns the host and the rest. No I/O.

mod pattern;

use std::{path::PathBuf, sync::Arc};

pub use pattern::{Label, Pattern};

use crate::{
    config::RateLimit,
    detection::PLATFORM_TENANT,
    enrich::container::{Container, Labels},
    rules::{Priority, Selection},
};

/// Which tenant, by its position in [`Tenants`].
pub type TenantId = usize;

/// The platform's.
pub const PLATFORM: TenantId = 0;

/// What is known of the owner of an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owner<'a> {
    pub namespace: Option<&'a str>,
    pub labels: Option<&'a Labels>,
    pub annotations: Option<&'a Labels>,
    /// Those of the namespace and the node are the platform's own.
    pub namespace_labels: Option<&'a Labels>,
    pub namespace_annotations: Option<&'a Labels>,
    pub node_labels: Option<&'a Labels>,
    pub image: Option<&'a str>,
}

impl<'a> Owner<'a> {
    /// The owner of what happens in a container.
    pub fn of(container: &'a Container) -> Owner<'a> {
        let pod = container.pod.as_ref();
        Owner {
            namespace: pod.and_then(|pod| pod.namespace.as_deref()),
            // A container outside of Kubernetes has labels of its own only.
            labels: match pod {
                Some(pod) => pod.labels.as_ref(),
                None => container.labels.as_ref(),
            },
            annotations: pod.and_then(|pod| pod.annotations.as_ref()),
            namespace_labels: pod.and_then(|pod| pod.namespace_labels.as_deref()),
            namespace_annotations: pod.and_then(|pod| pod.namespace_annotations.as_deref()),
            node_labels: pod.and_then(|pod| pod.node_labels.as_deref()),
            image: container.image.reference.as_deref(),
        }
    }
}

/// A tenant as the configuration describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    pub name: Arc<str>,
    /// All that are given must fit; of each, one entry.
    pub namespaces: Vec<Pattern>,
    pub labels: Vec<Label>,
    /// Of the pod, or of its namespace.
    pub annotations: Vec<Label>,
    pub namespace_labels: Vec<Label>,
    pub node_labels: Vec<Label>,
    pub images: Vec<Pattern>,
    pub nodes: Vec<Pattern>,
    pub scope: Scope,
    pub quota: RateLimit,
    /// Most series of `yagura_detections_total`.
    pub max_series: usize,
}

/// What a tenant changes of the rules, for itself alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Which rules speak; in order, the last that fits a rule wins.
    pub selection: Vec<Selection>,
    /// Other priorities; the first pattern that fits a rule wins.
    pub priorities: Vec<(Pattern, Priority)>,
    /// Conditions under which rules do not speak.
    pub exceptions: Vec<(Pattern, String)>,
    /// Rules of its own, which see its events only.
    pub rules_files: Vec<PathBuf>,
}

/// All tenants of this node, the platform first.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenants {
    tenants: Vec<Tenant>,
}

/// Bounds of a tenant that says nothing of them.
pub const DEFAULT_SERIES: usize = 2000;

impl Tenants {
    /// Those of the configuration that may be on this node; the platform's own bounds.
    pub fn new(configured: &[Tenant], node: &str, unlimited: RateLimit) -> Tenants {
        let platform = Tenant {
            name: PLATFORM_TENANT.into(),
            namespaces: Vec::new(),
            labels: Vec::new(),
            annotations: Vec::new(),
            namespace_labels: Vec::new(),
            node_labels: Vec::new(),
            images: Vec::new(),
            nodes: Vec::new(),
            scope: Scope::default(),
            quota: RateLimit { rate: 0.0, ..unlimited },
            max_series: DEFAULT_SERIES,
        };
        let here = |tenant: &&Tenant| {
            tenant.nodes.is_empty() || tenant.nodes.iter().any(|pattern| pattern.fits(node))
        };
        let tenants = std::iter::once(platform).chain(configured.iter().filter(here).cloned());
        Tenants { tenants: tenants.collect() }
    }

    /// Whose it is.
    pub fn of(&self, owner: &Owner<'_>) -> TenantId {
        let mut own = self.tenants.iter().enumerate().skip(1);
        own.find(|(_, tenant)| tenant.owns(owner)).map_or(PLATFORM, |(id, _)| id)
    }

    pub fn get(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(id)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tenant> {
        self.tenants.iter()
    }
}

impl Tenant {
    fn owns(&self, owner: &Owner<'_>) -> bool {
        let fits = |patterns: &[Pattern], value: Option<&str>| {
            patterns.is_empty()
                || value.is_some_and(|value| patterns.iter().any(|pattern| pattern.fits(value)))
        };
        let has = |wanted: &[Label], labels: Option<&Labels>| {
            wanted.is_empty() || labels.is_some_and(|labels| wanted.iter().any(|label| label.fits(labels)))
        };
        fits(&self.namespaces, owner.namespace)
            && fits(&self.images, owner.image)
            && has(&self.labels, owner.labels)
            && (has(&self.annotations, owner.annotations)
                || has(&self.annotations, owner.namespace_annotations))
            && has(&self.namespace_labels, owner.namespace_labels)
            && has(&self.node_labels, owner.node_labels)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::enrich::container::{Image, Pod};

    const UNLIMITED: RateLimit = RateLimit { rate: 0.0, burst: 1, window: Duration::from_secs(60) };

    fn tenant(name: &str, change: impl FnOnce(&mut Tenant)) -> Tenant {
        let mut tenant = Tenants::new(&[], "", UNLIMITED).tenants.remove(0);
        tenant.name = name.into();
        change(&mut tenant);
        tenant
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(text)).collect()
    }

    fn labels(texts: &[&str]) -> Vec<Label> {
        texts.iter().map(|text| Label::parse(text).unwrap()).collect()
    }

    fn pod(namespace: &str, label: &str, annotation: &str, image: &str) -> Container {
        let one = |text: &str| text.split_once('=').map(|(k, v)| [(k.into(), v.into())].into());
        Container {
            image: Image { reference: Some(image.into()), ..Image::default() },
            pod: Some(Pod {
                namespace: Some(namespace.into()),
                labels: one(label),
                annotations: one(annotation),
                ..Pod::default()
            }),
            ..Container::default()
        }
    }

    #[test]
    fn the_first_tenant_that_fits_owns_it() {
        let configured = [
            tenant("elsewhere", |t| t.nodes = patterns(&["gpu-*"])),
            tenant("shop", |t| t.namespaces = patterns(&["shop", "shop-*"])),
            tenant("ml", |t| {
                t.labels = labels(&["team=ml", "team=data"]);
                t.images = patterns(&["registry.example/*"]);
            }),
            tenant("noted", |t| t.annotations = labels(&["yagura.dev/tenant=noted"])),
            tenant("marked", |t| t.labels = labels(&["marked"])),
            tenant("late", |t| t.namespaces = patterns(&["shop-late"])),
        ];
        let tenants = Tenants::new(&configured, "node-1", UNLIMITED);
        for (namespace, label, annotation, image, expected) in [
            ("shop", "", "", "i", "shop"),
            ("shop-late", "", "", "i", "shop"),
            ("shopping", "", "", "i", "platform"),
            ("x", "team=ml", "", "registry.example/a", "ml"),
            ("x", "team=data", "", "registry.example/a", "ml"),
            ("x", "team=ml", "", "other/a", "platform"),
            ("x", "team=mlx", "", "registry.example/a", "platform"),
            ("x", "", "yagura.dev/tenant=noted", "i", "noted"),
            ("x", "yagura.dev/tenant=noted", "", "i", "platform"),
            ("x", "marked=", "", "i", "marked"),
            ("x", "", "", "i", "platform"),
        ] {
            let container = pod(namespace, label, annotation, image);
            let found = tenants.get(tenants.of(&Owner::of(&container))).unwrap();
            assert_eq!(&*found.name, expected, "{namespace} {label} {annotation} {image}");
        }
        assert_eq!(tenants.of(&Owner::default()), PLATFORM, "the host");
        let gpu = Tenants::new(&configured, "gpu-7", UNLIMITED);
        let found = gpu.of(&Owner::of(&pod("x", "", "", "i")));
        assert_eq!(gpu.get(found).map(|tenant| &*tenant.name), Some("elsewhere"));
    }

    #[test]
    fn a_container_without_a_pod_has_its_own_labels() {
        let container =
            Container { labels: Some([("team".into(), "ml".into())].into()), ..Container::default() };
        assert!(labels(&["team=ml"])[0].fits(Owner::of(&container).labels.unwrap()));
    }
}
