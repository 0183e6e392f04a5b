//! `yagura rules check|list|test`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    ConfigArgs, Exit, OutputFormat, RulesArgs, count, load_rules, print, print_json, report, table, visible,
};
use crate::{
    app::{RuleFilter, RuleSources, explain_rule},
    cases,
    rules::{self, Diagnostic, LoadOptions, Priority, RuleMatching, RuleSet},
    suggest::nearest,
};

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Load rule files together, in this order, and say everything that is wrong with them
    Check(CheckArgs),
    /// List rules
    List(ListArgs),
    /// Say what the kernel checks of a rule and what is left to user space
    Explain(ExplainArgs),
    /// Run cases that say of an event which rules must fire
    Test(TestArgs),
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

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The rule's name
    #[arg(value_name = "RULE")]
    rule: String,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RulesArgs,
    #[arg(long, short, value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Files with cases, or folders read in name order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    rules: RulesArgs,
    /// A rule without a case that makes it fire, or without a near miss, is a finding too
    #[arg(long)]
    coverage: bool,
    #[arg(long, short, value_enum, default_value_t)]
    output: OutputFormat,
}

pub fn execute(command: RulesCommand) -> Exit {
    match command {
        RulesCommand::Check(args) => check(args),
        RulesCommand::List(args) => list(args),
        RulesCommand::Explain(args) => explain(args),
        RulesCommand::Test(args) => test(args),
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

/// The rules that `run` would use with these options.
fn in_use(config: &ConfigArgs, rules: RulesArgs) -> Result<RuleSet, Exit> {
    let config = config.load()?;
    let sources = rules.sources(&config);
    load_rules(&sources, &sources.load_options(&config))
}

/// `rules explain -o json`.
#[derive(Serialize)]
struct Explained<'a> {
    rule: &'a str,
    file: &'a str,
    line: u32,
    condition: &'a str,
    event_types: Vec<RuleFilter>,
}

fn explain(args: ExplainArgs) -> Exit {
    let ExplainArgs { rule, config, rules, output } = args;
    let set = match in_use(&config, rules) {
        Ok(set) => set,
        Err(exit) => return exit,
    };
    let Some(found) = set.rules().iter().find(|known| known.name == rule) else {
        let names = set.rules().iter().map(|known| known.name.as_str());
        let hint = nearest(&rule, names).map(|name| format!(", did you mean '{}'?", visible(name)));
        report(&format!("no rule is called '{}'{}", visible(&rule), hint.unwrap_or_default()));
        return Exit::Bad;
    };
    let event_types = explain_rule(&set, found);
    match output {
        OutputFormat::Json => print_json(&Explained {
            rule: &found.name,
            file: &found.file,
            line: found.line,
            condition: &found.condition_text,
            event_types,
        }),
        OutputFormat::Text => {
            let mut text = format!("{} ({}:{})\n", visible(&found.name), found.file, found.line);
            if !found.enabled {
                text.push_str("disabled: the kernel collects nothing for it\n");
            }
            event_types.iter().for_each(|filter| text.push_str(&filter.to_string()));
            print(&text)
        }
    }
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
    let set = match in_use(&config, rules) {
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
                    visible(&rule.name),
                    visible(&rule.tags.join(",")),
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

/// `rules test -o json`.
#[derive(Serialize)]
struct Tested {
    #[serde(flatten)]
    report: cases::Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<cases::Coverage>,
}

fn test(args: TestArgs) -> Exit {
    let TestArgs { files, rules, coverage, output } = args;
    // Every rule that matches is compared, whatever its priority and its neighbours.
    let options =
        LoadOptions { rule_matching: RuleMatching::All, priority: Priority::Debug, ..LoadOptions::default() };
    let set = match load_rules(&RuleSources::choose(rules.rules, &[]), &options) {
        Ok(set) => set,
        Err(exit) => return exit,
    };
    let cases = match read_cases(files, &set) {
        Ok(cases) => cases,
        Err(exit) => return exit,
    };
    let report = cases::run(&cases, &set);
    let coverage = coverage.then(|| cases::coverage(&cases, &set));
    let findings = !report.passed() || coverage.as_ref().is_some_and(|coverage| !coverage.is_complete());
    let printed = match output {
        OutputFormat::Json => print_json(&Tested { report, coverage }),
        OutputFormat::Text => {
            let mut text = format!("{report}\n");
            if let Some(cases::Coverage { without_positive, without_negative }) = &coverage {
                without_positive.iter().for_each(|rule| text += &format!("no case makes it fire: {rule}\n"));
                without_negative.iter().for_each(|rule| text += &format!("no near miss: {rule}\n"));
            }
            print(&text)
        }
    };
    if findings { Exit::Findings } else { printed }
}

/// All cases; everything that is wrong with their files is on stderr.
fn read_cases(files: Vec<PathBuf>, rules: &RuleSet) -> Result<Vec<cases::Case>, Exit> {
    let files = RuleSources::Paths(files).read().map_err(|error| {
        report(&error);
        Exit::Bad
    })?;
    let mut all = Vec::new();
    let mut broken = false;
    for file in &files {
        let problems = match cases::parse(file) {
            Ok(cases) => {
                let unknown = cases::check_names(file, &cases, rules);
                all.extend(cases);
                unknown
            }
            Err(problems) => problems,
        };
        problems.iter().for_each(report);
        broken |= !problems.is_empty();
    }
    if broken { Err(Exit::Bad) } else { Ok(all) }
}
