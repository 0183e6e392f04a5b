//! The tables, and how older files become newer ones.

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::JournalError;

/// How long to wait for whoever else writes. Transactions are short, but a busy disk takes seconds for a sync in one; and
/// what waits here waits in bounded queues, while what gives up is lost.
const BUSY: Duration = Duration::from_secs(10);

/// Each brings a file from the version of its position to the next. Never changed once released; more are appended.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE detections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Nanoseconds since the epoch: of the event, and of the writing.
    time_ns INTEGER NOT NULL,
    written_ns INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    namespace TEXT,
    rule TEXT NOT NULL,
    -- Falco's: 0 is Emergency, 7 is Debug.
    priority INTEGER NOT NULL,
    source TEXT NOT NULL,
    uuid BLOB NOT NULL,
    -- What it counts against the bounds.
    weight INTEGER NOT NULL,
    -- The detection as JSON, without the end of the line.
    line TEXT NOT NULL
) STRICT;
CREATE INDEX detections_by_tenant ON detections (tenant, id);
CREATE INDEX detections_by_time ON detections (time_ns);
CREATE INDEX detections_by_rule ON detections (rule, time_ns);
",
    "
-- Its number among its tenant's, from 1 and without gaps: a gap is what a bound has removed.
ALTER TABLE detections ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
-- A JSON array.
ALTER TABLE detections ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
UPDATE detections SET seq = numbered.seq FROM
    (SELECT id, ROW_NUMBER() OVER (PARTITION BY tenant ORDER BY id) AS seq FROM detections) AS numbered
    WHERE numbered.id = detections.id;
DROP INDEX detections_by_tenant;
-- With the weight: what a tenant uses is added up from the index alone when the file is opened.
CREATE INDEX detections_by_tenant ON detections (tenant, seq, weight);
-- The number of each tenant's last detection, also when it is no longer there.
CREATE TABLE tenants (tenant TEXT PRIMARY KEY, last_seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO tenants SELECT tenant, MAX(seq) FROM detections GROUP BY tenant;
-- Up to where each sink has dealt with each tenant's detections.
CREATE TABLE cursors (
    sink TEXT NOT NULL,
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (sink, tenant)
) STRICT, WITHOUT ROWID;
-- Detections that a sink's receiver will never take, and what it said.
CREATE TABLE rejected (
    sink TEXT NOT NULL,
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    written_ns INTEGER NOT NULL,
    reason TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (sink, tenant, seq)
) STRICT, WITHOUT ROWID;
",
    "
-- What is too old is found wherever it is: a clock that was set back puts what is younger before it.
CREATE INDEX detections_by_writing ON detections (written_ns);
-- With what each counts against the bounds, before what may be long.
ALTER TABLE rejected RENAME TO rejected_before;
CREATE TABLE rejected (
    sink TEXT NOT NULL,
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    written_ns INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    reason TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (sink, tenant, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO rejected SELECT sink, tenant, seq, written_ns, 256 + octet_length(reason) + octet_length(line), reason, line
    FROM rejected_before;
DROP TABLE rejected_before;
CREATE INDEX rejected_by_writing ON rejected (written_ns, tenant, weight);
",
];

/// What a file of the newest kind says.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Opens a file to write, and makes or migrates its tables.
pub(super) fn open(path: &Path) -> Result<Connection, JournalError> {
    open_private(path, MIGRATIONS, 16 << 20)
}

/// Opens a database that nobody else reads, its folder too if that has to be made; its tables become those of the newest
/// version. After a checkpoint the write-ahead log is cut to `log_size`.
pub(crate) fn open_private(
    path: &Path,
    migrations: &[&str],
    log_size: u32,
) -> Result<Connection, JournalError> {
    if let Some(folder) = path.parent() {
        // Command lines hold secrets: nobody else reads them here.
        (DirBuilder::new().recursive(true).mode(0o700).create(folder))
            .map_err(|source| JournalError::Folder { path: folder.to_owned(), source })?;
    }
    // Not by SQLite, which asks for what the mask leaves; it makes the files beside it with the mode of this one.
    (OpenOptions::new().append(true).create(true).mode(0o600).open(path))
        .map_err(|source| JournalError::Folder { path: path.to_owned(), source })?;
    let database = |source| JournalError::Database { path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(database)?;
    connection.busy_timeout(BUSY).map_err(database)?;
    // Readers beside the writer; a commit is a write without a sync, which a checkpoint makes good.
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = {log_size}; \
             PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;"
        ))
        .map_err(database)?;
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    let known = migrations.len() as i64;
    if found > known {
        return Err(JournalError::Newer { path: path.to_owned(), found, known });
    }
    let from = usize::try_from(found).unwrap_or(0);
    for (version, migration) in migrations.iter().enumerate().skip(from) {
        let transaction = connection.transaction().map_err(database)?;
        transaction.execute_batch(migration).map_err(database)?;
        transaction.pragma_update(None, "user_version", version as i64 + 1).map_err(database)?;
        transaction.commit().map_err(database)?;
    }
    Ok(connection)
}

/// Opens a file to read, beside whoever writes it.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, JournalError> {
    let database = |source| JournalError::Database { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(database)?;
    connection.busy_timeout(BUSY).map_err(database)?;
    // What is read of it is the same since the first version.
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    if found > VERSION {
        return Err(JournalError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(connection)
}

/// Opens a file beside its writer, to read it and to keep positions in it.
pub fn open_beside(path: &Path) -> Result<Connection, JournalError> {
    let database = |source| JournalError::Database { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(database)?;
    connection.busy_timeout(BUSY).map_err(database)?;
    connection
        .execute_batch(
            "PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 0;",
        )
        .map_err(database)?;
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    if found != VERSION {
        return Err(JournalError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(connection)
}
