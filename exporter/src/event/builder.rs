//! Builds records byte by byte, as the kernel side does: for tests, benchmarks and made-up events.

use exporter_common::{
    event_type::EventType,
    record::{Ancestor, Header, SectionHeader, SectionKind},
};
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// A record in the making. Its header starts as that of a plain host process; change what matters.
#[derive(Clone, Debug)]
pub struct RecordBuilder {
    pub header: Header,
    sections: Vec<u8>,
}

impl RecordBuilder {
    /// A successful call by process 1000, child of 999, of user and group 0 without a login.
    pub fn new(event_type: EventType) -> RecordBuilder {
        let mut header = Header::new_zeroed();
        header.event_type = event_type.id();
        header.syscall_nr =
            event_type.syscalls().first().and_then(|nr| i32::try_from(*nr).ok()).unwrap_or(-1);
        header.ts_ns = 10_000_000_000;
        (header.tid, header.pid, header.vtid, header.vpid) = (1000, 1000, 1000, 1000);
        (header.ppid, header.pvpid) = (999, 999);
        (header.pgid, header.vpgid, header.sid, header.vsid) = (1000, 1000, 999, 999);
        (header.start_ns, header.parent_start_ns) = (9_000_000_000, 8_000_000_000);
        header.loginuid = u32::MAX;
        let mut record = RecordBuilder { header, sections: Vec::new() };
        record.set_comm(b"test");
        record
    }

    /// Changes the header.
    pub fn with(mut self, change: impl FnOnce(&mut Header)) -> RecordBuilder {
        change(&mut self.header);
        self
    }

    /// The task's name, cut to the kernel's 15 bytes.
    pub fn comm(mut self, comm: &str) -> RecordBuilder {
        self.set_comm(comm.as_bytes());
        self
    }

    fn set_comm(&mut self, comm: &[u8]) {
        self.header.comm = [0; 16];
        for (to, from) in self.header.comm.iter_mut().take(15).zip(comm) {
            *to = *from;
        }
    }

    /// The return value.
    pub fn ret(self, ret: i64) -> RecordBuilder {
        self.with(|header| header.ret = ret)
    }

    /// The process: host ids and start; ids inside its own namespace are the same.
    pub fn process(self, pid: u32, start_ns: u64) -> RecordBuilder {
        self.with(|header| {
            (header.tid, header.pid, header.vtid, header.vpid) = (pid, pid, pid, pid);
            header.start_ns = start_ns;
        })
    }

    /// The parent: host id and start; the id inside its own namespace is the same.
    pub fn parent(self, pid: u32, start_ns: u64) -> RecordBuilder {
        self.with(|header| {
            (header.ppid, header.pvpid) = (pid, pid);
            header.parent_start_ns = start_ns;
        })
    }

    /// Argument registers from the first on.
    pub fn args(self, args: &[u64]) -> RecordBuilder {
        self.with(|header| {
            for (to, from) in header.args.iter_mut().zip(args) {
                *to = *from;
            }
        })
    }

    /// Adds a section of bytes.
    pub fn section(self, kind: SectionKind, data: impl AsRef<[u8]>) -> RecordBuilder {
        self.flagged(kind, 0, data)
    }

    /// Adds a section with `SECTION_*` flags.
    pub fn flagged(self, kind: SectionKind, flags: u16, data: impl AsRef<[u8]>) -> RecordBuilder {
        self.raw(kind as u16, flags, data.as_ref())
    }

    /// Adds a section that holds a struct of the ABI.
    pub fn fixed(self, kind: SectionKind, value: &(impl IntoBytes + Immutable)) -> RecordBuilder {
        self.raw(kind as u16, 0, value.as_bytes())
    }

    /// Adds the arguments of an exec, or its environment.
    pub fn strings(self, kind: SectionKind, strings: &[&str]) -> RecordBuilder {
        let data: Vec<u8> = strings.iter().flat_map(|s| s.bytes().chain([0])).collect();
        self.section(kind, data)
    }

    /// Adds the ancestors, parent first, as process id and start.
    pub fn ancestors(self, ancestors: &[(u32, u64)]) -> RecordBuilder {
        let data: Vec<u8> = ancestors
            .iter()
            .flat_map(|&(pid, start_ns)| Ancestor { pid, reserved: 0, start_ns }.as_bytes().to_vec())
            .collect();
        self.section(SectionKind::Ancestors, data)
    }

    /// Adds a section of any kind id, also of one that does not exist.
    pub fn raw(mut self, kind: u16, flags: u16, data: &[u8]) -> RecordBuilder {
        let header = SectionHeader { kind, flags, len: data.len() as u32 };
        self.sections.extend_from_slice(header.as_bytes());
        self.sections.extend_from_slice(data);
        self.sections.resize(self.sections.len().next_multiple_of(8), 0);
        self
    }

    /// The record.
    pub fn build(mut self) -> Vec<u8> {
        self.header.len = (size_of::<Header>() + self.sections.len()) as u32;
        let mut bytes = self.header.as_bytes().to_vec();
        bytes.append(&mut self.sections);
        bytes
    }
}
