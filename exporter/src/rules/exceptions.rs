//! Exceptions of a rule: what they say, whether that is sound, and the condition they add.
//!
//! `(condition) and not ((f1 c1 v1 and f2 c2 v2) or (…))`, as Falco builds it, except that values are
//! quoted where they need it, so that no value can break out of its place.

use super::{
    ast::{Modifier, Operator, OperatorKind, quoted},
    diagnostic::{Code, Problem},
    item::errors,
    lexer::is_bare,
    reader::Reader,
    text::{Place, Text},
    yaml::{Kind, Node},
};
use crate::suggest::nearest;

/// One exception of a rule.
#[derive(Clone, Debug)]
pub(super) struct Exception {
    pub name: String,
    pub place: Place,
    pub fields: Option<Entry>,
    pub comps: Option<Entry>,
    pub values: Vec<Entry>,
}

/// A value, or a list of them.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    One(Text),
    Many(Vec<Entry>, Place),
}

impl Entry {
    fn place(&self) -> Place {
        match self {
            Entry::One(text) => text.place(0),
            Entry::Many(_, place) => *place,
        }
    }
}

/// Reads the `exceptions` of a rule. `appending`: `values` are expected.
pub(super) fn read(reader: &mut Reader<'_>, appending: bool) -> Option<Vec<Exception>> {
    let node = reader.get("exceptions")?.clone();
    if node.is_null() {
        return Some(Vec::new());
    }
    let Kind::Sequence(nodes) = &node.kind else {
        reader.invalid(node.place, "the value of 'exceptions' must be a sequence");
        return None;
    };
    let mut exceptions: Vec<Exception> = Vec::new();
    for node in nodes {
        let before = errors(reader.problems);
        let exception = read_one(reader, node, appending);
        // What is left of a misread one would only give more errors of the same cause.
        let Some(exception) = exception.filter(|_| errors(reader.problems) == before) else { continue };
        if exceptions.iter().any(|known| known.name == exception.name) {
            let message = format!("the rule has more than one exception '{}'", exception.name);
            reader.report(Problem::new(Code::ExceptionNameNotUnique, exception.place, message));
        }
        exceptions.push(exception);
    }
    Some(exceptions)
}

fn read_one(reader: &mut Reader<'_>, node: &Node, appending: bool) -> Option<Exception> {
    let Kind::Mapping(pairs) = &node.kind else {
        reader.invalid(node.place, "an exception must be a mapping");
        return None;
    };
    let what = reader.what.clone();
    let mut inner = Reader { pairs, place: node.place, what, problems: reader.problems };
    let known = ["name", "fields", "comps", "values"];
    for (key, _) in pairs.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
        let message = format!("unknown key '{}' in an exception, ignored", key.as_str());
        inner.report(
            Problem::new(Code::UnknownKey, key.place, message)
                .width(key.as_str().chars().count())
                .suggest(nearest(key.as_str(), known)),
        );
    }
    let name = inner.string("name")?.as_str().to_owned();
    let entry = |inner: &mut Reader<'_>, key| match inner.get(key).cloned() {
        Some(node) => read_entry(inner, &node),
        None => None,
    };
    let fields = entry(&mut inner, "fields");
    let comps = entry(&mut inner, "comps");
    let mut values = Vec::new();
    match inner.get("values").cloned() {
        Some(Node { kind: Kind::Sequence(nodes), .. }) => {
            for node in &nodes {
                values.extend(read_entry(&mut inner, node));
            }
        }
        Some(node) if !node.is_null() => {
            inner.invalid(node.place, "the values of an exception must be a sequence")
        }
        _ if appending => {
            let message = format!("exception '{name}' has no values to append");
            inner.report(Problem::new(Code::AppendNoValues, node.place, message));
        }
        _ => {}
    }
    Some(Exception { name, place: node.place, fields, comps, values })
}

fn read_entry(reader: &mut Reader<'_>, node: &Node) -> Option<Entry> {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.text.is_empty() && scalar.plain => {
            reader.invalid(node.place, "a value must not be empty");
            None
        }
        Kind::Scalar(scalar) if scalar.text.is_empty() => {
            let mut text = Text::default();
            text.push_generated("\"\"", node.place);
            Some(Entry::One(text))
        }
        Kind::Scalar(scalar) => Some(Entry::One(scalar.text.clone())),
        Kind::Sequence(nodes) => {
            let entries = nodes.iter().filter_map(|node| read_entry(reader, node)).collect();
            Some(Entry::Many(entries, node.place))
        }
        Kind::Mapping(_) => {
            reader.invalid(node.place, "expected a value or a sequence of values");
            None
        }
    }
}

/// What an exception's `comps` may hold.
struct Comparison {
    /// Takes a list on its right.
    list: bool,
}

fn comparison(text: &str) -> Option<Comparison> {
    let mut words = text.split_whitespace();
    let operator = Operator::from_word(words.next()?)?;
    let modifier = words.next();
    if words.next().is_some() {
        return None;
    }
    match (operator.kind(), modifier) {
        (OperatorKind::Unary, _) => None,
        (OperatorKind::String, Some(word)) => {
            let known = Modifier::ALL.iter().any(|modifier| modifier.word() == word);
            known.then_some(Comparison { list: true })
        }
        (_, Some(_)) => None,
        (kind, None) => Some(Comparison { list: kind == OperatorKind::List }),
    }
}

/// Fills in the default `comps` and checks that fields, comps and values belong together.
pub(super) fn validate(exception: &mut Exception, problems: &mut Vec<Problem>) {
    let name = exception.name.clone();
    let mut report = |place: Place, message: String| {
        problems.push(Problem::new(Code::Validate, place, format!("exception '{name}': {message}")));
    };
    let Some(fields) = &exception.fields else {
        return report(exception.place, "the key 'fields' is missing".to_owned());
    };
    let (fields, place) = match fields {
        Entry::Many(fields, place) => (fields, *place),
        Entry::One(field) => {
            let place = field.place(0);
            match exception.comps.get_or_insert_with(|| generated("in", place)) {
                Entry::Many(_, place) => {
                    report(
                        *place,
                        "'fields' is a single field, so 'comps' must be a single operator".to_owned(),
                    );
                }
                Entry::One(text) if !comparison(text.as_str()).is_some_and(|comparison| comparison.list) => {
                    let message = "for a single field, 'comps' must be in, pmatch, intersects or an operator with \
                                   oneof, anyof or allof";
                    report(text.place(0), message.to_owned());
                }
                Entry::One(_) => {}
            }
            for value in &exception.values {
                if let Entry::Many(_, place) = value {
                    report(
                        *place,
                        "for a single field, 'values' must be a sequence of single values".to_owned(),
                    );
                }
            }
            return;
        }
    };
    let default = || Entry::Many(fields.iter().map(|field| generated("=", field.place())).collect(), place);
    let comps = match exception.comps.get_or_insert_with(default) {
        Entry::Many(comps, _) => comps,
        Entry::One(text) => {
            return report(text.place(0), "'fields' is a sequence, so 'comps' must be one too".to_owned());
        }
    };
    if comps.len() != fields.len() {
        let message = format!("'fields' has {} entries but 'comps' has {}", fields.len(), comps.len());
        report(comps.first().map_or(place, Entry::place), message);
    }
    for entry in comps.iter() {
        match entry {
            Entry::One(text) if comparison(text.as_str()).is_some() => {}
            Entry::One(text) => {
                report(text.place(0), format!("'{}' is not a comparison operator", text.as_str()));
            }
            Entry::Many(_, place) => report(*place, "an operator must be a single value".to_owned()),
        }
    }
    for value in &exception.values {
        let found = match value {
            Entry::Many(values, _) => values.len(),
            Entry::One(_) => 0,
        };
        if found != fields.len() {
            let message = format!("'fields' has {} entries but this value has {found}", fields.len());
            report(value.place(), message);
        }
    }
}

fn generated(text: &str, place: Place) -> Entry {
    let mut generated = Text::default();
    generated.push_generated(text, place);
    Entry::One(generated)
}

/// The fields that the exception names, for checking them even if it has no values.
pub(super) fn fields(exception: &Exception) -> Vec<&Text> {
    match &exception.fields {
        Some(Entry::One(field)) => vec![field],
        Some(Entry::Many(fields, _)) => fields
            .iter()
            .filter_map(|field| match field {
                Entry::One(text) => Some(text),
                Entry::Many(..) => None,
            })
            .collect(),
        None => Vec::new(),
    }
}

/// The condition with the exceptions added. They have been validated.
pub(super) fn apply(condition: &Text, exceptions: &[Exception]) -> Text {
    if exceptions.iter().all(|exception| exception.values.is_empty()) {
        return condition.clone();
    }
    let mut text = Text::default();
    text.push_generated("(", condition.place(0));
    text.push_text(condition);
    text.push_generated(")", condition.place(condition.len()));
    for exception in exceptions.iter().filter(|exception| !exception.values.is_empty()) {
        text.push_generated(" and not (", exception.place);
        match (&exception.fields, &exception.comps) {
            (Some(Entry::One(field)), Some(Entry::One(comp))) => {
                push_spaced(&mut text, &[field, comp]);
                text.push_generated(" (", exception.place);
                push_values(&mut text, &exception.values);
                text.push_generated(")", exception.place);
            }
            (Some(Entry::Many(fields, _)), Some(Entry::Many(comps, _))) => {
                for (index, values) in exception.values.iter().enumerate() {
                    let Entry::Many(values, place) = values else { continue };
                    text.push_generated(if index > 0 { " or (" } else { "(" }, *place);
                    for (index, ((field, comp), value)) in fields.iter().zip(comps).zip(values).enumerate() {
                        let (Entry::One(field), Entry::One(comp)) = (field, comp) else { continue };
                        text.push_generated(if index > 0 { " and " } else { "" }, *place);
                        push_spaced(&mut text, &[field, comp]);
                        text.push_generated(" ", *place);
                        push_member(&mut text, comp.as_str(), value);
                    }
                    text.push_generated(")", *place);
                }
            }
            _ => {}
        }
        text.push_generated(")", exception.place);
    }
    text
}

fn push_spaced(text: &mut Text, parts: &[&Text]) {
    for (index, part) in parts.iter().enumerate() {
        text.push_generated(if index > 0 { " " } else { "" }, part.place(0));
        text.push_text(part);
    }
}

/// The right-hand side for one field of a tuple.
fn push_member(text: &mut Text, comp: &str, value: &Entry) {
    let takes_list = comparison(comp).is_some_and(|comparison| comparison.list);
    match value {
        Entry::Many(values, place) => {
            text.push_generated("(", *place);
            push_values(text, values);
            text.push_generated(")", *place);
        }
        // A list written as one string: `(a, b)`.
        Entry::One(value) if takes_list && value.as_str().starts_with('(') => text.push_text(value),
        Entry::One(value) if takes_list => {
            text.push_generated("(", value.place(0));
            push_value(text, value);
            text.push_generated(")", value.place(0));
        }
        Entry::One(value) => push_value(text, value),
    }
}

fn push_values(text: &mut Text, values: &[Entry]) {
    let mut first = true;
    for value in values {
        if let Entry::One(value) = value {
            text.push_generated(if first { "" } else { ", " }, value.place(0));
            push_value(text, value);
            first = false;
        }
    }
}

/// One value, quoted if it needs to be. A value in quotes of its own stays as it is.
pub(super) fn push_value(text: &mut Text, value: &Text) {
    let string = value.as_str();
    if is_quoted(string) || (!string.is_empty() && string.chars().all(is_bare)) {
        text.push_text(value);
    } else {
        text.push_generated(&quoted(string), value.place(0));
    }
}

/// Whether the string is one whole quoted string of the condition language.
fn is_quoted(string: &str) -> bool {
    let mut lexer = super::lexer::Lexer::new(string);
    matches!(lexer.quoted_string(), Ok(Some(_))) && lexer.at_end()
}
