//! The message of version 2.0: `io.prometheus.write.v2.Request`, as far as it is used here.
//!
//! Source: `prompb/io/prometheus/write/v2/types.proto` of Prometheus. Texts are numbers in it: positions among `symbols`.

use std::collections::HashMap;

use super::v1::Sample;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    /// The first is empty.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TimeSeries {
    /// Name, value, name, value; sorted by name.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Metadata {
    /// As [`super::series::Kind`] numbers them.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
}

/// Collects texts, each once.
#[derive(Debug)]
pub(super) struct Symbols<'t> {
    positions: HashMap<&'t str, u32>,
    texts: Vec<String>,
}

impl<'t> Symbols<'t> {
    pub fn new() -> Symbols<'t> {
        Symbols { positions: HashMap::from([("", 0)]), texts: vec![String::new()] }
    }

    pub fn of(&mut self, text: &'t str) -> u32 {
        *self.positions.entry(text).or_insert_with(|| {
            self.texts.push(text.to_owned());
            // A request has far fewer.
            u32::try_from(self.texts.len() - 1).unwrap_or(0)
        })
    }

    pub fn into_texts(self) -> Vec<String> {
        self.texts
    }
}
