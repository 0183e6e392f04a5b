//! Series as bodies of requests.

use std::{collections::BTreeMap, sync::Arc};

use prost::Message as _;

use super::{
    series::{About, Kind, Series},
    v1, v2,
};

/// Which message is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`: everybody takes it.
    #[default]
    One,
    /// `io.prometheus.write.v2.Request`.
    Two,
}

impl Version {
    pub const fn number(self) -> i64 {
        match self {
            Version::One => 1,
            Version::Two => 2,
        }
    }

    pub fn from_number(number: i64) -> Option<Version> {
        [Version::One, Version::Two].into_iter().find(|version| version.number() == number)
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Version::One => "application/x-protobuf",
            Version::Two => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// Value of `X-Prometheus-Remote-Write-Version`.
    pub const fn header(self) -> &'static str {
        match self {
            Version::One => "0.1.0",
            Version::Two => "2.0.0",
        }
    }
}

/// What is the same for all series of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'f> {
    pub version: Version,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// Labels of series that have none of that name.
    pub external: &'f BTreeMap<String, String>,
    /// Version 1.0 says what its families are in a request of its own choice, 2.0 with each series.
    pub with_metadata: bool,
}

impl Frame<'_> {
    /// The compressed body, snappy's block format.
    pub fn body(&self, series: &[Series]) -> Result<Vec<u8>, snap::Error> {
        let message = match self.version {
            Version::One => self.one(series).encode_to_vec(),
            Version::Two => self.two(series).encode_to_vec(),
        };
        snap::raw::Encoder::new().compress_vec(&message)
    }

    fn one(&self, series: &[Series]) -> v1::WriteRequest {
        let timeseries = series.iter().map(|one| v1::TimeSeries {
            labels: (self.labels(one).into_iter())
                .map(|(name, value)| v1::Label { name: name.to_owned(), value: value.to_owned() })
                .collect(),
            samples: vec![self.sample(one)],
        });
        let mut abouts: Vec<&Arc<About>> = Vec::new();
        if self.with_metadata {
            abouts.extend(series.iter().map(|one| &one.about));
            abouts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            abouts.dedup_by(|a, b| a.name == b.name);
        }
        let metadata = abouts.into_iter().map(|about| v1::MetricMetadata {
            kind: about.kind as i32,
            metric_family_name: about.name.clone(),
            help: about.help.clone(),
        });
        v1::WriteRequest { timeseries: timeseries.collect(), metadata: metadata.collect() }
    }

    fn two(&self, series: &[Series]) -> v2::Request {
        let mut symbols = v2::Symbols::new();
        let mut timeseries = Vec::with_capacity(series.len());
        for one in series {
            let labels = self.labels(one).into_iter().flat_map(|(name, value)| [name, value]);
            let labels_refs = labels.map(|text| symbols.of(text)).collect();
            let about = &one.about;
            let metadata = (about.kind != Kind::Unknown)
                .then(|| v2::Metadata { kind: about.kind as i32, help_ref: symbols.of(&about.help) });
            timeseries.push(v2::TimeSeries { labels_refs, samples: vec![self.sample(one)], metadata });
        }
        v2::Request { symbols: symbols.into_texts(), timeseries }
    }

    fn sample(&self, series: &Series) -> v1::Sample {
        v1::Sample { value: series.value, timestamp: self.time_ms }
    }

    /// The series' own and the external ones, sorted by name.
    fn labels<'s>(&'s self, series: &'s Series) -> Vec<(&'s str, &'s str)> {
        let pairs = |(name, value): (&'s String, &'s String)| (name.as_str(), value.as_str());
        let mut labels: Vec<_> = series.labels.iter().map(|(name, value)| pairs((name, value))).collect();
        let missing =
            self.external.iter().filter(|(name, _)| !series.labels.iter().any(|(own, _)| own == *name));
        labels.extend(missing.map(pairs));
        labels.sort_unstable();
        labels
    }
}
