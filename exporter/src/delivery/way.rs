//! One sink's way through one tenant's detections.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Cursors, Selection};
use crate::{
    journal::{DeliveryReader, DeliveryRow, JournalError},
    metrics::SinksCounters,
    pause::Pause,
    sinks::{Entry, SendError, Sink},
};

/// Detections looked at in one go.
const LOOK: usize = 1000;
/// How long at most without a look: a change may be told before it can be seen.
const IDLE: Duration = Duration::from_secs(5);

pub(super) struct Way {
    pub sink: Arc<dyn Sink>,
    pub name: String,
    pub tenant: String,
    pub selection: Selection,
    pub pause: Pause,
    pub path: PathBuf,
    pub cursors: Arc<Cursors>,
    pub counters: Arc<SinksCounters>,
    pub grown: watch::Receiver<u64>,
    pub stop: watch::Receiver<bool>,
}

/// Where it is in the journal.
pub(super) struct Place {
    reader: DeliveryReader,
    /// The last detection that was dealt with.
    at: i64,
}

impl Way {
    /// Opens the journal, at the cursor.
    pub fn open(&self) -> Result<Place, JournalError> {
        let reader = DeliveryReader::open(&self.path)?;
        let at = reader.cursor(&self.name, &self.tenant)?;
        self.cursors.begin(&self.name, &self.tenant, at, self.selection.clone());
        Ok(Place { reader, at })
    }

    pub async fn run(mut self, mut place: Option<Place>) {
        let mut stop = self.stop.clone();
        loop {
            let round = async {
                match self.round(&mut place).await {
                    Ok(true) => {}
                    Ok(false) => self.wait().await,
                    Err(error) => {
                        self.counters.failed(&self.name, &self.tenant, "journal");
                        tracing::debug!(sink = self.name, tenant = self.tenant, %error, "cannot use the journal");
                        place = None;
                        sleep(self.pause.next(false)).await;
                    }
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = round => {}
            }
        }
    }

    /// Until there is more, or for a while.
    async fn wait(&mut self) {
        let _unchanged = timeout(IDLE, self.grown.changed()).await;
    }

    /// Delivers what there is; whether there was anything.
    async fn round(&mut self, place: &mut Option<Place>) -> Result<bool, JournalError> {
        self.grown.borrow_and_update();
        let here = match place {
            Some(here) => here,
            None => place.insert(self.open()?),
        };
        let found = here.reader.after(&self.tenant, here.at, LOOK)?;
        let Some(last) = found.last().map(|row| row.entry.id) else {
            self.counters.waiting(&self.name, &self.tenant, 0, None);
            // A damaged file was set aside: all that is in the new one is new.
            if here.reader.is_replaced() {
                let reader = DeliveryReader::open(&self.path)?;
                reader.set_cursor(&self.name, &self.tenant, 0)?;
                self.cursors.moved(&self.name, &self.tenant, 0);
                *here = Place { reader, at: 0 };
                return Ok(true);
            }
            return Ok(false);
        };
        let wanted = |row: &DeliveryRow| self.selection.wants(&row.rule, row.priority, &row.tags);
        let entries: Vec<Entry> = found.into_iter().filter(wanted).map(|row| row.entry).collect();
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            let more = here.reader.count_after(&self.tenant, last)?;
            let oldest = rest.first().map(|entry| since(entry.written_ns));
            self.counters.waiting(&self.name, &self.tenant, rest.len() as u64 + more, oldest);
            let (batch, others) = rest.split_at(rest.len().min(self.sink.most().max(1)));
            self.deliver(batch).await;
            if let Some(last) = batch.last() {
                self.advance(here, last.id)?;
            }
            rest = others;
        }
        // Also past what nobody wanted.
        self.advance(here, last)?;
        Ok(true)
    }

    fn advance(&self, here: &mut Place, at: i64) -> Result<(), JournalError> {
        if at > here.at {
            here.reader.set_cursor(&self.name, &self.tenant, at)?;
            here.at = at;
            self.cursors.moved(&self.name, &self.tenant, at);
        }
        Ok(())
    }

    /// Returns when the receiver has the entries or will never have them.
    async fn deliver(&mut self, entries: &[Entry]) {
        // Parts of what was rejected whole, last first: the entry that is at fault is among them.
        let mut parts = vec![entries];
        while let Some(part) = parts.pop() {
            match self.sink.send(&self.tenant, part).await {
                Ok(()) => {
                    if !self.pause.is_first() {
                        tracing::info!(sink = self.name, tenant = self.tenant, "delivers again");
                    }
                    self.pause.reset();
                    let lag = part.first().map(|entry| since(entry.written_ns));
                    self.counters.sent(&self.name, &self.tenant, part.len() as u64, lag.unwrap_or_default());
                }
                Err(SendError::Rejected { text }) if part.len() == 1 => {
                    self.counters.rejected(&self.name, &self.tenant);
                    let id = part.first().map(|entry| entry.id);
                    tracing::error!(
                        sink = self.name,
                        tenant = self.tenant,
                        journal_id = id,
                        "the receiver rejects a detection, which stays in the journal: {text}"
                    );
                }
                Err(SendError::Rejected { .. }) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(SendError::Later { reason, text, after }) => {
                    self.counters.failed(&self.name, &self.tenant, reason);
                    if self.pause.is_first() {
                        tracing::warn!(
                            sink = self.name,
                            tenant = self.tenant,
                            "not delivered, tried again: {text}"
                        );
                    }
                    let pause = self.pause.next(false);
                    sleep(after.map_or(pause, |after| after.max(pause))).await;
                    self.counters.retried(&self.name, &self.tenant);
                    parts.push(part);
                }
            }
        }
    }
}

/// Seconds since a time; none if the clock was set back.
fn since(ns: i64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let past = now.saturating_sub(u128::try_from(ns).unwrap_or(0));
    past as f64 / 1e9
}
