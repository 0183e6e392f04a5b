//! How soon a detection is told: from the return of the system call to the line on stdout, and to the counter in
//! `/metrics`.

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::CpuSet;

use crate::{
    daemon::{Daemon, Options},
    summary::Summary,
};

/// Detections of each kind of moment.
const LINES: usize = 300;
const SCRAPES: usize = 50;
/// Between two detections, so that at idle the daemon is asleep again.
const PAUSE: Duration = Duration::from_millis(25);
/// Events in a burst, and the pause after it.
const BURST: usize = 10;
const BURST_PAUSE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(5);
const RULE: &str = "Latency";

/// Milliseconds, at idle and under load.
#[derive(Debug)]
pub struct Latency {
    idle: Moment,
    load: Moment,
}

#[derive(Debug)]
struct Moment {
    events_per_second: f64,
    stdout_ms: Summary,
    metrics_ms: Summary,
}

/// Triggers a rule again and again, and notes when that is told.
pub fn measure(yagura: &Path, loop_cpu: usize, daemon_cpu: usize) -> Result<Latency> {
    let folder = tempfile::tempdir()?;
    let (trigger, load) = (folder.path().join("trigger"), folder.path().join("load"));
    for path in [&trigger, &load] {
        File::create(path)?;
    }
    // The second rule makes the kernel report the load; that nothing comes of it, it cannot know.
    let rules = folder.path().join("latency.yaml");
    let text = format!(
        "- rule: {RULE}\n  desc: what is triggered\n  condition: evt.type = openat and fd.name = {}\n  \
         output: opened\n  priority: NOTICE\n\
         - rule: Load\n  desc: what is only reported\n  condition: >\n    evt.type = openat and fd.name = {} and \
         proc.cmdline contains no-such-argument\n  output: cannot be\n  priority: NOTICE\n",
        trigger.display(),
        load.display()
    );
    std::fs::write(&rules, text)?;
    let mut daemon = Daemon::start(Options {
        yagura,
        rules: &[rules],
        cpu: daemon_cpu,
        config: "rate_limit:\n  rate: 0\n",
        arguments: &[],
        stdout: true,
    })?;
    let stdout = daemon.take_stdout().context("the daemon's stdout")?;
    let (lines, arrivals) = channel();
    let reader = thread::spawn(move || {
        for _ in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
            if lines.send(Instant::now()).is_err() {
                break;
            }
        }
    });
    let mut cpus = CpuSet::new();
    cpus.set(loop_cpu);
    // The actor has a thread of its own, so that only it is pinned.
    let watched = &daemon;
    let measured = thread::scope(|scope| {
        let actor = scope.spawn(move || -> Result<Latency> {
            rustix::thread::sched_setaffinity(None, &cpus).context("pinning the actor")?;
            let idle = moment(watched, &trigger, &arrivals)?;
            let stop = Arc::new(AtomicBool::new(false));
            let burden = {
                let (stop, load) = (Arc::clone(&stop), load.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        (0..BURST).for_each(|_| drop(File::open(&load)));
                        thread::sleep(BURST_PAUSE);
                    }
                })
            };
            let load = moment(watched, &trigger, &arrivals);
            stop.store(true, Ordering::Relaxed);
            let _ = burden.join();
            Ok(Latency { idle, load: load? })
        });
        actor.join().unwrap_or_else(|_| bail!("the actor panicked"))
    })?;
    daemon.stop()?;
    let _ = reader.join();
    Ok(measured)
}

fn moment(daemon: &Daemon, trigger: &Path, arrivals: &Receiver<Instant>) -> Result<Moment> {
    let (events, begin) = (daemon.usage()?.events, Instant::now());
    let (mut stdout, mut metrics) = (Vec::new(), Vec::new());
    let act = || -> Result<Instant> {
        thread::sleep(PAUSE);
        let file = File::open(trigger)?;
        let returned = Instant::now();
        drop(file);
        Ok(returned)
    };
    for _ in 0..LINES {
        let returned = act()?;
        let told = arrivals.recv_timeout(PATIENCE).context("a detection was not told")?;
        stdout.push(milliseconds(told.saturating_duration_since(returned)));
    }
    for _ in 0..SCRAPES {
        let before = daemon.detections(RULE)?;
        let returned = act()?;
        while daemon.detections(RULE)? == before {
            ensure!(returned.elapsed() < PATIENCE, "a detection was not counted");
        }
        metrics.push(milliseconds(returned.elapsed()));
        arrivals.recv_timeout(PATIENCE).context("a detection was not told")?;
    }
    let events = (daemon.usage()?.events - events) as f64 / begin.elapsed().as_secs_f64();
    Ok(Moment { events_per_second: events, stdout_ms: Summary::of(stdout), metrics_ms: Summary::of(metrics) })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Latency {
    pub fn to_json(&self) -> serde_json::Value {
        let moment = |moment: &Moment| {
            serde_json::json!({
                "events_per_second": moment.events_per_second,
                "stdout_ms": moment.stdout_ms.to_json(), "metrics_ms": moment.metrics_ms.to_json(),
            })
        };
        serde_json::json!({ "idle": moment(&self.idle), "load": moment(&self.load) })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\ndetection latency in ms, from the system call's return (goals: p50 1, p99 5)")?;
        writeln!(
            f,
            "the counter is read by scraping until it has changed: one or two scrapes are part of the time"
        )?;
        writeln!(f, "| moment | events/s | told | samples | p50 | p99 | max |")?;
        writeln!(f, "| --- | ---: | --- | ---: | ---: | ---: | ---: |")?;
        for (name, moment) in [("idle", &self.idle), ("load", &self.load)] {
            for (told, summary) in [("stdout", &moment.stdout_ms), ("/metrics", &moment.metrics_ms)] {
                writeln!(
                    f,
                    "| {name} | {:.0} | {told} | {} | {:.2} | {:.2} | {:.2} |",
                    moment.events_per_second,
                    summary.len(),
                    summary.median(),
                    summary.quantile(0.99),
                    summary.quantile(1.0)
                )?;
            }
        }
        Ok(())
    }
}
