//! From what the rules use to what the kernel collects.

use exporter_common::{
    event_type::EventType,
    record::MAX_DATA,
    wants::{TypeConfig, WANT_DATA, WANT_EVENT},
};

use crate::{
    fields::scheme,
    kernel::Plan,
    rules::{Clauses, RuleSet},
};

/// Exactly what this set needs: the event types that a rule can match, and of each what its rules' conditions
/// and outputs use. With `push_down`, of the events those that a rule can match as far as the kernel can tell.
pub fn of(rules: &RuleSet, push_down: bool) -> Plan {
    let scheme = scheme();
    let mut plan = Plan::default();
    let mut exec_wants = 0;
    for (event_type, fields) in &rules.requirements().types {
        let wants = fields.iter().fold(WANT_EVENT, |wants, field| wants | scheme.wants(field, *event_type));
        exec_wants |= fields.iter().fold(0, |wants, field| wants | scheme.exec_wants(field));
        plan.set(*event_type, config(wants));
    }
    // Some facts of a process can be had only when it begins, whatever the event that a rule is about.
    for exec in [EventType::Execve, EventType::Execveat] {
        plan.set(exec, config(plan.get(exec).wants | exec_wants));
    }
    if push_down {
        for (event_type, necessary) in rules.necessary() {
            let mut any = Clauses::never();
            necessary.iter().for_each(|of_rule| any.or(of_rule.clauses.clone()));
            if !any.is_always() {
                plan.filters.insert(*event_type, any);
            }
        }
    }
    plan
}

/// What both plans need: runs while rules are exchanged, so that neither set misses an event.
pub fn union(a: &Plan, b: &Plan) -> Plan {
    let mut plan = Plan::default();
    for event_type in EventType::ALL {
        plan.set(*event_type, config(a.get(*event_type).wants | b.get(*event_type).wants));
        let filter = match (a.wants(*event_type), b.wants(*event_type)) {
            (true, false) => a.filters.get(event_type).cloned(),
            (false, true) => b.filters.get(event_type).cloned(),
            _ => a.filters.get(event_type).cloned().zip(b.filters.get(event_type).cloned()).map(
                |(mut a, b)| {
                    a.or(b);
                    a
                },
            ),
        };
        plan.filters.extend(filter.filter(|filter| !filter.is_always()).map(|filter| (*event_type, filter)));
    }
    plan
}

fn config(wants: u32) -> TypeConfig {
    let max_data = if wants & WANT_DATA == 0 { 0 } else { MAX_DATA as u32 };
    TypeConfig { wants, max_data, ..TypeConfig::default() }
}

#[cfg(test)]
mod push_down;
#[cfg(test)]
mod tests {
    use exporter_common::wants::WANT_CWD;

    use super::*;

    #[test]
    fn a_union_has_what_either_has() {
        let (mut a, mut b) = (Plan::default(), Plan::default());
        a.set(EventType::Openat, config(WANT_EVENT | WANT_CWD));
        a.set(EventType::Sendto, config(WANT_EVENT));
        b.set(EventType::Sendto, config(WANT_EVENT | WANT_DATA));
        let both = union(&a, &b);
        assert_eq!(
            both.get(EventType::Openat),
            TypeConfig { wants: WANT_EVENT | WANT_CWD, ..TypeConfig::default() }
        );
        let data =
            TypeConfig { wants: WANT_EVENT | WANT_DATA, max_data: MAX_DATA as u32, ..TypeConfig::default() };
        assert_eq!(both.get(EventType::Sendto), data);
        assert_eq!(both.get(EventType::Kill), TypeConfig::default());
        assert_eq!(union(&both, &a), both);
    }
}
