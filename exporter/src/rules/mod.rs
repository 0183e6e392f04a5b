//! The rule language.

mod priority;

pub use priority::{Priority, RuleMatching};
