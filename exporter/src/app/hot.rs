//! The hot thread: ring → engine → queue. It never waits for anybody but the ring.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender as Messages, TryRecvError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Health,
    engine::{Active, Engine},
};
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

enum Message {
    Swap(Box<Active>),
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

/// The hot thread is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that reads the events has ended")]
pub struct Gone;

/// What the thread works with.
#[derive(Debug)]
pub struct Parts {
    pub ring: Ring,
    pub engine: Engine,
    pub queue: Sender,
    pub tap: Option<Tap>,
    pub counters: Arc<EngineCounters>,
    pub health: Arc<Health>,
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
    /// Makes the thread use other rules from the next event on, and waits until it does.
    pub fn swap(&self, active: Active) -> Result<(), Gone> {
        self.messages.send(Message::Swap(Box::new(active))).map_err(|_| Gone)?;
        self.waker.wake();
        self.replaced.recv_timeout(SWAP_TIMEOUT).map(drop).map_err(|_| Gone)
    }
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
    let Parts { mut ring, mut engine, queue, mut tap, counters, health: _ } = parts;
    let mut housekeeping = Instant::now();
    let mut stop = None;
    engine.publish();
    loop {
        match inbox.try_recv() {
            Ok(Message::Swap(active)) => drop(outbox.send(engine.swap(active))),
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
        let now = Instant::now();
        if now.duration_since(housekeeping) >= HOUSEKEEPING {
            housekeeping = now;
            engine.publish();
            if let Some(tap) = &mut tap {
                counters.record_behind.add(tap.flush());
            }
        }
        match stop {
            None => {
                if taken == 0 {
                    engine.tidy();
                }
                ring.wait(IDLE);
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
    engine.publish();
    if let Some(tap) = &mut tap {
        counters.record_behind.add(tap.flush());
    }
}
