//! A double of VictoriaMetrics' `vminsert`, and of a receiver of remote-write 2.0: neither is to be had here. It takes what the
//! real ones take, by path, headers and message, and answers 400 to all else; what came it keeps by account.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use prost::Message;

use crate::prometheus::Labels;

/// A series' labels, value and time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Labels,
    pub value: f64,
    pub time_ms: i64,
}

/// What the double has been given.
#[derive(Debug, Default)]
struct State {
    /// Samples by `account:project`; of 2.0 under an empty name.
    taken: Mutex<BTreeMap<String, Vec<Sample>>>,
    /// Why requests were answered with 400.
    refused: Mutex<Vec<String>>,
    /// Types of the families of 2.0, by the name of the series.
    types: Mutex<BTreeMap<String, i32>>,
    /// Whether 2.0 is known: what is written is then said.
    knows_2_0: AtomicBool,
}

/// Listens until the test ends.
#[derive(Clone, Debug)]
pub struct Vminsert {
    address: SocketAddr,
    state: Arc<State>,
}

mod v1 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Label {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Sample {
        #[prost(double, tag = "1")]
        pub value: f64,
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }
}

mod v2 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<super::v1::Sample>,
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Metadata {
        #[prost(int32, tag = "1")]
        pub kind: i32,
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub unit_ref: u32,
    }
}

/// A request's head, names in lower case, and its body.
struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Vminsert {
    pub fn start() -> Vminsert {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let double = Vminsert { address, state };
        let own = double.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                thread::spawn(move || own.serve(stream));
            }
        });
        double
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it answers 2.0 as one that knows it.
    pub fn learn_2_0(&self) {
        self.state.knows_2_0.store(true, Ordering::SeqCst);
    }

    /// The samples of an account.
    pub fn taken(&self, account: &str) -> Vec<Sample> {
        self.state.taken.lock().expect("taken").get(account).cloned().unwrap_or_default()
    }

    pub fn accounts(&self) -> Vec<String> {
        self.state.taken.lock().expect("taken").keys().cloned().collect()
    }

    /// Why requests were refused.
    pub fn refused(&self) -> Vec<String> {
        self.state.refused.lock().expect("refused").clone()
    }

    /// What 2.0 has said of a series.
    pub fn type_of(&self, name: &str) -> Option<i32> {
        self.state.types.lock().expect("types").get(name).copied()
    }

    fn serve(&self, mut stream: TcpStream) {
        let Ok(copy) = stream.try_clone() else { return };
        let mut reader = BufReader::new(copy);
        while let Some(request) = read(&mut reader) {
            let (status, more) = match self.take(&request) {
                _ if request.method == "HEAD" => (405, String::new()),
                Ok(more) => (204, more),
                Err(why) => {
                    self.state.refused.lock().expect("refused").push(why);
                    (400, String::new())
                }
            };
            if write!(stream, "HTTP/1.1 {status} X\r\n{more}content-length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }

    /// Further lines of the answer's head.
    fn take(&self, request: &Request) -> Result<String, String> {
        let Request { path, headers, body, .. } = request;
        let header = |name: &str| headers.get(name).map_or("", String::as_str);
        let expect = |name: &str, value: &str| {
            if header(name) == value { Ok(()) } else { Err(format!("{name}: {:?}", header(name))) }
        };
        expect("content-encoding", "snappy")?;
        let message = snap::raw::Decoder::new()
            .decompress_vec(body)
            .map_err(|error| format!("no snappy block: {error}"))?;
        if header("content-type").contains("proto=io.prometheus.write.v2.Request") {
            expect("x-prometheus-remote-write-version", "2.0.0")?;
            if !self.state.knows_2_0.load(Ordering::SeqCst) {
                // As receivers of 1.0 do: to them the message is one without series.
                return Ok(String::new());
            }
            let count = self.take_2_0(v2::Request::decode(&*message).map_err(|error| error.to_string())?)?;
            return Ok(format!("X-Prometheus-Remote-Write-Samples-Written: {count}\r\n"));
        }
        expect("content-type", "application/x-protobuf")?;
        expect("x-prometheus-remote-write-version", "0.1.0")?;
        let tenant = path
            .strip_prefix("/insert/")
            .and_then(|rest| rest.strip_suffix("/prometheus/api/v1/write"))
            .ok_or_else(|| format!("no tenant in {path}"))?;
        let message = v1::WriteRequest::decode(&*message).map_err(|error| error.to_string())?;
        let mut samples = Vec::new();
        for series in message.timeseries {
            let mut labels =
                checked(series.labels.into_iter().map(|label| (label.name, label.value)).collect())?;
            let account = if tenant == "multitenant" {
                // Both are stripped; what is not there is 0.
                let mut part = |name: &str| labels.remove(name).unwrap_or_else(|| "0".into());
                account(&format!("{}:{}", part("vm_account_id"), part("vm_project_id")))?
            } else {
                account(tenant)?
            };
            for v1::Sample { value, timestamp } in series.samples {
                samples.push((account.clone(), Sample { labels: labels.clone(), value, time_ms: timestamp }));
            }
        }
        let mut taken = self.state.taken.lock().expect("taken");
        for (account, sample) in samples {
            taken.entry(account).or_default().push(sample);
        }
        Ok(String::new())
    }

    fn take_2_0(&self, request: v2::Request) -> Result<usize, String> {
        let v2::Request { symbols, timeseries } = request;
        if symbols.first().is_none_or(|first| !first.is_empty()) {
            return Err("the first symbol is not empty".into());
        }
        let text = |position: &u32| {
            symbols.get(*position as usize).cloned().ok_or_else(|| format!("no symbol {position}"))
        };
        let mut samples = Vec::new();
        for series in timeseries {
            let texts = series.labels_refs.iter().map(text).collect::<Result<Vec<String>, String>>()?;
            let (pairs, []) = texts.as_chunks::<2>() else { return Err("a name without a value".into()) };
            let labels = checked(pairs.iter().cloned().map(<(String, String)>::from).collect())?;
            if let Some(v2::Metadata { kind, help_ref, unit_ref }) = series.metadata {
                text(&help_ref)?;
                text(&unit_ref)?;
                self.state.types.lock().expect("types").insert(labels["__name__"].clone(), kind);
            }
            for v1::Sample { value, timestamp } in series.samples {
                samples.push(Sample { labels: labels.clone(), value, time_ms: timestamp });
            }
        }
        let count = samples.len();
        self.state.taken.lock().expect("taken").entry(String::new()).or_default().extend(samples);
        Ok(count)
    }
}

/// As the protocol has them: a name, sorted, no name twice, nothing empty, and no more than VictoriaMetrics keeps.
fn checked(pairs: Vec<(String, String)>) -> Result<Labels, String> {
    let empty = pairs.iter().any(|(name, value)| name.is_empty() || value.is_empty());
    if empty || pairs.len() > 30 || !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(format!("labels {pairs:?}"));
    }
    let labels: Labels = pairs.into_iter().collect();
    if labels.contains_key("__name__") { Ok(labels) } else { Err(format!("no name: {labels:?}")) }
}

/// `ACCOUNT` or `ACCOUNT:PROJECT`, as `ACCOUNT:PROJECT`.
fn account(tenant: &str) -> Result<String, String> {
    let (account, project) = tenant.split_once(':').unwrap_or((tenant, "0"));
    match (account.parse::<u32>(), project.parse::<u32>()) {
        (Ok(account), Ok(project)) => Ok(format!("{account}:{project}")),
        _ => Err(format!("no account: {tenant}")),
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}
