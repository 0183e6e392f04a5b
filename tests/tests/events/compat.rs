//! 32-bit callers: the same event types, by the other system call table.

use end_to_end::case::Case;

pub const CASES: &[Case<'_>] = &[
    Case {
        does: "compat-open path=link",
        sees: &[(
            "open",
            &[
                ("evt.type", "open"),
                ("evt.res", "SUCCESS"),
                ("fd.num", "{ret}"),
                ("fd.name", "{dir}/file"),
                ("fd.nameraw", "link"),
                ("fd.ino", "{ino}"),
                ("header.flags", "1"),
                ("header.syscall_nr", "5"),
            ],
        )],
    },
    Case {
        does: "compat-open path=missing\\xff",
        sees: &[(
            "open",
            &[
                ("evt.res", "ENOENT"),
                ("evt.rawres", "-2"),
                ("fd.name", "{dir}/missing\\xff"),
                ("fd.num", "-1"),
            ],
        )],
    },
    Case {
        does: "compat-open path=new flags=O_WRONLY|O_CREAT mode=0600",
        sees: &[(
            "open",
            &[("evt.res", "SUCCESS"), ("evt.is_open_write", "true"), ("evt.is_open_create", "true")],
        )],
    },
    Case {
        does: "compat-creat path=created mode=0640",
        sees: &[(
            "creat",
            &[
                ("evt.res", "SUCCESS"),
                ("fd.name", "{dir}/created"),
                ("evt.arg.mode", "0640"),
                ("header.flags", "1"),
            ],
        )],
    },
    Case {
        does: "compat-openat path=file dirfd={dir}/sub",
        sees: &[(
            "openat",
            &[("evt.res", "SUCCESS"), ("fd.name", "{dir}/sub/file"), ("header.syscall_nr", "295")],
        )],
    },
    // AT_FDCWD is -100 in 32 bits.
    Case {
        does: "compat-openat path=missing",
        sees: &[(
            "openat",
            &[("evt.res", "ENOENT"), ("fd.name", "{dir}/missing"), ("evt.arg.dirfd", "AT_FDCWD")],
        )],
    },
    Case {
        does: "compat-execve path={actor} -- zero facts two\\xff",
        sees: &[(
            "execve",
            &[
                ("evt.type", "execve"),
                ("evt.res", "SUCCESS"),
                ("proc.exe", "zero"),
                ("proc.args", "facts two\\xff"),
                ("proc.exepath", "{actor}"),
                ("proc.env", "COMPAT=yes"),
                ("proc.pid", "{pid}"),
            ],
        )],
    },
    // That the caller was a 32-bit one is known only as long as no 64-bit image has replaced it: on failure.
    Case {
        does: "compat-execve path=missing -- x",
        sees: &[(
            "execve",
            &[
                ("evt.res", "ENOENT"),
                ("evt.arg.filename", "missing"),
                ("proc.name", "actor"),
                ("header.flags", "1"),
            ],
        )],
    },
    Case {
        does: "compat-socketcall",
        sees: &[
            (
                "socket",
                &[
                    ("evt.res", "SUCCESS"),
                    ("evt.arg.domain", "AF_INET"),
                    ("fd.num", "{client}"),
                    ("header.flags", "1"),
                ],
            ),
            ("bind", &[("evt.res", "SUCCESS"), ("fd.num", "{server}"), ("fd.sport", "{server_port}")]),
            ("listen", &[("evt.res", "SUCCESS"), ("fd.num", "{server}"), ("evt.arg.backlog", "8")]),
            (
                "connect",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{client}"),
                    ("fd.name", "127.0.0.1:{client_port}->127.0.0.1:{server_port}"),
                ],
            ),
            (
                "accept4",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{accepted}"),
                    ("fd.rport", "{client_port}"),
                    ("fd.is_server", "true"),
                ],
            ),
        ],
    },
    Case {
        does: "compat-sockets",
        sees: &[
            (
                "socket",
                &[("evt.res", "SUCCESS"), ("evt.arg.domain", "AF_INET"), ("header.syscall_nr", "359")],
            ),
            ("bind", &[("evt.res", "SUCCESS"), ("fd.num", "{server}"), ("fd.sport", "{server_port}")]),
            (
                "connect",
                &[("evt.res", "SUCCESS"), ("fd.name", "127.0.0.1:{client_port}->127.0.0.1:{server_port}")],
            ),
            (
                "accept4",
                &[("evt.res", "SUCCESS"), ("fd.lport", "{server_port}"), ("fd.rport", "{client_port}")],
            ),
        ],
    },
    Case {
        does: "compat-unlink path=file",
        sees: &[("unlink", &[("evt.res", "SUCCESS"), ("fs.path.name", "{dir}/file"), ("header.flags", "1")])],
    },
    Case { does: "compat-dup2 fd=999", sees: &[("dup2", &[("evt.res", "EBADF")])] },
    Case {
        does: "compat-dup2 fd=0 new=98",
        sees: &[("dup2", &[("evt.res", "SUCCESS"), ("evt.rawres", "98"), ("fd.name", "/dev/null")])],
    },
    Case {
        does: "compat-setuid uid=65534",
        sees: &[("setuid", &[("evt.res", "SUCCESS"), ("header.uid", "65534"), ("header.syscall_nr", "213")])],
    },
];
