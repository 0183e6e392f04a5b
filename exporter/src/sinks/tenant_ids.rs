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

/// Longest name of an organisation, as Loki and Mimir have it.
const MAX_ORG: usize = 150;
/// The longest name of ours.
const MAX_TENANT: usize = 63;

/// An organisation's name as Loki, Mimir and Cortex take it in `X-Scope-OrgID`; one, not several. `{tenant}` in it stands for
/// any tenant's name.
pub fn check_org(id: &str) -> Result<(), String> {
    let longest = id.replace(PLACE, &"t".repeat(MAX_TENANT));
    let plain = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
    let is_folder = matches!(id, "." | "..");
    if longest.is_empty() || longest.len() > MAX_ORG || !longest.chars().all(plain) || is_folder {
        return Err(format!(
            "'{id}' is no name of an organisation: letters, digits and !-_.*'(), at most {MAX_ORG}"
        ));
    }
    Ok(())
}

/// An account of VictoriaMetrics or VictoriaLogs, with or without a project: `3`, `3:0`.
pub fn check_account(id: &str) -> Result<(), String> {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u32>().is_ok();
    let (account, project) = account(id);
    if is_number(account) && is_number(project) {
        Ok(())
    } else {
        Err(format!("'{id}' is not ACCOUNT or ACCOUNT:PROJECT, each a number below 2^32"))
    }
}

/// Account and project of a checked id.
pub fn account(id: &str) -> (&str, &str) {
    id.split_once(':').unwrap_or((id, "0"))
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
