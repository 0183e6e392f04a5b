//! `yagura replay`.

use std::{
    io::{self, BufWriter},
    path::PathBuf,
};

use clap::Args;

use super::{ConfigArgs, DetectionArgs, Exit, OutputFormat, RulesArgs, load_rules, report, report_chain};
use crate::app::{ReplayError, ReplayOptions, replay};

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A recording of `yagura run --record`
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    detections: DetectionArgs,
    /// How the report on stderr is printed
    #[arg(long, short, value_enum, default_value_t)]
    output: OutputFormat,
}

pub fn execute(args: ReplayArgs) -> Exit {
    let ReplayArgs { file, config, rules, detections, output } = args;
    let mut config = match config.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    detections.apply(&mut config);
    let sources = rules.sources(&config);
    let rules = match load_rules(&sources, &sources.load_options(&config)) {
        Ok(rules) => rules,
        Err(exit) => return exit,
    };
    let mut out = BufWriter::new(io::stdout());
    let (speed, result) = replay(ReplayOptions { config, file, rules }, &mut out);
    match output {
        OutputFormat::Text => report(&speed),
        OutputFormat::Json => match serde_json::to_string(&speed) {
            Ok(json) => report(&json),
            Err(error) => report_chain(&error),
        },
    }
    match result {
        Ok(()) => Exit::Fine,
        Err(ReplayError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => {
            report(&format!("yagura: {error}"));
            Exit::Bad
        }
    }
}
