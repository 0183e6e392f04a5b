//! open and its relatives.

use end_to_end::case::Case;

pub const CASES: &[Case<'_>] = &[
    Case {
        does: "open path={dir}/file",
        sees: &[(
            "open",
            &[
                ("evt.type", "open"),
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "{ret}"),
                ("evt.failed", "false"),
                ("evt.is_open_read", "true"),
                ("evt.is_open_write", "false"),
                ("evt.is_open_create", "false"),
                ("evt.arg.flags", "O_RDONLY"),
                ("evt.arg.name", "{dir}/file"),
                ("fd.num", "{ret}"),
                ("fd.name", "{dir}/file"),
                ("fd.nameraw", "{dir}/file"),
                ("fd.directory", "{dir}"),
                ("fd.filename", "file"),
                ("fd.type", "file"),
                ("fd.typechar", "f"),
                ("fd.ino", "{ino}"),
                ("fd.dev.major", "{major}"),
                ("fd.dev.minor", "{minor}"),
                ("proc.pid", "{pid}"),
                ("thread.tid", "{tid}"),
                ("thread.ismain", "true"),
                ("proc.name", "actor"),
                ("proc.cwd", "{dir}/"),
                ("header.flags", "0"),
                ("file.ctime_ns", "{ctime_ns}"),
                ("file.mtime_ns", "{mtime_ns}"),
                ("file.mode", "{mode}"),
                ("file.fd", "{ret}"),
            ],
        )],
    },
    Case {
        does: "open path=file",
        sees: &[("open", &[("fd.name", "{dir}/file"), ("fd.nameraw", "file"), ("evt.res", "SUCCESS")])],
    },
    Case {
        does: "open path=./sub/../dirlink/./file",
        sees: &[("open", &[("fd.name", "{dir}/sub/file"), ("fd.nameraw", "./sub/../dirlink/./file")])],
    },
    Case {
        does: "open path=link",
        sees: &[(
            "open",
            &[
                ("fd.name", "{dir}/file"),
                ("fd.nameraw", "link"),
                ("fd.filename", "file"),
                ("fd.ino", "{ino}"),
            ],
        )],
    },
    Case {
        does: "open path=name\\xff",
        sees: &[(
            "open",
            &[
                ("fd.name", "{dir}/name\\xff"),
                ("fd.nameraw", "name\\xff"),
                ("fd.filename", "name\\xff"),
                ("evt.res", "SUCCESS"),
            ],
        )],
    },
    Case {
        does: "open path=missing",
        sees: &[(
            "open",
            &[
                ("evt.res", "ENOENT"),
                ("evt.rawres", "-2"),
                ("evt.failed", "true"),
                ("fd.num", "-1"),
                ("fd.name", "{dir}/missing"),
                ("fd.nameraw", "missing"),
                ("fd.typechar", "f"),
            ],
        )],
    },
    Case {
        does: "open path=../no/such/path",
        sees: &[("open", &[("evt.res", "ENOENT"), ("fd.name", "/var/tmp/no/such/path")])],
    },
    Case {
        does: "open path=dangling",
        sees: &[("open", &[("evt.res", "ENOENT"), ("fd.name", "{dir}/dangling")])],
    },
    Case {
        does: "open path=gone\\xfe",
        sees: &[(
            "open",
            &[("evt.res", "ENOENT"), ("fd.name", "{dir}/gone\\xfe"), ("fd.nameraw", "gone\\xfe")],
        )],
    },
    Case {
        does: "with uid=65534 -- open path=/etc/shadow",
        sees: &[(
            "open",
            &[
                ("evt.res", "EACCES"),
                ("evt.rawres", "-13"),
                ("fd.name", "/etc/shadow"),
                ("fd.num", "-1"),
                ("user.uid", "65534"),
                ("user.name", "nobody"),
            ],
        )],
    },
    Case {
        does: "open path=new flags=O_WRONLY|O_CREAT|O_TRUNC mode=0755",
        sees: &[(
            "open",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.is_open_read", "false"),
                ("evt.is_open_write", "true"),
                ("evt.is_open_create", "true"),
                ("evt.is_open_exec", "true"),
                ("evt.arg.flags", "~O_CREAT"),
                ("evt.arg.flags", "~O_TRUNC"),
                ("evt.arg.flags", "~O_WRONLY"),
                ("evt.arg.mode", "0755"),
                ("fd.name", "{dir}/new"),
            ],
        )],
    },
    Case {
        does: "open path=file flags=O_RDWR|O_CREAT|O_APPEND|O_CLOEXEC mode=0600",
        sees: &[(
            "open",
            &[
                ("evt.is_open_read", "true"),
                ("evt.is_open_write", "true"),
                ("evt.is_open_create", "false"),
                ("evt.arg.flags", "~O_RDWR"),
                ("evt.arg.flags", "~O_APPEND"),
                ("evt.arg.flags", "~O_CLOEXEC"),
            ],
        )],
    },
    Case {
        does: "open path=sub flags=O_DIRECTORY",
        sees: &[(
            "open",
            &[
                ("fd.name", "{dir}/sub"),
                ("fd.type", "directory"),
                ("fd.typechar", "d"),
                ("evt.arg.flags", "~O_DIRECTORY"),
            ],
        )],
    },
    // Paths are those that the process itself sees.
    Case {
        does: "with chroot={dir}/sub -- open path=/file",
        sees: &[(
            "open",
            &[("evt.res", "SUCCESS"), ("fd.name", "/file"), ("fd.ino", "{ino}"), ("proc.cwd", "/")],
        )],
    },
    Case {
        does: "with chroot={dir}/sub -- open path=../file",
        sees: &[("open", &[("evt.res", "SUCCESS"), ("fd.name", "/file"), ("fd.nameraw", "../file")])],
    },
    // A file without a name.
    Case {
        does: "open path={dir}/sub flags=O_TMPFILE|O_RDWR mode=0600",
        sees: &[(
            "open",
            &[
                ("evt.res", "SUCCESS"),
                ("fd.name", "~{dir}/sub/#"),
                ("evt.is_open_write", "true"),
                ("fd.ino", "{ino}"),
            ],
        )],
    },
    Case {
        does: "open path=link flags=O_PATH|O_NOFOLLOW",
        sees: &[(
            "open",
            &[("evt.res", "SUCCESS"), ("fd.name", "{dir}/link"), ("evt.is_open_write", "false")],
        )],
    },
    // A pointer to nowhere: no path, and the record says why.
    Case {
        does: "open-nowhere",
        sees: &[(
            "open",
            &[("evt.res", "EFAULT"), ("fd.num", "-1"), ("fd.nameraw", "(absent)"), ("header.flags", "2")],
        )],
    },
    Case {
        does: "openat path=file dirfd={dir}/sub",
        sees: &[(
            "openat",
            &[
                ("evt.type", "openat"),
                ("evt.res", "SUCCESS"),
                ("fd.name", "{dir}/sub/file"),
                ("fd.nameraw", "file"),
                ("fd.directory", "{dir}/sub"),
                ("fd.ino", "{ino}"),
                ("evt.arg.dirfd", "~{dir}/sub"),
                ("section.Dir", "{dir}/sub"),
            ],
        )],
    },
    Case {
        does: "openat path=../link dirfd={dir}/dirlink",
        sees: &[(
            "openat",
            &[("fd.name", "{dir}/file"), ("fd.nameraw", "../link"), ("section.Dir", "{dir}/sub")],
        )],
    },
    Case {
        does: "openat path=missing dirfd={dir}/sub",
        sees: &[("openat", &[("evt.res", "ENOENT"), ("fd.name", "{dir}/sub/missing"), ("fd.num", "-1")])],
    },
    Case {
        does: "openat path={dir}/file dirfd={dir}/sub",
        sees: &[("openat", &[("fd.name", "{dir}/file"), ("fd.nameraw", "{dir}/file")])],
    },
    Case {
        does: "openat path=name\\xff flags=O_WRONLY",
        sees: &[(
            "openat",
            &[("fd.name", "{dir}/name\\xff"), ("evt.arg.dirfd", "AT_FDCWD"), ("evt.is_open_write", "true")],
        )],
    },
    Case {
        does: "openat path=/dev/null flags=O_WRONLY",
        sees: &[("openat", &[("fd.name", "/dev/null"), ("evt.res", "SUCCESS"), ("fd.typechar", "f")])],
    },
    Case {
        does: "with cwd={dir}/sub -- openat path=file",
        sees: &[("openat", &[("fd.name", "{dir}/sub/file"), ("proc.cwd", "{dir}/sub/")])],
    },
    Case {
        does: "openat2 path=sub/file dirfd={dir} resolve=0x08 flags=O_CLOEXEC",
        sees: &[(
            "openat2",
            &[
                ("evt.res", "SUCCESS"),
                ("fd.name", "{dir}/sub/file"),
                ("fd.nameraw", "sub/file"),
                ("fd.num", "{ret}"),
                ("evt.arg.resolve", "~RESOLVE_BENEATH"),
                ("evt.arg.flags", "~O_CLOEXEC"),
                ("evt.is_open_read", "true"),
                ("how.resolve", "8"),
                ("section.Dir", "{dir}"),
            ],
        )],
    },
    // While it waits for the FIFO's reader another thread rewrites its `open_how` to say reading.
    Case {
        does: "rewritten-openat2 path=fifo",
        sees: &[(
            "openat2",
            &[("evt.res", "SUCCESS"), ("evt.is_open_write", "true"), ("evt.is_open_read", "false")],
        )],
    },
    Case {
        does: "openat2 path=made flags=O_CREAT|O_WRONLY mode=0640",
        sees: &[(
            "openat2",
            &[
                ("evt.is_open_write", "true"),
                ("evt.is_open_create", "true"),
                ("evt.arg.mode", "0640"),
                ("how.mode", "416"),
            ],
        )],
    },
    Case {
        does: "openat2 path=../file dirfd={dir}/sub resolve=0x08",
        sees: &[(
            "openat2",
            &[
                ("evt.res", "EXDEV"),
                ("evt.rawres", "-18"),
                ("fd.name", "{dir}/file"),
                ("fd.nameraw", "../file"),
            ],
        )],
    },
    Case {
        does: "creat path=created mode=0600",
        sees: &[(
            "creat",
            &[
                ("evt.res", "SUCCESS"),
                ("fd.num", "{ret}"),
                ("fd.name", "{dir}/created"),
                ("fd.nameraw", "created"),
                ("fd.ino", "{ino}"),
                ("evt.arg.mode", "0600"),
                ("evt.is_open_write", "true"),
                ("evt.is_open_create", "true"),
            ],
        )],
    },
    Case {
        does: "creat path=sub",
        sees: &[(
            "creat",
            &[("evt.res", "EISDIR"), ("evt.rawres", "-21"), ("fd.name", "{dir}/sub"), ("fd.num", "-1")],
        )],
    },
    Case {
        does: "open-by-handle path=file mount={dir} flags=O_RDWR",
        sees: &[(
            "open_by_handle_at",
            &[
                ("evt.res", "SUCCESS"),
                ("fd.num", "{ret}"),
                ("fd.name", "{dir}/file"),
                ("fd.ino", "{ino}"),
                ("fd.typechar", "f"),
                ("evt.arg.path", "{dir}/file"),
                ("evt.arg.flags", "O_RDWR"),
                ("evt.is_open_read", "true"),
                ("evt.is_open_write", "true"),
                ("evt.category", "file"),
                ("fs.path.name", "{dir}/file"),
            ],
        )],
    },
    Case {
        does: "open-by-handle path=file mount={dir} bad",
        sees: &[(
            "open_by_handle_at",
            &[("evt.res", "!SUCCESS"), ("evt.failed", "true"), ("fd.name", "(absent)")],
        )],
    },
];
