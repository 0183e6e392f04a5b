//! The rules in use: the platform's, and what each tenant has of its own.

use super::plan;
use crate::{
    app::sources::RuleSources,
    kernel::Plan,
    rules::{self, Diagnostic, LoadOptions, RuleMatching, RuleSet, Selection, Selector, SourceFile},
    tenants::Tenants,
};

/// Everything that was loaded at once.
#[derive(Debug)]
pub struct Sets {
    pub base: RuleSet,
    /// By tenant; the platform has none of its own.
    pub own: Vec<OwnSets>,
}

/// What a tenant brings.
#[derive(Debug, Default)]
pub struct OwnSets {
    /// Rules that see its events only.
    pub rules: Option<RuleSet>,
    /// A "rule" for each exception; see [`exception_of`].
    pub exceptions: Option<RuleSet>,
}

/// How the rules are called that exceptions become: `exception NUMBER`.
const EXCEPTION: &str = "exception ";

/// The position of an exception in its tenant's list.
pub fn exception_of(name: &str) -> Option<usize> {
    name.strip_prefix(EXCEPTION)?.split(' ').next()?.parse().ok()
}

impl Sets {
    /// Without tenants.
    pub fn of(base: RuleSet) -> Sets {
        Sets { base, own: Vec::new() }
    }

    /// Compiles what tenants bring for a base that loaded from `files`. What is wrong with one tenant's costs that
    /// tenant its own rules, and nobody else anything: it comes back as (tenant, what is wrong).
    pub fn load(
        base: RuleSet,
        files: &[SourceFile],
        options: &LoadOptions,
        tenants: &Tenants,
    ) -> (Sets, Vec<(String, String)>) {
        let mut problems = Vec::new();
        let own = tenants.iter().map(|tenant| {
            let mut problem = |text: String| problems.push((tenant.name.to_string(), text));
            let scope = &tenant.scope;
            let mut own = OwnSets::default();
            if !scope.rules_files.is_empty() {
                match RuleSources::Paths(scope.rules_files.clone()).read() {
                    Ok(extra) => own.rules = rules_of(files, &extra, options, &mut problem),
                    Err(error) => problem(error.to_string()),
                }
            }
            if !scope.exceptions.is_empty() {
                let conditions: Vec<&str> =
                    scope.exceptions.iter().map(|(_, condition)| &**condition).collect();
                own.exceptions = exceptions_of(&base, files, &conditions, &mut problem);
            }
            own
        });
        let own = own.collect();
        (Sets { base, own }, problems)
    }

    /// Everything that can match, the platform's first.
    pub fn all(&self) -> impl Iterator<Item = &RuleSet> {
        std::iter::once(&self.base).chain(self.own.iter().filter_map(|own| own.rules.as_ref()))
    }

    /// What the kernel must collect.
    pub fn plan(&self, push_down: bool) -> Plan {
        let mut plan = plan::of(&self.base, push_down);
        for set in self.own.iter().filter_map(|own| own.rules.as_ref()) {
            plan = plan::union(&plan, &plan::of(set, push_down));
        }
        for exceptions in self.own.iter().filter_map(|own| own.exceptions.as_ref()) {
            plan::look_closer(&mut plan, exceptions);
        }
        plan
    }

    /// How many rules can fire.
    pub fn enabled(&self) -> usize {
        self.all().flat_map(RuleSet::rules).filter(|rule| rule.enabled).count()
    }
}

fn only(names: impl Iterator<Item = String>) -> Vec<Selection> {
    let none = Selection { enable: false, by: Selector::Rule("*".into()) };
    let these = names.map(|name| Selection { enable: true, by: Selector::Rule(literal(&name)) });
    std::iter::once(none).chain(these).collect()
}

/// A pattern that fits a text only.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

fn errors(diagnostics: &[Diagnostic], mut problem: impl FnMut(String)) {
    for diagnostic in diagnostics.iter().filter(|d| d.severity == rules::Severity::Error) {
        problem(diagnostic.to_string());
    }
}

/// The rules of a tenant's files. They may use the platform's lists and macros, and cannot change them for anybody else.
fn rules_of(
    files: &[SourceFile],
    extra: &[SourceFile],
    options: &LoadOptions,
    problem: &mut impl FnMut(String),
) -> Option<RuleSet> {
    let files: Vec<SourceFile> = files.iter().chain(extra).cloned().collect();
    let load = |selection| {
        let options = LoadOptions { selection, ..options.clone() };
        rules::load(&files, &options)
    };
    let loaded = load(Vec::new());
    errors(&loaded.diagnostics, &mut *problem);
    let set = loaded.rules?;
    let own =
        set.rules().iter().filter(|rule| extra.iter().any(|file| file.name == rule.file) && rule.enabled);
    load(only(own.map(|rule| rule.name.clone()))).rules
}

/// Exceptions as rules: one per exception and source.
fn exceptions_of(
    base: &RuleSet,
    files: &[SourceFile],
    conditions: &[&str],
    problem: &mut impl FnMut(String),
) -> Option<RuleSet> {
    let mut sources: Vec<&str> = base.rules().iter().map(|rule| rule.source.name()).collect();
    sources.sort_unstable();
    sources.dedup();
    let (mut text, mut names) = (String::new(), Vec::new());
    for (number, condition) in conditions.iter().enumerate() {
        for source in &sources {
            let name = format!("{EXCEPTION}{number} {source}");
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            text += &format!(
                "- rule: {}\n  desc: exception\n  condition: {}\n  output: exception\n  priority: DEBUG\n  \
                 source: {source}\n  skip-if-unknown-filter: true\n  warn_evttypes: false\n",
                quoted(&name),
                quoted(condition)
            );
            names.push(name);
        }
    }
    let file = SourceFile { name: "exceptions of the configuration".into(), text };
    let files: Vec<SourceFile> = files.iter().cloned().chain([file]).collect();
    let options = LoadOptions {
        rule_matching: RuleMatching::All,
        selection: only(names.into_iter()),
        ..LoadOptions::default()
    };
    let loaded = rules::load(&files, &options);
    errors(&loaded.diagnostics, &mut *problem);
    let set = loaded.rules?;
    // A field that one source does not have may be another's; one that none has is a mistake.
    for (number, condition) in conditions.iter().enumerate() {
        if !set.rules().iter().any(|rule| exception_of(&rule.name) == Some(number)) {
            problem(format!("exception {} ({condition}): it uses a field that does not exist", number + 1));
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::{
        config::RateLimit,
        tenants::{Pattern, Tenant},
    };

    const BASE: &str = "
- list: shells
  items: [sh, bash]
- macro: shell
  condition: (proc.name in (shells))
- rule: Shell
  desc: d
  condition: evt.type = execve and shell
  output: shell
  priority: NOTICE
";

    fn base() -> Vec<SourceFile> {
        vec![SourceFile { name: "base.yaml".into(), text: BASE.into() }]
    }

    fn tenants(rules: &str, exception: &str, dir: &std::path::Path) -> Tenants {
        let unlimited = RateLimit { rate: 0.0, burst: 1, window: Duration::from_secs(1) };
        let mut tenant: Tenant = Tenants::new(&[], "", unlimited).iter().next().unwrap().clone();
        tenant.name = "shop".into();
        if !rules.is_empty() {
            let file = dir.join("shop.yaml");
            fs::write(&file, rules).unwrap();
            tenant.scope.rules_files = vec![file];
        }
        if !exception.is_empty() {
            tenant.scope.exceptions = vec![(Pattern::new("*"), exception.into())];
        }
        Tenants::new(&[tenant], "", unlimited)
    }

    fn load(rules: &str, exception: &str) -> (Sets, Vec<(String, String)>) {
        let dir = tempfile::tempdir().unwrap();
        let loaded = rules::load(&base(), &LoadOptions::default());
        let tenants = tenants(rules, exception, dir.path());
        Sets::load(loaded.rules.unwrap(), &base(), &LoadOptions::default(), &tenants)
    }

    fn enabled(set: Option<&RuleSet>) -> Vec<String> {
        let rules = set.into_iter().flat_map(|set| set.rules());
        rules.filter(|rule| rule.enabled).map(|rule| rule.name.clone()).collect()
    }

    #[test]
    fn a_tenants_rules_are_its_own_and_use_the_platforms_macros() {
        let (sets, problems) = load(
            "- rule: Mine [x]\n  desc: d\n  condition: evt.type = connect and shell\n  output: o\n  priority: NOTICE\n",
            "",
        );
        assert_eq!(problems, []);
        assert_eq!(enabled(sets.own[1].rules.as_ref()), ["Mine [x]"]);
        assert_eq!(enabled(Some(&sets.base)), ["Shell"], "nothing of it is the platform's");
        assert_eq!(sets.enabled(), 2);
        let plan = sets.plan(true);
        use exporter_common::event_type::EventType;
        assert!(plan.wants(EventType::Connect) && plan.wants(EventType::Execve));
    }

    #[test]
    fn what_is_wrong_with_a_tenants_rules_costs_nobody_else_anything() {
        for (rules, exception) in [("- rule: 3", ""), ("", "proc.nam = x"), ("", "evt.type = (")] {
            let (sets, problems) = load(rules, exception);
            assert!(problems.iter().any(|(tenant, _)| tenant == "shop"), "{rules}{exception}: {problems:?}");
            assert_eq!(enabled(Some(&sets.base)), ["Shell"]);
            assert_eq!(enabled(sets.own[1].rules.as_ref()), [""; 0]);
        }
    }

    #[test]
    fn exceptions_are_conditions_with_numbers() {
        let (sets, problems) = load("", "shell and proc.env[MODE] = test");
        assert_eq!(problems, []);
        let names = enabled(sets.own[1].exceptions.as_ref());
        assert_eq!(names.iter().map(|name| exception_of(name)).collect::<Vec<_>>(), [Some(0)]);
        // What only an exception looks at is collected, and nothing else is because of it.
        use exporter_common::{event_type::EventType, wants::WANT_ENV};
        let plan = sets.plan(true);
        assert_ne!(plan.get(EventType::Execve).wants & WANT_ENV, 0);
        assert!(!plan.wants(EventType::Openat));
    }
}
