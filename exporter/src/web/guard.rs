//! Who may do what needs a proof: a client with a certificate of the configured authority, or with a token.

use std::{fmt, fs, io, path::PathBuf};

use hyper::{HeaderMap, header::AUTHORIZATION};
use subtle::{Choice, ConstantTimeEq};

use super::Peer;
use crate::config::{TokenSource, WebConfig};

/// Shorter tokens can be guessed.
const MIN_TOKEN: usize = 16;

/// Why a secret or certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{place}: a token has at least {MIN_TOKEN} characters, without blanks")]
    Weak { place: String },
    #[error("the environment variable {name} is not set")]
    Unset { name: String },
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
    tokens: Vec<Box<[u8]>>,
    /// Whether a proof is asked for at all.
    required: bool,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Guard {
    /// Reads the tokens.
    pub fn new(config: &WebConfig) -> Result<Guard, SecretError> {
        let tokens = config.tokens.iter().map(token).collect::<Result<_, _>>()?;
        Ok(Guard { tokens, required: config.authenticates() })
    }

    /// Whether a request may do what needs a proof.
    pub fn allows(&self, peer: Peer, headers: &HeaderMap) -> bool {
        if !self.required || peer.certified {
            return true;
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
        });
        let Some(given) = given else { return false };
        // All are compared, in a time that tells nothing but lengths.
        let found = self.tokens.iter().fold(Choice::from(0), |found, token| found | token.ct_eq(given));
        found.into()
    }
}

fn token(source: &TokenSource) -> Result<Box<[u8]>, SecretError> {
    let (text, place) = match source {
        TokenSource::File(path) => {
            let read = |source| SecretError::Read { path: path.clone(), source };
            (fs::read(path).map_err(read)?, path.display().to_string())
        }
        TokenSource::Environment(name) => {
            let value = std::env::var_os(name).ok_or_else(|| SecretError::Unset { name: name.clone() })?;
            (value.into_encoded_bytes(), name.clone())
        }
    };
    let token = text.trim_ascii();
    if token.len() < MIN_TOKEN || !token.iter().all(u8::is_ascii_graphic) {
        return Err(SecretError::Weak { place });
    }
    Ok(token.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::TlsConfig;

    const TOKEN: &str = "0123456789abcdef";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn guard(tokens: &[&str]) -> Guard {
        let files: Vec<_> = tokens.iter().map(|token| file(token)).collect();
        let tokens = files.iter().map(|file| TokenSource::File(file.path().to_owned())).collect();
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
            assert_eq!(guard.allows(Peer::default(), &headers), expected, "{header}");
        }
        assert!(!guard.allows(Peer::default(), &HeaderMap::new()));
        assert!(guard.allows(Peer { certified: true }, &HeaderMap::new()));
        assert!(!format!("{guard:?}").contains(TOKEN));
    }

    #[test]
    fn without_either_nothing_is_asked_for() {
        let tls = TlsConfig { certificate: "c".into(), key: "k".into(), client_ca: None };
        let guard = Guard::new(&WebConfig { tls: Some(tls.clone()), tokens: Vec::new() }).unwrap();
        assert!(guard.allows(Peer::default(), &HeaderMap::new()));
        let tls = TlsConfig { client_ca: Some("ca".into()), ..tls };
        let guard = Guard::new(&WebConfig { tls: Some(tls), tokens: Vec::new() }).unwrap();
        assert!(!guard.allows(Peer::default(), &HeaderMap::new()));
        assert!(guard.allows(Peer { certified: true }, &HeaderMap::new()));
    }

    #[test]
    fn bad_tokens_are_refused_at_the_start() {
        for text in ["", "short\n", "with blanks in it, many", "0123456789abcde\u{e9}"] {
            let file = file(text);
            let tokens = vec![TokenSource::File(file.path().to_owned())];
            let error = Guard::new(&WebConfig { tls: None, tokens }).unwrap_err().to_string();
            assert!(error.contains("at least 16 characters"), "{text}: {error}");
            assert!(text.is_empty() || !error.contains(text.trim()), "{error}");
        }
        for (source, expected) in [
            (TokenSource::File("/nonexistent/token".into()), "cannot read /nonexistent/token"),
            (TokenSource::Environment("YAGURA_NOT_SET".into()), "variable YAGURA_NOT_SET is not set"),
        ] {
            let error = Guard::new(&WebConfig { tls: None, tokens: vec![source] }).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
