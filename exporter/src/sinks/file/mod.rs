//! The file: detections as lines, appended, with rotation of its own or logrotate's.
//!
//! What the cursor has passed is on disk: each batch is followed by fdatasync. All of it happens on threads that may
//! block, so a disk that hangs delays nobody but the lanes that write to it. It never writes to anything but a plain
//! file with one name, and follows no symbolic link at its path.

mod appender;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use tokio::task::spawn_blocking;

use appender::{Appender, FileError};

use crate::{
    config::Format,
    delivery::{Entry, Probing, Reason, Refusal, Sending, Sent, Sink},
    detection,
    sinks::tenant_ids::PLACE,
};

/// Where to and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Absolute; `{tenant}` in it is the tenant's name.
    pub path: String,
    pub format: Format,
    /// `None`: somebody else does it, and sends SIGHUP.
    pub rotate: Option<Rotate>,
}

/// When a file becomes `path.1`, what was that `path.2`, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// Bytes of a file, but for a single line that is longer.
    pub max_size: u64,
    /// Files beside the one that is written; the oldest is removed.
    pub keep: u32,
}

/// The sink.
#[derive(Debug)]
pub struct FileSink {
    settings: Settings,
    /// Of each path; as many as there are lanes, at most.
    files: Mutex<BTreeMap<PathBuf, Arc<Mutex<Appender>>>>,
}

impl FileSink {
    pub fn new(settings: Settings) -> FileSink {
        FileSink { settings, files: Mutex::default() }
    }

    fn file(&self, tenant: &str) -> Result<Arc<Mutex<Appender>>, FileError> {
        let Settings { path, rotate, format: _ } = &self.settings;
        // The journal may have names that no configuration has checked.
        if path.contains(PLACE) && (tenant.is_empty() || tenant.starts_with('.') || tenant.contains('/')) {
            return Err(FileError::Tenant(tenant.to_owned()));
        }
        let path = PathBuf::from(path.replace(PLACE, tenant));
        let appender = || Arc::new(Mutex::new(Appender::new(path.clone(), *rotate)));
        Ok(Arc::clone(lock(&self.files).entry(path.clone()).or_insert_with(appender)))
    }

    async fn write(&self, tenant: &str, entries: &[Entry]) -> Sent {
        let file = match self.file(tenant) {
            Ok(file) => file,
            Err(error) => return Sent { taken: 0, refusal: Some(later(&error)) },
        };
        let mut lines = Vec::with_capacity(entries.len());
        let mut poison = None;
        for entry in entries {
            match line(self.settings.format, entry) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    poison = Some(Refusal::Poison { what: format!("no text can be made from it: {error}") });
                    break;
                }
            }
        }
        match spawn_blocking(move || lock(&file).append(&lines)).await {
            Ok((taken, Ok(()))) => Sent { taken, refusal: poison },
            Ok((taken, Err(error))) => Sent { taken, refusal: Some(later(&error)) },
            Err(error) => Sent {
                taken: 0,
                refusal: Some(Refusal::Later { reason: Reason::Write, what: error.to_string(), after: None }),
            },
        }
    }
}

impl Sink for FileSink {
    fn send<'s>(&'s self, tenant: &'s str, entries: &'s [Entry]) -> Sending<'s> {
        Box::pin(self.write(tenant, entries))
    }

    fn sends_together(&self) -> bool {
        false
    }

    /// A file of all tenants is there from the start; one of each tenant comes with its first detection.
    fn probe<'s>(&'s self, _tenant: &'s str) -> Probing<'s> {
        Box::pin(async {
            if self.settings.path.contains(PLACE) {
                return Ok(());
            }
            let file = self.file("").map_err(|error| later(&error))?;
            match spawn_blocking(move || lock(&file).append(&[])).await {
                Ok((_, Err(error))) => Err(later(&error)),
                Ok((_, Ok(()))) | Err(_) => Ok(()),
            }
        })
    }

    fn reopen(&self) {
        let files: Vec<_> = lock(&self.files).values().cloned().collect();
        for file in files {
            if let Err(error) = lock(&file).reopen() {
                tracing::error!(%error, "a file cannot be opened again; it is tried with the next detection");
            }
        }
    }
}

/// An entry as it is written, with the end of the line.
fn line(format: Format, entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Output {
        output: String,
    }
    let mut line = match format {
        Format::Json => entry.line.clone().into_bytes(),
        Format::Text => {
            let Output { output } = serde_json::from_str(&entry.line)?;
            let mut line = Vec::with_capacity(output.len() + 1);
            detection::escape_text(&output, &mut line);
            line
        }
    };
    line.push(b'\n');
    Ok(line)
}

fn later(error: &FileError) -> Refusal {
    Refusal::Later { reason: Reason::Write, what: error.to_string(), after: None }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
