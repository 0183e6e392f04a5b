//! The table of processes as plain records: what a recording begins with, so that a replay knows the
//! processes that were running before its first event.

use serde::{Deserialize, Serialize};

use super::{
    Enricher,
    process::{ExeFile, Image, Process, Start, TICK_NS},
};

/// Everything that [`Enricher`] knew beyond the events themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub boot_time_ns: u64,
    pub host_mnt_ns: u32,
    pub processes: Vec<ProcessRecord>,
}

/// A process. Strings are bytes: where they are not UTF-8, `\xNN` stands for a byte and `\\` for a backslash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    pub pid: u32,
    /// Nanoseconds since boot; exact to a tick (10 ms) if `from_proc`.
    pub start_ns: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub from_proc: bool,
    pub ppid: u32,
    pub parent_start_ns: u64,
    /// `parent_start_ns` is exact to a tick only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parent_from_proc: bool,
    pub vpid: u32,
    pub pgid: u32,
    pub sid: u32,
    pub tty: u32,
    pub comm: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub foreign_mounts: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub exited: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub image: Option<ImageRecord>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub cgroup: Option<CgroupRecord>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The process's name at exec.
    pub comm: String,
    pub exepath: Option<String>,
    pub exe: String,
    /// Arguments after the first, separated by blanks; `None` if there are none.
    pub args: Option<String>,
    pub nargs: u32,
    pub env: Option<String>,
    pub file: ExeFile,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRecord {
    pub id: u64,
    pub path: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Enricher {
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            boot_time_ns: self.clock.boot_time_ns,
            host_mnt_ns: self.host_mnt_ns,
            processes: self.table.iter().map(record).collect(),
        }
    }

    /// Takes over a snapshot: what was known before stays unless the snapshot has the same process.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.clock.boot_time_ns = snapshot.boot_time_ns;
        self.host_mnt_ns = snapshot.host_mnt_ns;
        for record in &snapshot.processes {
            let image = record.image.as_ref().map(|image| self.table.charge(image_of(image)));
            let cgroup =
                (record.cgroup.as_ref()).map(|cgroup| self.cgroups.make(cgroup.id, &unescape(&cgroup.path)));
            let start = |ns, from_proc| match from_proc {
                true => Start::Ticks(ns / TICK_NS),
                false => Start::Exact(ns),
            };
            self.table.insert(Process {
                pid: record.pid,
                start: start(record.start_ns, record.from_proc),
                ppid: record.ppid,
                parent_start: start(record.parent_start_ns, record.parent_from_proc),
                vpid: record.vpid,
                pgid: record.pgid,
                sid: record.sid,
                tty: record.tty,
                comm: comm_of(&record.comm),
                image,
                cgroup,
                foreign_mounts: record.foreign_mounts,
                exited: record.exited,
                used: 0,
            });
        }
    }
}

fn record(process: &Process) -> ProcessRecord {
    let Process { pid, start, ppid, parent_start, vpid, pgid, sid, tty, ref comm, .. } = *process;
    ProcessRecord {
        pid,
        start_ns: start.ns(),
        from_proc: matches!(start, Start::Ticks(_)),
        ppid,
        parent_start_ns: parent_start.ns(),
        parent_from_proc: matches!(parent_start, Start::Ticks(_)),
        vpid,
        pgid,
        sid,
        tty,
        comm: escape(super::process::name_of(comm)),
        foreign_mounts: process.foreign_mounts,
        exited: process.exited,
        image: process.image.as_deref().map(|image| ImageRecord {
            comm: escape(super::process::name_of(&image.comm())),
            exepath: image.exepath.as_deref().map(escape),
            exe: escape(image.exe()),
            args: (image.nargs > 0).then(|| escape(image.args())),
            nargs: image.nargs,
            env: image.env.as_deref().map(escape),
            file: image.file,
        }),
        cgroup: process
            .cgroup
            .as_deref()
            .map(|cgroup| CgroupRecord { id: cgroup.id, path: escape(&cgroup.path) }),
    }
}

fn image_of(record: &ImageRecord) -> Image {
    Image::from_parts(
        comm_of(&record.comm),
        record.exepath.as_deref().map(unescape).as_deref(),
        &unescape(&record.exe),
        record.args.as_deref().map(unescape).as_deref(),
        record.nargs,
        record.env.as_deref().map(unescape).as_deref(),
        record.file,
    )
}

fn comm_of(text: &str) -> [u8; 16] {
    let mut comm = [0; 16];
    for (to, from) in comm.iter_mut().take(15).zip(unescape(text)) {
        *to = from;
    }
    comm
}

/// Bytes as text, without loss.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!(r"\x{byte:02x}"));
        }
    }
    text
}

/// The bytes behind [`escape`]'s text. What is no escape stands for itself.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let byte = escaped.get(2..4).filter(|_| escaped.starts_with(r"\x"));
        if let Some(byte) = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = escaped.get(4..).unwrap_or_default();
        } else {
            bytes.push(b'\\');
            rest = escaped.strip_prefix(r"\\").or_else(|| escaped.get(1..)).unwrap_or_default();
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escaping_loses_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }

        #[test]
        fn any_text_can_be_read(text in "(\\\\|x|[0-9a-f]|é){0,12}") {
            unescape(&text);
        }
    }

    #[test]
    fn a_restored_table_is_the_same() {
        let mut enricher = Enricher::new(super::super::EnrichOptions::default());
        enricher.seed_from_proc(std::path::Path::new("/proc")).unwrap();
        let snapshot = enricher.snapshot();
        let text = serde_json::to_string(&snapshot).unwrap();
        let mut other = Enricher::new(super::super::EnrichOptions::default());
        other.restore(&serde_json::from_str(&text).unwrap());
        let sorted = |mut snapshot: Snapshot| {
            snapshot.processes.sort_by_key(|process| process.pid);
            snapshot
        };
        assert_eq!(sorted(other.snapshot()), sorted(snapshot));
    }
}
