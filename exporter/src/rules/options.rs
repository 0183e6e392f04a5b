//! What may be chosen when rules are loaded.

use super::{Priority, RuleMatching};
use crate::glob::Glob;

/// Options of [`super::load`].
#[derive(Clone, Debug)]
pub struct LoadOptions {
    pub rule_matching: RuleMatching,
    /// Rules less severe than this are disabled.
    pub priority: Priority,
    /// Applied in order, after what the files say about `enabled`: the last one that fits a rule wins.
    pub selection: Vec<Selection>,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            rule_matching: RuleMatching::default(),
            priority: Priority::Debug,
            selection: Vec::new(),
        }
    }
}

/// Enables or disables rules, as an entry of Falco's `rules` configuration does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub enable: bool,
    pub by: Selector,
}

/// Which rules a [`Selection`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Rules whose whole name matches this shell pattern.
    Rule(String),
    /// Rules with this tag.
    Tag(String),
}

impl Selector {
    /// Whether it is about a rule with this name and these tags.
    pub fn fits(&self, name: &str, tags: &[String]) -> bool {
        match self {
            Selector::Rule(pattern) => Glob::new(pattern.as_bytes(), false).matches(name.as_bytes()),
            Selector::Tag(tag) => tags.contains(tag),
        }
    }
}

impl LoadOptions {
    /// Whether a rule with this name and these tags is enabled, given what its file says.
    pub(super) fn enabled(&self, name: &str, tags: &[String], priority: Priority, in_file: bool) -> bool {
        let last = self.selection.iter().rev().find(|selection| selection.by.fits(name, tags));
        last.map_or(in_file, |selection| selection.enable) && priority <= self.priority
    }
}
