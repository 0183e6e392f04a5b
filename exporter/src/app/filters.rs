//! What the kernel checks of the loaded rules, for people: `doctor --filters` and `rules explain`.

use std::fmt;

use exporter_common::{event_type::EventType, object::can_filter};
use serde::Serialize;

use super::plan;
use crate::rules::{Rule, RuleSet, push_visible};

/// What is reported of an event type.
#[derive(Debug, Serialize)]
pub struct TypeFilter {
    pub event_type: &'static str,
    /// An event that fulfils none of these is dropped in the kernel. Empty: every event is reported.
    pub clauses: Vec<String>,
    /// Rules that make every event of the type be reported.
    pub defeated_by: Vec<String>,
    /// Reported whole because the process table lives on it.
    pub always: bool,
}

/// Of each event type that a loaded rule can match.
pub fn report(rules: &RuleSet) -> Vec<TypeFilter> {
    let plan = plan::of(rules, true);
    let of_type = |ty: &EventType| {
        let clauses = plan.filters.get(ty).and_then(|filter| filter.list()).unwrap_or_default();
        let necessary = rules.necessary().get(ty).map(Vec::as_slice).unwrap_or_default();
        let defeating = necessary.iter().filter(|of_rule| of_rule.clauses.is_always());
        TypeFilter {
            event_type: ty.name(),
            clauses: clauses.iter().map(ToString::to_string).collect(),
            defeated_by: defeating
                .filter_map(|of_rule| Some(rules.rules().get(of_rule.rule)?.name.clone()))
                .collect(),
            always: !can_filter(*ty),
        }
    };
    EventType::ALL.iter().filter(|ty| plan.wants(**ty)).map(of_type).collect()
}

impl fmt::Display for TypeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TypeFilter { event_type, clauses, defeated_by, always } = self;
        if *always {
            return writeln!(f, "{event_type}: every event, for the process table");
        }
        if clauses.is_empty() {
            let mut text = String::new();
            push_visible(&mut text, &defeated_by.join(", "));
            return writeln!(f, "{event_type}: every event, because of: {text}");
        }
        writeln!(f, "{event_type}: only")?;
        clauses.iter().try_for_each(|clause| {
            let mut text = String::new();
            push_visible(&mut text, clause);
            writeln!(f, "  - {text}")
        })
    }
}

/// One rule, for one event type.
#[derive(Debug, Serialize)]
pub struct RuleFilter {
    pub event_type: &'static str,
    /// What the kernel checks: one of these must hold. Empty: nothing.
    pub kernel: Vec<String>,
    /// Fields of the condition of which the kernel can tell nothing. User space decides about every event that
    /// is reported, with the whole condition.
    pub user_space: Vec<String>,
    /// Because of this rule every event of the type is reported.
    pub defeats: bool,
}

/// What the kernel checks of a rule, for each event type that it can match.
pub fn explain(rules: &RuleSet, rule: &Rule) -> Vec<RuleFilter> {
    let of_type = |ty: &EventType| {
        let mut necessary = rules.necessary().get(ty).into_iter().flatten();
        let clauses = necessary.find(|of_rule| of_rule.rule == rule.id).map(|of_rule| &of_rule.clauses);
        let list = clauses.and_then(|clauses| clauses.list()).unwrap_or_default();
        RuleFilter {
            event_type: ty.name(),
            kernel: list.iter().map(ToString::to_string).collect(),
            user_space: rules.left_to_user_space(rule, *ty),
            defeats: clauses.is_some_and(|clauses| clauses.is_always()),
        }
    };
    rule.event_types.iter().map(of_type).collect()
}

impl fmt::Display for RuleFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RuleFilter { event_type, kernel, user_space, defeats } = self;
        writeln!(f, "{event_type}")?;
        match (kernel.as_slice(), *defeats) {
            ([], true) => writeln!(f, "  kernel: nothing; the rule defeats filtering for this type")?,
            ([], false) => {
                writeln!(f, "  kernel: nothing; events of this type are reported for the process table")?
            }
            (clauses, _) => clauses.iter().try_for_each(|clause| {
                let mut text = String::new();
                push_visible(&mut text, clause);
                writeln!(f, "  kernel: {text}")
            })?,
        }
        if user_space.is_empty() {
            Ok(())
        } else {
            writeln!(f, "  user space alone: {}", user_space.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{LoadOptions, SourceFile, load};

    fn rules(conditions: &[&str]) -> RuleSet {
        let rule = |(index, condition): (usize, &&str)| {
            format!("- rule: r{index}\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}\n")
        };
        let text = conditions.iter().enumerate().map(rule).collect();
        let loaded = load(&[SourceFile { name: "r".into(), text }], &LoadOptions::default());
        loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
    }

    #[test]
    fn filters_are_said_in_words() {
        let text = |conditions: &[&str]| {
            report(&rules(conditions)).iter().map(ToString::to_string).collect::<String>()
        };
        for (conditions, expected) in [
            (
                &["evt.type = openat and fd.name startswith /etc/ and container.id != host"][..],
                "openat: only\n  - in a container and path in (/etc/**)\n",
            ),
            (
                &["evt.type = connect and fd.sport = 22", "evt.type = connect and fd.sport in (80, 443)"],
                "connect: only\n  - remote port in (22, 80, 443)\n",
            ),
            (&["evt.type = openat and proc.args contains x"], "openat: every event, because of: r0\n"),
            (&["evt.type = execve"], "execve: every event, for the process table\n"),
            (
                &["evt.type = dup and proc.name = \"a\\nb\" and not evt.rawres < 0"],
                "dup: only\n  - success and task name in (a\\nb)\n",
            ),
        ] {
            assert_eq!(text(conditions), expected);
        }
    }

    #[test]
    fn a_rule_is_explained_for_each_type() {
        let set = rules(&["evt.type in (execve, openat) and fd.name = /etc/shadow and proc.pname = sh"]);
        let text: String = explain(&set, &set.rules()[0]).iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            "execve\n  kernel: nothing; events of this type are reported for the process table\n  user space alone: \
             proc.pname, fd.name\nopenat\n  kernel: path in (/etc/shadow)\n  user space alone: proc.pname\n"
        );
    }
}
