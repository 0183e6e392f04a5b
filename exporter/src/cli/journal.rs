//! `yagura journal`: what was detected before.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{ConfigArgs, Exit, OutputFormat, print, print_json, report};
use crate::journal::{Filter, JournalError, Reader, Stats};

#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Print the last detections, and with --follow what comes
    Tail(TailArgs),
    /// Say what is in the journal
    Stats(StatsArgs),
    /// Print detections, oldest first, as lines of JSON
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct PathArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The journal [default: that of the configuration]
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct FilterArgs {
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<String>,
    /// Only those about this Kubernetes namespace
    #[arg(long)]
    namespace: Option<String>,
    /// Only this rule's
    #[arg(long)]
    rule: Option<String>,
    /// Only events from this moment on, as 2026-11-27T05:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only events before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

impl FilterArgs {
    fn filter(self) -> Filter {
        let ns = |time: Timestamp| i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX);
        Filter {
            tenant: self.tenant,
            namespace: self.namespace,
            rule: self.rule,
            since_ns: self.since.map(ns),
            until_ns: self.until.map(ns),
        }
    }
}

#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    path: PathArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// How many
    #[arg(long, short = 'n', default_value_t = 10, value_name = "COUNT")]
    lines: u64,
    /// Go on printing what comes
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    path: PathArgs,
    #[arg(long, short, value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    path: PathArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

pub fn execute(command: JournalCommand) -> Exit {
    match command {
        JournalCommand::Tail(args) => tail(args),
        JournalCommand::Stats(args) => stats(&args),
        JournalCommand::Export(args) => export(args),
    }
}

impl PathArgs {
    fn open(&self) -> Result<Reader, Exit> {
        let path = match &self.path {
            Some(path) => path.clone(),
            None => self.config.load()?.journal.path,
        };
        Reader::open(&path).map_err(failed)
    }
}

fn failed(error: JournalError) -> Exit {
    report(&error);
    Exit::Findings
}

/// Prints a line; whether anybody reads.
fn put(out: &mut impl Write, line: &str) -> bool {
    writeln!(out, "{line}").is_ok()
}

fn tail(args: TailArgs) -> Exit {
    let TailArgs { path, filter, lines, follow } = args;
    let filter = filter.filter();
    let run = || -> Result<(), Exit> {
        let reader = path.open()?;
        // What comes from now on is none of the last ones.
        let mut until = reader.last().map_err(failed)?;
        let mut at = reader.before_last(&filter, until, lines).map_err(failed)?;
        let mut out = io::stdout().lock();
        let mut reads = true;
        loop {
            at = reader
                .lines(&filter, at, until, &mut |line| {
                    reads = put(&mut out, line);
                    reads
                })
                .map_err(failed)?;
            if !follow || !reads || out.flush().is_err() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
            // A filter that lets little through is not asked of the same ones again.
            until = reader.last().map_err(failed)?;
        }
    };
    run().map_or_else(|exit| exit, |()| Exit::Fine)
}

fn export(args: ExportArgs) -> Exit {
    let run = || -> Result<(), Exit> {
        let reader = args.path.open()?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        // What is there now: of a daemon that goes on there would be no end.
        let until = reader.last().map_err(failed)?;
        reader.lines(&args.filter.filter(), 0, until, &mut |line| put(&mut out, line)).map_err(failed)?;
        // Whoever does not read to the end does not want it.
        let _unread = out.flush();
        Ok(())
    };
    run().map_or_else(|exit| exit, |()| Exit::Fine)
}

fn stats(args: &StatsArgs) -> Exit {
    let stats = match args.path.open().and_then(|reader| reader.stats().map_err(failed)) {
        Ok(stats) => stats,
        Err(exit) => return exit,
    };
    match args.output {
        OutputFormat::Json => print_json(&stats),
        OutputFormat::Text => print(&describe(&stats)),
    }
}

fn describe(stats: &Stats) -> String {
    let Stats { path, detections, size, file_size, oldest, newest, tenants } = stats;
    let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".into());
    let mut text = format!(
        "{}\n{detections} detections, {size} bytes of the bound, {file_size} bytes of file\noldest {}\nnewest {}\n",
        path.display(),
        time(oldest),
        time(newest)
    );
    for tenant in tenants {
        text += &format!("{:>12} {:>14}  {}\n", tenant.detections, tenant.size, tenant.tenant.escape_debug());
    }
    text
}
