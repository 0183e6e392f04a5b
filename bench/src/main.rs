//! `make bench`, first part: four loops bare and under Yagura, the daemon at rest, how soon a detection is told, and
//! what journaling it costs.
//!
//! Machines are noisy, so each round runs every loop bare and then under the detector, and what is printed are the
//! median and the range of the rounds. The detector is pinned to one CPU, the loops to the other.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use exporter_common::event_type::EventType;
use yagura_bench::{journal, latency, loops, report, ruleset, stream::Stream};

/// Measures what Yagura adds.
#[derive(Parser, Debug)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rounds of each loop, bare and under Yagura.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Rules to load (file or folder, repeatable); Falco's stable ones if they are at hand, else the embedded ones.
    #[arg(long)]
    rules: Vec<PathBuf>,
    /// The `yagura` binary.
    #[arg(long, default_value = "target/release/yagura")]
    yagura: PathBuf,
    /// Write the figures as JSON to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// One timed loop in a process of its own; prints nanoseconds per iteration.
    #[command(hide = true)]
    Worker { name: loops::Loop, iterations: u64, cpu: usize },
    /// Journals a minute's detections; prints figures.
    #[command(hide = true)]
    Journal { cpu: usize },
    /// Decides about events of the recorded stream, for a profiler to watch: `openat` or `all`.
    #[command(hide = true)]
    Profile { events: String, rules: usize, count: u64 },
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Worker { name, iterations, cpu }) => {
            println!("{}", loops::work(name, iterations, cpu)?);
            return Ok(());
        }
        Some(Command::Journal { cpu }) => {
            println!("{}", journal::work(cpu)?);
            return Ok(());
        }
        Some(Command::Profile { events, rules, count }) => {
            let types: Vec<EventType> =
                EventType::ALL.iter().copied().filter(|known| known.name() == events).collect();
            let set = ruleset::load(&ruleset::base(&args.rules), rules)?;
            let stream = Stream::cached(&args.yagura)?;
            let mut pass = stream.pass(&types)?;
            pass.handle(&set, count);
            println!(
                "{count} of {} events, {} rules: {} matches",
                pass.len(),
                ruleset::enabled(&set),
                pass.matches()
            );
            return Ok(());
        }
        None => {}
    }
    let rules = ruleset::base(&args.rules);
    let measured = report::measure(&args.yagura, &rules, args.rounds)?;
    print!("{measured}");
    let latency = latency::measure(&args.yagura, report::LOOP_CPU, report::DAEMON_CPU)?;
    print!("{latency}");
    let journal = journal::measure(report::DAEMON_CPU)?;
    print!("{journal}");
    // The second part decides about it.
    Stream::cached(&args.yagura)?;
    if let Some(path) = args.json {
        let figures = serde_json::json!({ "loops": measured.to_json(), "latency": latency.to_json(),
                                          "journal": journal.to_json() });
        std::fs::write(path, serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(())
}
