//! The hot thread: ring → engine → queue. It never waits for anybody but the ring.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender as Messages, TryRecvError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{Health, active::Active, engine::Engine, places::Places};
use crate::{
    kernel::{Ring, Waker},
    metrics::{EngineCounters, KernelSource},
    recording::Tap,
    sinks::queue::Sender,
};

/// Longest sleep without events.
const IDLE: Duration = Duration::from_secs(1);
/// The process table's sizes are published, and a recording's chunk handed over, this often.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// How long the hot thread may take to notice new rules.
const SWAP_TIMEOUT: Duration = Duration::from_secs(5);

/// Rules on their way to the hot thread: whoever takes them out decides whether they come into use.
type Offer = Arc<Mutex<Option<Box<Active>>>>;

enum Message {
    Swap(Offer),
    /// Take what is left in the ring until this moment, then end.
    Stop(Instant),
}

/// The running thread.
#[derive(Debug)]
pub struct Hot {
    control: Control,
}

/// Talks to the hot thread.
#[derive(Debug)]
pub struct Control {
    messages: Messages<Message>,
    /// Rule sets that were replaced, to be dropped elsewhere.
    replaced: Receiver<Box<Active>>,
    waker: Waker,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Message::Swap(_) => "Swap",
            Message::Stop(_) => "Stop",
        })
    }
}

/// The rules did not come into use, and will not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    #[error("the thread that reads the events has ended")]
    Gone,
    #[error("the thread that reads the events is too busy to change rules")]
    Busy,
}

/// What the thread works with.
#[derive(Debug)]
pub struct Parts {
    pub ring: Ring,
    pub engine: Engine,
    pub queue: Sender,
    pub tap: Option<Tap>,
    pub counters: Arc<EngineCounters>,
    pub health: Arc<Health>,
    pub places: Places,
}

impl Hot {
    /// Starts it. The second value becomes true when the thread has ended, however it did.
    pub fn spawn(parts: Parts, kernel: KernelSource) -> io::Result<(Hot, watch::Receiver<bool>)> {
        let (messages, inbox) = channel();
        let (outbox, replaced) = channel();
        let (ended, has_ended) = watch::channel(false);
        let waker = parts.ring.waker();
        thread::Builder::new().name("yagura-events".into()).spawn(move || {
            let _end = End { health: Arc::clone(&parts.health), ended };
            work(parts, &inbox, &outbox, &kernel);
        })?;
        Ok((Hot { control: Control { messages, replaced, waker } }, has_ended))
    }

    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Tells it to take what is left until the deadline, and end.
    pub fn stop(&self, deadline: Instant) {
        let _ = self.control.messages.send(Message::Stop(deadline));
        self.control.waker.wake();
    }
}

impl Control {
    /// Makes the thread use other rules from the next event on, and waits until it does. After an error
    /// the old rules stay: those that the thread did not take in time are taken back.
    pub fn swap(&self, active: Active) -> Result<(), SwapError> {
        let offer = Arc::new(Mutex::new(Some(Box::new(active))));
        self.messages.send(Message::Swap(Arc::clone(&offer))).map_err(|_| SwapError::Gone)?;
        self.waker.wake();
        settle(&offer, &self.replaced, SWAP_TIMEOUT)
    }
}

/// Waits until what was offered is taken and what it replaced has come back.
fn settle<T>(offer: &Mutex<Option<T>>, replaced: &Receiver<T>, timeout: Duration) -> Result<(), SwapError> {
    match replaced.recv_timeout(timeout) {
        Ok(_) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err(SwapError::Gone),
        Err(RecvTimeoutError::Timeout) => match take(offer) {
            Some(_) => Err(SwapError::Busy),
            // It was taken at the last moment: the answer is on its way.
            None => replaced.recv().map(drop).map_err(|_| SwapError::Gone),
        },
    }
}

fn take<T>(offer: &Mutex<Option<T>>) -> Option<T> {
    offer.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Says that the thread has ended, also when it panics.
struct End {
    health: Arc<Health>,
    ended: watch::Sender<bool>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.health.set_ended();
        self.ended.send_replace(true);
    }
}

fn work(parts: Parts, inbox: &Receiver<Message>, outbox: &Messages<Box<Active>>, kernel: &KernelSource) {
    let Parts { mut ring, mut engine, queue, mut tap, counters, health: _, places } = parts;
    let mut housekeeping = Instant::now();
    let mut stop = None;
    engine.publish();
    loop {
        match inbox.try_recv() {
            Ok(Message::Swap(offer)) => {
                if let Some(active) = take(&offer) {
                    drop(outbox.send(engine.swap(active)));
                }
            }
            Ok(Message::Stop(deadline)) => stop = Some(deadline),
            Err(TryRecvError::Empty) => {}
            // The control side is gone without a word: end in order.
            Err(TryRecvError::Disconnected) if stop.is_none() => stop = Some(Instant::now()),
            Err(TryRecvError::Disconnected) => {}
        }
        let taken = ring.drain(|record| {
            if let Some(tap) = &mut tap {
                counters.record_behind.add(tap.record(record));
            }
            engine.handle_guarded(record, &mut |detection| queue.try_send(detection).is_ok());
        });
        engine.new_cgroups().for_each(|(id, place)| places.tell(id, place));
        engine.release_guarded(false, &mut |detection| queue.try_send(detection).is_ok());
        let now = Instant::now();
        if now.duration_since(housekeeping) >= HOUSEKEEPING {
            housekeeping = now;
            engine.publish();
            engine.summarise(now, &mut |detection| queue.try_send(detection).is_ok());
            if let Some(tap) = &mut tap {
                counters.record_behind.add(tap.flush());
            }
        }
        match stop {
            None => {
                if taken == 0 {
                    engine.tidy();
                }
                let patience = engine.deadline().map(|deadline| deadline.saturating_duration_since(now));
                ring.wait(patience.map_or(IDLE, |patience| patience.min(IDLE)));
            }
            // Programs that were running when they were detached may still hand over a record: the end is
            // when everything the kernel side says it handed over has been taken.
            Some(deadline) if taken == 0 => {
                let complete = kernel().is_some_and(|kernel| kernel.submitted() <= counters.records());
                if complete || now >= deadline {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            Some(deadline) if now >= deadline => break,
            Some(_) => {}
        }
    }
    engine.release_guarded(true, &mut |detection| queue.try_send(detection).is_ok());
    engine.publish();
    if let Some(tap) = &mut tap {
        counters.record_behind.add(tap.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offered_rules_come_into_use_or_are_taken_back() {
        // Whether the thread takes the offer, whether it answers, and what comes of it.
        for (takes, answers, expected) in
            [(true, true, Ok(())), (true, false, Err(SwapError::Gone)), (false, false, Err(SwapError::Busy))]
        {
            let offer = Mutex::new(Some("new"));
            let (outbox, replaced) = channel();
            if takes {
                assert_eq!(take(&offer), Some("new"));
            }
            if answers {
                outbox.send("old").unwrap();
            }
            // A thread that took the rules and ended has dropped its side.
            let waiting = (!takes).then_some(outbox);
            assert_eq!(settle(&offer, &replaced, Duration::ZERO), expected);
            assert_eq!(take(&offer), None, "nobody can take it later");
            drop(waiting);
        }
    }

    #[test]
    fn an_answer_after_the_timeout_counts() {
        let offer = Mutex::new(None);
        let (outbox, replaced) = channel();
        let late = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            outbox.send("old")
        });
        assert_eq!(settle(&offer, &replaced, Duration::ZERO), Ok(()));
        late.join().unwrap().unwrap();
    }
}
