//! The kernel side on the running kernel. These tests fail where BPF is not available, unless
//! `YAGURA_TEST_NO_BPF=1` says that this is meant.

use std::{
    collections::BTreeMap,
    env, fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use exporter_common::{
    counters::GlobalCounter,
    event_type::EventType,
    filter::classes::RESULT_SUCCESS,
    offsets::ABSENT,
    record::Header,
    wants::{TypeConfig, WANT_EVENT},
};
use zerocopy::FromBytes;

use crate::rules::{Clause, Clauses, Dim};

use super::{btf::Btf, facts::Facts, load::BTF_PATH, ring::MAX_BATCH, *};

/// A bound on waiting for what must come, far above what it takes: reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn skip() -> bool {
    let skip = env::var_os("YAGURA_TEST_NO_BPF").is_some_and(|value| value == "1");
    if skip {
        eprintln!("skipped: YAGURA_TEST_NO_BPF=1");
    }
    skip
}

/// Held by each test that makes so many events, or must not lose one, that another's flood would be in its way: all of this
/// process are reported to all of them.
static FLOODS: Mutex<()> = Mutex::new(());

/// Loads the kernel side so that it reports this process too.
pub(super) fn load() -> Kernel {
    load_with(false)
}

pub(super) fn load_with(load_all: bool) -> Kernel {
    let options = KernelOptions { self_tgid: Some(0), load_all, ring_bytes: None };
    Kernel::load(&options).expect("the kernel side loads")
}

/// With a ring that outlasts a reader which is off the CPU for a moment.
fn load_large() -> Kernel {
    let options =
        KernelOptions { self_tgid: Some(0), ring_bytes: Some(64 << 20), ..KernelOptions::default() };
    Kernel::load(&options).expect("the kernel side loads")
}

pub(super) fn plan(types: &[EventType]) -> Plan {
    let mut plan = Plan::default();
    for event_type in types {
        plan.set(*event_type, TypeConfig { wants: WANT_EVENT, ..TypeConfig::default() });
    }
    plan
}

/// A file name that no other process opens.
fn unique(name: &str) -> String {
    format!("/yagura-live-{}-{name}", std::process::id())
}

/// Opens a path that does not exist: the attempt is an event.
fn try_open(path: &str) {
    assert!(fs::File::open(path).is_err());
}

/// Drains until a record of `event_type` contains `text`; `each` sees every record until then.
fn until(
    kernel: &Kernel,
    ring: &mut Ring,
    event_type: EventType,
    text: &str,
    mut each: impl FnMut(&Header, &[u8]),
) {
    let deadline = Instant::now() + PATIENCE;
    let mut found = false;
    while !found {
        let name = event_type.name();
        assert!(
            Instant::now() < deadline,
            "no {name} event with {text}: {:?}",
            kernel.counters().of(event_type)
        );
        ring.drain(|bytes| {
            let (header, _) = Header::read_from_prefix(bytes).expect("a record has a header");
            each(&header, bytes);
            found |= header.event_type == event_type.id() && contains(bytes, text);
        });
        ring.wait(Duration::from_millis(100));
    }
}

/// Drops what the ring holds. The tests beside this one open files without a pause, and what they did while a
/// plan was applied may have filled the ring: an event that must not be lost comes after this.
fn discard(ring: &mut Ring) {
    while ring.drain(|_| {}) == MAX_BATCH {}
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[test]
fn this_kernel_has_the_facts_that_every_kernel_has() {
    if skip() {
        return;
    }
    let blob = fs::read(BTF_PATH).expect("this kernel has BTF");
    let facts = Facts::read(&Btf::parse(&blob).unwrap());
    let values: BTreeMap<_, _> = facts.values.iter().copied().collect();
    for global in [
        "OFF_TASK_PID",
        "OFF_TASK_TGID",
        "OFF_CRED_UID",
        "OFF_FILE_PATH_DENTRY",
        "OFF_DENTRY_NAME_NAME",
        "OFF_REGS_ORIG_AX",
        "OFF_SOCK_FAMILY",
        "SIZE_UPID",
    ] {
        assert_ne!(values[global], ABSENT, "{global}");
    }
    // The layout of pt_regs is ABI: the one offset that is known beforehand.
    assert_eq!(values["OFF_REGS_ORIG_AX"], 120);
    assert!(facts.missing.len() < facts.values.len() / 10, "{:?}", facts.missing);
}

#[test]
fn an_open_is_seen_while_it_is_wanted_and_not_after() {
    if skip() {
        return;
    }
    let _alone = FLOODS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kernel = load_large();
    let mut ring = kernel.take_ring().expect("the first taker gets the ring");
    assert!(kernel.take_ring().is_none());
    let attached = |kernel: &Kernel| {
        kernel
            .report()
            .programs
            .into_iter()
            .filter(|program| program.attached)
            .map(|p| p.name)
            .collect::<Vec<_>>()
    };
    assert!(attached(&kernel).is_empty(), "load attaches nothing");

    kernel.apply(&plan(&[EventType::Openat])).unwrap();
    assert_eq!(
        attached(&kernel),
        [
            "sched_exec",
            "sched_exit",
            "sched_fork",
            "sys_exit",
            "uring_complete",
            "uring_local_work",
            "uring_submit",
            "uring_task_work"
        ]
    );
    let first = unique("first");
    discard(&mut ring);
    try_open(&first);
    let me = rustix::process::getpid().as_raw_pid() as u32;
    let mut matching = Vec::new();
    until(&kernel, &mut ring, EventType::Openat, &first, |header, bytes| {
        if contains(bytes, &first) {
            matching.push(*header);
        }
    });
    assert_eq!(matching.len(), 1, "one open, one event");
    assert_eq!((matching[0].vpid, matching[0].ret), (me, -2));

    // A wider plan, then one without opens. The mkdir that follows the open marks the end of the wait.
    kernel.apply(&plan(&[EventType::Openat, EventType::Mkdir])).unwrap();
    kernel.apply(&plan(&[EventType::Mkdir])).unwrap();
    let (second, marker) = (unique("second"), unique("missing/marker"));
    discard(&mut ring);
    try_open(&second);
    assert!(fs::create_dir(&marker).is_err());
    let mut unwanted = 0;
    until(&kernel, &mut ring, EventType::Mkdir, &marker, |_, bytes| {
        unwanted += usize::from(contains(bytes, &second))
    });
    assert_eq!(unwanted, 0, "opens are off");

    kernel.apply(&Plan::default()).unwrap();
    assert_eq!(attached(&kernel), ["sched_exec", "sched_exit", "sched_fork"], "hooks of processes stay");
    kernel.apply(&plan(&[EventType::Openat])).unwrap();
    let third = unique("third");
    discard(&mut ring);
    try_open(&third);
    until(&kernel, &mut ring, EventType::Openat, &third, |_, _| {});
}

/// Name of the thread whose opens all filters of the test below let through.
const OPENER: &str = "live-opener";

/// Lets opens by [`OPENER`] through, and by many others, whose names begin with `salt`.
fn names_filter(salt: &str) -> Clauses {
    let many = (0..200).map(|number| format!("{salt}-{number}"));
    let names = many.chain([OPENER.to_owned()]).map(|name| name.into_bytes().into_boxed_slice());
    let mut clause = Clause::default();
    clause.names = Some(names.collect());
    Clauses::one(clause)
}

/// Lets failed opens through.
fn failed_filter() -> Clauses {
    let failed = Dim::Result.every() & !(1 << RESULT_SUCCESS);
    Clauses::one(Clause::classes(Dim::Result, failed))
}

/// Of the test below: a few megabytes of a ring of 64 MiB.
const MOST_UNREAD: usize = 20_000;

#[test]
fn no_event_is_lost_while_plans_change() {
    if skip() {
        return;
    }
    let _alone = FLOODS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kernel = load_large();
    let mut ring = kernel.take_ring().unwrap();
    // Every plan lets the opener's opens through, each by another filter: by its name among others, by the result,
    // and by none.
    let mut wide = plan(&[EventType::Openat, EventType::Unlinkat, EventType::Rename, EventType::Socket]);
    wide.filters.insert(EventType::Openat, names_filter("first"));
    let mut narrow = plan(&[EventType::Openat]);
    narrow.filters.insert(EventType::Openat, names_filter("second"));
    let mut failures = plan(&[EventType::Openat, EventType::Rename]);
    failures.filters.insert(EventType::Openat, failed_filter());
    let open = plan(&[EventType::Openat]);
    // Once before, so that the changes below need no program loaded.
    kernel.apply(&wide).unwrap();
    let prefix = unique("swap");
    let (stop, stop_makers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // How many opens were made, and how many of them read: whoever makes events is never so far ahead that the ring could be
    // full, though the reader be off the CPU for long.
    let (made, read) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let opener = {
        let (prefix, stop) = (prefix.clone(), Arc::clone(&stop_makers));
        let (made, read) = (Arc::clone(&made), Arc::clone(&read));
        let run = move || {
            let mut opens = 0usize;
            while !stop.load(Ordering::Relaxed) {
                if opens - read.load(Ordering::Relaxed) > MOST_UNREAD {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
                try_open(&format!("{prefix}-{opens}-"));
                opens += 1;
                made.store(opens, Ordering::Relaxed);
            }
            opens
        };
        thread::Builder::new().name(OPENER.to_owned()).spawn(run).unwrap()
    };
    let others = thread::spawn({
        let (stop, made) = (Arc::clone(&stop_makers), Arc::clone(&made));
        move || {
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) {
                if reads > made.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
                // It succeeds, by a thread of another name: some filters drop it.
                fs::read("/proc/self/comm").unwrap();
                reads += 1;
            }
        }
    });
    // Beside the changes, each of which waits for the kernel: what waits in the ring must not be lost meanwhile.
    let reader = thread::spawn({
        let (prefix, stop, read) = (prefix.clone(), Arc::clone(&stop), Arc::clone(&read));
        move || {
            let mut seen: Vec<u32> = Vec::new();
            loop {
                let stopped = stop.load(Ordering::Relaxed);
                let drained = ring.drain(|bytes| {
                    let Some(at) = memchr::memmem::find(bytes, prefix.as_bytes()) else { return };
                    let rest = &bytes[at + prefix.len() + 1..];
                    let digits = rest.split(|byte| *byte == b'-').next().unwrap();
                    let index: usize = std::str::from_utf8(digits).unwrap().parse().unwrap();
                    seen.resize(seen.len().max(index + 1), 0);
                    seen[index] += 1;
                });
                read.store(seen.len(), Ordering::Relaxed);
                match drained {
                    0 if stopped => return seen,
                    0 => thread::sleep(Duration::from_millis(1)),
                    _ => {}
                }
            }
        }
    });
    for _ in 0..100 {
        for plan in [&narrow, &failures, &wide, &open] {
            kernel.apply(plan).unwrap();
        }
    }
    // Whoever makes events ends first, then who reads them.
    stop_makers.store(true, Ordering::Relaxed);
    let opens = opener.join().unwrap();
    others.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    let seen = reader.join().unwrap();
    let counters = kernel.counters();
    let openat = counters.of(EventType::Openat).unwrap();
    assert_eq!(openat.lost_ring_full, 0, "the reader keeps up: {openat:?}");
    let wrong: Vec<_> = seen.iter().enumerate().filter(|(_, count)| **count != 1).collect();
    assert!(
        wrong.is_empty(),
        "of {opens} opens, by number and how often they were seen: {wrong:?}; {openat:?}"
    );
    assert!(opens > 0 && seen.len() == opens);
    assert_eq!(counters.global(GlobalCounter::TailCallFailed).unwrap(), 0);
    assert!(openat.filtered > 0, "the filters were in force");
}

#[test]
fn processes_are_seen_whatever_the_plan_says() {
    if skip() {
        return;
    }
    let mut kernel = load();
    let mut ring = kernel.take_ring().unwrap();
    kernel.apply(&Plan::default()).unwrap();
    let argument = unique("argument");
    let mut child = std::process::Command::new("/bin/true").arg(&argument).spawn().unwrap();
    let pid = child.id();
    assert!(child.wait().unwrap().success());
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while !seen.contains(&EventType::Procexit.id()) {
        assert!(Instant::now() < deadline, "no procexit of {pid}: {seen:?}");
        ring.drain(|bytes| {
            let (header, _) = Header::read_from_prefix(bytes).unwrap();
            let is_exec = header.event_type == EventType::Execve.id();
            if header.vpid == pid && (!is_exec || contains(bytes, &argument)) {
                seen.push(header.event_type);
            }
        });
        ring.wait(Duration::from_millis(100));
    }
    assert_eq!(seen, [EventType::Execve.id(), EventType::Procexit.id()]);
}

#[test]
fn produced_is_delivered_plus_lost() {
    if skip() {
        return;
    }
    let _alone = FLOODS.lock().unwrap_or_else(PoisonError::into_inner);
    let options =
        KernelOptions { self_tgid: Some(0), ring_bytes: Some(MIN_RING_BYTES), ..KernelOptions::default() };
    let mut kernel = Kernel::load(&options).unwrap();
    let mut ring = kernel.take_ring().unwrap();
    kernel.apply(&plan(&[EventType::Openat])).unwrap();
    let path = unique("flood");
    for _ in 0..20_000 {
        try_open(&path);
    }
    // Off again, so that nothing is in flight; then what is in the ring is all there is.
    kernel.apply(&Plan::default()).unwrap();
    let mut delivered = 0u64;
    while ring.drain(|bytes| {
        let (header, _) = Header::read_from_prefix(bytes).unwrap();
        delivered += u64::from(header.event_type == EventType::Openat.id());
    }) > 0
    {}
    let counters = kernel.counters();
    let opens = counters.of(EventType::Openat).unwrap();
    assert!(opens.seen >= 20_000, "{opens:?}");
    assert!(opens.lost_ring_full > 0, "nobody read, so the ring overflowed: {opens:?}");
    assert_eq!(opens.submitted, delivered, "{opens:?}");
    assert_eq!(
        opens.seen,
        opens.filtered + opens.submitted + opens.lost_ring_full + opens.lost_scratch_busy,
        "{opens:?}"
    );
    let fill = counters.ring();
    assert_eq!(fill.capacity, u64::from(MIN_RING_BYTES));
    assert_eq!(fill.corrupt, 0);
}

/// Opens a path again and again until the reader, which may sleep for [`PATIENCE`] at once, has seen it
/// `count` times. No single sleep may last so long.
fn reads_without_oversleeping(ring: &mut Ring, path: &str, count: usize) {
    ring.first_sleep = PATIENCE;
    let stop = Arc::new(AtomicBool::new(false));
    let opener = thread::spawn({
        let (path, stop) = (path.to_owned(), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
                try_open(&path);
            }
        }
    });
    let mut seen = 0;
    while seen < count {
        ring.drain(|bytes| seen += usize::from(contains(bytes, path)));
        let before = Instant::now();
        ring.wait(PATIENCE);
        assert!(before.elapsed() < PATIENCE, "nothing woke the reader after {seen} events");
    }
    stop.store(true, Ordering::Relaxed);
    opener.join().unwrap();
}

#[test]
fn a_blocked_reader_is_woken_by_an_event() {
    if skip() {
        return;
    }
    let mut kernel = load();
    let mut ring = kernel.take_ring().unwrap();
    kernel.apply(&plan(&[EventType::Openat])).unwrap();
    let path = unique("wake");
    reads_without_oversleeping(&mut ring, &path, 20);

    // Once more after a sleep that timed out while a wakeup was asked for, and an event after it: the request
    // is used up then, and must be made anew.
    for _ in 0..10 {
        while ring.drain(|_| {}) > 0 {
            ring.wait(PATIENCE);
        }
        ring.wait(Duration::from_millis(1));
        try_open(&path);
        reads_without_oversleeping(&mut ring, &path, 2);
    }
}

#[test]
fn a_waker_ends_a_wait() {
    if skip() {
        return;
    }
    let mut kernel = load();
    let mut ring = kernel.take_ring().unwrap();
    ring.first_sleep = PATIENCE;
    let waker = ring.waker();
    // Nothing is attached, so nothing but the waker can end these.
    for _ in 0..5 {
        waker.wake();
        let before = Instant::now();
        ring.wait(PATIENCE);
        assert!(before.elapsed() < PATIENCE, "a wake before the wait is not forgotten");
        let sleeper = thread::spawn(move || {
            let before = Instant::now();
            ring.wait(PATIENCE);
            (ring, before.elapsed())
        });
        thread::sleep(Duration::from_millis(5));
        waker.wake();
        let (back, elapsed) = sleeper.join().unwrap();
        assert!(elapsed < PATIENCE, "a wake during the wait ends it");
        ring = back;
    }
}

#[test]
fn the_report_names_what_runs() {
    if skip() {
        return;
    }
    let mut kernel = load_with(true);
    kernel.apply(&plan(&[EventType::Openat])).unwrap();
    let report = kernel.report();
    for program in &report.programs {
        assert!(program.loaded, "{}: {:?}", program.name, program.error);
        assert_eq!(program.program_type, "tp_btf", "{}", program.name);
        assert!(program.id.is_some());
    }
    assert!(report.event_types.iter().all(|ty| ty.available), "{report}");
    let enabled: Vec<_> = report.event_types.iter().filter(|ty| ty.enabled).map(|ty| ty.name).collect();
    assert_eq!(enabled, ["openat"]);
    for facility in report.host.facilities.iter().filter(|facility| facility.required) {
        assert_eq!(facility.available, Answer::Yes, "{}", facility.name);
    }
    let release = fs::read("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(report.host.kernel_release.as_bytes(), release.trim_ascii());
    let text = report.to_string();
    for expected in ["sys_exit", "enabled      openat", &report.host.kernel_release] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    assert!(serde_json::to_value(&report).unwrap()["programs"].is_array());
}
