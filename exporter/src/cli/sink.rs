//! `yagura sink`: are receivers reached?

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::{ConfigArgs, Exit, report};
use crate::{
    app::identity,
    delivery::SinkSettings,
    detection::{Detection, Formatter, PLATFORM_TENANT},
    rules::Priority,
    sinks::{Entry, SendError},
};

#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Send one made-up detection to each receiver, or to one, and say what came back
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
    let chosen: Vec<&SinkSettings> =
        config.sinks.iter().filter(|sink| name.as_ref().is_none_or(|name| *name == sink.name)).collect();
    if chosen.is_empty() {
        report(&match name {
            Some(name) => format!("no sink is called '{name}'"),
            None => "the configuration has no sinks".to_owned(),
        });
        return Exit::Bad;
    }
    let formatter = Formatter::new(identity(&config), crate::config::Config::default().output);
    let mut line = Vec::new();
    formatter.json(&made_up(), &mut line);
    let entry = Entry { id: 0, written_ns: 0, line: String::from_utf8(line).unwrap_or_default() };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            super::report_chain(&error);
            return Exit::Findings;
        }
    };
    let mut exit = Exit::Fine;
    for settings in chosen {
        let said = match settings.build() {
            Ok(sink) => match runtime.block_on(sink.send(PLATFORM_TENANT, std::slice::from_ref(&entry))) {
                Ok(()) => Ok("it was taken".to_owned()),
                Err(SendError::Later { text, .. }) => Err(format!("it was not taken: {text}")),
                Err(SendError::Rejected { text }) => Err(format!("it was rejected: {text}")),
            },
            Err(error) => Err(crate::kernel::chain(&error)),
        };
        let text = match said {
            Ok(text) => text,
            Err(text) => {
                exit = Exit::Findings;
                text
            }
        };
        let printed = super::print(&format!("{}: {text}\n", settings.name));
        if printed != Exit::Fine {
            exit = printed;
        }
    }
    exit
}

/// A detection that says what it is.
fn made_up() -> Detection {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Detection {
        time_ns: u64::try_from(now.as_nanos()).unwrap_or(0),
        rule: "Yagura sink test".into(),
        priority: Priority::Informational,
        source: "internal",
        tags: Arc::from(["yagura_sink_test".to_owned()]),
        message: "A made-up detection of `yagura sink test`: nothing has happened".into(),
        output_fields: Vec::new(),
        incomplete_fields: Vec::new(),
        uuid: uuid::Uuid::new_v4(),
        tenant: PLATFORM_TENANT.into(),
        namespace: None,
        correlation: None,
    }
}
