//! Events and rules for tests.

use std::{borrow::Cow, collections::HashMap};

use exporter_common::event_type::EventType;

use crate::{
    fields::{FieldRef, Source, Subject, Value, scheme},
    rules::{Code, Load, LoadOptions, RuleMatching, RuleSet, Scratch, SourceFile, load},
};

/// An event made of field values.
#[derive(Clone, Debug)]
pub struct Event {
    pub source: Source,
    pub ty: Option<EventType>,
    pub values: HashMap<FieldRef, Value<'static>>,
}

impl Event {
    pub fn new(ty: EventType) -> Event {
        let event = Event { source: Source::Syscall, ty: Some(ty), values: HashMap::new() };
        event.with("evt.type", Value::Str(Cow::Borrowed(ty.name().as_bytes())))
    }

    pub fn with(mut self, field: &str, value: Value<'static>) -> Event {
        self.values.insert(field_ref(field), value);
        self
    }

    pub fn text(self, field: &str, value: &'static str) -> Event {
        self.with(field, Value::str(value.as_bytes()))
    }
}

impl Subject for Event {
    fn source(&self) -> Source {
        self.source
    }

    fn event_type(&self) -> Option<EventType> {
        self.ty
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        self.values.get(field).cloned()
    }
}

/// Resolves `name` or `name[arg]`.
pub fn field_ref(text: &str) -> FieldRef {
    let (name, arg) = match text.split_once('[') {
        Some((name, arg)) => (name, Some(arg.trim_end_matches(']'))),
        None => (text, None),
    };
    scheme().resolve(Source::Syscall, name, arg).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn load_text(text: &str) -> Load {
    let options = LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() };
    load_files(&[text], &options)
}

pub fn load_files(texts: &[&str], options: &LoadOptions) -> Load {
    let files: Vec<SourceFile> = (1..)
        .zip(texts)
        .map(|(number, text)| SourceFile { name: format!("{number}.yaml"), text: (*text).to_owned() })
        .collect();
    load(&files, options)
}

/// Loads rules that must have no error.
pub fn rules(text: &str) -> RuleSet {
    let load = load_text(text);
    let printed: Vec<String> = load.diagnostics.iter().map(|diagnostic| diagnostic.to_string()).collect();
    load.rules.unwrap_or_else(|| panic!("the rules load:\n{}", printed.join("\n")))
}

/// The names of the rules that match.
pub fn matches(rules: &RuleSet, event: &Event) -> Vec<String> {
    let mut names = Vec::new();
    rules.evaluate(event, &mut Scratch::default(), |rule| names.push(rule.name.clone()));
    names
}

/// One rule `r` with this condition.
pub fn rule_with(condition: &str) -> String {
    let condition = condition.replace('\'', "''");
    format!("- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: '{condition}'\n")
}

/// Whether a condition holds for an event; compiled and not compiled give the same answer.
pub fn holds(condition: &str, event: &Event) -> bool {
    let rules = rules(&rule_with(condition));
    let compiled = !matches(&rules, event).is_empty();
    let naive = rules.expressions().holds(rules.rules()[0].condition, event);
    assert_eq!(compiled, naive, "{condition}: compiled and plain evaluation differ");
    compiled
}

/// The codes of what loading reports, with their lines.
pub fn codes(load: &Load) -> Vec<(Code, u32)> {
    load.diagnostics.iter().map(|diagnostic| (diagnostic.code, diagnostic.line)).collect()
}
