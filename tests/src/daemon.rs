//! The real `yagura` binary, run with given rules: what it prints, counts and answers.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    DEADLINE,
    capabilities::{CLAIMED, with_exactly},
};

/// The daemon's program, which cargo builds before the tests of this package.
pub fn binary() -> PathBuf {
    crate::build_dir().join("yagura-under-test")
}

/// Lines that a thread collects from a pipe.
#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    news: Condvar,
}

impl Lines {
    fn collect(pipe: impl Read + Send + 'static) -> (Arc<Lines>, std::thread::JoinHandle<()>) {
        let lines = Arc::new(Lines::default());
        let into = lines.clone();
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                into.lines.lock().expect("lines").push(text);
                into.news.notify_all();
                line.clear();
            }
        });
        (lines, reader)
    }

    /// The first line after so many that satisfies, now or until the deadline.
    fn wait(&self, from: usize, found: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        let mut lines = self.lines.lock().expect("lines");
        loop {
            if let Some(line) = lines.iter().skip(from).find(|line| found(line)) {
                return Some(line.clone());
            }
            let left = end.checked_duration_since(Instant::now())?;
            lines = self.news.wait_timeout(lines, left).expect("lines").0;
        }
    }

    fn all(&self) -> Vec<String> {
        self.lines.lock().expect("lines").clone()
    }
}

/// How to run the daemon.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// The text of its one rule file; the embedded rules if empty.
    pub rules: &'a str,
    /// Further lines of its configuration file.
    pub config: &'a str,
    /// Further arguments.
    pub args: Vec<String>,
    /// Do not read its stdout: whoever does is stuck.
    pub stdout_stuck: bool,
    /// A program and arguments that run it: `unshare --mount …`. It must end by becoming what follows.
    pub wrapper: &'a [&'a str],
    /// What it may do; [`CLAIMED`] unless told otherwise.
    pub capabilities: Option<&'a [&'a str]>,
    /// Further variables of its environment.
    pub env: &'a [(&'a str, &'a str)],
    /// Another program than [`binary`].
    pub program: Option<&'a Path>,
}

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
    readers: Vec<std::thread::JoinHandle<()>>,
    folder: TempDir,
}

/// What was left when it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Daemon {
    /// Starts it and waits for its `ready` line.
    pub fn start(options: &Options<'_>) -> Daemon {
        let daemon = Daemon::launch(options);
        if daemon.stderr.wait(0, |line| line.contains("ready") && address_in(line).is_some()).is_none() {
            panic!("no ready line:\n{}", daemon.stderr.all().join("\n"));
        }
        daemon
    }

    /// Starts it.
    pub fn launch(options: &Options<'_>) -> Daemon {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("yagura.yaml");
        // Tests run beside each other's floods: a large ring, unless the test is about losses.
        let ring = if options.config.contains("ring_size") { "" } else { "kernel:\n  ring_size: 64MiB\n" };
        let journal = if options.config.contains("journal:\n") {
            String::new()
        } else {
            format!("journal: {{path: {}}}\n", folder.path().join("journal.db").display())
        };
        let listen = if options.config.contains("listen:") { "" } else { "listen: 127.0.0.1:0\n" };
        // A machine that is busy may stand still while it is told to end, and what it has seen is to come out all the same.
        let drain = if options.config.contains("drain_timeout") { "" } else { "drain_timeout: 50s\n" };
        fs::write(&config, format!("{listen}{drain}{ring}{journal}{}", options.config)).expect("a file");
        let own = options.program.map_or_else(binary, Path::to_owned);
        let privileges = with_exactly(options.capabilities.unwrap_or(&CLAIMED));
        let mut words = options.wrapper.iter().copied().chain(privileges.iter().map(String::as_str));
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).arg(own);
        command.envs(options.env.iter().copied());
        command.arg("run").arg("--config").arg(&config).args(&options.args);
        if !options.rules.is_empty() {
            let rules = folder.path().join("rules.yaml");
            fs::write(&rules, options.rules).expect("a file");
            command.arg("--rules").arg(&rules);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("yagura starts");
        let mut readers = Vec::new();
        let (stderr, reader) = Lines::collect(child.stderr.take().expect("piped"));
        readers.push(reader);
        let stdout = if options.stdout_stuck {
            Arc::new(Lines::default())
        } else {
            let (stdout, reader) = Lines::collect(child.stdout.take().expect("piped"));
            readers.push(reader);
            stdout
        };
        Daemon { child, stdout, stderr, readers, folder }
    }

    /// Whoever read its stdout is gone. Only with `stdout_stuck`, where that is us.
    pub fn close_stdout(&mut self) {
        drop(self.child.stdout.take().expect("nobody else reads it"));
    }

    /// Whoever read its stdout goes on. Only with `stdout_stuck`.
    pub fn read_stdout(&mut self) {
        let (stdout, reader) = Lines::collect(self.child.stdout.take().expect("nobody else reads it"));
        self.stdout = stdout;
        self.readers.push(reader);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its rule file.
    pub fn rules(&self) -> PathBuf {
        self.folder.path().join("rules.yaml")
    }

    /// A folder of its own, for what a test makes it write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces its rule file in one step, as a package manager or Kubernetes does.
    pub fn replace_rules(&self, text: &str) {
        let new = self.folder.path().join("rules.new");
        fs::write(&new, text).expect("a file");
        fs::rename(&new, self.rules()).expect("renamed");
    }

    /// The first detection that satisfies, now or until the deadline.
    pub fn detection(&self, found: impl Fn(&Value) -> bool) -> Value {
        self.detection_after(0, found)
    }

    /// The same, without so many lines that were printed before.
    pub fn detection_after(&self, printed: usize, found: impl Fn(&Value) -> bool) -> Value {
        let found = |line: &str| serde_json::from_str(line).is_ok_and(|value| found(&value));
        let line = self.stdout.wait(printed, found);
        let line = line.unwrap_or_else(|| {
            panic!(
                "no such detection among:\n{}\n{}",
                self.stdout.all().join("\n"),
                self.stderr.all().join("\n")
            )
        });
        serde_json::from_str(&line).expect("it was parsed before")
    }

    /// Everything printed until now.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// The first line of stdout that satisfies.
    pub fn line(&self, found: impl Fn(&str) -> bool) -> String {
        self.stdout
            .wait(0, found)
            .unwrap_or_else(|| panic!("no such line among:\n{}", self.stdout.all().join("\n")))
    }

    /// The first log line that satisfies.
    pub fn log(&self, found: impl Fn(&str) -> bool) -> String {
        self.stderr
            .wait(0, found)
            .unwrap_or_else(|| panic!("no such log line among:\n{}", self.stderr.all().join("\n")))
    }

    /// Everything logged until now.
    pub fn logs(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// The address it listens on, from its log.
    pub fn address(&self) -> String {
        // Other lines tell of other addresses.
        let line = self.log(|line| line.contains("ready") && address_in(line).is_some());
        address_in(&line).expect("it was found before")
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: yagura\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }

    /// The value of a metric with exactly these labels (as printed), 0 if it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        body.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .find(|(series, _)| *series == name)
            .map_or(0.0, |(_, value)| value.parse().expect("a number"))
    }

    /// Waits until a condition on the daemon holds.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Daemon) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(Instant::now() < end, "never: {what}\n{}", self.stderr.all().join("\n"));
            // Between two looks, not to wait for anything.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resident memory and its peak, in KiB.
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let of = |label: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(label)).expect("memory");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// Is it still running?
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// Sends it a signal by its number.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).expect("a pid");
        // SAFETY: kill(2) touches no memory; the pid is that of our child, which is not waited for yet.
        let result = unsafe { libc::kill(pid, signal) };
        assert_eq!(result, 0, "kill");
    }

    /// SIGTERM, and everything it prints until it has ended.
    pub fn stop(self) -> Ended {
        self.signal(libc::SIGTERM);
        self.wait()
    }

    /// Everything it prints until it has ended.
    pub fn wait(mut self) -> Ended {
        // Its own time for that is part of it.
        let end = Instant::now() + 2 * DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                break status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.stderr.all().join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        Ended { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Ended {
    /// The counters line: the last line of stderr.
    pub fn counters(&self) -> Value {
        let line = self.stderr.iter().rev().find(|line| line.starts_with('{') && line.contains("\"seen\""));
        let line = line.unwrap_or_else(|| panic!("no counters line:\n{}", self.stderr.join("\n")));
        serde_json::from_str(line).expect("JSON")
    }

    /// The counters line, its equations checked.
    pub fn balance(&self) -> Value {
        let counters = self.counters();
        let number = |key: &str| counters[key].as_u64().unwrap_or_else(|| panic!("no {key} in {counters}"));
        assert_eq!(
            number("seen"),
            number("filtered") + number("matched") + number("unmatched") + number("lost"),
            "seen = filtered + matched + unmatched + lost: {counters}"
        );
        assert_eq!(
            number("detections"),
            number("delivered") + number("suppressed") + number("dropped"),
            "detections = delivered + suppressed + dropped: {counters}"
        );
        assert_eq!(
            number("lost"),
            counters["lost_by"].as_object().expect("reasons").values().filter_map(Value::as_u64).sum::<u64>(),
            "lost by reason: {counters}"
        );
        counters
    }

    /// Its detections.
    pub fn detections(&self) -> Vec<Value> {
        self.stdout
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect()
    }
}

fn address_in(line: &str) -> Option<String> {
    let start = line.find("127.0.0.1:")?;
    let address: String =
        line[start..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    (!address.ends_with(":0") && !address.ends_with(':')).then_some(address)
}

/// Runs `yagura ARGS` to its end.
pub fn yagura(args: &[&str]) -> std::process::Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().expect("yagura runs")
}
