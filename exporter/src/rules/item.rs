//! The items of a rules file as they are written: keys, types and names are checked here, what they mean
//! together is not.

use super::{
    diagnostic::{Code, Problem},
    exceptions::{self, Exception},
    lexer::is_bare,
    priority::Priority,
    reader::Reader,
    text::Text,
    yaml::{Kind, Node, Scalar},
};
use crate::suggest::nearest;

/// One entry of a rules file.
#[derive(Debug)]
pub(super) enum Item {
    EngineVersion(Text),
    PluginVersions(Vec<PluginRequirement>),
    List(ListItem),
    Macro(MacroItem),
    Rule(RuleItem),
}

/// A plugin, or one of its alternatives, must be there.
#[derive(Debug)]
pub(super) struct PluginRequirement {
    /// Name and version.
    pub alternatives: Vec<(Text, Text)>,
}

#[derive(Debug)]
pub(super) struct ListItem {
    pub name: Text,
    pub items: Vec<Text>,
    pub append: bool,
}

#[derive(Debug)]
pub(super) struct MacroItem {
    pub name: Text,
    pub condition: Text,
    pub append: bool,
}

#[derive(Debug)]
pub(super) struct RuleItem {
    pub name: Text,
    pub action: RuleAction,
}

#[derive(Debug)]
pub(super) enum RuleAction {
    Define(Box<RuleKeys>),
    /// `append: true`.
    Append(Box<RuleKeys>),
    Override {
        append: Box<RuleKeys>,
        replace: Box<RuleKeys>,
    },
    /// Only `enabled`, for an earlier rule.
    Enable(bool),
}

/// The keys of a rule that are present.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleKeys {
    pub condition: Option<Text>,
    pub output: Option<Text>,
    pub desc: Option<Text>,
    pub priority: Option<Priority>,
    pub source: Option<Text>,
    pub enabled: Option<bool>,
    pub warn_evttypes: Option<bool>,
    pub skip_if_unknown_filter: Option<bool>,
    pub tags: Option<Vec<String>>,
    pub exceptions: Option<Vec<Exception>>,
}

const LIST_KEYS: &[&str] = &["list", "items", "append", "override"];
const MACRO_KEYS: &[&str] = &["macro", "condition", "append", "override"];
const RULE_KEYS: &[&str] = &[
    "rule",
    "condition",
    "output",
    "desc",
    "priority",
    "source",
    "enabled",
    "capture",
    "capture_duration",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "tags",
    "exceptions",
    "override",
    "append",
];
const ITEM_KEYS: &[&str] = &["required_engine_version", "required_plugin_versions", "list", "macro", "rule"];
const APPENDABLE: &[&str] = &["condition", "output", "desc", "tags", "exceptions"];
const REPLACEABLE: &[&str] = &[
    "condition",
    "output",
    "desc",
    "priority",
    "capture",
    "capture_duration",
    "tags",
    "exceptions",
    "enabled",
    "warn_evttypes",
    "skip-if-unknown-filter",
];
const APPEND_DEPRECATED: &str = "'append' is deprecated: add an 'append' entry (e.g. 'condition: append') \
                                 under 'override' instead";

/// The outcome of reading one entry.
pub(super) enum Read {
    Item(Item),
    /// Nothing to load; warnings may have been reported.
    Nothing,
    /// It has errors. The name, if there is one, so that its users are not reported too.
    Broken(Option<String>),
}

/// Reads one entry of a rules file.
pub(super) fn read(node: &Node, problems: &mut Vec<Problem>) -> Read {
    let Kind::Mapping(pairs) = &node.kind else {
        let message = "each entry of a rules file must be a mapping (a list, a macro, a rule, …)";
        problems.push(Problem::new(Code::YamlValidate, node.place, message));
        return Read::Broken(None);
    };
    let errors_before = errors(problems);
    let kind = ITEM_KEYS.iter().find(|key| pairs.iter().any(|(found, _)| found.as_str() == **key));
    let Some(kind) = kind.copied() else {
        let first = pairs.first().map(|(key, _)| key.as_str()).unwrap_or_default();
        problems.push(
            Problem::new(Code::UnknownItem, node.place, format!("unknown item '{first}', ignored"))
                .width(first.chars().count())
                .suggest(nearest(first, ITEM_KEYS.iter().copied())),
        );
        return Read::Nothing;
    };
    let mut reader = Reader { pairs, place: node.place, what: String::new(), problems };
    let name = match kind {
        "list" | "macro" | "rule" => reader.string(kind),
        _ => None,
    };
    if let Some(name) = &name {
        reader.what = format!("{kind} '{}'", name.as_str());
    }
    let item = match kind {
        "required_engine_version" => reader.engine_version(),
        "required_plugin_versions" => reader.plugin_versions(),
        "list" => reader.list(name.clone()),
        "macro" => reader.macro_(name.clone()),
        _ => reader.rule(name.clone()),
    };
    let whole = errors(problems) == errors_before;
    match (item, whole) {
        (Some(item), true) => Read::Item(item),
        // Nothing is going to run, but its condition and its output can be wrong as well.
        (Some(Item::Rule(rule)), false) if matches!(rule.action, RuleAction::Define(_)) => {
            Read::Item(Item::Rule(rule))
        }
        _ => Read::Broken(name.map(|name| name.as_str().to_owned())),
    }
}

pub(super) fn errors(problems: &[Problem]) -> usize {
    problems.iter().filter(|problem| problem.code.severity() == super::Severity::Error).count()
}

impl Reader<'_> {
    /// `append: true`, which is deprecated.
    fn append_flag(&mut self) -> bool {
        let append = self.optional_bool("append").unwrap_or(false);
        if append {
            self.at_key(Code::DeprecatedItem, "append", APPEND_DEPRECATED);
        }
        append
    }

    /// The keys under `override` with `append` and with `replace`.
    fn overrides(&mut self, appendable: &[&str], replaceable: &[&str]) -> (Vec<String>, Vec<String>) {
        let (mut append, mut replace) = (Vec::new(), Vec::new());
        let Some(node) = self.get("override").cloned() else { return (append, replace) };
        let Kind::Mapping(pairs) = &node.kind else {
            self.invalid(
                node.place,
                "the value of 'override' must be a mapping of keys to append or replace",
            );
            return (append, replace);
        };
        for (key, value) in pairs {
            let name = key.as_str();
            let operation = value.scalar().map(Scalar::as_str).unwrap_or_default();
            let (can_append, can_replace) = (appendable.contains(&name), replaceable.contains(&name));
            let width = name.chars().count();
            match operation {
                "append" if can_append => append.push(name.to_owned()),
                "replace" if can_replace => replace.push(name.to_owned()),
                "append" if can_replace => {
                    let message = format!("key '{name}' cannot be appended to, use 'replace' instead");
                    self.report(Problem::new(Code::YamlValidate, key.place, message).width(width));
                }
                "append" | "replace" => {
                    let message = format!("key '{name}' cannot be overridden");
                    self.report(
                        Problem::new(Code::YamlValidate, key.place, message)
                            .width(width)
                            .suggest(nearest(name, replaceable.iter().copied())),
                    );
                }
                _ => {
                    let message = format!("invalid override operation for key '{name}': '{operation}'");
                    let allowed = match (can_append, can_replace) {
                        (true, true) => "append or replace",
                        (false, true) => "replace",
                        _ => "a key that can be overridden",
                    };
                    let problem = Problem::new(Code::YamlValidate, value.place, message).expected(allowed);
                    self.report(problem.width(operation.chars().count()));
                }
            }
        }
        (append, replace)
    }

    fn override_with_append(&mut self) {
        let message = "'override' and 'append: true' cannot be used together; add an 'append' entry (e.g. \
                       'condition: append') under 'override' instead";
        self.at_key(Code::YamlValidate, "append", message);
    }

    fn engine_version(&mut self) -> Option<Item> {
        self.unknown_keys(&["required_engine_version"]);
        self.string("required_engine_version").map(Item::EngineVersion)
    }

    fn plugin_versions(&mut self) -> Option<Item> {
        self.unknown_keys(&["required_plugin_versions"]);
        let node = self.get("required_plugin_versions")?.clone();
        let Kind::Sequence(entries) = &node.kind else {
            self.invalid(node.place, "the value of 'required_plugin_versions' must be a sequence");
            return None;
        };
        let mut requirements = Vec::new();
        for entry in entries {
            let Some(first) = self.plugin(entry, &["name", "version", "alternatives"]) else { continue };
            let mut alternatives = vec![first];
            if let Kind::Mapping(pairs) = &entry.kind {
                let more = pairs.iter().find(|(key, _)| key.as_str() == "alternatives");
                match more.map(|(_, value)| (&value.kind, value.place)) {
                    Some((Kind::Sequence(entries), _)) => {
                        for entry in entries {
                            alternatives.extend(self.plugin(entry, &["name", "version"]));
                        }
                    }
                    Some((_, place)) => self.invalid(place, "the value of 'alternatives' must be a sequence"),
                    None => {}
                }
            }
            requirements.push(PluginRequirement { alternatives });
        }
        Some(Item::PluginVersions(requirements))
    }

    fn plugin(&mut self, entry: &Node, known: &[&str]) -> Option<(Text, Text)> {
        let Kind::Mapping(pairs) = &entry.kind else {
            self.invalid(entry.place, "a plugin version must be a mapping");
            return None;
        };
        let what = "required_plugin_versions".to_owned();
        let mut reader = Reader { pairs, place: entry.place, what, problems: self.problems };
        reader.unknown_keys(known);
        let (name, version) = (reader.string("name"), reader.string("version"));
        Some((name?, version?))
    }

    fn list(&mut self, name: Option<Text>) -> Option<Item> {
        self.unknown_keys(LIST_KEYS);
        if self.get("items").is_none() {
            self.invalid(self.place, "the key 'items' is missing");
        }
        let items = self.optional_strings("items");
        let append = self.append_flag();
        let (appended, replaced) = self.overrides(&["items"], &["items"]);
        if append && !(appended.is_empty() && replaced.is_empty()) {
            self.override_with_append();
        }
        let name = name?;
        if !name.as_str().chars().all(is_bare) {
            let message = "the name contains a blank, a quote, a parenthesis, a comma or '=', so no condition \
                           can refer to it";
            self.report(Problem::new(Code::InvalidListName, name.place(0), message));
        }
        Some(Item::List(ListItem { name, items: items?, append: append || !appended.is_empty() }))
    }

    fn macro_(&mut self, name: Option<Text>) -> Option<Item> {
        self.unknown_keys(MACRO_KEYS);
        let condition = self.string("condition");
        let append = self.append_flag();
        let (appended, replaced) = self.overrides(&["condition"], &["condition"]);
        if append && !(appended.is_empty() && replaced.is_empty()) {
            self.override_with_append();
        }
        let name = name?;
        let mut chars = name.as_str().chars();
        let valid = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            let message = "the name is not a letter followed by letters, digits and underscores, so no \
                           condition can refer to it";
            self.report(Problem::new(Code::InvalidMacroName, name.place(0), message));
        }
        Some(Item::Macro(MacroItem { name, condition: condition?, append: append || !appended.is_empty() }))
    }

    fn rule(&mut self, name: Option<Text>) -> Option<Item> {
        self.unknown_keys(RULE_KEYS);
        self.capture();
        let append = self.append_flag();
        let before = errors(self.problems);
        let (appended, replaced) = self.overrides(APPENDABLE, REPLACEABLE);
        let misread = errors(self.problems) > before;
        let overridden = !(appended.is_empty() && replaced.is_empty());
        if append && overridden {
            self.override_with_append();
            return None;
        }
        if misread && !overridden {
            // Meant to change a rule, not to define one.
            return None;
        }
        let action = if overridden {
            self.check_overrides(&appended, &replaced);
            let is = |keys: &[String], key: &str| keys.iter().any(|found| found == key);
            let append = Box::new(self.rule_keys(|key| is(&appended, key), true));
            let replace = Box::new(self.rule_keys(|key| is(&replaced, key), false));
            RuleAction::Override { append, replace }
        } else if append {
            let keys = self.rule_keys(|key| matches!(key, "condition" | "exceptions"), true);
            RuleAction::Append(Box::new(keys))
        } else if ["condition", "output", "desc", "priority"].iter().all(|key| self.get(key).is_none()) {
            if self.get("enabled").is_none() {
                let message = "the rule has none of 'condition', 'output', 'desc', 'priority' and 'enabled'";
                self.invalid(self.place, message);
            }
            let enabled = self.optional_bool("enabled");
            let message = "a rule with only 'enabled' is deprecated: add 'enabled: replace' under 'override'";
            self.at_key(Code::DeprecatedItem, "enabled", message);
            RuleAction::Enable(enabled?)
        } else {
            for key in ["condition", "output", "desc", "priority"] {
                if self.get(key).is_none() {
                    self.invalid(self.place, format!("the key '{key}' is missing"));
                }
            }
            RuleAction::Define(Box::new(self.rule_keys(|_| true, false)))
        };
        Some(Item::Rule(RuleItem { name: name?, action }))
    }

    /// Captures are a part of Falco that we do not have; rules that ask for one still detect.
    fn capture(&mut self) {
        let capture = self.optional_bool("capture");
        if capture == Some(true) {
            let message = "captures are not recorded; the rule detects all the same";
            self.at_key(Code::WarningExtension, "capture", message);
        }
        let duration = self.optional_string("capture_duration");
        if let Some(text) = duration.filter(|text| text.as_str().parse::<u32>().is_err()) {
            let message = format!("'{}' is not a duration", text.as_str());
            let problem = Problem::new(Code::YamlValidate, text.place(0), message);
            self.report(problem.width(text.width(0..text.len())).expected("a number of milliseconds"));
        }
    }

    /// Each overridden key must be there, and each key that could be overridden must be overridden.
    fn check_overrides(&mut self, appended: &[String], replaced: &[String]) {
        for (keys, operation) in [(appended, "append"), (replaced, "replace")] {
            for key in keys {
                if self.get(key).is_none() {
                    let message =
                        format!("'{key}: {operation}' is under 'override' but '{key}' is not defined");
                    self.at_key(Code::YamlValidate, "override", message);
                }
            }
        }
        let unexpected: Vec<String> = (self.pairs.iter().map(|(key, _)| key.as_str()))
            .filter(|key| REPLACEABLE.contains(key))
            .filter(|key| !appended.iter().chain(replaced).any(|found| found == key))
            .map(str::to_owned)
            .collect();
        for key in unexpected {
            let message = format!("unexpected key '{key}': there is no entry for it under 'override'");
            self.at_key(Code::YamlValidate, &key, message);
        }
    }

    /// The keys that are wanted and present.
    fn rule_keys(&mut self, wanted: impl Fn(&str) -> bool, appending: bool) -> RuleKeys {
        let mut keys = RuleKeys::default();
        let text = |reader: &mut Self, key| {
            if wanted(key) { reader.optional_string(key) } else { None }
        };
        keys.condition = text(self, "condition");
        keys.output = text(self, "output").map(|output| output.trim());
        keys.desc = text(self, "desc");
        keys.source = text(self, "source");
        if let Some(priority) = text(self, "priority") {
            keys.priority = Priority::from_name(priority.as_str());
            if keys.priority.is_none() {
                let message = format!("unknown priority '{}'", priority.as_str());
                let lower = priority.as_str().to_ascii_lowercase();
                let known = Priority::ALL.map(Priority::name);
                let names = known.map(str::to_ascii_lowercase);
                let near = nearest(&lower, names.iter().map(String::as_str));
                self.report(
                    Problem::new(Code::YamlValidate, priority.place(0), message)
                        .width(priority.width(0..priority.len()))
                        .expected(format!("one of {}", known.join(" ")))
                        .suggest(near),
                );
            }
        }
        let flag = |reader: &mut Self, key| {
            if wanted(key) { reader.optional_bool(key) } else { None }
        };
        keys.enabled = flag(self, "enabled");
        keys.warn_evttypes = flag(self, "warn_evttypes");
        keys.skip_if_unknown_filter = flag(self, "skip-if-unknown-filter");
        if wanted("tags") {
            let tags = self.optional_strings("tags");
            keys.tags = tags.map(|tags| tags.iter().map(|tag| tag.as_str().to_owned()).collect());
        }
        if wanted("exceptions") {
            keys.exceptions = exceptions::read(self, appending);
        }
        keys
    }
}
