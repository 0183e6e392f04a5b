//! A `yagura run` under measurement, and what the system says it used.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// How a daemon is started.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    pub yagura: &'a Path,
    pub rules: &'a [PathBuf],
    pub cpu: usize,
    /// Lines of its configuration.
    pub config: &'a str,
    /// More arguments.
    pub arguments: &'a [&'a str],
    /// Its detections are read by [`Daemon::take_stdout`]; thrown away otherwise.
    pub stdout: bool,
}

/// What the daemon has counted since it started, and its memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu: Duration,
    pub events: u64,
    pub lost: u64,
    pub rss_bytes: u64,
}

impl Usage {
    /// What was used between two readings; memory is the later one's.
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            events: self.events.saturating_sub(earlier.events),
            lost: self.lost.saturating_sub(earlier.lost),
            rss_bytes: self.rss_bytes,
        }
    }
}

/// A running daemon; stopped when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    log: Option<std::thread::JoinHandle<String>>,
    _config: tempfile::TempDir,
}

impl Daemon {
    /// Starts the daemon and waits until its programs are attached.
    pub fn start(options: Options<'_>) -> Result<Daemon> {
        // The port is free now; nobody else here takes one between this line and the daemon's bind.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("yagura.yaml");
        // A journal of its own: not that of a daemon of this machine.
        let journal = folder.path().join("journal.db");
        let text = format!("listen: {address}\njournal: {{path: {}}}\n{}", journal.display(), options.config);
        fs::write(&config, text)?;
        let mut command = Command::new("taskset");
        command
            .arg("-c")
            .arg(options.cpu.to_string())
            .arg(options.yagura)
            .arg("run")
            .arg("--config")
            .arg(&config);
        for path in options.rules {
            command.arg("--rules").arg(path);
        }
        let mut child = command
            .args(options.arguments)
            .stdin(Stdio::null())
            .stdout(if options.stdout { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", options.yagura.display()))?;
        let mut lines = BufReader::new(child.stderr.take().context("the daemon's log")?);
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                bail!("the daemon ended before it was ready:\n{seen}");
            }
            seen += &line;
            if line.contains("ready") {
                break;
            }
        }
        // The log is read to its end, or the daemon would stop at a full pipe.
        let log = std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = lines.read_to_string(&mut rest);
            rest
        });
        Ok(Daemon { child, address, log: Some(log), _config: folder })
    }

    /// Its detections, if it was started for them; only once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The CPU time of all its threads, also of those that have ended.
    pub fn cpu(&self) -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(self.child.id())?))?;
        Ok(clock_gettime(clock)?.into())
    }

    /// What it has used so far. This asks the daemon, which costs it some CPU itself: to measure little, use
    /// [`Daemon::cpu`].
    pub fn usage(&self) -> Result<Usage> {
        let pid = self.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss_kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .context("VmRSS")?
            .parse()?;
        let metrics = self.metrics()?;
        Ok(Usage {
            cpu: self.cpu()?,
            events: sum(&metrics, "yagura_events_total", ""),
            lost: sum(&metrics, "yagura_lost_total", ""),
            rss_bytes: rss_kib * 1024,
        })
    }

    /// How often this rule has matched.
    pub fn detections(&self, rule: &str) -> Result<u64> {
        Ok(sum(&self.metrics()?, "yagura_detections_total", &format!("rule=\"{rule}\"")))
    }

    fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Stops it as an operator would; returns the rest of its log.
    pub fn stop(mut self) -> Result<String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the daemon did not stop");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        Ok(log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sum of a counter's series, in a text exposition, whose labels hold `label`.
fn sum(exposition: &str, name: &str, label: &str) -> u64 {
    exposition
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| line.contains(label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>() as u64
}
