//! What differs between receivers of the same protocol: where they take it, and what they call a tenant.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};

use crate::sinks::tenant_ids::{account, check_account, check_org};

/// Whom we speak to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// A tenant is an organisation's name.
    #[default]
    Loki,
    /// A tenant is `account` or `account:project`, both numbers.
    VictoriaLogs,
}

const ORG: HeaderName = HeaderName::from_static("x-scope-orgid");
const ACCOUNT: HeaderName = HeaderName::from_static("accountid");
const PROJECT: HeaderName = HeaderName::from_static("projectid");

impl Dialect {
    /// Where it takes requests.
    pub const fn path(self) -> &'static str {
        match self {
            Dialect::Loki => "/loki/api/v1/push",
            Dialect::VictoriaLogs => "/insert/loki/api/v1/push",
        }
    }

    /// Whether a header says whose a request is.
    pub fn is_tenant_header(self, name: &str) -> bool {
        [ORG, ACCOUNT, PROJECT].iter().any(|header| header.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether it would take an id, in which `{tenant}` stands for any of our tenants' names.
    pub fn check(self, id: &str) -> Result<(), String> {
        match self {
            Dialect::Loki => check_org(id),
            Dialect::VictoriaLogs => check_account(id),
        }
    }

    /// The headers that say whose a request is.
    pub(super) fn headers(self, id: Option<&str>) -> Result<HeaderMap, InvalidHeaderValue> {
        let mut headers = HeaderMap::new();
        match (self, id) {
            (_, None) => {}
            (Dialect::Loki, Some(id)) => {
                headers.insert(ORG, HeaderValue::from_str(id)?);
            }
            (Dialect::VictoriaLogs, Some(id)) => {
                let (account, project) = account(id);
                headers.insert(ACCOUNT, HeaderValue::from_str(account)?);
                headers.insert(PROJECT, HeaderValue::from_str(project)?);
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_the_receiver_takes() {
        let long = "x".repeat(151);
        for (dialect, id, fine) in [
            (Dialect::Loki, "shop", true),
            (Dialect::Loki, "{tenant}", true),
            (Dialect::Loki, "a!-_.*'()9", true),
            (Dialect::Loki, &long[..150], true),
            (Dialect::Loki, &long, false),
            (Dialect::Loki, &format!("{}{{tenant}}", &long[..88]), false),
            (Dialect::Loki, "a|b", false),
            (Dialect::Loki, "../x", false),
            (Dialect::Loki, ".", false),
            (Dialect::Loki, "..", false),
            (Dialect::Loki, "", false),
            (Dialect::Loki, "a b", false),
            (Dialect::Loki, "é", false),
            (Dialect::Loki, "3:0", false),
            (Dialect::VictoriaLogs, "3", true),
            (Dialect::VictoriaLogs, "3:0", true),
            (Dialect::VictoriaLogs, "4294967295:4294967295", true),
            (Dialect::VictoriaLogs, "4294967296", false),
            (Dialect::VictoriaLogs, "{tenant}", false),
            (Dialect::VictoriaLogs, "shop", false),
            (Dialect::VictoriaLogs, "+3", false),
            (Dialect::VictoriaLogs, "", false),
            (Dialect::VictoriaLogs, "3:", false),
            (Dialect::VictoriaLogs, ":3", false),
            (Dialect::VictoriaLogs, "3:0:1", false),
        ] {
            assert_eq!(dialect.check(id).is_ok(), fine, "{dialect:?} {id}");
        }
    }

    #[test]
    fn headers_are_the_tenants() {
        for (dialect, id, expected) in [
            (Dialect::Loki, None, &[][..]),
            (Dialect::Loki, Some("shop"), &[("x-scope-orgid", "shop")]),
            (Dialect::VictoriaLogs, None, &[]),
            (Dialect::VictoriaLogs, Some("7"), &[("accountid", "7"), ("projectid", "0")]),
            (Dialect::VictoriaLogs, Some("7:9"), &[("accountid", "7"), ("projectid", "9")]),
        ] {
            let headers = dialect.headers(id).unwrap();
            let mut pairs: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            pairs.sort_unstable();
            assert_eq!(pairs, expected, "{dialect:?} {id:?}");
        }
    }
}
