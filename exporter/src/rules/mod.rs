//! The rule language: Falco's, whole.
//!
//! `text → items → lists, macros, rules → conditions → typed conditions → program`. Each arrow is a module
//! and a type, and a later one never checks what an earlier one has: [`load`] goes all the way and reports
//! every problem with its place; [`RuleSet::evaluate`] is what happens for an event.
//!
//! No I/O, no async, no clock; nothing here knows where events come from or where detections go.
//! `docs/rules.md` describes the language and where it differs from Falco's.

mod ast;
mod check;
mod collect;
mod compile;
mod constant;
mod diagnostic;
mod exceptions;
mod graph;
mod index;
mod item;
mod lexer;
mod lists;
mod load;
mod macros;
mod options;
mod parser;
mod priority;
mod program;
mod pushdown;
mod reader;
mod regexp;
mod render;
mod semantics;
mod template;
mod tester;
mod text;
mod transform;
mod trie;
pub mod typed;
mod version;
mod yaml;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use exporter_common::event_type::EventType;

pub use ast::{Function, Operator};
pub use constant::{Number, ValueSet};
pub use diagnostic::{Code, Diagnostic, Severity, Snippet};
pub use load::{Load, load};
pub use options::{LoadOptions, Selection, Selector};
pub use priority::{Priority, RuleMatching};
pub use program::Scratch;
pub use pushdown::{Clause, Clauses, Dim, PathKey, PathKind};
pub use regexp::Regexp;
pub use render::{push_visible, text as value_text};
pub use template::{Rendered, Template, field_name};

use crate::fields::{FieldRef, Source, Subject, scheme};
use program::Program;
use typed::{ExprId, Expressions};

/// A rules file's text. Whoever loads rules reads the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As diagnostics show it.
    pub name: String,
    pub text: String,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its index in [`RuleSet::rules`].
    pub id: usize,
    pub name: String,
    pub description: String,
    pub priority: Priority,
    pub tags: Vec<String>,
    pub source: Source,
    /// What its file, the options' selection and the options' priority say together.
    pub enabled: bool,
    pub output: Template,
    /// The typed condition, in [`RuleSet::expressions`].
    pub condition: ExprId,
    /// As written, exceptions not included.
    pub condition_text: String,
    /// The fields of the condition.
    pub fields: Vec<FieldRef>,
    /// The event types that it can match; empty for sources without types.
    pub event_types: Vec<EventType>,
    /// Where it is (last) defined.
    pub file: String,
    pub line: u32,
}

/// Loaded rules, ready to be evaluated.
pub struct RuleSet {
    rules: Vec<Rule>,
    expressions: Expressions,
    program: Program,
    requirements: Requirements,
    necessary: BTreeMap<EventType, Vec<Necessary>>,
    matching: RuleMatching,
}

/// What the kernel can check of a rule's condition, for events of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Necessary {
    /// Its index in [`RuleSet::rules`].
    pub rule: usize,
    /// Whatever the rule matches fulfils one of these.
    pub clauses: Clauses,
}

/// What the enabled rules need of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// For each kernel event type that a rule can match: the fields that its rules use in their
    /// conditions and outputs.
    pub types: BTreeMap<EventType, Vec<FieldRef>>,
    /// The fields that rules of the audit source use.
    pub audit: Vec<FieldRef>,
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleSet({} rules)", self.rules.len())
    }
}

impl RuleSet {
    fn new(
        rules: Vec<Rule>,
        expressions: Expressions,
        program: Program,
        requirements: Requirements,
        necessary: BTreeMap<EventType, Vec<Necessary>>,
        matching: RuleMatching,
    ) -> RuleSet {
        RuleSet { rules, expressions, program, requirements, necessary, matching }
    }

    /// For each event type that the kernel can filter and an enabled rule can match: what it can check of each
    /// of those rules. An event that fulfils no clause of any of them is matched by none.
    pub fn necessary(&self) -> &BTreeMap<EventType, Vec<Necessary>> {
        &self.necessary
    }

    /// All rules in order, the disabled ones too.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The typed conditions of the rules.
    pub fn expressions(&self) -> &Expressions {
        &self.expressions
    }

    /// What the enabled rules need of events.
    pub fn requirements(&self) -> &Requirements {
        &self.requirements
    }

    /// The fields of a rule's condition of which the kernel can tell nothing for events of a type; `evt.type`
    /// itself is always known.
    pub fn left_to_user_space(&self, rule: &Rule, event_type: EventType) -> Vec<String> {
        let scheme = scheme();
        pushdown::unknown(&self.expressions, rule.condition, scheme, event_type)
            .iter()
            .map(|field| field_name(scheme, field))
            .filter(|name| name != "evt.type")
            .collect()
    }

    /// Calls `on_match` with each enabled rule that matches the event, in order; with
    /// `rule_matching: first` with the first one only, with `most_severe` with the first of the most severe ones.
    pub fn evaluate<S: Subject>(&self, subject: &S, scratch: &mut Scratch, mut on_match: impl FnMut(&Rule)) {
        self.evaluate_until(subject, scratch, |rule| {
            on_match(rule);
            true
        });
    }

    /// The same for whom not every rule speaks: one for which `speaks` returns false counts as if it had not matched.
    pub fn evaluate_until<S: Subject>(
        &self,
        subject: &S,
        scratch: &mut Scratch,
        mut speaks: impl FnMut(&Rule) -> bool,
    ) {
        self.program.evaluate(subject, scratch, |index| {
            let spoke = self.rules.get(index as usize).is_some_and(&mut speaks);
            !spoke || self.matching == RuleMatching::All
        });
    }
}
