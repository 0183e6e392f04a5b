//! Writing: the hot path copies, a thread writes.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use exporter_common::record::{ABI_VERSION, MAX_RECORD};

use super::format::{
    BYTE_ORDER, FORMAT_VERSION, FRAME_HEADER, KIND_END, KIND_EVENTS, KIND_PROCESSES, MAGIC, MAX_PAYLOAD,
    Meta, Trailer, frame_header,
};
use crate::metrics::RecordingCounters;

/// A chunk is handed over from this size on.
const CHUNK: usize = 256 << 10;
/// Chunks between the hot path and the writer; beyond them records are left out and counted.
const CHUNKS: usize = 16;
/// Kept free for the trailer, so that the bound holds with it.
const TRAILER_ROOM: u64 = 256;

const _: () = assert!(CHUNK + MAX_RECORD <= MAX_PAYLOAD);

struct Chunk {
    bytes: Vec<u8>,
    count: u32,
}

/// The hot path's end of a recording.
#[derive(Debug)]
pub struct Tap {
    bytes: Vec<u8>,
    count: u32,
    full: SyncSender<Chunk>,
    /// Chunks to fill again, so that nothing is allocated in the long run.
    empty: Receiver<Vec<u8>>,
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunk({} records)", self.count)
    }
}

impl Tap {
    /// Copies a record; returns how many records were left out because the writer is behind.
    pub fn record(&mut self, record: &[u8]) -> u64 {
        self.bytes.extend_from_slice(record);
        self.count += 1;
        if self.bytes.len() >= CHUNK { self.flush() } else { 0 }
    }

    /// Hands over what was copied; returns as [`Tap::record`] does.
    pub fn flush(&mut self) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let empty = self.empty.try_recv().unwrap_or_default();
        let chunk = Chunk { bytes: std::mem::replace(&mut self.bytes, empty), count: self.count };
        self.count = 0;
        match self.full.try_send(chunk) {
            Ok(()) => 0,
            Err(error) => {
                let (std::sync::mpsc::TrySendError::Full(chunk)
                | std::sync::mpsc::TrySendError::Disconnected(chunk)) = error;
                let lost = u64::from(chunk.count);
                self.bytes = chunk.bytes;
                self.bytes.clear();
                lost
            }
        }
    }
}

/// The writing end of a recording.
#[derive(Debug)]
pub struct Recorder<W: Write> {
    out: BufWriter<W>,
    written: u64,
    max_bytes: u64,
    counters: Arc<RecordingCounters>,
    full: Receiver<Chunk>,
    empty: SyncSender<Vec<u8>>,
}

impl Recorder<File> {
    /// Creates `path`, readable by its owner only: what it will hold is what processes were told.
    /// An existing file is not overwritten.
    pub fn create(
        path: &Path,
        max_bytes: u64,
        meta: &Meta,
        counters: Arc<RecordingCounters>,
    ) -> io::Result<(Recorder<File>, Tap)> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Recorder::new(file, max_bytes, meta, counters)
    }
}

impl<W: Write> Recorder<W> {
    pub fn new(
        out: W,
        max_bytes: u64,
        meta: &Meta,
        counters: Arc<RecordingCounters>,
    ) -> io::Result<(Recorder<W>, Tap)> {
        let (full, from_tap) = sync_channel(CHUNKS);
        let (to_tap, empty) = sync_channel(CHUNKS);
        let mut recorder = Recorder {
            out: BufWriter::new(out),
            written: 0,
            max_bytes,
            counters,
            full: from_tap,
            empty: to_tap,
        };
        recorder.preamble(meta)?;
        Ok((recorder, Tap { bytes: Vec::with_capacity(CHUNK), count: 0, full, empty }))
    }

    fn preamble(&mut self, meta: &Meta) -> io::Result<()> {
        let mut meta = serde_json::to_vec(meta)?;
        meta.resize(meta.len().next_multiple_of(8), b' ');
        let words = [BYTE_ORDER, FORMAT_VERSION, ABI_VERSION, meta.len() as u32, crc32fast::hash(&meta)];
        let mut bytes = MAGIC.to_vec();
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend_from_slice(&meta);
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        self.counters.bytes.set(self.written);
        Ok(())
    }

    fn frame(&mut self, kind: u32, count: u32, payload: &[u8]) -> io::Result<()> {
        self.put(&frame_header(kind, count, payload))?;
        self.put(payload)
    }

    /// Writes the process table as it was when recording began: JSON, one array a call.
    pub fn processes(&mut self, count: u32, json: &[u8]) -> io::Result<()> {
        self.frame(KIND_PROCESSES, count, json)
    }

    /// Writes until the tap is gone, then the trailer. Stops writing at the bound or the first error, but
    /// goes on counting; the caller logs the error.
    pub fn run(mut self) -> io::Result<()> {
        let mut missed = 0;
        let mut failure: Option<io::Error> = None;
        let mut open = true;
        while let Ok(chunk) = self.full.recv() {
            let Chunk { mut bytes, count } = chunk;
            if open {
                let size = (FRAME_HEADER + bytes.len()) as u64;
                if self.written + size + TRAILER_ROOM > self.max_bytes {
                    open = false;
                    tracing::warn!(bytes = self.written, "the recording has reached its size and stops");
                } else if let Err(error) = self.frame(KIND_EVENTS, count, &bytes) {
                    open = false;
                    tracing::error!(%error, "the recording cannot be written and stops");
                    failure = Some(error);
                } else {
                    self.counters.records.add(u64::from(count));
                }
            }
            if !open {
                missed += u64::from(count);
                self.counters.beyond.add(u64::from(count));
            }
            bytes.clear();
            let _ = self.empty.try_send(bytes);
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let trailer = Trailer { events: self.counters.records.get(), missed };
        let trailer = serde_json::to_vec(&trailer)?;
        self.frame(KIND_END, 0, &trailer)?;
        self.out.flush()
    }
}
