//! Opens and connects by io_uring: the same events as those of the system calls.

use end_to_end::case::{Case, Fields};

/// `header.flags` of an event that came by io_uring.
const BY_URING: (&str, &str) = ("header.flags", "4");

const OPENED: Fields<'_> = &[
    BY_URING,
    ("evt.type", "openat"),
    ("evt.res", "SUCCESS"),
    ("evt.failed", "false"),
    ("evt.rawres", "{ret}"),
    ("evt.is_open_read", "true"),
    ("evt.arg.flags", "O_RDONLY"),
    ("fd.num", "{ret}"),
    ("fd.name", "{dir}/file"),
    ("fd.nameraw", "link"),
    ("fd.filename", "file"),
    ("fd.ino", "{ino}"),
    ("proc.name", "actor"),
    ("proc.pid", "{pid}"),
    ("thread.tid", "{tid}"),
    ("proc.cwd", "{dir}/"),
    ("header.syscall_nr", "-1"),
];

const CONNECTED: Fields<'_> = &[
    BY_URING,
    ("evt.res", "SUCCESS"),
    ("fd.num", "{fd}"),
    ("fd.type", "ipv4"),
    ("fd.l4proto", "tcp"),
    ("fd.sip", "127.0.0.1"),
    ("fd.sport", "{port}"),
    ("fd.cip", "127.0.0.1"),
    ("fd.rip", "127.0.0.1"),
    ("socket.remote_port", "{port}"),
];

pub const CASES: &[Case<'_>] = &[
    Case { does: "uring-open path=link", sees: &[("openat", OPENED)] },
    // No completion is posted.
    Case {
        does: "uring-open path=file skip",
        sees: &[(
            "openat",
            &[
                BY_URING,
                ("evt.rawres", "{ret}"),
                ("fd.num", "{ret}"),
                ("fd.name", "{dir}/file"),
                ("fd.ino", "{ino}"),
            ],
        )],
    },
    // By a worker of the ring, whose name is the kernel's.
    Case { does: "uring-open path=link async", sees: &[("openat", OPENED)] },
    // Submitted by a thread of the kernel's.
    Case { does: "uring-open path=link poll", sees: &[("openat", OPENED)] },
    // Nothing tells that it is done: it is taken to succeed, by the name alone.
    Case {
        does: "uring-open path=file poll skip",
        sees: &[(
            "openat",
            &[BY_URING, ("evt.res", "SUCCESS"), ("fd.name", "{dir}/file"), ("thread.tid", "{tid}")],
        )],
    },
    // The failure that comes later is reported too.
    Case {
        does: "uring-open path=missing fails poll skip",
        sees: &[("openat", &[BY_URING, ("evt.res", "ENOENT"), ("fd.nameraw", "missing")])],
    },
    // The completion queue is full.
    Case {
        does: "uring-overflow path=file",
        sees: &[("openat", &[BY_URING, ("fd.name", "{dir}/file"), ("fd.num", "{ret}")])],
    },
    // When the completion is posted the descriptor is another file's.
    Case {
        does: "uring-reopen path=file path2=sub/file",
        sees: &[
            ("openat", &[BY_URING, ("fd.name", "{dir}/file"), ("fd.num", "{ret}"), ("fd.nameraw", "file")]),
            ("openat2", &[BY_URING, ("fd.name", "{dir}/sub/file"), ("fd.num", "{ret}")]),
        ],
    },
    Case {
        does: "uring-reopen path=file path2=sub/file skip",
        sees: &[
            ("openat", &[BY_URING, ("fd.name", "{dir}/file"), ("fd.nameraw", "file")]),
            ("openat2", &[BY_URING, ("fd.name", "{dir}/sub/file")]),
        ],
    },
    // Into the ring's own table: there is no descriptor to look at, so the name is what was asked for.
    Case {
        does: "uring-open path=file direct",
        sees: &[(
            "openat",
            &[
                BY_URING,
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "0"),
                ("fd.name", "{dir}/file"),
                ("fd.nameraw", "file"),
            ],
        )],
    },
    Case {
        does: "uring-open path=file dirfd={dir}/sub flags=O_RDWR",
        sees: &[(
            "openat",
            &[
                BY_URING,
                ("fd.name", "{dir}/sub/file"),
                ("evt.is_open_write", "true"),
                ("evt.arg.flags", "O_RDWR"),
            ],
        )],
    },
    Case {
        does: "uring-open path={dir}/new flags=O_CREAT|O_WRONLY mode=0640",
        sees: &[(
            "openat",
            &[
                BY_URING,
                ("fd.name", "{dir}/new"),
                ("evt.is_open_create", "true"),
                ("evt.arg.flags", "~O_CREAT"),
            ],
        )],
    },
    Case {
        does: "uring-open path=missing",
        sees: &[(
            "openat",
            &[BY_URING, ("evt.res", "ENOENT"), ("evt.failed", "true"), ("fd.name", "{dir}/missing")],
        )],
    },
    // A failure posts a completion, whatever was wanted.
    Case {
        does: "uring-open path=missing async",
        sees: &[("openat", &[BY_URING, ("evt.res", "ENOENT"), ("fd.name", "{dir}/missing")])],
    },
    Case {
        does: "uring-open path=link how resolve=0 flags=O_WRONLY",
        sees: &[(
            "openat2",
            &[
                BY_URING,
                ("evt.type", "openat2"),
                ("evt.res", "SUCCESS"),
                ("fd.name", "{dir}/file"),
                ("evt.is_open_write", "true"),
                ("how.resolve", "0"),
            ],
        )],
    },
    Case {
        does: "uring-open path=link how resolve=4",
        sees: &[("openat2", &[BY_URING, ("evt.res", "ELOOP"), ("how.resolve", "4")])],
    },
    Case { does: "uring-connect", sees: &[("connect", CONNECTED)] },
    Case { does: "uring-connect async", sees: &[("connect", CONNECTED)] },
    // No completion is posted: it is taken to succeed.
    Case {
        does: "uring-connect skip",
        sees: &[(
            "connect",
            &[BY_URING, ("evt.res", "SUCCESS"), ("fd.sport", "{port}"), ("fd.sip", "127.0.0.1")],
        )],
    },
    Case {
        does: "uring-connect refused",
        sees: &[(
            "connect",
            &[
                BY_URING,
                ("evt.res", "ECONNREFUSED"),
                ("fd.num", "{fd}"),
                ("fd.sport", "{port}"),
                ("fd.sip", "127.0.0.1"),
            ],
        )],
    },
];

/// What a worker did and no completion tells: seen when the thread runs what the worker left to it. On older kernels
/// (6.1) a worker leaves nothing.
pub const BY_WORKERS: &[Case<'_>] = &[
    Case { does: "uring-open path=link async skip", sees: &[("openat", OPENED)] },
    Case {
        does: "uring-overflow path=link",
        sees: &[("openat", &[BY_URING, ("fd.name", "{dir}/file"), ("fd.num", "{ret}")])],
    },
];
