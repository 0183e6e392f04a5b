//! `make demo`: two tenants' pods under a real containerd do normal and hostile things, and Yagura, Prometheus,
//! VictoriaMetrics and Alertmanager, all on loopback, show what becomes of it.
//!
//! There is no Kubernetes here: the API server, Slack, PagerDuty and a webhook are doubles.

mod acts;
mod apart;
mod notified;
mod page;
mod seen;
mod stage;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use clap::Parser;

use apart::Stop;
use stage::Stage;

#[derive(Debug, Parser)]
struct Args {
    /// Do everything once, wait until all of it is seen everywhere, and end.
    #[arg(long)]
    once: bool,
    /// The daemon's program, if not the one built beside this one.
    #[arg(long)]
    yagura: Option<PathBuf>,
    /// How the demo calls itself.
    #[arg(long, hide = true)]
    apart: bool,
}

/// An hour of it: what was printed is kept in memory.
const ROUNDS: u32 = 120;
const PAUSE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args = Args::parse();
    let ended = if args.apart { show(&args).map(|()| ExitCode::SUCCESS) } else { apart::run() };
    ended.unwrap_or_else(|error| {
        eprintln!("demo: {error:#}");
        ExitCode::FAILURE
    })
}

fn show(args: &Args) -> Result<()> {
    let stop = Stop::listen()?;
    ensure!(rustix::process::geteuid().is_root(), "only root may load the kernel side and run containers");
    let shown = play(args, &stop);
    // Whoever looks on ends it so.
    if !args.once && stop.check().is_err() { Ok(()) } else { shown }
}

fn play(args: &Args, stop: &Stop) -> Result<()> {
    let yagura = args.yagura.clone().unwrap_or_else(end_to_end::daemon::binary);
    let stage = Stage::start(&yagura, stop)?;
    page::print(&stage, &yagura);
    let played = if args.once { once(&stage, stop) } else { repeat(&stage, stop) };
    stage.end();
    played
}

fn once(stage: &Stage, stop: &Stop) -> Result<()> {
    let unexpected = acts::round(stage, stop, &mut 0)?;
    seen::everywhere(stage, stop)?;
    ensure!(unexpected == 0, "{unexpected} detections were not expected");
    Ok(())
}

fn repeat(stage: &Stage, stop: &Stop) -> Result<()> {
    let mut looked = 0;
    for round in 1..=ROUNDS {
        acts::round(stage, stop, &mut looked)?;
        if round < ROUNDS {
            println!("\nAgain in {} seconds; Ctrl-C ends it and removes everything.\n", PAUSE.as_secs());
            stop.pause(PAUSE)?;
        }
    }
    println!("\nThis was the last time. Everything stays until Ctrl-C.");
    stop.wait();
    Ok(())
}
