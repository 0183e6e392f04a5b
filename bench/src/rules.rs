//! What deciding costs: nanoseconds per event and type, over events that a daemon recorded here.

use std::{
    collections::BTreeMap,
    fmt, fs,
    fs::File,
    io::BufReader,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use yagura::{
    app::RuleSources,
    decode,
    enrich::{EnrichOptions, Enricher},
    recording::{Frame, Reader, records},
    rules::{LoadOptions, RuleSet, Scratch},
};

use crate::daemon::Daemon;

/// Files that the workload opens.
const OPENS: usize = 20_000;
const EXECS: usize = 300;
const CONNECTS: usize = 2_000;
/// Evaluations of each event, so that the clock's own cost does not show.
const REPEATS: u32 = 16;

/// Sums of one event type.
#[derive(Debug, Default)]
struct Cost {
    events: u64,
    observe: Duration,
    evaluate: Duration,
    matches: u64,
}

/// The table that `make bench` prints last.
#[derive(Debug)]
pub struct Evaluation {
    rules: usize,
    costs: BTreeMap<&'static str, Cost>,
}

/// Records a workload under a daemon with `rules`, then decides about each of its events again.
pub fn measure(yagura: &Path, rules: &[PathBuf]) -> Result<Evaluation> {
    let folder = tempfile::tempdir()?;
    let recording = folder.path().join("events.yagura");
    let path = recording.to_str().context("the recording's path")?;
    let daemon = Daemon::start(yagura, rules, 1, &["--record", path])?;
    workload()?;
    daemon.stop()?;

    let set = load(rules)?;
    let mut reader = Reader::open(BufReader::new(File::open(&recording)?))?;
    let mut enricher = Enricher::new(EnrichOptions::default());
    let mut scratch = Scratch::default();
    let mut costs: BTreeMap<&'static str, Cost> = BTreeMap::new();
    while let Some(frame) = reader.next_frame()? {
        let bytes = match frame {
            Frame::Processes(json) => {
                enricher.restore(&serde_json::from_slice(json)?);
                continue;
            }
            Frame::Events { bytes, .. } => bytes,
        };
        for record in records(bytes) {
            let start = Instant::now();
            let event = decode::decode(record)?;
            let view = enricher.observe(&event);
            let observed = Instant::now();
            let mut matches = 0;
            for _ in 0..REPEATS {
                set.evaluate(&view, &mut scratch, |_| matches += 1);
            }
            let evaluated = Instant::now();
            enricher.settle(&event);
            let cost = costs.entry(event.event_type().name()).or_default();
            cost.events += 1;
            cost.observe += observed - start;
            cost.evaluate += evaluated - observed;
            cost.matches += matches / u64::from(REPEATS);
        }
    }
    ensure!(!costs.is_empty(), "the daemon recorded nothing");
    Ok(Evaluation { rules: set.rules().iter().filter(|rule| rule.enabled).count(), costs })
}

/// Opens, execs and connections of the kind a node sees, most of which no rule matches.
fn workload() -> Result<()> {
    let mut opened = 0;
    let mut folders = vec![PathBuf::from("/etc"), PathBuf::from("/usr/share"), PathBuf::from("/usr/lib")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.insert(0, entry.path()),
                Ok(kind) if kind.is_file() => {
                    // A file that may not be opened is an event too.
                    let _ = File::open(entry.path());
                    opened += 1;
                }
                _ => {}
            }
        }
        if opened >= OPENS {
            break;
        }
    }
    for _ in 0..EXECS {
        Command::new("/bin/true").stdin(Stdio::null()).status()?;
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..CONNECTS {
        let client = TcpStream::connect(listener.local_addr()?)?;
        drop(listener.accept()?);
        drop(client);
    }
    Ok(())
}

fn load(paths: &[PathBuf]) -> Result<RuleSet> {
    let files = RuleSources::choose(paths.to_vec(), &[]).read()?;
    yagura::rules::load(&files, &LoadOptions::default()).rules.context("the rules do not load")
}

impl Evaluation {
    pub fn to_json(&self) -> serde_json::Value {
        let types: serde_json::Map<_, _> = self
            .costs
            .iter()
            .map(|(name, cost)| {
                let figures = serde_json::json!({
                    "events": cost.events, "observe_ns": cost.observe_ns(), "evaluate_ns": cost.evaluate_ns(),
                    "matches": cost.matches,
                });
                ((*name).to_owned(), figures)
            })
            .collect();
        serde_json::json!({ "rules": self.rules, "types": types })
    }
}

impl Cost {
    fn observe_ns(&self) -> f64 {
        self.observe.as_nanos() as f64 / self.events as f64
    }

    fn evaluate_ns(&self) -> f64 {
        self.evaluate.as_nanos() as f64 / self.events as f64 / f64::from(REPEATS)
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} rules; ns per event, mean over a recorded workload", self.rules)?;
        writeln!(f, "| event type | events | decode and process table | rule evaluation | matches |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: |")?;
        let mut all = Cost::default();
        for (name, cost) in &self.costs {
            writeln!(
                f,
                "| {name} | {} | {:.0} | {:.0} | {} |",
                cost.events,
                cost.observe_ns(),
                cost.evaluate_ns(),
                cost.matches
            )?;
            all.events += cost.events;
            all.observe += cost.observe;
            all.evaluate += cost.evaluate;
            all.matches += cost.matches;
        }
        writeln!(
            f,
            "| all | {} | {:.0} | {:.0} | {} |",
            all.events,
            all.observe_ns(),
            all.evaluate_ns(),
            all.matches
        )
    }
}
