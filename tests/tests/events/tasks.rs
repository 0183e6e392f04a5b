//! What every event carries of the task: ids in both namespaces, credentials, namespaces, terminal, leaders,
//! control group. Each row changes one circumstance and compares with what /proc says inside it.

use end_to_end::case::{Case, Fields};

/// Facts as the actor's `facts` prints them.
const FACTS: Fields<'_> = &[
    ("header.pid", "{pid}"),
    ("header.tid", "{tid}"),
    ("header.vpid", "{vpid}"),
    ("header.vtid", "{vtid}"),
    ("header.ppid", "{ppid}"),
    ("header.pgid", "{pgid}"),
    ("header.sid", "{sid}"),
    ("header.vpgid", "{vpgid}"),
    ("header.vsid", "{vsid}"),
    ("header.uid", "{uid}"),
    ("header.euid", "{euid}"),
    ("header.suid", "{suid}"),
    ("header.fsuid", "{fsuid}"),
    ("header.gid", "{gid}"),
    ("header.egid", "{egid}"),
    ("header.loginuid", "{loginuid}"),
    ("header.sessionid", "{sessionid}"),
    ("header.cap_effective", "{cap_effective}"),
    ("header.cap_permitted", "{cap_permitted}"),
    ("header.cap_inheritable", "{cap_inheritable}"),
    ("header.mnt_ns", "{mnt_ns}"),
    ("header.pid_ns", "{pid_ns}"),
    ("header.net_ns", "{net_ns}"),
    ("header.user_ns", "{user_ns}"),
    ("header.tty", "{tty}"),
    ("header.start_ns", "<={now_ns}"),
    ("proc.pid", "{pid}"),
    ("proc.vpid", "{vpid}"),
    ("proc.ppid", "{ppid}"),
    ("proc.sid", "{vsid}"),
    ("proc.vpgid", "{vpgid}"),
    ("proc.pgid", "{pgid}"),
    ("proc.tty", "{tty}"),
];

const ROOT: Fields<'_> = &[
    ("user.uid", "0"),
    ("user.name", "root"),
    ("group.gid", "0"),
    ("group.name", "root"),
    ("thread.cap_effective", "~CAP_SYS_ADMIN"),
    ("thread.cap_permitted", "~CAP_DAC_OVERRIDE"),
    ("container.id", "host"),
    ("evt.cpu", ">=0"),
];

pub const CASES: &[Case<'_>] = &[
    Case { does: "execve path={actor} -- actor facts", sees: &[("execve", FACTS), ("execve", ROOT)] },
    Case {
        does: "with session -- execve path={actor} -- actor facts",
        sees: &[
            ("execve", FACTS),
            ("execve", &[("proc.is_sid_leader", "true"), ("proc.is_pgid_leader", "true")]),
        ],
    },
    Case {
        does: "with session group -- execve path={actor} -- actor facts",
        sees: &[
            ("execve", FACTS),
            (
                "execve",
                &[
                    ("proc.is_sid_leader", "false"),
                    ("proc.is_pgid_leader", "true"),
                    ("proc.is_vpgid_leader", "true"),
                    ("proc.sname", "actor"),
                    ("proc.sid.exepath", "{actor}"),
                ],
            ),
        ],
    },
    Case {
        does: "with pty -- execve path={actor} -- actor facts",
        sees: &[("execve", FACTS), ("execve", &[("proc.tty", "!0")])],
    },
    Case {
        does: "with pidns -- execve path={actor} -- actor facts",
        sees: &[
            ("execve", FACTS),
            (
                "execve",
                &[
                    ("proc.vpid", "1"),
                    ("header.vpid", "1"),
                    ("proc.pid", "!1"),
                    ("header.pidns_init_start_ns", ">=1"),
                    ("header.pidns_init_start_ns", "<={now_ns}"),
                ],
            ),
        ],
    },
    Case {
        does: "with pidns session group pty -- execve path={actor} -- actor facts",
        sees: &[
            ("execve", FACTS),
            ("execve", &[("header.vpid", "2"), ("header.vsid", "1"), ("header.vpgid", "2")]),
        ],
    },
    Case {
        does: "with mntns netns userns utsns -- execve path={actor} -- actor facts",
        sees: &[(
            "execve",
            &[
                ("header.mnt_ns", "{mnt_ns}"),
                ("header.net_ns", "{net_ns}"),
                ("header.user_ns", "{user_ns}"),
                ("header.cap_effective", "{cap_effective}"),
                ("header.uid", "0"),
            ],
        )],
    },
    Case {
        does: "with gid=1 uid=1 -- execve path={actor} -- actor facts",
        sees: &[
            ("execve", FACTS),
            (
                "execve",
                &[
                    ("user.uid", "1"),
                    ("user.name", "daemon"),
                    ("group.gid", "1"),
                    ("group.name", "daemon"),
                    ("header.cap_effective", "0"),
                ],
            ),
        ],
    },
    Case {
        does: "with loginuid=1 -- execve path={actor} -- actor facts",
        sees: &[
            ("execve", FACTS),
            ("execve", &[("user.loginuid", "1"), ("user.loginname", "daemon"), ("user.uid", "0")]),
        ],
    },
    Case {
        does: "with cgroup={cgroup} -- execve path={actor} -- actor facts",
        sees: &[
            ("execve", FACTS),
            (
                "execve",
                &[
                    ("header.cgroup_id", "{cgroup_id}"),
                    ("container.id", "{container}"),
                    ("container.full_id", "{container_full}"),
                    ("thread.cgroups", "~{container_full}"),
                ],
            ),
        ],
    },
    // The same facts on an event that is no exec.
    Case {
        does: "with cgroup={cgroup} pidns pty gid=2 uid=2 -- execve path={actor} -- actor openat path=/etc/passwd",
        sees: &[(
            "openat",
            &[
                ("header.pid", "{pid}"),
                ("header.vpid", "1"),
                ("header.cgroup_id", "{cgroup_id}"),
                ("container.id", "{container}"),
                ("user.uid", "2"),
                ("user.name", "bin"),
                ("proc.tty", "!0"),
                ("proc.exepath", "{actor}"),
                ("proc.exe", "actor"),
                ("proc.cmdline", "actor openat path=/etc/passwd"),
                ("fd.name", "/etc/passwd"),
            ],
        )],
    },
    // A cgroup that the container made itself, and moved to without exec or fork: still the container.
    Case {
        does: "with cgroup={cgroup} -- execve path={actor} -- actor with newgroup={cgroup}/inner -- openat path=/etc/passwd",
        sees: &[(
            "openat",
            &[
                ("header.cgroup_id", "!{cgroup_id}"),
                ("container.id", "{container}"),
                ("fd.name", "/etc/passwd"),
            ],
        )],
    },
    // A fork into a cgroup: the child inherits.
    Case {
        does: "with cgroup={cgroup} -- fork",
        sees: &[
            ("fork", &[("child.cgroup_id", "{cgroup_id}")]),
            ("procexit@child", &[("header.cgroup_id", "{cgroup_id}"), ("container.id", "{container}")]),
        ],
    },
];
