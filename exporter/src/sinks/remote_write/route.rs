//! Where a tenant's samples go, and what they are given to get there.

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::Settings;
use crate::sinks::tenant_ids::{TenantIds, account, check_account, check_org};

/// `{tenant_id}` in the path of a URL that was parsed.
const PLACE: &str = "%7Btenant_id%7D";

/// How the receiver is told whose samples they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// By nothing but their labels.
    Plain,
    /// `{tenant_id}` in the URL's path is an account, with or without a project.
    Path(TenantIds),
    /// The same as labels `vm_account_id` and `vm_project_id`, for VictoriaMetrics' multitenant endpoint.
    Labels(TenantIds),
    /// In a header.
    Header(HeaderName, TenantIds),
}

/// A tenant's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub url: Url,
    pub headers: HeaderMap,
    /// Further external labels.
    pub labels: Vec<(String, String)>,
}

impl Settings {
    /// `None`: the tenant has no id where one is needed.
    pub(super) fn route(&self, tenant: &str) -> Option<Route> {
        let mut route = Route { url: self.target.url.clone(), headers: HeaderMap::new(), labels: Vec::new() };
        match &self.tenancy {
            Tenancy::Plain => {}
            Tenancy::Path(ids) => {
                let id = ids.of(tenant).filter(|id| check_account(id).is_ok())?;
                let path = route.url.path().replace(PLACE, &id);
                route.url.set_path(&path);
            }
            Tenancy::Labels(ids) => {
                let id = ids.of(tenant).filter(|id| check_account(id).is_ok())?;
                let (account, project) = account(&id);
                let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
                route.labels = vec![label("vm_account_id", account), label("vm_project_id", project)];
            }
            Tenancy::Header(name, ids) => {
                let id = ids.of(tenant).filter(|id| check_org(id).is_ok())?;
                route.headers.insert(name.clone(), HeaderValue::from_str(&id).ok()?);
            }
        }
        Some(route)
    }

    /// Whether a tenant's samples can be sent to where they belong.
    pub fn knows(&self, tenant: &str) -> bool {
        self.route(tenant).is_some()
    }
}

/// Whether a URL has a place for the tenant; the error says what is wrong with its braces.
pub fn has_place(url: &Url) -> Result<bool, String> {
    let rest = url.path().replace(PLACE, "");
    let others = [url.query(), url.fragment(), Some(&rest)];
    let brace = |text: &&str| text.contains(['{', '}']) || text.contains("%7B") || text.contains("%7D");
    if others.iter().flatten().any(brace) {
        return Err("in the path of this url, and nowhere else, {tenant_id} may stand".into());
    }
    Ok(rest.len() != url.path().len())
}
