//! `yagura replay`: a recording through the same decoding, process table and rules, as fast as it goes.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{active::Active, engine::Engine, live::Users, sets::Sets, snapshot};
use crate::{
    config::Config,
    detection::{Detection, Formatter, Identity},
    enrich::{EnrichOptions, Enricher, snapshot::Snapshot},
    metrics::{EngineCounters, Ledger, Metrics},
    recording::{Frame, Reader, RecordingError, records},
    rules::RuleSet,
    tenants::Tenants,
};

/// What `replay` is asked to do.
#[derive(Debug)]
pub struct ReplayOptions {
    pub config: Config,
    pub file: PathBuf,
    pub rules: RuleSet,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("{}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Recording { path: PathBuf, source: RecordingError },
    #[error("{}: the process table cannot be read: {source}", path.display())]
    Processes { path: PathBuf, source: serde_json::Error },
    #[error("cannot write the detections")]
    Write(#[source] io::Error),
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
}

/// What was replayed, and how fast. Times are of decoding, process table, rules and rendering; reading the
/// file and writing the detections are not in them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Speed {
    pub events: u64,
    pub ns_per_event: f64,
    pub events_per_second: f64,
    pub matched: u64,
    pub unmatched: u64,
    pub invalid: u64,
    pub detections: u64,
    pub suppressed: u64,
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Speed {
            events,
            ns_per_event,
            events_per_second,
            matched,
            unmatched,
            invalid,
            detections,
            suppressed,
        } = self;
        write!(
            f,
            "{events} events, {ns_per_event:.0} ns/event ({events_per_second:.0}/s): {matched} matched, \
             {unmatched} unmatched, {invalid} invalid; {detections} detections, {suppressed} suppressed"
        )
    }
}

/// Replays a recording, writing detections to `out`. An error after some frames comes with what was
/// replayed until then.
pub fn replay(options: ReplayOptions, out: &mut impl Write) -> (Speed, Result<(), ReplayError>) {
    let counters = Arc::new(EngineCounters::default());
    let mut spent = Duration::ZERO;
    let result = feed(options, &counters, &mut spent, out);
    let events = counters.records();
    let ns = spent.as_nanos() as f64;
    let speed = Speed {
        events,
        ns_per_event: if events == 0 { 0.0 } else { ns / events as f64 },
        events_per_second: if events == 0 { 0.0 } else { events as f64 * 1e9 / ns.max(1.0) },
        matched: counters.matched.get(),
        unmatched: counters.unmatched.get(),
        invalid: counters.invalid.get(),
        detections: counters.detections.get(),
        suppressed: counters.suppressed.get(),
    };
    (speed, result)
}

fn feed(
    options: ReplayOptions,
    counters: &Arc<EngineCounters>,
    spent: &mut Duration,
    out: &mut impl Write,
) -> Result<(), ReplayError> {
    let ReplayOptions { config, file, rules } = options;
    let path: &Path = &file;
    let recording = |source| ReplayError::Recording { path: path.to_owned(), source };
    let open = |source| ReplayError::Open { path: path.to_owned(), source };
    let mut reader = Reader::open(File::open(path).map_err(open)?).map_err(recording)?;
    let meta = reader.meta().clone();
    let identity = Identity {
        node: config.node.clone().unwrap_or_else(|| meta.hostname.clone()),
        hostname: meta.hostname.clone(),
        cluster: config.cluster.clone(),
    };
    let formatter = Formatter::new(identity, config.output.clone());
    let ledger = Ledger { engine: Arc::clone(counters), ..Ledger::new(Arc::new(|| None))? };
    // Whose a container was is not recorded: everything is the platform's.
    let tenants = Arc::new(Tenants::new(&[], &meta.hostname, config.rate_limit));
    let metrics = Arc::new(Metrics::new(ledger)?);
    let active = Active::new(Sets::of(rules), tenants, &metrics, &config.rate_limit);
    let enricher = Enricher::new(EnrichOptions {
        max_processes: config.max_processes,
        max_env_bytes: config.max_env_bytes,
        hostname: meta.hostname,
        boot_time_ns: meta.boot_offset_ns,
        users: Users::new().current,
        ..EnrichOptions::default()
    });
    let mut engine = Engine::new(
        enricher,
        meta.boot_offset_ns,
        active,
        config.rate_limit,
        Duration::ZERO,
        Arc::clone(counters),
    );
    let mut processes = Some(Snapshot::default());
    let mut found: Vec<Detection> = Vec::new();
    let mut lines = Vec::new();
    while let Some(frame) = reader.next_frame().map_err(recording)? {
        match frame {
            Frame::Processes(json) => {
                if let Some(processes) = &mut processes {
                    snapshot::add(processes, json)
                        .map_err(|source| ReplayError::Processes { path: path.to_owned(), source })?;
                }
            }
            Frame::Events { bytes, .. } => {
                if let Some(processes) = processes.take() {
                    engine.restore(&processes);
                }
                let begin = Instant::now();
                for record in records(bytes) {
                    engine.handle(record, &mut |detection| {
                        found.push(detection);
                        true
                    });
                }
                *spent += begin.elapsed();
                lines.clear();
                found.drain(..).for_each(|detection| formatter.line(&detection, &mut lines));
                out.write_all(&lines).map_err(ReplayError::Write)?;
            }
        }
    }
    out.flush().map_err(ReplayError::Write)
}

#[cfg(test)]
mod tests {
    use exporter_common::{event_type::EventType, record::SectionKind};

    use super::*;
    use crate::{
        event::builder::RecordBuilder,
        recording::{Meta, Recorder},
        rules::{self, LoadOptions, SourceFile},
    };

    fn rules() -> RuleSet {
        let text = "- rule: R\n  desc: d\n  condition: evt.type = openat and fd.name = /etc/shadow\n  \
                    output: by %proc.name of %proc.pname\n  priority: INFO\n";
        let file = SourceFile { name: "r.yaml".into(), text: text.into() };
        rules::load(&[file], &LoadOptions::default()).rules.expect("rules")
    }

    /// A recording of ten opens, every second one of the file that the rule is about.
    fn recording(path: &Path) {
        let meta = Meta {
            yagura: "0".into(),
            hostname: "recorded".into(),
            kernel: "6".into(),
            boot_offset_ns: 1_700_000_000_000_000_000,
        };
        let (mut recorder, mut tap) = Recorder::create(path, 1 << 20, &meta, Arc::default()).unwrap();
        let parent = crate::enrich::snapshot::ProcessRecord {
            pid: 999,
            start_ns: 8_000_000_000,
            comm: "parent".into(),
            ..Default::default()
        };
        let snapshot =
            Snapshot { boot_time_ns: meta.boot_offset_ns, host_mnt_ns: 0, processes: vec![parent] };
        for part in snapshot::parts(&snapshot).unwrap() {
            recorder.processes(part.count, &part.json).unwrap();
        }
        for i in 0..10 {
            let path = if i % 2 == 0 { "/etc/shadow" } else { "/etc/passwd" };
            let record =
                RecordBuilder::new(EventType::Openat).ret(3).section(SectionKind::Path, path).build();
            tap.record(&record);
        }
        tap.flush();
        drop(tap);
        recorder.run().unwrap();
    }

    fn run(path: &Path) -> (Speed, Result<(), ReplayError>, String) {
        let options = ReplayOptions { config: Config::default(), file: path.to_owned(), rules: rules() };
        let mut out = Vec::new();
        let (speed, result) = replay(options, &mut out);
        (speed, result, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_recording_gives_its_detections_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r");
        recording(&path);
        let (speed, result, out) = run(&path);
        result.unwrap();
        assert_eq!((speed.events, speed.matched, speed.unmatched, speed.detections), (10, 5, 5, 5));
        assert!(speed.ns_per_event > 0.0 && speed.to_string().starts_with("10 events, "));
        assert_eq!(out.lines().count(), 5);
        let line: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
        assert_eq!(line["time"], "2023-11-14T22:13:30.000000000Z");
        assert_eq!(line["hostname"], "recorded");
        assert!(line["output"].as_str().unwrap().ends_with("by test of parent"), "{line}");
    }

    #[test]
    fn what_is_whole_is_replayed_and_the_rest_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r");
        recording(&path);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let (speed, result, out) = run(&path);
        assert_eq!((speed.events, out.lines().count()), (10, 5));
        let error = result.unwrap_err().to_string();
        assert!(error.contains(&format!("r: offset {}: truncated", bytes.len() - 3)), "{error}");
        let (_, result, _) = run(&dir.path().join("absent"));
        assert!(result.unwrap_err().to_string().contains("absent: No such file"));
    }
}
