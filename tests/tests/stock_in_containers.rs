//! Falco's rules about containers, in a container of a real containerd: they fire there, and not on the host.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    process::{Command, Stdio},
};

use end_to_end::{
    containerd::{Container, Containerd, IMAGE, Pod},
    daemon::{Daemon, Options},
    kernel_tests_run, repository,
};

/// Each a command line for a shell, and the rule that must fire. `PORT` is one that listens.
const ROWS: &[(&str, &str)] = &[
    (
        "/bin/busybox ln -s /bin/busybox $DIR/dpkg; $DIR/dpkg --version",
        "Launch Package Management Process in Container",
    ),
    ("/bin/busybox cp /bin/busybox $DIR/dropped; $DIR/dropped", "Drop and execute new binary in container"),
    ("echo x >$DIR/release_agent", "Detect release_agent File Container Escapes"),
    ("/bin/busybox arping -c 1 -w 1 -I lo 127.0.0.1", "Packet socket created in container"),
    (
        "/bin/busybox ln -s /bin/busybox $DIR/nc; $DIR/nc 127.0.0.1 PORT -e /bin/true",
        "Netcat Remote Code Execution in Container",
    ),
    ("$DIR/nc 127.0.0.1 PORT -e /bin/true", "Redirect STDOUT/STDIN to Network Connection in Container"),
];
const TERMINAL: &str = "Terminal shell in container";
#[test]
fn stock_rules_about_containers_fire_in_one_and_not_on_the_host() {
    if !kernel_tests_run() {
        return;
    }
    let server = Containerd::start();
    server.import(IMAGE, &[]);
    let mut args = Vec::new();
    for file in ["falco_rules", "falco-incubating_rules", "falco-sandbox_rules"] {
        let path = repository().join(format!("../shared/falco/rules/{file}.yaml"));
        args.extend(["--rules".to_owned(), path.to_str().expect("text").to_owned()]);
    }
    let config = format!("rule_matching: all\n{}", server.config());
    // The stock outputs leave it to a configuration to say where it was.
    let rules: BTreeSet<&str> = ROWS.iter().map(|(_, rule)| *rule).chain([TERMINAL]).collect();
    let where_it_was = "%container.id %container.name %container.image.repository %k8s.ns.name";
    let more: String = rules
        .iter()
        .map(|rule| format!("- rule: {rule}\n  output: ' {where_it_was}'\n  override: {{output: append}}\n"))
        .collect();
    let daemon = Daemon::start(&Options { rules: &more, config: &config, args, ..Options::default() });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let line = |command: &str, dir: &str| format!("DIR={dir}; {}; true", command.replace("PORT", &port));

    // On the host first.
    let host = tempfile::tempdir().expect("a folder");
    let dir = host.path().to_str().expect("text").to_owned();
    for (command, _) in ROWS {
        let mut shell = Command::new("/bin/busybox");
        shell.args(["sh", "-c", &line(command, &dir)]).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(shell.status().expect("it runs").success(), "{command}");
    }
    let terminal = ["with", "pty", "--", "spawn", "/bin/sh", "-c", ":"];
    let mut actor = Command::new(end_to_end::actor());
    assert!(actor.args(terminal).stdout(Stdio::null()).status().expect("it runs").success());

    let cri = server.cri();
    let pod = Pod { name: "p", namespace: "team", uid: "u", privileged: true, ..Pod::default() };
    let sandbox = cri.run_pod(&pod);
    let container = Container {
        name: "main",
        image: IMAGE,
        command: &["/bin/sleep", "1000"],
        privileged: true,
        ..Container::default()
    };
    let id = cri.run(&sandbox, &pod, &container);
    let shell = Container {
        name: "shell",
        image: IMAGE,
        command: &["/bin/sh", "-c", ":"],
        tty: true,
        ..Container::default()
    };
    cri.run(&sandbox, &pod, &shell);
    for (command, _) in ROWS {
        cri.exec(&id, &["/bin/sh", "-c", &line(command, "/tmp")]);
    }
    for rule in &rules {
        daemon.detection(|detection| detection["rule"] == *rule);
    }
    cri.remove_pod(&sandbox);
    let ended = daemon.stop();
    assert_eq!(ended.balance()["lost"], 0);
    for detection in ended.detections() {
        let rule = detection["rule"].as_str().expect("a name");
        let fields = &detection["output_fields"];
        if rules.contains(rule) {
            let name = if rule == TERMINAL { "shell" } else { "main" };
            assert_eq!(fields["container.name"], name, "{detection:#}");
            assert_eq!(fields["container.image.repository"], "docker.io/library/app", "{detection:#}");
            assert_eq!(fields["k8s.ns.name"], "team", "{detection:#}");
        }
    }
}
