//! The reader of the event ring: takes records in batches, and sleeps as cheaply as the flow allows.
//!
//! One `Ring` exists per loaded kernel side; it is moved to the hot thread. It never blocks while there is
//! work, never trusts a length it reads, and reports no loss of its own: what did not fit was counted by the
//! kernel side.

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use aya::maps::{Array, MapData};
use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::Errno,
};

use super::{
    counters::RingErrors,
    pace::{self, Drained, FIRST_SLEEP, NAP, Step},
    ring_pages::{RECORD_HEADER, RingPages},
};

/// Record flags in the length word (`include/uapi/linux/bpf.h`).
const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;

/// Most records of one drain, so that a flood cannot keep the hot thread from its other duties.
pub(super) const MAX_BATCH: usize = 4096;
/// Space is given back to the kernel in steps of this many bytes: each step costs the producers a cache miss.
const PUBLISH_BYTES: u64 = 64 * 1024;

/// Looks at the ring after asking for a wakeup: about five microseconds.
const GRACE_SPINS: u32 = 128;
/// From this part of the ring on, what has come since the last drain is worth another one at once.
const BACKLOG_FRACTION: u64 = 16;

const RING_TOKEN: u64 = 0;
const WAKER_TOKEN: u64 = 1;

/// Ends a [`Ring::wait`] early, from any thread. Cheap to clone; a wake before the wait is not forgotten.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    fn new() -> io::Result<Waker> {
        Ok(Waker(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Makes the current or the next wait return.
    pub fn wake(&self) {
        // The only way to fail is a full counter, and then the reader is being woken already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    fn clear(&self) {
        let _ = rustix::io::read(&*self.0, &mut [0u8; 8]);
    }
}

/// The reading end of the event ring.
pub struct Ring {
    records: Records,
    /// Its descriptor is the one in `epoll`.
    _events: MapData,
    epoll: OwnedFd,
    waker: Waker,
    wake: Array<MapData, u32>,
    /// The kernel side was asked to wake us and has not done it yet.
    armed: bool,
    /// How long it has slept since.
    slept: Duration,
    /// A fill from which on sleeping is out of the question.
    backlog_bytes: u64,
    drained: usize,
    /// [`FIRST_SLEEP`], but for a test that would not notice a missing wakeup otherwise.
    pub(super) first_sleep: Duration,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("position", &self.records.position).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new(
        pages: Arc<RingPages>,
        events: MapData,
        wake: Array<MapData, u32>,
        errors: Arc<RingErrors>,
    ) -> io::Result<Ring> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = Waker::new()?;
        // Edge-triggered: level-triggered, a ring that holds anything would end every nap at once. An edge is
        // a wakeup by the kernel side: the fill threshold, or the first record after it was asked.
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, events.fd().as_fd(), epoll::EventData::new_u64(RING_TOKEN), edge)?;
        epoll::add(&epoll, &*waker.0, epoll::EventData::new_u64(WAKER_TOKEN), epoll::EventFlags::IN)?;
        let backlog_bytes = pages.capacity() / BACKLOG_FRACTION;
        Ok(Ring {
            records: Records::new(pages, errors),
            _events: events,
            epoll,
            waker,
            wake,
            armed: false,
            slept: Duration::ZERO,
            backlog_bytes,
            drained: 0,
            first_sleep: FIRST_SLEEP,
        })
    }

    /// Ends this ring's waits early.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Hands the records that are there to `on_record`, at most a bounded number, and returns how many.
    pub fn drain(&mut self, on_record: impl FnMut(&[u8])) -> usize {
        self.drained = self.records.drain(on_record);
        self.drained
    }

    /// Sleeps until it is worth to drain again: not at all while there is a backlog, [`NAP`]
    /// while events flow, else until an event comes, a [`Waker`] wakes, or `timeout` has passed; the first time
    /// after events, a quarter of a second at most.
    pub fn wait(&mut self, timeout: Duration) {
        let step = pace::next(Drained {
            records: self.drained,
            backlog: self.records.pages.fill() >= self.backlog_bytes,
            pending: self.records.pending(),
        });
        if step != Step::Block {
            // A record that came has consumed the request for a wakeup, whatever ended the last sleep.
            self.armed = false;
        }
        match step {
            Step::Drain => {}
            Step::Nap => {
                self.sleep(NAP.min(timeout));
            }
            Step::Block => self.block(timeout),
        }
        self.drained = 0;
    }

    fn block(&mut self, mut timeout: Duration) {
        if !self.armed {
            if let Err(error) = self.wake.set(0, 1u32, 0) {
                // Without a wakeup to count on, napping keeps the latency; it costs CPU, not events.
                tracing::warn!(%error, "cannot ask the kernel side for a wakeup; polling");
                self.sleep(NAP.min(timeout));
                return;
            }
            (self.armed, self.slept) = (true, Duration::ZERO);
            // A program that read the flag before it was set submits its record without a wakeup, some
            // hundred nanoseconds later: look for a few microseconds more.
            for _ in 0..GRACE_SPINS {
                if self.records.pending() {
                    self.disarm();
                    return;
                }
                std::hint::spin_loop();
            }
        }
        let first = self.first_sleep.saturating_sub(self.slept);
        if !first.is_zero() {
            timeout = timeout.min(first);
        }
        if self.sleep(timeout) {
            self.disarm();
        } else {
            self.slept = self.slept.saturating_add(timeout);
        }
    }

    /// Sleeps; true if something ended the sleep before its time.
    fn sleep(&mut self, time: Duration) -> bool {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 2];
        // epoll counts in milliseconds and the raw call rounds up.
        let timeout = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(3600).min(3600),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok((events, _)) => {
                for event in events.iter() {
                    let data = event.data;
                    if data.u64() == WAKER_TOKEN {
                        self.waker.clear();
                    }
                }
                !events.is_empty()
            }
            Err(Errno::INTR) => true,
            Err(error) => {
                // Cannot happen with descriptors that are open and ours; do not turn it into a spin.
                tracing::warn!(%error, "epoll_wait failed");
                std::thread::sleep(NAP);
                true
            }
        }
    }

    fn disarm(&mut self) {
        self.armed = false;
        // The kernel side cleared the flag if it woke us; if something else did, no later record should pay.
        let _ = self.wake.set(0, 0u32, 0);
    }
}

/// Walks the records between the positions of the shared pages.
#[derive(Debug)]
struct Records {
    pages: Arc<RingPages>,
    position: u64,
    published: u64,
    /// A record that lies across the end of the data, put together.
    split: Vec<u8>,
    errors: Arc<RingErrors>,
}

impl Records {
    fn new(pages: Arc<RingPages>, errors: Arc<RingErrors>) -> Records {
        let position = pages.consumer_position();
        Records { pages, position, published: position, split: Vec::new(), errors }
    }

    fn pending(&self) -> bool {
        self.pages.producer_position() != self.position
    }

    fn drain(&mut self, mut on_record: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        let producer = self.pages.producer_position();
        while self.position != producer && count < MAX_BATCH {
            let word = self.pages.record_header(self.position);
            if word & BUSY != 0 {
                break;
            }
            let len = u64::from(word & !(BUSY | DISCARD));
            let step = (RECORD_HEADER + len).next_multiple_of(8);
            if step > producer.wrapping_sub(self.position) {
                // No kernel does this. Everything up to the producer is unreadable: skip it, and say so.
                self.errors.corrupt();
                self.position = producer;
                break;
            }
            if word & DISCARD == 0 {
                let (first, rest) = self.pages.bytes(self.position + RECORD_HEADER, len as usize);
                if rest.is_empty() {
                    on_record(first);
                } else {
                    self.split.clear();
                    self.split.extend_from_slice(first);
                    self.split.extend_from_slice(rest);
                    on_record(&self.split);
                }
                count += 1;
            }
            self.position += step;
            if self.position.wrapping_sub(self.published) >= PUBLISH_BYTES {
                self.publish();
            }
        }
        self.publish();
        count
    }

    fn publish(&mut self) {
        if self.published != self.position {
            self.pages.publish(self.position);
            self.published = self.position;
        }
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
