//! Tokens, keys and certificates in use. They are read again while the server runs: certificates are renewed, tokens
//! replaced, and nobody should have to restart a detector for it.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsAcceptor;

use super::{Guard, ProtectionError, tls};
use crate::config::WebConfig;

/// How often the files are read again.
const RENEWAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Protection {
    config: WebConfig,
    guard: ArcSwap<Guard>,
    tls: Option<ArcSwap<ServerConfig>>,
}

impl Protection {
    pub fn new(config: &WebConfig) -> Result<Protection, ProtectionError> {
        Ok(Protection {
            guard: ArcSwap::from_pointee(Guard::new(config)?),
            tls: config.tls.as_ref().map(tls::server).transpose()?.map(ArcSwap::new),
            config: config.clone(),
        })
    }

    /// Who may do what needs a proof.
    pub fn guard(&self) -> Arc<Guard> {
        self.guard.load_full()
    }

    /// For a new connection; `None`: plain HTTP.
    pub fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.load_full()))
    }

    /// Reads all files again. Of each that cannot be used what was in use stays in use; what is wrong with them.
    pub fn renew(&self) -> Vec<ProtectionError> {
        let (guard, wrong) = self.guard().renewed(&self.config);
        self.guard.store(Arc::new(guard));
        let mut errors: Vec<ProtectionError> = wrong.into_iter().map(|(_, error)| error).collect();
        if let (Some(config), Some(used)) = (&self.config.tls, &self.tls) {
            match tls::server(config) {
                Ok(server) => used.store(server),
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    /// Renews for ever.
    pub async fn keep_fresh(self: Arc<Protection>) {
        let mut tick = interval(RENEWAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once, and everything has just been read.
        tick.tick().await;
        loop {
            tick.tick().await;
            let protection = Arc::clone(&self);
            match spawn_blocking(move || protection.renew()).await {
                Ok(errors) => {
                    for error in errors {
                        let error = crate::kernel::chain(&error);
                        tracing::error!(%error, "a token or certificate was not read again: the old one stays in use");
                    }
                }
                Err(error) => tracing::error!(%error, "reading tokens and certificates failed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hyper::{HeaderMap, header::AUTHORIZATION};

    use super::*;
    use crate::{
        config::TokenConfig,
        secret::Secret,
        web::{Access, Peer},
    };

    #[test]
    fn a_replaced_token_comes_into_use_and_a_bad_one_does_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tokens = ["the-first-token-of-all", "the-second-token-of-all"];
        fs::write(file.path(), tokens[0]).unwrap();
        let secret = Secret::File(file.path().to_owned());
        let tokens_of = vec![TokenConfig { secret, access: Access::All }];
        let config = WebConfig { tls: None, tokens: tokens_of };
        let protection = Protection::new(&config).unwrap();
        let taken = || {
            tokens.map(|token| {
                let value = format!("Bearer {token}").parse().unwrap();
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                protection.guard().access(Peer::default(), &headers).is_some()
            })
        };
        for (text, renewed, expected) in [
            (tokens[0], true, [true, false]),
            (tokens[1], true, [false, true]),
            ("short", false, [false, true]),
            ("", false, [false, true]),
            (tokens[0], true, [true, false]),
        ] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(protection.renew().is_empty(), renewed, "{text}");
            assert_eq!(taken(), expected, "{text}");
        }
        assert!(protection.acceptor().is_none());
    }
}
