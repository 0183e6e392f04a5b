//! `web`: how the HTTP server is protected. `k8s_audit`: what it takes from API servers.

use std::{net::SocketAddr, path::PathBuf};

use saphyr::Marker;

use super::walk::{Errors, Map, Spanned};
use crate::{detection::PLATFORM_TENANT, secret::Secret, tenants::Tenant, web::Access};

/// How the HTTP server is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebConfig {
    /// `None`: plain HTTP.
    pub tls: Option<TlsConfig>,
    pub tokens: Vec<TokenConfig>,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate, followed by those between it and its root.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who signs the certificates of clients.
    pub client_ca: Option<PathBuf>,
}

/// A bearer token. It is itself in no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    pub secret: Secret,
    pub access: Access,
}

impl WebConfig {
    /// Whether a client has a way to prove who it is.
    pub fn authenticates(&self) -> bool {
        !self.tokens.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }
}

/// What is taken from API servers (`POST /k8s-audit`), and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    pub enabled: bool,
    /// Bytes of one request's body, also once it is unpacked.
    pub max_body: usize,
    /// Events that wait for the rules.
    pub queue_events: usize,
    /// Bytes of these.
    pub queue_bytes: usize,
    /// Events remembered, to know repetitions.
    pub remembered: usize,
}

impl Default for AuditConfig {
    fn default() -> AuditConfig {
        AuditConfig {
            enabled: true,
            max_body: 16 << 20,
            queue_events: 8192,
            queue_bytes: 64 << 20,
            remembered: 65_536,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct RawWeb {
    tls: Option<RawTls>,
    tokens: Vec<RawToken>,
}

#[derive(Debug)]
struct RawToken {
    at: Marker,
    file: Option<Spanned<String>>,
    env: Option<Spanned<String>>,
    scope: Option<Spanned<String>>,
    tenant: Option<Spanned<String>>,
}

#[derive(Debug)]
struct RawTls {
    certificate: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    client_ca: Option<Spanned<String>>,
}

#[derive(Debug, Default)]
pub(super) struct RawAudit {
    pub enabled: Option<Spanned<bool>>,
    pub max_body: Option<Spanned<u64>>,
    pub queue_events: Option<Spanned<u64>>,
    pub queue_bytes: Option<Spanned<u64>>,
    pub remembered: Option<Spanned<u64>>,
}

impl RawWeb {
    pub fn parse(root: &mut Map<'_>, errors: &mut Errors) -> RawWeb {
        let Some(mut web) = root.map("web", errors) else { return RawWeb::default() };
        let tls = web.map("tls", errors).map(|mut tls| {
            let raw = RawTls {
                certificate: tls.string("certificate", errors),
                key: tls.string("key", errors),
                client_ca: tls.string("client_ca", errors),
            };
            tls.finish(errors);
            raw
        });
        let tokens = web.maps("tokens", errors);
        let tokens = tokens
            .into_iter()
            .map(|(at, mut token)| {
                let raw = RawToken {
                    at,
                    file: token.string("file", errors),
                    env: token.string("env", errors),
                    scope: token.string("scope", errors),
                    tenant: token.string("tenant", errors),
                };
                token.finish(errors);
                raw
            })
            .collect();
        web.finish(errors);
        RawWeb { tls, tokens }
    }

    pub fn check(self, tenants: &[Tenant], errors: &mut Errors) -> WebConfig {
        let tls = self.tls.and_then(|RawTls { certificate, key, client_ca }| {
            let path = |text: Spanned<String>| PathBuf::from(text.value);
            match (certificate, key) {
                (Some(certificate), Some(key)) => Some(TlsConfig {
                    certificate: path(certificate),
                    key: path(key),
                    client_ca: client_ca.map(path),
                }),
                (certificate, key) => {
                    let at = certificate.or(key).or(client_ca).map_or(Marker::default(), |text| text.at);
                    errors.at(at, "web.tls needs both certificate and key".into());
                    None
                }
            }
        });
        let mut tokens = Vec::new();
        for RawToken { at, file, env, scope, tenant } in self.tokens {
            let secret = match (file, env) {
                (Some(file), None) => Some(Secret::File(file.value.into())),
                (None, Some(env)) if env.value.starts_with("YAGURA_") => Some(Secret::Environment(env.value)),
                (None, Some(env)) => {
                    errors.at(env.at, format!("'{}' does not begin with YAGURA_", env.value));
                    None
                }
                _ => {
                    errors.at(at, "an entry of tokens must have either file or env".into());
                    None
                }
            };
            let access = match (scope, tenant) {
                (Some(Spanned { at, .. }), Some(_)) => {
                    errors.at(at, "a tenant's token has no scope: it reads what is the tenant's".into());
                    continue;
                }
                (None, Some(tenant)) => {
                    check_tenant(&tenant, tenants, errors);
                    Access::Tenant(tenant.value.into())
                }
                (scope, None) => {
                    // Not a wider one for a word that is not known: the error stops the start.
                    let scopes = [Access::All, Access::Read, Access::Audit];
                    let words = [("all", 0), ("read", 1), ("audit", 2)];
                    scopes.into_iter().nth(errors.choice(scope, &words, 0)).unwrap_or_default()
                }
            };
            tokens.extend(secret.map(|secret| TokenConfig { secret, access }));
        }
        WebConfig { tls, tokens }
    }
}

impl RawAudit {
    pub fn parse(root: &mut Map<'_>, errors: &mut Errors) -> RawAudit {
        let Some(mut audit) = root.map("k8s_audit", errors) else { return RawAudit::default() };
        let raw = RawAudit {
            enabled: audit.bool("enabled", errors),
            max_body: audit.size("max_body_size", errors),
            queue_events: audit.integer("queue_events", errors),
            queue_bytes: audit.size("queue_size", errors),
            remembered: audit.integer("remembered_events", errors),
        };
        audit.finish(errors);
        raw
    }

    pub fn check(self, errors: &mut Errors) -> AuditConfig {
        let RawAudit { enabled, max_body, queue_events, queue_bytes, remembered } = self;
        let default = AuditConfig::default();
        let bytes = |min: u64, max: u64| {
            move |bytes: &u64| match usize::try_from(*bytes) {
                Ok(size) if (min..=max).contains(bytes) => Ok(size),
                _ => Err(format!("{bytes} is not between {}KiB and {}MiB", min >> 10, max >> 20)),
            }
        };
        AuditConfig {
            enabled: enabled.map_or(default.enabled, |enabled| enabled.value),
            max_body: errors.parsed(max_body, default.max_body, bytes(64 << 10, 256 << 20)),
            queue_events: errors.ranged(queue_events, 16..=1_000_000, default.queue_events),
            queue_bytes: errors.parsed(queue_bytes, default.queue_bytes, bytes(1 << 20, 4 << 30)),
            remembered: errors.ranged(remembered, 16..=10_000_000, default.remembered),
        }
    }
}

/// A token for nobody would be found out too late.
fn check_tenant(tenant: &Spanned<String>, tenants: &[Tenant], errors: &mut Errors) {
    let names = || tenants.iter().map(|tenant| &*tenant.name).chain([PLATFORM_TENANT]);
    if !names().any(|name| name == tenant.value) {
        let suggestion = crate::suggest::nearest(&tenant.value, names());
        let suggestion = suggestion.map(|name| format!(", did you mean '{name}'?")).unwrap_or_default();
        errors.at(tenant.at, format!("there is no tenant '{}'{suggestion}", tenant.value));
    }
}

/// What must not be: anybody who reaches the machine could read what every tenant does, make detections, or hide them
/// in a flood of others.
pub(super) fn check_exposure(listen: SocketAddr, at: Marker, web: &WebConfig, errors: &mut Errors) {
    if !listen.ip().to_canonical().is_loopback() && !web.authenticates() {
        let what = "could read the metrics of every tenant and post audit events";
        let remedy = "set web.tokens or web.tls.client_ca";
        errors.at(at, format!("anybody who reaches {listen} {what}: {remedy}"));
    }
}
