use std::{collections::HashMap, time::Duration};

use exporter_common::event_type::EventType;

use super::*;
use crate::{
    detection::PLATFORM_TENANT,
    fields::{Source, scheme},
    metrics::{EngineCounters, Ledger},
    rules::{self, LoadOptions, RuleMatching, Selection, Selector, SourceFile},
    tenants::{Pattern, Tenant},
};

const BASE: &str = "
- rule: Shell
  desc: d
  condition: evt.type = execve and proc.name in (sh, bash)
  output: shell %proc.name
  priority: NOTICE
  tags: [shells]
- rule: Any
  desc: d
  condition: evt.type = execve and proc.name exists
  output: any %proc.name
  priority: DEBUG
";

/// An execve of a program in a namespace.
struct Event {
    name: &'static str,
    namespace: Option<&'static str>,
}

impl Subject for Event {
    fn source(&self) -> Source {
        Source::Syscall
    }

    fn event_type(&self) -> Option<EventType> {
        Some(EventType::Execve)
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        match scheme().def(field.id).name {
            "proc.name" => Some(Value::str(self.name.as_bytes())),
            "evt.type" => Some(Value::str(b"execve")),
            "evt.rawtime" => Some(Value::AbsTime(7)),
            _ => None,
        }
    }
}

fn limit(rate: f64, burst: u32) -> RateLimit {
    RateLimit { rate, burst, window: Duration::from_secs(60) }
}

struct Fixture {
    active: Active,
    metrics: Arc<Metrics>,
    counters: EngineCounters,
    scratch: Scratches,
}

/// Tenants `shop` and `bank`, each of the namespace of its name; `change` is about `shop`.
fn fixture(rule_limit: RateLimit, change: impl FnOnce(&mut Tenant)) -> Fixture {
    let template = Tenants::new(&[], "", limit(0.0, 1)).get(PLATFORM).unwrap().clone();
    let tenant =
        |name: &str| Tenant { name: name.into(), namespaces: vec![Pattern::new(name)], ..template.clone() };
    let mut shop = tenant("shop");
    change(&mut shop);
    let tenants = Arc::new(Tenants::new(&[shop, tenant("bank")], "", limit(0.0, 1)));
    let ledger = Ledger::new(Arc::new(|| None)).unwrap();
    let metrics = Arc::new(Metrics::new(ledger).unwrap());
    tenants.iter().for_each(|tenant| metrics.quota(&tenant.name, tenant.quota.rate, tenant.max_series));
    let files = [SourceFile { name: "base.yaml".into(), text: BASE.into() }];
    let options = LoadOptions { rule_matching: RuleMatching::First, ..LoadOptions::default() };
    let base = rules::load(&files, &options).rules.unwrap();
    let (sets, problems) = Sets::load(base, &files, &options, &tenants);
    assert_eq!(problems, []);
    let active = Active::new(sets, tenants, &metrics, &rule_limit);
    Fixture { active, metrics, counters: EngineCounters::default(), scratch: Scratches::default() }
}

impl Fixture {
    /// What is said of a program in a namespace, as `tenant: rule priority`.
    fn run(&mut self, name: &'static str, namespace: Option<&'static str>) -> Vec<String> {
        let event = Event { name, namespace };
        let time = scheme().resolve(Source::Syscall, "evt.rawtime", None).unwrap();
        let whose = |tenants: &Tenants| {
            let owner = crate::tenants::Owner { namespace: event.namespace, ..Default::default() };
            Whose { tenant: tenants.of(&owner), namespace: event.namespace }
        };
        let matching = Matching {
            scratch: &mut self.scratch,
            limit: &limit(1e-6, 1_000_000),
            now_ns: 0,
            time: &time,
            detections: &self.counters.detections,
            suppressed: &self.counters.suppressed,
            queue_full: &self.counters.queue_full,
        };
        let mut said = Vec::new();
        let matched = self.active.apply(&event, whose, matching, &mut |detection| {
            assert_eq!(detection.namespace.as_deref(), namespace);
            said.push(format!("{}: {} {}", detection.tenant, detection.rule, detection.priority.name()));
            true
        });
        assert!(matched || said.is_empty());
        said
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics.text(crate::metrics::View::Everything).unwrap();
        let found = text.lines().filter_map(|line| line.rsplit_once(' ')).find(|(name, _)| *name == series);
        found.map(|(_, value)| value.parse().unwrap())
    }
}

fn disable(by: Selector) -> Vec<Selection> {
    vec![Selection { enable: false, by }]
}

#[test]
fn each_tenant_hears_its_own() {
    let rules_file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let own = "- rule: Mine\n  desc: d\n  condition: evt.type = execve and proc.name = till\n  output: o\n  priority: CRITICAL\n";
    std::fs::write(rules_file.path(), own).unwrap();
    type Change<'c> = Box<dyn FnOnce(&mut Tenant) + 'c>;
    type Row<'c> = (&'static str, Change<'c>, &'static str, Option<&'static str>, &'static [&'static str]);
    let rows: Vec<Row<'_>> = vec![
        ("as it is", Box::new(|_| {}), "sh", Some("shop"), &["shop: Shell Notice"]),
        ("the host", Box::new(|_| {}), "sh", None, &["platform: Shell Notice"]),
        ("nobody's", Box::new(|_| {}), "sh", Some("x"), &["platform: Shell Notice"]),
        // A rule that is off does not stand in front of another one.
        (
            "one is off",
            Box::new(|t| t.scope.selection = disable(Selector::Rule("Shell".into()))),
            "sh",
            Some("shop"),
            &["shop: Any Debug"],
        ),
        (
            "a tag is off",
            Box::new(|t| t.scope.selection = disable(Selector::Tag("shells".into()))),
            "sh",
            Some("shop"),
            &["shop: Any Debug"],
        ),
        (
            "all are off",
            Box::new(|t| t.scope.selection = disable(Selector::Rule("*".into()))),
            "sh",
            Some("shop"),
            &[],
        ),
        (
            "off for another",
            Box::new(|t| t.scope.selection = disable(Selector::Rule("*".into()))),
            "sh",
            Some("bank"),
            &["bank: Shell Notice"],
        ),
        (
            "louder",
            Box::new(|t| t.scope.priorities = vec![(Pattern::new("Sh*"), Priority::Critical)]),
            "sh",
            Some("shop"),
            &["shop: Shell Critical"],
        ),
        (
            "excepted",
            Box::new(|t| t.scope.exceptions = vec![(Pattern::new("Shell"), "proc.name = sh".into())]),
            "sh",
            Some("shop"),
            &["shop: Any Debug"],
        ),
        (
            "another condition",
            Box::new(|t| t.scope.exceptions = vec![(Pattern::new("Shell"), "proc.name = bash".into())]),
            "sh",
            Some("shop"),
            &["shop: Shell Notice"],
        ),
        (
            "excepted for another",
            Box::new(|t| t.scope.exceptions = vec![(Pattern::new("*"), "proc.name = sh".into())]),
            "sh",
            None,
            &["platform: Shell Notice"],
        ),
        (
            "a rule of its own",
            Box::new(|t| t.scope.rules_files = vec![rules_file.path().to_owned()]),
            "till",
            Some("shop"),
            &["shop: Any Debug", "shop: Mine Critical"],
        ),
        (
            "which sees nobody else's",
            Box::new(|t| t.scope.rules_files = vec![rules_file.path().to_owned()]),
            "till",
            Some("bank"),
            &["bank: Any Debug"],
        ),
        (
            "nor the host's",
            Box::new(|t| t.scope.rules_files = vec![rules_file.path().to_owned()]),
            "till",
            None,
            &["platform: Any Debug"],
        ),
    ];
    for (what, change, name, namespace, expected) in rows {
        let mut fixture = fixture(limit(0.0, 1), change);
        let name = if name == "sh" { "sh" } else { "till" };
        assert_eq!(fixture.run(name, namespace), expected, "{what}");
    }
}

#[test]
fn what_exceptions_keep_silent_is_counted() {
    let excepted = |rule: &str| format!("yagura_excepted_total{{rule=\"{rule}\",tenant=\"shop\"}}");
    let mut fixture = fixture(limit(0.0, 1), |tenant| {
        tenant.scope.exceptions = vec![(Pattern::new("Shell"), "proc.name = sh".into())];
    });
    // There from the start, of the rules that exceptions are about and of no others.
    assert_eq!(fixture.metric(&excepted("Shell")), Some(0.0));
    assert_eq!(fixture.metric(&excepted("Any")), None);
    for namespace in [Some("shop"), Some("shop"), Some("bank"), None] {
        fixture.run("sh", namespace);
    }
    assert_eq!(fixture.metric(&excepted("Shell")), Some(2.0));
}

#[test]
fn one_tenants_flood_costs_another_nothing() {
    // A limit of the rule, and a quota of the tenant: each is the tenant's own.
    for (rule_limit, quota, by_quota) in
        [(limit(1e-6, 3), limit(0.0, 1), 0), (limit(1e-6, 1_000_000), limit(1e-6, 3), 7)]
    {
        let mut fixture = fixture(rule_limit, |tenant| tenant.quota = quota);
        let said: usize = (0..10).map(|_| fixture.run("sh", Some("shop")).len()).sum();
        assert_eq!(said, 3);
        assert_eq!(fixture.counters.suppressed.get(), 7);
        assert_eq!(
            fixture.metric("yagura_tenant_quota_suppressed_total{tenant=\"shop\"}"),
            Some(f64::from(by_quota))
        );
        assert_eq!(fixture.active.quotas()[1].suppressed(), by_quota as u64);
        assert_eq!(fixture.run("sh", Some("bank")), ["bank: Shell Notice"]);
        let heard = "yagura_detections_total{namespace=\"shop\",priority=\"Notice\",rule=\"Shell\",source=\"syscall\",tenant=\"shop\"}";
        assert_eq!(fixture.metric(heard), Some(10.0), "held back ones are counted");
    }
}

#[test]
fn series_are_there_before_the_first_hit_and_bounded() {
    let series = |tenant: &str, namespace: &str, rule: &str, priority: &str| {
        format!(
            "yagura_detections_total{{namespace=\"{namespace}\",priority=\"{priority}\",rule=\"{rule}\",source=\"syscall\",tenant=\"{tenant}\"}}"
        )
    };
    let mut fixture = fixture(limit(0.0, 1), |tenant| {
        tenant.max_series = 3;
        tenant.namespaces = vec![Pattern::new("shop*")];
        tenant.scope.selection = disable(Selector::Rule("Any".into()));
    });
    for (tenant, rule, priority, there) in [
        (PLATFORM_TENANT, "Shell", "Notice", true),
        ("bank", "Any", "Debug", true),
        ("shop", "Shell", "Notice", true),
        ("shop", "Any", "Debug", false),
    ] {
        assert_eq!(fixture.metric(&series(tenant, "", rule, priority)).is_some(), there, "{tenant} {rule}");
    }
    for namespace in ["shop-1", "shop-2", "shop-3", "shop-4", "shop-1"] {
        fixture.run("sh", Some(namespace));
    }
    let counts: HashMap<&str, Option<f64>> = ["shop-1", "shop-2", "shop-3", "shop-4", "~other"]
        .map(|namespace| (namespace, fixture.metric(&series("shop", namespace, "Shell", "Notice"))))
        .into();
    assert_eq!(counts["shop-1"], Some(2.0));
    assert_eq!((counts["shop-3"], counts["shop-4"]), (None, None));
    let sum: f64 = counts.values().flatten().sum();
    let rest = fixture.metric(&series("shop", "~other", "~other", "Notice")).unwrap_or_default();
    assert_eq!(sum + rest, 5.0, "sums stay exact: {counts:?}");
}

#[test]
fn a_reload_does_not_open_the_gates() {
    let change = |tenant: &mut Tenant| tenant.quota = limit(1e-6, 2);
    let mut before = fixture(limit(1e-6, 1_000_000), change);
    assert_eq!((0..5).map(|_| before.run("sh", Some("shop")).len()).sum::<usize>(), 2);
    let mut after = fixture(limit(1e-6, 1_000_000), change);
    after.active.inherit(&before.active);
    assert!(after.run("sh", Some("shop")).is_empty());
    assert_eq!(after.active.quotas()[1].suppressed(), 4, "and goes on counting");
}
