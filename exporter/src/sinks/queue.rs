//! The bounded queue between matching and a sink: its sender never waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver as StdReceiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use crate::detection::Detection;

/// Bound of what is queued in bytes, whatever the bound in detections: arguments can be long.
const MAX_BYTES: usize = 16 << 20;

/// A queue of at most `capacity` detections.
pub fn queue(capacity: usize) -> (Sender, Receiver) {
    let (sender, receiver) = sync_channel(capacity);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Sender { sender, bytes: Arc::clone(&bytes) }, Receiver { receiver, bytes })
}

#[derive(Clone, Debug)]
pub struct Sender {
    sender: SyncSender<Detection>,
    bytes: Arc<AtomicUsize>,
}

/// The queue was full or its reader is gone; the detection is lost, to be counted by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Sender {
    pub fn try_send(&self, detection: Detection) -> Result<(), Full> {
        let weight = detection.weight();
        if self.bytes.fetch_add(weight, Relaxed).saturating_add(weight) > MAX_BYTES
            || self.sender.try_send(detection).is_err()
        {
            self.bytes.fetch_sub(weight, Relaxed);
            return Err(Full);
        }
        Ok(())
    }
}

#[derive(Debug)]
pub struct Receiver {
    receiver: StdReceiver<Detection>,
    bytes: Arc<AtomicUsize>,
}

impl Receiver {
    /// Waits for a detection, then takes what else is there, at most `max`. `false`: all senders are gone
    /// and nothing is left.
    pub fn receive(&self, batch: &mut Vec<Detection>, max: usize) -> bool {
        let Ok(first) = self.receiver.recv() else { return false };
        self.take_all(first, batch, max);
        true
    }

    /// The same for somebody who has other things to do: after `patience` without any, `batch` stays empty.
    pub fn receive_within(&self, patience: Duration, batch: &mut Vec<Detection>, max: usize) -> bool {
        match self.receiver.recv_timeout(patience) {
            Ok(first) => self.take_all(first, batch, max),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn take_all(&self, first: Detection, batch: &mut Vec<Detection>, max: usize) {
        self.take(first, batch);
        while batch.len() < max {
            match self.receiver.try_recv() {
                Ok(next) => self.take(next, batch),
                Err(_) => break,
            }
        }
    }

    fn take(&self, detection: Detection, batch: &mut Vec<Detection>) {
        self.bytes.fetch_sub(detection.weight(), Relaxed);
        batch.push(detection);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc as StdArc;

    use super::*;
    use crate::rules::Priority;

    fn detection(bytes: usize) -> Detection {
        Detection {
            time_ns: 0,
            rule: "r".into(),
            priority: Priority::Notice,
            source: "syscall",
            tags: StdArc::from([]),
            message: "x".repeat(bytes),
            output_fields: Vec::new(),
            incomplete_fields: Vec::new(),
            uuid: uuid::Uuid::nil(),
            tenant: "platform".into(),
            namespace: None,
            ancestors: Vec::new(),
            correlation: None,
        }
    }

    #[test]
    fn is_bounded_in_detections_and_in_bytes() {
        for (capacity, bytes, expected) in [(3, 1, 3), (100, 4 << 20, 3), (1, 17 << 20, 0)] {
            let (sender, receiver) = queue(capacity);
            let sent = (0..10).filter(|_| sender.try_send(detection(bytes)).is_ok()).count();
            assert_eq!(sent, expected, "{capacity} {bytes}");
            if sent > 0 {
                let mut batch = Vec::new();
                assert!(receiver.receive(&mut batch, 2));
                assert_eq!(batch.len(), sent.min(2));
                assert_eq!(sender.try_send(detection(bytes)), Ok(()), "room again");
            }
        }
    }

    #[test]
    fn ends_when_the_senders_are_gone_and_all_is_taken() {
        let (sender, receiver) = queue(4);
        sender.try_send(detection(1)).unwrap();
        drop(sender);
        let mut batch = Vec::new();
        assert!(receiver.receive(&mut batch, 10));
        assert!(!receiver.receive(&mut batch, 10));
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn whoever_has_other_things_to_do_waits_for_a_while_only() {
        let (sender, receiver) = queue(4);
        let mut batch = Vec::new();
        assert!(receiver.receive_within(Duration::from_millis(1), &mut batch, 10) && batch.is_empty());
        sender.try_send(detection(1)).unwrap();
        sender.try_send(detection(1)).unwrap();
        assert!(receiver.receive_within(Duration::from_secs(60), &mut batch, 10));
        assert_eq!(batch.len(), 2);
        drop(sender);
        assert!(!receiver.receive_within(Duration::from_secs(60), &mut batch, 10));
    }

    #[test]
    fn a_gone_reader_is_a_loss_not_a_panic() {
        let (sender, receiver) = queue(4);
        drop(receiver);
        assert_eq!(sender.try_send(detection(1)), Err(Full));
    }
}
