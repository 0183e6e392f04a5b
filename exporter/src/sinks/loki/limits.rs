//! What Loki will not take, known before it is sent.

use std::time::Duration;

use crate::delivery::Entry;

/// Longest time between two events of one request. Loki refuses what is an hour older than the newest of its stream
/// before it looks whether it has it already; a request within this bound can be repeated.
const SPAN_NS: u64 = 30 * 60 * 1_000_000_000;

/// Of an entry, with the names and defaults of Loki's `limits_config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; 0 means no limit.
    pub max_line_size: usize,
    pub reject_old_samples_max_age: Duration,
    pub creation_grace_period: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_line_size: 256 << 10,
            reject_old_samples_max_age: Duration::from_secs(7 * 86400),
            creation_grace_period: Duration::from_secs(3600),
        }
    }
}

impl Limits {
    /// Why an entry will not be taken.
    pub(super) fn refusal(&self, entry: &Entry, now_ns: i64) -> Option<String> {
        let Limits { max_line_size, reject_old_samples_max_age: oldest, creation_grace_period: newest } =
            self;
        let bytes = entry.line.len();
        if *max_line_size > 0 && bytes > *max_line_size {
            return Some(format!("not sent: {bytes} bytes are more than max_line_size, {max_line_size}"));
        }
        let age = Duration::from_nanos(u64::try_from(now_ns.saturating_sub(entry.time_ns)).unwrap_or(0));
        if age > *oldest {
            return Some(format!(
                "not sent: the event is {} s old, more than reject_old_samples_max_age, {} s",
                age.as_secs(),
                oldest.as_secs()
            ));
        }
        let ahead = Duration::from_nanos(u64::try_from(entry.time_ns.saturating_sub(now_ns)).unwrap_or(0));
        if ahead > *newest {
            return Some(format!(
                "not sent: the event is {} s in the future, more than creation_grace_period, {} s",
                ahead.as_secs(),
                newest.as_secs()
            ));
        }
        None
    }

    /// How many of the first entries can go as one request.
    pub(super) fn together(&self, entries: &[Entry], now_ns: i64) -> usize {
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        entries
            .iter()
            .take_while(|entry| {
                (first, last) = (first.min(entry.time_ns), last.max(entry.time_ns));
                last.abs_diff(first) <= SPAN_NS && self.refusal(entry, now_ns).is_none()
            })
            .count()
    }
}
