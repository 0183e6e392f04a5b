//! The table of processes: by id, safe against reuse of ids, bounded in entries and bytes.
//!
//! At the bound, processes that have exited go first, oldest first; then the least recently used of a
//! handful that a hand passing over the table meets. Each is counted.

use std::{collections::VecDeque, sync::Arc};

use rustc_hash::FxHashMap;

use super::process::{Image, Meter, Process, Start};

/// Bounds of the table.
#[derive(Clone, Copy, Debug)]
pub struct TableLimits {
    pub processes: usize,
    /// Bytes of arguments, environments and paths over all processes.
    pub bytes: usize,
    /// Exited processes that are kept for late children.
    pub exited: usize,
    /// For how long they are kept.
    pub exited_ns: u64,
}

/// What the table holds and what its bounds cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    pub processes: u64,
    pub exited: u64,
    pub bytes: u64,
    /// Exited processes dropped before their time because the table was full.
    pub evicted_exited: u64,
    /// Living processes dropped because the table was full.
    pub evicted_live: u64,
    /// An id was found to belong to a new process without its predecessor's exit having been seen.
    pub reused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Exited {
    pid: u32,
    start_ns: u64,
    at_ns: u64,
}

/// How many entries are compared to find one to evict.
const SAMPLE: usize = 16;

#[derive(Debug)]
pub struct Table {
    limits: TableLimits,
    slots: Vec<Option<Process>>,
    free: Vec<u32>,
    by_pid: FxHashMap<u32, u32>,
    exited: VecDeque<Exited>,
    meter: Meter,
    hand: usize,
    stats: TableStats,
}

impl Table {
    pub fn new(limits: TableLimits) -> Table {
        Table {
            limits: TableLimits { processes: limits.processes.max(2), ..limits },
            slots: Vec::new(),
            free: Vec::new(),
            by_pid: FxHashMap::default(),
            exited: VecDeque::new(),
            meter: Meter::default(),
            hand: 0,
            stats: TableStats::default(),
        }
    }

    pub fn stats(&self) -> TableStats {
        TableStats {
            processes: self.by_pid.len() as u64,
            exited: self.exited.len() as u64,
            bytes: self.meter.bytes() as u64,
            ..self.stats
        }
    }

    /// The process with this id and start, if it is known.
    pub fn get(&self, pid: u32, start: impl Into<Start>) -> Option<&Process> {
        self.by_pid(pid).filter(|process| process.start.is(start))
    }

    /// The youngest process known by this id.
    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.slots.get(*self.by_pid.get(&pid)? as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, pid: u32, start_ns: u64) -> Option<&mut Process> {
        let slot = *self.by_pid.get(&pid)?;
        self.slots.get_mut(slot as usize)?.as_mut().filter(|process| process.start.is(start_ns))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.slots.iter().flatten()
    }

    /// Adds a process; whoever had its id before is gone.
    pub fn insert(&mut self, process: Process) {
        if let Some(slot) = self.by_pid.get(&process.pid).copied() {
            if let Some(Some(before)) = self.slots.get(slot as usize) {
                let same = before.start.is(process.start);
                self.stats.reused += u64::from(!same && !before.exited);
            }
            self.remove_slot(slot);
        }
        let full = |table: &Table| {
            table.by_pid.len() >= table.limits.processes || table.meter.bytes() > table.limits.bytes
        };
        while full(self) && self.evict() {}
        let pid = process.pid;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(process);
        }
        self.by_pid.insert(pid, slot);
    }

    /// Replaces the image of a process, after an exec.
    pub fn set_image(&mut self, pid: u32, start_ns: u64, image: Image) {
        // The process that executes may be evicted itself; then its events find a process without an image.
        let image = self.meter.charge(image);
        while self.meter.bytes() > self.limits.bytes && self.by_pid.len() > 1 && self.evict() {}
        if let Some(process) = self.get_mut(pid, start_ns) {
            process.image = Some(image);
        }
    }

    /// Counts an image among the bytes of the table.
    pub fn charge(&self, image: Image) -> Arc<Image> {
        self.meter.charge(image)
    }

    /// Marks a process as exited: it stays a while for children whose events come late.
    pub fn exit(&mut self, pid: u32, start_ns: u64, at_ns: u64) {
        if let Some(process) = self.get_mut(pid, start_ns).filter(|process| !process.exited) {
            process.exited = true;
            self.exited.push_back(Exited { pid, start_ns, at_ns });
        }
    }

    /// Forgets exited processes whose time is over.
    pub fn forget_exited(&mut self, now_ns: u64) {
        while let Some(oldest) = self.exited.front() {
            let old = now_ns.saturating_sub(oldest.at_ns) > self.limits.exited_ns;
            if !old && self.exited.len() <= self.limits.exited {
                break;
            }
            self.drop_oldest_exited();
        }
    }

    /// True if one was dropped; false if its entry was stale or there is none.
    fn drop_oldest_exited(&mut self) -> bool {
        let Some(oldest) = self.exited.pop_front() else { return false };
        // It may have come back to life (its main thread ended before the others) or its id may have been
        // taken over.
        let gone = self.get(oldest.pid, oldest.start_ns).is_some_and(|process| process.exited);
        if gone && let Some(slot) = self.by_pid.get(&oldest.pid).copied() {
            self.remove_slot(slot);
        }
        gone
    }

    fn evict(&mut self) -> bool {
        while !self.exited.is_empty() {
            if self.drop_oldest_exited() {
                self.stats.evicted_exited += 1;
                return true;
            }
        }
        let mut oldest: Option<(u64, u32)> = None;
        let mut met = 0;
        for _ in 0..self.slots.len() {
            self.hand = (self.hand + 1) % self.slots.len();
            if let Some(Some(process)) = self.slots.get(self.hand) {
                let candidate = (process.used, self.hand as u32);
                oldest = Some(oldest.map_or(candidate, |oldest| oldest.min(candidate)));
                met += 1;
            }
            if met == SAMPLE {
                break;
            }
        }
        let Some((_, slot)) = oldest else { return false };
        self.remove_slot(slot);
        self.stats.evicted_live += 1;
        true
    }

    fn remove_slot(&mut self, slot: u32) {
        if let Some(process) = self.slots.get_mut(slot as usize).and_then(Option::take) {
            self.by_pid.remove(&process.pid);
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        enrich::process::{ExeFile, ImageLimits},
        event::builder::RecordBuilder,
    };

    const LIMITS: TableLimits = TableLimits { processes: 50, bytes: 20_000, exited: 3, exited_ns: 1000 };

    fn process(pid: u32, used: u64) -> Process {
        let header = RecordBuilder::new(exporter_common::event_type::EventType::Open).header;
        let mut process = Process::from_header(&header);
        (process.pid, process.start, process.used) = (pid, Start::Exact(u64::from(pid)), used);
        process
    }

    fn image(args: usize) -> Image {
        let limits = ImageLimits { args: 100_000, env: 0 };
        Image::new([0; 16], None, &vec![b'x'; args], None, ExeFile::default(), limits)
    }

    #[test]
    fn entries_are_bounded_and_the_used_ones_stay() {
        let mut table = Table::new(LIMITS);
        for pid in 1..1000 {
            table.insert(process(pid, u64::from(pid)));
            if let Some(process) = table.get_mut(1, 1) {
                process.used = u64::from(pid);
            }
        }
        let stats = table.stats();
        assert_eq!((stats.processes, stats.evicted_live), (50, 949));
        assert!(table.get(1, 1).is_some(), "used all the time");
        assert!(table.get(999, 999).is_some());
        assert!(table.get(999, 998).is_none(), "another start is another process");
    }

    #[test]
    fn bytes_are_bounded_and_counted_once_for_shared_images() {
        let mut table = Table::new(LIMITS);
        table.insert(process(1, 1));
        table.set_image(1, 1, image(1000));
        let one = table.stats().bytes;
        assert!(one >= 1000, "{one}");
        for pid in 2..10 {
            let child =
                Process { pid, start: Start::Exact(u64::from(pid)), ..table.get(1, 1).unwrap().clone() };
            table.insert(child);
        }
        assert_eq!(table.stats().bytes, one);
        for pid in 2..50 {
            if table.get(pid, u64::from(pid)).is_none() {
                table.insert(process(pid, pid.into()));
            }
            table.set_image(pid, pid.into(), image(1000));
            assert!(table.stats().bytes <= 20_000, "{:?}", table.stats());
        }
        assert!(table.stats().evicted_live > 0);
        // An image that is larger than the bound: the table shrinks to what it must keep.
        table.set_image(49, 49, image(50_000));
        assert!(table.stats().processes >= 1);
    }

    #[test]
    fn the_exited_go_first_and_after_their_time() {
        let mut table = Table::new(LIMITS);
        for pid in 1..=50 {
            table.insert(process(pid, 0));
        }
        table.exit(7, 7, 100);
        table.exit(7, 7, 200);
        table.exit(8, 9, 100);
        assert_eq!(table.stats().exited, 1, "once, and only the process itself");
        table.insert(process(100, 0));
        assert!(table.get(7, 7).is_none());
        assert_eq!((table.stats().evicted_exited, table.stats().evicted_live), (1, 0));

        for pid in [10, 11, 12, 13] {
            table.exit(pid, pid.into(), 1000);
        }
        // One came back: it was only its main thread that ended.
        table.get_mut(11, 11).unwrap().exited = false;
        table.forget_exited(1500);
        assert!(table.get(10, 10).is_none(), "more than the bound");
        assert!(table.get(12, 12).is_some());
        table.forget_exited(2001);
        assert!(table.get(12, 12).is_none() && table.get(13, 13).is_none());
        assert!(table.get(11, 11).is_some());
        assert_eq!(table.stats().exited, 0);
    }
}
