use exporter_common::{event_type::EventType, record::SectionKind};

use super::*;
use crate::{
    app::sets::Sets,
    config::Config,
    enrich::{
        EnrichOptions,
        container::{Container, Image},
    },
    event::builder::RecordBuilder,
    metrics::{Ledger, Metrics},
    rules::{self, LoadOptions, Priority, RuleMatching, SourceFile},
};

/// Longer than any of these tests takes.
const PATIENCE: Duration = Duration::from_secs(3600);

const RULES: &str = "
- rule: Shadow
  desc: d
  condition: evt.type = openat and fd.name = /etc/shadow
  output: Read (file=%fd.name container=%container.id)
  priority: WARNING
  tags: [a, b]
- rule: Etc
  desc: d
  condition: evt.type = openat and fd.directory = /etc
  output: Etc
  priority: NOTICE
";

struct Fixture {
    engine: Engine,
    counters: Arc<EngineCounters>,
    metrics: Arc<Metrics>,
}

fn active(text: &str, matching: RuleMatching, metrics: &Arc<Metrics>, limit: &RateLimit) -> Active {
    let file = SourceFile { name: "r.yaml".into(), text: text.into() };
    let load = rules::load(&[file], &LoadOptions { rule_matching: matching, ..LoadOptions::default() });
    let tenants = Arc::new(Tenants::new(&[], "", *limit));
    Active::new(Sets::of(load.rules.expect("rules")), tenants, metrics, limit)
}

fn fixture(matching: RuleMatching, limit: RateLimit) -> Fixture {
    let counters: Arc<EngineCounters> = Arc::default();
    let ledger = Ledger { engine: Arc::clone(&counters), ..Ledger::new(Arc::new(|| None)).unwrap() };
    let metrics = Arc::new(Metrics::new(ledger).unwrap());
    let active = active(RULES, matching, &metrics, &limit);
    let boot = 1_700_000_000_000_000_000;
    let options = EnrichOptions { boot_time_ns: boot, ..EnrichOptions::default() };
    let engine = Engine::new(Enricher::new(options), boot, active, limit, PATIENCE, Arc::clone(&counters));
    Fixture { engine, counters, metrics }
}

fn open(path: &str) -> Vec<u8> {
    RecordBuilder::new(EventType::Openat)
        .ret(3)
        .section(SectionKind::Path, path)
        .section(SectionKind::PathArg, path)
        .build()
}

impl Fixture {
    fn handle(&mut self, record: &[u8]) -> Vec<Detection> {
        let mut found = Vec::new();
        self.engine.handle(record, &mut |detection| {
            found.push(detection);
            true
        });
        found
    }
}

fn unlimited() -> RateLimit {
    RateLimit { rate: 0.0, ..Config::default().rate_limit }
}

#[test]
fn a_match_becomes_a_detection() {
    let mut fixture = fixture(RuleMatching::First, unlimited());
    let found = fixture.handle(&open("/etc/shadow"));
    let [detection] = &found[..] else { panic!("{found:?}") };
    assert_eq!(&*detection.rule, "Shadow");
    assert_eq!(detection.time_ns, 1_700_000_010_000_000_000);
    assert_eq!(detection.priority, Priority::Warning);
    assert_eq!(*detection.tags, ["a".to_owned(), "b".into()]);
    assert_eq!(detection.message.split(" container").next(), Some("Read (file=/etc/shadow"));
    assert_eq!(detection.output_fields.first(), Some(&("fd.name".into(), "/etc/shadow".into())));
    assert!(fixture.handle(&open("/tmp/x")).is_empty());
    assert!(fixture.handle(b"rubbish").is_empty());
    let c = &fixture.counters;
    assert_eq!((c.matched.get(), c.unmatched.get(), c.invalid.get(), c.detections.get()), (1, 1, 1, 1));
    assert_eq!(c.records(), 3);
    assert!(fixture.engine.problem().take().is_some());
}

#[test]
fn all_rules_speak_if_told_to() {
    let mut fixture = fixture(RuleMatching::All, unlimited());
    let rules: Vec<_> = fixture.handle(&open("/etc/shadow")).iter().map(|d| d.rule.to_string()).collect();
    assert_eq!(rules, ["Shadow", "Etc"]);
    assert_eq!((fixture.counters.matched.get(), fixture.counters.detections.get()), (1, 2));
}

#[test]
fn every_detection_is_written_suppressed_or_dropped() {
    let limit = RateLimit { rate: 1.0, burst: 2, ..Config::default().rate_limit };
    let mut fixture = fixture(RuleMatching::First, limit);
    let tallies = fixture.engine.active.tallies();
    // The queue takes the first only.
    let mut room = 1;
    for _ in 0..5 {
        fixture.engine.handle(&open("/etc/shadow"), &mut |_| {
            room -= 1;
            room >= 0
        });
    }
    let c = &fixture.counters;
    assert_eq!((c.detections.get(), c.suppressed.get(), c.queue_full.get()), (5, 3, 1));
    assert_eq!(tallies.iter().map(|t| t.suppressed.get()).collect::<Vec<_>>(), [3, 0]);
    let text = fixture.metrics.text(crate::metrics::View::Everything).unwrap();
    assert!(text.contains("rule=\"Shadow\",source=\"syscall\",tenant=\"platform\"} 5"), "{text}");
    assert!(text.contains("rule=\"Etc\",source=\"syscall\",tenant=\"platform\"} 0"), "{text}");
}

#[test]
fn other_rules_take_over_between_two_events_and_keep_the_limits() {
    let limit = RateLimit { rate: 1.0, burst: 1, ..Config::default().rate_limit };
    let mut fixture = fixture(RuleMatching::First, limit);
    assert_eq!(fixture.handle(&open("/etc/shadow")).len(), 1);
    let new = active(&RULES.replace("Etc", "New"), RuleMatching::First, &fixture.metrics, &limit);
    let old = fixture.engine.swap(Box::new(new));
    assert_eq!(&*old.tallies()[1].rule, "Etc");
    // Shadow's bucket is still empty; New's is not.
    assert!(fixture.handle(&open("/etc/shadow")).is_empty());
    assert_eq!(&*fixture.handle(&open("/etc/passwd"))[0].rule, "New");
}

#[test]
fn a_panic_costs_one_event() {
    let mut fixture = fixture(RuleMatching::First, unlimited());
    // Stands for a defect anywhere below.
    fixture.engine.handle_guarded(&open("/etc/shadow"), &mut |_| panic!("a defect, as the test wants it"));
    fixture.engine.handle_guarded(&open("/etc/shadow"), &mut |_| true);
    fixture.engine.handle_guarded(&open("/tmp/x"), &mut |_| true);
    let c = &fixture.counters;
    assert_eq!((c.panicked.get(), c.matched.get(), c.unmatched.get(), c.invalid.get()), (1, 1, 1, 0));
    assert_eq!(c.records(), 3);
}

const OF_CONTAINERS: &str = "
- rule: Image
  desc: d
  condition: evt.type = execve and container.image.repository = i
  output: Ran (image=%container.image name=%container.name pod=%k8s.pod.name)
  priority: WARNING
";

#[test]
fn the_events_of_a_container_wait_for_what_is_known_of_it() {
    let id = "a".repeat(64);
    let exec = |cgroup: &str| {
        RecordBuilder::new(EventType::Execve)
            .section(SectionKind::Path, "/bin/x")
            .section(SectionKind::Cgroup, cgroup)
    };
    let inside = exec(&format!("/docker/{id}")).with(|header| header.cgroup_id = 77);
    let host = exec("/system.slice/x.service").with(|header| header.cgroup_id = 78);
    let (sender, mut questions) = tokio::sync::mpsc::channel(8);
    let mut fixture = fixture(RuleMatching::First, unlimited());
    let options = EnrichOptions { container_questions: Some(sender), ..EnrichOptions::default() };
    fixture.engine.enricher = Enricher::new(options);
    *fixture.engine.active = active(OF_CONTAINERS, RuleMatching::First, &fixture.metrics, &unlimited());
    let counts =
        |f: &Fixture| [f.counters.matched.get(), f.counters.unmatched.get(), f.counters.held.waiting.get()];

    assert!(fixture.handle(&inside.clone().build()).is_empty());
    assert!(fixture.handle(&inside.clone().build()).is_empty());
    assert!(fixture.handle(&host.clone().build()).is_empty());
    assert_eq!(counts(&fixture), [0, 1, 2], "the host's goes on");
    assert!(fixture.engine.deadline().is_some());
    // A panic while some wait is a panic of its own event.
    fixture.counters.panicked();
    assert_eq!((fixture.counters.panicked.get(), fixture.counters.invalid.get()), (0, 1));

    let slot = questions.try_recv().unwrap().slot;
    let image = Image { reference: Some("i:1".into()), ..Image::default() };
    slot.learn(Container { image, ..Container::default() });
    slot.settle();
    // The next event, whose ever it is, finds those that waited gone before it.
    let found = fixture.handle(&host.build());
    assert_eq!(
        found.iter().map(|d| &*d.message).collect::<Vec<_>>(),
        ["Ran (image=i:1 name=<NA> pod=<NA>)"; 2]
    );
    // It is in no pod; but every container has a name.
    assert_eq!(found[0].incomplete_fields, ["container.name"]);
    assert_eq!(counts(&fixture), [2, 2, 0]);
    assert_eq!(fixture.handle(&inside.build()).len(), 1, "known: nothing waits");
    assert!(questions.try_recv().is_err(), "asked once");
}

#[test]
fn nothing_waits_for_what_no_rule_asks_for() {
    let (sender, _questions) = tokio::sync::mpsc::channel(8);
    let mut fixture = fixture(RuleMatching::First, unlimited());
    let options = EnrichOptions { container_questions: Some(sender), ..EnrichOptions::default() };
    fixture.engine.enricher = Enricher::new(options);
    let cgroup = format!("/docker/{}", "a".repeat(64));
    let record = RecordBuilder::new(EventType::Openat)
        .ret(3)
        .section(SectionKind::Path, "/etc/shadow")
        .section(SectionKind::Cgroup, &*cgroup);
    assert_eq!(fixture.handle(&record.build()).len(), 1);
}
