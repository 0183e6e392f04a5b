//! A client for the daemon's HTTP server, plain or with TLS.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::DEADLINE;

/// Status and whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

/// How to reach the server.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    pub fn plain(address: String) -> Client {
        Client { address, tls: None }
    }

    /// PEM texts: whom to trust, and the client's own certificate and key.
    pub fn tls(address: String, ca: &str, identity: Option<(&str, &str)>) -> Client {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("an authority");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("an identity")
            }
        };
        Client { address, tls: Some(Arc::new(config)) }
    }

    pub fn get(&self, path: &str) -> std::io::Result<Answer> {
        self.get_with(path, &[])
    }

    /// The same with further header lines.
    pub fn get_with(&self, path: &str, headers: &[&str]) -> std::io::Result<Answer> {
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: yagura\r\nConnection: close\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.ask(&head, b"")
    }

    /// With a bearer token.
    pub fn get_as(&self, path: &str, token: &str) -> std::io::Result<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: yagura\r\nAuthorization: Bearer {token}\r\n");
        self.ask(&format!("{head}Connection: close\r\n\r\n"), b"")
    }

    /// Posts JSON, with further header lines.
    pub fn post(&self, path: &str, headers: &[&str], body: &[u8]) -> std::io::Result<Answer> {
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: yagura\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.ask(&head, body)
    }

    fn ask(&self, head: &str, body: &[u8]) -> std::io::Result<Answer> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        match &self.tls {
            None => exchange(stream, head, body),
            Some(config) => {
                let name = "127.0.0.1".try_into().expect("an address");
                let connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
                exchange(StreamOwned::new(connection, stream), head, body)
            }
        }
    }
}

fn exchange(mut stream: impl Read + Write, head: &str, body: &[u8]) -> std::io::Result<Answer> {
    stream.write_all(head.as_bytes())?;
    // A server that has refused already need not take it.
    let sent = stream.write_all(body);
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    match text.split(' ').nth(1).and_then(|code| code.parse().ok()) {
        Some(status) => Ok(Answer { status, text }),
        None => Err(sent.and(read).err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into())),
    }
}
