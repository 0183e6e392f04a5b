//! A double of Loki's push API, which enforces what was seen of Loki 3.7: one organisation a push, the limits of
//! streams and entries, 400 for a batch of which the good entries are stored nevertheless, exact duplicates dropped,
//! and what is an hour older than the newest of its stream refused.

mod labels;
mod messages;
mod rules;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Instant, SystemTime},
};

use prost::Message;
use rustls::ServerConfig;

pub use messages::PushRequest;

use crate::{
    DEADLINE,
    server::{Reply, Request, Server},
};

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since the epoch.
    pub time_ns: i128,
    pub line: String,
    pub metadata: Vec<(String, String)>,
}

pub type Labels = BTreeMap<String, String>;

/// A push, whatever became of it.
#[derive(Clone, Debug)]
pub struct Push {
    pub org: String,
    pub body: Vec<u8>,
    pub status: u16,
}

/// What happens to a push besides the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It is answered so, and nothing is stored.
    Answer(u16),
    /// It is stored, and the answer is lost.
    Lost,
}

#[derive(Default)]
struct Store {
    /// By organisation and labels, in the order in which they came.
    streams: BTreeMap<(String, Labels), Vec<Entry>>,
    /// Exact duplicates that were dropped.
    duplicates: usize,
    pushes: Vec<Push>,
}

type Refuses = dyn Fn(&str) -> bool + Send + Sync;
type Mishaps = dyn Fn(usize) -> Option<Mishap> + Send + Sync;

struct State {
    store: Mutex<Store>,
    news: Condvar,
    refuses: Box<Refuses>,
    mishaps: Box<Mishaps>,
}

/// A running Loki.
pub struct Loki {
    state: Arc<State>,
    _server: Server,
}

impl std::fmt::Debug for Loki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loki").finish_non_exhaustive()
    }
}

impl Loki {
    /// Listens. `refuses`: lines that it will not take, besides its rules; `mishaps`: what happens to a push, by its number.
    pub fn start(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        refuses: impl Fn(&str) -> bool + Send + Sync + 'static,
        mishaps: impl Fn(usize) -> Option<Mishap> + Send + Sync + 'static,
    ) -> Loki {
        let state = Arc::new(State {
            store: Mutex::default(),
            news: Condvar::new(),
            refuses: Box::new(refuses),
            mishaps: Box::new(mishaps),
        });
        let own = Arc::clone(&state);
        let server = Server::start(address, tls, move |request| own.answer(&request));
        Loki { state, _server: server }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.state.store.lock().expect("the store")
    }

    /// By organisation and labels, in the order in which they came.
    pub fn streams(&self) -> BTreeMap<(String, Labels), Vec<Entry>> {
        self.store().streams.clone()
    }

    pub fn duplicates(&self) -> usize {
        self.store().duplicates
    }

    pub fn pushes(&self) -> Vec<Push> {
        self.store().pushes.clone()
    }

    /// Waits until so many entries of an organisation are stored.
    pub fn until(&self, org: &str, count: usize) {
        let end = Instant::now() + DEADLINE;
        let mut store = self.store();
        loop {
            let stored: usize = store
                .streams
                .iter()
                .filter(|((own, _), _)| own == org)
                .map(|(_, entries)| entries.len())
                .sum();
            if stored >= count {
                return;
            }
            let left = end.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("{stored} of {count} of {org} came"));
            store = self.state.news.wait_timeout(store, left).expect("the store").0;
        }
    }
}

impl State {
    fn answer(&self, request: &Request) -> Reply {
        if request.path != "/loki/api/v1/push" {
            return Reply::Answer(404, "404 page not found".into());
        }
        if request.method != "POST" {
            return Reply::Answer(405, String::new());
        }
        let org = match rules::org(&request.header("x-scope-orgid")) {
            Ok(org) => org.to_owned(),
            Err((status, text)) => return Reply::Answer(status, text),
        };
        let mut store = self.store.lock().expect("the store");
        let mishap = (self.mishaps)(store.pushes.len());
        let (status, text) = match mishap {
            Some(Mishap::Answer(status)) => (status, "this happens".into()),
            _ => match decode(request) {
                Err(text) => (400, text),
                Ok(push) => self.push(&mut store, &org, push),
            },
        };
        store.pushes.push(Push { org, body: request.body.clone(), status });
        self.news.notify_all();
        if mishap == Some(Mishap::Lost) { Reply::Reset } else { Reply::Answer(status, text) }
    }

    fn push(&self, store: &mut Store, org: &str, push: PushRequest) -> (u16, String) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_nanos();
        let now = i128::try_from(now).expect("a time");
        let mut refused = Vec::new();
        for stream in push.streams {
            let labels = match rules::stream(&stream.labels) {
                Ok(labels) => labels,
                Err(text) => {
                    refused.push(text);
                    continue;
                }
            };
            let stored = store.streams.entry((org.to_owned(), labels)).or_default();
            for entry in stream.entries {
                let entry = entry.read();
                let verdict = rules::entry(&stream.labels, &entry, now)
                    .and_then(|()| rules::order(stored, &entry))
                    .and_then(|()| {
                        if (self.refuses)(&entry.line) {
                            Err("it is not to its taste".into())
                        } else {
                            Ok(())
                        }
                    });
                match verdict {
                    Err(text) => refused.push(text),
                    Ok(())
                        if stored
                            .iter()
                            .any(|own| (own.time_ns, &own.line) == (entry.time_ns, &entry.line)) =>
                    {
                        store.duplicates += 1;
                    }
                    Ok(()) => stored.push(entry),
                }
            }
        }
        store.streams.retain(|_, entries| !entries.is_empty());
        match refused.into_iter().next() {
            Some(text) => (400, text),
            None => (204, String::new()),
        }
    }
}

fn decode(request: &Request) -> Result<PushRequest, String> {
    if request.header("content-type") != ["application/x-protobuf"] {
        return Err("not protobuf".into());
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(&request.body).map_err(|error| error.to_string())?;
    PushRequest::decode(&*bytes).map_err(|error| error.to_string())
}
