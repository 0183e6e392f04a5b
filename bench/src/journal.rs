//! What journaling costs: detections written as the daemon writes them, on one CPU, and whether memory stays as it is.

use std::{fmt, fs, path::Path, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::time::{ClockId, clock_gettime};
use rustix::thread::CpuSet;
use yagura::{
    config::{Config, Format, OutputConfig},
    detection::{Detection, Formatter, Identity},
    journal::{Journal, Settings},
    metrics::JournalCounters,
};

/// What must be possible in a second.
const RATE: u64 = 20_000;
const SECONDS: u64 = 60;
/// In one transaction: what a queue holds that was filled for 50 ms.
const BATCH: u64 = 1000;
/// Bound of the journal: small enough that it is full, and the oldest go, for most of the time.
const MAX_SIZE: u64 = 128 << 20;

/// Figures of one run.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    detections: u64,
    cpu: Duration,
    /// When a quarter was written, and in the end.
    rss: [u64; 2],
    file: u64,
    removed: u64,
}

/// Writes a minute's detections as fast as it can, in this process; prints the figures for [`measure`].
pub fn work(cpu: usize) -> Result<String> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    rustix::thread::sched_setaffinity(None, &cpus).context("pinning")?;
    // Not below /tmp, which may be memory.
    let folder = tempfile::tempdir_in("target")?;
    let path = folder.path().join("journal.db");
    let settings = Settings { path: path.clone(), max_size: MAX_SIZE, ..Settings::default() };
    let counters = Arc::new(JournalCounters::new()?);
    let mut journal = Journal::new(settings, Arc::clone(&counters), Arc::default());
    let identity = Identity { hostname: "h".into(), node: "n".into(), cluster: "c".into() };
    let formatter =
        Formatter::new(identity, OutputConfig { format: Format::Json, ..Config::default().output });
    let tenants: Vec<Arc<str>> = (0..10).map(|number| format!("tenant-{number}").into()).collect();
    let begin = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let batches = RATE * SECONDS / BATCH;
    let mut rss = [0; 2];
    for batch in 0..batches {
        let detections: Vec<(Detection, String)> = (0..BATCH)
            .map(|number| {
                let tenant = &tenants[(number % 10) as usize];
                let mut detection = Detection::of_quota(tenant, number, batch * BATCH + number);
                detection.output_fields.extend(
                    ["proc.cmdline", "proc.exepath", "fd.name", "container.image.repository"].map(|name| {
                        (name.to_owned(), format!("/usr/local/bin/some-program {number}").into())
                    }),
                );
                let mut line = Vec::new();
                formatter.json(&detection, &mut line);
                (detection, String::from_utf8_lossy(&line).into_owned())
            })
            .collect();
        let written = journal.append(detections.iter().map(|(detection, line)| (detection, line.as_str())));
        ensure!(written, "the journal could not be written");
        if batch == batches / 4 {
            rss[0] = rss_bytes()?;
        }
    }
    rss[1] = rss_bytes()?;
    let end = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let cpu = Duration::from(end).saturating_sub(Duration::from(begin));
    let removed: u64 = tenants
        .iter()
        .flat_map(|tenant| yagura::journal::Bound::ALL.iter().map(|bound| counters.removals(tenant, *bound)))
        .sum();
    let file = fs::metadata(&path)?.len();
    Ok(format!("{} {} {} {} {file} {removed}", counters.all_written(), cpu.as_micros(), rss[0], rss[1]))
}

/// Measures in a process of its own.
pub fn measure(cpu: usize) -> Result<Figures> {
    let output = Command::new(std::env::current_exe()?).args(["journal", &cpu.to_string()]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [detections, cpu, quarter, end, file, removed] = *numbers else {
        anyhow::bail!("not what was expected: {text}")
    };
    let cpu = Duration::from_micros(cpu);
    Ok(Figures { detections, cpu, rss: [quarter, end], file, removed })
}

fn rss_bytes() -> Result<u64> {
    let status = fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

impl Figures {
    pub fn to_json(self) -> serde_json::Value {
        let Figures { detections, cpu, rss, file, removed } = self;
        serde_json::json!({
            "detections": detections, "cpu_seconds": cpu.as_secs_f64(), "rss_bytes": rss, "file_bytes": file,
            "removed": removed,
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { detections, cpu, rss, file, removed } = *self;
        let share = cpu.as_secs_f64() / SECONDS as f64;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            f,
            "journal: {detections} detections of ten tenants (a minute of {RATE} a second), {removed} removed by its \
             bound: {:.1} s of CPU, {:.0} % of one; {:.1} us each; memory {:.1} MiB after a quarter, {:.1} MiB in the \
             end; file {:.0} MiB",
            cpu.as_secs_f64(),
            share * 100.0,
            cpu.as_secs_f64() * 1e6 / detections as f64,
            mib(rss[0]),
            mib(rss[1]),
            mib(file)
        )
    }
}
