//! What a receiver calls a tenant: Loki's organisation, VictoriaMetrics' account and project.

use std::collections::BTreeMap;

/// Where the tenant's own name goes.
pub const PLACE: &str = "{tenant}";

/// Names at a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantIds {
    /// By tenant.
    pub named: BTreeMap<String, String>,
    /// Of tenants that are not there; `{tenant}` in it is the tenant's name. `None`: they have no name.
    pub otherwise: Option<String>,
}

impl TenantIds {
    pub fn of(&self, tenant: &str) -> Option<String> {
        match self.named.get(tenant) {
            Some(id) => Some(id.clone()),
            None => self.otherwise.as_ref().map(|id| id.replace(PLACE, tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_its_own_or_made_from_the_tenants() {
        let named = [("shop".to_owned(), "3:0".to_owned())];
        for (otherwise, tenant, expected) in [
            (None, "shop", Some("3:0")),
            (None, "ml", None),
            (Some("team-{tenant}"), "ml", Some("team-ml")),
            (Some("team-{tenant}"), "shop", Some("3:0")),
            (Some("7"), "ml", Some("7")),
        ] {
            let ids = TenantIds { named: named.clone().into(), otherwise: otherwise.map(str::to_owned) };
            assert_eq!(ids.of(tenant).as_deref(), expected, "{otherwise:?} {tenant}");
        }
    }
}
