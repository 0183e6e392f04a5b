//! What a sink's task asks of the journal, and where it keeps how far it is.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{JournalError, schema};
use crate::sinks::Entry;

/// A detection with what decides who gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub entry: Entry,
    pub rule: String,
    pub priority: i64,
    pub tags: String,
}

/// One sink's connection. Beside the writer's: it reads, and writes its own cursor.
#[derive(Debug)]
pub struct DeliveryReader {
    connection: Connection,
    path: PathBuf,
    inode: Option<u64>,
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|file| file.ino())
}

impl DeliveryReader {
    pub fn open(path: &Path) -> Result<DeliveryReader, JournalError> {
        let connection = schema::open(path)?;
        Ok(DeliveryReader { connection, path: path.to_owned(), inode: inode(path) })
    }

    /// Whether another file has its name by now.
    pub fn is_replaced(&self) -> bool {
        inode(&self.path) != self.inode
    }

    fn error(&self, source: rusqlite::Error) -> JournalError {
        JournalError::Database { path: self.path.clone(), source }
    }

    /// How far a sink is with a tenant. One that is new begins at the end of what is there.
    pub fn cursor(&self, sink: &str, tenant: &str) -> Result<i64, JournalError> {
        let read = || -> rusqlite::Result<i64> {
            let mut known =
                self.connection.prepare("SELECT id FROM cursors WHERE sink = ?1 AND tenant = ?2")?;
            if let Some(id) = known.query_row(params![sink, tenant], |row| row.get(0)).optional()? {
                return Ok(id);
            }
            // Not the largest id that is there: one that was removed is not given again.
            let end = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'detections'), 0)";
            let end: i64 = self.connection.query_row(end, [], |row| row.get(0))?;
            self.put(sink, tenant, end)?;
            Ok(end)
        };
        read().map_err(|error| self.error(error))
    }

    fn put(&self, sink: &str, tenant: &str, id: i64) -> rusqlite::Result<()> {
        let sql = "INSERT INTO cursors (sink, tenant, id) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (sink, tenant) DO UPDATE SET id = excluded.id";
        self.connection.execute(sql, params![sink, tenant, id]).map(drop)
    }

    pub fn set_cursor(&self, sink: &str, tenant: &str, id: i64) -> Result<(), JournalError> {
        self.put(sink, tenant, id).map_err(|error| self.error(error))
    }

    /// A tenant's detections after a position, oldest first.
    pub fn after(&self, tenant: &str, id: i64, limit: usize) -> Result<Vec<DeliveryRow>, JournalError> {
        let read = || -> rusqlite::Result<Vec<DeliveryRow>> {
            let mut statement = self.connection.prepare(
                "SELECT id, written_ns, line, rule, priority, tags FROM detections \
                 WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            )?;
            let rows = statement.query_map(params![tenant, id, limit as i64], |row| {
                Ok(DeliveryRow {
                    entry: Entry { id: row.get(0)?, written_ns: row.get(1)?, line: row.get(2)? },
                    rule: row.get(3)?,
                    priority: row.get(4)?,
                    tags: row.get(5)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(|error| self.error(error))
    }

    /// How many of a tenant's there are after a position.
    pub fn count_after(&self, tenant: &str, id: i64) -> Result<u64, JournalError> {
        let sql = "SELECT COUNT(*) FROM detections WHERE tenant = ?1 AND id > ?2";
        let count: i64 = self
            .connection
            .query_row(sql, params![tenant, id], |row| row.get(0))
            .map_err(|error| self.error(error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
