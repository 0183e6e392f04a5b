//! Macros: parsed once, their references to each other resolved and ordered.
//!
//! A macro sees the macros that were defined before it (or before it was last changed); a rule sees all.

use std::collections::{BTreeSet, HashSet};

use super::{
    ast::{Expr, Span},
    collect::Collected,
    diagnostic::{Code, Problem},
    lexer::ParseError,
    lists::Lists,
    parser,
    text::Text,
};
use crate::suggest::nearest;

/// A condition that has been parsed, with its text for places.
#[derive(Debug)]
pub(super) struct Parsed {
    pub text: Text,
    pub expr: Expr,
    /// The macros that it refers to directly.
    pub references: BTreeSet<usize>,
}

/// All macros.
#[derive(Debug)]
pub(super) struct Macros {
    /// By macro; `None` if it has an error, which has been reported.
    pub parsed: Vec<Option<Parsed>>,
    /// Each macro after those that it refers to.
    pub order: Vec<usize>,
    pub used: HashSet<usize>,
}

/// Lists substituted, parsed, references resolved. `visibility`: which macros it sees.
pub(super) fn parse_condition(
    collected: &Collected,
    lists: &mut Lists<'_>,
    condition: &Text,
    visibility: usize,
    what: &str,
    problems: &mut Vec<Problem>,
) -> Option<Parsed> {
    let text = match lists.substitute(condition) {
        Ok(text) => text,
        Err(problem) => {
            problems.push(problem.item(what));
            return None;
        }
    };
    let expr = match parser::parse(text.as_str()) {
        Ok(expr) => expr,
        Err(error) => {
            problems.push(parse_problem(&text, error).item(what));
            return None;
        }
    };
    let mut names = Vec::new();
    references(&expr, &mut names);
    let mut known = BTreeSet::new();
    let mut complete = true;
    for (name, span) in names {
        let found = collected.macro_(name);
        match found.and_then(|at| collected.macros.get(at).map(|found| (at, found))) {
            Some((at, found)) if found.index < visibility => _ = known.insert(at),
            Some((_, found)) => {
                complete = false;
                let line = found.name.place(0).line;
                let message = format!(
                    "macro '{name}' is defined only later (line {line}); a macro sees the ones before it"
                );
                problems.push(at_span(&text, span, Code::Validate, message).item(what));
            }
            None if collected.broken.contains(name) => complete = false,
            None => {
                complete = false;
                problems.push(undefined(collected, &text, name, span).item(what));
            }
        }
    }
    complete.then_some(Parsed { text, expr, references: known })
}

fn undefined(collected: &Collected, text: &Text, name: &str, span: Span) -> Problem {
    let macros = collected.macros.iter().map(|found| found.name.as_str());
    let message = match collected.list(name) {
        Some(_) => format!("'{name}' is a list; a condition needs a macro or a comparison here"),
        None => format!("undefined macro '{name}'"),
    };
    let problem = at_span(text, span, Code::Validate, message);
    // `foo = x`: perhaps a field that lacks its class.
    let rest = text.as_str().get(span.end..).unwrap_or_default().trim_start();
    let compared = rest.starts_with(['=', '!', '<', '>']);
    if compared {
        return problem.expected("a field, which has a dot in its name");
    }
    problem.suggest(nearest(name, macros))
}

/// A parse error at its place in the file.
fn parse_problem(text: &Text, error: ParseError) -> Problem {
    let ParseError { span, message, expected, suggestion } = error;
    let mut problem = at_span(text, span, Code::CompileCondition, message).suggest(suggestion);
    problem.expected = expected;
    problem
}

/// A problem with a part of a condition.
pub(super) fn at_span(text: &Text, span: Span, code: Code, message: impl Into<String>) -> Problem {
    Problem::new(code, text.place(span.start), message).width(text.width(span.start..span.end))
}

fn references<'e>(expr: &'e Expr, names: &mut Vec<(&'e str, Span)>) {
    match expr {
        Expr::And(items) | Expr::Or(items) => items.iter().for_each(|item| references(item, names)),
        Expr::Not(inner) => references(inner, names),
        Expr::Macro(name, span) => names.push((name, *span)),
        Expr::Check(_) => {}
    }
}

impl Macros {
    pub fn new(collected: &Collected, lists: &mut Lists<'_>, problems: &mut Vec<Problem>) -> Macros {
        let mut parsed = Vec::with_capacity(collected.macros.len());
        for found in &collected.macros {
            let what = format!("macro '{}'", found.name.as_str());
            parsed.push(parse_condition(
                collected,
                lists,
                &found.condition,
                found.visibility,
                &what,
                problems,
            ));
        }
        let mut used = HashSet::new();
        for parsed in parsed.iter().flatten() {
            used.extend(parsed.references.iter().copied());
        }
        let mut macros = Macros { parsed, order: Vec::new(), used };
        macros.sort(collected, problems);
        macros
    }

    /// Orders the macros by their references; those in a loop, and those that need one with an error, are
    /// given up.
    fn sort(&mut self, collected: &Collected, problems: &mut Vec<Problem>) {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut states = vec![State::New; self.parsed.len()];
        for start in 0..self.parsed.len() {
            let mut stack = vec![start];
            while let Some(&at) = stack.last() {
                let references = self.parsed.get(at).and_then(Option::as_ref).map(|p| p.references.clone());
                let references = references.unwrap_or_default();
                let state = states.get(at).copied().unwrap_or(State::Done);
                if state == State::New {
                    states[at] = State::Open;
                    if let Some(looped) = references.iter().find(|next| states[**next] == State::Open) {
                        let name = |at: usize| collected.macros.get(at).map_or("", |m| m.name.as_str());
                        let place = collected.macros.get(at).map(|m| m.name.place(0)).unwrap_or_default();
                        let message = format!(
                            "macro '{}' refers to '{}', which refers back to it",
                            name(at),
                            name(*looped)
                        );
                        problems.push(Problem::new(Code::Validate, place, message));
                        self.parsed[at] = None;
                    } else {
                        stack.extend(references.iter().filter(|next| states[**next] == State::New));
                    }
                    continue;
                }
                stack.pop();
                if state == State::Open {
                    states[at] = State::Done;
                    if references.iter().any(|next| self.parsed[*next].is_none()) {
                        self.parsed[at] = None;
                    }
                    self.order.push(at);
                }
            }
        }
    }

    /// The macros that a condition needs, through others too, in order; `None` if one of them has an error.
    pub fn needed(&self, parsed: &Parsed) -> Option<Vec<usize>> {
        let mut needed: HashSet<usize> = HashSet::new();
        let mut open: Vec<usize> = parsed.references.iter().copied().collect();
        while let Some(at) = open.pop() {
            if needed.insert(at) {
                open.extend(self.parsed.get(at)?.as_ref()?.references.iter().copied());
            }
        }
        Some(self.order.iter().copied().filter(|at| needed.contains(at)).collect())
    }
}
