//! The layout of a recording; `docs/recording.md` describes it.

use serde::{Deserialize, Serialize};

pub(super) const MAGIC: [u8; 8] = *b"YAGURAEV";
/// Version of the framing. The layout of the records inside has its own: `ABI_VERSION`.
pub const FORMAT_VERSION: u32 = 1;
/// Written in the recording machine's byte order.
pub(super) const BYTE_ORDER: u32 = 0x0102_0304;
/// Magic, byte order, format version, ABI version, length and checksum of the metadata.
pub(super) const PREAMBLE: usize = 8 + 5 * 4;
/// Kind, count, length, checksum.
pub(super) const FRAME_HEADER: usize = 4 * 4;
/// Longest metadata.
pub(super) const MAX_META: usize = 64 << 10;
/// Longest payload of a frame that is written and accepted.
pub(super) const MAX_PAYLOAD: usize = 1 << 20;

pub(super) const KIND_PROCESSES: u32 = 1;
pub(super) const KIND_EVENTS: u32 = 2;
pub(super) const KIND_END: u32 = 3;

/// What a recording says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the program that recorded.
    pub yagura: String,
    pub hostname: String,
    /// Release of the kernel.
    pub kernel: String,
    /// What to add to an event's time since boot to get the time since the epoch, in nanoseconds.
    pub boot_offset_ns: u64,
}

/// Why a recording ended, and its sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trailer {
    pub events: u64,
    /// Events that came while recording and are not in it.
    pub missed: u64,
}

pub(super) fn frame_header(kind: u32, count: u32, payload: &[u8]) -> [u8; FRAME_HEADER] {
    let mut header = [0; FRAME_HEADER];
    // A payload is at most MAX_PAYLOAD long.
    let words = [kind, count, payload.len() as u32, crc32fast::hash(payload)];
    for (bytes, word) in header.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    header
}

/// The `index`th 32-bit word of `bytes` after `start`; 0 beyond the end.
pub(super) fn word(bytes: &[u8], start: usize, index: usize) -> u32 {
    let at = start + index * 4;
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}
