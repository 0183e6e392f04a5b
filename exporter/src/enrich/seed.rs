//! The processes that run already, from `/proc`: at start, and for ids that only a descendant named.
//!
//! Not for the hot path. A process that ends while it is read is skipped: its exit is in the ring.

use std::{
    ffi::OsStr,
    fs, io,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::time::{ClockId, clock_gettime};

use super::{
    Enricher,
    cgroup::Cgroup,
    process::{ExeFile, Image, ImageLimits, Process, Start},
};

/// What reading `/proc` brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeedReport {
    pub processes: u64,
    /// Ended while they were read.
    pub vanished: u64,
}

/// Nanoseconds since the epoch at which the machine booted, by its clocks now.
pub fn boot_time_ns() -> u64 {
    let ns = |clock| {
        let time = clock_gettime(clock);
        let (sec, nsec) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
        sec.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nsec.unwrap_or(0))
    };
    ns(ClockId::Realtime).saturating_sub(ns(ClockId::Boottime))
}

/// The number in a link like `mnt:[4026531841]`, 0 if it cannot be read.
pub fn namespace(link: &Path) -> u32 {
    let Ok(target) = fs::read_link(link) else { return 0 };
    let number = || target.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok();
    number().unwrap_or(0)
}

/// The host's mount namespace, 0 if it cannot be known. Without `CAP_SYS_PTRACE` the first process cannot be looked at;
/// then our own counts if its number is one that only the namespace made at boot can have.
fn host_mount_namespace(proc_root: &Path) -> u32 {
    /// Fixed since Linux 6.18 (`MNT_NS_INIT_INO`), and the first two that were given before.
    const AT_BOOT: [u32; 3] = [0xEFFF_FFF8, 0xF000_0000, 0xF000_0001];
    match namespace(&proc_root.join("1/ns/mnt")) {
        0 => Some(namespace(&proc_root.join("self/ns/mnt"))).filter(|own| AT_BOOT.contains(own)).unwrap_or(0),
        first => first,
    }
}

impl Enricher {
    /// Reads all processes. Call it after the process hooks are attached and before the first event is
    /// observed: then nothing is missed, and what the events say is newer.
    pub fn seed_from_proc(&mut self, proc_root: &Path) -> io::Result<SeedReport> {
        if self.host_mnt_ns == 0 {
            self.host_mnt_ns = host_mount_namespace(proc_root);
        }
        let mut report = SeedReport::default();
        for entry in fs::read_dir(proc_root)? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match self.read(proc_root, pid) {
                Some(process) => {
                    self.table.insert(process);
                    report.processes += 1;
                }
                None => report.vanished += 1,
            }
        }
        Ok(report)
    }

    /// Looks up at most `limit` processes that only a descendant named. Returns how many were found. For
    /// moments when the ring is empty.
    pub fn complete_from_proc(&mut self, proc_root: &Path, limit: usize) -> usize {
        let mut found = 0;
        for _ in 0..limit {
            let Some((pid, start_ns)) = self.wanted.pop_front() else { break };
            if self.table.get(pid, start_ns).is_none_or(|process| process.image.is_some()) {
                continue;
            }
            let Some(read) = self.read(proc_root, pid).filter(|read| read.start.is(start_ns)) else {
                continue;
            };
            if let Some(process) = self.table.get_mut(pid, start_ns) {
                // What an event said meanwhile is newer than nothing, but not complete.
                let (start, used) = (process.start, process.used);
                *process = Process { start, used, ..read };
                found += 1;
            }
        }
        found
    }

    fn read(&mut self, proc_root: &Path, pid: u32) -> Option<Process> {
        let dir = proc_root.join(pid.to_string());
        let stat = Stat::parse(&read(&dir.join("stat"), 4096)?)?;
        let mut process = Process {
            pid,
            start: Start::Ticks(stat.start_ticks),
            ppid: stat.ppid,
            parent_start: Start::Exact(0),
            vpid: vpid(&dir).unwrap_or(pid),
            pgid: stat.pgid,
            sid: stat.sid,
            tty: stat.tty,
            comm: stat.comm,
            image: None,
            cgroup: None,
            foreign_mounts: false,
            exited: false,
            used: 0,
        };
        if let Some(parent) = read(&proc_root.join(stat.ppid.to_string()).join("stat"), 4096)
            .and_then(|text| Stat::parse(&text))
        {
            process.parent_start = Start::Ticks(parent.start_ticks);
        }
        let mnt_ns = namespace(&dir.join("ns/mnt"));
        process.foreign_mounts = self.host_mnt_ns != 0 && mnt_ns != 0 && mnt_ns != self.host_mnt_ns;
        process.cgroup = self.read_cgroup(proc_root, &dir);
        if let Some(cgroup) = &process.cgroup {
            self.cgroups.ask(cgroup, process.foreign_mounts);
        }
        let image = read_image(&dir, stat.comm, self.limits);
        process.image = Some(self.table.charge(image));
        Some(process)
    }

    fn read_cgroup(&mut self, proc_root: &Path, dir: &Path) -> Option<Arc<Cgroup>> {
        let path = cgroup_path(&read(&dir.join("cgroup"), 64 * 1024)?)?;
        let relative = Path::new(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(&path))).to_owned();
        let root = proc_root.parent().unwrap_or(Path::new("/")).join("sys/fs/cgroup");
        let id = [PathBuf::from("unified"), PathBuf::new()]
            .iter()
            .find_map(|hierarchy| fs::metadata(root.join(hierarchy).join(&relative)).ok())
            .map_or(0, |meta| meta.ino());
        Some(self.cgroups.make(id, &path))
    }
}

fn read_image(dir: &Path, comm: [u8; 16], limits: ImageLimits) -> Image {
    let exe = dir.join("exe");
    let exepath = fs::read_link(&exe).ok().map(|path| {
        let path = path.as_os_str().as_bytes();
        path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec()
    });
    let file = fs::metadata(&exe).map_or_else(
        |_| ExeFile::default(),
        |meta| ExeFile {
            ino: meta.ino(),
            ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            flags: None,
        },
    );
    let argv = read(&dir.join("cmdline"), limits.args as u64).unwrap_or_default();
    let env = read(&dir.join("environ"), limits.env as u64);
    Image::new(comm, exepath.as_deref(), &argv, env.as_deref(), file, limits)
}

fn nanoseconds(sec: i64, nsec: i64) -> u64 {
    u64::try_from(sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(nsec).unwrap_or(0))
}

fn read(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path).ok()?.take(limit).read_to_end(&mut text).ok()?;
    Some(text)
}

/// What `/proc/PID/stat` says.
struct Stat {
    comm: [u8; 16],
    ppid: u32,
    pgid: u32,
    sid: u32,
    tty: u32,
    start_ticks: u64,
}

impl Stat {
    /// The name is between the first `(` and the last `)`: it may hold both, and blanks.
    fn parse(text: &[u8]) -> Option<Stat> {
        let open = memchr::memchr(b'(', text)?;
        let close = memchr::memrchr(b')', text)?;
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().take(15).zip(text.get(open + 1..close)?) {
            *to = *from;
        }
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let columns: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| columns.get(index)?.parse::<i64>().ok();
        // Columns are counted from the state, the third of proc(5).
        let id = |index| number(index).map(|id| u32::try_from(id).unwrap_or(0));
        Some(Stat {
            comm,
            ppid: id(1)?,
            pgid: id(2)?,
            sid: id(3)?,
            tty: number(4)? as u32,
            start_ticks: u64::try_from(number(19)?).ok()?,
        })
    }
}

/// The innermost id of `NSpid:` in `/proc/PID/status`.
fn vpid(dir: &Path) -> Option<u32> {
    let text = read(&dir.join("status"), 16 * 1024)?;
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().next_back()?.parse().ok()
}

/// The v2 path, unless that is the root and a v1 hierarchy knows better: what the kernel side sends too.
fn cgroup_path(text: &[u8]) -> Option<Vec<u8>> {
    let mut v2 = None;
    let mut v1 = None;
    for line in text.split(|byte| *byte == b'\n') {
        let mut columns = line.splitn(3, |byte| *byte == b':');
        let (Some(id), Some(_), Some(path)) = (columns.next(), columns.next(), columns.next()) else {
            continue;
        };
        let mut path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        // Seen from inside a cgroup namespace, a path outside it begins with "..".
        while let Some(inner) = path.strip_prefix(b"/..") {
            path = inner;
        }
        match id {
            b"0" => v2 = Some(path),
            _ if path != b"/" => v1 = v1.or(Some(path)),
            _ => {}
        }
    }
    v2.filter(|path| *path != b"/").or(v1).or(v2).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_read_whatever_the_name() {
        let tail = "S 7 8 9 34816 8 4194304 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2 3";
        for (name, comm) in [
            ("cat", "cat"),
            ("a b", "a b"),
            (") R 1 1 1", ") R 1 1 1"),
            ("((x))", "((x))"),
            ("", ""),
            ("sixteen-and-more-bytes", "sixteen-and-mor"),
        ] {
            let stat = Stat::parse(format!("5 ({name}) {tail}\n").as_bytes()).unwrap();
            assert_eq!(super::super::process::name_of(&stat.comm), comm.as_bytes());
            let Stat { ppid, pgid, sid, tty, start_ticks, .. } = stat;
            assert_eq!((ppid, pgid, sid, tty, start_ticks), (7, 8, 9, 34816, 123_456));
        }
        for bad in ["", "5", "5 (x", "5 (x) S 1 2", "5 )x( S 7 8 9"] {
            assert!(Stat::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_cgroup_is_v2_unless_only_v1_knows() {
        for (text, expected) in [
            ("0::/user.slice\n", Some("/user.slice")),
            ("12:pids:/docker/x\n1:name=systemd:/docker/x\n0::/\n", Some("/docker/x")),
            ("12:pids:/docker/x\n0::/real\n", Some("/real")),
            ("12:pids:/\n0::/\n", Some("/")),
            ("0::/../../kubepods/x\n", Some("/kubepods/x")),
            ("0::/gone (deleted)\n", Some("/gone")),
            ("garbage\n", None),
        ] {
            assert_eq!(
                cgroup_path(text.as_bytes()).map(|p| String::from_utf8(p).unwrap()).as_deref(),
                expected
            );
        }
    }

    #[test]
    fn this_process_is_found() {
        let mut enricher = Enricher::new(super::super::EnrichOptions::default());
        let report = enricher.seed_from_proc(Path::new("/proc")).unwrap();
        assert!(report.processes > 1);
        let pid = std::process::id();
        let process = enricher.table.by_pid(pid).unwrap();
        let image = process.image.as_ref().unwrap();
        assert_eq!(image.exepath.as_deref(), std::env::current_exe().unwrap().to_str().map(str::as_bytes));
        assert!(image.env.is_some());
        let parent = enricher.table.get(process.ppid, process.parent_start).unwrap();
        assert_eq!(parent.pid, std::os::unix::process::parent_id());
        assert!(process.cgroup.is_some());
    }

    /// A late event of a child does not bring back a parent whose id another process has by now.
    #[test]
    fn a_gone_parent_does_not_displace_its_successor() {
        use crate::{decode::decode, event::builder::RecordBuilder};
        use exporter_common::event_type::EventType;
        let mut enricher = Enricher::new(super::super::EnrichOptions::default());
        for (pid, start, parent_start, comm) in [(20, 500, 1, "successor"), (30, 200, 100, "child")] {
            let record = RecordBuilder::new(EventType::Kill).process(pid, start);
            let bytes = record.parent(if pid == 30 { 20 } else { 1 }, parent_start).comm(comm).build();
            let event = decode(&bytes).unwrap();
            enricher.observe(&event);
        }
        assert_eq!(enricher.table.by_pid(20).unwrap().name(), b"successor");
        assert!(enricher.table.get(20, 100).is_none());
    }

    /// A parent that an event made exact is still the parent of a child that only `/proc` told.
    #[test]
    fn ticks_and_nanoseconds_meet() {
        use crate::{decode::decode, event::builder::RecordBuilder, fields::*};
        let mut enricher = Enricher::new(super::super::EnrichOptions::default());
        for (pid, ppid) in [(1, 0), (20, 1), (30, 20), (40, 30)] {
            let header = RecordBuilder::new(exporter_common::event_type::EventType::Open).header;
            let mut process = Process::from_header(&header);
            (process.pid, process.ppid) = (pid, ppid);
            (process.start, process.parent_start) = (Start::Ticks(pid.into()), Start::Ticks(ppid.into()));
            process.comm = [0; 16];
            process.comm[0] = b'a' + pid as u8 / 10;
            enricher.table.insert(process);
        }
        let event = |pid: u32, ppid: u32| {
            let start = |pid: u32| u64::from(pid) * super::super::process::TICK_NS + 5;
            let record = RecordBuilder::new(exporter_common::event_type::EventType::Kill);
            record.process(pid, start(pid)).parent(ppid, start(ppid)).comm("x").build()
        };
        let names = |enricher: &mut Enricher, bytes: &[u8]| {
            let event = decode(bytes).unwrap();
            let view = enricher.observe(&event);
            let field = scheme().resolve(Source::Syscall, "proc.aname", None).unwrap();
            let Some(Value::List(names)) = view.get(&field) else { panic!() };
            names.iter().map(|name| matches!(name, Value::Str(s) if !s.is_empty())).collect::<Vec<_>>()
        };
        assert_eq!(names(&mut enricher, &event(20, 1)), [true]);
        assert_eq!(names(&mut enricher, &event(40, 30)), [true; 3], "30, 20, 1");
        assert_eq!(enricher.stats().incomplete, 0);
    }
}
