//! Which values decided that a rule did not fire.

use crate::{
    fields::{FieldRef, Subject, scheme},
    rules::{
        Rule, RuleSet, field_name, push_visible,
        typed::{Expr, ExprId, Expressions},
        value_text,
    },
};

use super::report::Decisive;

/// The fields that the false parts of the rule's condition read, with their values. Parts that are true, and
/// so cannot be the reason, are left out.
pub(super) fn why_not<S: Subject>(rules: &RuleSet, rule: &Rule, subject: &S) -> Vec<Decisive> {
    let mut fields = Vec::new();
    decisive(rules.expressions(), rule.condition, subject, &mut fields);
    let value = |field: &FieldRef| {
        let value = subject.get(field)?;
        let mut text = String::new();
        push_visible(&mut text, &value_text(&value));
        Some(text)
    };
    fields
        .into_iter()
        .map(|field| Decisive { field: field_name(scheme(), &field), value: value(&field) })
        .collect()
}

/// Descends to the comparisons that make the expression what it is.
fn decisive<S: Subject>(all: &Expressions, id: ExprId, subject: &S, found: &mut Vec<FieldRef>) {
    let holds = all.holds(id, subject);
    match all.expr(id) {
        // What makes an `and` false are its false parts, what makes an `or` true its true ones.
        Expr::And(items) | Expr::Or(items) => items
            .iter()
            .filter(|item| all.holds(**item, subject) == holds)
            .for_each(|item| decisive(all, *item, subject, found)),
        Expr::Not(inner) => decisive(all, *inner, subject, found),
        Expr::Check(check) => all.check(*check).fields(&mut |field| {
            if !found.contains(field) {
                found.push(field.clone());
            }
        }),
    }
}
