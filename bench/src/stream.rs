//! A stream of real events to decide about: recorded by a daemon from scripted activity, and kept under `target/`.

use std::{
    fs,
    fs::File,
    io::{BufReader, Write},
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use exporter_common::event_type::EventType;
use socket2::{Domain, Protocol, Socket, Type};
use yagura::{
    decode::decode,
    enrich::{EnrichOptions, Enricher, snapshot::Snapshot},
    recording::{Frame, Reader, records},
    rules::{RuleSet, Scratch},
};

use crate::daemon::{Daemon, Options};

/// Fewer events are not a stream to measure with.
const MIN_EVENTS: usize = 200_000;
/// What one round of the script does.
const OPENS: usize = 400;
const EXECS: usize = 10;
const CONNECTS: usize = 60;
const CHANGES: usize = 20;
const ROUNDS: usize = 200;
/// Makes the daemon report what the scripted activity does, whatever other rules want.
const EVERYTHING: &str = "
- rule: Nothing that happens
  desc: makes the kernel report these types
  condition: >
    evt.type in (open, openat, openat2, creat, execve, execveat, connect, accept, accept4, socket, bind, listen,
    sendto, recvfrom, rename, renameat, renameat2, unlink, unlinkat, mkdir, mkdirat, chmod, fchmodat, clone, clone3)
    and proc.name = no-such-program
  output: cannot be
  priority: DEBUG
";

/// Events of a recording, and the processes when it began.
#[derive(Debug)]
pub struct Stream {
    processes: Vec<Snapshot>,
    /// The records end to end; each has a length that is a multiple of 8.
    bytes: Vec<u8>,
}

impl Stream {
    /// The recording under `target/`; makes it first if there is none that can be read, which takes `yagura`, root
    /// and half a minute.
    pub fn cached(yagura: &Path) -> Result<Stream> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
        let path = folder.join("stream.yagura");
        if let Ok(stream) = Stream::read(&path) {
            return Ok(stream);
        }
        eprintln!("recording a stream of events");
        fs::create_dir_all(&folder)?;
        let new = folder.join("stream.new");
        let _ = fs::remove_file(&new);
        record(yagura, &new)?;
        let stream = Stream::read(&new)?;
        fs::rename(&new, &path)?;
        Ok(stream)
    }

    fn read(path: &Path) -> Result<Stream> {
        let mut reader = Reader::open(BufReader::new(File::open(path)?))?;
        let mut stream = Stream { processes: Vec::new(), bytes: Vec::new() };
        while let Some(frame) = reader.next_frame()? {
            match frame {
                Frame::Processes(json) => stream.processes.push(serde_json::from_slice(json)?),
                Frame::Events { bytes, .. } => stream.bytes.extend_from_slice(bytes),
            }
        }
        let events = stream.events().count();
        ensure!(events >= MIN_EVENTS, "{}: {events} events are fewer than {MIN_EVENTS}", path.display());
        Ok(stream)
    }

    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        records(&self.bytes)
    }

    /// The events of these types, to be decided about again and again; all events if there are none.
    pub fn pass(&self, types: &[EventType]) -> Result<Pass<'_>> {
        // What has exited stays, so that the events of one type find their processes.
        let mut enricher = Enricher::new(EnrichOptions {
            max_exited: usize::MAX,
            exited_ns: u64::MAX,
            max_process_bytes: usize::MAX,
            ..EnrichOptions::default()
        });
        self.processes.iter().for_each(|part| enricher.restore(part));
        let mut chosen = Vec::new();
        for record in self.events() {
            let event = decode(record)?;
            enricher.observe(&event);
            enricher.settle(&event);
            if types.is_empty() || types.contains(&event.event_type()) {
                chosen.push(record);
            }
        }
        ensure!(!chosen.is_empty(), "the stream has no {types:?}");
        Ok(Pass { events: chosen, next: 0, enricher, scratch: Scratch::default(), matches: 0 })
    }
}

/// Goes through events in the order in which they came, and from the start again after the last.
#[derive(Debug)]
pub struct Pass<'s> {
    events: Vec<&'s [u8]>,
    next: usize,
    enricher: Enricher,
    scratch: Scratch,
    matches: u64,
}

impl Pass<'_> {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Matches so far.
    pub fn matches(&self) -> u64 {
        self.matches
    }

    /// The time in which `count` events were decided about. What comes before and after a decision happens, and is
    /// not counted; nor is `clock`, what it takes to read a clock.
    #[inline(never)]
    pub fn evaluate(&mut self, set: &RuleSet, count: u64, clock: Duration) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..count {
            let Ok(event) = decode(self.events[self.next]) else { continue };
            let view = self.enricher.observe(&event);
            let begin = Instant::now();
            set.evaluate(&view, &mut self.scratch, |_| self.matches += 1);
            spent += begin.elapsed();
            self.enricher.settle(&event);
            self.next = (self.next + 1) % self.events.len();
        }
        spent.saturating_sub(clock * u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// The time from the records of `count` events to the end of their rules.
    #[inline(never)]
    pub fn handle(&mut self, set: &RuleSet, count: u64) -> Duration {
        let begin = Instant::now();
        for _ in 0..count {
            let Ok(event) = decode(self.events[self.next]) else { continue };
            let view = self.enricher.observe(&event);
            set.evaluate(&view, &mut self.scratch, |_| self.matches += 1);
            self.enricher.settle(&event);
            self.next = (self.next + 1) % self.events.len();
        }
        begin.elapsed()
    }
}

/// What reading the clock adds to a time between two readings.
pub fn clock_cost() -> Duration {
    const READINGS: u32 = 200_000;
    (0..READINGS).map(|_| Instant::now().elapsed()).sum::<Duration>() / READINGS
}

fn record(yagura: &Path, path: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rules = folder.path().join("everything.yaml");
    fs::write(&rules, EVERYTHING)?;
    let daemon = Daemon::start(Options {
        yagura,
        rules: &[rules],
        cpu: 1,
        config: "kernel:\n  push_down: false\n  ring_size: 64MiB\n",
        arguments: &["--record", path.to_str().context("the recording's path")?],
        stdout: false,
    })?;
    let files = files()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut files = files.iter().cycle();
    for round in 0..ROUNDS {
        for file in files.by_ref().take(OPENS) {
            // A file that may not be opened is an event too.
            let _ = File::open(file);
        }
        execs(round)?;
        connects(&listener)?;
        changes(folder.path(), round)?;
    }
    daemon.stop()?;
    Ok(())
}

/// Files as programs open them.
fn files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders: Vec<_> = ["/etc", "/usr/share", "/usr/lib", "/var/lib"].map(PathBuf::from).into();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    ensure!(!files.is_empty(), "no files to open");
    // Not folder by folder.
    let stride = 7919;
    Ok((0..files.len()).map(|n| files[n * stride % files.len()].clone()).collect())
}

fn execs(round: usize) -> Result<()> {
    const SCRIPTS: [&str; 5] = [
        "/bin/true",
        "cat /etc/hostname | tr a-z A-Z",
        "ls -l /usr/bin | head -3; id",
        "for f in /etc/*.conf; do test -r $f && break; done; env true",
        "sleep 0; date +%s; uname -a",
    ];
    for n in 0..EXECS {
        Command::new("sh")
            .args(["-c", SCRIPTS[(round + n) % SCRIPTS.len()]])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
    }
    Ok(())
}

fn connects(listener: &TcpListener) -> Result<()> {
    let address = listener.local_addr()?;
    for _ in 0..CONNECTS {
        let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        client.set_linger(Some(Duration::ZERO))?;
        client.connect(&address.into())?;
        drop(listener.accept()?);
    }
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..CONNECTS / 10 {
        udp.send_to(b"ping", udp.local_addr()?)?;
        udp.recv_from(&mut [0; 8])?;
    }
    Ok(())
}

fn changes(folder: &Path, round: usize) -> Result<()> {
    let folder = folder.join(format!("round{round}"));
    fs::create_dir(&folder)?;
    for n in 0..CHANGES {
        let (path, target) = (folder.join(format!("{n}.tmp")), folder.join(format!("{n}.log")));
        File::create(&path)?.write_all(b"text")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
        fs::rename(&path, &target)?;
        fs::remove_file(&target)?;
    }
    Ok(())
}
