//! Reading a mapping of a rules file: values of the wanted type, or a problem at their place.

use super::{
    diagnostic::{Code, Problem},
    text::{Place, Text},
    yaml::{Kind, Node, Scalar},
};
use crate::suggest::nearest;

/// A mapping that is being read.
pub(super) struct Reader<'a> {
    pub pairs: &'a [(Scalar, std::rc::Rc<Node>)],
    pub place: Place,
    /// `rule 'x'`, for messages.
    pub what: String,
    pub problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pairs.iter().find(|(found, _)| found.as_str() == key).map(|(_, value)| &**value)
    }

    fn key_place(&self, key: &str) -> Place {
        self.pairs
            .iter()
            .find(|(found, _)| found.as_str() == key)
            .map_or(self.place, |(found, _)| found.place)
    }

    pub fn report(&mut self, problem: Problem) {
        let problem = if self.what.is_empty() { problem } else { problem.item(self.what.clone()) };
        self.problems.push(problem);
    }

    pub fn invalid(&mut self, place: Place, message: impl Into<String>) {
        self.report(Problem::new(Code::YamlValidate, place, message));
    }

    pub fn at_key(&mut self, code: Code, key: &str, message: impl Into<String>) {
        let problem = Problem::new(code, self.key_place(key), message).width(key.chars().count());
        self.report(problem);
    }

    /// A non-empty scalar, if the key is there.
    pub fn optional_string(&mut self, key: &str) -> Option<Text> {
        let node = self.get(key)?;
        let place = node.place;
        let text = match &node.kind {
            _ if node.is_null() => Err("must not be empty"),
            Kind::Scalar(scalar) if scalar.text.is_empty() => Err("must not be empty"),
            Kind::Scalar(scalar) => Ok(scalar.text.clone()),
            _ => Err("must be a single value"),
        };
        match text {
            Ok(text) => Some(text),
            Err(problem) => {
                let place = if problem.contains("empty") { self.key_place(key) } else { place };
                self.invalid(place, format!("the value of '{key}' {problem}"));
                None
            }
        }
    }

    /// A non-empty scalar that must be there.
    pub fn string(&mut self, key: &str) -> Option<Text> {
        if self.get(key).is_none() {
            self.invalid(self.place, format!("the key '{key}' is missing"));
            return None;
        }
        self.optional_string(key)
    }

    pub fn optional_bool(&mut self, key: &str) -> Option<bool> {
        let text = self.optional_string(key)?;
        match text.as_str().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Some(true),
            "false" | "no" | "off" | "n" => Some(false),
            _ => {
                let place = text.place(0);
                let message = format!("'{}' is not a value for '{key}'", text.as_str());
                let problem =
                    Problem::new(Code::YamlValidate, place, message).width(text.width(0..text.len()));
                self.report(problem.expected("true or false"));
                None
            }
        }
    }

    /// Scalars in a sequence, if the key is there.
    pub fn optional_strings(&mut self, key: &str) -> Option<Vec<Text>> {
        let node = self.get(key)?.clone();
        let Kind::Sequence(nodes) = &node.kind else {
            self.invalid(node.place, format!("the value of '{key}' must be a sequence"));
            return None;
        };
        let mut items = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node.scalar() {
                Some(scalar) => items.push(scalar.text.clone()),
                None => self.invalid(node.place, format!("an entry of '{key}' must be a single value")),
            }
        }
        Some(items)
    }

    pub fn unknown_keys(&mut self, known: &[&str]) {
        let unknown: Vec<Scalar> = (self.pairs.iter())
            .filter(|(key, _)| !known.contains(&key.as_str()))
            .map(|(key, _)| key.clone())
            .collect();
        for key in unknown {
            let message = format!("unknown key '{}', ignored", key.as_str());
            self.report(
                Problem::new(Code::UnknownKey, key.place, message)
                    .width(key.as_str().chars().count())
                    .suggest(nearest(key.as_str(), known.iter().copied())),
            );
        }
    }
}
