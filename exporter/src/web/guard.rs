//! Who may do what needs a proof: a client with a certificate of the configured authority, or with a token.

use std::{fmt, io, path::PathBuf};

use hyper::{HeaderMap, header::AUTHORIZATION};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::{Access, Peer};
use crate::{
    config::{TokenConfig, WebConfig},
    secret::{Secret, SecretError},
};

/// Shorter tokens can be guessed.
const MIN_TOKEN: usize = 16;

/// Why a token or certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    #[error(transparent)]
    Token(#[from] SecretError),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{place}: a token has at least {MIN_TOKEN} characters, without blanks")]
    Weak { place: String },
    #[error("{place}: the same token as another's")]
    Shared { place: String },
    #[error("{}: not PEM of {what}", path.display())]
    Pem { path: PathBuf, what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("{}: no certificate in it", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{}: not an authority that can sign certificates of clients", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("{}: no clients can be verified with it", path.display())]
    Verifier { path: PathBuf, source: rustls::server::VerifierBuilderError },
    #[error("{}: key and certificate cannot be used", path.display())]
    Identity { path: PathBuf, source: rustls::Error },
}

/// The proofs that are taken.
#[derive(Clone, Default)]
pub struct Guard {
    /// In the configuration's order; `None`: a tenant's that has never been good.
    tokens: Vec<Option<Token>>,
    /// Whether a proof is asked for at all.
    required: bool,
}

#[derive(Clone)]
struct Token {
    text: Box<[u8]>,
    access: Access,
}

/// A token that cannot be used, and what it is for.
pub type Wrong = (Access, ProtectionError);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Guard {
    /// Reads the tokens. A tenant's that cannot be used is said and left out: it is the tenant's to mend, and keeps nobody
    /// else from what is theirs. The platform's must be good.
    pub fn new(config: &WebConfig) -> Result<Guard, ProtectionError> {
        let (guard, wrong) = Guard::default().renewed(config);
        for (access, error) in wrong {
            let Access::Tenant(tenant) = access else { return Err(error) };
            let error = crate::kernel::chain(&error);
            tracing::error!(%tenant, %error, "the tenant's token cannot be used");
        }
        Ok(guard)
    }

    /// Reads them again. One that cannot be used is the old one still.
    pub fn renewed(&self, config: &WebConfig) -> (Guard, Vec<Wrong>) {
        let mut tokens: Vec<Option<Token>> = Vec::with_capacity(config.tokens.len());
        let mut wrong = Vec::new();
        for (number, TokenConfig { secret, access }) in config.tokens.iter().enumerate() {
            // Whose would it be?
            let is_anothers = |token: &Token| {
                tokens.iter().flatten().any(|other| other.text == token.text && other.access != *access)
            };
            let token = match read(secret) {
                Ok(text) => {
                    let token = Token { text, access: access.clone() };
                    if is_anothers(&token) {
                        Err(ProtectionError::Shared { place: secret.to_string() })
                    } else {
                        Ok(token)
                    }
                }
                Err(error) => Err(error),
            };
            let token = token.map_or_else(
                |error| {
                    wrong.push((access.clone(), error));
                    self.tokens.get(number)?.clone().filter(|token| !is_anothers(token))
                },
                Some,
            );
            tokens.push(token);
        }
        (Guard { tokens, required: config.authenticates() }, wrong)
    }

    /// What a request's proof gives; `None`: it has none that is good.
    pub fn access(&self, peer: Peer, headers: &HeaderMap) -> Option<&Access> {
        if !self.required || peer.certified {
            return Some(&Access::All);
        }
        let (scheme, given) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
        let given = scheme.eq_ignore_ascii_case(b"Bearer ").then_some(given.trim_ascii())?;
        // All are compared, in a time that tells nothing but lengths.
        let tokens = || self.tokens.iter().flatten();
        let found = (1u32..).zip(tokens()).fold(0u32, |mut found, (number, token)| {
            found.conditional_assign(&number, token.text.ct_eq(given));
            found
        });
        let index = usize::try_from(found.checked_sub(1)?).ok()?;
        tokens().nth(index).map(|token| &token.access)
    }
}

fn read(secret: &Secret) -> Result<Box<[u8]>, ProtectionError> {
    let text = secret.read()?.into_bytes().into_boxed_slice();
    if text.len() < MIN_TOKEN || !text.iter().all(u8::is_ascii_graphic) {
        return Err(ProtectionError::Weak { place: secret.to_string() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, path::Path};

    use super::*;
    use crate::config::TlsConfig;

    const TOKEN: &str = "0123456789abcdef";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn token(path: &Path, access: Access) -> TokenConfig {
        TokenConfig { secret: Secret::File(path.to_owned()), access }
    }

    fn guard(tokens: &[&str]) -> Guard {
        let files: Vec<_> = tokens.iter().map(|token| file(token)).collect();
        let tokens = files.iter().map(|file| token(file.path(), Access::All)).collect();
        Guard::new(&WebConfig { tls: None, tokens }).unwrap()
    }

    #[test]
    fn a_token_or_a_certificate_opens() {
        let other = "another-token-of-more-than-16";
        let guard = guard(&[&format!("{TOKEN}\n"), other]);
        for (header, expected) in [
            (format!("Bearer {TOKEN}"), true),
            (format!("bearer  {TOKEN} "), true),
            (format!("Bearer {other}"), true),
            (format!("Bearer {TOKEN}x"), false),
            ("Bearer 0123456789abcdeF".into(), false),
            ("Bearer ".into(), false),
            ("Bearer".into(), false),
            (format!("Basic {TOKEN}"), false),
            (TOKEN.into(), false),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
            assert_eq!(guard.access(Peer::default(), &headers).is_some(), expected, "{header}");
        }
        assert_eq!(guard.access(Peer::default(), &HeaderMap::new()), None);
        assert_eq!(guard.access(Peer { certified: true }, &HeaderMap::new()), Some(&Access::All));
        assert!(!format!("{guard:?}").contains(TOKEN));
    }

    #[test]
    fn without_either_nothing_is_asked_for() {
        let tls = TlsConfig { certificate: "c".into(), key: "k".into(), client_ca: None };
        let guard = Guard::new(&WebConfig { tls: Some(tls.clone()), tokens: Vec::new() }).unwrap();
        assert_eq!(guard.access(Peer::default(), &HeaderMap::new()), Some(&Access::All));
        let tls = TlsConfig { client_ca: Some("ca".into()), ..tls };
        let guard = Guard::new(&WebConfig { tls: Some(tls), tokens: Vec::new() }).unwrap();
        assert_eq!(guard.access(Peer::default(), &HeaderMap::new()), None);
        assert_eq!(guard.access(Peer { certified: true }, &HeaderMap::new()), Some(&Access::All));
    }

    #[test]
    fn bad_tokens_are_refused_at_the_start() {
        for text in ["", "short\n", "with blanks in it, many", "0123456789abcdef\u{e9}"] {
            let file = file(text);
            let tokens = vec![token(file.path(), Access::All)];
            let error = Guard::new(&WebConfig { tls: None, tokens }).unwrap_err().to_string();
            assert!(error.contains("at least 16 characters"), "{text}: {error}");
            assert!(text.is_empty() || !error.contains(text.trim()), "{error}");
        }
        for (secret, expected) in [
            (Secret::File("/nonexistent/token".into()), "/nonexistent/token: No such file"),
            (Secret::Environment("YAGURA_NOT_SET".into()), "variable YAGURA_NOT_SET is not set"),
        ] {
            let tokens = vec![TokenConfig { secret, access: Access::All }];
            let error = Guard::new(&WebConfig { tls: None, tokens }).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn each_token_is_for_something() {
        let texts = ["platform-token-16", "readers-token-016", "audits-token-0016", "shops-token-00016"];
        let files = texts.map(file);
        let access = [Access::All, Access::Read, Access::Audit, Access::Tenant("shop".into())];
        let tokens: Vec<_> =
            files.iter().zip(&access).map(|(file, access)| token(file.path(), access.clone())).collect();
        let guard = Guard::new(&WebConfig { tls: None, tokens: tokens.clone() }).unwrap();
        for (text, expected) in texts.iter().zip(&access) {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {text}").parse().unwrap())]);
            assert_eq!(guard.access(Peer::default(), &headers), Some(expected));
        }
        // Two who have the same cannot be told apart.
        let twice = [tokens, vec![token(files[3].path(), Access::Read)]].concat();
        let error = Guard::new(&WebConfig { tls: None, tokens: twice }).unwrap_err().to_string();
        assert!(error.contains("the same token as another's") && !error.contains(texts[3]), "{error}");
    }

    #[test]
    fn a_tenants_bad_token_is_nobody_elses_trouble() {
        let (platform, shop) = (file("platform-token-16"), file("short"));
        let ml = file("platform-token-16");
        let tokens = vec![
            token(platform.path(), Access::All),
            token(shop.path(), Access::Tenant("shop".into())),
            token(ml.path(), Access::Tenant("ml".into())),
        ];
        let config = WebConfig { tls: None, tokens };
        let first = Guard::new(&config).unwrap();
        let whose = |guard: &Guard, text: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {text}").parse().unwrap())]);
            guard.access(Peer::default(), &headers).cloned()
        };
        assert_eq!(whose(&first, "platform-token-16"), Some(Access::All));
        assert_eq!(whose(&first, "short"), None);
        // The tenant mends its own, then the platform's is replaced while the tenant's is bad again.
        std::fs::write(shop.path(), "shops-token-00016").unwrap();
        let (second, wrong) = first.renewed(&config);
        assert_eq!(whose(&second, "shops-token-00016"), Some(Access::Tenant("shop".into())));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        std::fs::write(platform.path(), "platform-token-17").unwrap();
        std::fs::remove_file(shop.path()).unwrap();
        let (third, wrong) = second.renewed(&config);
        assert_eq!(
            wrong.iter().map(|(access, _)| access).collect::<Vec<_>>(),
            [&Access::Tenant("shop".into())]
        );
        for (text, expected) in [
            ("platform-token-16", Some(Access::Tenant("ml".into()))),
            ("platform-token-17", Some(Access::All)),
            ("shops-token-00016", Some(Access::Tenant("shop".into()))),
        ] {
            assert_eq!(whose(&third, text), expected, "{text}");
        }
        // What another has now is not the old owner's any more, whatever its file is.
        std::fs::write(platform.path(), "shops-token-00016").unwrap();
        let (fourth, _) = third.renewed(&config);
        assert_eq!(whose(&fourth, "shops-token-00016"), Some(Access::All));
    }
}
