//! A real Prometheus that scrapes nobody and takes remote-write; and what Prometheus and VictoriaMetrics answer alike.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;

use crate::program::Program;

/// Labels, without `__name__` if it was not asked for.
pub type Labels = BTreeMap<String, String>;

/// Runs until dropped.
#[derive(Debug)]
pub struct Prometheus {
    pub server: Program,
}

impl Prometheus {
    /// Starts it and waits until it is ready.
    pub fn start(address: SocketAddr) -> Prometheus {
        Prometheus::start_with(address, "")
    }

    /// The same with a text as its configuration.
    pub fn start_with(address: SocketAddr, config: &str) -> Prometheus {
        crate::install("prometheus");
        let server = Program::start("prometheus", address, "/-/ready", |folder| {
            let file = folder.join("prometheus.yml");
            std::fs::write(&file, config).expect("a file");
            vec![
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                format!("--web.listen-address={address}"),
                "--web.enable-remote-write-receiver".into(),
                "--enable-feature=exemplar-storage,native-histograms".into(),
            ]
        });
        Prometheus { server }
    }

    /// Where it takes samples.
    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.server.address())
    }

    /// An instant query, now.
    pub fn query(&self, query: &str) -> Vec<(Labels, f64)> {
        vector(&self.server.json(&format!("/api/v1/query?query={}", encoded(query))))
    }

    /// The samples of the last hour of each series that a selector selects, in milliseconds; without staleness markers.
    pub fn samples(&self, selector: &str) -> Vec<(Labels, Vec<(i64, f64)>)> {
        matrix(&self.server.json(&format!("/api/v1/query?query={}", encoded(&format!("{selector}[1h]")))))
    }
}

/// The result of an instant query.
pub fn vector(answer: &Value) -> Vec<(Labels, f64)> {
    series(answer).map(|one| (labels(&one["metric"]), number(&one["value"][1]))).collect()
}

/// The result of a query for ranges.
pub fn matrix(answer: &Value) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let sample = |pair: &Value| {
        let seconds = pair[0].as_f64().expect("a time");
        ((seconds * 1e3).round() as i64, number(&pair[1]))
    };
    let samples = |one: &Value| one["values"].as_array().expect("samples").iter().map(sample).collect();
    series(answer).map(|one| (labels(&one["metric"]), samples(one))).collect()
}

fn series(answer: &Value) -> impl Iterator<Item = &Value> {
    assert_eq!(answer["status"], "success", "{answer}");
    answer["data"]["result"].as_array().expect("a result").iter()
}

/// Labels of a JSON object.
pub fn labels(object: &Value) -> Labels {
    let pairs = object.as_object().expect("labels").iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number: {value}"))
}

/// Fit for a URL's query.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
