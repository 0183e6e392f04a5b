//! `yagura k8s-audit`.

use clap::{Args, Subcommand, ValueEnum};

use super::{ConfigArgs, Exit, RulesArgs, load_rules, print};
use crate::app::ApiServerSetup;

#[derive(Debug, Subcommand)]
pub enum K8sAuditCommand {
    /// Print what a Kubernetes API server must be told, so that its audit events suffice for the rules
    PrintConfig(PrintArgs),
}

#[derive(Debug, Args)]
pub struct PrintArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RulesArgs,
    /// Which part
    #[arg(long, value_enum, default_value_t)]
    format: Part,
    /// URL by which the API server reaches the daemon [default: the listen address]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    #[default]
    All,
    /// Arguments of kube-apiserver
    Flags,
    /// The file for --audit-webhook-config-file
    Webhook,
    /// The file for --audit-policy-file
    Policy,
}

pub fn execute(command: K8sAuditCommand) -> Exit {
    let K8sAuditCommand::PrintConfig(PrintArgs { config, rules, format, server }) = command;
    let config = match config.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let sources = rules.sources(&config);
    let rules = match load_rules(&sources, &sources.load_options(&config)) {
        Ok(rules) => rules,
        Err(exit) => return exit,
    };
    let ApiServerSetup { flags, webhook, policy } = ApiServerSetup::new(&config, &rules, server.as_deref());
    match format {
        Part::Flags => print(&flags),
        Part::Webhook => print(&webhook),
        Part::Policy => print(&policy),
        Part::All => print(&format!(
            "# arguments of kube-apiserver\n{flags}\n# webhook.yaml\n---\n{webhook}\n# policy.yaml\n---\n{policy}"
        )),
    }
}
