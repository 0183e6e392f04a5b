//! Reading: every length and checksum is checked, every error has its offset.

use std::io::{self, Read};

use exporter_common::record::{ABI_VERSION, MAX_RECORD};

use super::format::{
    BYTE_ORDER, FORMAT_VERSION, FRAME_HEADER, KIND_END, KIND_EVENTS, KIND_PROCESSES, MAGIC, MAX_META,
    MAX_PAYLOAD, Meta, PREAMBLE, Trailer, word,
};

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("not a recording of Yagura")]
    Foreign,
    #[error("recorded on a machine of another byte order")]
    ByteOrder,
    #[error("format version {found}, this program reads {FORMAT_VERSION}")]
    Version { found: u32 },
    #[error("records of ABI version {found}, this program reads {ABI_VERSION}")]
    Abi { found: u32 },
    #[error("offset {offset}: truncated: the recorder did not end the file")]
    Truncated { offset: u64 },
    #[error("offset {offset}: damaged: {what}")]
    Damaged { offset: u64, what: &'static str },
    #[error("offset {offset}: cannot read")]
    Read { offset: u64, source: io::Error },
}

/// A part of a recording.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// JSON of a part of the process table.
    Processes(&'a [u8]),
    /// Records, end to end; see [`records`].
    Events { count: u32, bytes: &'a [u8] },
}

#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    offset: u64,
    meta: Meta,
    payload: Vec<u8>,
    events: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads and checks what a recording begins with.
    pub fn open(input: R) -> Result<Reader<R>, RecordingError> {
        let meta =
            Meta { yagura: String::new(), hostname: String::new(), kernel: String::new(), boot_offset_ns: 0 };
        let mut reader = Reader { input, offset: 0, meta, payload: Vec::new(), events: 0, ended: false };
        let mut preamble = [0; PREAMBLE];
        let read = reader.fill(&mut preamble)?;
        if !preamble.starts_with(&MAGIC) {
            return Err(RecordingError::Foreign);
        }
        if read < PREAMBLE {
            return Err(RecordingError::Truncated { offset: read as u64 });
        }
        let field = |index| word(&preamble, MAGIC.len(), index);
        match (field(0), field(1), field(2)) {
            (BYTE_ORDER, FORMAT_VERSION, ABI_VERSION) => {}
            (BYTE_ORDER, FORMAT_VERSION, found) => return Err(RecordingError::Abi { found }),
            (BYTE_ORDER, found, _) => return Err(RecordingError::Version { found }),
            _ => return Err(RecordingError::ByteOrder),
        }
        let (len, checksum) = (field(3) as usize, field(4));
        let offset = reader.offset;
        if len > MAX_META {
            return Err(RecordingError::Damaged { offset, what: "the metadata is too long" });
        }
        reader.read_payload(len, checksum)?;
        reader.meta = serde_json::from_slice(&reader.payload)
            .map_err(|_| RecordingError::Damaged { offset, what: "the metadata is not what it should be" })?;
        Ok(reader)
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The next frame, or `None` after the recording's proper end.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, RecordingError> {
        if self.ended {
            return Ok(None);
        }
        let offset = self.offset;
        let mut header = [0; FRAME_HEADER];
        if self.fill(&mut header)? < FRAME_HEADER {
            return Err(RecordingError::Truncated { offset: self.offset });
        }
        let field = |index| word(&header, 0, index);
        let (kind, count, len, checksum) = (field(0), field(1), field(2) as usize, field(3));
        if len > MAX_PAYLOAD {
            return Err(RecordingError::Damaged { offset, what: "a frame is too long" });
        }
        self.read_payload(len, checksum)?;
        match kind {
            KIND_PROCESSES => Ok(Some(Frame::Processes(&self.payload))),
            KIND_EVENTS => {
                self.events += u64::from(count);
                check_records(&self.payload, count)
                    .map_err(|(at, what)| RecordingError::Damaged { offset: offset + at, what })?;
                Ok(Some(Frame::Events { count, bytes: &self.payload }))
            }
            KIND_END => {
                self.ended = true;
                let trailer: Trailer = serde_json::from_slice(&self.payload).map_err(|_| {
                    RecordingError::Damaged { offset, what: "the trailer is not what it should be" }
                })?;
                if trailer.events != self.events {
                    return Err(RecordingError::Damaged { offset, what: "events are missing" });
                }
                Ok(None)
            }
            _ => Err(RecordingError::Damaged { offset, what: "a frame of unknown kind" }),
        }
    }

    fn read_payload(&mut self, len: usize, checksum: u32) -> Result<(), RecordingError> {
        let offset = self.offset;
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(len, 0);
        let read = self.fill(&mut payload);
        self.payload = payload;
        if read? < len {
            return Err(RecordingError::Truncated { offset: self.offset });
        }
        if crc32fast::hash(&self.payload) != checksum {
            return Err(RecordingError::Damaged { offset, what: "a checksum does not match" });
        }
        Ok(())
    }

    /// Reads until `buffer` is full or the input ends; returns how much.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, RecordingError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(RecordingError::Read { offset: self.offset + filled as u64, source });
                }
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }
}

/// The records of an events frame, which [`Reader::next_frame`] has checked.
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (record, rest) = bytes.split_at_checked(word(bytes, 0, 0) as usize)?;
        bytes = rest;
        (!record.is_empty()).then_some(record)
    })
}

/// Checks that `bytes` is exactly `count` records; an error has its offset within the frame.
fn check_records(bytes: &[u8], count: u32) -> Result<(), (u64, &'static str)> {
    let mut at = 0;
    let mut found = 0;
    while at < bytes.len() {
        let len = word(bytes, at, 0) as usize;
        if len == 0 || len > MAX_RECORD || len > bytes.len() - at {
            return Err(((FRAME_HEADER + at) as u64, "a record has an impossible length"));
        }
        at += len;
        found += 1;
    }
    if found == count { Ok(()) } else { Err((0, "a frame does not hold the records it says")) }
}
