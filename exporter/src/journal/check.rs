//! Whether a file is whole, found out beside everything else: reading all of a large file takes half a minute where the
//! disk is slow, and nobody is to be blind for that long.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    thread,
};

use rusqlite::{Connection, ErrorCode, InterruptHandle};

use super::{JournalError, schema};

/// A check under way, or done. It ends when this is dropped.
pub(super) struct Check {
    damage: Arc<OnceLock<String>>,
    interrupt: Option<InterruptHandle>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("damage", &self.damage).finish_non_exhaustive()
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        if let Some(interrupt) = &self.interrupt {
            interrupt.interrupt();
        }
    }
}

impl Check {
    /// Begins with a file that is open already, so its tables are there.
    pub fn start(path: &Path) -> Check {
        let damage: Arc<OnceLock<String>> = Arc::default();
        let connection = match schema::open_to_read(path) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "the journal cannot be checked");
                return Check { damage, interrupt: None };
            }
        };
        let interrupt = Some(connection.get_interrupt_handle());
        let told = Arc::clone(&damage);
        let spawned = thread::Builder::new().name("yagura-check".into()).spawn(move || {
            if let Some(what) = check(&connection) {
                // There is one check for each cell.
                let _first = told.set(what);
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "the journal cannot be checked");
        }
        Check { damage, interrupt }
    }

    /// What is wrong with the file, once that is known.
    pub fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }
}

fn check(connection: &Connection) -> Option<String> {
    let found: rusqlite::Result<String> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match found {
        Ok(what) if what == "ok" => None,
        Ok(what) => Some(what),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => None,
        Err(source) => {
            let what = source.to_string();
            let error = JournalError::Database { path: connection.path().unwrap_or_default().into(), source };
            if error.is_damage() {
                return Some(what);
            }
            tracing::warn!(%error, "the journal cannot be checked");
            None
        }
    }
}
