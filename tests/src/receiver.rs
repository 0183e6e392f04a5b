//! Whoever is told of detections by HTTP: it records what comes and answers as it is told.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    DEADLINE,
    server::{Reply, Request, Server},
};

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

/// The bodies that were answered with 2xx; `None` once the receiver takes nothing more.
type Taken = Mutex<Option<Vec<String>>>;

/// A running receiver; gone when dropped, with all its connections.
#[derive(Debug)]
pub struct Receiver {
    taken: Arc<(Taken, Condvar)>,
    server: Server,
}

/// An address on which nobody listens; somebody may later. The kernel gives ports below 32768 to nobody who asks for any, and
/// each process of the tests begins elsewhere: it stays free until then.
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(101);
    let mut ports = (0..COUNT).map(|_| {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst));
        u16::try_from(FIRST + next % COUNT).expect("a port")
    });
    at(ports.find(|port| nobody_listens(*port)).expect("a port"))
}

/// One with this port, or a free one if somebody has that.
pub fn preferred_address(port: u16) -> SocketAddr {
    if nobody_listens(port) { at(port) } else { free_address() }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Not tried by listening: a child that is started meanwhile has the socket, too, until it becomes another program.
fn nobody_listens(port: u16) -> bool {
    let port = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().all(|file| {
        let sockets = fs::read_to_string(file).unwrap_or_default();
        sockets.lines().all(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (local, _remote, state) = (words.next(), words.next(), words.next());
            // The state of one that listens.
            state != Some("0A") || local.is_none_or(|local| !local.ends_with(&port))
        })
    })
}

impl Receiver {
    /// Listens; `judge` says from a body how it is answered.
    pub fn start(address: SocketAddr, judge: impl Fn(&str) -> Act + Send + Sync + 'static) -> Receiver {
        let taken: Arc<(Taken, Condvar)> = Arc::new((Mutex::new(Some(Vec::new())), Condvar::new()));
        let own = Arc::clone(&taken);
        let server = Server::start(address, None, move |Request { method, body, .. }| {
            let body = String::from_utf8(body).expect("text");
            // The check at the start gives nothing.
            let act = if method == "POST" { judge(&body) } else { Act::Answer(405) };
            let status = match act {
                Act::Reset => return Reply::Reset,
                Act::Hang => return Reply::Hang,
                Act::Answer(status) => status,
                Act::After(time) => {
                    thread::sleep(time);
                    200
                }
            };
            if (200..300).contains(&status) {
                let (taken, news) = &*own;
                // Whoever is gone takes nothing, and answers nothing.
                let mut taken = taken.lock().expect("taken");
                let Some(taken) = &mut *taken else { return Reply::Nothing };
                taken.push(body);
                news.notify_all();
            }
            Reply::Answer(status, String::new())
        });
        Receiver { taken, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Closes the connections of the next requests, so many, once half of their body was read.
    pub fn cut(&self, requests: usize) {
        self.server.cut(requests);
    }

    /// How many of them have not come yet.
    pub fn cuts_left(&self) -> usize {
        self.server.cuts_left()
    }

    /// The bodies that were answered with 2xx.
    pub fn bodies(&self) -> Vec<String> {
        self.taken.0.lock().expect("taken").clone().unwrap_or_default()
    }

    /// Goes, and takes nothing more: the bodies that were answered with 2xx until then.
    pub fn stop(self) -> Vec<String> {
        self.taken.0.lock().expect("taken").take().unwrap_or_default()
    }

    /// [`Receiver::bodies`] as JSON.
    pub fn taken(&self) -> Vec<Value> {
        self.bodies().iter().map(|body| serde_json::from_str(body).expect("JSON")).collect()
    }

    /// Waits until something is so of the bodies that were taken.
    pub fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + DEADLINE;
        let (mutex, news) = &*self.taken;
        let mut taken = mutex.lock().expect("taken");
        while !holds(taken.as_deref().unwrap_or_default()) {
            let left = end.checked_duration_since(Instant::now());
            let count = taken.as_ref().map_or(0, Vec::len);
            let left = left.unwrap_or_else(|| panic!("never: {what}; {count} were taken"));
            taken = news.wait_timeout(taken, left).expect("taken").0;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        *self.taken.0.lock().expect("taken") = None;
    }
}
