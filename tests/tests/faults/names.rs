//! A receiver whose name nobody knows.

use std::fs;

use end_to_end::{
    daemon::{Daemon, Options},
    kernel_tests_run,
    receiver::{Act, Receiver, free_address},
};

use super::{config, of, open, opened_rule, until_sent};

#[test]
fn a_name_that_is_gone_is_asked_for_until_it_is_back() {
    if !kernel_tests_run() {
        return;
    }
    let address = free_address();
    let receiver = Receiver::start(address, |_| Act::Answer(200));
    let folder = tempfile::tempdir().expect("a folder");
    // The daemon's own view of names: files alone, and no name server anywhere.
    let (hosts, servers) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
    fs::write(&hosts, "127.0.0.1 localhost\n").expect("a file");
    fs::write(&servers, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").expect("a file");
    let script = format!(
        "mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && exec \"$@\"",
        hosts.display(),
        servers.display()
    );
    let wrapper = ["unshare", "--mount", "/bin/sh", "-c", &script, "sh"];
    let config = config(&format!("receiver.yagura.test:{}", address.port()), ", timeout: 60s");
    let options =
        Options { rules: &opened_rule("names"), config: &config, wrapper: &wrapper, ..Options::default() };
    let daemon = Daemon::start(&options);
    open("names", 0..20);
    let failed = "yagura_sink_failed_total{sink=\"hook\",tenant=\"platform\",reason=\"connect\"}";
    daemon.until("it is tried, and all wait", |daemon| {
        daemon.metric(failed) >= 5.0 && (of(daemon, "unsent"), of(daemon, "up")) == (20.0, 0.0)
    });
    // Written to in place: what is mounted is this file.
    fs::write(&hosts, "127.0.0.1 localhost receiver.yagura.test\n").expect("a file");
    until_sent(&daemon, 20.0);
    assert_eq!(of(&daemon, "up"), 1.0);
    assert_eq!(receiver.taken(), daemon.stop().detections());
}
