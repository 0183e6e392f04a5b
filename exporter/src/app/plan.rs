//! From what the rules use to what the kernel collects.

use exporter_common::{
    event_type::EventType,
    filter::classes::{KIND_INET, KIND_INET6, KIND_UNKNOWN},
    object::can_filter,
    record::MAX_DATA,
    wants::{TypeConfig, WANT_DATA, WANT_EVENT},
};

use super::names;
use crate::{
    enrich::dns,
    fields::scheme,
    kernel::Plan,
    rules::{Clause, Clauses, Dim, RuleSet},
};

/// Event types that carry the answers of name servers, from [`crate::enrich::dns::PORT`]: what `fd.sip.name` and
/// its like learn names from.
pub const NAME_ANSWERS: [EventType; 2] = [EventType::Recvfrom, EventType::Recvmsg];

/// Exactly what this set needs: the event types that a rule can match, and of each what its rules' conditions
/// and outputs use. With `push_down`, of the events those that a rule can match as far as the kernel can tell.
pub fn of(rules: &RuleSet, push_down: bool) -> Plan {
    let scheme = scheme();
    let mut plan = Plan::default();
    let (mut exec_wants, mut learns_names) = (0, false);
    for (event_type, fields) in &rules.requirements().types {
        let wants = fields.iter().fold(WANT_EVENT, |wants, field| wants | scheme.wants(field, *event_type));
        learns_names |= fields.iter().any(|field| names::FIELDS.contains(&scheme.def(field.id).name));
        exec_wants |= fields.iter().fold(0, |wants, field| wants | scheme.exec_wants(field));
        plan.set(*event_type, config(wants));
    }
    if learns_names {
        // Only what comes from a name server is needed for this: see the filter below.
        for receive in NAME_ANSWERS {
            plan.set(receive, config(plan.get(receive).wants | WANT_EVENT | WANT_DATA));
        }
    }
    // Some facts of a process can be had only when it begins, whatever the event that a rule is about.
    for exec in [EventType::Execve, EventType::Execveat] {
        plan.set(exec, config(plan.get(exec).wants | exec_wants));
    }
    if push_down {
        for event_type in EventType::ALL.iter().filter(|event_type| can_filter(**event_type)) {
            let mut any = Clauses::never();
            let necessary = rules.necessary().get(event_type).into_iter().flatten();
            necessary.for_each(|of_rule| any.or(of_rule.clauses.clone()));
            if learns_names && NAME_ANSWERS.contains(event_type) {
                any.or(Clauses::one(from_name_server()));
            }
            if plan.wants(*event_type) && !any.is_always() {
                plan.filters.insert(*event_type, any);
            }
        }
    }
    plan
}

/// What is received from a name server's port, as far as the kernel can tell.
fn from_name_server() -> Clause {
    let mut clause = Clause::classes(Dim::Kind, 1 << KIND_INET | 1 << KIND_INET6 | 1 << KIND_UNKNOWN);
    clause.ports = Some([dns::PORT].into());
    clause
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

/// Makes a plan collect more of the events that it collects already: what these rules look at, too.
pub fn look_closer(plan: &mut Plan, rules: &RuleSet) {
    let scheme = scheme();
    let mut exec_wants = 0;
    for (event_type, fields) in &rules.requirements().types {
        let wants = fields.iter().fold(0, |wants, field| wants | scheme.wants(field, *event_type));
        exec_wants |= fields.iter().fold(0, |wants, field| wants | scheme.exec_wants(field));
        if plan.wants(*event_type) {
            plan.set(*event_type, config(plan.get(*event_type).wants | wants));
        }
    }
    for exec in [EventType::Execve, EventType::Execveat] {
        plan.set(exec, config(plan.get(exec).wants | exec_wants));
    }
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
    use crate::rules::{self, LoadOptions, SourceFile};

    #[test]
    fn names_of_addresses_need_the_answers_of_name_servers() {
        let data = WANT_EVENT | WANT_DATA;
        for (condition, output, wanted) in [
            ("fd.sip.name = a.example", "o", data),
            ("fd.sip = 10.0.0.1", "to %fd.rip.name", data),
            ("fd.sip = 10.0.0.1", "to %fd.rip", 0),
        ] {
            let text = format!(
                "- rule: r\n  desc: d\n  priority: INFO\n  output: \"{output}\"\n  \
                 condition: evt.type = connect and {condition}\n"
            );
            let file = SourceFile { name: "r.yaml".into(), text };
            let rules = rules::load(&[file], &LoadOptions::default()).rules.expect("rules");
            let plan = of(&rules, true);
            for receive in NAME_ANSWERS {
                assert_eq!(plan.get(receive).wants, wanted, "{condition} {output}");
                // Of these the kernel reports only what comes from a name server.
                let filter = plan.filters.get(&receive).and_then(|filter| filter.list()).unwrap_or_default();
                let words: Vec<_> = filter.iter().map(ToString::to_string).collect();
                let expected = if wanted == 0 { "" } else { "kind of descriptor and remote port in (53)" };
                assert_eq!(words.join("; "), expected, "{condition} {output}");
            }
            assert_eq!(plan.get(EventType::Connect).wants & WANT_DATA, 0);
        }
    }

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

    #[test]
    fn a_union_passes_what_either_passes() {
        let port = |port: u16| {
            let mut clause = Clause::default();
            clause.ports = Some([port].into());
            Clauses::one(clause)
        };
        let plan = |filter: Option<Clauses>| {
            let mut plan = Plan::default();
            plan.set(EventType::Connect, config(WANT_EVENT));
            plan.filters.extend(filter.map(|filter| (EventType::Connect, filter)));
            plan
        };
        let words = |plan: &Plan| {
            let filter = plan.filters.get(&EventType::Connect)?;
            Some(filter.list()?.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        let two = Some("remote port in (22, 53)".to_owned());
        for (a, b, expected) in [
            (plan(Some(port(22))), plan(Some(port(53))), two),
            (plan(Some(port(22))), plan(None), None),
            (plan(Some(port(22))), Plan::default(), Some("remote port in (22)".to_owned())),
        ] {
            assert_eq!(words(&union(&a, &b)), expected);
            assert_eq!(words(&union(&b, &a)), expected);
        }
    }
}
