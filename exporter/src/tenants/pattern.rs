//! Shell patterns of names and labels.

use crate::{enrich::container::Labels, glob::Glob};

/// A shell pattern and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    glob: Glob,
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        Pattern { text: text.into(), glob: Glob::new(text.as_bytes(), false) }
    }

    pub fn fits(&self, value: &str) -> bool {
        self.glob.matches(value.as_bytes())
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// `NAME=PATTERN`, or `NAME` for any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    name: Box<str>,
    value: Pattern,
}

impl Label {
    pub fn parse(text: &str) -> Option<Label> {
        let (name, value) = text.split_once('=').unwrap_or((text, "*"));
        (!name.is_empty()).then(|| Label { name: name.into(), value: Pattern::new(value) })
    }

    pub fn fits(&self, labels: &Labels) -> bool {
        labels.get(&self.name).is_some_and(|value| self.value.fits(value))
    }
}
