//! The HTTP server under a double: requests as bytes, plain or with TLS.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// In their order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| &**value).collect()
    }
}

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Status and text.
    Answer(u16, String),
    /// The connection is closed in the middle of the answer.
    Reset,
    /// Nothing, until the other side, or this one, gives up.
    Hang,
    /// The connection is closed without a word.
    Nothing,
}

type Handler = dyn Fn(Request) -> Reply + Send + Sync;

struct State {
    handler: Box<Handler>,
    tls: Option<Arc<ServerConfig>>,
    gone: AtomicBool,
    /// How many requests more are not read to their end.
    cuts: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
}

/// A running server; gone when dropped, with all its connections.
pub struct Server {
    pub address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on an address that is free.
    pub fn start(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).expect("the address is free");
        let state = Arc::new(State {
            handler: Box::new(handler),
            tls,
            gone: AtomicBool::new(false),
            cuts: AtomicUsize::new(0),
            connections: Mutex::default(),
        });
        let own = Arc::clone(&state);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.gone.load(Ordering::SeqCst) {
                    return;
                }
                own.connections.lock().expect("connections").push(stream.try_clone().expect("a descriptor"));
                let own = Arc::clone(&own);
                thread::spawn(move || {
                    match &own.tls {
                        None => serve(&stream, &own),
                        Some(config) => {
                            let connection = ServerConnection::new(Arc::clone(config)).expect("a server");
                            serve(StreamOwned::new(connection, &stream), &own);
                        }
                    }
                    let _closed = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Server { address, state, thread: Some(thread) }
    }

    /// Closes the connections of the next requests that have a body, so many, once half of it was read.
    pub fn cut(&self, requests: usize) {
        self.state.cuts.store(requests, Ordering::SeqCst);
    }

    /// How many of them have not come yet.
    pub fn cuts_left(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

/// PEM texts: a server's certificate and key, and who signs the certificates of its clients.
pub fn tls(certificate: &str, key: &str, clients: &str) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(clients.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("an authority");
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain =
        CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(chain, key);
    Arc::new(config.expect("an identity"))
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.gone.store(true, Ordering::SeqCst);
        // Wakes the one who accepts, who then closes the port.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
        for connection in self.state.connections.lock().expect("connections").drain(..) {
            let _closed = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(stream: impl Read + Write, state: &State) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = request(&mut stream, state) {
        let answer = match (state.handler)(request) {
            // It has no body.
            Reply::Answer(204, _) => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            Reply::Answer(status, text) => {
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}", text.len())
            }
            Reply::Reset => {
                let _sent = stream.get_mut().write_all(b"HTTP/1.1 200 O");
                return;
            }
            Reply::Hang => {
                let _end = stream.read(&mut [0]);
                return;
            }
            Reply::Nothing => return,
        };
        if stream.get_mut().write_all(answer.as_bytes()).and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead, state: &State) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(Some(0), |(_, value)| value.parse().ok())?];
    let one_less = |cuts: usize| cuts.checked_sub(1).filter(|_| !body.is_empty());
    if state.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
        let half = body.len() / 2;
        reader.read_exact(&mut body[..half]).ok()?;
        return None;
    }
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}
