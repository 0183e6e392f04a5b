//! The loops, bare and under the detector in turn, as a table.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    daemon::{Daemon, Options, Usage},
    loops::Loop,
    summary::Summary,
};

pub const LOOP_CPU: usize = 0;
pub const DAEMON_CPU: usize = 1;
/// The daemon is left alone for so long before and while it is looked at idle.
const SETTLE: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(10);

/// One loop.
#[derive(Debug)]
struct Row {
    which: Loop,
    bare_ns: Summary,
    under_ns: Summary,
    /// Of each round, what was added to the same round's bare loop.
    added_ns: Summary,
    daemon_cpu_ns: Summary,
    events: Summary,
    lost: u64,
}

/// The table that `make bench` prints first.
#[derive(Debug)]
pub struct Report {
    rounds: usize,
    rules: String,
    rows: Vec<Row>,
    idle_cpu_us_per_second: Summary,
    idle_events_per_second: f64,
    rss_mib: Summary,
}

#[derive(Debug)]
struct Sample {
    bare_ns: f64,
    under_ns: f64,
    usage: Usage,
}

/// Runs every loop `rounds` times bare and as often under a daemon with `rules`.
pub fn measure(yagura: &Path, rules: &[PathBuf], rounds: usize) -> Result<Report> {
    ensure!(rounds > 0, "at least one round");
    let mut samples: Vec<Vec<Sample>> = Loop::ALL.iter().map(|_| Vec::new()).collect();
    let (mut idle, mut rss) = (Vec::new(), Vec::new());
    let start = || {
        Daemon::start(Options { yagura, rules, cpu: DAEMON_CPU, config: "", arguments: &[], stdout: false })
    };
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        let mut bare = Vec::new();
        for which in Loop::ALL {
            bare.push(run(which)?);
        }
        let daemon = start()?;
        for ((which, bare_ns), samples) in Loop::ALL.into_iter().zip(bare).zip(&mut samples) {
            let before = daemon.usage()?;
            let under_ns = run(which)?;
            let usage = daemon.usage()?.since(before);
            rss.push(usage.rss_bytes as f64 / f64::from(1 << 20));
            samples.push(Sample { bare_ns, under_ns, usage });
        }
        daemon.stop()?;
    }
    eprintln!("idle");
    let daemon = start()?;
    let (events, begin) = (daemon.usage()?.events, Instant::now());
    std::thread::sleep(SETTLE);
    for _ in 0..2 {
        let before = daemon.cpu()?;
        std::thread::sleep(IDLE);
        idle.push((daemon.cpu()? - before).as_secs_f64() * 1e6 / IDLE.as_secs_f64());
    }
    // What others did on the machine: at real rest there are next to none.
    let idle_events_per_second = (daemon.usage()?.events - events) as f64 / begin.elapsed().as_secs_f64();
    daemon.stop()?;
    let rows = Loop::ALL
        .into_iter()
        .zip(samples)
        .map(|(which, samples)| {
            // A loop warms up with a twentieth of its iterations, which the daemon sees too.
            let iterations = (which.iterations() + which.iterations() / 20) as f64;
            let each = |f: &dyn Fn(&Sample) -> f64| Summary::of(samples.iter().map(f));
            Row {
                which,
                bare_ns: each(&|s| s.bare_ns),
                under_ns: each(&|s| s.under_ns),
                added_ns: each(&|s| s.under_ns - s.bare_ns),
                daemon_cpu_ns: each(&|s| s.usage.cpu.as_nanos() as f64 / iterations),
                events: each(&|s| s.usage.events as f64 / iterations),
                lost: samples.iter().map(|s| s.usage.lost).sum(),
            }
        })
        .collect();
    Ok(Report {
        rounds,
        rules: crate::ruleset::name(rules),
        rows,
        idle_cpu_us_per_second: Summary::of(idle),
        idle_events_per_second,
        rss_mib: Summary::of(rss),
    })
}

fn run(which: Loop) -> Result<f64> {
    let output = Command::new(env::current_exe()?)
        .arg("worker")
        .arg(which.to_string())
        .arg(which.iterations().to_string())
        .arg(LOOP_CPU.to_string())
        .output()?;
    ensure!(output.status.success(), "{}: {}", which.name(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("the worker's figure")
}

impl Report {
    pub fn to_json(&self) -> serde_json::Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "loop": row.which.name(), "iterations": row.which.iterations(),
                    "bare_ns": row.bare_ns.to_json(), "under_ns": row.under_ns.to_json(),
                    "added_ns": row.added_ns.to_json(), "daemon_cpu_ns": row.daemon_cpu_ns.to_json(),
                    "events_per_iteration": row.events.to_json(), "lost": row.lost,
                })
            })
            .collect();
        serde_json::json!({
            "rounds": self.rounds, "rules": self.rules, "loops": rows,
            "idle_cpu_us_per_second": self.idle_cpu_us_per_second.to_json(),
            "idle_events_per_second": self.idle_events_per_second, "rss_mib": self.rss_mib.to_json(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}; {} rounds, each bare and then under Yagura; per iteration",
            self.rules, self.rounds
        )?;
        writeln!(f, "median [min…max]; where the range of `added` is wide, the machine was not quiet")?;
        writeln!(
            f,
            "| loop | bare ns | under Yagura ns | added ns | daemon CPU ns | events | lost | to reach |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")?;
        for row in &self.rows {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {:.2} | {} | {} |",
                row.which.name(),
                row.bare_ns,
                row.under_ns,
                row.added_ns,
                row.daemon_cpu_ns,
                row.events.median(),
                row.lost,
                row.which.goal()
            )?;
        }
        writeln!(
            f,
            "idle: {} µs of CPU a second with {:.1} events/s (to reach: 500); resident: {:.1} MiB (to reach: 30 MB)",
            self.idle_cpu_us_per_second, self.idle_events_per_second, self.rss_mib
        )
    }
}
