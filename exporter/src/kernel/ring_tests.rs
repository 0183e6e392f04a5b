//! The reader against a ring that lies: a memfd laid out like the kernel's, written by the test.

use std::os::fd::AsFd;

use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    io::pwrite,
};

use super::*;

const CAPACITY: usize = 8192;

/// Plays the kernel.
struct Producer {
    file: OwnedFd,
    page: u64,
    capacity: u64,
}

impl Producer {
    fn new() -> (Producer, Records, Arc<RingErrors>) {
        Producer::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> (Producer, Records, Arc<RingErrors>) {
        let page = rustix::param::page_size() as u64;
        let file = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 2 * page + capacity as u64).unwrap();
        let pages = Arc::new(RingPages::map(file.as_fd(), capacity).unwrap());
        let errors = Arc::new(RingErrors::default());
        (Producer { file, page, capacity: capacity as u64 }, Records::new(pages, Arc::clone(&errors)), errors)
    }

    fn data(&self, position: u64, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let offset = (position + index as u64) % self.capacity;
            pwrite(&self.file, &[*byte], 2 * self.page + offset).unwrap();
        }
    }

    /// Writes a record as `bpf_ringbuf_output` does; returns where the next one goes.
    fn record(&self, position: u64, flags: u32, body: &[u8]) -> u64 {
        self.data(position, &(body.len() as u32 | flags).to_ne_bytes());
        self.data(position + RECORD_HEADER, body);
        position + (RECORD_HEADER + body.len() as u64).next_multiple_of(8)
    }

    fn publish(&self, position: u64) {
        pwrite(&self.file, &position.to_ne_bytes(), self.page).unwrap();
    }

    fn consumed(&self) -> u64 {
        let mut bytes = [0; 8];
        rustix::io::pread(&self.file, &mut bytes, 0).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

fn drain(records: &mut Records) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let count = records.drain(|bytes| out.push(bytes.to_vec()));
    assert_eq!(count, out.len());
    out
}

#[test]
fn records_come_in_order_and_their_space_goes_back() {
    let (producer, mut records, errors) = Producer::new();
    assert!(drain(&mut records).is_empty());
    let mut next = producer.record(0, 0, b"first");
    next = producer.record(next, DISCARD, b"given up");
    next = producer.record(next, 0, b"");
    next = producer.record(next, 0, &[7; 1000]);
    producer.publish(next);
    assert!(records.pending());
    assert_eq!(records.pages.fill(), next);
    assert_eq!(drain(&mut records), [b"first".to_vec(), Vec::new(), vec![7; 1000]]);
    assert_eq!(producer.consumed(), next);
    assert_eq!(records.pages.fill(), 0);
    assert!(!records.pending());
    assert_eq!(errors.count(), 0);
}

#[test]
fn a_record_across_the_end_is_put_together() {
    let (producer, mut records, _) = Producer::new();
    let mut next = 0;
    let body: Vec<u8> = (0..1500u32).map(|byte| byte as u8).collect();
    for round in 0..40 {
        // 1,508 bytes a round: the end of the data falls on every kind of place.
        next = producer.record(next, 0, &body);
        producer.publish(next);
        assert_eq!(drain(&mut records), std::slice::from_ref(&body), "round {round}");
    }
}

#[test]
fn an_unfinished_record_stops_the_drain_and_not_for_good() {
    let (producer, mut records, _) = Producer::new();
    let second = producer.record(0, 0, b"done");
    let end = producer.record(second, BUSY, b"late");
    producer.publish(end);
    assert_eq!(drain(&mut records), [b"done".to_vec()]);
    assert!(drain(&mut records).is_empty());
    assert_eq!(producer.consumed(), second, "what is not read is not given back");
    producer.record(second, 0, b"late");
    assert_eq!(drain(&mut records), [b"late".to_vec()]);
}

#[test]
fn a_length_that_lies_is_skipped_and_counted() {
    for lie in [9u32, 4096, CAPACITY as u32, !(BUSY | DISCARD), DISCARD | 9] {
        let (producer, mut records, errors) = Producer::new();
        let second = producer.record(0, 0, b"good");
        producer.data(second, &lie.to_ne_bytes());
        let end = second + 16;
        producer.publish(end);
        assert_eq!(drain(&mut records), [b"good".to_vec()], "{lie:#x}");
        assert_eq!(errors.count(), 1, "{lie:#x}");
        // Reading goes on behind what could not be delimited.
        let after = producer.record(end, 0, b"again");
        producer.publish(after);
        assert_eq!(drain(&mut records), [b"again".to_vec()], "{lie:#x}");
        assert_eq!(producer.consumed(), after);
    }
}

#[test]
fn a_flood_is_taken_in_bounded_batches() {
    let (producer, mut records, _) = Producer::with_capacity(64 * 1024);
    let mut next = 0;
    for _ in 0..MAX_BATCH + 100 {
        next = producer.record(next, 0, b"");
    }
    producer.publish(next);
    assert_eq!(records.drain(|_| {}), MAX_BATCH);
    assert!(records.pending());
    assert_eq!(records.drain(|_| {}), 100);
    assert_eq!(producer.consumed(), next);
}

#[test]
fn space_goes_back_while_a_batch_is_being_read() {
    let (producer, mut records, _) = Producer::with_capacity(256 * 1024);
    let mut next = 0;
    while next < 3 * PUBLISH_BYTES {
        next = producer.record(next, 0, &[0; 4000]);
    }
    producer.publish(next);
    let mut seen = Vec::new();
    records.drain(|_| seen.push(producer.consumed()));
    seen.dedup();
    assert_eq!(seen.len(), 3, "one step for each PUBLISH_BYTES: {seen:?}");
    assert_eq!(producer.consumed(), next);
}

#[test]
fn only_rings_that_the_kernel_can_make_are_mapped() {
    let file = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
    for size in [0, 1, 4095, 3 * 4096] {
        assert!(RingPages::map(file.as_fd(), size).is_err(), "{size}");
    }
}
