//! open and its relatives, and the calls that change names and modes.

use end_to_end::case::Case;

pub const OPENS: &[Case<'_>] = &[
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
];

pub const PATHS: &[Case<'_>] = &[
    Case {
        does: "symlink path=/etc/shadow path2=new",
        sees: &[(
            "symlink",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.target", "/etc/shadow"),
                ("evt.arg.linkpath", "{dir}/new"),
                ("fs.path.target", "{dir}/new"),
                ("fs.path.targetraw", "new"),
                ("fs.path.sourceraw", "/etc/shadow"),
            ],
        )],
    },
    Case {
        does: "symlink path=any\\xff path2={dir}/file",
        sees: &[(
            "symlink",
            &[("evt.res", "EEXIST"), ("evt.arg.target", "any\\xff"), ("evt.arg.linkpath", "{dir}/file")],
        )],
    },
    Case {
        does: "symlinkat path=file path2=new dirfd={dir}/sub",
        sees: &[(
            "symlinkat",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.target", "file"),
                ("evt.arg.linkpath", "{dir}/sub/new"),
                ("evt.arg.linkdirfd", "~{dir}/sub"),
            ],
        )],
    },
    Case {
        does: "symlinkat path=file path2=none/new dirfd={dir}/sub",
        sees: &[("symlinkat", &[("evt.res", "ENOENT"), ("evt.arg.linkpath", "{dir}/sub/none/new")])],
    },
    Case {
        does: "link path=file path2={dir}/sub/second",
        sees: &[(
            "link",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.oldpath", "{dir}/file"),
                ("evt.arg.newpath", "{dir}/sub/second"),
                ("fs.path.source", "{dir}/file"),
                ("fs.path.target", "{dir}/sub/second"),
            ],
        )],
    },
    Case {
        does: "link path=missing path2=second",
        sees: &[(
            "link",
            &[
                ("evt.res", "ENOENT"),
                ("evt.arg.oldpath", "{dir}/missing"),
                ("evt.arg.newpath", "{dir}/second"),
            ],
        )],
    },
    Case {
        does: "linkat path=file dirfd={dir}/sub path2=new\\xff dirfd2={dir}/empty",
        sees: &[(
            "linkat",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.oldpath", "{dir}/sub/file"),
                ("evt.arg.newpath", "{dir}/empty/new\\xff"),
                ("section.Dir", "{dir}/sub"),
                ("section.Dir2", "{dir}/empty"),
            ],
        )],
    },
    Case {
        does: "linkat path=file path2=file",
        sees: &[(
            "linkat",
            &[("evt.res", "EEXIST"), ("evt.arg.oldpath", "{dir}/file"), ("evt.arg.newpath", "{dir}/file")],
        )],
    },
    Case {
        does: "rename path=file path2=sub/renamed",
        sees: &[(
            "rename",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.oldpath", "{dir}/file"),
                ("evt.arg.newpath", "{dir}/sub/renamed"),
                ("fs.path.source", "{dir}/file"),
                ("fs.path.sourceraw", "file"),
                ("fs.path.target", "{dir}/sub/renamed"),
            ],
        )],
    },
    Case {
        does: "rename path=missing\\xff path2=renamed",
        sees: &[("rename", &[("evt.res", "ENOENT"), ("evt.arg.oldpath", "{dir}/missing\\xff")])],
    },
    Case {
        does: "renameat path=file dirfd={dir}/sub path2=renamed dirfd2={dir}/empty",
        sees: &[(
            "renameat",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.oldpath", "{dir}/sub/file"),
                ("evt.arg.newpath", "{dir}/empty/renamed"),
                ("evt.arg.olddirfd", "~{dir}/sub"),
                ("evt.arg.newdirfd", "~{dir}/empty"),
            ],
        )],
    },
    Case {
        does: "renameat path=file path2=sub",
        sees: &[("renameat", &[("evt.res", "EISDIR"), ("evt.arg.newpath", "{dir}/sub")])],
    },
    Case {
        does: "renameat2 path=file path2=sub/file flags=RENAME_EXCHANGE",
        sees: &[(
            "renameat2",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.oldpath", "{dir}/file"),
                ("evt.arg.newpath", "{dir}/sub/file"),
                ("evt.arg.flags", "~RENAME_EXCHANGE"),
            ],
        )],
    },
    Case {
        does: "renameat2 path=file path2=sub/file flags=RENAME_NOREPLACE",
        sees: &[("renameat2", &[("evt.res", "EEXIST"), ("evt.arg.flags", "~RENAME_NOREPLACE")])],
    },
    Case {
        does: "unlink path=file",
        sees: &[(
            "unlink",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "0"),
                ("evt.arg.path", "{dir}/file"),
                ("fs.path.name", "{dir}/file"),
                ("fs.path.nameraw", "file"),
            ],
        )],
    },
    Case {
        does: "unlink path=name\\xff",
        sees: &[("unlink", &[("evt.res", "SUCCESS"), ("fs.path.name", "{dir}/name\\xff")])],
    },
    Case {
        does: "unlink path=sub",
        sees: &[("unlink", &[("evt.res", "EISDIR"), ("fs.path.name", "{dir}/sub")])],
    },
    Case {
        does: "unlinkat path=file dirfd={dir}/sub",
        sees: &[(
            "unlinkat",
            &[
                ("evt.res", "SUCCESS"),
                ("fs.path.name", "{dir}/sub/file"),
                ("evt.arg.name", "{dir}/sub/file"),
                ("evt.arg.dirfd", "~{dir}/sub"),
                ("section.Dir", "{dir}/sub"),
            ],
        )],
    },
    Case {
        does: "unlinkat path=empty flags=AT_REMOVEDIR",
        sees: &[(
            "unlinkat",
            &[("evt.res", "SUCCESS"), ("evt.arg.flags", "~AT_REMOVEDIR"), ("fs.path.name", "{dir}/empty")],
        )],
    },
    Case {
        does: "unlinkat path=missing",
        sees: &[("unlinkat", &[("evt.res", "ENOENT"), ("fs.path.name", "{dir}/missing")])],
    },
    Case {
        does: "mkdir path=dirlink/made mode=0750",
        sees: &[(
            "mkdir",
            &[("evt.res", "SUCCESS"), ("evt.arg.mode", "0750"), ("fs.path.nameraw", "dirlink/made")],
        )],
    },
    Case {
        does: "mkdir path=sub mode=0700",
        sees: &[(
            "mkdir",
            &[("evt.res", "EEXIST"), ("evt.arg.path", "{dir}/sub"), ("fs.path.name", "{dir}/sub")],
        )],
    },
    Case {
        does: "mkdirat path=made\\xff dirfd={dir}/sub mode=0711",
        sees: &[(
            "mkdirat",
            &[("evt.res", "SUCCESS"), ("evt.arg.path", "{dir}/sub/made\\xff"), ("evt.arg.mode", "0711")],
        )],
    },
    Case {
        does: "mkdirat path=none/made mode=0711",
        sees: &[("mkdirat", &[("evt.res", "ENOENT"), ("evt.arg.path", "{dir}/none/made")])],
    },
    Case {
        does: "rmdir path=empty",
        sees: &[("rmdir", &[("evt.res", "SUCCESS"), ("fs.path.name", "{dir}/empty")])],
    },
    Case {
        does: "rmdir path=sub",
        sees: &[("rmdir", &[("evt.res", "ENOTEMPTY"), ("evt.rawres", "-39"), ("evt.arg.path", "{dir}/sub")])],
    },
    Case {
        does: "chmod path=file mode=04755",
        sees: &[(
            "chmod",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.filename", "{dir}/file"),
                ("evt.arg.mode", "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID"),
                ("fs.path.name", "{dir}/file"),
            ],
        )],
    },
    Case {
        does: "chmod path=missing mode=0644",
        sees: &[("chmod", &[("evt.res", "ENOENT"), ("evt.arg.filename", "{dir}/missing")])],
    },
    Case {
        does: "fchmod path=link mode=0600",
        sees: &[(
            "fchmod",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.mode", "S_IWUSR|S_IRUSR"),
                ("fd.num", "{fd}"),
                ("fd.name", "{dir}/file"),
                ("fd.typechar", "f"),
            ],
        )],
    },
    Case {
        does: "fchmod fd=999 mode=0600",
        sees: &[("fchmod", &[("evt.res", "EBADF"), ("evt.arg.mode", "S_IWUSR|S_IRUSR")])],
    },
    Case {
        does: "fchmodat path=file dirfd={dir}/sub mode=0640",
        sees: &[(
            "fchmodat",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.filename", "{dir}/sub/file"),
                ("evt.arg.mode", "S_IRGRP|S_IWUSR|S_IRUSR"),
            ],
        )],
    },
    Case {
        does: "fchmodat path=missing dirfd={dir}/sub mode=0640",
        sees: &[("fchmodat", &[("evt.res", "ENOENT"), ("evt.arg.filename", "{dir}/sub/missing")])],
    },
    Case {
        does: "fchmodat2 path=name\\xff mode=0444 flags=AT_SYMLINK_NOFOLLOW",
        sees: &[(
            "fchmodat2",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.filename", "{dir}/name\\xff"),
                ("evt.arg.mode", "S_IROTH|S_IRGRP|S_IRUSR"),
                ("evt.arg.flags", "~AT_SYMLINK_NOFOLLOW"),
            ],
        )],
    },
    Case {
        does: "fchmodat2 path=link mode=0444 flags=AT_SYMLINK_NOFOLLOW",
        sees: &[(
            "fchmodat2",
            &[("evt.res", "EOPNOTSUPP"), ("evt.rawres", "-95"), ("evt.arg.filename", "{dir}/link")],
        )],
    },
];
