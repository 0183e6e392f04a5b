//! Credentials, namespaces, mounts, modules, tracing, signals, anonymous files.

use end_to_end::case::Case;

/// 4194305 is above every process id (`PID_MAX_LIMIT`).
pub const CASES: &[Case<'_>] = &[
    Case {
        does: "ptrace request=PTRACE_ATTACH pid=4194305",
        sees: &[(
            "ptrace",
            &[
                ("evt.res", "ESRCH"),
                ("evt.rawres", "-3"),
                ("evt.arg.request", "PTRACE_ATTACH"),
                ("evt.arg.pid", "4194305"),
            ],
        )],
    },
    Case {
        does: "ptrace-child request=PTRACE_SEIZE",
        sees: &[(
            "ptrace",
            &[("evt.res", "SUCCESS"), ("evt.arg.request", "PTRACE_SEIZE"), ("evt.arg.pid", "{target}")],
        )],
    },
    Case {
        does: "ptrace request=PTRACE_TRACEME",
        sees: &[("ptrace", &[("evt.res", "SUCCESS"), ("evt.arg.request", "PTRACE_TRACEME")])],
    },
    Case {
        does: "setuid uid=65534",
        sees: &[("setuid", &[("evt.res", "SUCCESS"), ("evt.arg.uid", "nobody"), ("header.euid", "65534")])],
    },
    Case {
        does: "with uid=65534 -- setuid uid=0",
        sees: &[(
            "setuid",
            &[("evt.res", "EPERM"), ("evt.rawres", "-1"), ("header.uid", "65534"), ("user.name", "nobody")],
        )],
    },
    Case {
        does: "setns path=/proc/self/ns/uts type=CLONE_NEWUTS",
        sees: &[(
            "setns",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.nstype", "~CLONE_NEWUTS"),
                ("fd.num", "{fd}"),
                ("fd.name", "~uts:["),
            ],
        )],
    },
    Case {
        does: "setns path=/proc/self/ns/uts type=CLONE_NEWNET",
        sees: &[("setns", &[("evt.res", "EINVAL"), ("evt.arg.nstype", "~CLONE_NEWNET")])],
    },
    Case { does: "setns fd=999", sees: &[("setns", &[("evt.res", "EBADF")])] },
    Case {
        does: "unshare flags=CLONE_NEWUTS|CLONE_NEWNS",
        sees: &[(
            "unshare",
            &[("evt.res", "SUCCESS"), ("evt.arg.flags", "~CLONE_NEWUTS"), ("evt.arg.flags", "~CLONE_NEWNS")],
        )],
    },
    Case { does: "unshare flags=0x1", sees: &[("unshare", &[("evt.res", "EINVAL"), ("evt.rawres", "-22")])] },
    // The kernel never enters the system call's function.
    Case {
        does: "with refuse=SYS_unshare -- unshare flags=CLONE_NEWUTS",
        sees: &[("unshare", &[("evt.res", "EPERM"), ("evt.arg.flags", "~CLONE_NEWUTS")])],
    },
    Case {
        does: "with refuse=SYS_mkdir -- mkdir path=refused mode=0700",
        sees: &[("mkdir", &[("evt.res", "EPERM"), ("evt.arg.path", "{dir}/refused")])],
    },
    Case {
        does: "mount source=thing target=empty type=tmpfs flags=MS_NOSUID|MS_NODEV data=size=64k",
        sees: &[(
            "mount",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.dev", "thing"),
                ("evt.arg.dir", "{dir}/empty"),
                ("evt.arg.type", "tmpfs"),
                ("evt.arg.flags", "~NOSUID"),
                ("evt.arg.flags", "~NODEV"),
                ("fs.path.target", "{dir}/empty"),
            ],
        )],
    },
    Case {
        does: "mount source=/dev/null target={dir}/empty type=no-such-type",
        sees: &[(
            "mount",
            &[("evt.res", "ENODEV"), ("evt.arg.type", "no-such-type"), ("evt.arg.dev", "/dev/null")],
        )],
    },
    Case {
        does: "umount2 target=empty flags=MNT_DETACH",
        sees: &[(
            "umount2",
            &[("evt.res", "SUCCESS"), ("evt.arg.name", "{dir}/empty"), ("evt.arg.flags", "~DETACH")],
        )],
    },
    Case {
        does: "umount2 bare target={dir}/empty",
        sees: &[("umount2", &[("evt.res", "EINVAL"), ("evt.arg.name", "{dir}/empty")])],
    },
    Case {
        does: "init_module params=debug=1",
        sees: &[(
            "init_module",
            &[
                ("evt.failed", "true"),
                ("evt.rawres", "{ret}"),
                ("evt.arg.uargs", "debug=1"),
                ("evt.arg.length", "34"),
            ],
        )],
    },
    Case {
        does: "finit_module path=link params=debug=2",
        sees: &[(
            "finit_module",
            &[
                ("evt.failed", "true"),
                ("evt.rawres", "{ret}"),
                ("evt.arg.uargs", "debug=2"),
                ("fd.name", "{dir}/file"),
                ("fd.num", "{fd}"),
            ],
        )],
    },
    Case {
        does: "memfd_create name=hidden flags=MFD_CLOEXEC|MFD_ALLOW_SEALING",
        sees: &[(
            "memfd_create",
            &[
                ("evt.res", "SUCCESS"),
                ("fd.num", "{ret}"),
                ("evt.arg.name", "hidden"),
                ("evt.arg.flags", "~MFD_CLOEXEC"),
                ("evt.arg.flags", "~MFD_ALLOW_SEALING"),
                ("fd.name", "~hidden"),
            ],
        )],
    },
    Case {
        does: "memfd_create name=odd\\xff flags=0x8000000",
        sees: &[("memfd_create", &[("evt.res", "EINVAL"), ("evt.arg.name", "odd\\xff"), ("fd.num", "-1")])],
    },
    Case {
        does: "bpf cmd=0",
        sees: &[("bpf", &[("evt.res", "SUCCESS"), ("evt.arg.cmd", "BPF_MAP_CREATE"), ("fd.num", "{ret}")])],
    },
    Case { does: "bpf cmd=99", sees: &[("bpf", &[("evt.res", "EINVAL"), ("evt.rawres", "{ret}")])] },
    Case {
        does: "userfaultfd flags=O_CLOEXEC",
        sees: &[(
            "userfaultfd",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "{ret}"),
                ("fd.num", "{ret}"),
                ("evt.arg.flags", "~O_CLOEXEC"),
            ],
        )],
    },
    Case {
        does: "io_uring_setup entries=4",
        sees: &[(
            "io_uring_setup",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "{ret}"),
                ("fd.num", "{ret}"),
                ("fd.type", "io_uring"),
                ("evt.arg.entries", "4"),
            ],
        )],
    },
    Case {
        does: "io_uring_setup entries=0",
        sees: &[("io_uring_setup", &[("evt.res", "EINVAL"), ("evt.arg.entries", "0"), ("fd.num", "-1")])],
    },
    Case { does: "userfaultfd flags=0x2", sees: &[("userfaultfd", &[("evt.res", "EINVAL")])] },
    Case {
        does: "kill signal=SIGTERM",
        sees: &[
            ("kill", &[("evt.res", "SUCCESS"), ("evt.arg.sig", "SIGTERM"), ("evt.arg.pid", "{target}")]),
            ("procexit@target", &[("evt.arg.sig", "SIGTERM")]),
        ],
    },
    Case { does: "kill signal=0", sees: &[("kill", &[("evt.res", "SUCCESS"), ("evt.arg.pid", "{target}")])] },
    Case {
        does: "kill signal=SIGTERM pid=4194305",
        sees: &[("kill", &[("evt.res", "ESRCH"), ("evt.arg.pid", "4194305"), ("evt.arg.sig", "SIGTERM")])],
    },
    Case {
        does: "prctl option=PR_SET_NAME name=renamed",
        sees: &[(
            "prctl",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.option", "PR_SET_NAME"),
                ("evt.arg.arg2_str", "renamed"),
                ("proc.name", "renamed"),
            ],
        )],
    },
    Case {
        does: "prctl option=PR_SET_DUMPABLE arg2=0",
        sees: &[(
            "prctl",
            &[("evt.res", "SUCCESS"), ("evt.arg.option", "PR_SET_DUMPABLE"), ("evt.arg.arg2_int", "0")],
        )],
    },
    Case { does: "prctl option=123456", sees: &[("prctl", &[("evt.res", "EINVAL")])] },
    Case {
        does: "capset effective=0x2 permitted=0x200002 inheritable=0x2",
        sees: &[(
            "capset",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.cap_effective", "CAP_DAC_OVERRIDE"),
                ("evt.arg.cap_permitted", "~CAP_SYS_ADMIN"),
                ("evt.arg.cap_inheritable", "CAP_DAC_OVERRIDE"),
                ("caps.effective", "2"),
                ("caps.permitted", "2097154"),
                ("caps.inheritable", "2"),
            ],
        )],
    },
    Case { does: "capset version=1", sees: &[("capset", &[("evt.res", "EINVAL"), ("evt.failed", "true")])] },
];
