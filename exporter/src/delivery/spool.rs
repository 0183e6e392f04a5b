//! The journal as lanes see it: entries after a cursor, and where the cursors are kept.
//!
//! One thread with a connection of its own serves all lanes, each of which asks for one thing at a time: their turns
//! are fair. Cursors that moved are written together, a few times a second: what is sent again after a crash is no more
//! than that.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::{Entry, Filter};
use crate::{
    journal::{JournalError, weight},
    rules::Priority,
};

/// How often cursors are written.
const FLUSH: Duration = Duration::from_millis(200);
/// Entries set aside that are kept for each lane, and what they may weigh; the journal's own bounds are for all together.
const MAX_REJECTED: i64 = 1000;
const MAX_REJECTED_WEIGHT: i64 = 8 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the journal cannot be read: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("the thread that reads the journal has ended")]
    Gone,
}

/// An entry that the receiver will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub entry: Entry,
    pub what: String,
}

/// What a lane wants.
#[derive(Debug)]
pub(super) struct Ask {
    pub sink: Arc<str>,
    pub tenant: Arc<str>,
    /// Everything up to here has been dealt with.
    pub cursor: i64,
    /// Nothing after this, if it is a repetition.
    pub until: Option<i64>,
    pub entries: usize,
    pub bytes: usize,
    pub rejected: Option<Rejected>,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub entries: Vec<Entry>,
    /// The number of the tenant's last entry, also if it was removed.
    pub last: i64,
}

type Answer = oneshot::Sender<Result<Found, SpoolError>>;

/// Asks the thread. The last one that is dropped ends it, once the cursors are written.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    asks: SyncSender<(Ask, Answer)>,
}

/// A sink and what it is for.
#[derive(Debug)]
pub(super) struct Wanted<'f> {
    pub sink: Arc<str>,
    pub filter: &'f Filter,
}

/// Where a lane begins that has never been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewLane {
    FromNow,
    FromTheBeginning,
}

/// Where lanes begin: by sink and tenant, the cursor and the number of the tenant's last entry.
#[derive(Debug)]
pub(super) struct Beginning {
    pub sink: Arc<str>,
    pub tenant: Arc<str>,
    pub cursor: i64,
    pub last: i64,
}

impl Spool {
    /// Opens the journal, and finds where each lane begins: where an earlier run ended, a new lane with what comes
    /// from now on or with all that there is.
    pub(super) fn open(
        path: &Path,
        tenants: &[Arc<str>],
        sinks: &[Wanted<'_>],
        new: NewLane,
    ) -> Result<(Spool, Vec<Beginning>, thread::JoinHandle<()>), SpoolError> {
        let mut connection = crate::journal::open_beside(path)?;
        let beginnings = begin(&mut connection, tenants, sinks, new)?;
        // One question of each lane at most.
        let (asks, inbox) = sync_channel(beginnings.len().max(1));
        let keeper = Keeper {
            path: path.to_owned(),
            identity: identity(path),
            connection: Some(connection),
            cursors: HashMap::new(),
            moved: HashMap::new(),
            troubled: false,
        };
        let thread = thread::Builder::new()
            .name("yagura-spool".into())
            .spawn(move || keeper.run(&inbox))
            .map_err(SpoolError::Thread)?;
        Ok((Spool { asks }, beginnings, thread))
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<Found, SpoolError> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send((ask, answer)).map_err(|_| SpoolError::Gone)?;
        answered.await.map_err(|_| SpoolError::Gone)?
    }
}

fn begin(
    connection: &mut Connection,
    tenants: &[Arc<str>],
    sinks: &[Wanted<'_>],
    new: NewLane,
) -> Result<Vec<Beginning>, SpoolError> {
    let transaction = connection.transaction()?;
    let mut lasts: HashMap<Arc<str>, i64> = tenants.iter().map(|tenant| (Arc::clone(tenant), 0)).collect();
    {
        let mut statement = transaction.prepare("SELECT tenant, last_seq FROM tenants")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            lasts.insert(row.get::<_, String>(0)?.into(), row.get(1)?);
        }
    }
    let mut lasts: Vec<_> = lasts.into_iter().collect();
    lasts.sort();
    let mut beginnings = Vec::new();
    for Wanted { sink, filter } in sinks {
        for (tenant, last) in lasts.iter().filter(|(tenant, _)| filter.wants_tenant(tenant)) {
            let cursor: Option<i64> = transaction
                .query_row(
                    "SELECT seq FROM cursors WHERE sink = ?1 AND tenant = ?2",
                    params![sink, tenant],
                    |row| row.get(0),
                )
                .optional()?;
            let cursor = match (cursor, new) {
                (Some(cursor), _) => cursor.min(*last),
                (None, NewLane::FromNow) => *last,
                (None, NewLane::FromTheBeginning) => 0,
            };
            let keep = "INSERT INTO cursors (sink, tenant, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            transaction.execute(keep, params![sink, tenant, cursor])?;
            let (sink, tenant) = (Arc::clone(sink), Arc::clone(tenant));
            beginnings.push(Beginning { sink, tenant, cursor, last: *last });
        }
    }
    transaction.commit()?;
    Ok(beginnings)
}

/// The thread's side.
struct Keeper {
    path: PathBuf,
    /// Which file is open: a damaged one is replaced by its writer.
    identity: Option<(u64, u64)>,
    connection: Option<Connection>,
    /// All that lanes have told of.
    cursors: HashMap<(Arc<str>, Arc<str>), i64>,
    /// Those to be written.
    moved: HashMap<(Arc<str>, Arc<str>), i64>,
    troubled: bool,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<(Ask, Answer)>) {
        let mut flushed = Instant::now();
        loop {
            let patience = FLUSH.saturating_sub(flushed.elapsed());
            match inbox.recv_timeout(patience) {
                Ok((ask, answer)) => {
                    let _gone = answer.send(self.serve(&ask));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if flushed.elapsed() >= FLUSH {
                self.flush();
                flushed = Instant::now();
            }
        }
        self.flush();
    }

    fn serve(&mut self, ask: &Ask) -> Result<Found, SpoolError> {
        let key = (Arc::clone(&ask.sink), Arc::clone(&ask.tenant));
        if self.cursors.insert(key.clone(), ask.cursor) != Some(ask.cursor) {
            self.moved.insert(key, ask.cursor);
        }
        // Each time: a lane that was told of news and found nothing would wait for more.
        self.follow()?;
        let Some(connection) = &mut self.connection else { return Err(SpoolError::Gone) };
        if let Some(rejected) = &ask.rejected {
            match set_aside(connection, ask, rejected) {
                Ok(0) => {}
                // Said as often as that something was refused is.
                Ok(removed) => tracing::warn!(
                    sink = %ask.sink, tenant = %ask.tenant, removed, "what was refused earlier makes room for what is now"
                ),
                // It stays in the journal for as long as everything does; the lane goes on.
                Err(error) => tracing::error!(%error, "what a receiver refuses cannot be set aside"),
            }
        }
        let found = read(connection, ask);
        if found.is_err() {
            self.connection = None;
        }
        Ok(found?)
    }

    /// Opens the file if it is not open, or if another has taken its place.
    fn follow(&mut self) -> Result<(), SpoolError> {
        let identity = identity(&self.path);
        if self.connection.is_some() && (identity.is_none() || identity == self.identity) {
            return Ok(());
        }
        self.connection = None;
        self.connection = Some(crate::journal::open_beside(&self.path)?);
        if std::mem::replace(&mut self.identity, identity) != identity {
            self.moved.clone_from(&self.cursors);
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.moved.is_empty() {
            return;
        }
        let Some(connection) = &mut self.connection else { return };
        match keep(connection, &self.moved) {
            Ok(()) => {
                self.moved.clear();
                self.troubled = false;
            }
            // They stay in memory: after a crash more is sent again, nothing is lost.
            Err(error) => {
                if !std::mem::replace(&mut self.troubled, true) {
                    tracing::error!(%error, "the positions of sinks cannot be written to the journal");
                }
            }
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn read(connection: &mut Connection, ask: &Ask) -> rusqlite::Result<Found> {
    // One moment for both questions.
    let transaction = connection.transaction()?;
    let last: Option<i64> = transaction
        .prepare("SELECT last_seq FROM tenants WHERE tenant = ?1")?
        .query_row([&ask.tenant], |row| row.get(0))
        .optional()?;
    let mut found = Found { entries: Vec::new(), last: last.unwrap_or(0) };
    let mut statement = transaction.prepare(
        "SELECT seq, written_ns, priority, rule, tags, line, time_ns, namespace, source FROM detections \
         WHERE tenant = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4",
    )?;
    let until = ask.until.unwrap_or(i64::MAX);
    let limit = i64::try_from(ask.entries).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![ask.tenant, ask.cursor, until, limit])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let line: String = row.get(5)?;
        bytes += line.len();
        if bytes > ask.bytes && !found.entries.is_empty() {
            break;
        }
        let tags: String = row.get(4)?;
        found.entries.push(Entry {
            seq: row.get(0)?,
            time_ns: row.get(6)?,
            written_ns: row.get(1)?,
            namespace: row.get(7)?,
            source: row.get(8)?,
            priority: usize::try_from(row.get::<_, i64>(2)?)
                .ok()
                .and_then(|index| Priority::ALL.get(index).copied())
                .unwrap_or(Priority::Debug),
            rule: row.get(3)?,
            tags: serde_json::from_str(&tags).unwrap_or_default(),
            line,
        });
    }
    Ok(found)
}

fn keep(connection: &mut Connection, moved: &HashMap<(Arc<str>, Arc<str>), i64>) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut upsert = transaction.prepare(
            "INSERT INTO cursors (sink, tenant, seq) VALUES (?1, ?2, ?3) \
             ON CONFLICT (sink, tenant) DO UPDATE SET seq = excluded.seq",
        )?;
        for ((sink, tenant), seq) in moved {
            upsert.execute(params![sink, tenant, seq])?;
        }
    }
    transaction.commit()
}

/// Returns how many of the lane's oldest had to make room.
fn set_aside(connection: &mut Connection, ask: &Ask, rejected: &Rejected) -> rusqlite::Result<usize> {
    let Rejected { entry, what } = rejected;
    let weight = i64::try_from(weight(what.len() + entry.line.len())).unwrap_or(i64::MAX);
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT INTO rejected (sink, tenant, seq, written_ns, weight, reason, line) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (sink, tenant, seq) DO NOTHING",
        params![ask.sink, ask.tenant, entry.seq, entry.written_ns, weight, what, entry.line],
    )?;
    let removed = transaction.execute(
        "DELETE FROM rejected WHERE sink = ?1 AND tenant = ?2 AND seq <= (SELECT MAX(seq) FROM \
         (SELECT seq, ROW_NUMBER() OVER newest AS number, SUM(weight) OVER newest AS weight FROM rejected \
         WHERE sink = ?1 AND tenant = ?2 WINDOW newest AS (ORDER BY seq DESC)) WHERE number > ?3 OR weight > ?4)",
        params![ask.sink, ask.tenant, MAX_REJECTED, MAX_REJECTED_WEIGHT],
    )?;
    transaction.commit()?;
    Ok(removed)
}
