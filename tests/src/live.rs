//! The kernel side, loaded once per test binary; actors run under it one after the other.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use exporter_common::{
    event_type::EventType,
    record::Header,
    wants::{TypeConfig, WANT_EVENT},
};
use yagura::{
    containers,
    decode::decode,
    enrich::{EnrichOptions, Enricher, seed::boot_time_ns, users::UserFiles},
    fields::{FieldRef, Source, Subject, scheme},
    kernel::{Kernel, KernelOptions, Plan, Ring},
    rules::{RuleSet, Scratch as RuleScratch},
};

use crate::{DEADLINE, raw, scratch::Scratch, text};

/// The kernel side with everything that turns its records into what rules see.
pub struct Live {
    kernel: Kernel,
    ring: Ring,
    enricher: Enricher,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}

/// An event of the actor's process tree.
#[derive(Debug)]
pub struct Seen {
    pub header: Header,
    pub event_type: EventType,
    /// The values of the fields asked for, as text; a field that the event does not have is missing.
    pub fields: BTreeMap<String, String>,
    /// The rules that matched, with their rendered outputs.
    pub rules: Vec<(String, String)>,
}

/// What one run of an actor did and what was seen of it.
#[derive(Debug)]
pub struct Observed {
    pub truth: BTreeMap<String, String>,
    pub events: Vec<Seen>,
}

/// What to collect while an actor runs.
#[derive(Debug, Default)]
pub struct Ask<'a> {
    /// Event types to report.
    pub types: Vec<EventType>,
    /// Fields, or names of [`raw`], to read of each event.
    pub fields: Vec<&'a str>,
    /// Rules to evaluate on each event; the types they need are reported too, and no others.
    pub rules: Option<&'a RuleSet>,
}

impl Live {
    /// Loads the kernel side, once; the tests of a binary take turns.
    ///
    /// # Panics
    /// If it cannot be loaded: a kernel without BPF fails the tests, see [`crate::kernel_tests_run`].
    pub fn lock() -> MutexGuard<'static, Live> {
        static LIVE: OnceLock<Mutex<Live>> = OnceLock::new();
        // A large ring: its reader may stand still while an actor floods.
        let options = KernelOptions { ring_bytes: Some(64 << 20), ..KernelOptions::default() };
        LIVE.get_or_init(|| Mutex::new(Live::load(&options)))
            .lock()
            // A test that failed leaves nothing half done: the next one applies its own plan.
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads another copy, with options.
    pub fn load(options: &KernelOptions) -> Live {
        let mut kernel = Kernel::load(options).unwrap_or_else(|error| {
            panic!("the kernel side does not load (YAGURA_TEST_NO_BPF=1 skips): {error:?}")
        });
        let ring = kernel.take_ring().expect("the ring is taken once");
        let users =
            UserFiles::new(Path::new("/etc")).changed().expect("/etc is readable").unwrap_or_default();
        let mut enricher = Enricher::new(EnrichOptions {
            boot_time_ns: boot_time_ns(),
            users: Arc::new(ArcSwap::from_pointee(users)),
            // Nobody knows any container: a cgroup that only looks like one is the host's.
            container_questions: Some(containers::questions().0),
            ..EnrichOptions::default()
        });
        kernel.apply(&Plan::default()).expect("the process hooks attach");
        enricher.seed_from_proc(Path::new("/proc")).expect("/proc is readable");
        Live { kernel, ring, enricher }
    }

    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Runs `actor WORDS`, in `scratch`'s folder, and yields its events.
    pub fn run(&mut self, words: &str, scratch: &Scratch, ask: &Ask<'_>) -> Observed {
        let fields: Vec<(&str, Option<FieldRef>)> =
            ask.fields.iter().map(|name| (*name, resolve(name))).collect();
        self.kernel
            .apply(&plan(ask, fields.iter().filter_map(|(_, field)| field.as_ref())))
            .expect("the plan applies");

        // Whatever others did before is not of this test, but the process table needs it.
        self.pass();
        let mut command = Command::new(crate::actor());
        command
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for word in words.split_whitespace() {
            use std::os::unix::ffi::OsStringExt;
            command.arg(std::ffi::OsString::from_vec(text::unescape(&scratch.expand(word))));
        }
        let child = command.spawn().expect("the actor starts");
        let root = child.id();
        let output = std::thread::spawn(move || child.wait_with_output().expect("the actor's output"));

        let mut tree = HashSet::from([root]);
        let mut events = Vec::new();
        let mut rule_scratch = RuleScratch::default();
        let begin = Instant::now();
        let mut ended = false;
        while !ended {
            assert!(
                begin.elapsed() < DEADLINE,
                "the end of `actor {words}` was not seen: {}",
                self.counts(ask)
            );
            let enricher = &mut self.enricher;
            let drained = self.ring.drain(|record| {
                let header = raw::header(record);
                let event = decode(record).expect("a record that the kernel side made");
                let event_type = event.event_type();
                if tree.contains(&header.ppid) || raw_child_of(record, &tree) {
                    tree.insert(header.pid);
                    tree.extend(raw::get(record, "child.pid").and_then(|pid| pid.parse::<u32>().ok()));
                }
                let view = enricher.observe(&event);
                if tree.contains(&header.pid) {
                    let mut values = BTreeMap::new();
                    for (name, field) in &fields {
                        let value = match field {
                            Some(field) => view.get(field).map(|value| text::of(&value)),
                            None => raw::get(record, name),
                        };
                        values.extend(value.map(|value| ((*name).to_owned(), value)));
                    }
                    let mut matched = Vec::new();
                    if let Some(rules) = ask.rules {
                        rules.evaluate(&view, &mut rule_scratch, |rule| {
                            matched.push((rule.name.to_string(), rule.output.render(&view).text));
                        });
                    }
                    events.push(Seen { header, event_type, fields: values, rules: matched });
                }
                enricher.settle(&event);
                ended |= event_type == EventType::Procexit && header.pid == root;
            });
            if drained == 0 && !ended {
                self.ring.wait(Duration::from_millis(5));
            }
        }
        let output = output.join().expect("the actor's output");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`actor {words}`: {}: {stderr}", output.status);
        let mut truth = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with('{')) {
            let facts: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(line).expect("the actor's JSON");
            truth.extend(
                facts.into_iter().map(|(key, value)| {
                    (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                }),
            );
        }
        truth.insert("root".to_owned(), root.to_string());
        truth.insert("test".to_owned(), std::process::id().to_string());
        self.kernel.apply(&Plan::default()).expect("the plan applies");
        Observed { truth, events }
    }

    /// Takes what is in the ring for the process table alone.
    fn pass(&mut self) {
        let enricher = &mut self.enricher;
        while self.ring.drain(|record| {
            let event = decode(record).expect("a record that the kernel side made");
            enricher.observe(&event);
            enricher.settle(&event);
        }) > 0
        {}
    }

    /// What the kernel side counted for the types asked for, to explain a failure.
    pub fn counts(&self, ask: &Ask<'_>) -> String {
        let counters = self.kernel.counters();
        let mut text = String::new();
        for event_type in &ask.types {
            let _infallible = write!(text, "\n  {}: {:?}", event_type.name(), counters.of(*event_type));
        }
        text
    }
}

/// Is the event that of a child made by a process of the tree (the record of a fork is its parent's)?
fn raw_child_of(record: &[u8], tree: &HashSet<u32>) -> bool {
    raw::get(record, "child.pid").is_some() && tree.contains(&raw::header(record).pid)
}

/// The field of that name; `None` for a name of [`raw`].
fn resolve(name: &str) -> Option<FieldRef> {
    if raw::is_raw(name) {
        return None;
    }
    let (base, arg) = match name.split_once('[') {
        Some((base, arg)) => (base, Some(arg.trim_end_matches(']'))),
        None => (name, None),
    };
    Some(scheme().resolve(Source::Syscall, base, arg).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// What the kernel must collect so that the fields asked for, and those that the rules use, are there.
fn plan<'f>(ask: &'f Ask<'_>, fields: impl Iterator<Item = &'f FieldRef> + Clone) -> Plan {
    let mut plan = Plan::default();
    let mut at_exec = 0;
    let mut want = |event_type: EventType, field: &FieldRef| {
        at_exec |= scheme().exec_wants(field);
        add(&mut plan, event_type, scheme().wants(field, event_type));
    };
    for event_type in &ask.types {
        fields.clone().for_each(|field| want(*event_type, field));
    }
    for (event_type, fields) in ask.rules.iter().flat_map(|rules| &rules.requirements().types) {
        fields.iter().for_each(|field| want(*event_type, field));
    }
    for event_type in &ask.types {
        add(&mut plan, *event_type, WANT_EVENT);
    }
    for event_type in ask.rules.iter().flat_map(|rules| rules.requirements().types.keys()) {
        add(&mut plan, *event_type, WANT_EVENT);
    }
    for event_type in [EventType::Execve, EventType::Execveat] {
        add(&mut plan, event_type, at_exec);
    }
    plan
}

fn add(plan: &mut Plan, event_type: EventType, wants: u32) {
    let wants = plan.get(event_type).wants | wants;
    plan.set(event_type, TypeConfig { wants, max_data: 256, ..TypeConfig::default() });
}

impl Observed {
    /// The last event of the type by the thread `tid`.
    pub fn last(&self, event_type: EventType, tid: u32) -> Option<&Seen> {
        self.events.iter().rev().find(|event| event.event_type == event_type && event.header.tid == tid)
    }

    /// A number of the actor's truth.
    pub fn number(&self, key: &str) -> i64 {
        let value = self
            .truth
            .get(key)
            .unwrap_or_else(|| panic!("the actor said nothing of {key}: {:?}", self.truth));
        value.parse().unwrap_or_else(|_| panic!("{key} is no number: {value}"))
    }

    /// What was seen, in short, to explain a failure.
    pub fn summary(&self) -> String {
        let mut text = format!("truth: {:?}\nevents:", self.truth);
        for event in &self.events {
            let _infallible = write!(
                text,
                "\n  {} pid {} tid {} ret {}",
                event.event_type.name(),
                event.header.pid,
                event.header.tid,
                event.header.ret
            );
        }
        text
    }
}

impl Live {
    /// Runs an actor that floods opens while nobody reads, until the ring has overflowed; then takes records
    /// until the actor has ended, the type is off and the ring is empty. Yields how many records there
    /// were, and how many calls succeeded by the actor's count.
    pub fn flood(&mut self, words: &str, scratch: &Scratch, event_type: EventType) -> (u64, u64) {
        let ask = Ask { types: vec![event_type], ..Ask::default() };
        self.kernel.apply(&plan(&ask, std::iter::empty())).expect("the plan applies");
        let counters = self.kernel.counters();
        let of = || counters.of(event_type).expect("counters");
        let mut child = Command::new(crate::actor())
            .current_dir(scratch.path())
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the actor starts");
        let begin = Instant::now();
        while of().lost_ring_full == 0 {
            assert!(begin.elapsed() < DEADLINE, "the ring never overflowed: {:?}", of());
        }
        let mut received = 0;
        let mut take = |ring: &mut Ring| {
            ring.drain(|record| {
                let event = decode(record).expect("a record that the kernel side made");
                received += u64::from(event.event_type() == event_type);
            })
        };
        while child.try_wait().expect("our child").is_none() {
            if take(&mut self.ring) == 0 {
                self.ring.wait(Duration::from_millis(5));
            }
        }
        self.kernel.apply(&Plan::default()).expect("the plan applies");
        // A program that was running on the other CPU when the type was switched off may still submit.
        let mut submitted = 0;
        while submitted != of().submitted {
            submitted = of().submitted;
            while take(&mut self.ring) > 0 {}
        }
        let output = child.wait_with_output().expect("the actor's output");
        let truth: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the actor's JSON");
        (received, truth["opened"].as_u64().expect("a count"))
    }
}
