//! Whose metrics: all, or what is one tenant's own.

use std::collections::HashMap;

use prometheus::proto::{Metric, MetricFamily};

use crate::detection::PLATFORM_TENANT;

/// What is shown of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View<'t> {
    Everything,
    /// What has the label `tenant` with this value; for the platform also what is of no tenant.
    Tenant(&'t str),
}

/// Whose a sample is.
pub fn owner(metric: &Metric) -> &str {
    let tenant = metric.get_label().iter().find(|label| label.name() == "tenant");
    tenant.map_or(PLATFORM_TENANT, |label| label.value())
}

/// What belongs to each, of one gathering. Families of which somebody has nothing are left out there.
pub fn by_owner(families: &[MetricFamily]) -> HashMap<String, Vec<MetricFamily>> {
    let mut all: HashMap<String, Vec<MetricFamily>> = HashMap::new();
    for family in families {
        let mut own: HashMap<&str, Vec<Metric>> = HashMap::new();
        for metric in family.get_metric() {
            own.entry(owner(metric)).or_default().push(metric.clone());
        }
        for (owner, metrics) in own {
            let mut part = MetricFamily::default();
            part.set_name(family.name().to_owned());
            part.set_help(family.help().to_owned());
            part.set_field_type(family.get_field_type());
            part.set_metric(metrics);
            all.entry(owner.to_owned()).or_default().push(part);
        }
    }
    all
}

impl View<'_> {
    /// Leaves what belongs to it; families of which nothing is left are left out.
    pub fn of(self, mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
        let View::Tenant(wanted) = self else { return families };
        for family in &mut families {
            let mut metrics = family.take_metric();
            metrics.retain(|metric| owner(metric) == wanted);
            family.set_metric(metrics);
        }
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}
