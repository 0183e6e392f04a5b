//! The four loops of a workload that no rule matches: what they cost is what the detector adds.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::{
    fs::{Mode, OFlags},
    thread::CpuSet,
};
use socket2::{Domain, Protocol, Socket, Type};

/// A loop and what one iteration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Loop {
    /// One system call that no rule needs.
    Getppid,
    /// openat and close of a file that no rule matches.
    OpenClose,
    /// A process that runs /bin/true.
    ForkExec,
    /// A TCP connection over loopback, connected and accepted.
    ConnectAccept,
}

impl Loop {
    pub const ALL: [Loop; 4] = [Loop::Getppid, Loop::OpenClose, Loop::ForkExec, Loop::ConnectAccept];

    /// Iterations of one round: a second or so on a machine of today.
    pub fn iterations(self) -> u64 {
        match self {
            Loop::Getppid => 8_000_000,
            Loop::OpenClose => 1_000_000,
            Loop::ForkExec => 1_000,
            Loop::ConnectAccept => 50_000,
        }
    }

    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Loop::Getppid => "getppid",
            Loop::OpenClose => "open+close",
            Loop::ForkExec => "fork+exec",
            Loop::ConnectAccept => "connect+accept",
        }
    }

    /// What may be added, and what the daemon may use.
    pub fn goal(self) -> &'static str {
        match self {
            Loop::Getppid => "+24 to +35 ns",
            Loop::OpenClose => "+200 ns, 100 ns of daemon CPU",
            Loop::ForkExec => "+10 µs, 30 µs of daemon CPU",
            Loop::ConnectAccept => "+800 ns, 1 µs of daemon CPU",
        }
    }
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().ok_or(fmt::Error)?;
        f.write_str(value.get_name())
    }
}

/// Runs one round of `name` on `cpu` in this process.
///
/// Returns nanoseconds per iteration.
pub fn work(name: Loop, iterations: u64, cpu: usize) -> Result<f64> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    rustix::thread::sched_setaffinity(None, &cpus).context("pinning the loop")?;
    let elapsed = match name {
        Loop::Getppid => time(iterations, || {
            std::hint::black_box(rustix::process::getppid());
            Ok(())
        }),
        Loop::OpenClose => {
            let file = tempfile::NamedTempFile::new()?;
            let path = std::ffi::CString::new(file.path().as_os_str().as_encoded_bytes())?;
            time(iterations, || {
                drop(rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
                Ok(())
            })
        }
        Loop::ForkExec => time(iterations, || {
            let status = Command::new("/bin/true").stdin(Stdio::null()).status()?;
            ensure!(status.success(), "/bin/true failed");
            Ok(())
        }),
        Loop::ConnectAccept => {
            let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
            listener.listen(16)?;
            let address = listener.local_addr()?;
            time(iterations, || {
                let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
                // Without this, ports run out in TIME_WAIT.
                client.set_linger(Some(Duration::ZERO))?;
                client.connect(&address)?;
                drop(listener.accept()?);
                Ok(())
            })
        }
    }?;
    Ok(elapsed.as_nanos() as f64 / iterations as f64)
}

fn time(iterations: u64, mut step: impl FnMut() -> Result<()>) -> Result<Duration> {
    for _ in 0..iterations / 20 {
        step()?;
    }
    let start = Instant::now();
    for _ in 0..iterations {
        step()?;
    }
    Ok(start.elapsed())
}
