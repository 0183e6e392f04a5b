//! Events: what a record says, typed and borrowed from its bytes.
//!
//! No I/O, no async; nothing here knows rules or processes.

pub mod address;
pub mod args;
pub mod builder;

use exporter_common::{
    event_type::EventType,
    record::{
        Ancestor, CapSets, ChildInfo, ExecInfo, FileInfo, Header, OpenHow, SECTION_DELETED,
        SECTION_TRUNCATED, SectionKind, SocketInfo,
    },
};
use zerocopy::FromBytes;

/// One part of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section<'a> {
    /// `SECTION_*` bits.
    pub flags: u16,
    pub data: &'a [u8],
}

impl Section<'_> {
    /// The data was longer than its bound.
    pub fn truncated(&self) -> bool {
        self.flags & SECTION_TRUNCATED != 0
    }

    /// The path's file is no longer linked.
    pub fn deleted(&self) -> bool {
        self.flags & SECTION_DELETED != 0
    }
}

const KINDS: usize = SectionKind::ALL.len();

/// Where a section's data is in its record. A record has at most 64 KiB, so 16 bits are enough.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    start: u16,
    len: u16,
    flags: u16,
}

/// The sections of a record, by kind: small, because it is made for every event.
#[derive(Clone, Debug)]
pub struct Sections<'a> {
    record: &'a [u8],
    /// One bit for each kind that is there.
    present: u32,
    slots: [Slot; KINDS],
}

impl<'a> Sections<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Sections<'a> {
        Sections { record, present: 0, slots: [Slot::default(); KINDS] }
    }

    /// Takes in `len` bytes at `start` of the record; false if there is a section of this kind already.
    pub(crate) fn insert(&mut self, kind: SectionKind, flags: u16, start: usize, len: usize) -> bool {
        let index = kind as usize - 1;
        let (Some(slot), Ok(start), Ok(len)) =
            (self.slots.get_mut(index), u16::try_from(start), u16::try_from(len))
        else {
            return false;
        };
        let new = self.present & 1 << index == 0;
        self.present |= 1 << index;
        *slot = Slot { start, len, flags };
        new
    }

    fn get(&self, kind: SectionKind) -> Option<Section<'a>> {
        let index = kind as usize - 1;
        if self.present & 1 << index == 0 {
            return None;
        }
        let Slot { start, len, flags } = *self.slots.get(index)?;
        let start = usize::from(start);
        Some(Section { flags, data: self.record.get(start..start + usize::from(len))? })
    }
}

/// One kernel event. Made by [`crate::decode::decode`], so every section has a length that fits its kind.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    pub header: Header,
    event_type: EventType,
    pub(crate) sections: Sections<'a>,
}

impl<'a> Event<'a> {
    pub(crate) fn new(header: Header, event_type: EventType, sections: Sections<'a>) -> Event<'a> {
        Event { header, event_type, sections }
    }

    pub fn event_type(&self) -> EventType {
        self.event_type
    }

    pub fn section(&self, kind: SectionKind) -> Option<Section<'a>> {
        self.sections.get(kind)
    }

    /// The bytes of a section.
    pub fn bytes(&self, kind: SectionKind) -> Option<&'a [u8]> {
        self.section(kind).map(|section| section.data)
    }

    /// True if the system call did not fail. Events that are not system calls never fail.
    pub fn succeeded(&self) -> bool {
        self.header.ret >= 0 || self.event_type == EventType::Procexit
    }

    /// An argument register; 0 beyond the sixth.
    pub fn arg(&self, index: u8) -> u64 {
        self.header.args.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// An argument register as the kernel takes an `int`.
    pub fn int_arg(&self, index: u8) -> i32 {
        self.arg(index) as i32
    }

    /// The task's name, up to its first NUL.
    pub fn comm(&self) -> &[u8] {
        let comm = &self.header.comm;
        let len = memchr::memchr(0, comm).unwrap_or(comm.len());
        comm.get(..len).unwrap_or_default()
    }

    /// The file behind the event's descriptor.
    pub fn file(&self) -> Option<FileInfo> {
        self.fixed(SectionKind::File)
    }

    /// The socket behind the event's descriptor.
    pub fn socket(&self) -> Option<SocketInfo> {
        self.fixed(SectionKind::Socket)
    }

    pub fn exec(&self) -> Option<ExecInfo> {
        self.fixed(SectionKind::Exec)
    }

    /// The task that a fork, vfork or clone made.
    pub fn child(&self) -> Option<ChildInfo> {
        self.fixed(SectionKind::Child)
    }

    pub fn open_how(&self) -> Option<OpenHow> {
        self.fixed(SectionKind::OpenHow)
    }

    pub fn cap_sets(&self) -> Option<CapSets> {
        self.fixed(SectionKind::CapSets)
    }

    /// The ancestors that the kernel saw, parent first; none if nobody asked for them.
    pub fn ancestors(&self) -> impl Iterator<Item = Ancestor> + use<'a> {
        self.bytes(SectionKind::Ancestors)
            .unwrap_or_default()
            .chunks_exact(size_of::<Ancestor>())
            .filter_map(|chunk| Ancestor::read_from_bytes(chunk).ok())
    }

    /// True for execve and execveat that replaced the process image.
    pub fn is_exec(&self) -> bool {
        matches!(self.event_type, EventType::Execve | EventType::Execveat) && self.header.ret >= 0
    }

    fn fixed<T: FromBytes>(&self, kind: SectionKind) -> Option<T> {
        T::read_from_bytes(self.bytes(kind)?).ok()
    }
}
