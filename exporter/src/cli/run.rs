//! `yagura run`.

use std::path::PathBuf;

use clap::Args;

use super::{ConfigArgs, DetectionArgs, Exit, RulesArgs, report_chain};
use crate::{
    app::{self, RecordOptions, RunOptions},
    config::log_level_of,
};

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    detections: DetectionArgs,
    /// Write the kernel's events to this file too, for `yagura replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Stop recording at this size
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, requires = "record")]
    record_max_bytes: u64,
    /// error, warning, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = log_level_of)]
    log_level: Option<String>,
}

pub fn execute(args: RunArgs) -> Exit {
    let RunArgs { config, rules, detections, record, record_max_bytes, log_level } = args;
    let mut config = match config.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    detections.apply(&mut config);
    if let Some(level) = log_level {
        config.log.level = level;
    }
    // Until everything has ended.
    let _traces = app::init_logging(&config);
    let sources = rules.sources(&config);
    let record = record.map(|path| RecordOptions { path, max_bytes: record_max_bytes });
    match app::run(RunOptions { config, sources, record }) {
        Ok(()) => Exit::Fine,
        Err(error) => {
            report_chain(&error);
            if error.is_configuration() { Exit::Bad } else { Exit::Findings }
        }
    }
}
