//! Files → rules: read, collect, parse, type, compile; every problem on the way is reported.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
};

use exporter_common::event_type::EventType;

use super::{
    LoadOptions, Rule, RuleSet, SourceFile, ast,
    check::{self, Checker, Finding},
    collect::{self, Collected},
    compile,
    diagnostic::{Code, Diagnostic, Problem, Severity},
    exceptions, item,
    lists::Lists,
    macros::{self, Macros, Parsed},
    parser, template,
    text::{Files, Text},
    typed::{Expr, ExprId, Expressions},
    yaml,
};
use crate::fields::{FieldRef, Scheme, Source};

/// What came of loading.
#[derive(Debug)]
pub struct Load {
    /// In file order.
    pub diagnostics: Vec<Diagnostic>,
    /// `None` if there is any error.
    pub rules: Option<RuleSet>,
}

/// More event types than this are reported as no restriction.
const MANY_EVENT_TYPES: usize = EventType::ALL.len() / 2;

/// Loads rules from the text of files, in this order, against the fields of [`crate::fields::scheme()`].
pub fn load(files: &[SourceFile], options: &LoadOptions) -> Load {
    load_with(files, options, crate::fields::scheme())
}

/// [`load`] with another set of fields.
pub(super) fn load_with(files: &[SourceFile], options: &LoadOptions, scheme: &'static Scheme) -> Load {
    let mut problems = Vec::new();
    let mut collected = Collected::default();
    for (index, file) in files.iter().enumerate() {
        read_file(index as u32, file, &mut collected, &mut problems);
    }
    let rules = Loader::new(&collected, options, scheme, files).rules(&mut problems);
    let mut seen = HashSet::new();
    problems.retain(|problem| seen.insert((problem.place, problem.code, problem.message.clone())));
    problems.sort_by_key(|problem| (problem.place, problem.code));
    let failed = problems.iter().any(|problem| problem.code.severity() == Severity::Error);
    let files = Files::new(files);
    Load {
        diagnostics: problems.into_iter().map(|problem| problem.into_diagnostic(&files)).collect(),
        rules: rules.filter(|_| !failed),
    }
}

fn read_file(index: u32, file: &SourceFile, collected: &mut Collected, problems: &mut Vec<Problem>) {
    let documents = match yaml::parse(index, &file.text) {
        Ok(documents) => documents,
        Err(problem) => return problems.push(problem),
    };
    for document in documents.iter().filter(|document| !document.is_null()) {
        let yaml::Kind::Sequence(entries) = &document.kind else {
            let message = "a rules file must be a sequence of items, each beginning with '- '";
            problems.push(Problem::new(Code::YamlValidate, document.place, message));
            continue;
        };
        for entry in entries.iter().filter(|entry| !entry.is_null()) {
            let read = item::read(entry, problems);
            collected.add(read, problems);
        }
    }
}

struct Loader<'a> {
    collected: &'a Collected,
    options: &'a LoadOptions,
    scheme: &'static Scheme,
    files: &'a [SourceFile],
    exprs: Expressions,
    /// Macros that have been typed for a source: the result, and what was found in them.
    typed: HashMap<(usize, Source), (Option<ExprId>, Vec<Finding>)>,
}

impl<'a> Loader<'a> {
    fn new(
        collected: &'a Collected,
        options: &'a LoadOptions,
        scheme: &'static Scheme,
        files: &'a [SourceFile],
    ) -> Loader<'a> {
        Loader { collected, options, scheme, files, exprs: Expressions::default(), typed: HashMap::new() }
    }

    /// The rule set; `None` if a rule has errors.
    fn rules(mut self, problems: &mut Vec<Problem>) -> Option<RuleSet> {
        let mut lists = Lists::new(self.collected, problems);
        let mut macros = Macros::new(self.collected, &mut lists, problems);
        let mut rules = Vec::new();
        for rule in &self.collected.rules {
            if let Some(source) = rule.source {
                rules.extend(self.rule(rule, source, rules.len(), &mut lists, &mut macros, problems));
            }
        }
        if problems.iter().any(|problem| problem.code.severity() == Severity::Error) {
            // What could not be read may use what seems unused.
            return None;
        }
        self.unused(&lists, &macros, problems);
        let set = compile::compile(rules, self.exprs, self.options.rule_matching, self.scheme);
        warn_event_types(self.collected, &set, problems);
        Some(set)
    }

    fn rule(
        &mut self,
        rule: &collect::Rule,
        source: Source,
        id: usize,
        lists: &mut Lists<'_>,
        macros: &mut Macros,
        problems: &mut Vec<Problem>,
    ) -> Option<Rule> {
        let name = rule.name.as_str();
        let what = format!("rule '{name}'");
        let mut findings = self.exception_fields(rule, source, &what);
        let output = without_deprecated(&rule.output, &what, problems);
        let output = template::compile(self.scheme, source, &output, &what, &mut |problem, unknown| {
            findings.push(Finding { problem, unknown });
        });
        let condition = exceptions::apply(&rule.condition, &rule.exceptions);
        let parsed = macros::parse_condition(self.collected, lists, &condition, usize::MAX, &what, problems);
        let condition = parsed.and_then(|parsed| {
            macros.used.extend(parsed.references.iter().copied());
            self.condition(&parsed, source, &what, macros, &mut findings)
        });
        self.report(findings, rule.skip_if_unknown_filter, problems);
        let (condition, output) = (condition?, output?);
        let mut fields = BTreeSet::new();
        self.fields(condition, &mut HashSet::new(), &mut fields);
        let fields: Vec<FieldRef> = fields.into_iter().collect();
        let place = rule.name.place(0);
        Some(Rule {
            id,
            name: name.to_owned(),
            description: rule.desc.clone(),
            priority: rule.priority,
            tags: rule.tags.clone(),
            source,
            enabled: self.options.enabled(name, &rule.tags, rule.priority, rule.enabled),
            output: output.with_condition(&fields, self.scheme),
            condition,
            condition_text: rule.condition.as_str().to_owned(),
            fields,
            event_types: Vec::new(),
            file: self.files.get(place.file as usize).map(|file| file.name.clone()).unwrap_or_default(),
            line: place.line,
        })
    }

    /// An exception's fields must exist even if it has no values.
    fn exception_fields(&self, rule: &collect::Rule, source: Source, what: &str) -> Vec<Finding> {
        let unused = rule.exceptions.iter().filter(|exception| exception.values.is_empty());
        let fields = unused.flat_map(exceptions::fields);
        let check = |field: &Text| {
            let operand = parser::parse_operand(field.as_str());
            let error = match operand {
                Ok((ast::Operand::Field(found), length)) if length == field.len() => {
                    self.scheme.resolve(source, &found.name, found.arg.as_deref()).err()?
                }
                Ok((_, length)) if length == field.len() => return None,
                _ => {
                    let message = format!("'{}' is not a field", field.as_str());
                    let problem = Problem::new(Code::Validate, field.place(0), message).item(what);
                    return Some(Finding { problem, unknown: false });
                }
            };
            let (message, unknown) = check::field_error(&error);
            let problem = Problem::new(Code::Validate, field.place(0), message)
                .width(field.width(0..field.len()))
                .suggest(error.suggestion())
                .item(what);
            Some(Finding { problem, unknown })
        };
        fields.filter_map(check).collect()
    }

    /// Types a rule's condition and the macros it needs.
    fn condition(
        &mut self,
        parsed: &Parsed,
        source: Source,
        what: &str,
        macros: &Macros,
        findings: &mut Vec<Finding>,
    ) -> Option<ExprId> {
        let needed = macros.needed(parsed)?;
        for at in needed {
            if !self.typed.contains_key(&(at, source)) {
                let parsed = macros.parsed.get(at)?.as_ref()?;
                let what =
                    self.collected.macros.get(at).map(|found| format!("macro '{}'", found.name.as_str()));
                let typed = self.type_condition(parsed, source, &what.unwrap_or_default());
                self.typed.insert((at, source), typed);
            }
            if let Some((_, found)) = self.typed.get(&(at, source)) {
                findings.extend(found.iter().cloned());
            }
        }
        let (expr, found) = self.type_condition(parsed, source, what);
        findings.extend(found);
        expr
    }

    fn type_condition(
        &mut self,
        parsed: &Parsed,
        source: Source,
        what: &str,
    ) -> (Option<ExprId>, Vec<Finding>) {
        let (collected, typed) = (self.collected, RefCell::new(&self.typed));
        let macro_ = |name: &str| {
            let at = collected.macro_(name)?;
            typed.borrow().get(&(at, source)).and_then(|(expr, _)| *expr)
        };
        let lists: Vec<&str> = collected.lists.iter().map(|list| list.name.as_str()).collect();
        let mut checker = Checker {
            scheme: self.scheme,
            source,
            text: &parsed.text,
            what,
            exprs: &mut self.exprs,
            macro_: &macro_,
            lists: &lists,
            findings: Vec::new(),
        };
        let expr = checker.check(&parsed.expr);
        (expr, checker.findings)
    }

    /// With `skip-if-unknown-filter`, unknown names only make the rule be skipped.
    fn report(&self, findings: Vec<Finding>, skip: bool, problems: &mut Vec<Problem>) {
        let error = |finding: &Finding| finding.problem.code.severity() == Severity::Error;
        let only_unknown = findings.iter().filter(|finding| error(finding)).all(|finding| finding.unknown);
        for finding in findings {
            let mut problem = finding.problem;
            if skip && only_unknown && finding.unknown {
                problem.code = Code::UnknownFilter;
                problem.message = format!("{}; the rule is skipped", problem.message);
            }
            problems.push(problem);
        }
    }

    fn unused(&self, lists: &Lists<'_>, macros: &Macros, problems: &mut Vec<Problem>) {
        for (at, found) in self.collected.macros.iter().enumerate() {
            if !macros.used.contains(&at) {
                let message = format!("macro '{}' is not used by any rule or macro", found.name.as_str());
                let problem = Problem::new(Code::UnusedMacro, found.name.place(0), message);
                problems.push(problem.width(found.name.width(0..found.name.len())));
            }
        }
        for (at, found) in self.collected.lists.iter().enumerate() {
            if !lists.used.contains(&at) {
                let message =
                    format!("list '{}' is not used by any rule, macro or list", found.name.as_str());
                let problem = Problem::new(Code::UnusedList, found.name.place(0), message);
                problems.push(problem.width(found.name.width(0..found.name.len())));
            }
        }
    }

    /// The fields of a typed condition.
    fn fields(&self, id: ExprId, seen: &mut HashSet<ExprId>, fields: &mut BTreeSet<FieldRef>) {
        if !seen.insert(id) {
            return;
        }
        match self.exprs.expr(id) {
            Expr::And(items) | Expr::Or(items) => {
                items.iter().for_each(|item| self.fields(*item, seen, fields));
            }
            Expr::Not(inner) => self.fields(*inner, seen, fields),
            Expr::Check(check) => self.exprs.check(*check).fields(&mut |field| {
                fields.insert(field.clone());
            }),
        }
    }
}

/// `%container.info`, which says nothing any more, is taken out of an output; `evt.dir` is warned about.
fn without_deprecated(output: &Text, what: &str, problems: &mut Vec<Problem>) -> Text {
    const RELIC: &str = "%container.info";
    let mut result = Text::default();
    let mut done = 0;
    for (at, _) in output.as_str().match_indices(RELIC) {
        let message =
            "'%container.info' is deprecated and says nothing; container fields are printed by name";
        let span = ast::Span { start: at, end: at + RELIC.len() };
        problems.push(macros::at_span(output, span, Code::DeprecatedItem, message).item(what));
        result.push_range(output, done..at);
        done = at + RELIC.len();
    }
    result.push_range(output, done..output.len());
    for (at, field) in output.as_str().match_indices("%evt.dir") {
        let span = ast::Span { start: at + 1, end: at + field.len() };
        let problem = macros::at_span(output, span, Code::DeprecatedItem, check::EVT_DIR_DEPRECATED);
        problems.push(problem.item(what));
    }
    result.trim()
}

/// Rules that look at (nearly) every event.
fn warn_event_types(collected: &Collected, set: &RuleSet, problems: &mut Vec<Problem>) {
    let warn: HashSet<&str> =
        (collected.rules.iter()).filter(|rule| rule.warn_evttypes).map(|rule| rule.name.as_str()).collect();
    for rule in set.rules() {
        let many = rule.source == Source::Syscall && rule.event_types.len() > MANY_EVENT_TYPES;
        if many && warn.contains(rule.name.as_str()) {
            let found = collected.rules.iter().find(|found| found.name.as_str() == rule.name);
            let Some(found) = found else { continue };
            let message = format!(
                "the rule matches {} of {} event types, which costs a lot; restrict evt.type",
                rule.event_types.len(),
                EventType::ALL.len()
            );
            let what = format!("rule '{}'", rule.name);
            let place = found.condition.place(0);
            problems.push(Problem::new(Code::NoEvtType, place, message).item(what));
        }
    }
}
