//! `web`: how the HTTP server is protected. `k8s_audit`: what it takes from API servers.

use std::{net::SocketAddr, path::PathBuf};

use saphyr::Marker;

use super::walk::{Errors, Map, Spanned};

/// How the HTTP server is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebConfig {
    /// `None`: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Where bearer tokens come from; the tokens themselves are in no configuration.
    pub tokens: Vec<TokenSource>,
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    File(PathBuf),
    /// The name of an environment variable.
    Environment(String),
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
                let raw =
                    RawToken { at, file: token.string("file", errors), env: token.string("env", errors) };
                token.finish(errors);
                raw
            })
            .collect();
        web.finish(errors);
        RawWeb { tls, tokens }
    }

    pub fn check(self, errors: &mut Errors) -> WebConfig {
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
        for RawToken { at, file, env } in self.tokens {
            match (file, env) {
                (Some(file), None) => tokens.push(TokenSource::File(file.value.into())),
                (None, Some(env)) if env.value.starts_with("YAGURA_") => {
                    tokens.push(TokenSource::Environment(env.value));
                }
                (None, Some(env)) => {
                    errors.at(env.at, format!("'{}' does not begin with YAGURA_", env.value));
                }
                _ => errors.at(at, "an entry of tokens must have either file or env".into()),
            }
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

/// What must not be: anybody who reaches the machine could make detections, or hide them in a flood of others.
pub(super) fn check_exposure(
    listen: SocketAddr,
    at: Marker,
    web: &WebConfig,
    audit: &AuditConfig,
    errors: &mut Errors,
) {
    if audit.enabled && !listen.ip().to_canonical().is_loopback() && !web.authenticates() {
        errors.at(
            at,
            format!(
                "anybody who reaches {listen} could post audit events: set web.tokens or web.tls.client_ca, or \
                 k8s_audit.enabled: false"
            ),
        );
    }
}
