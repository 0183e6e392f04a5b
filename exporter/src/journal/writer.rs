//! The one who writes.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, params};

use super::{
    Bound, JournalError, News, Settings,
    check::Check,
    retention::{DETECTIONS, REJECTED, Usage},
    schema,
};
use crate::{detection::Detection, metrics::JournalCounters};

/// What the tables need for a detection beside its line.
const OVERHEAD: u64 = 256;
/// How often what is too old is looked for.
const TIDY: Duration = Duration::from_secs(10);
/// How soon a file that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The journal, open to write; or not, while its file cannot be.
#[derive(Debug)]
pub struct Journal {
    settings: Settings,
    counters: Arc<JournalCounters>,
    news: Arc<News>,
    /// The number of each tenant's last detection. It goes on in the file that takes the place of a damaged one, where
    /// what is lost is then a gap.
    lasts: HashMap<Arc<str>, i64>,
    open: Option<Open>,
    tried: Instant,
    tidied: Instant,
    said: Option<&'static str>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    usage: Usage,
    check: Check,
}

impl Journal {
    /// Opens it, or says why not and goes on trying.
    pub fn new(settings: Settings, counters: Arc<JournalCounters>, news: Arc<News>) -> Journal {
        let now = Instant::now();
        let mut journal = Journal {
            settings,
            counters,
            news,
            lasts: HashMap::new(),
            open: None,
            tried: now,
            tidied: now,
            said: None,
        };
        journal.open();
        journal
    }

    /// Writes detections, each with its line of JSON, in one transaction. Whether they are on disk.
    pub fn append<'d>(&mut self, batch: impl Iterator<Item = (&'d Detection, &'d str)> + Clone) -> bool {
        if self.open.is_none() && self.tried.elapsed() >= RETRY {
            self.open();
        }
        self.look();
        let count = batch.clone().count() as u64;
        let Some(open) = &mut self.open else {
            self.counters.failed("closed", count);
            return false;
        };
        match write(open, &self.lasts, batch) {
            Ok(lasts) => {
                for (tenant, last) in lasts {
                    self.news.tell(&tenant, last);
                    self.lasts.insert(tenant, last);
                }
                self.said = None;
                self.counters.written(count);
                self.shrink();
                self.tidy();
                true
            }
            Err(source) => {
                let error = JournalError::Database { path: self.settings.path.clone(), source };
                self.counters.failed(error.reason(), count);
                self.trouble(&error);
                // What is too old makes room, and there may never be a moment without detections.
                self.tidy();
                false
            }
        }
    }

    /// Takes a file out of use that has turned out to be damaged.
    fn look(&mut self) {
        let damage = self.open.as_ref().and_then(|open| open.check.damage());
        if let Some(what) = damage.map(str::to_owned) {
            self.replace(&JournalError::Damaged { path: self.settings.path.clone(), what });
        }
    }

    /// Removes what is too old, and what is too much of what receivers refuse, once in a while.
    pub fn tidy(&mut self) {
        self.look();
        if self.tidied.elapsed() < TIDY {
            return;
        }
        self.tidied = Instant::now();
        let before =
            now_ns().saturating_sub(i64::try_from(self.settings.max_age.as_nanos()).unwrap_or(i64::MAX));
        self.expire(before);
    }

    pub(super) fn expire(&mut self, before_ns: i64) {
        let Some(Open { connection, usage, check: _ }) = &mut self.open else { return };
        let counters = &self.counters;
        let mut result = expire(connection, usage, before_ns, |tenant, bound, count| {
            counters.removed(tenant, bound, count)
        });
        self.counters.size(usage.total(), usage.by_tenant());
        if result.is_ok() {
            let mut gone = 0;
            result = bound_rejected(connection, &self.settings, before_ns, |tenant, bound, count| {
                counters.rejected_removed(tenant, bound, count);
                gone += count;
            });
            if gone > 0 {
                tracing::warn!(gone, "detections that receivers refused are too old or too many: removed");
            }
        }
        if let Err(source) = result {
            let error = JournalError::Database { path: self.settings.path.clone(), source };
            self.trouble(&error);
        }
    }

    fn shrink(&mut self) {
        let Some(Open { connection, usage, check: _ }) = &mut self.open else { return };
        let counters = &self.counters;
        let result = usage.shrink(connection, &self.settings, |tenant, bound, count| {
            counters.removed(tenant, bound, count);
        });
        self.counters.size(usage.total(), usage.by_tenant());
        if let Err(source) = result {
            let error = JournalError::Database { path: self.settings.path.clone(), source };
            self.trouble(&error);
        }
    }

    fn open(&mut self) {
        self.tried = Instant::now();
        match open(&self.settings.path, &mut self.lasts) {
            Ok(open) => self.use_it(open),
            Err(error) if error.is_damage() => self.replace(&error),
            Err(error) => self.trouble(&error),
        }
    }

    fn use_it(&mut self, open: Open) {
        self.counters.up(true);
        self.counters.size(open.usage.total(), open.usage.by_tenant());
        self.open = Some(open);
        self.lasts.iter().for_each(|(tenant, last)| self.news.tell(tenant, *last));
    }

    /// Sets a damaged file aside and begins another.
    fn replace(&mut self, damage: &JournalError) {
        tracing::error!(error = %damage, "the journal is damaged: it is set aside and a new one begun");
        self.open = None;
        self.counters.up(false);
        match set_aside(&self.settings.path).and_then(|()| open(&self.settings.path, &mut self.lasts)) {
            Ok(open) => {
                self.counters.set_aside();
                self.use_it(open);
            }
            // Not by way of `trouble`, which would come back to here.
            Err(error) => self.say(&error),
        }
    }

    fn trouble(&mut self, error: &JournalError) {
        if error.is_damage() {
            return self.replace(error);
        }
        self.say(error);
        if self.open.is_none() {
            self.counters.up(false);
        }
    }

    /// Says it once for each kind.
    fn say(&mut self, error: &JournalError) {
        let reason = error.reason();
        if self.said != Some(reason) {
            self.said = Some(reason);
            tracing::error!(%error, "detections are not journaled");
        }
    }
}

/// Removes all that was written before a time.
fn expire(
    connection: &Connection,
    usage: &mut Usage,
    before_ns: i64,
    mut removed: impl FnMut(&str, Bound, u64),
) -> rusqlite::Result<()> {
    while usage.expire(connection, before_ns, &mut removed)? {}
    Ok(())
}

fn bound_rejected(
    connection: &Connection,
    settings: &Settings,
    before_ns: i64,
    mut removed: impl FnMut(&str, Bound, u64),
) -> rusqlite::Result<()> {
    let mut usage = Usage::read(connection, &REJECTED)?;
    expire(connection, &mut usage, before_ns, &mut removed)?;
    usage.shrink(connection, settings, removed)
}

fn open(path: &Path, lasts: &mut HashMap<Arc<str>, i64>) -> Result<Open, JournalError> {
    let mut connection = schema::open(path)?;
    let read = || -> rusqlite::Result<Open> {
        let transaction = connection.transaction()?;
        {
            let mut statement = transaction.prepare("SELECT tenant, last_seq FROM tenants")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let last = lasts.entry(row.get::<_, String>(0)?.into()).or_default();
                *last = (*last).max(row.get(1)?);
            }
        }
        keep_lasts(&transaction, lasts)?;
        transaction.commit()?;
        let usage = Usage::read(&connection, &DETECTIONS)?;
        Ok(Open { connection, usage, check: Check::start(path) })
    };
    read().map_err(|source| JournalError::Database { path: path.to_owned(), source })
}

fn keep_lasts(transaction: &Connection, lasts: &HashMap<Arc<str>, i64>) -> rusqlite::Result<()> {
    let mut upsert = transaction.prepare(
        "INSERT INTO tenants (tenant, last_seq) VALUES (?1, ?2) \
         ON CONFLICT (tenant) DO UPDATE SET last_seq = excluded.last_seq",
    )?;
    for (tenant, last) in lasts {
        upsert.execute(params![tenant, last])?;
    }
    Ok(())
}

/// Returns the numbers of the last detections of the tenants that have any in the batch.
fn write<'d>(
    open: &mut Open,
    lasts: &HashMap<Arc<str>, i64>,
    batch: impl Iterator<Item = (&'d Detection, &'d str)> + Clone,
) -> rusqlite::Result<HashMap<Arc<str>, i64>> {
    let written = now_ns();
    let mut reached: HashMap<Arc<str>, i64> = HashMap::new();
    let transaction = open.connection.transaction()?;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO detections \
             (time_ns, written_ns, tenant, namespace, rule, priority, source, uuid, weight, line, seq, tags) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        for (detection, line) in batch.clone() {
            let seq = reached
                .entry(Arc::clone(&detection.tenant))
                .or_insert_with(|| lasts.get(&detection.tenant).copied().unwrap_or(0));
            *seq += 1;
            insert.execute(params![
                i64::try_from(detection.time_ns).unwrap_or(i64::MAX),
                written,
                &*detection.tenant,
                detection.namespace.as_deref(),
                &*detection.rule,
                detection.priority as i64,
                detection.source,
                detection.uuid.as_bytes().as_slice(),
                weight(line.len()) as i64,
                line,
                *seq,
                // A list of texts always serialises.
                serde_json::to_string(&detection.tags).unwrap_or_else(|_| "[]".into()),
            ])?;
        }
    }
    keep_lasts(&transaction, &reached)?;
    transaction.commit()?;
    // Only what is on disk counts.
    for (detection, line) in batch {
        open.usage.add(&detection.tenant, weight(line.len()));
    }
    Ok(reached)
}

/// What so many bytes of text count against the bounds.
pub(crate) fn weight(bytes: usize) -> u64 {
    bytes as u64 + OVERHEAD
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// Renames the file and what belongs to it, so that nothing is lost and nothing is in the way: to a name that none of them
/// has taken, however often that happens and whatever the clock says. Nobody else makes such names.
pub(crate) fn set_aside(path: &Path) -> Result<(), JournalError> {
    const ENDS: [&str; 3] = ["", "-wal", "-shm"];
    let named = |more: &str, end: &str| -> PathBuf {
        let mut name: OsString = path.as_os_str().to_owned();
        name.push(more);
        name.push(end);
        name.into()
    };
    let stamp = now_ns() / 1_000_000_000;
    let is_free = |more: &String| ENDS.iter().all(|end| named(more, end).symlink_metadata().is_err());
    let first = std::iter::once(format!(".damaged-{stamp}"));
    let more = first.chain((1..u32::MAX).map(|number| format!(".damaged-{stamp}-{number}"))).find(is_free);
    let more = more.unwrap_or_default();
    for end in ENDS {
        let (from, to) = (named("", end), named(&more, end));
        match std::fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(JournalError::Folder { path: from, source }),
        }
    }
    Ok(())
}

#[cfg(test)]
impl Journal {
    /// As if the file had been found damaged.
    pub(crate) fn begin_anew(&mut self) {
        self.open = None;
        set_aside(&self.settings.path).expect("it can be renamed");
        self.open();
    }

    /// As if the disk were this large.
    pub(crate) fn limit_pages(&self, pages: u32) {
        let open = self.open.as_ref().expect("it is open");
        open.connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).expect("a pragma");
    }

    /// As if it had been a while.
    pub(super) fn retry_at_once(&mut self) {
        self.tried -= RETRY;
    }

    /// As if it had been a while.
    pub(super) fn tidy_at_once(&mut self) {
        self.tidied = Instant::now() - TIDY;
    }

    /// As if no time passed.
    pub(super) fn tidy_later(&mut self) {
        self.tidied = Instant::now() + Duration::from_secs(3600);
    }

    /// To make trouble with.
    pub(super) fn connection(&self) -> &Connection {
        &self.open.as_ref().expect("it is open").connection
    }
}
