//! The file of all lanes, or none while it cannot be used.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::disk::Disk;
use crate::{
    journal::{JournalError, set_aside},
    metrics::WriteMetrics,
};

/// How soon a file that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    open: Option<Disk>,
    /// Which file it is: what was kept in another is not in this one.
    pub generation: u64,
    tried: Option<Instant>,
    said: Option<&'static str>,
    metrics: WriteMetrics,
}

impl Spool {
    pub fn new(path: PathBuf, metrics: WriteMetrics) -> Spool {
        Spool { path, open: None, generation: 0, tried: None, said: None, metrics }
    }

    /// Opens the file if that is due. Whether it is open now and was not before.
    pub fn opens(&mut self) -> bool {
        if self.open.is_some() || self.tried.is_some_and(|tried| tried.elapsed() < RETRY) {
            return false;
        }
        self.tried = Some(Instant::now());
        let opened = match Disk::open(&self.path) {
            Err(error) if error.is_damage() => {
                self.trouble(&error);
                set_aside(&self.path).and_then(|()| Disk::open(&self.path))
            }
            other => other,
        };
        match opened {
            Ok(disk) => {
                self.open = Some(disk);
                self.generation += 1;
                self.said = None;
                true
            }
            Err(error) => {
                self.trouble(&error);
                false
            }
        }
    }

    /// Does something with the file; `None` if there is none, or it did not work, which is counted.
    pub fn with<T>(&mut self, act: impl FnOnce(&mut Disk) -> rusqlite::Result<T>) -> Option<T> {
        match act(self.open.as_mut()?) {
            Ok(value) => Some(value),
            Err(source) => {
                let error = JournalError::Database { path: self.path.clone(), source };
                if error.is_damage() {
                    self.open = None;
                    self.tried = None;
                }
                self.trouble(&error);
                None
            }
        }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Says it once for each kind.
    fn trouble(&mut self, error: &JournalError) {
        self.metrics.spool_failed();
        if self.said != Some(error.reason()) {
            self.said = Some(error.reason());
            tracing::error!(%error, "the spool of remote-write does not work: samples are kept in memory, and few of them");
        }
    }
}
