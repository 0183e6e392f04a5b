//! What came of a run: text for people, JSON for machines.

use std::fmt;

use serde::Serialize;

/// The outcome of all cases.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many cases there were.
    pub cases: usize,
    /// Those that failed, in the order of the files.
    pub failures: Vec<Failure>,
}

/// A case that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub name: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
    /// Rules that had to fire and did not.
    pub missing: Vec<Missing>,
    /// Rules that fired and must not.
    pub unexpected: Vec<String>,
    /// Rules that fired with another output.
    pub output: Vec<OutputDifference>,
}

/// A rule that had to fire and did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    pub rule: String,
    /// Whether it cannot fire because it is disabled.
    pub disabled: bool,
    /// What the parts of its condition that are false look at.
    pub decided_by: Vec<Decisive>,
}

/// A field, and what the case gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decisive {
    pub field: String,
    /// `None`: the case does not give it.
    pub value: Option<String>,
}

/// An output that is not what the case says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputDifference {
    pub rule: String,
    /// The field that differs; `None` for the text as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    pub expected: String,
    pub found: String,
}

impl Report {
    /// Whether every case held.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        let failed = self.failures.len();
        write!(f, "{} cases, {} passed, {failed} failed", self.cases, self.cases - failed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: failed: {}", self.file, self.line, self.column, self.name)?;
        for missing in &self.missing {
            write!(f, "\n    did not fire: {}", missing.rule)?;
            if missing.disabled {
                write!(f, " (the rule is disabled)")?;
            }
            for Decisive { field, value } in &missing.decided_by {
                match value {
                    Some(value) => write!(f, "\n      decided by {field} = {value}")?,
                    None => write!(f, "\n      decided by {field}, which the case does not give")?,
                }
            }
        }
        for rule in &self.unexpected {
            write!(f, "\n    fired, and must not: {rule}")?;
        }
        for difference in &self.output {
            let field = difference.field.as_ref().map(|field| format!(", field {field}")).unwrap_or_default();
            write!(f, "\n    other output of {}{field}:", difference.rule)?;
            write!(f, "\n      expected {}", difference.expected)?;
            write!(f, "\n      found    {}", difference.found)?;
            if let Some(at) = first_difference(&difference.expected, &difference.found) {
                write!(f, "\n               {}^", " ".repeat(at))?;
            }
        }
        Ok(())
    }
}

/// How many characters the two have in common at their beginnings, if that helps to see where they part.
fn first_difference(expected: &str, found: &str) -> Option<usize> {
    let common = expected.chars().zip(found.chars()).take_while(|(a, b)| a == b).count();
    (common > 0).then_some(common)
}
