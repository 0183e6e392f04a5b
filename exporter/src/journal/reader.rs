//! Whoever asks: the command line.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params_from_iter, types::Value};
use serde::Serialize;

use super::{JournalError, schema};

/// Positions that are looked up at once: with whatever index is best, but then they are in memory to be sorted.
const POSITIONS: i64 = 1_000_000;

/// Which detections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub tenant: Option<String>,
    pub namespace: Option<String>,
    pub rule: Option<String>,
    /// Nanoseconds since the epoch, of the event.
    pub since_ns: Option<i64>,
    pub until_ns: Option<i64>,
}

/// What is in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub path: PathBuf,
    pub detections: u64,
    /// What they count against the bound.
    pub size: u64,
    /// Of the file, which keeps what it has grown to.
    pub file_size: u64,
    /// Times of the oldest and the newest event, ISO 8601.
    pub oldest: Option<String>,
    pub newest: Option<String>,
    pub tenants: Vec<TenantStats>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantStats {
    pub tenant: String,
    pub detections: u64,
    pub size: u64,
}

/// Reads beside whoever writes.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, JournalError> {
        Ok(Reader { connection: schema::open_to_read(path)?, path: path.to_owned() })
    }

    fn error(&self, source: rusqlite::Error) -> JournalError {
        JournalError::Database { path: self.path.clone(), source }
    }

    /// The position of the last detection that was ever written.
    pub fn last(&self) -> Result<i64, JournalError> {
        let last = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'detections'), 0)";
        self.connection.query_row(last, [], |row| row.get(0)).map_err(|error| self.error(error))
    }

    /// Calls `each` with each line after a position and up to another, oldest first; returns up to where it has looked, which
    /// is that other one unless `each`, which says whether it wants more, did not. It may take its time: nothing is held of
    /// the file meanwhile, whose log would grow with all that is written until a reader ends. What is removed before its turn
    /// is left out.
    pub fn lines(
        &self,
        filter: &Filter,
        after: i64,
        until: i64,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<i64, JournalError> {
        let mut read = || -> rusqlite::Result<i64> {
            let mut last = after;
            let mut line = self.connection.prepare("SELECT line FROM detections WHERE id = ?1")?;
            loop {
                let positions = self.positions(filter, last, until)?;
                if positions.is_empty() {
                    return Ok(last.max(until));
                }
                for position in positions {
                    last = position;
                    let found: Option<String> = line.query_row([position], |row| row.get(0)).optional()?;
                    if found.is_some_and(|line| !each(&line)) {
                        return Ok(last);
                    }
                }
            }
        };
        read().map_err(|error| self.error(error))
    }

    fn positions(&self, filter: &Filter, after: i64, until: i64) -> rusqlite::Result<Vec<i64>> {
        let (condition, mut values) = filter.sql();
        values.extend([after, until, POSITIONS].map(Value::from));
        let sql =
            format!("SELECT id FROM detections WHERE {condition} AND id > ? AND id <= ? ORDER BY id LIMIT ?");
        let mut statement = self.connection.prepare(&sql)?;
        let positions = statement.query_map(params_from_iter(&values), |row| row.get(0))?;
        positions.collect()
    }

    /// The position before the last `count` detections up to another.
    pub fn before_last(&self, filter: &Filter, until: i64, count: u64) -> Result<i64, JournalError> {
        let (condition, mut values) = filter.sql();
        values.extend([until, i64::try_from(count).unwrap_or(i64::MAX)].map(Value::from));
        let sql = format!(
            "SELECT COALESCE(MIN(id), 1) - 1 FROM \
             (SELECT id FROM detections WHERE {condition} AND id <= ? ORDER BY id DESC LIMIT ?)"
        );
        let first = self.connection.query_row(&sql, params_from_iter(&values), |row| row.get(0));
        first.map_err(|error| self.error(error))
    }

    pub fn stats(&self) -> Result<Stats, JournalError> {
        let number = |row: &Row<'_>, at: usize| -> rusqlite::Result<u64> {
            Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0))
        };
        let read = || -> rusqlite::Result<Stats> {
            let mut statement = self.connection.prepare(
                "SELECT tenant, COUNT(*), SUM(weight) FROM detections GROUP BY tenant ORDER BY 3 DESC, 1",
            )?;
            let tenants = statement.query_map([], |row| {
                Ok(TenantStats { tenant: row.get(0)?, detections: number(row, 1)?, size: number(row, 2)? })
            })?;
            let tenants: Vec<TenantStats> = tenants.collect::<rusqlite::Result<_>>()?;
            let (oldest, newest): (Option<i64>, Option<i64>) = self.connection.query_row(
                "SELECT (SELECT MIN(time_ns) FROM detections), (SELECT MAX(time_ns) FROM detections)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let iso =
                |ns: Option<i64>| ns.map(|ns| crate::detection::iso8601(u64::try_from(ns).unwrap_or(0)));
            Ok(Stats {
                path: self.path.clone(),
                detections: tenants.iter().map(|tenant| tenant.detections).sum(),
                size: tenants.iter().map(|tenant| tenant.size).sum(),
                file_size: std::fs::metadata(&self.path).map_or(0, |file| file.len()),
                oldest: iso(oldest),
                newest: iso(newest),
                tenants,
            })
        };
        read().map_err(|error| self.error(error))
    }
}

impl Filter {
    fn sql(&self) -> (String, Vec<Value>) {
        let Filter { tenant, namespace, rule, since_ns, until_ns } = self;
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let number = |value: &Option<i64>| value.map(Value::from);
        let all = [
            ("tenant = ?", text(tenant)),
            ("namespace = ?", text(namespace)),
            ("rule = ?", text(rule)),
            ("time_ns >= ?", number(since_ns)),
            ("time_ns < ?", number(until_ns)),
        ];
        let mut condition = "1".to_owned();
        let mut values = Vec::new();
        for (part, value) in all {
            if let Some(value) = value {
                condition += " AND ";
                condition += part;
                values.push(value);
            }
        }
        (condition, values)
    }
}
