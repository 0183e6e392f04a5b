//! Whoever is told of detections by HTTP: it records what comes and answers as it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::DEADLINE;

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// With this status.
    Answer(u16),
    /// With 200, after a time.
    After(Duration),
    /// The connection is closed in the middle of the answer.
    Reset,
    /// Not before the receiver goes.
    Hang,
}

type Judge = dyn Fn(&str) -> Act + Send + Sync;

struct State {
    judge: Box<Judge>,
    taken: Mutex<Vec<String>>,
    news: Condvar,
    gone: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// A running receiver; gone when dropped, with all its connections.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    server: Option<JoinHandle<()>>,
}

/// An address on which nobody listens; somebody may later.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address")
}

impl Receiver {
    /// Listens; `judge` says from a body how it is answered.
    pub fn start(address: SocketAddr, judge: impl Fn(&str) -> Act + Send + Sync + 'static) -> Receiver {
        let listener = TcpListener::bind(address).expect("the address is free");
        let state = Arc::new(State {
            judge: Box::new(judge),
            taken: Mutex::default(),
            news: Condvar::new(),
            gone: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let own = Arc::clone(&state);
        let server = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.gone.load(Ordering::SeqCst) {
                    return;
                }
                own.connections.lock().expect("connections").push(stream.try_clone().expect("a descriptor"));
                let own = Arc::clone(&own);
                thread::spawn(move || serve(stream, &own));
            }
        });
        Receiver { address, state, server: Some(server) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bodies that were answered with 2xx.
    pub fn bodies(&self) -> Vec<String> {
        self.state.taken.lock().expect("taken").clone()
    }

    /// Goes, and takes nothing more: the bodies that were answered with 2xx until then.
    pub fn stop(self) -> Vec<String> {
        let taken = self.state.taken.lock().expect("taken");
        self.state.gone.store(true, Ordering::SeqCst);
        taken.clone()
    }

    /// [`Receiver::bodies`] as JSON.
    pub fn taken(&self) -> Vec<Value> {
        self.bodies().iter().map(|body| serde_json::from_str(body).expect("JSON")).collect()
    }

    /// Waits until something is so of the bodies that were taken.
    pub fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut taken = self.state.taken.lock().expect("taken");
        while !holds(&taken) {
            let left = end.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("never: {what}; {} were taken", taken.len()));
            taken = self.state.news.wait_timeout(taken, left).expect("taken").0;
        }
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.state.gone.store(true, Ordering::SeqCst);
        // Wakes the one who accepts, who then closes the port.
        let _woken = TcpStream::connect(self.address);
        if let Some(server) = self.server.take() {
            let _ended = server.join();
        }
        for connection in self.state.connections.lock().expect("connections").drain(..) {
            let _closed = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, state: &State) {
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    while let Some((method, body)) = request(&mut reader) {
        // The check at the start gives nothing.
        let act = if method == "POST" { (state.judge)(&body) } else { Act::Answer(405) };
        if let Act::After(time) = act {
            thread::sleep(time);
        }
        match act {
            Act::Answer(_) | Act::After(_) => {
                let status = if let Act::Answer(status) = act { status } else { 200 };
                if (200..300).contains(&status) {
                    let mut taken = state.taken.lock().expect("taken");
                    // Whoever is gone takes nothing, and answers nothing.
                    if state.gone.load(Ordering::SeqCst) {
                        return;
                    }
                    taken.push(body);
                    state.news.notify_all();
                }
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Act::Reset => {
                let _sent = stream.write_all(b"HTTP/1.1 200 O");
                let _closed = stream.shutdown(Shutdown::Both);
                return;
            }
            Act::Hang => {
                // Until the other side, or the receiver, gives up.
                let _end = reader.read(&mut [0]);
                return;
            }
        }
    }
}

/// Method and body of the next request.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut method, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if method.is_empty() {
            method = line.split(' ').next()?.to_owned();
        } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, String::from_utf8(body).ok()?))
}
