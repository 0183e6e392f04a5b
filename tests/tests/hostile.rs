//! What a workload may do to the daemon: flood it, feed it monstrous arguments, kill it.
//!
//! Nothing crashes, every loss is counted (produced = delivered + lost), and memory stays within a bound.

use std::{process::Command, sync::Mutex};

use end_to_end::{
    actor,
    case::{Case, check_all},
    daemon::{Daemon, Options},
    live::Live,
    scratch::Scratch,
};
use exporter_common::event_type::EventType;
use serde_json::Value;
use yagura::kernel::KernelOptions;

/// The daemon's peak memory in anything here beside its ring, in KiB. Measured: 37 MiB, half of it while the
/// programs are loaded; the rest is room for a full process table (32,768) and a debug build.
const MEMORY_BOUND: u64 = 80 * 1024;
/// The ring, whose pages count as the reader's memory: the default, and that of the tests that want no loss.
const RING: u64 = 8 * 1024;
const LARGE_RING: u64 = 64 * 1024;

/// Tests that load both CPUs run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Fires on each open of the flood's file, and on nothing else on this machine.
fn rules(path: &str) -> String {
    format!(
        "- rule: Flood\n  desc: d\n  condition: evt.type in (open, openat) and fd.name = {path}\n  output: \"%fd.name %proc.pid\"\n  priority: NOTICE\n"
    )
}

/// Counts every event of every type that the flood makes, and matches almost none.
fn quiet_rules() -> String {
    "- rule: Never\n  desc: d\n  condition: evt.type in (open, openat) and fd.name = /no/such/file/at/all\n  output: never\n  priority: NOTICE\n- rule: Never exec\n  desc: d\n  condition: evt.type in (execve, procexit) and proc.name = no-such-process\n  output: never\n  priority: NOTICE\n"
        .to_owned()
}

fn run_actor(words: &[&str]) -> Value {
    let output = Command::new(actor()).args(words).output().expect("the actor runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(stdout.lines().last().expect("the truth")).expect("JSON")
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// The sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum::<f64>() as u64
}

/// Pins a process to a CPU.
fn pin(pid: u32, cpu: usize) {
    // SAFETY: the set is a plain structure, initialised by zero, borrowed for the call with its size.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        tasks
            .map(|task| task.expect("a task").file_name().to_string_lossy().parse().expect("a thread id"))
            .map(|tid| libc::sched_setaffinity(tid, size_of_val(&set), &set))
            .fold(0, |worst: i32, result| worst.min(result))
    };
    assert_eq!(result, 0, "pinned");
}

#[test]
fn a_flood_of_opens_is_delivered_or_counted_as_lost() {
    if !end_to_end::kernel_tests_run() {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let file = file.to_str().expect("text");
    // The rate limit is part of what is proven: most detections are suppressed, all are counted.
    let config = "kernel:\n  ring_size: 8MiB\n";
    let daemon = Daemon::start(&Options { rules: &rules(file), config, ..Options::default() });
    pin(daemon.pid(), 0);
    let before = daemon.memory();
    // At most 200,000 a second, and 600,000 whatever else the machine does.
    let path = format!("path={file}");
    let truth =
        run_actor(&["flood-opens", &path, "cpu=1", "rate=200000", "count=600000", "milliseconds=600000"]);
    let opened = number(&truth, "opened");
    assert_eq!(opened, 600_000, "the flood was no flood: {truth}");
    let rate = opened * 1_000_000_000 / number(&truth, "elapsed_ns");
    let after = daemon.memory();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{:?}", ended.status);
    let counters = ended.balance();
    let lost = number(&counters, "lost");
    let matched = number(&counters, "matched");
    assert!(number(&counters, "seen") >= opened, "each open was seen: {opened} of {counters}");
    // What was not matched was lost; others' opens may be among the lost, never among the matched.
    assert!(matched <= opened, "only the flood matches: {opened}, {counters}");
    assert!(matched + lost >= opened, "each open was matched or lost: {opened}, {counters}");
    assert_eq!(number(&counters, "detections"), matched, "one detection an event: {counters}");
    assert_eq!(
        ended.detections().len() as u64,
        number(&counters, "delivered"),
        "what was delivered was printed"
    );
    assert!(after.1 < MEMORY_BOUND + RING, "memory: {before:?} before, {after:?} after (KiB)");
    eprintln!(
        "{rate} opens a second; memory (now, peak) {before:?} before, {after:?} after (KiB); {counters}"
    );
}

#[test]
fn kernel_counters_and_the_ring_agree_exactly() {
    if !end_to_end::kernel_tests_run() {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    // The smallest ring, which overflows at once.
    let mut live = Live::load(&KernelOptions { ring_bytes: Some(256 * 1024), ..KernelOptions::default() });
    let (received, truth) =
        live.flood("flood-opens path=file count=50000 milliseconds=60000 cpu=1", &scratch, EventType::Openat);
    let counters = live.kernel().counters().of(EventType::Openat).expect("counters");
    assert!(counters.seen >= truth, "each open was seen: {truth} of {counters:?}");
    assert_eq!(
        counters.seen,
        counters.filtered + counters.submitted + counters.lost_ring_full + counters.lost_scratch_busy,
        "{counters:?}"
    );
    assert_eq!(received, counters.submitted, "every record submitted was received: {counters:?}");
    assert!(counters.lost_ring_full > 0, "{counters:?}");
}

#[test]
fn killed_with_full_buffers_and_started_again() {
    if !end_to_end::kernel_tests_run() {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let file = file.to_str().expect("text");
    let config = "kernel:\n  ring_size: 256KiB\nqueue_size: 16\nrate_limit:\n  rate: 0\n";
    let options = Options { rules: &rules(file), config, stdout_stuck: true, ..Options::default() };
    let mut daemon = Daemon::start(&options);
    let path = format!("path={file}");
    let flood = || run_actor(&["flood-opens", &path, "cpu=1", "count=50000", "milliseconds=60000"]);
    let lost = |daemon: &Daemon, stage: &str, reason: &str| {
        let labels = [format!("stage=\"{stage}\""), format!("reason=\"{reason}\"")];
        let metrics = daemon.get("/metrics").1;
        let series = metrics.lines().find(|line| labels.iter().all(|label| line.contains(label.as_str())));
        series.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).expect("exported from the start")
    };
    // Nobody reads stdout: the pipe is full, then the queue.
    flood();
    daemon.until("a full queue", |daemon| lost(daemon, "queue", "full") > 0.0);
    // Nobody reads the ring, which holds some hundred records.
    daemon.signal(libc::SIGSTOP);
    flood();
    daemon.signal(libc::SIGCONT);
    daemon.until("a full ring", |daemon| lost(daemon, "kernel", "ring_full") > 0.0);
    assert!(daemon.runs(), "it lives through that");
    assert!(daemon.memory().1 < MEMORY_BOUND + RING, "memory: {:?} KiB", daemon.memory());
    daemon.signal(libc::SIGSTOP);
    flood();
    daemon.signal(libc::SIGKILL);
    let ended = daemon.wait();
    assert!(!ended.status.success(), "SIGKILL is no clean end");

    // The programs of a killed daemon are gone with it, and a new one starts.
    let daemon = Daemon::start(&Options { rules: &rules(file), ..Options::default() });
    flood();
    daemon.detection(|detection| detection["rule"] == "Flood");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{:?}", ended.status);
    ended.balance();
}

#[test]
fn twenty_thousand_short_lived_processes() {
    if !end_to_end::kernel_tests_run() {
        return;
    }
    let _alone = alone();
    let config = "process_table:\n  max_processes: 2048\n";
    let daemon = Daemon::start(&Options { rules: &quiet_rules(), config, ..Options::default() });
    let before = daemon.memory();
    let truth = run_actor(&["many-processes", "count=20000"]);
    assert_eq!(number(&truth, "made"), 20_000);
    daemon.until("all exits were handled", |daemon| {
        let metrics = daemon.get("/metrics").1;
        sum_of_type(&metrics, "yagura_events_total", "procexit") >= 20_000
    });
    let processes = sum(&daemon.get("/metrics").1, "yagura_process_table_processes");
    assert!(processes <= 2048, "the process table is bounded: {processes}");
    let after = daemon.memory();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{:?}", ended.status);
    let counters = ended.balance();
    assert_eq!(number(&counters, "lost"), 0, "20,000 processes one after the other lose nothing: {counters}");
    assert!(after.1 < MEMORY_BOUND + LARGE_RING, "memory: {before:?} before, {after:?} after (KiB)");
}

fn sum_of_type(metrics: &str, name: &str, event_type: &str) -> u64 {
    let label = format!("type=\"{event_type}\"");
    metrics
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(&label))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum::<f64>() as u64
}

/// Arguments, paths and ancestors at and beyond their bounds.
const MONSTERS: &[Case<'_>] = &[
    // 20 arguments of 100,000 bytes: 2 MB, of which 8 KiB are kept and the rest is counted.
    Case {
        does: "execve path=/bin/true fill=20 length=100000 -- true first",
        sees: &[(
            "execve",
            &[
                ("evt.res", "SUCCESS"),
                ("proc.name", "true"),
                ("proc.exe", "true"),
                ("proc.args", "~first xxxx"),
                ("exec.argc", "22"),
                ("exec.argv_len", "2000031"),
                ("length.Argv", "<=8192"),
                ("length.Argv", ">=8000"),
                ("cut.Argv", "1"),
            ],
        )],
    },
    // 100,000 arguments of one byte.
    Case {
        does: "execve path=/bin/true fill=100000 length=1 -- true",
        sees: &[(
            "execve",
            &[("evt.res", "SUCCESS"), ("exec.argc", "100001"), ("cut.Argv", "1"), ("proc.name", "true")],
        )],
    },
    // Nothing at all: the kernel makes argv[0] an empty string.
    Case {
        does: "execve path=/bin/true env= --",
        sees: &[("execve", &[("evt.res", "SUCCESS"), ("proc.name", "true"), ("proc.args", "")])],
    },
    // A path of PATH_MAX bytes with its NUL, and one byte more.
    Case {
        does: "open path={path4095}",
        sees: &[("open", &[("evt.res", "!SUCCESS"), ("fd.nameraw", "{path4095}"), ("fd.num", "-1")])],
    },
    Case {
        does: "open path={path4096}",
        sees: &[("open", &[("evt.res", "ENAMETOOLONG"), ("fd.num", "-1")])],
    },
    // A long path that exists: 16 folders of 250 bytes below the scratch folder, opened relative to the last.
    Case {
        does: "deep path={dir} levels=15 length=250",
        sees: &[("open", &[("evt.res", "SUCCESS"), ("fd.name", "{deep15}/leaf"), ("fd.nameraw", "leaf")])],
    },
    // Beyond PATH_MAX: the part next to the leaf is kept, and said to be cut.
    Case {
        does: "deep path={dir} levels=40 length=250",
        sees: &[(
            "open",
            &[("evt.res", "SUCCESS"), ("fd.filename", "leaf"), ("cut.Path", "1"), ("length.Path", "<=4096")],
        )],
    },
    Case {
        does: "deep path={dir} levels=200 length=1",
        sees: &[("open", &[("evt.res", "SUCCESS"), ("fd.name", "{deep200}/leaf")])],
    },
    // 64 and more generations.
    Case {
        does: "tower levels=64 -- open path=file",
        sees: &[(
            "open",
            &[
                ("fd.name", "{dir}/file"),
                ("ancestors.count", "64"),
                ("proc.apid[64]", "{root}"),
                ("proc.aname[40]", "actor"),
            ],
        )],
    },
    Case {
        does: "tower levels=100 -- open path=file",
        sees: &[(
            "open",
            &[("fd.name", "{dir}/file"), ("ancestors.count", "64"), ("proc.aname[64]", "actor")],
        )],
    },
];

#[test]
fn monstrous_arguments_paths_and_ancestries() {
    let _alone = alone();
    check_all(MONSTERS, |scratch| {
        let dir = scratch.path().to_str().expect("text").to_owned();
        scratch.set("path4095", format!("/{}", "a/".repeat(2047)));
        scratch.set("path4096", format!("/{}b", "a/".repeat(2047)));
        scratch.set("deep15", format!("{dir}{}", format!("/{}", "d".repeat(250)).repeat(15)));
        scratch.set("deep200", format!("{dir}{}", "/d".repeat(200)));
    });
}

#[test]
fn a_daemon_fed_monsters_lives_and_counts() {
    if !end_to_end::kernel_tests_run() {
        return;
    }
    let _alone = alone();
    // Everything that is collected, of everything monstrous.
    let rules = "- rule: All\n  desc: d\n  condition: evt.type in (execve, execveat, open, openat) and proc.aname = no-such-name\n  output: \"%proc.cmdline %proc.env %proc.cwd %proc.aname[60] %fd.name\"\n  priority: DEBUG\n- rule: Big\n  desc: d\n  condition: evt.type = execve and proc.name = true and proc.args startswith yagura-monster\n  output: \"%proc.cmdline %proc.env %proc.cwd %proc.aname[60]\"\n  priority: DEBUG\n";
    let mut daemon = Daemon::start(&Options { rules, ..Options::default() });
    let scratch = Scratch::new();
    let dir = scratch.path().to_str().expect("text");
    for _ in 0..20 {
        for words in [
            &["execve", "path=/bin/true", "fill=20", "length=100000", "--", "true", "yagura-monster"][..],
            &["tower", "levels=100", "--", "openat", "path=/etc/hostname"],
            &["deep", &format!("path={dir}"), "levels=40", "length=250"],
            &["openat", &format!("path=/{}", "a/".repeat(2047))],
        ] {
            run_actor(words);
        }
    }
    daemon.detection(|detection| detection["rule"] == "Big");
    assert!(daemon.runs());
    assert!(daemon.memory().1 < MEMORY_BOUND + LARGE_RING, "memory: {:?} KiB", daemon.memory());
    let ended = daemon.stop();
    assert!(ended.status.success(), "{:?}", ended.status);
    let counters = ended.balance();
    assert_eq!(number(&counters, "lost"), 0, "{counters}");
    let big = ended.detections().iter().filter(|detection| detection["rule"] == "Big").count();
    assert_eq!(big, 20, "one detection an exec of two megabytes");
}
