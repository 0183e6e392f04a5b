//! What Loki 3.7 takes with its default limits, and what it says of the rest.

use jiff::Timestamp;

use super::{Entry, Labels, labels};

const HOUR: i128 = 3600 * 1_000_000_000;
const MAX_LINE: usize = 256 << 10;

/// The organisation: exactly one.
pub(super) fn org<'h>(values: &[&'h str]) -> Result<&'h str, (u16, String)> {
    let org = match values {
        [] | [""] => return Err((401, "no org id".into())),
        [org] if !org.contains('|') => *org,
        _ => return Err((400, "multiple org IDs present".into())),
    };
    if let Some(c) = org.chars().find(|c| !c.is_ascii_alphanumeric() && !"!-_.*'()".contains(*c)) {
        return Err((400, format!("tenant ID '{org}' contains unsupported character '{c}'")));
    }
    if org.len() > 150 || matches!(org, "." | "..") {
        return Err((400, "invalid tenant ID".into()));
    }
    Ok(org)
}

pub(super) fn stream(text: &str) -> Result<Labels, String> {
    let labels = labels::parse(text)?;
    if labels.is_empty() {
        return Err("error at least one label pair is required per stream".into());
    }
    if labels.len() > 15 {
        return Err(format!("entry for stream '{text}' has {} label names; limit 15", labels.len()));
    }
    for (name, value) in &labels {
        if name.len() > 1024 {
            return Err(format!("stream '{text}' has label name too long: '{name}'"));
        }
        if value.len() > 2048 {
            return Err(format!("stream '{text}' has label value too long: '{value}'"));
        }
    }
    Ok(labels)
}

pub(super) fn entry(stream: &str, entry: &Entry, now_ns: i128) -> Result<(), String> {
    let Entry { time_ns, line, metadata } = entry;
    if *time_ns < now_ns - 7 * 24 * HOUR {
        return Err(format!(
            "entry for stream '{stream}' has timestamp too old: {}, oldest acceptable timestamp is: {}",
            rfc3339(*time_ns),
            rfc3339(now_ns - 7 * 24 * HOUR)
        ));
    }
    if *time_ns > now_ns + HOUR {
        return Err(format!("entry for stream '{stream}' has timestamp too new: {}", rfc3339(*time_ns)));
    }
    if line.len() > MAX_LINE {
        return Err(format!(
            "Max entry size '{MAX_LINE}' bytes exceeded for stream '{stream}' while adding an entry with length '{}' bytes",
            line.len()
        ));
    }
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > 64 << 10 {
        return Err(format!(
            "stream '{stream}' has structured metadata too large: '{bytes}' bytes, limit: '65536' bytes"
        ));
    }
    if metadata.len() > 128 {
        return Err(format!(
            "stream '{stream}' has too many structured metadata labels: '{}', limit: '128'",
            metadata.len()
        ));
    }
    Ok(())
}

/// Against what is stored of its stream: half of `max_chunk_age` behind the newest at most.
pub(super) fn order(stored: &[Entry], entry: &Entry) -> Result<(), String> {
    let oldest = stored.iter().map(|entry| entry.time_ns).max().unwrap_or(i128::MIN + HOUR) - HOUR;
    if entry.time_ns >= oldest {
        return Ok(());
    }
    let time = time(entry.time_ns);
    let fraction = format!(".{:09}", time.subsec_nanosecond());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    Err(format!(
        "entry with timestamp {}{fraction} +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: {}, \
         oldest acceptable timestamp is: {}',\ntotal ignored: 1 out of 1",
        time.strftime("%Y-%m-%d %H:%M:%S"),
        rfc3339(entry.time_ns),
        rfc3339(oldest)
    ))
}

fn time(time_ns: i128) -> Timestamp {
    Timestamp::from_nanosecond(time_ns).expect("a time")
}

fn rfc3339(time_ns: i128) -> String {
    time(time_ns).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
