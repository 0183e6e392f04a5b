//! From what the rules use to what the kernel collects.

use exporter_common::{
    event_type::EventType,
    record::MAX_DATA,
    wants::{TypeConfig, WANT_DATA, WANT_EVENT},
};

use super::names;
use crate::{fields::scheme, kernel::Plan, rules::RuleSet};

/// Event types that carry the answers of name servers, from [`crate::enrich::dns::PORT`]: what `fd.sip.name` and
/// its like learn names from.
pub const NAME_ANSWERS: [EventType; 2] = [EventType::Recvfrom, EventType::Recvmsg];

/// Exactly what this set needs: the event types that a rule can match, and of each what its rules' conditions
/// and outputs use.
pub fn of(rules: &RuleSet) -> Plan {
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
        // Only what comes from port 53 is needed for this. A rule that matches these types needs the rest, too.
        for receive in NAME_ANSWERS {
            plan.set(receive, config(plan.get(receive).wants | WANT_EVENT | WANT_DATA));
        }
    }
    // Some facts of a process can be had only when it begins, whatever the event that a rule is about.
    for exec in [EventType::Execve, EventType::Execveat] {
        plan.set(exec, config(plan.get(exec).wants | exec_wants));
    }
    plan
}

/// What both plans need: runs while rules are exchanged, so that neither set misses an event.
pub fn union(a: &Plan, b: &Plan) -> Plan {
    let mut plan = Plan::default();
    for event_type in EventType::ALL {
        plan.set(*event_type, config(a.get(*event_type).wants | b.get(*event_type).wants));
    }
    plan
}

fn config(wants: u32) -> TypeConfig {
    let max_data = if wants & WANT_DATA == 0 { 0 } else { MAX_DATA as u32 };
    TypeConfig { wants, max_data }
}

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
            let plan = of(&rules);
            for receive in NAME_ANSWERS {
                assert_eq!(plan.get(receive).wants, wanted, "{condition} {output}");
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
        assert_eq!(both.get(EventType::Openat), TypeConfig { wants: WANT_EVENT | WANT_CWD, max_data: 0 });
        let data = TypeConfig { wants: WANT_EVENT | WANT_DATA, max_data: MAX_DATA as u32 };
        assert_eq!(both.get(EventType::Sendto), data);
        assert_eq!(both.get(EventType::Kill), TypeConfig::default());
        assert_eq!(union(&both, &a), both);
    }
}
