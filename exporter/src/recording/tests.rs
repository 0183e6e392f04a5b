use std::sync::Arc;

use super::*;
use crate::metrics::RecordingCounters;

fn meta() -> Meta {
    Meta { yagura: "0.1.0".into(), hostname: "h".into(), kernel: "6.1".into(), boot_offset_ns: 1 << 60 }
}

/// A record of `len` bytes that says its length, as every record does.
fn record(len: usize, fill: u8) -> Vec<u8> {
    let mut record = vec![fill; len];
    record[..4].copy_from_slice(&(len as u32).to_ne_bytes());
    record
}

fn make(records: &[Vec<u8>], max_bytes: u64) -> (Vec<u8>, Arc<RecordingCounters>) {
    let counters = Arc::new(RecordingCounters::default());
    let mut out = Vec::new();
    let (mut recorder, mut tap) = Recorder::new(&mut out, max_bytes, &meta(), Arc::clone(&counters)).unwrap();
    recorder.processes(2, b"[1,2]").unwrap();
    for record in records {
        assert_eq!(tap.record(record), 0);
    }
    assert_eq!(tap.flush(), 0);
    drop(tap);
    recorder.run().unwrap();
    (out, counters)
}

type Contents = (Vec<Vec<u8>>, Vec<Vec<u8>>);

fn read(bytes: &[u8]) -> Result<Contents, RecordingError> {
    let mut reader = Reader::open(bytes)?;
    assert_eq!(reader.meta(), &meta());
    let (mut processes, mut events) = (Vec::new(), Vec::new());
    while let Some(frame) = reader.next_frame()? {
        match frame {
            Frame::Processes(json) => processes.push(json.to_vec()),
            Frame::Events { bytes, .. } => events.extend(records(bytes).map(<[u8]>::to_vec)),
        }
    }
    Ok((processes, events))
}

#[test]
fn what_is_recorded_is_read_back() {
    for count in [0, 1, 1000] {
        let written: Vec<_> = (0..count).map(|i| record(248 + i % 7 * 8, i as u8)).collect();
        let (bytes, counters) = make(&written, u64::MAX);
        let (processes, events) = read(&bytes).unwrap();
        assert_eq!(processes, [b"[1,2]"]);
        assert_eq!(events, written);
        assert_eq!((counters.records.get(), counters.bytes.get()), (count as u64, bytes.len() as u64));
    }
}

#[test]
fn the_bound_holds_and_is_counted() {
    let written: Vec<_> = (0..2000).map(|_| record(1024, 1)).collect();
    let (bytes, counters) = make(&written, 1 << 20);
    assert!(bytes.len() <= 1 << 20, "{}", bytes.len());
    let (_, events) = read(&bytes).unwrap();
    assert!(!events.is_empty());
    assert_eq!(counters.records.get() + counters.beyond.get(), 2000);
    assert_eq!(events.len() as u64, counters.records.get());
}

#[test]
fn a_writer_that_is_behind_loses_records_not_time() {
    let mut out = Vec::new();
    let (recorder, mut tap) = Recorder::new(&mut out, u64::MAX, &meta(), Arc::default()).unwrap();
    // Nobody writes yet: 16 chunks fit, the rest is left out and said so.
    let lost: u64 = (0..400).map(|_| tap.record(&record(60 << 10, 1))).sum();
    assert!((1..400).contains(&lost), "{lost}");
    let last = tap.flush();
    drop(tap);
    recorder.run().unwrap();
    let (_, events) = read_events_only(&out);
    assert_eq!(events as u64 + lost + last, 400);
}

fn read_events_only(bytes: &[u8]) -> (usize, usize) {
    let mut reader = Reader::open(bytes).unwrap();
    let mut events = 0;
    while let Some(frame) = reader.next_frame().unwrap() {
        if let Frame::Events { bytes, .. } = frame {
            events += records(bytes).count();
        }
    }
    (0, events)
}

#[test]
fn every_truncation_is_an_error_with_its_offset() {
    let (bytes, _) = make(&[record(248, 1), record(256, 2)], u64::MAX);
    for len in 0..bytes.len() {
        let error = read(&bytes[..len]).expect_err("a truncated file");
        match error {
            RecordingError::Foreign if len < 8 => {}
            RecordingError::Truncated { offset } => assert_eq!(offset, len as u64),
            other => panic!("{len}: {other}"),
        }
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let (bytes, _) = make(&[record(248, 1)], u64::MAX);
    let mut frames_with_uncovered_count = 0;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        // The number of processes is information only.
        if read(&damaged).is_ok() {
            frames_with_uncovered_count += 1;
        }
    }
    assert_eq!(frames_with_uncovered_count, 8, "the counts of the frames of processes and of the end");
}

#[test]
fn foreign_files_say_what_they_are() {
    let (bytes, _) = make(&[], u64::MAX);
    let with = |at: usize, value: u32| {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        read(&bytes).unwrap_err().to_string()
    };
    assert_eq!(
        read(b"PK\x03\x04 and so on, long enough to be a preamble").unwrap_err().to_string(),
        "not a recording of Yagura"
    );
    assert_eq!(with(8, 0x0403_0201), "recorded on a machine of another byte order");
    assert_eq!(with(12, 9), "format version 9, this program reads 1");
    assert!(with(16, 99).starts_with("records of ABI version 99, this program reads "));
    assert!(with(20, u32::MAX).starts_with("offset 28: damaged: the metadata is too long"));
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Recorder::create(file.path(), 1 << 20, &meta(), Arc::default()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
}
