//! From bytes to [`Event`]: the only place that reads a record's layout.
//!
//! A record comes from the kernel's ring buffer or from a recording; either way it is foreign. Every
//! length, kind and padding is checked once here, and whatever is accepted can be used without a further
//! check. Nothing is copied but the header. Never panics, whatever the bytes.

use exporter_common::{
    event_type::EventType,
    record::{
        Ancestor, CapSets, ChildInfo, ExecInfo, FileInfo, Header, MAX_ANCESTORS, MAX_ARGV, MAX_DATA,
        MAX_ENVP, MAX_PATH, MAX_RECORD, MAX_SOCKADDR, OpenHow, SectionHeader, SectionKind, SocketInfo,
    },
};
use zerocopy::FromBytes;

use crate::event::{Event, Sections};

/// Why bytes are not a record. Offsets are from the start of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{have} bytes are too short for a record's header of {} bytes", size_of::<Header>())]
    NoHeader { have: usize },
    #[error("the record says it has {len} bytes, but there are {have}")]
    Length { len: u32, have: usize },
    #[error("unknown event type {0}")]
    EventType(u16),
    #[error("the section at byte {at} goes beyond the record's end")]
    SectionLength { at: usize },
    #[error("the {kind:?} section at byte {at} has {len} bytes, which is not a length it can have")]
    SectionSize { kind: SectionKind, at: usize, len: u32 },
    #[error("a second {kind:?} section at byte {at}")]
    DuplicateSection { kind: SectionKind, at: usize },
    #[error("the padding before byte {at} is not zero")]
    Padding { at: usize },
}

impl DecodeError {
    /// The value of the `reason` label: one of a closed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            DecodeError::NoHeader { .. } | DecodeError::Length { .. } => "length",
            DecodeError::EventType(_) => "event_type",
            DecodeError::SectionLength { .. } | DecodeError::SectionSize { .. } => "section_length",
            DecodeError::DuplicateSection { .. } => "duplicate_section",
            DecodeError::Padding { .. } => "padding",
        }
    }
}

/// Decodes one record. Sections of a kind this version does not know are skipped.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<Event<'_>, DecodeError> {
    let Ok((header, _)) = Header::ref_from_prefix(bytes) else {
        return decode_unaligned(bytes);
    };
    decode_with(header, bytes)
}

/// The ring buffer aligns records; a recording need not.
#[cold]
fn decode_unaligned(bytes: &[u8]) -> Result<Event<'_>, DecodeError> {
    match Header::read_from_prefix(bytes) {
        Ok((header, _)) => decode_with(&header, bytes),
        Err(_) => Err(DecodeError::NoHeader { have: bytes.len() }),
    }
}

fn decode_with<'a>(header: &Header, bytes: &'a [u8]) -> Result<Event<'a>, DecodeError> {
    if header.len as usize != bytes.len() || !bytes.len().is_multiple_of(8) || bytes.len() > MAX_RECORD {
        return Err(DecodeError::Length { len: header.len, have: bytes.len() });
    }
    let Some(event_type) = EventType::from_id(header.event_type) else {
        return Err(DecodeError::EventType(header.event_type));
    };
    let mut event = Event::new(*header, event_type, Sections::new(bytes));
    read_sections(bytes, &mut event.sections)?;
    Ok(event)
}

fn read_sections(bytes: &[u8], sections: &mut Sections<'_>) -> Result<(), DecodeError> {
    let mut at = size_of::<Header>();
    while at < bytes.len() {
        let beyond = DecodeError::SectionLength { at };
        let rest = bytes.get(at..).unwrap_or_default();
        let (header, rest) = SectionHeader::read_from_prefix(rest).map_err(|_| beyond)?;
        let len = header.len as usize;
        let padded = len.next_multiple_of(8);
        let padding = rest.get(..padded).and_then(|data| data.get(len..)).ok_or(beyond)?;
        let start = at + size_of::<SectionHeader>();
        let next = start + padded;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Padding { at: next });
        }
        if let Some(kind) = SectionKind::from_id(header.kind) {
            if !fits(kind, len) {
                return Err(DecodeError::SectionSize { kind, at, len: header.len });
            }
            if !sections.insert(kind, header.flags, start, len) {
                return Err(DecodeError::DuplicateSection { kind, at });
            }
        }
        at = next;
    }
    Ok(())
}

/// Whether a section of this kind can have this length.
fn fits(kind: SectionKind, len: usize) -> bool {
    match kind {
        SectionKind::Path
        | SectionKind::PathArg
        | SectionKind::Path2
        | SectionKind::Path2Arg
        | SectionKind::Dir
        | SectionKind::Dir2
        | SectionKind::Cwd
        | SectionKind::Exe
        | SectionKind::Cgroup
        | SectionKind::Text => len <= MAX_PATH,
        SectionKind::Argv => len <= MAX_ARGV,
        SectionKind::Envp => len <= MAX_ENVP,
        SectionKind::Ancestors => {
            len.is_multiple_of(size_of::<Ancestor>()) && len <= MAX_ANCESTORS * size_of::<Ancestor>()
        }
        SectionKind::File => len == size_of::<FileInfo>(),
        SectionKind::Socket => len == size_of::<SocketInfo>(),
        SectionKind::Sockaddr | SectionKind::UnixLocal | SectionKind::UnixPeer => len <= MAX_SOCKADDR,
        SectionKind::Data => len <= MAX_DATA,
        SectionKind::Exec => len == size_of::<ExecInfo>(),
        SectionKind::Child => len == size_of::<ChildInfo>(),
        // The caller says how long its structure is; the kernel refuses a short one, and so does
        // `Event::open_how`.
        SectionKind::OpenHow => len <= size_of::<OpenHow>(),
        SectionKind::CapSets => len == size_of::<CapSets>(),
    }
}

#[cfg(test)]
mod tests;
