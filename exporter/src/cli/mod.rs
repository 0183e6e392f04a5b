//! The command line: names, options and exit codes. Each command is a file.
//!
//! Exit codes: 0 fine, 1 findings (or the machine does not allow it), 2 bad usage, rules or configuration.
//! Results go to stdout, every error to stderr with its place.

mod doctor;
mod fields;
mod journal;
mod k8s_audit;
mod replay;
mod rules;
mod run;
mod sink;

use std::{
    fmt,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    app::RuleSources,
    config::{Config, Format},
    rules::{Diagnostic, RuleMatching, Severity, push_visible},
};

#[derive(Debug, Parser)]
#[command(name = "yagura", version, about = "Detects suspicious behaviour of processes, by Falco's rules")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Attach to the kernel and print detections
    Run(run::RunArgs),
    /// Work with rules; needs no kernel and no privilege
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// List the fields that rules can use
    Fields(fields::FieldsArgs),
    /// Feed recorded events through the rules
    Replay(replay::ReplayArgs),
    /// Take part in a Kubernetes cluster's audit
    #[command(subcommand, name = "k8s-audit")]
    K8sAudit(k8s_audit::K8sAuditCommand),
    /// Try those who are told of detections
    #[command(subcommand)]
    Sink(sink::SinkCommand),
    /// Read the detections that are kept on this node
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Say what this kernel offers, what would be attached, and what is missing
    Doctor(doctor::DoctorArgs),
}

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Fine,
    /// What was examined is not as it should be, or the machine does not allow it.
    Findings,
    /// Usage, rules or configuration are wrong.
    Bad,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Findings => 1,
            Exit::Bad => 2,
        })
    }
}

impl Cli {
    /// Does what was asked.
    pub fn execute(self) -> Exit {
        match self.command {
            Command::Run(args) => run::execute(args),
            Command::Rules(command) => rules::execute(command),
            Command::Fields(args) => fields::execute(&args),
            Command::Replay(args) => replay::execute(args),
            Command::K8sAudit(command) => k8s_audit::execute(command),
            Command::Sink(command) => sink::execute(command),
            Command::Journal(command) => journal::execute(command),
            Command::Doctor(args) => doctor::execute(args),
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// Configuration file [default: /etc/yagura/yagura.yaml, if it exists]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The configuration; all its errors are on stderr.
    fn load(&self) -> Result<Config, Exit> {
        Config::load(self.config.as_deref()).map_err(|errors| {
            report(&errors);
            Exit::Bad
        })
    }
}

#[derive(Debug, Args)]
struct RulesArgs {
    /// Rule file, or folder read in name order; only these are loaded [default: rules_files of the
    /// configuration, or Yagura's own rules]
    #[arg(long, short, value_name = "PATH")]
    rules: Vec<PathBuf>,
}

impl RulesArgs {
    fn sources(self, config: &Config) -> RuleSources {
        RuleSources::choose(self.rules, &config.rules_files)
    }
}

#[derive(Debug, Args)]
struct DetectionArgs {
    /// How detections are printed [default: json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Which of several matching rules speak [default: first, or most_severe with the rules in the binary]
    #[arg(long, value_name = "WHICH")]
    rule_matching: Option<RuleMatching>,
}

impl DetectionArgs {
    fn apply(&self, config: &mut Config) {
        if let Some(format) = self.format {
            config.output.format = format;
        }
        config.rule_matching = self.rule_matching.or(config.rule_matching);
    }
}

/// Loads rules for a command that needs them; what is wrong with them is on stderr.
fn load_rules(
    sources: &RuleSources,
    options: &crate::rules::LoadOptions,
) -> Result<crate::rules::RuleSet, Exit> {
    let files = sources.read().map_err(|error| {
        report(&error);
        Exit::Bad
    })?;
    let load = crate::rules::load(&files, options);
    load.diagnostics.iter().filter(|d| d.severity == Severity::Error).for_each(report);
    load.rules.ok_or(Exit::Bad)
}

/// An error and its causes, on stderr.
fn report(error: &(impl fmt::Display + ?Sized)) {
    let _ = writeln!(io::stderr(), "{error}");
}

/// As [`report`], with the causes.
fn report_chain(error: &dyn std::error::Error) {
    report(&format!("yagura: {}", crate::kernel::chain(error)));
}

/// Prints a result. A reader that has gone (`| head`) is not an error.
fn print(text: &str) -> Exit {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            report_chain(&error);
            Exit::Findings
        }
        _ => Exit::Fine,
    }
}

/// Prints a result for machines.
fn print_json(value: &impl serde::Serialize) -> Exit {
    match serde_json::to_string_pretty(value) {
        Ok(json) => print(&(json + "\n")),
        Err(error) => {
            report_chain(&error);
            Exit::Findings
        }
    }
}

/// What a file says, safe to print on a terminal.
fn visible(text: &str) -> String {
    let mut line = String::new();
    push_visible(&mut line, text);
    line
}

/// Text columns, each as wide as its widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// How many diagnostics are errors, and how many are warnings.
fn count(diagnostics: &[Diagnostic]) -> (usize, usize) {
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    (errors, diagnostics.len() - errors)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "bb".into()], vec!["ccc".into(), "d".into()]];
        assert_eq!(table(&rows), "a    bb\nccc  d\n");
    }

    #[test]
    fn a_rule_cannot_write_to_the_terminal() {
        assert_eq!(visible("é \"a\"\n\u{1b}[2J\u{202e}"), "é \"a\"\\n\\x1b[2J\\u{202e}");
    }
}
