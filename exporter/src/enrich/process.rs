//! A process and the program it runs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use exporter_common::record::{FileInfo, Header};

use super::cgroup::Cgroup;

/// Nanoseconds of one tick of `/proc/PID/stat`'s start time (`USER_HZ` is 100 on every architecture that
/// BPF is used on).
pub const TICK_NS: u64 = 10_000_000;

/// When a process started: with its id the identity of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nanoseconds since boot.
    Exact(u64),
    /// Ticks since boot, from `/proc`, until an event tells the exact value.
    Ticks(u64),
}

impl Start {
    /// Whether two starts are the same, as far as they are known.
    pub fn is(self, other: impl Into<Start>) -> bool {
        match (self, other.into()) {
            (Start::Exact(ns), Start::Exact(other)) => ns == other,
            (Start::Ticks(ticks), Start::Ticks(other)) => ticks == other,
            (Start::Ticks(ticks), Start::Exact(ns)) | (Start::Exact(ns), Start::Ticks(ticks)) => {
                ticks == ns / TICK_NS
            }
        }
    }

    /// Nanoseconds since boot, exact to a tick at least.
    pub fn ns(self) -> u64 {
        match self {
            Start::Exact(ns) => ns,
            Start::Ticks(ticks) => ticks.saturating_mul(TICK_NS),
        }
    }
}

/// What an event says is exact.
impl From<u64> for Start {
    fn from(ns: u64) -> Start {
        Start::Exact(ns)
    }
}

/// The file that a process executes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExeFile {
    /// 0 if unknown.
    pub ino: u64,
    pub ctime_ns: u64,
    pub mtime_ns: u64,
    /// `FILE_*` bits of `exporter_common::record`; `None` if unknown: `/proc` does not tell them.
    pub flags: Option<u32>,
}

impl From<&FileInfo> for ExeFile {
    fn from(file: &FileInfo) -> ExeFile {
        ExeFile { ino: file.ino, ctime_ns: file.ctime_ns, mtime_ns: file.mtime_ns, flags: Some(file.flags) }
    }
}

/// What an exec sets: shared by a process and the children it forks, until they exec.
#[derive(Debug, Default)]
pub struct Image {
    /// Resolved path of the executable; `None` if unknown.
    pub exepath: Option<Box<[u8]>>,
    /// argv[0], and the other arguments separated by blanks.
    exeline: Box<[u8]>,
    exe_len: usize,
    /// Number of arguments after argv[0].
    pub nargs: u32,
    /// The name of the process at exec; `cmdline` begins with it.
    comm: [u8; 16],
    cmdline: Box<[u8]>,
    /// Environment, each entry followed by a NUL; `None` if it was not collected.
    pub env: Option<Box<[u8]>>,
    pub file: ExeFile,
    charge: Option<Charge>,
}

/// Counts the bytes of all images that are alive.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicUsize>);

impl Meter {
    /// Counts an image until its last holder drops it.
    pub fn charge(&self, mut image: Image) -> Arc<Image> {
        let bytes = image.size();
        self.0.fetch_add(bytes, Relaxed);
        image.charge = Some(Charge { bytes, meter: self.clone() });
        Arc::new(image)
    }

    pub fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }
}

#[derive(Debug)]
struct Charge {
    bytes: usize,
    meter: Meter,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.0.fetch_sub(self.bytes, Relaxed);
    }
}

/// Bounds of what is kept of one exec, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct ImageLimits {
    pub args: usize,
    pub env: usize,
}

/// The path of a memfd, which is in no folder: `memfd:NAME`, as Falco writes it. The kernel prints `/memfd:NAME`.
fn without_root(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").filter(|name| name.starts_with(b"memfd:")).unwrap_or(path)
}

impl Image {
    /// `argv` and `env` as the kernel keeps them: each string followed by a NUL.
    pub fn new(
        comm: [u8; 16],
        exepath: Option<&[u8]>,
        argv: &[u8],
        env: Option<&[u8]>,
        file: ExeFile,
        limits: ImageLimits,
    ) -> Image {
        let argv = argv.get(..limits.args).unwrap_or(argv);
        let argv = argv.strip_suffix(b"\0").unwrap_or(argv);
        let exe_len = memchr::memchr(0, argv).unwrap_or(argv.len());
        let exeline: Box<[u8]> = argv.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
        let mut image = Image {
            exepath: exepath.map(without_root).map(Into::into),
            exe_len,
            nargs: memchr::memchr_iter(0, argv).count() as u32,
            exeline,
            comm,
            cmdline: Box::default(),
            env: env.filter(|_| limits.env > 0).map(|env| env.get(..limits.env).unwrap_or(env).into()),
            file,
            charge: None,
        };
        image.cmdline = image.cmdline_with(&comm).into();
        image
    }

    /// From what another image says of itself.
    pub fn from_parts(
        comm: [u8; 16],
        exepath: Option<&[u8]>,
        exe: &[u8],
        args: Option<&[u8]>,
        nargs: u32,
        env: Option<&[u8]>,
        file: ExeFile,
    ) -> Image {
        let mut exeline = exe.to_vec();
        if let Some(args) = args {
            exeline.push(b' ');
            exeline.extend_from_slice(args);
        }
        let mut image = Image {
            exepath: exepath.map(without_root).map(Into::into),
            exe_len: exe.len(),
            nargs,
            exeline: exeline.into(),
            comm,
            cmdline: Box::default(),
            env: env.map(Into::into),
            file,
            charge: None,
        };
        image.cmdline = image.cmdline_with(&comm).into();
        image
    }

    /// The name at exec.
    pub fn comm(&self) -> [u8; 16] {
        self.comm
    }

    /// argv[0].
    pub fn exe(&self) -> &[u8] {
        self.exeline.get(..self.exe_len).unwrap_or_default()
    }

    /// The arguments after argv[0], separated by blanks.
    pub fn args(&self) -> &[u8] {
        self.exeline.get(self.exe_len + 1..).unwrap_or_default()
    }

    /// argv[0] and the other arguments.
    pub fn exeline(&self) -> &[u8] {
        &self.exeline
    }

    /// The name and the arguments, if the process still has the name it had at exec.
    pub fn cmdline(&self, comm: &[u8; 16]) -> Option<&[u8]> {
        (self.comm == *comm).then_some(&self.cmdline)
    }

    /// The name and the arguments, as Falco joins them.
    pub fn cmdline_with(&self, comm: &[u8; 16]) -> Vec<u8> {
        let mut line = name_of(comm).to_vec();
        if self.nargs > 0 {
            line.push(b' ');
            line.extend_from_slice(self.args());
        }
        line
    }

    /// Heap and own size in bytes.
    pub fn size(&self) -> usize {
        size_of::<Image>()
            + self.exepath.as_ref().map_or(0, |path| path.len())
            + self.exeline.len()
            + self.cmdline.len()
            + self.env.as_ref().map_or(0, |env| env.len())
    }
}

/// A task's name up to its first NUL.
pub fn name_of(comm: &[u8; 16]) -> &[u8] {
    comm.get(..memchr::memchr(0, comm).unwrap_or(comm.len())).unwrap_or_default()
}

/// A process as the table keeps it: what its descendants' events need to know. Facts of the process that
/// an event is about come from the event itself.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub start: Start,
    pub ppid: u32,
    pub parent_start: Start,
    pub vpid: u32,
    pub pgid: u32,
    pub sid: u32,
    pub tty: u32,
    pub comm: [u8; 16],
    /// `None` if neither an exec nor `/proc` told it.
    pub image: Option<Arc<Image>>,
    pub cgroup: Option<Arc<Cgroup>>,
    /// In another mount namespace than the host's first process.
    pub foreign_mounts: bool,
    pub exited: bool,
    /// Event number of the last use.
    pub used: u64,
}

impl Process {
    /// The process that made an event.
    pub fn from_header(header: &Header) -> Process {
        let mut process = Process {
            pid: header.pid,
            start: Start::Exact(header.start_ns),
            ppid: 0,
            parent_start: Start::Exact(0),
            vpid: 0,
            pgid: 0,
            sid: 0,
            tty: 0,
            comm: header.comm,
            image: None,
            cgroup: None,
            foreign_mounts: false,
            exited: false,
            used: 0,
        };
        process.refresh(header);
        process
    }

    /// Takes over what an event says. The name is the main thread's: another thread's name is its own.
    pub fn refresh(&mut self, header: &Header) {
        self.start = Start::Exact(header.start_ns);
        self.ppid = header.ppid;
        self.parent_start = Start::Exact(header.parent_start_ns);
        self.vpid = header.vpid;
        self.pgid = header.pgid;
        self.sid = header.sid;
        self.tty = header.tty;
        self.exited = false;
        if header.tid == header.pid {
            self.comm = header.comm;
        }
    }

    pub fn name(&self) -> &[u8] {
        name_of(&self.comm)
    }

    /// Nothing but ids is known of it: it was named by a descendant only.
    pub fn is_stub(&self) -> bool {
        self.image.is_none() && self.name().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ImageLimits = ImageLimits { args: 100, env: 100 };

    fn comm(name: &str) -> [u8; 16] {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name.as_bytes());
        comm
    }

    #[test]
    fn lines_are_joined_as_in_falco() {
        for (argv, exe, args, nargs, cmdline) in [
            ("cat\0/etc/shadow\0", "cat", "/etc/shadow", 1, "c /etc/shadow"),
            ("cat\0", "cat", "", 0, "c"),
            ("", "", "", 0, "c"),
            ("\0", "", "", 0, "c"),
            ("\0-x\0", "", "-x", 1, "c -x"),
            ("a b\0c d\0\0", "a b", "c d ", 2, "c c d "),
            ("cut\0wit", "cut", "wit", 1, "c wit"),
        ] {
            let image = Image::new(comm("c"), None, argv.as_bytes(), None, ExeFile::default(), LIMITS);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            assert_eq!((text(image.exe()), text(image.args())), (exe.into(), args.into()), "{argv:?}");
            assert_eq!(image.nargs, nargs, "{argv:?}");
            assert_eq!(text(image.cmdline(&comm("c")).unwrap()), cmdline, "{argv:?}");
            assert_eq!(image.cmdline(&comm("other")), None);
            assert_eq!(text(&image.cmdline_with(&comm("other"))), cmdline.replacen('c', "other", 1));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let limits = ImageLimits { args: 4, env: 3 };
        let image =
            Image::new(comm("c"), None, b"ab\0cdef\0", Some(b"A=1\0B=2\0"), ExeFile::default(), limits);
        assert_eq!(image.exeline(), b"ab c");
        assert_eq!(image.env.as_deref(), Some(&b"A=1"[..]));
        let limits = ImageLimits { args: 4, env: 0 };
        let image = Image::new(comm("c"), None, b"ab\0", Some(b"A=1\0"), ExeFile::default(), limits);
        assert_eq!(image.env, None, "none is kept");
    }

    #[test]
    fn a_start_in_ticks_is_that_of_every_nanosecond_in_the_tick() {
        for (start, ns, is) in [
            (Start::Exact(20), 20, true),
            (Start::Exact(20), 21, false),
            (Start::Ticks(2), 2 * TICK_NS, true),
            (Start::Ticks(2), 3 * TICK_NS - 1, true),
            (Start::Ticks(2), 3 * TICK_NS, false),
            (Start::Ticks(2), 2 * TICK_NS - 1, false),
        ] {
            assert_eq!(start.is(ns), is, "{start:?} {ns}");
            assert_eq!(Start::Exact(ns).is(start), is, "{ns} {start:?}");
        }
        assert!(Start::Ticks(2).is(Start::Ticks(2)) && !Start::Ticks(2).is(Start::Ticks(3)));
    }
}
