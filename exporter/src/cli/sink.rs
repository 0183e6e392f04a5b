//! `yagura sink`: whether those who are to be told can be.

use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::timeout;

use super::{ConfigArgs, Exit, print, report, report_chain, table, visible};
use crate::{
    app,
    config::{Config, SinkConfig, SinkKind},
};

/// Longest time for one sink.
const PATIENCE: Duration = Duration::from_secs(310);

#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Send one made-up detection, or sample, to each sink, and say what came back
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
    let wanted = |sink: &&SinkConfig| name.as_ref().is_none_or(|name| *name == sink.name);
    let sinks: Vec<&SinkConfig> = config.sinks.iter().filter(wanted).collect();
    if sinks.is_empty() {
        report(&match name {
            Some(name) => format!("yagura: no sink is named '{}'", visible(&name)),
            None => "yagura: no sink is configured".into(),
        });
        return Exit::Bad;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report_chain(&error);
            return Exit::Findings;
        }
    };
    let mut failed = false;
    let rows: Vec<Vec<String>> = sinks
        .iter()
        .map(|sink| {
            let sending = send(&config, sink);
            let result = match runtime.block_on(async { timeout(PATIENCE, sending).await }) {
                Ok(Ok(())) => "taken".to_owned(),
                Ok(Err(what)) => {
                    failed = true;
                    visible(&what)
                }
                Err(_) => {
                    failed = true;
                    "no answer".into()
                }
            };
            vec![sink.name.clone(), result]
        })
        .collect();
    match print(&table(&rows)) {
        Exit::Fine if failed => Exit::Findings,
        exit => exit,
    }
}

/// One detection, or, to a sink that takes samples, one sample. The error is what came back.
async fn send(config: &Config, sink: &SinkConfig) -> Result<(), String> {
    match sink.kind {
        SinkKind::RemoteWrite(_) => app::try_remote_write(config, sink).await,
        _ => app::try_lane(config, sink).await,
    }
}
