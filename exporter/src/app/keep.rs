//! From the queue to the journal, and only then to stdout.
//!
//! A thread of its own: stdout that is slow keeps nothing from the journal, and a disk that is slow keeps nothing from the
//! hot thread but what its queue cannot hold.

use std::{sync::Arc, time::Duration};

use crate::{
    detection::{Detection, Formatter},
    journal::Journal,
    metrics::SinkCounters,
    sinks::queue::{Receiver, Sender},
};

/// Most detections in one transaction.
pub const BATCH: usize = 1024;
/// How long without detections until the journal's own affairs are looked after.
const IDLE: Duration = Duration::from_secs(5);

pub struct Keeper {
    pub journal: Journal,
    /// Writes the detection whole, whatever stdout shows of it.
    pub formatter: Formatter,
    pub stdout: Sender,
    pub counters: Arc<SinkCounters>,
}

impl Keeper {
    /// Keeps detections until the queue ends.
    pub fn run(mut self, queue: &Receiver) {
        let mut batch: Vec<Detection> = Vec::with_capacity(BATCH);
        while queue.receive_within(IDLE, &mut batch, BATCH) {
            if batch.is_empty() {
                self.journal.tidy();
                continue;
            }
            let lines: Vec<String> = batch.iter().map(|detection| self.line(detection)).collect();
            // That it could not be written is counted and said there; whoever reads stdout still gets it.
            self.journal.append(batch.iter().zip(lines.iter().map(String::as_str)));
            for detection in batch.drain(..) {
                if self.stdout.try_send(detection).is_err() {
                    self.counters.queue_full.add(1);
                }
            }
        }
    }

    fn line(&self, detection: &Detection) -> String {
        let mut line = Vec::new();
        self.formatter.json(detection, &mut line);
        // JSON that serde has written.
        String::from_utf8(line).unwrap_or_default()
    }
}
