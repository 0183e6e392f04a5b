//! TLS for the whole server.
//!
//! A certificate of a client is asked for where an authority is configured, but a connection without one is taken:
//! what needs a proof asks for it itself, and probes and scrapers have none.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::ProtectionError;
use crate::config::TlsConfig;

/// Reads the files.
pub(super) fn server(config: &TlsConfig) -> Result<Arc<ServerConfig>, ProtectionError> {
    let TlsConfig { certificate, key, client_ca } = config;
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(certificate)?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "a private key"))?;
    let identity = |source| ProtectionError::Identity { path: key.clone(), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(identity)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|source| ProtectionError::Authority { path: path.clone(), source })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|source| ProtectionError::Verifier { path: path.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key_der).map_err(identity)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ProtectionError> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(path, "certificates"))?;
    if all.is_empty() {
        return Err(ProtectionError::NoCertificate { path: path.to_owned() });
    }
    Ok(all)
}

fn pem(path: &Path, what: &'static str) -> impl FnOnce(rustls::pki_types::pem::Error) -> ProtectionError {
    move |error| match error {
        rustls::pki_types::pem::Error::Io(source) => ProtectionError::Read { path: path.to_owned(), source },
        source => ProtectionError::Pem { path: path.to_owned(), what, source },
    }
}
