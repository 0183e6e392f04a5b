//! `yagura doctor`.

use clap::Args;

use super::{ConfigArgs, Exit, OutputFormat, RulesArgs, print, print_json};
use crate::app::examine;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RulesArgs,
    /// Say also, for each event type, which events the kernel reports and which rules defeat filtering
    #[arg(long)]
    filters: bool,
    #[arg(long, short, value_enum, default_value_t)]
    output: OutputFormat,
}

pub fn execute(args: DoctorArgs) -> Exit {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let sources = args.rules.sources(&config);
    let doctor = examine(&config, &sources);
    let printed = match args.output {
        OutputFormat::Json => print_json(&doctor),
        OutputFormat::Text => {
            let mut text = doctor.to_string();
            if args.filters {
                text.push_str("\nreported to user space\n");
                if !config.push_down {
                    text.push_str("every event of each type that a rule needs: kernel.push_down is off\n");
                }
                doctor.filters.iter().for_each(|filter| text.push_str(&filter.to_string()));
            }
            print(&text)
        }
    };
    if doctor.healthy() { printed } else { Exit::Findings }
}
