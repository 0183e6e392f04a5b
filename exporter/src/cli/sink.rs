//! `yagura sink`: whether those who are to be told can be.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use tokio::time::timeout;

use super::{ConfigArgs, Exit, print, report, report_chain, table, visible};
use crate::{
    app,
    config::{Config, Format, OutputConfig},
    delivery::{Entry, Lane, Sent},
    detection::{Detection, Formatter, PLATFORM_TENANT},
    metrics::SinkMetrics,
};

/// Longest time for one sink.
const PATIENCE: Duration = Duration::from_secs(310);

#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Send one made-up detection to each sink, and say what came back
    Test(TestArgs),
}

#[derive(Debug, Args)]
pub struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this sink
    name: Option<String>,
}

pub fn execute(command: SinkCommand) -> Exit {
    let SinkCommand::Test(TestArgs { config, name }) = command;
    let config = match config.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let wanted = |sink: &&crate::config::SinkConfig| name.as_ref().is_none_or(|name| *name == sink.name);
    let metrics = SinkMetrics::default();
    let lanes: Vec<Lane> = config.sinks.iter().filter(wanted).map(|sink| app::lane(sink, &metrics)).collect();
    if lanes.is_empty() {
        report(&match name {
            Some(name) => format!("yagura: no sink is named '{}'", visible(&name)),
            None => "yagura: no sink is configured".into(),
        });
        return Exit::Bad;
    }
    let entry = synthetic(&config);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report_chain(&error);
            return Exit::Findings;
        }
    };
    let mut failed = false;
    let rows: Vec<Vec<String>> = lanes
        .iter()
        .map(|lane| {
            let sending = lane.sink.send(PLATFORM_TENANT, std::slice::from_ref(&entry));
            let result = match runtime.block_on(async { timeout(PATIENCE, sending).await }) {
                Ok(Sent { refusal: None, .. }) => "taken".to_owned(),
                Ok(Sent { refusal: Some(refusal), .. }) => {
                    failed = true;
                    visible(&refusal.to_string())
                }
                Err(_) => {
                    failed = true;
                    "no answer".into()
                }
            };
            vec![lane.name.to_string(), result]
        })
        .collect();
    match print(&table(&rows)) {
        Exit::Fine if failed => Exit::Findings,
        exit => exit,
    }
}

/// As the journal would have it.
fn synthetic(config: &Config) -> Entry {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let detection = Detection::of_test(now);
    let whole = OutputConfig { format: Format::Json, ..Config::default().output };
    let mut line = Vec::new();
    Formatter::new(app::identity(config), whole).json(&detection, &mut line);
    Entry {
        seq: 1,
        time_ns: i64::try_from(now).unwrap_or(i64::MAX),
        written_ns: i64::try_from(now).unwrap_or(i64::MAX),
        namespace: None,
        source: detection.source.into(),
        priority: detection.priority,
        rule: detection.rule.to_string(),
        tags: detection.tags.to_vec(),
        line: String::from_utf8_lossy(&line).into_owned(),
    }
}
