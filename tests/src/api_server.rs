//! A double of a Kubernetes API server: there is none to be had here. It answers lists and watches of what it is told,
//! by TLS and for one token, as the real one does. What goes wrong on the way is tested next to the client.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer};
use serde_json::{Value, json};

const TOKEN: &str = "a-service-accounts-token";

/// Objects by the path of their list.
#[derive(Debug, Default)]
struct Objects {
    version: u64,
    kept: BTreeMap<String, Vec<Value>>,
    /// Version, path, kind and object of each change.
    changes: Vec<(u64, String, &'static str, Value)>,
}

/// Answers until dropped.
#[derive(Debug, Clone)]
pub struct ApiServer {
    objects: Arc<Mutex<Objects>>,
    port: u16,
}

impl ApiServer {
    /// Starts it; writes `ca.crt` and `token` into a folder.
    pub fn start(folder: &Path) -> ApiServer {
        let (authority_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = authority.self_signed(&authority_key).expect("an authority");
        let issuer = Issuer::new(authority, authority_key);
        let own = CertificateParams::new(vec!["127.0.0.1".into()]).expect("parameters");
        let own = own.signed_by(&key, &issuer).expect("a certificate");
        std::fs::write(folder.join("ca.crt"), certificate.pem()).expect("a file");
        std::fs::write(folder.join("token"), TOKEN).expect("a file");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .expect("an identity");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server =
            ApiServer { objects: Arc::default(), port: listener.local_addr().expect("an address").port() };
        let (double, config) = (server.clone(), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (double, config) = (double.clone(), Arc::clone(&config));
                thread::spawn(move || double.answer(stream, config));
            }
        });
        server
    }

    /// The part of a configuration that leads here.
    pub fn config(&self, folder: &Path) -> String {
        let (port, folder) = (self.port, folder.display());
        format!(
            "kubernetes: {{api_server: \"https://127.0.0.1:{port}\", ca_file: {folder}/ca.crt, token_file: {folder}/token}}\n"
        )
    }

    /// Makes or changes an object below the path of its list.
    pub fn put(&self, path: &str, metadata: Value) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.version += 1;
        let version = objects.version;
        let mut object = json!({"kind": "PartialObjectMetadata", "metadata": metadata});
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let kept = objects.kept.entry(path.to_owned()).or_default();
        let before = kept.len();
        kept.retain(|known| known["metadata"]["name"] != object["metadata"]["name"]);
        let kind = if kept.len() < before { "MODIFIED" } else { "ADDED" };
        kept.push(object.clone());
        objects.changes.push((version, path.to_owned(), kind, object));
    }

    fn answer(&self, stream: TcpStream, config: Arc<ServerConfig>) {
        let Ok(connection) = ServerConnection::new(config) else { return };
        let mut stream = StreamOwned::new(connection, stream);
        let Some((target, token)) = request(&mut stream) else { return };
        // Whoever is gone is gone.
        let _gone = self.respond(&mut stream, &target, token.as_deref());
    }

    fn respond(&self, stream: &mut impl Write, target: &str, token: Option<&str>) -> std::io::Result<()> {
        let whole = |stream: &mut dyn Write, status: &str, body: &str| {
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
            stream.flush()
        };
        if token != Some(TOKEN) {
            return whole(stream, "401 Unauthorized", r#"{"message":"Unauthorized"}"#);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if query.contains("watch=1") {
            let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")?.parse().ok());
            return self.follow(stream, path, from.unwrap_or(0));
        }
        let body = {
            let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
            let items = objects.kept.get(path).cloned().unwrap_or_default();
            let one = path.rsplit_once('/').and_then(|(list, name)| {
                objects.kept.get(list)?.iter().find(|object| object["metadata"]["name"] == name).cloned()
            });
            let version = objects.version.to_string();
            one.unwrap_or_else(|| json!({"metadata": {"resourceVersion": version}, "items": items}))
        };
        whole(stream, "200 OK", &body.to_string())
    }

    /// Tells of changes for as long as somebody listens.
    fn follow(&self, stream: &mut impl Write, path: &str, mut from: u64) -> std::io::Result<()> {
        write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let end = Instant::now() + crate::DEADLINE;
        while Instant::now() < end {
            let changes: Vec<_> = {
                let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
                objects
                    .changes
                    .iter()
                    .filter(|(version, of, ..)| *version > from && of == path)
                    .cloned()
                    .collect()
            };
            for (version, _, kind, object) in changes {
                let line = format!("{}\n", json!({"type": kind, "object": object}));
                write!(stream, "{:x}\r\n{line}\r\n", line.len())?;
                from = version;
            }
            stream.flush()?;
            thread::sleep(Duration::from_millis(10));
        }
        write!(stream, "0\r\n\r\n")
    }
}

/// The target and the token of a request.
fn request(stream: &mut impl Read) -> Option<(String, Option<String>)> {
    let mut reader = BufReader::new(stream);
    let (mut target, mut token) = (None, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Some((target?, token));
        }
        if target.is_none() {
            target = line.split(' ').nth(1).map(str::to_owned);
        } else if let Some(value) = line.strip_prefix("authorization: Bearer ") {
            token = Some(value.to_owned());
        }
    }
}
