//! The same workload with and without filtering in the kernel: the same detections.

use std::{collections::BTreeMap, fs, net::TcpListener, path::Path, process::Command};

use end_to_end::{
    cgroups::ContainerGroup,
    daemon::{Daemon, Options},
    scratch::Scratch,
};

/// Rules about facts that the kernel checks and such that it does not, for a folder of the test's own.
fn rules(folder: &Path) -> String {
    let folder = folder.display();
    let rule = |name: &str, condition: &str| {
        format!(
            "- rule: {name}\n  desc: d\n  priority: INFO\n  output: \"%fd.name\"\n  condition: >-\n    {condition}\n"
        )
    };
    [
        rule("exact", &format!("evt.type in (open, openat, openat2) and fd.name = {folder}/secret")),
        rule("below", &format!("evt.type in (open, openat) and fd.name startswith {folder}/deep/ and evt.is_open_read = true")),
        rule("part", &format!("evt.type in (open, openat) and fd.name startswith {folder}/dee and evt.is_open_write = true")),
        rule("folder", &format!("evt.type in (open, openat) and fd.directory = {folder}/deep/er and evt.is_open_write = true")),
        rule("end", &format!("evt.type in (open, openat) and fd.name endswith .push_down_pem and fd.name startswith {folder}")),
        rule("suffix", "evt.type in (open, openat) and fd.name endswith /push_down/.token"),
        rule("component", "evt.type in (open, openat) and fd.name contains /.push_down_aws/"),
        rule("file name", "evt.type in (open, openat) and fd.filename in (push_down_name_a, push_down_name_b)"),
        rule("truncated", &format!("evt.type in (open, openat) and evt.arg.flags contains O_TRUNC and fd.name startswith {folder}/log")),
        rule("dots", &format!("evt.type in (open, openat) and fd.nameraw contains ../ and fd.name startswith {folder}")),
        rule("failed", &format!("evt.type in (open, openat) and evt.res = ENOENT and fd.name startswith {folder}/missing")),
        rule("contained", &format!("evt.type in (open, openat) and container.id != host and fd.name startswith {folder}")),
        rule("by name", &format!("evt.type in (open, openat) and proc.name = head and fd.name startswith {folder}")),
        rule("long", &format!("evt.type in (open, openat) and fd.name startswith {folder}/a-component-of-more-than-forty-bytes-which-the-kernel-keeps-elsewhere/")),
        rule("local port", "evt.type = connect and fd.sip = \"127.0.0.1\" and proc.name = bash and fd.sport != 0"),
    ]
    .concat()
}

/// What is done, in a shell, and in one that is in a container.
fn script(folder: &Path, port: u16) -> String {
    let long = "a-component-of-more-than-forty-bytes-which-the-kernel-keeps-elsewhere";
    format!(
        "cd {folder}; mkdir -p deep/er/push_down {long} .push_down_aws; : >secret; cat secret; echo x >deep/er/a; cat deep/er/a; \
         echo x >k.push_down_pem; cat k.push_down_pem; echo x >deep/er/push_down/.token; cat deep/er/push_down/.token; \
         echo x >.push_down_aws/c; cat .push_down_aws/c; echo x >push_down_name_a; cat push_down_name_a; \
         : >log; cat deep/../secret; cat missing 2>/dev/null; head -c1 secret; echo x >{long}/f; cat {long}/f; \
         exec 3<>/dev/tcp/127.0.0.1/{port}; exec 3>&-; true",
        folder = folder.display()
    )
}

/// Detections by rule and what was opened, how often, of one run.
fn run(push_down: bool) -> (BTreeMap<String, usize>, f64) {
    let folder = Scratch::new();
    let config = format!("rule_matching: all\nkernel:\n  ring_size: 64MiB\n  push_down: {push_down}\n");
    let text = rules(folder.path());
    let daemon = Daemon::start(&Options { rules: &text, config: &config, ..Options::default() });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let script = script(folder.path(), port);
    let bash = |script: &str| {
        let status = Command::new("bash").args(["-c", script]).stdout(std::process::Stdio::null()).status();
        assert!(status.expect("bash runs").success());
    };
    bash(&script);
    // By io_uring: the same events, so the same filter.
    for words in [
        ["uring-open", "path=secret", "flags=O_RDONLY"],
        ["uring-open", "path=deep/er/a", "flags=O_WRONLY"],
        ["uring-open", "path=missing", "flags=O_RDONLY"],
        ["uring-open", "path=deep/../log", "flags=O_WRONLY|O_TRUNC"],
        ["uring-open", "path=/etc/passwd", "flags=O_RDONLY"],
    ] {
        let status = Command::new(end_to_end::actor())
            .args(words)
            .current_dir(folder.path())
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.expect("the actor runs").success());
    }
    let group = ContainerGroup::new().expect("a cgroup that looks like a container's");
    let procs = group.path().join("cgroup.procs");
    bash(&format!("echo $$ >{}; exec bash -c '{script}'", procs.display()));
    // Nothing that follows is counted: the last open of the workload has been seen when this one has.
    let last = folder.path().join("missing-last");
    let _expected = fs::File::open(&last).expect_err("it is not there");
    daemon.detection(|detection| {
        detection["output"].as_str().is_some_and(|text| text.ends_with("/missing-last"))
    });
    let ended = daemon.stop();
    let filtered = ended.balance()["filtered"].as_f64().expect("a number");
    let prefix = folder.path().display().to_string();
    let mut counts = BTreeMap::new();
    for detection in ended.detections() {
        let text = detection["output_fields"]["fd.name"].as_str().unwrap_or_default().to_owned();
        let port = format!(":{port}");
        // A client's port is another each time.
        let text =
            if text.ends_with(&port) { "connection".to_owned() } else { text.replace(&prefix, "FOLDER") };
        *counts.entry(format!("{}: {text}", detection["rule"].as_str().unwrap_or_default())).or_default() +=
            1;
    }
    (counts, filtered)
}

#[test]
fn filtering_changes_no_detection() {
    if !end_to_end::kernel_tests_run() {
        return;
    }
    let (with, filtered) = run(true);
    let (without, unfiltered) = run(false);
    assert_eq!(with, without);
    assert!(
        filtered > 0.0 && unfiltered == 0.0,
        "{filtered} and {unfiltered} events were dropped in the kernel"
    );
    // Each rule has fired, or the comparison shows little.
    for rule in [
        "exact",
        "below",
        "part",
        "folder",
        "end",
        "suffix",
        "component",
        "file name",
        "truncated",
        "dots",
        "failed",
        "contained",
        "by name",
        "long",
        "local port",
    ] {
        assert!(
            with.keys().any(|key| key.starts_with(&format!("{rule}: "))),
            "{rule} did not fire: {with:#?}"
        );
    }
}
