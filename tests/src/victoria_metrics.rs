//! A real VictoriaMetrics, the single-node one, which has no tenants.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    http::Client,
    program::Program,
    prometheus::{Labels, encoded, labels, matrix, vector},
};

/// Runs until dropped.
#[derive(Debug)]
pub struct VictoriaMetrics {
    pub server: Program,
}

impl VictoriaMetrics {
    /// Starts it and waits until it is ready.
    pub fn start(address: SocketAddr) -> VictoriaMetrics {
        crate::install("victoriametrics");
        let server = Program::start("victoria-metrics", address, "/health", |folder| {
            vec![
                format!("-storageDataPath={}", folder.join("data").display()),
                format!("-httpListenAddr={address}"),
                // What has come is to be found at once.
                "-search.latencyOffset=0s".into(),
                "-memory.allowedPercent=10".into(),
            ]
        });
        VictoriaMetrics { server }
    }

    /// Where it takes samples.
    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.server.address())
    }

    /// An instant query, now.
    pub fn query(&self, query: &str) -> Vec<(Labels, f64)> {
        self.flush();
        vector(&self.server.json(&format!("/api/v1/query?nocache=1&query={}", encoded(query))))
    }

    /// The samples of a query from one time to another, in seconds, in steps of so many.
    pub fn query_range(&self, query: &str, from: u64, to: u64, step: u64) -> Vec<(Labels, Vec<(i64, f64)>)> {
        self.flush();
        let query = encoded(query);
        matrix(
            &self.server.json(&format!(
                "/api/v1/query_range?nocache=1&query={query}&start={from}&end={to}&step={step}"
            )),
        )
    }

    /// Gives it series with samples, in milliseconds.
    pub fn import(&self, series: &[(Labels, Vec<(i64, f64)>)]) {
        let line = |(labels, samples): &(Labels, Vec<(i64, f64)>)| {
            let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
            json!({"metric": labels, "values": values, "timestamps": times}).to_string() + "\n"
        };
        let text: String = series.iter().map(line).collect();
        let client = Client::plain(self.server.address().to_string());
        let answer = client.post("/api/v1/import", &[], text.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    /// All samples of each series that a selector selects, in milliseconds; without staleness markers.
    pub fn samples(&self, selector: &str) -> Vec<(Labels, Vec<(i64, f64)>)> {
        self.flush();
        let text = self.server.get(&format!("/api/v1/export?match%5B%5D={}", encoded(selector)));
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let series = lines.map(|line| {
            let times = line["timestamps"].as_array().expect("times").iter();
            let values = line["values"].as_array().expect("values").iter();
            let pairs = times.zip(values).filter_map(|(time, value)| Some((time.as_i64()?, value.as_f64()?)));
            (labels(&line["metric"]), pairs.collect())
        });
        series.collect()
    }

    /// New series are found only some seconds later otherwise.
    fn flush(&self) {
        self.server.get("/internal/force_flush");
    }
}
