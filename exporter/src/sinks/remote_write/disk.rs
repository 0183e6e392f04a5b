//! The spool's file: requests that wait, as they will be sent.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Version;
use crate::journal::{JournalError, open_private};

const SCHEMA: &str = "
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    tenant TEXT NOT NULL,
    -- Of its samples, milliseconds since the epoch.
    time_ms INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    -- Of the protocol: 1 or 2.
    version INTEGER NOT NULL,
    -- The compressed message.
    body BLOB NOT NULL
) STRICT;
CREATE INDEX requests_by_lane ON requests (sink, tenant, id);
-- The time of each lane's last samples, also when they are no longer there.
CREATE TABLE clocks (
    sink TEXT NOT NULL,
    tenant TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (sink, tenant)
) STRICT, WITHOUT ROWID;
";

/// A request that waits, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub id: i64,
    pub time_ms: i64,
    pub samples: u64,
    pub length: u64,
}

/// Of whom.
pub(super) type Owner<'o> = (&'o str, &'o str);

/// The open file.
#[derive(Debug)]
pub(super) struct Disk {
    connection: Connection,
}

impl Disk {
    /// Opens it, makes its tables, and checks it: it is small.
    pub fn open(path: &Path) -> Result<Disk, JournalError> {
        let connection = open_private(path, &[SCHEMA], 4 << 20)?;
        let database = |source| JournalError::Database { path: path.to_owned(), source };
        let what: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(database)?;
        if what != "ok" {
            return Err(JournalError::Damaged { path: path.to_owned(), what });
        }
        Ok(Disk { connection })
    }

    /// What waits of a lane, in order.
    pub fn kept(&self, (sink, tenant): Owner<'_>) -> rusqlite::Result<Vec<Kept>> {
        let mut statement = self.connection.prepare(
            "SELECT id, time_ms, samples, length(body) FROM requests WHERE sink = ?1 AND tenant = ?2 ORDER BY id",
        )?;
        let rows = statement.query_map([sink, tenant], |row| {
            let natural = |value: i64| u64::try_from(value).unwrap_or(0);
            Ok(Kept {
                id: row.get(0)?,
                time_ms: row.get(1)?,
                samples: natural(row.get(2)?),
                length: natural(row.get(3)?),
            })
        })?;
        rows.collect()
    }

    /// The time of a lane's last samples.
    pub fn clock(&self, (sink, tenant): Owner<'_>) -> rusqlite::Result<Option<i64>> {
        self.connection
            .query_row("SELECT time_ms FROM clocks WHERE sink = ?1 AND tenant = ?2", [sink, tenant], |row| {
                row.get(0)
            })
            .optional()
    }

    /// Keeps a request; returns its id.
    pub fn append(
        &mut self,
        (sink, tenant): Owner<'_>,
        time_ms: i64,
        samples: u64,
        version: Version,
        body: &[u8],
    ) -> rusqlite::Result<i64> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO requests (sink, tenant, time_ms, samples, version, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                sink,
                tenant,
                time_ms,
                i64::try_from(samples).unwrap_or(i64::MAX),
                version.number(),
                body
            ],
        )?;
        let id = transaction.last_insert_rowid();
        transaction.execute(
            "INSERT INTO clocks VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET time_ms = excluded.time_ms",
            params![sink, tenant, time_ms],
        )?;
        transaction.commit()?;
        Ok(id)
    }

    /// A request's body.
    pub fn body(&self, id: i64) -> rusqlite::Result<Option<(Version, Vec<u8>)>> {
        let row: Option<(i64, Vec<u8>)> = self
            .connection
            .query_row("SELECT version, body FROM requests WHERE id = ?1", [id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        Ok(row.and_then(|(version, body)| Some((Version::from_number(version)?, body))))
    }

    /// Removes a request.
    pub fn remove(&self, id: i64) -> rusqlite::Result<()> {
        self.connection.prepare("DELETE FROM requests WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// Removes a lane's requests up to this one, also those that could not be removed before.
    pub fn remove_until(&self, (sink, tenant): Owner<'_>, id: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare("DELETE FROM requests WHERE sink = ?1 AND tenant = ?2 AND id <= ?3")?
            .execute(params![sink, tenant, id])?;
        Ok(())
    }

    /// Removes what is of none of these; returns how many samples that were.
    pub fn keep_only(&mut self, owners: &[Owner<'_>]) -> rusqlite::Result<u64> {
        let transaction = self.connection.transaction()?;
        let found: Vec<(String, String, i64)> = {
            let mut statement = transaction
                .prepare("SELECT sink, tenant, SUM(samples) FROM requests GROUP BY sink, tenant")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut removed = 0;
        for (sink, tenant, samples) in found {
            if !owners.contains(&(sink.as_str(), tenant.as_str())) {
                transaction
                    .execute("DELETE FROM requests WHERE sink = ?1 AND tenant = ?2", [&sink, &tenant])?;
                removed += u64::try_from(samples).unwrap_or(0);
            }
        }
        transaction.commit()?;
        Ok(removed)
    }
}

#[cfg(test)]
impl Disk {
    /// As if the disk were this large.
    pub fn limit_pages(&self, pages: u32) -> rusqlite::Result<()> {
        self.connection.execute_batch(&format!("PRAGMA max_page_count = {pages}"))
    }
}
