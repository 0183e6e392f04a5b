//! `yagura rules check|list`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{ConfigArgs, Exit, OutputFormat, RulesArgs, count, load_rules, print, print_json, report, table};
use crate::{
    app::RuleSources,
    rules::{self, Diagnostic, LoadOptions, RuleSet},
};

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Load rule files together, in this order, and say everything that is wrong with them
    Check(CheckArgs),
    /// List rules
    List(ListArgs),
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Rule files, or folders read in name order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Warnings are findings too
    #[arg(long)]
    strict: bool,
    #[arg(long, short, value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[arg(long, short, value_enum, default_value_t)]
    output: OutputFormat,
}

pub fn execute(command: RulesCommand) -> Exit {
    match command {
        RulesCommand::Check(args) => check(args),
        RulesCommand::List(args) => list(args),
    }
}

/// `rules check -o json`.
#[derive(Serialize)]
struct Checked<'a> {
    files: Vec<&'a str>,
    /// `null` if there are errors.
    rules: Option<usize>,
    errors: usize,
    warnings: usize,
    diagnostics: &'a [Diagnostic],
}

fn check(args: CheckArgs) -> Exit {
    let CheckArgs { files, strict, output } = args;
    let files = match RuleSources::Paths(files).read() {
        Ok(files) => files,
        Err(error) => {
            report(&error);
            return Exit::Bad;
        }
    };
    let load = rules::load(&files, &LoadOptions::default());
    let (errors, warnings) = count(&load.diagnostics);
    let rules = load.rules.as_ref().map(|set| set.rules().len());
    let printed = match output {
        OutputFormat::Json => print_json(&Checked {
            files: files.iter().map(|file| &*file.name).collect(),
            rules,
            errors,
            warnings,
            diagnostics: &load.diagnostics,
        }),
        OutputFormat::Text => {
            load.diagnostics.iter().for_each(report);
            let rules = rules.map_or_else(|| "not loaded".to_owned(), |n| format!("{n} rules"));
            print(&format!("{} files: {rules}, {errors} errors, {warnings} warnings\n", files.len()))
        }
    };
    if errors > 0 || strict && warnings > 0 { Exit::Findings } else { printed }
}

/// A rule in `rules list -o json`.
#[derive(Serialize)]
struct Listed<'a> {
    rule: &'a str,
    priority: &'static str,
    source: &'static str,
    enabled: bool,
    tags: &'a [String],
    event_types: Vec<&'static str>,
    file: &'a str,
    line: u32,
    description: &'a str,
}

fn list(args: ListArgs) -> Exit {
    let ListArgs { config, rules, output } = args;
    let set = match config.load().and_then(|config| {
        let sources = rules.sources(&config);
        load_rules(&sources, &LoadOptions::from(&config))
    }) {
        Ok(set) => set,
        Err(exit) => return exit,
    };
    match output {
        OutputFormat::Json => print_json(&listed(&set)),
        OutputFormat::Text => {
            let head = ["PRIORITY", "ENABLED", "SOURCE", "RULE", "TAGS"].map(str::to_owned).to_vec();
            let rows = set.rules().iter().map(|rule| {
                vec![
                    rule.priority.name().to_owned(),
                    if rule.enabled { "yes" } else { "no" }.to_owned(),
                    rule.source.name().to_owned(),
                    rule.name.clone(),
                    rule.tags.join(","),
                ]
            });
            print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
        }
    }
}

fn listed(set: &RuleSet) -> Vec<Listed<'_>> {
    let list = |rule: &'_ rules::Rule| rule.event_types.iter().map(|t| t.name()).collect();
    set.rules()
        .iter()
        .map(|rule| Listed {
            rule: &rule.name,
            priority: rule.priority.name(),
            source: rule.source.name(),
            enabled: rule.enabled,
            tags: &rule.tags,
            event_types: list(rule),
            file: &rule.file,
            line: rule.line,
            description: &rule.description,
        })
        .collect()
}
