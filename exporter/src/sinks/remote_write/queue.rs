//! What waits of one sink and tenant: requests in order, on disk or, while that does not work, in memory.

use std::{collections::VecDeque, sync::Arc};

use super::{Bounds, Version, disk::Kept, spool::Spool};
use crate::metrics::{Dropped, WriteCounters, WriteNumbers};

/// What the table needs for a request beside its body.
const OVERHEAD: u64 = 256;
/// Most bytes of a lane that wait in memory: minutes of a usual registry.
const MAX_MEMORY: u64 = 2 << 20;

/// A request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Of its samples, milliseconds since the epoch.
    pub time_ms: i64,
    pub samples: u64,
    pub version: Version,
    pub body: Vec<u8>,
}

#[derive(Debug)]
enum Place {
    /// In the spool's file of that generation.
    Disk {
        generation: u64,
        id: i64,
    },
    Memory(Version, Vec<u8>),
}

#[derive(Debug)]
struct Entry {
    place: Place,
    time_ms: i64,
    samples: u64,
    weight: u64,
}

impl Entry {
    fn in_memory(&self) -> u64 {
        if matches!(self.place, Place::Memory(..)) { self.weight } else { 0 }
    }
}

/// The first of what waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First {
    Nothing,
    Request(Request),
    /// It is there, but the file cannot be read now.
    Unreadable,
}

#[derive(Debug)]
pub(super) struct Queue {
    sink: Arc<str>,
    tenant: Arc<str>,
    bounds: Bounds,
    counters: Arc<WriteCounters>,
    /// As many as the bounds allow.
    entries: VecDeque<Entry>,
    samples: u64,
    weight: u64,
    in_memory: u64,
    /// The first is being sent: no bound removes it.
    under_way: bool,
}

impl Queue {
    pub fn new(sink: Arc<str>, tenant: Arc<str>, bounds: Bounds, counters: Arc<WriteCounters>) -> Queue {
        Queue {
            sink,
            tenant,
            bounds,
            counters,
            entries: VecDeque::new(),
            samples: 0,
            weight: 0,
            in_memory: 0,
            under_way: false,
        }
    }

    /// The file has been opened: what an earlier run has left there is older than what there is in memory.
    pub fn resume(&mut self, spool: &mut Spool) {
        let owner = (&*self.sink, &*self.tenant);
        let kept = spool.with(|disk| disk.kept(owner)).unwrap_or_default();
        let (generation, at) = (spool.generation, usize::from(self.under_way));
        let mut resumed = 0;
        for Kept { id, time_ms, samples, length } in kept.into_iter().rev() {
            resumed += samples;
            let place = Place::Disk { generation, id };
            let entry = Entry { place, time_ms, samples, weight: length + OVERHEAD };
            self.tally(&entry);
            self.entries.insert(at.min(self.entries.len()), entry);
        }
        self.tell(|numbers| numbers.resumed += resumed);
    }

    /// Takes a request to keep.
    pub fn push(&mut self, request: Request, now_ms: i64, spool: &mut Spool) {
        let Request { time_ms, samples, version, body } = request;
        let weight = body.len() as u64 + OVERHEAD;
        let entry = Entry { place: Place::Memory(version, body), time_ms, samples, weight };
        self.tally(&entry);
        self.entries.push_back(entry);
        self.settle(spool);
        self.tell(|numbers| numbers.gathered += samples);
        self.bound(now_ms, spool);
    }

    /// Samples of which no request could be made.
    pub fn unfit(&mut self, samples: u64) {
        self.tell(|numbers| {
            numbers.gathered += samples;
            numbers.lose(Dropped::Size, samples);
        });
    }

    /// Writes what is in memory to the file, in order: what is there is then in the order of its ids.
    fn settle(&mut self, spool: &mut Spool) {
        let generation = spool.generation;
        let first = self.entries.len() - self.entries.iter().rev().take_while(|e| e.in_memory() > 0).count();
        for entry in self.entries.iter_mut().skip(first) {
            let Place::Memory(version, body) = &entry.place else { continue };
            let owner = (&*self.sink, &*self.tenant);
            let Some(id) =
                spool.with(|disk| disk.append(owner, entry.time_ms, entry.samples, *version, body))
            else {
                return;
            };
            self.in_memory -= entry.weight;
            entry.place = Place::Disk { generation, id };
        }
    }

    /// Drops what is beyond a bound, the oldest first.
    pub fn bound(&mut self, now_ms: i64, spool: &mut Spool) {
        let at = usize::from(self.under_way);
        let age = i64::try_from(self.bounds.max_age.as_millis()).unwrap_or(i64::MAX);
        let before = now_ms.saturating_sub(age);
        while self.entries.get(at).is_some_and(|entry| entry.time_ms < before) {
            self.lose(at, Dropped::Age, spool);
        }
        while self.weight > self.bounds.max_size && self.entries.len() > at {
            self.lose(at, Dropped::Size, spool);
        }
        while self.in_memory > MAX_MEMORY {
            let oldest = self.entries.iter().skip(at).position(|entry| entry.in_memory() > 0);
            let Some(oldest) = oldest else { break };
            self.lose(at + oldest, Dropped::Memory, spool);
        }
    }

    /// The first request, which is then under way until it is [`Self::done`] or [`Self::failed`].
    pub fn first(&mut self, now_ms: i64, spool: &mut Spool) -> First {
        self.bound(now_ms, spool);
        while let Some(entry) = self.entries.front() {
            let (version, body) = match &entry.place {
                Place::Memory(version, body) => (*version, body.clone()),
                Place::Disk { generation, id } if *generation == spool.generation && spool.is_open() => {
                    match spool.with(|disk| disk.body(*id)) {
                        Some(Some(found)) => found,
                        Some(None) => {
                            self.lose(0, Dropped::Unreadable, spool);
                            continue;
                        }
                        None => return First::Unreadable,
                    }
                }
                // It was in a file that has been set aside.
                Place::Disk { .. } => {
                    self.lose(0, Dropped::Unreadable, spool);
                    continue;
                }
            };
            let (time_ms, samples) = (entry.time_ms, entry.samples);
            self.under_way = true;
            return First::Request(Request { time_ms, samples, version, body });
        }
        First::Nothing
    }

    /// The receiver has answered for the first request.
    pub fn done(&mut self, sent: u64, rejected: u64, spool: &mut Spool) {
        self.under_way = false;
        let Some(entry) = self.entries.pop_front() else { return };
        self.untally(&entry);
        if let Place::Disk { generation, id } = entry.place
            && generation == spool.generation
        {
            let owner = (&*self.sink, &*self.tenant);
            // If it cannot be removed it is sent again after a restart, at worst.
            let _removed = spool.with(|disk| disk.remove_until(owner, id));
        }
        self.tell(|numbers| {
            numbers.sent += sent;
            numbers.rejected += rejected;
        });
    }

    /// The first request waits again.
    pub fn failed(&mut self) {
        self.under_way = false;
    }

    /// The end of the daemon: what is in memory only will not be there any more.
    pub fn close(&mut self, spool: &mut Spool) {
        self.under_way = false;
        self.settle(spool);
        while let Some(at) = self.entries.iter().position(|entry| entry.in_memory() > 0) {
            self.lose(at, Dropped::Memory, spool);
        }
    }

    fn lose(&mut self, at: usize, why: Dropped, spool: &mut Spool) {
        let Some(entry) = self.entries.remove(at) else { return };
        self.untally(&entry);
        if let Place::Disk { generation, id } = entry.place
            && generation == spool.generation
        {
            let _removed = spool.with(|disk| disk.remove(id));
        }
        self.tell(|numbers| numbers.lose(why, entry.samples));
        tracing::debug!(sink = %self.sink, tenant = %self.tenant, samples = entry.samples, why = why.name(),
            "samples are dropped");
    }

    fn tally(&mut self, entry: &Entry) {
        self.samples += entry.samples;
        self.weight += entry.weight;
        self.in_memory += entry.in_memory();
    }

    fn untally(&mut self, entry: &Entry) {
        self.samples -= entry.samples;
        self.weight -= entry.weight;
        self.in_memory -= entry.in_memory();
    }

    /// Changes the numbers, with those of what waits, in one step.
    fn tell(&self, change: impl FnOnce(&mut WriteNumbers)) {
        let mut numbers = self.counters.numbers();
        change(&mut numbers);
        numbers.pending = self.samples;
        numbers.spooled_bytes = self.weight;
        numbers.oldest_ms = self.entries.front().map(|entry| entry.time_ms);
    }
}
