use std::{fs, path::PathBuf, sync::Arc};

use exporter_common::{
    event_type::EventType,
    wants::{TypeConfig, WANT_EVENT},
};

use super::*;
use crate::{app::hot::SwapError, metrics::Ledger};

/// Records what is asked of it, and fails at the given step.
#[derive(Default)]
struct Fake {
    steps: Vec<String>,
    fail_at: Option<usize>,
}

impl Fake {
    fn step(&mut self, step: String) -> Result<(), StageError> {
        self.steps.push(step);
        if self.fail_at == Some(self.steps.len()) { Err(SwapError::Gone.into()) } else { Ok(()) }
    }
}

impl Stage for Fake {
    type Rules = &'static str;

    fn collect(&mut self, plan: &Plan) -> Result<(), StageError> {
        let types: Vec<_> = EventType::ALL.iter().filter(|t| plan.wants(**t)).map(|t| t.name()).collect();
        self.step(types.join("+"))
    }

    fn swap(&mut self, rules: &'static str) -> Result<(), StageError> {
        self.step(rules.to_owned())
    }
}

fn plan(types: &[EventType]) -> Plan {
    let mut plan = Plan::default();
    types.iter().for_each(|t| plan.set(*t, TypeConfig { wants: WANT_EVENT, ..TypeConfig::default() }));
    plan
}

#[test]
fn the_kernel_is_widened_first_and_narrowed_last() {
    let (old, new) = (plan(&[EventType::Open]), plan(&[EventType::Kill]));
    // Where it fails, the steps, whether the new rules are in use, and what the kernel collects then.
    type Row = (Option<usize>, &'static [&'static str], bool, &'static [EventType]);
    let rows: &[Row] = &[
        (None, &["open+kill", "NEW", "kill"], true, &[EventType::Kill]),
        (Some(1), &["open+kill", "open"], false, &[EventType::Open]),
        (Some(2), &["open+kill", "NEW", "open"], false, &[EventType::Open]),
        (Some(3), &["open+kill", "NEW", "kill"], true, &[EventType::Open, EventType::Kill]),
    ];
    for (fail_at, steps, in_use, collected) in rows {
        let mut stage = Fake { fail_at: *fail_at, ..Fake::default() };
        let mut current = old.clone();
        let result = exchange(&mut stage, &mut current, "NEW", new.clone());
        assert_eq!(stage.steps, *steps, "{fail_at:?}");
        assert_eq!(result.is_ok(), *in_use, "{fail_at:?}");
        assert_eq!(current, plan(collected), "{fail_at:?}");
    }
}

fn rule(name: &str, condition: &str) -> String {
    format!("- rule: {name}\n  desc: d\n  condition: {condition}\n  output: o\n  priority: INFO\n")
}

fn metrics() -> Metrics {
    let ledger = Ledger::new(Arc::new(|| None)).unwrap();
    Metrics::new(ledger).unwrap()
}

#[test]
fn a_reload_takes_good_rules_and_keeps_the_old_ones_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("rules.yaml");
    let good = rule("r", "evt.type = open");
    fs::write(&file, &good).unwrap();
    let sources = RuleSources::Paths(vec![dir.path().to_owned()]);
    let tenants = Arc::new(Tenants::new(&[], "", crate::config::Config::default().rate_limit));
    let mut loader = Loader::new(sources, LoadOptions::default(), true, tenants);
    assert!(matches!(loader.load(false), Loaded::Rules(_)));

    let metrics = metrics();
    let mut stage = Fake::default();
    let mut current = plan(&[EventType::Open]);
    use ReloadResult::{Failure, KernelFailure, Success};
    let broken = rule("r", "evt.type = ");
    let other = rule("r", "evt.type = kill") + &rule("s", "evt.type = open");
    // What the file holds, whether it is SIGHUP, what comes of it, and how many steps were made by then.
    let rows: &[(Option<&str>, bool, Option<ReloadResult>, usize)] = &[
        (Some(&good), false, None, 0),
        (Some(&good), true, Some(Success), 3),
        (Some(&broken), false, Some(Failure), 3),
        // Still broken, and nothing has changed since: said once.
        (Some(&broken), false, None, 3),
        (None, false, Some(Failure), 3),
        (Some(&other), false, Some(Success), 6),
        (Some(&good), false, Some(KernelFailure), 8),
    ];
    for (index, (text, always, expected, steps)) in rows.iter().enumerate() {
        match text {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        stage.fail_at = (*expected == Some(KernelFailure)).then_some(stage.steps.len() + 1);
        let result = reload(&mut loader, *always, &mut stage, &mut current, &metrics, |_| "NEW");
        assert_eq!(result, *expected, "row {index}");
        assert_eq!(stage.steps.len(), *steps, "row {index}: {:?}", stage.steps);
    }
    assert_eq!(current, plan(&[EventType::Open, EventType::Kill]));
    let text = metrics.text(crate::metrics::View::Everything).unwrap();
    for line in [
        "yagura_rules_reload_total{result=\"success\"} 2",
        "yagura_rules_reload_total{result=\"failure\"} 2",
        "yagura_rules_reload_total{result=\"kernel_failure\"} 1",
        "yagura_rules_loaded 2",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_tenant_whose_rules_are_broken_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (base, own) = (dir.path().join("base.yaml"), dir.path().join("own.yaml"));
    fs::write(&base, rule("r", "evt.type = open")).unwrap();
    let limit = crate::config::Config::default().rate_limit;
    let mut tenant = Tenants::new(&[], "", limit).iter().next().unwrap().clone();
    tenant.name = "shop".into();
    tenant.scope.rules_files = vec![own.clone()];
    let tenants = Arc::new(Tenants::new(&[tenant], "", limit));
    let mut loader = Loader::new(RuleSources::Paths(vec![base]), LoadOptions::default(), true, tenants);
    let metrics = metrics();
    let (mut stage, mut current) = (Fake::default(), Plan::default());
    for (text, broken) in [
        (Some(rule("own", "evt.type = kill")), 0),
        (Some(rule("own", "evt.typ = kill")), 1),
        (Some(rule("own", "evt.type = open")), 0),
        (None, 1),
    ] {
        match text {
            Some(text) => fs::write(&own, text).unwrap(),
            None => fs::remove_file(&own).unwrap(),
        }
        let result = reload(&mut loader, false, &mut stage, &mut current, &metrics, |_| "NEW");
        assert_eq!(result, Some(ReloadResult::Success), "the platform's rules are fine");
        let line = format!("yagura_tenant_rules_broken{{tenant=\"shop\"}} {broken}\n");
        let text = metrics.text(crate::metrics::View::Everything).unwrap();
        assert!(text.contains(&line), "{line}{text}");
    }
}
