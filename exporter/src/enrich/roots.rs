//! Users and groups of processes with another root than the host's: those of their own `/etc/passwd` and `/etc/group`.
//!
//! The hot path asks ([`Asker`]) and looks up what is known; a thread of its own ([`Reader`]) opens files. Until it has
//! read them a name is absent, so that a detection says `incomplete_fields` rather than a name of the host; only user
//! and group 0 are `root`, as everywhere.
//!
//! What is read belongs to the container, and is as hostile: a path is resolved below the process's root (no link leads
//! out), only a regular file of the root's own file system is opened, its length is bounded, and a root that a program
//! serves (FUSE) is left alone, because reading it could take for ever.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2, readlinkat};

use super::{lru::LruMap, users::UserDb};
use crate::metrics::RootCounters;

/// Databases by mount namespace.
pub type RootUsers = FxHashMap<u32, Arc<UserDb>>;

/// Namespaces of which users are known.
const MAX_ROOTS: usize = 512;
/// Longest user or group file that is read; of a longer one this much.
const MAX_FILE: u64 = 32 << 10;
/// Longest list of mounts that is looked at.
const MAX_MOUNTS: u64 = 1 << 20;
/// Questions waiting for the reader.
const MAX_WAITING: usize = 256;
/// Known files are looked at again after this time, by nanoseconds of events.
const AGAIN_NS: u64 = 10_000_000_000;
/// Unknown ones, too: the process that was to lead to them may have ended.
const RETRY_NS: u64 = 100_000_000;
/// What nobody asked for in this time is forgotten.
const EXPIRY: Duration = Duration::from_secs(600);

/// A process through whose root a namespace's users can be read.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    mnt_ns: u32,
    pid: u32,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    first_ns: u64,
    last_ns: u64,
}

/// The hot path's side: never waits.
#[derive(Debug)]
pub struct Asker {
    asked: LruMap<u32, Asked>,
    questions: Option<SyncSender<Question>>,
    refused: u64,
}

impl Asker {
    /// Without a reader nothing is asked, and nothing is ever known.
    pub fn new(questions: Option<SyncSender<Question>>) -> Asker {
        Asker { asked: LruMap::new(2 * MAX_ROOTS), questions, refused: 0 }
    }

    /// Asks for the users of a namespace if it is time to. A container begins with the host's root and changes it
    /// just before it executes its program: so a young one's execs always ask.
    pub fn ask(&mut self, mnt_ns: u32, pid: u32, known: bool, is_exec: bool, now_ns: u64) {
        let Some(questions) = &self.questions else { return };
        if let Some(asked) = self.asked.get(mnt_ns) {
            let since = |then_ns| now_ns.saturating_sub(then_ns);
            let wait = if known { AGAIN_NS } else { RETRY_NS };
            let young = is_exec && since(asked.first_ns) < AGAIN_NS;
            if since(asked.last_ns) < wait && !young {
                return;
            }
            asked.last_ns = now_ns;
        } else {
            self.asked.insert(mnt_ns, Asked { first_ns: now_ns, last_ns: now_ns });
        }
        self.refused += u64::from(questions.try_send(Question { mnt_ns, pid }).is_err());
    }

    /// Questions that the reader had no room for.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// What a file was when it was read: its file system, number, time of change and length.
type Seen = Option<(u64, u64, i64, u64, i64)>;

#[derive(Debug)]
struct Known {
    seen: [Seen; 2],
    db: Arc<UserDb>,
    used: Instant,
}

/// Reads users where it is asked to.
#[derive(Debug)]
pub struct Reader {
    proc_root: PathBuf,
    known: FxHashMap<u32, Known>,
    current: Arc<ArcSwap<RootUsers>>,
    counters: Arc<RootCounters>,
}

/// The reader's questions: how to put them, and where they arrive.
pub fn questions() -> (SyncSender<Question>, Receiver<Question>) {
    sync_channel(MAX_WAITING)
}

impl Reader {
    pub fn new(proc_root: &Path, current: Arc<ArcSwap<RootUsers>>, counters: Arc<RootCounters>) -> Reader {
        Reader { proc_root: proc_root.to_owned(), known: FxHashMap::default(), current, counters }
    }

    /// Answers until nobody asks any more.
    pub fn run(mut self, questions: &Receiver<Question>) {
        while let Ok(question) = questions.recv() {
            self.answer(question, Instant::now());
        }
    }

    fn answer(&mut self, Question { mnt_ns, pid }: Question, now: Instant) {
        let before = self.known.len();
        self.known.retain(|_, known| now.duration_since(known.used) < EXPIRY);
        let mut changed = self.known.len() != before;
        let seen = self.known.get(&mnt_ns).map(|known| known.seen);
        match read(&self.proc_root, mnt_ns, pid, seen) {
            Ok(Some((seen, db))) => {
                if !self.known.contains_key(&mnt_ns) && self.known.len() >= MAX_ROOTS {
                    let oldest = self.known.iter().min_by_key(|(_, known)| known.used).map(|(ns, _)| *ns);
                    oldest.and_then(|oldest| self.known.remove(&oldest));
                    self.counters.evicted.add(1);
                }
                self.known.insert(mnt_ns, Known { seen, db: Arc::new(db), used: now });
                changed = true;
            }
            Ok(None) => {
                if let Some(known) = self.known.get_mut(&mnt_ns) {
                    known.used = now;
                }
            }
            Err(error) => {
                self.counters.failed.add(1);
                tracing::debug!(pid, %error, "cannot read the users of a container");
            }
        }
        if changed {
            self.counters.known.set(self.known.len() as u64);
            let databases = self.known.iter().map(|(ns, known)| (*ns, Arc::clone(&known.db)));
            self.current.store(Arc::new(databases.collect()));
        }
    }
}

/// The users that a process sees, if they are others than `seen`. A missing file has no entries.
fn read(
    proc_root: &Path,
    mnt_ns: u32,
    pid: u32,
    seen: Option<[Seen; 2]>,
) -> io::Result<Option<([Seen; 2], UserDb)>> {
    // Held open it stays this process's, whoever gets the number next.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let process = open(proc_root.join(pid.to_string()), flags, Mode::empty())?;
    let text = |name: &str, bound| -> io::Result<Vec<u8>> {
        let file = openat(&process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = Vec::new();
        fs::File::from(file).take(bound).read_to_end(&mut text)?;
        Ok(text)
    };
    let root = openat(&process, "root", flags, Mode::empty())?;
    let link = readlinkat(&process, "ns/mnt", Vec::new())?;
    if link.to_bytes() != format!("mnt:[{mnt_ns}]").as_bytes() {
        return Err(io::Error::other("the process is in another mount namespace by now"));
    }
    if served_by_a_program(&text("mountinfo", MAX_MOUNTS)?) {
        return Err(io::Error::other("its root is a file system that a program serves"));
    }
    let found = |path: &str| -> io::Result<Option<(rustix::fd::OwnedFd, Seen)>> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        // Found before it is opened: opening a device can do something.
        let file = match openat2(&root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other(format!("{path} is no regular file")));
        }
        let seen = (stat.st_dev, stat.st_ino, stat.st_mtime, stat.st_mtime_nsec, stat.st_size);
        Ok(Some((file, Some(seen))))
    };
    let files = [found("etc/passwd")?, found("etc/group")?];
    let now = [0, 1].map(|index: usize| files.get(index).and_then(|file| file.as_ref()?.1));
    if seen == Some(now) {
        return Ok(None);
    }
    let [passwd, group] = files.map(|file| -> io::Result<Vec<u8>> {
        use rustix::fd::AsRawFd;
        let Some((file, _)) = file else { return Ok(Vec::new()) };
        let again = format!("/proc/self/fd/{}", file.as_raw_fd());
        let file = openat(CWD, again, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = Vec::new();
        fs::File::from(file).take(MAX_FILE).read_to_end(&mut text)?;
        Ok(text)
    });
    Ok(Some((now, UserDb::parse(&passwd?, &group?))))
}

/// Whether the root is a FUSE mount, by the process's list of mounts.
fn served_by_a_program(mounts: &[u8]) -> bool {
    mounts.split(|byte| *byte == b'\n').any(|line| {
        let mut columns = line.split(|byte| *byte == b' ');
        let at_root = columns.nth(4) == Some(b"/");
        let kind = columns.skip_while(|column| *column != b"-").nth(1).unwrap_or_default();
        at_root && kind.starts_with(b"fuse")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const MOUNTS: &str = "22 1 0:20 / / rw - overlay overlay rw\n23 22 0:21 / /x rw - fuse x rw\n";

    /// A folder like `/proc` with process 5, whose root is `/root` in it, and a host file beside that.
    struct Proc(tempfile::TempDir);

    impl Proc {
        fn new() -> Proc {
            let dir = tempfile::tempdir().unwrap();
            for folder in ["5/ns", "root/etc", "host"] {
                fs::create_dir_all(dir.path().join(folder)).unwrap();
            }
            fs::write(dir.path().join("host/passwd"), "host:x:1:::\n").unwrap();
            fs::write(dir.path().join("root/etc/passwd"), "own:x:1:::\n").unwrap();
            fs::write(dir.path().join("5/mountinfo"), MOUNTS).unwrap();
            symlink("../root", dir.path().join("5/root")).unwrap();
            symlink("mnt:[42]", dir.path().join("5/ns/mnt")).unwrap();
            Proc(dir)
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        /// The name of user 1 in namespace 42, `-` if it has none, or what is wrong.
        fn name(&self) -> String {
            match read(self.0.path(), 42, 5, None) {
                Ok(Some((_, db))) => {
                    db.user(1).map_or("-".into(), |user| String::from_utf8_lossy(&user.name).into_owned())
                }
                Ok(None) => "unchanged".into(),
                Err(error) => error.to_string(),
            }
        }
    }

    #[test]
    fn only_the_containers_own_regular_files_are_read() {
        type Change = fn(&Proc);
        let rows: &[(&str, Change, &str)] = &[
            ("a file", |_| {}, "own"),
            ("none", |proc| fs::remove_file(proc.path("root/etc/passwd")).unwrap(), "-"),
            ("no /etc", |proc| fs::remove_dir_all(proc.path("root/etc")).unwrap(), "-"),
            (
                "a link up and out",
                |proc| {
                    fs::remove_file(proc.path("root/etc/passwd")).unwrap();
                    symlink("../../../../host/passwd", proc.path("root/etc/passwd")).unwrap();
                },
                "-",
            ),
            (
                "an absolute link to a host path",
                |proc| {
                    fs::remove_file(proc.path("root/etc/passwd")).unwrap();
                    symlink(proc.path("host/passwd"), proc.path("root/etc/passwd")).unwrap();
                },
                "-",
            ),
            (
                "a link inside",
                |proc| {
                    fs::rename(proc.path("root/etc/passwd"), proc.path("root/users")).unwrap();
                    symlink("/users", proc.path("root/etc/passwd")).unwrap();
                },
                "own",
            ),
            (
                "a folder",
                |proc| {
                    fs::remove_file(proc.path("root/etc/passwd")).unwrap();
                    fs::create_dir(proc.path("root/etc/passwd")).unwrap();
                },
                "etc/passwd is no regular file",
            ),
            (
                "a pipe that nobody writes",
                |proc| {
                    let path = proc.path("root/etc/passwd");
                    fs::remove_file(&path).unwrap();
                    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
                },
                "etc/passwd is no regular file",
            ),
            (
                "longer than is read",
                |proc| {
                    let mut text = "own:x:1:::\n".repeat(4000);
                    text.push_str("late:x:2:::\n");
                    fs::write(proc.path("root/etc/passwd"), text).unwrap();
                },
                "own",
            ),
            (
                "a root that a program serves",
                |proc| fs::write(proc.path("5/mountinfo"), MOUNTS.replace("overlay o", "fuse.x o")).unwrap(),
                "its root is a file system that a program serves",
            ),
            (
                "another namespace",
                |proc| {
                    fs::remove_file(proc.path("5/ns/mnt")).unwrap();
                    symlink("mnt:[43]", proc.path("5/ns/mnt")).unwrap();
                },
                "the process is in another mount namespace by now",
            ),
        ];
        for (what, change, expected) in rows {
            let proc = Proc::new();
            change(&proc);
            assert_eq!(proc.name(), *expected, "{what}");
        }
    }

    #[test]
    fn what_changed_is_read_again_and_what_is_unused_forgotten() {
        let proc = Proc::new();
        let current: Arc<ArcSwap<RootUsers>> = Arc::default();
        let counters: Arc<RootCounters> = Arc::default();
        let mut reader = Reader::new(proc.0.path(), Arc::clone(&current), Arc::clone(&counters));
        let name = |uid| {
            current
                .load()
                .get(&42)
                .and_then(|db| Some(String::from_utf8_lossy(&db.user(uid)?.name).into_owned()))
        };
        let now = Instant::now();
        let own = Question { mnt_ns: 42, pid: 5 };
        reader.answer(own, now);
        assert_eq!(name(1).as_deref(), Some("own"));
        fs::write(proc.path("root/etc/passwd"), "new:x:22:::\n").unwrap();
        reader.answer(own, now);
        assert_eq!((name(1), name(22).as_deref()), (None, Some("new")));
        // A process that is gone changes nothing, unless it is long since anybody asked.
        let gone = Question { mnt_ns: 9, pid: 6 };
        reader.answer(gone, now + EXPIRY / 2);
        assert_eq!((name(22).as_deref(), counters.failed.get()), (Some("new"), 1));
        reader.answer(gone, now + EXPIRY);
        assert_eq!((name(22), counters.known.get()), (None, 0));
    }

    #[test]
    fn questions_are_asked_in_time_and_bounded() {
        let (sender, receiver) = questions();
        let mut asker = Asker::new(Some(sender));
        let mut asks = |known, is_exec, now_ns| {
            asker.ask(1, 5, known, is_exec, now_ns);
            receiver.try_recv().is_ok()
        };
        for (known, is_exec, now_ns, expected) in [
            (false, false, 0, true),
            (false, false, RETRY_NS - 1, false),
            (false, false, RETRY_NS, true),
            (true, false, 2 * RETRY_NS, false),
            (true, true, 2 * RETRY_NS, true),
            (true, true, AGAIN_NS + 1, false),
            (true, false, AGAIN_NS + 2 * RETRY_NS, true),
        ] {
            assert_eq!(asks(known, is_exec, now_ns), expected, "{known} {is_exec} {now_ns}");
        }
        for mnt_ns in 2..1000 {
            asker.ask(mnt_ns, 5, false, false, 0);
        }
        assert_eq!(asker.refused(), 998 - MAX_WAITING as u64);
    }

    #[test]
    fn the_process_itself_is_read() {
        // The real /proc: the host's own files, by way of our root.
        let link = fs::read_link("/proc/self/ns/mnt").unwrap();
        let mnt_ns =
            link.to_str().unwrap().trim_start_matches("mnt:[").trim_end_matches(']').parse().unwrap();
        let read = read(Path::new("/proc"), mnt_ns, std::process::id(), None).unwrap();
        assert_eq!(&*read.unwrap().1.user(0).unwrap().name, b"root");
    }
}
