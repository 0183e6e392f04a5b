//! The calls that change names and modes.

use end_to_end::case::Case;

pub const CASES: &[Case<'_>] = &[
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
