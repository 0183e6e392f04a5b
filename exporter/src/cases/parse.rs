//! Case files: YAML to checked cases, with every error at once.

use std::collections::HashMap;

use exporter_common::event_type::EventType;
use saphyr::{LoadableYamlNode, MarkedYaml, Marker, Scalar, YamlData};

use super::{
    case::{Case, CaseSubject, Expected, RuleName},
    value,
};
use crate::{
    audit::{AuditEvent, merge},
    fields::{Cardinality, FieldError, FieldRef, Source, Value, scheme},
    rules::{Code, Diagnostic, Severity, Snippet, SourceFile},
    suggest::nearest,
};

/// A file beyond this is not a case file.
const MAX_BYTES: usize = 4 << 20;
/// Keys of a case.
const KEYS: [&str; 9] =
    ["name", "like", "source", "type", "event", "fields", "rules", "output", "output_fields"];

/// Reads a case file. The errors are all there are, in the order of their places.
pub fn parse(file: &SourceFile) -> Result<Vec<Case>, Vec<Diagnostic>> {
    let mut parser = Parser { file, errors: Vec::new(), like: HashMap::new() };
    let cases = parser.file();
    if parser.errors.is_empty() {
        return Ok(cases);
    }
    parser.errors.sort_by_key(|error| (error.line, error.column));
    Err(parser.errors)
}

struct Parser<'f> {
    file: &'f SourceFile,
    errors: Vec<Diagnostic>,
    /// Subjects of the cases so far, for `like`; `None` if the case is wrong, which has been said.
    like: HashMap<String, Option<CaseSubject>>,
}

/// The keys of one case.
struct Keys<'y> {
    at: Marker,
    pairs: Vec<(&'y str, Marker, &'y MarkedYaml<'y>)>,
}

impl<'y> Keys<'y> {
    fn get(&self, name: &str) -> Option<&'y MarkedYaml<'y>> {
        self.pairs.iter().find(|(key, ..)| *key == name).map(|(.., node)| *node)
    }
}

impl Parser<'_> {
    fn file(&mut self) -> Vec<Case> {
        if self.file.text.len() > MAX_BYTES {
            self.error(Marker::default(), 1, format!("the file has more than {} MiB", MAX_BYTES >> 20));
            return Vec::new();
        }
        let documents = match MarkedYaml::load_from_str(&self.file.text) {
            Ok(documents) => documents,
            Err(error) => {
                self.error(*error.marker(), 1, error.info().to_owned());
                return Vec::new();
            }
        };
        let mut cases = Vec::new();
        for document in &documents {
            let YamlData::Sequence(items) = &document.data else {
                let message = format!("a case file is a list of cases, not {}", value::kind(document));
                self.error(document.span.start, 1, message);
                continue;
            };
            cases.extend(items.iter().filter_map(|item| self.case(item)));
        }
        cases
    }

    fn case(&mut self, node: &MarkedYaml<'_>) -> Option<Case> {
        let keys = self.keys(node)?;
        let Some(name) = self.text(&keys, "name") else {
            if keys.get("name").is_none() {
                self.error(keys.at, 1, "the case has no name".to_owned());
            }
            return None;
        };
        let subject = self.subject(&keys);
        let expected = self.expected(&keys);
        if self.like.insert(name.to_owned(), subject.clone()).is_some() {
            let at = keys.get("name").map_or(keys.at, |node| node.span.start);
            self.error(at, name.chars().count(), format!("another case is called '{name}' too"));
        }
        Some(Case {
            name: name.to_owned(),
            file: self.file.name.clone(),
            line: line(keys.at),
            column: column(keys.at),
            subject: subject?,
            expected: expected?,
        })
    }

    /// The pairs of a case, unknown keys reported.
    fn keys<'y>(&mut self, node: &'y MarkedYaml<'y>) -> Option<Keys<'y>> {
        let YamlData::Mapping(mapping) = &node.data else {
            self.error(node.span.start, 1, format!("a case is a mapping, not {}", value::kind(node)));
            return None;
        };
        let mut pairs = Vec::with_capacity(mapping.len());
        for (key, value) in mapping {
            let Some(name) = self.key(key) else { continue };
            if KEYS.contains(&name) {
                pairs.push((name, key.span.start, value));
                continue;
            }
            let message = format!("unknown key '{name}'");
            let near = nearest(name, KEYS).map(str::to_owned);
            self.suggest(key.span.start, name, message, near);
        }
        let at = pairs.first().map_or(node.span.start, |(_, at, _)| *at);
        Some(Keys { at, pairs })
    }

    fn key<'y>(&mut self, node: &'y MarkedYaml<'_>) -> Option<&'y str> {
        let name = match &node.data {
            YamlData::Value(scalar) => scalar.as_str(),
            _ => None,
        };
        if name.is_none() {
            self.error(node.span.start, 1, format!("a key must be text, not {}", value::kind(node)));
        }
        name
    }

    /// A key's text; `None` if it is absent or (reported) not text.
    fn text<'y>(&mut self, keys: &Keys<'y>, name: &str) -> Option<&'y str> {
        self.as_text(keys.get(name)?, name)
    }

    fn as_text<'y>(&mut self, node: &'y MarkedYaml<'_>, what: &str) -> Option<&'y str> {
        let text = match &node.data {
            YamlData::Value(scalar) => scalar.as_str(),
            _ => None,
        };
        if text.is_none() {
            self.error(node.span.start, 1, format!("{what} must be text, not {}", value::kind(node)));
        }
        text
    }

    /// The event: what `like` gives, then what this case adds or takes away.
    fn subject(&mut self, keys: &Keys<'_>) -> Option<CaseSubject> {
        let mut subject = match self.text(keys, "like") {
            Some(name) => match self.like.get(name) {
                Some(subject) => subject.clone()?,
                None => {
                    let at = keys.get("like").map_or(keys.at, |node| node.span.start);
                    let near = nearest(name, self.like.keys().map(String::as_str)).map(str::to_owned);
                    self.suggest(at, name, format!("no case before this one is called '{name}'"), near);
                    return None;
                }
            },
            None => {
                CaseSubject { source: Source::Syscall, event_type: None, values: HashMap::new(), audit: None }
            }
        };
        if let Some(name) = self.text(keys, "source") {
            match Source::from_name(name) {
                Some(source) => subject.source = source,
                None => {
                    let at = keys.get("source").map_or(keys.at, |node| node.span.start);
                    let known = [Source::Syscall, Source::K8sAudit].map(Source::name);
                    let near = nearest(name, known).map(str::to_owned);
                    self.suggest(at, name, format!("unknown source '{name}'"), near);
                    return None;
                }
            }
        }
        if let Some(event) = keys.get("event") {
            if keys.get("source").is_none() && keys.get("type").is_none() {
                subject.source = Source::K8sAudit;
            }
            self.audit_event(event, &mut subject)?;
        }
        self.event_type(keys, &mut subject)?;
        if let Some(fields) = keys.get("fields") {
            self.fields(fields, &mut subject);
        }
        Some(subject)
    }

    /// An audit event as YAML or as JSON text; to one that `like` gave it is a merge patch.
    fn audit_event(&mut self, node: &MarkedYaml<'_>, subject: &mut CaseSubject) -> Option<()> {
        if subject.source != Source::K8sAudit {
            let message = format!("event is for cases of source {}", Source::K8sAudit.name());
            self.error(node.span.start, 1, message);
            return None;
        }
        let patch = match &node.data {
            YamlData::Value(Scalar::String(text)) => {
                serde_json::from_str(text).map_err(|error| error.to_string())
            }
            YamlData::Mapping(_) => tree(node).ok_or_else(|| "holds something that JSON has not".to_owned()),
            _ => Err(format!("must be a mapping or JSON text, not {}", value::kind(node))),
        };
        match patch {
            Ok(patch) => {
                let before = subject.audit.take().map(|event| event.json().clone());
                let mut event = before.unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new()));
                merge(&mut event, &patch);
                subject.audit = Some(AuditEvent::new(event, 0));
                Some(())
            }
            Err(problem) => {
                self.error(node.span.start, 1, format!("event {problem}"));
                None
            }
        }
    }

    fn event_type(&mut self, keys: &Keys<'_>, subject: &mut CaseSubject) -> Option<()> {
        let at = keys.get("type").map_or(keys.at, |node| node.span.start);
        match (subject.source, self.text(keys, "type")) {
            (Source::Syscall, Some(name)) => {
                let Some(ty) = EventType::from_name(name) else {
                    let near = nearest(name, EventType::ALL.iter().map(|ty| ty.name())).map(str::to_owned);
                    self.suggest(at, name, format!("unknown event type '{name}'"), near);
                    return None;
                };
                subject.event_type = Some(ty);
                if let Ok(field) = scheme().resolve(Source::Syscall, "evt.type", None) {
                    subject.values.insert(field, Value::str(ty.name().as_bytes()));
                }
            }
            (Source::Syscall, None) if subject.event_type.is_none() => {
                if keys.get("type").is_none() {
                    self.error(at, 1, "the case has no type (like 'openat')".to_owned());
                }
                return None;
            }
            (Source::K8sAudit, Some(name)) => {
                let message = format!("events of {} have no type", Source::K8sAudit.name());
                self.error(at, name.chars().count(), message);
                return None;
            }
            (_, None) => {}
        }
        Some(())
    }

    fn fields(&mut self, node: &MarkedYaml<'_>, subject: &mut CaseSubject) {
        let YamlData::Mapping(mapping) = &node.data else {
            self.error(node.span.start, 1, format!("fields must be a mapping, not {}", value::kind(node)));
            return;
        };
        for (key, value) in mapping {
            let Some(name) = self.key(key) else { continue };
            let Some(field) = self.field(key.span.start, subject.source, name) else { continue };
            if matches!(value.data, YamlData::Value(Scalar::Null)) {
                subject.values.remove(&field);
                continue;
            }
            match field_value(&field, value) {
                Ok(value) => {
                    subject.values.insert(field, value);
                }
                Err((at, problem)) => self.error(at, 1, format!("{name} {problem}")),
            }
        }
    }

    /// `proc.aname[2]` and the like, resolved; problems are reported.
    fn field(&mut self, at: Marker, source: Source, text: &str) -> Option<FieldRef> {
        if text == "evt.type" {
            self.error(at, text.len(), "evt.type is what the case's type says".to_owned());
            return None;
        }
        match resolve(source, text) {
            Ok(field) => Some(field),
            Err(error) => {
                let near = error.suggestion().map(str::to_owned);
                let message = match &error {
                    FieldError::Unknown { name, .. } => format!("unknown field '{name}'"),
                    FieldError::UnknownArgument { argument, .. } => {
                        format!("no event type has an argument '{argument}'")
                    }
                    other => other.to_string(),
                };
                self.suggest(at, text, message, near);
                None
            }
        }
    }

    fn expected(&mut self, keys: &Keys<'_>) -> Option<Expected> {
        let Some(node) = keys.get("rules") else {
            self.error(keys.at, 1, "the case does not say which rules must fire (rules: [] for none)".into());
            return None;
        };
        let YamlData::Sequence(items) = &node.data else {
            self.error(node.span.start, 1, format!("rules must be a list, not {}", value::kind(node)));
            return None;
        };
        let rules: Vec<RuleName> =
            items.iter().filter_map(|item| self.rule_name(item, "a rule's name")).collect();
        let output = keys.get("output").map_or_else(Vec::new, |node| self.output(node, &rules));
        let output_fields = keys.get("output_fields").map_or_else(Vec::new, |node| self.output_fields(node));
        Some(Expected { rules, output, output_fields })
    }

    fn rule_name(&mut self, node: &MarkedYaml<'_>, what: &str) -> Option<RuleName> {
        let name = self.as_text(node, what)?.to_owned();
        Some(RuleName { name, line: line(node.span.start), column: column(node.span.start) })
    }

    /// Text if one rule is expected, else a mapping from rule to text.
    fn output(&mut self, node: &MarkedYaml<'_>, rules: &[RuleName]) -> Vec<(RuleName, String)> {
        if let YamlData::Mapping(mapping) = &node.data {
            let mut outputs = Vec::with_capacity(mapping.len());
            for (key, value) in mapping {
                let name = self.rule_name(key, "a rule's name");
                let text = self.as_text(value, "output").map(str::to_owned);
                if let (Some(name), Some(text)) = (name, text) {
                    if rules.iter().any(|rule| rule.name == name.name) {
                        outputs.push((name, text));
                    } else {
                        let message = format!("'{}' is not among the case's rules", name.name);
                        self.error(key.span.start, name.name.chars().count(), message);
                    }
                }
            }
            return outputs;
        }
        let Some(text) = self.as_text(node, "output") else { return Vec::new() };
        match rules {
            [rule] => vec![(rule.clone(), text.to_owned())],
            _ => {
                let message = "output is text for a case with one rule; write 'rule: text' pairs".to_owned();
                self.error(node.span.start, 1, message);
                Vec::new()
            }
        }
    }

    fn output_fields(&mut self, node: &MarkedYaml<'_>) -> Vec<(String, serde_json::Value)> {
        let YamlData::Mapping(mapping) = &node.data else {
            let message = format!("output_fields must be a mapping, not {}", value::kind(node));
            self.error(node.span.start, 1, message);
            return Vec::new();
        };
        let mut fields = Vec::with_capacity(mapping.len());
        for (key, value) in mapping {
            let Some(name) = self.key(key) else { continue };
            match json(value) {
                Some(json) => fields.push((name.to_owned(), json)),
                None => self.error(value.span.start, 1, format!("{name} must be one value")),
            }
        }
        fields
    }

    fn suggest(&mut self, at: Marker, word: &str, message: String, suggestion: Option<String>) {
        self.error(at, word.chars().count(), message);
        if let Some(error) = self.errors.last_mut() {
            error.suggestion = suggestion;
        }
    }

    fn error(&mut self, at: Marker, width: usize, message: String) {
        self.errors.push(diagnostic(self.file, line(at), column(at), width, message));
    }
}

/// An error in a case file as the rule loader prints its own.
pub(super) fn diagnostic(
    file: &SourceFile,
    line: u32,
    column: u32,
    width: usize,
    message: String,
) -> Diagnostic {
    let text = line.checked_sub(1).and_then(|index| file.text.lines().nth(index as usize));
    let snippet = text.map(|text| {
        let room = text.chars().count().saturating_sub(column.saturating_sub(1) as usize).max(1);
        Snippet {
            text: text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
            offset: column.saturating_sub(1),
            width: u32::try_from(width.clamp(1, room)).unwrap_or(1),
        }
    });
    Diagnostic {
        severity: Severity::Error,
        code: Code::YamlValidate,
        message,
        item: None,
        file: file.name.clone(),
        line,
        column,
        snippet,
        expected: None,
        suggestion: None,
    }
}

/// A field as written in a case: a name, an argument in brackets or after a dot.
fn resolve(source: Source, text: &str) -> Result<FieldRef, FieldError> {
    let (name, arg) = match text.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((name, arg)) => (name, Some(arg)),
        None => (text, None),
    };
    scheme().resolve(source, name, arg)
}

/// The value of a field; several only where the field can have several.
fn field_value(field: &FieldRef, node: &MarkedYaml<'_>) -> Result<Value<'static>, (Marker, String)> {
    let ty = scheme().ty(field);
    let one = |node: &MarkedYaml<'_>| value::scalar(ty, node).map_err(|problem| (node.span.start, problem));
    match (scheme().cardinality(field), &node.data) {
        (Cardinality::One, YamlData::Sequence(_)) => {
            Err((node.span.start, "has one value, not a list".to_owned()))
        }
        (Cardinality::One, _) => one(node),
        (_, YamlData::Sequence(items)) => {
            Ok(Value::List(items.iter().map(one).collect::<Result<Vec<_>, _>>()?))
        }
        (_, _) => Ok(Value::List(vec![one(node)?])),
    }
}

fn json(node: &MarkedYaml<'_>) -> Option<serde_json::Value> {
    let YamlData::Value(scalar) = &node.data else { return None };
    Some(match scalar {
        Scalar::Null => serde_json::Value::Null,
        Scalar::Boolean(value) => (*value).into(),
        Scalar::Integer(value) => (*value).into(),
        Scalar::FloatingPoint(value) => value.into_inner().into(),
        Scalar::String(value) => value.as_ref().into(),
    })
}

/// A YAML node with all below it.
fn tree(node: &MarkedYaml<'_>) -> Option<serde_json::Value> {
    Some(match &node.data {
        YamlData::Sequence(items) => items.iter().map(tree).collect::<Option<Vec<_>>>()?.into(),
        YamlData::Mapping(mapping) => {
            let pair = |(key, value): (&MarkedYaml<'_>, &MarkedYaml<'_>)| {
                let YamlData::Value(Scalar::String(key)) = &key.data else { return None };
                Some((key.to_string(), tree(value)?))
            };
            let pairs: Option<serde_json::Map<_, _>> = mapping.iter().map(pair).collect();
            serde_json::Value::Object(pairs?)
        }
        _ => json(node)?,
    })
}

fn line(at: Marker) -> u32 {
    u32::try_from(at.line()).unwrap_or(u32::MAX)
}

fn column(at: Marker) -> u32 {
    u32::try_from(at.col()).unwrap_or(u32::MAX).saturating_add(1)
}
