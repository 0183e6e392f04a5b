//! Items in file order become the lists, macros and rules that they define together: redefinition, append,
//! override, enabling.
//!
//! As in Falco, a redefined item keeps its place in the order, and each definition or addition gives it a
//! new *visibility*: it sees the macros and lists whose place is before that.

use std::collections::{HashMap, HashSet};

use super::{
    diagnostic::{Code, Problem},
    exceptions::{self, Exception},
    item::{Item, ListItem, MacroItem, PluginRequirement, Read, RuleAction, RuleItem, RuleKeys},
    priority::Priority,
    text::Text,
    version::{ENGINE, PLUGINS, Version},
};
use crate::{fields::Source, suggest::nearest};

#[derive(Debug)]
pub(super) struct List {
    pub name: Text,
    pub items: Vec<Text>,
    pub index: usize,
    pub visibility: usize,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub name: Text,
    pub condition: Text,
    pub index: usize,
    pub visibility: usize,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub name: Text,
    /// `None`: a source that is not known; the rule is skipped.
    pub source: Option<Source>,
    pub source_name: String,
    pub condition: Text,
    pub output: Text,
    pub desc: String,
    pub priority: Priority,
    pub enabled: bool,
    pub warn_evttypes: bool,
    pub skip_if_unknown_filter: bool,
    pub tags: Vec<String>,
    pub exceptions: Vec<Exception>,
}

/// Everything the files define, in order.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub lists: Vec<List>,
    pub macros: Vec<Macro>,
    pub rules: Vec<Rule>,
    list_names: HashMap<String, usize>,
    macro_names: HashMap<String, usize>,
    rule_names: HashMap<String, usize>,
    /// Names of items with errors of their own: whoever refers to them is not reported too.
    pub broken: HashSet<String>,
    next: usize,
}

impl Collected {
    pub fn list(&self, name: &str) -> Option<usize> {
        self.list_names.get(name).copied()
    }

    pub fn macro_(&self, name: &str) -> Option<usize> {
        self.macro_names.get(name).copied()
    }

    pub fn add(&mut self, read: Read, problems: &mut Vec<Problem>) {
        match read {
            Read::Nothing => {}
            Read::Broken(name) => self.broken.extend(name),
            Read::Item(Item::EngineVersion(text)) => engine_version(&text, problems),
            Read::Item(Item::PluginVersions(requirements)) => plugin_versions(&requirements, problems),
            Read::Item(Item::List(item)) => self.list_item(item, problems),
            Read::Item(Item::Macro(item)) => self.macro_item(item, problems),
            Read::Item(Item::Rule(item)) => self.rule_item(item, problems),
        }
    }

    fn list_item(&mut self, item: ListItem, problems: &mut Vec<Problem>) {
        let ListItem { name, items, append } = item;
        let id = self.next;
        self.next += 1;
        match (self.list(name.as_str()).and_then(|at| self.lists.get_mut(at)), append) {
            (Some(list), true) => {
                list.items.extend(items);
                list.visibility = id;
            }
            (None, true) => self.nothing_to_append_to("list", &name, problems),
            (Some(list), false) => {
                let index = list.index;
                *list = List { name, items, index, visibility: id };
            }
            (None, false) => {
                self.list_names.insert(name.as_str().to_owned(), self.lists.len());
                self.lists.push(List { name, items, index: id, visibility: id });
            }
        }
    }

    fn macro_item(&mut self, item: MacroItem, problems: &mut Vec<Problem>) {
        let MacroItem { name, condition, append } = item;
        let id = self.next;
        self.next += 1;
        match (self.macro_(name.as_str()).and_then(|at| self.macros.get_mut(at)), append) {
            (Some(known), true) => {
                append_text(&mut known.condition, &condition);
                known.visibility = id;
            }
            (None, true) => self.nothing_to_append_to("macro", &name, problems),
            (Some(known), false) => {
                let index = known.index;
                *known = Macro { name, condition, index, visibility: id };
            }
            (None, false) => {
                self.macro_names.insert(name.as_str().to_owned(), self.macros.len());
                self.macros.push(Macro { name, condition, index: id, visibility: id });
            }
        }
    }

    fn nothing_to_append_to(&self, kind: &str, name: &Text, problems: &mut Vec<Problem>) {
        if self.broken.contains(name.as_str()) {
            return;
        }
        let known: Vec<&str> = match kind {
            "list" => self.lists.iter().map(|list| list.name.as_str()).collect(),
            "macro" => self.macros.iter().map(|known| known.name.as_str()).collect(),
            _ => self.rules.iter().map(|rule| rule.name.as_str()).collect(),
        };
        let message = format!("there is no earlier {kind} '{}' to add to or to change", name.as_str());
        problems.push(
            Problem::new(Code::Validate, name.place(0), message)
                .width(name.width(0..name.len()))
                .suggest(nearest(name.as_str(), known)),
        );
    }

    fn rule_item(&mut self, item: RuleItem, problems: &mut Vec<Problem>) {
        let RuleItem { name, action } = item;
        self.next += 1;
        if let RuleAction::Define(keys) = action {
            return self.define_rule(name, *keys, problems);
        }
        let at = self.rule_names.get(name.as_str()).copied();
        let Some(rule) = at.and_then(|at| self.rules.get_mut(at)) else {
            return self.nothing_to_append_to("rule", &name, problems);
        };
        match action {
            RuleAction::Define(_) => {}
            RuleAction::Enable(enabled) => rule.enabled = enabled,
            RuleAction::Append(keys) => append_rule(rule, *keys, &name, problems),
            RuleAction::Override { append, replace } => {
                append_rule(rule, *append, &name, problems);
                replace_rule(rule, *replace, &name, problems);
            }
        }
    }

    fn define_rule(&mut self, name: Text, keys: RuleKeys, problems: &mut Vec<Problem>) {
        let RuleKeys {
            condition,
            output,
            desc,
            priority,
            source,
            enabled,
            warn_evttypes,
            skip_if_unknown_filter,
            tags,
            exceptions,
        } = keys;
        // Reading has reported what is missing. What is there is looked at all the same.
        let Some(condition) = condition else {
            self.broken.insert(name.as_str().to_owned());
            return;
        };
        let (output, desc) = (output.unwrap_or_default(), desc.unwrap_or_default());
        let priority = priority.unwrap_or(Priority::Debug);
        let source_name = source.as_ref().map_or(Source::Syscall.name(), Text::as_str).to_owned();
        let known_source = Source::from_name(&source_name);
        let mut exceptions = exceptions.unwrap_or_default();
        for exception in &mut exceptions {
            validate(exception, &name, problems);
        }
        let what = format!("rule '{}'", name.as_str());
        if known_source.is_none() {
            let place = source.as_ref().map_or(name.place(0), |source| source.place(0));
            let message = format!("unknown source '{source_name}', the rule is skipped");
            let sources = [Source::Syscall.name(), Source::K8sAudit.name()];
            problems.push(
                Problem::new(Code::UnknownSource, place, message)
                    .width(source_name.chars().count())
                    .item(what.clone())
                    .suggest(nearest(&source_name, sources)),
            );
        }
        let rule = Rule {
            name,
            source: known_source,
            source_name,
            condition,
            output,
            desc: desc.as_str().trim().to_owned(),
            priority,
            enabled: enabled.unwrap_or(true),
            warn_evttypes: warn_evttypes.unwrap_or(true),
            skip_if_unknown_filter: skip_if_unknown_filter.unwrap_or(false),
            tags: unique(tags.unwrap_or_default()),
            exceptions,
        };
        let known = self.rule_names.get(rule.name.as_str()).copied();
        match known.and_then(|at| self.rules.get_mut(at)) {
            Some(known) if known.source_name != rule.source_name => {
                let message = format!(
                    "the rule is defined again with another source: '{}' instead of '{}'",
                    rule.source_name, known.source_name
                );
                problems.push(Problem::new(Code::Validate, rule.name.place(0), message).item(what));
            }
            Some(known) => *known = rule,
            None => {
                self.rule_names.insert(rule.name.as_str().to_owned(), self.rules.len());
                self.rules.push(rule);
            }
        }
    }
}

fn validate(exception: &mut Exception, rule: &Text, problems: &mut Vec<Problem>) {
    let before = problems.len();
    exceptions::validate(exception, problems);
    for problem in problems.iter_mut().skip(before) {
        problem.item = Some(format!("rule '{}'", rule.as_str()));
    }
}

fn append_text(text: &mut Text, more: &Text) {
    text.push_generated(" ", more.place(0));
    text.push_text(more);
}

fn append_rule(rule: &mut Rule, keys: RuleKeys, name: &Text, problems: &mut Vec<Problem>) {
    if let Some(condition) = &keys.condition {
        append_text(&mut rule.condition, condition);
    }
    if let Some(output) = &keys.output {
        append_text(&mut rule.output, output);
    }
    if let Some(desc) = &keys.desc {
        rule.desc.push(' ');
        rule.desc.push_str(desc.as_str().trim());
    }
    if let Some(tags) = keys.tags {
        rule.tags.extend(tags);
        rule.tags = unique(std::mem::take(&mut rule.tags));
    }
    for mut exception in keys.exceptions.unwrap_or_default() {
        let known = rule.exceptions.iter_mut().find(|known| known.name == exception.name);
        let mut report = |message: &str| {
            let message = format!("exception '{}': {message}", exception.name);
            let what = format!("rule '{}'", name.as_str());
            problems.push(Problem::new(Code::Validate, exception.place, message).item(what));
        };
        match known {
            Some(_) if exception.fields.is_some() => {
                report("only values can be appended to it, not 'fields'")
            }
            Some(_) if exception.comps.is_some() => report("only values can be appended to it, not 'comps'"),
            Some(known) => {
                known.values.append(&mut exception.values);
                validate(known, name, problems);
            }
            None if exception.fields.is_none() => {
                report("the rule has no such exception, and 'fields' is missing")
            }
            None if exception.values.is_empty() => {
                report("the rule has no such exception, and 'values' is missing")
            }
            None => {
                validate(&mut exception, name, problems);
                rule.exceptions.push(exception);
            }
        }
    }
}

fn replace_rule(rule: &mut Rule, keys: RuleKeys, name: &Text, problems: &mut Vec<Problem>) {
    let RuleKeys {
        condition,
        output,
        desc,
        priority,
        source: _,
        enabled,
        warn_evttypes,
        skip_if_unknown_filter,
        tags,
        exceptions,
    } = keys;
    if let Some(condition) = condition {
        rule.condition = condition;
    }
    if let Some(output) = output {
        rule.output = output;
    }
    if let Some(desc) = desc {
        rule.desc = desc.as_str().trim().to_owned();
    }
    if let Some(tags) = tags {
        rule.tags = unique(tags);
    }
    if let Some(mut exceptions) = exceptions {
        for exception in &mut exceptions {
            validate(exception, name, problems);
        }
        rule.exceptions = exceptions;
    }
    rule.priority = priority.unwrap_or(rule.priority);
    rule.enabled = enabled.unwrap_or(rule.enabled);
    rule.warn_evttypes = warn_evttypes.unwrap_or(rule.warn_evttypes);
    rule.skip_if_unknown_filter = skip_if_unknown_filter.unwrap_or(rule.skip_if_unknown_filter);
}

/// Without repetitions, in order.
fn unique(tags: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    tags.into_iter().filter(|tag| seen.insert(tag.clone())).collect()
}

fn engine_version(text: &Text, problems: &mut Vec<Problem>) {
    let place = text.place(0);
    let width = text.width(0..text.len());
    match Version::parse_engine(text.as_str()) {
        None => {
            let message = format!("'{}' is not an engine version", text.as_str());
            let problem = Problem::new(Code::YamlValidate, place, message).width(width);
            problems.push(problem.expected("a number or x.y.z"));
        }
        Some(required) if !ENGINE.offers(required) => {
            let message =
                format!("the rules require engine version {required}, but this engine is at {ENGINE}");
            problems.push(Problem::new(Code::Validate, place, message).width(width));
        }
        Some(_) => {}
    }
}

fn plugin_versions(requirements: &[PluginRequirement], problems: &mut Vec<Problem>) {
    for requirement in requirements {
        let before = problems.len();
        let mut met = false;
        let mut too_old = None;
        let mut seen = HashSet::new();
        for (name, version) in &requirement.alternatives {
            if !seen.insert(name.as_str()) {
                let message = format!("plugin '{}' is required more than once", name.as_str());
                problems.push(Problem::new(Code::Validate, name.place(0), message));
            }
            let Some(required) = Version::parse(version.as_str()) else {
                let message =
                    format!("'{}' is not a version of plugin '{}'", version.as_str(), name.as_str());
                let problem = Problem::new(Code::Validate, version.place(0), message).expected("x.y.z");
                problems.push(problem.width(version.width(0..version.len())));
                continue;
            };
            match PLUGINS.iter().find(|(known, _)| *known == name.as_str()) {
                Some((_, built_in)) if built_in.offers(required) => met = true,
                Some((_, built_in)) => too_old = Some((name, version, *built_in)),
                None => {}
            }
        }
        if met || problems.len() > before {
            continue;
        }
        let Some((first, _)) = requirement.alternatives.first() else { continue };
        problems.push(match too_old {
            Some((name, version, built_in)) => {
                let (name, required) = (name.as_str(), version.as_str());
                let message = format!(
                    "the rules require version {required} of plugin '{name}', but {built_in} is built in"
                );
                Problem::new(Code::Validate, version.place(0), message).width(version.width(0..version.len()))
            }
            None => {
                let message = format!("the rules require plugin '{}', which is not built in", first.as_str());
                let known = PLUGINS.iter().map(|(name, _)| *name);
                Problem::new(Code::Extension, first.place(0), message)
                    .width(first.width(0..first.len()))
                    .suggest(nearest(first.as_str(), known))
            }
        });
    }
}
