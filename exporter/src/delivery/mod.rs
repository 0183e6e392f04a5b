//! Delivery: from the journal to those who are to be told, losing nothing.
//!
//! ```text
//! journal ─ writer ─ news ─┐
//!    └ spool (one thread: reads entries, keeps cursors) ⇄ lane of (sink, tenant) ─ Sink::send ─ receiver
//! ```
//!
//! Each sink has a lane for each tenant, with its own cursor, its own waiting after failures and one request under way
//! at most: nothing that happens in one lane delays another. A cursor moves only once the receiver has taken what is
//! before it, so an entry is delivered at least once and in order; a line is the journal's own, so that a repetition is
//! the same bytes. An entry that the receiver will never take is set aside and counted. While a lane waits it holds no
//! entries: a receiver that is down costs disk, not memory.

mod breaker;
mod engine;
mod filter;
mod lane;
mod spool;
#[cfg(test)]
mod tests;

use std::{fmt, future::Future, pin::Pin, time::Duration};

pub use breaker::{Breaker, Change};
pub use engine::{Delivery, Lane, Setup};
pub use filter::Filter;

use crate::{backoff::Pace, rules::Priority};

/// A detection as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number among its tenant's, without gaps.
    pub seq: i64,
    /// When its event was, and when it was journaled, nanoseconds since the epoch.
    pub time_ns: i64,
    pub written_ns: i64,
    /// The Kubernetes namespace that it is about.
    pub namespace: Option<String>,
    pub priority: Priority,
    pub rule: String,
    /// Falco's name of the source.
    pub source: String,
    pub tags: Vec<String>,
    /// One JSON object, without the end of the line.
    pub line: String,
}

#[cfg(test)]
impl Entry {
    /// One of a test.
    pub fn of_test(seq: i64, line: &str) -> Entry {
        Entry {
            seq,
            time_ns: 0,
            written_ns: 0,
            namespace: None,
            priority: Priority::Notice,
            rule: "r".into(),
            tags: Vec::new(),
            source: "syscall".into(),
            line: line.into(),
        }
    }
}

/// How a sink is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    pub filter: Filter,
    pub pace: Pace,
    /// Entries read and sent at once.
    pub batch: usize,
    /// Bytes of these, but for a single entry that is longer.
    pub batch_bytes: usize,
    /// How long after it was journaled the first of less than `batch` entries waits for more.
    pub max_wait: Duration,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed {
            filter: Filter::default(),
            pace: Pace::default(),
            batch: 100,
            batch_bytes: 256 << 10,
            max_wait: Duration::ZERO,
        }
    }
}

/// Why entries were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It may work later. After how long at the earliest, if the receiver said so.
    Later { reason: Reason, what: String, after: Option<Duration> },
    /// The receiver will not take these bytes, however often they come: of several entries at least one is at fault.
    Poison { what: String },
    /// The receiver took them but for some, and does not say which: none of them is to be sent again.
    Part { rejected: usize, what: String },
}

/// Label of a failure's metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No connection, or no TLS.
    Connect,
    /// The connection broke, or its answer made no sense.
    Connection,
    Timeout,
    /// 401 and 403.
    Denied,
    /// 429.
    Throttled,
    /// Any other answer that may change.
    Answer,
    /// A file with a secret or a certificate cannot be read.
    Secret,
    /// A file cannot be written.
    Write,
}

impl Reason {
    pub const ALL: [Reason; 8] = [
        Reason::Connect,
        Reason::Connection,
        Reason::Timeout,
        Reason::Denied,
        Reason::Throttled,
        Reason::Answer,
        Reason::Secret,
        Reason::Write,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Reason::Connect => "connect",
            Reason::Connection => "connection",
            Reason::Timeout => "timeout",
            Reason::Denied => "denied",
            Reason::Throttled => "throttled",
            Reason::Answer => "answer",
            Reason::Secret => "secret",
            Reason::Write => "write",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Later { what, .. } | Refusal::Poison { what } | Refusal::Part { what, .. } => {
                f.write_str(what)
            }
        }
    }
}

/// What became of a batch: the first `taken` entries are the receiver's, the rest was refused or not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub taken: usize,
    pub refusal: Option<Refusal>,
}

pub type Sending<'s> = Pin<Box<dyn Future<Output = Sent> + Send + 's>>;

pub type Probing<'s> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 's>>;

/// Who takes detections. One call for a tenant at a time.
pub trait Sink: fmt::Debug + Send + Sync {
    /// Sends entries in order.
    fn send<'s>(&'s self, tenant: &'s str, entries: &'s [Entry]) -> Sending<'s>;

    /// Whether several entries go as one request, of which a refusal is about all.
    fn sends_together(&self) -> bool;

    /// Whether the receiver can be reached and lets a tenant in, without giving it anything.
    fn probe<'s>(&'s self, tenant: &'s str) -> Probing<'s>;

    /// Files may have been moved away: whoever writes one opens it anew. May block.
    fn reopen(&self) {}
}
