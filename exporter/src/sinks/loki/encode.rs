//! Entries as a request's body. The lines are the journal's, byte by byte.

use std::collections::{HashMap, hash_map};

use prost::Message;

use super::{
    labels,
    messages::{self, PushRequest, Stream, Timestamp},
    metadata::Facts,
};
use crate::delivery::Entry;

/// The streams in the order in which they begin, and in each the entries in their order. The same entries make the same
/// bytes.
pub(super) fn request(tenant: &str, entries: &[Entry]) -> PushRequest {
    let mut streams: Vec<Stream> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let facts = Facts::of(&entry.line);
        let line = messages::Entry {
            timestamp: Some(timestamp(entry.time_ns)),
            line: entry.line.clone(),
            structured_metadata: facts.metadata(),
        };
        match places.entry(labels::of(tenant, entry, &facts)) {
            hash_map::Entry::Occupied(place) => {
                if let Some(stream) = streams.get_mut(*place.get()) {
                    stream.entries.push(line);
                }
            }
            hash_map::Entry::Vacant(place) => {
                streams.push(Stream { labels: place.key().clone(), entries: vec![line] });
                place.insert(streams.len() - 1);
            }
        }
    }
    PushRequest { streams }
}

/// Compressed as Loki expects it: snappy's block format, without frames.
pub(super) fn body(tenant: &str, entries: &[Entry]) -> Result<Vec<u8>, snap::Error> {
    snap::raw::Encoder::new().compress_vec(&request(tenant, entries).encode_to_vec())
}

fn timestamp(time_ns: i64) -> Timestamp {
    const SECOND: i64 = 1_000_000_000;
    Timestamp {
        seconds: time_ns.div_euclid(SECOND),
        nanos: i32::try_from(time_ns.rem_euclid(SECOND)).unwrap_or_default(),
    }
}
