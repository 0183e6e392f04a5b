//! The loops, bare and under the detector in turn, as a table of medians.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    daemon::{Daemon, Usage},
    loops::Loop,
};

const LOOP_CPU: usize = 0;
const DAEMON_CPU: usize = 1;

/// Medians of one loop.
#[derive(Debug)]
struct Row {
    name: &'static str,
    iterations: u64,
    bare_ns: f64,
    under_ns: f64,
    added_ns: f64,
    daemon_cpu_ns: f64,
    events: f64,
    lost: u64,
    rss_mib: f64,
}

/// The table that `make bench` prints first.
#[derive(Debug)]
pub struct Report {
    rounds: usize,
    rows: Vec<Row>,
    idle_cpu_us_per_second: f64,
}

/// Runs every loop `rounds` times bare and as often under a daemon with `rules`.
pub fn measure(yagura: &Path, rules: &[PathBuf], rounds: usize) -> Result<Report> {
    ensure!(rounds > 0, "at least one round");
    let mut samples: Vec<Vec<(f64, f64, Usage)>> = vec![Vec::new(); Loop::ALL.len()];
    let mut idle = Vec::new();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        let bare = Loop::ALL.map(run);
        let daemon = Daemon::start(yagura, rules, DAEMON_CPU, &[])?;
        let before = daemon.usage()?;
        std::thread::sleep(std::time::Duration::from_secs(1));
        idle.push(daemon.usage()?.since(before).cpu_ns as f64 / 1e3);
        for (index, (name, bare)) in Loop::ALL.into_iter().zip(bare).enumerate() {
            let before = daemon.usage()?;
            let under = run(name)?;
            samples[index].push((bare?, under, daemon.usage()?.since(before)));
        }
        daemon.stop()?;
    }
    let rows = Loop::ALL
        .into_iter()
        .zip(samples)
        .map(|(name, samples)| {
            // A loop warms up with a twentieth of its iterations, which the daemon sees too.
            let iterations = name.iterations() + name.iterations() / 20;
            let each = |f: &dyn Fn(&(f64, f64, Usage)) -> f64| median(samples.iter().map(f).collect());
            Row {
                name: name.name(),
                iterations: name.iterations(),
                bare_ns: each(&|s| s.0),
                under_ns: each(&|s| s.1),
                added_ns: each(&|s| s.1 - s.0),
                daemon_cpu_ns: each(&|s| s.2.cpu_ns as f64 / iterations as f64),
                events: each(&|s| s.2.events as f64 / iterations as f64),
                lost: samples.iter().map(|s| s.2.lost).sum(),
                rss_mib: each(&|s| s.2.rss_bytes as f64 / f64::from(1 << 20)),
            }
        })
        .collect();
    Ok(Report { rounds, rows, idle_cpu_us_per_second: median(idle) })
}

fn run(name: Loop) -> Result<f64> {
    let output = Command::new(env::current_exe()?)
        .arg("worker")
        .arg(name.to_string())
        .arg(name.iterations().to_string())
        .arg(LOOP_CPU.to_string())
        .output()?;
    ensure!(output.status.success(), "{}: {}", name.name(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("the worker's figure")
}

/// The middle value; the mean of the two middle ones of an even number.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Report {
    pub fn to_json(&self) -> serde_json::Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "loop": row.name, "iterations": row.iterations, "bare_ns": row.bare_ns,
                    "under_ns": row.under_ns, "added_ns": row.added_ns, "ratio": row.under_ns / row.bare_ns,
                    "daemon_cpu_ns": row.daemon_cpu_ns, "events_per_iteration": row.events,
                    "lost": row.lost, "rss_mib": row.rss_mib,
                })
            })
            .collect();
        serde_json::json!({
            "rounds": self.rounds, "loops": rows, "idle_cpu_us_per_second": self.idle_cpu_us_per_second,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "medians of {} interleaved rounds; ns and events are per iteration", self.rounds)?;
        writeln!(
            f,
            "| loop | bare ns | under Yagura ns | added ns | ratio | daemon CPU ns | events | lost | RSS MiB |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for row in &self.rows {
            writeln!(
                f,
                "| {} | {:.0} | {:.0} | {:+.0} | {:.3} | {:.0} | {:.2} | {} | {:.1} |",
                row.name,
                row.bare_ns,
                row.under_ns,
                row.added_ns,
                row.under_ns / row.bare_ns,
                row.daemon_cpu_ns,
                row.events,
                row.lost,
                row.rss_mib
            )?;
        }
        writeln!(f, "idle: {:.0} µs of CPU a second", self.idle_cpu_us_per_second)
    }
}
