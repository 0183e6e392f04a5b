//! The journal: every detection on disk before anybody else sees it, for those who ask later.
//!
//! ```text
//! queue ─ writer (one transaction for what is there) ─ SQLite ─ reader (command line), delivery
//!                └ retention: age, size, each tenant's share
//! ```
//!
//! One SQLite file (write-ahead log) that `sqlite3` opens. What was written survives the daemon's death at any moment; of
//! a machine that loses its power the last moments may be missing (`synchronous=NORMAL`: the file stays whole). It is bounded
//! by size and age, a tenant's flood costs that tenant its own oldest detections, and everything that a bound removes is
//! counted. A file that is damaged is set aside, never deleted.

mod check;
mod news;
mod reader;
mod retention;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

pub use news::News;
pub use reader::{Filter, Reader, Stats, TenantStats};
pub use retention::Bound;
pub use schema::open_beside;
pub(crate) use schema::open_private;
pub use writer::Journal;
pub(crate) use writer::{set_aside, weight};

/// How the journal is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub enabled: bool,
    pub path: PathBuf,
    /// Of the detections in it, with what the tables need for them.
    pub max_size: u64,
    pub max_age: Duration,
    /// A tenant's part of `max_size`, above 0, at most 1; of a tenant that is not here [`DEFAULT_SHARE`].
    pub shares: BTreeMap<String, f64>,
}

/// What a tenant may use of the journal if nothing else is said.
pub const DEFAULT_SHARE: f64 = 0.5;

impl Settings {
    /// Bytes that a tenant may use.
    pub fn share_of(&self, tenant: &str) -> u64 {
        (self.shares.get(tenant).copied().unwrap_or(DEFAULT_SHARE) * self.max_size as f64) as u64
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            path: "/var/lib/yagura/journal.db".into(),
            max_size: 512 << 20,
            max_age: Duration::from_secs(7 * 86_400),
            shares: BTreeMap::new(),
        }
    }
}

/// Something with the file is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{}: {source}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{}: it was written by a newer version (schema {found}, known {known})", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{}: damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
}

impl JournalError {
    /// Label of its metric.
    pub fn reason(&self) -> &'static str {
        use rusqlite::ErrorCode;
        match self {
            JournalError::Folder { .. } => "folder",
            JournalError::Newer { .. } => "newer",
            JournalError::Damaged { .. } => "damaged",
            JournalError::Database { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => "disk_full",
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "busy",
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "damaged",
                _ => "io",
            },
        }
    }

    /// Whether the file itself is of no use.
    pub fn is_damage(&self) -> bool {
        self.reason() == "damaged"
    }
}
