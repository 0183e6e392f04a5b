//! `make demo` as it is run by hand: it shows what it says, and leaves nothing, however it ends.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use end_to_end::{DEADLINE, build_dir, folder, kernel_tests_run};

/// Two at once would want the same ports.
static ONE: Mutex<()> = Mutex::new(());

/// The demo, with all folders that it makes in one.
fn demo(place: &Path) -> Command {
    let mut command = Command::new(build_dir().join("demo"));
    command.env("TMPDIR", place).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// What is left of a demo: files, and processes that were started by it, have a name of its folder in their arguments, or
/// see a mount of it. A file system that is still mounted is seen by this process, too.
fn left(place: &Path) -> Vec<PathBuf> {
    let name = place.as_os_str().as_encoded_bytes();
    let files = fs::read_dir(place).expect("a folder").map(|entry| entry.expect("an entry").path());
    let tied = |process: &PathBuf| {
        ["environ", "cmdline", "mountinfo"].iter().any(|file| {
            // A process may be gone meanwhile.
            let text = fs::read(process.join(file)).unwrap_or_default();
            text.windows(name.len()).any(|part| part == name)
        })
    };
    let processes = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    files.chain(processes.filter(tied)).collect()
}

/// Of a demo that has ended: what it has killed may take its time.
fn until_nothing_is_left(place: &Path, said: &str) {
    let end = Instant::now() + DEADLINE;
    while !left(place).is_empty() {
        assert!(Instant::now() < end, "{said}: {:?}", left(place));
        // Between two looks, not to wait for anything.
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn everything_is_seen_everywhere_and_nothing_is_left() {
    if !kernel_tests_run() {
        return;
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = folder("yagura-shown-");
    let output = demo(place.path()).arg("--once").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let row = |parts: &[&str]| {
        assert!(said.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?} in {said}");
    };
    row(&["platform", "on the host", "Sensitive file read (Warning), told after"]);
    row(&["shop", "ls /bin", "nobody is told"]);
    row(&["shop", "cat /etc/shadow", "Sensitive file read (Critical), told after"]);
    row(&["shop", "apk add", "Package manager in a container"]);
    row(&["research", "apk add", "nobody is told"]);
    row(&["research", "Image that does not belong on this node"]);
    row(&["Alertmanager has all 11"]);
    row(&["Yagura saw", "lost 0"]);
    until_nothing_is_left(place.path(), &said);
}

/// Runs the demo until it prints something.
fn until(place: &Path, what: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = demo(place).spawn().expect("it runs");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert_ne!(output.read_line(&mut line).expect("text"), 0, "it ended before {what}");
    }
    (child, output)
}

#[test]
fn it_leaves_nothing_when_it_is_interrupted() {
    if !kernel_tests_run() {
        return;
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (signal, when) in [
        (libc::SIGINT, "starting VictoriaMetrics"),
        (libc::SIGTERM, "starting a pod"),
        (libc::SIGHUP, "cat /etc/shadow"),
        // Then nobody waits for the rest, which ends all the same.
        (libc::SIGKILL, "Again in"),
    ] {
        let place = folder("yagura-interrupted-");
        let (mut child, output) = until(place.path(), when);
        let pid = i32::try_from(child.id()).expect("a pid");
        // SAFETY: kill(2) touches no memory; the pid is that of our child, which is not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        // Its pipe is read to the end: what still prints must not be ended by that.
        output.lines().for_each(|line| drop(line.expect("text")));
        let status = child.wait().expect("a status");
        assert_eq!(status.success(), signal != libc::SIGKILL, "{when}: {status}");
        until_nothing_is_left(place.path(), when);
    }
}
