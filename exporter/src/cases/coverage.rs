//! Which rules the cases leave untested.

use serde::Serialize;

use super::case::{Case, CaseSubject};
use crate::{
    fields::Subject,
    rules::{
        Rule, RuleSet,
        typed::{Expr, ExprId},
    },
};

/// Rules that no case tests from one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// No case makes the rule fire.
    pub without_positive: Vec<String>,
    /// There is no near miss.
    pub without_negative: Vec<String>,
}

impl Coverage {
    pub fn is_complete(&self) -> bool {
        self.without_positive.is_empty() && self.without_negative.is_empty()
    }
}

/// Looks for a case that makes each enabled rule fire, and for a near miss: a case in which it must not fire
/// although all parts of its condition but one hold.
pub fn coverage(cases: &[Case], rules: &RuleSet) -> Coverage {
    let mut coverage = Coverage::default();
    for rule in rules.rules().iter().filter(|rule| rule.enabled) {
        let (positive, negative): (Vec<&Case>, Vec<&Case>) = cases
            .iter()
            .partition(|case| case.expected.rules.iter().any(|expected| expected.name == rule.name));
        if positive.is_empty() {
            coverage.without_positive.push(rule.name.clone());
        }
        if !negative.iter().any(|case| is_near_miss(rules, rule, &case.subject)) {
            coverage.without_negative.push(rule.name.clone());
        }
    }
    coverage
}

fn is_near_miss(rules: &RuleSet, rule: &Rule, subject: &CaseSubject) -> bool {
    let of_its_kind = subject.source() == rule.source
        && subject.event_type().is_none_or(|ty| rule.event_types.contains(&ty));
    let all = rules.expressions();
    let fails = |id: &ExprId| !all.holds(*id, subject);
    of_its_kind
        && match all.expr(rule.condition) {
            Expr::And(items) => items.iter().filter(|item| fails(item)).count() == 1,
            _ => fails(&rule.condition),
        }
}
