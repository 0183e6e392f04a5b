//! A receiver for tests, on loopback: it records what comes and answers as it is told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::AbortHandle,
    time::timeout,
};

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Act {
    /// This status, and these further lines of the head.
    Answer(u16, &'static str),
    /// This status and this text.
    Say(u16, String),
    /// The connection is closed in the middle of the answer.
    Reset,
    /// Nothing, for ever.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub head: String,
    /// As text, what is none replaced.
    pub body: String,
    pub bytes: Vec<u8>,
}

type Judge = dyn Fn(&Request) -> Act + Send + Sync;

#[derive(Default)]
struct State {
    taken: Mutex<Vec<Request>>,
    all: Mutex<Vec<Request>>,
    /// Answers to the next requests; then what the judge says; then 200.
    script: Mutex<VecDeque<Act>>,
    judge: Mutex<Option<Arc<Judge>>>,
    news: Notify,
}

/// A running receiver; gone when dropped, as a machine is that is switched off.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<State>,
    server: AbortHandle,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    pub async fn start() -> Receiver {
        Receiver::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(address: SocketAddr) -> Receiver {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, Arc::clone(&own)));
            }
        });
        Receiver { address, state, server: server.abort_handle() }
    }

    pub fn url(&self) -> reqwest::Url {
        format!("http://{}/in?x=1", self.address).parse().unwrap()
    }

    pub fn next(&self, acts: impl IntoIterator<Item = Act>) {
        self.state.script.lock().unwrap().extend(acts);
    }

    pub fn judge(&self, judge: impl Fn(&Request) -> Act + Send + Sync + 'static) {
        *self.state.judge.lock().unwrap() = Some(Arc::new(judge));
    }

    /// What was answered with 2xx.
    pub fn taken(&self) -> Vec<Request> {
        self.state.taken.lock().unwrap().clone()
    }

    /// All that came, also what was refused.
    pub fn all(&self) -> Vec<Request> {
        self.state.all.lock().unwrap().clone()
    }

    /// Waits until the check at the start has come.
    pub async fn until_probed(&self) {
        while !self.all().iter().any(|request| request.head.starts_with("HEAD")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until something is so of what was taken.
    pub async fn until(&self, what: impl Fn(&[Request]) -> bool) {
        let wait = async {
            loop {
                let news = self.state.news.notified();
                if what(&self.taken()) {
                    return;
                }
                news.await;
            }
        };
        let in_time = timeout(Duration::from_secs(60), wait).await;
        assert!(in_time.is_ok(), "it did not come: {:#?}", self.all());
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .unwrap_or(0);
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let raw = bytes[end..end + length].to_vec();
        bytes.drain(..end + length);
        let request = Request { head, body: String::from_utf8_lossy(&raw).into_owned(), bytes: raw };
        let scripted = state.script.lock().unwrap().pop_front();
        let judge = state.judge.lock().unwrap().clone();
        let act = scripted.or_else(|| judge.map(|judge| judge(&request))).unwrap_or(Act::Answer(200, ""));
        state.all.lock().unwrap().push(request.clone());
        match act {
            Act::Hang => std::future::pending().await,
            Act::Reset => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await;
                return;
            }
            Act::Answer(..) | Act::Say(..) => {
                let (status, lines, text) = match act {
                    Act::Say(status, text) => (status, "", text),
                    Act::Answer(status, lines) => (status, lines, "ok".to_owned()),
                    _ => unreachable!(),
                };
                if (200..300).contains(&status) {
                    state.taken.lock().unwrap().push(request);
                }
                state.news.notify_waiters();
                let answer =
                    format!("HTTP/1.1 {status} X\r\n{lines}content-length: {}\r\n\r\n{text}", text.len());
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}
