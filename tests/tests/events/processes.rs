//! Executing programs, making processes and threads, and ending them.

use std::{fs, os::unix::fs::PermissionsExt};

use end_to_end::{
    case::{Case, Fields},
    scratch::Scratch,
};

/// Programs of the rows: a script, copies on both layers of an overlay, one whose name is not UTF-8.
pub fn prepare(scratch: &mut Scratch) {
    let dir = scratch.path().to_owned();
    let actor = end_to_end::actor();
    for folder in ["lower", "upper", "work", "merged"] {
        fs::create_dir(dir.join(folder)).expect("a folder");
    }
    fs::copy(&actor, dir.join("lower/below")).expect("a copy");
    fs::copy(&actor, dir.join("upper/above")).expect("a copy");
    fs::copy(&actor, dir.join("victim")).expect("a copy");
    let script = format!("#!{}/bin/actor facts\n", dir.display());
    fs::write(dir.join("script"), script).expect("a script");
    fs::set_permissions(dir.join("script"), fs::Permissions::from_mode(0o755)).expect("a mode");
    use std::os::unix::ffi::OsStrExt;
    let odd = dir.join("bin").join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    std::os::unix::fs::symlink(&actor, odd).expect("a link");
    scratch.set("long", "x".repeat(300));
}

pub const EXECS: &[Case<'_>] = &[
    Case {
        does: "execve path={actor} env=A=1,B=two,LANG=C -- zero facts two\\xff",
        sees: &[(
            "execve",
            &[
                ("evt.type", "execve"),
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "0"),
                ("evt.failed", "false"),
                ("evt.arg.filename", "{actor}"),
                ("evt.arg.exe", "zero"),
                ("proc.exe", "zero"),
                ("proc.args", "facts two\\xff"),
                ("proc.cmdline", "actor facts two\\xff"),
                ("proc.exeline", "zero facts two\\xff"),
                ("proc.cmdnargs", "2"),
                ("proc.name", "actor"),
                ("proc.exepath", "{actor}"),
                ("proc.pid", "{pid}"),
                ("proc.ppid", "{test}"),
                ("proc.cwd", "{dir}/"),
                ("proc.env", "A=1 B=two LANG=C"),
                ("proc.env[B]", "two"),
                ("proc.exe_ino", "{exe_ino}"),
                ("proc.exe_ino.ctime", "{exe_ctime_ns}"),
                ("proc.exe_ino.mtime", "{exe_mtime_ns}"),
                ("proc.is_exe_from_memfd", "false"),
                ("proc.is_exe_upper_layer", "false"),
                ("proc.is_exe_writable", "true"),
                ("exec.argc", "3"),
                ("exec.envc", "3"),
                ("header.flags", "0"),
            ],
        )],
    },
    Case {
        does: "execve path=bin/actor -- actor facts",
        sees: &[(
            "execve",
            &[
                ("proc.exepath", "{actor}"),
                ("section.PathArg", "bin/actor"),
                ("proc.name", "actor"),
                ("proc.exe", "actor"),
            ],
        )],
    },
    Case {
        does: "execve path={bin:othername} -- {bin:othername} facts",
        sees: &[(
            "execve",
            &[
                ("proc.name", "othername"),
                ("proc.exepath", "{actor}"),
                ("proc.exe", "{dir}/bin/othername"),
                ("proc.cmdline", "othername facts"),
            ],
        )],
    },
    Case {
        does: "execve path=bin/odd\\xff -- odd\\xff",
        sees: &[(
            "execve",
            &[("evt.res", "SUCCESS"), ("proc.name", "odd\\xff"), ("section.PathArg", "bin/odd\\xff")],
        )],
    },
    Case {
        does: "execve path={bin:a-name-longer-than-fifteen} -- x",
        sees: &[("execve", &[("proc.name", "a-name-longer-t"), ("proc.exepath", "{actor}")])],
    },
    Case {
        does: "execve path=./script -- anything",
        sees: &[("execve", &[("proc.name", "script"), ("proc.exepath", "{actor}"), ("evt.res", "SUCCESS")])],
    },
    Case {
        does: "execve path=/bin/true -- true {long} {long}",
        sees: &[(
            "execve",
            &[("proc.args", "{long} {long}"), ("proc.cmdnargs", "2"), ("proc.cmdlenargs", "600")],
        )],
    },
    Case {
        does: "execve path=missing -- x",
        sees: &[(
            "execve",
            &[
                ("evt.res", "ENOENT"),
                ("evt.rawres", "-2"),
                ("evt.failed", "true"),
                ("evt.arg.filename", "missing"),
                ("proc.name", "actor"),
                ("proc.exepath", "{actor}"),
                ("proc.pid", "{pid}"),
            ],
        )],
    },
    Case {
        does: "execve path=file -- x",
        sees: &[("execve", &[("evt.res", "EACCES"), ("evt.rawres", "-13"), ("evt.arg.filename", "file")])],
    },
    Case {
        does: "execve path=gone\\xff -- x",
        sees: &[("execve", &[("evt.res", "ENOENT"), ("evt.arg.filename", "gone\\xff")])],
    },
    Case {
        does: "execveat path=actor dirfd={dir}/bin -- zero facts",
        sees: &[(
            "execveat",
            &[
                ("evt.type", "execveat"),
                ("evt.res", "SUCCESS"),
                ("proc.exepath", "{actor}"),
                ("proc.exe", "zero"),
                ("proc.args", "facts"),
                ("proc.name", "actor"),
                ("proc.exe_ino", "{exe_ino}"),
            ],
        )],
    },
    Case {
        does: "execveat file={actor} path= flags=AT_EMPTY_PATH -- zero facts",
        sees: &[("execveat", &[("evt.res", "SUCCESS"), ("proc.exepath", "{actor}"), ("proc.exe", "zero")])],
    },
    Case {
        does: "execveat path=missing dirfd={dir}/bin -- x",
        sees: &[(
            "execveat",
            &[("evt.res", "ENOENT"), ("evt.arg.pathname", "~missing"), ("proc.name", "actor")],
        )],
    },
    Case {
        does: "exec-memfd path={actor} name=hidden -- zero facts",
        sees: &[(
            "execveat",
            &[
                ("evt.res", "SUCCESS"),
                ("proc.is_exe_from_memfd", "true"),
                ("proc.exepath", "memfd:hidden"),
                ("proc.exe_ino", "{exe_ino}"),
            ],
        )],
    },
    Case {
        does: "exec-deleted path={dir}/victim -- zero facts",
        sees: &[(
            "execveat",
            &[("evt.res", "SUCCESS"), ("proc.exepath", "~{dir}/victim"), ("proc.is_exe_from_memfd", "false")],
        )],
    },
    Case {
        does: "overlay lower={dir}/lower upper={dir}/upper work={dir}/work merged={dir}/merged -- execve path={dir}/merged/above -- x facts",
        sees: &[(
            "execve",
            &[
                ("evt.res", "SUCCESS"),
                ("proc.is_exe_upper_layer", "true"),
                ("proc.is_exe_lower_layer", "false"),
                ("proc.exepath", "{dir}/merged/above"),
                ("proc.name", "above"),
            ],
        )],
    },
    Case {
        does: "overlay lower={dir}/lower upper={dir}/upper work={dir}/work merged={dir}/merged -- execve path={dir}/merged/below -- x facts",
        sees: &[(
            "execve",
            &[
                ("evt.res", "SUCCESS"),
                ("proc.is_exe_upper_layer", "false"),
                ("proc.is_exe_lower_layer", "true"),
                ("proc.exepath", "{dir}/merged/below"),
            ],
        )],
    },
    Case {
        does: "with uid=65534 -- execve path=/bin/true -- true",
        sees: &[(
            "execve",
            &[("proc.is_exe_writable", "false"), ("user.uid", "65534"), ("proc.exepath", "/usr/bin/true")],
        )],
    },
    Case {
        does: "spawn {bin:parent} spawn {bin:child} spawn /bin/true",
        sees: &[(
            "execve",
            &[
                ("proc.name", "true"),
                ("proc.pname", "child"),
                ("proc.pexe", "{dir}/bin/child"),
                ("proc.pexepath", "{actor}"),
                ("proc.pcmdline", "child spawn /bin/true"),
                ("proc.aname[1]", "child"),
                ("proc.aname[2]", "parent"),
                ("proc.aname[3]", "actor"),
                ("proc.apid[3]", "{root}"),
                ("proc.acmdline[2]", "~parent spawn {dir}/bin/child"),
                ("proc.aexepath[2]", "{actor}"),
            ],
        )],
    },
];

/// clone3's flags are in the caller's memory, which is not read; asking for them is what asks for threads.
const CLONE3_THREAD: Fields<'_> =
    &[("child.tid", "{tid}"), ("child.pid", "{pid}"), ("evt.arg.flags", "(absent)")];

pub const FORKS: &[Case<'_>] = &[
    Case {
        does: "fork",
        sees: &[
            (
                "fork",
                &[
                    ("evt.type", "fork"),
                    ("evt.res", "SUCCESS"),
                    ("evt.rawres", "{child}"),
                    ("evt.arg.child_pid", "{child}"),
                    ("child.pid", "{child}"),
                    ("child.tid", "{child}"),
                    ("child.ppid", "{pid}"),
                    ("proc.pid", "{pid}"),
                ],
            ),
            (
                "procexit@child",
                &[
                    ("proc.pid", "{child}"),
                    ("proc.ppid", "{pid}"),
                    ("proc.name", "actor"),
                    ("proc.exepath", "{actor}"),
                    ("proc.pname", "actor"),
                    ("evt.arg.ret", "0"),
                    ("header.ret", "{status}"),
                    ("header.syscall_nr", "-1"),
                ],
            ),
        ],
    },
    Case {
        does: "vfork",
        sees: &[
            ("vfork", &[("evt.res", "SUCCESS"), ("evt.rawres", "{child}"), ("child.pid", "{child}")]),
            ("procexit@child", &[("evt.arg.ret", "7"), ("evt.arg.sig", "0"), ("header.ret", "{status}")]),
        ],
    },
    Case {
        does: "clone",
        sees: &[("clone", &[("evt.res", "SUCCESS"), ("evt.rawres", "{child}"), ("child.pid", "{child}")])],
    },
    Case {
        does: "clone flags=CLONE_PARENT|SIGCHLD",
        sees: &[(
            "clone",
            &[("evt.res", "SUCCESS"), ("child.ppid", "{test}"), ("evt.arg.flags", "~CLONE_PARENT")],
        )],
    },
    Case {
        does: "clone flags=CLONE_NEWPID|CLONE_NEWUTS|SIGCHLD",
        sees: &[(
            "clone",
            &[
                ("evt.res", "SUCCESS"),
                ("child.pid", "{child}"),
                ("child.vpid", "1"),
                ("evt.arg.flags", "~CLONE_NEWPID"),
            ],
        )],
    },
    Case {
        does: "clone3",
        sees: &[("clone3", &[("evt.res", "SUCCESS"), ("evt.rawres", "{child}"), ("child.pid", "{child}")])],
    },
    Case {
        does: "thread path=link",
        sees: &[
            (
                "openat",
                &[
                    ("fd.name", "{dir}/file"),
                    ("proc.pid", "{pid}"),
                    ("thread.tid", "{tid}"),
                    ("thread.vtid", "{vtid}"),
                    ("thread.ismain", "false"),
                ],
            ),
            ("clone3@pid", CLONE3_THREAD),
        ],
    },
    Case {
        does: "exit code=3",
        sees: &[(
            "procexit@child",
            &[("evt.arg.ret", "3"), ("evt.arg.sig", "0"), ("header.ret", "{status}")],
        )],
    },
    Case {
        does: "exit signal=SIGKILL",
        sees: &[("procexit@child", &[("evt.arg.sig", "SIGKILL"), ("header.ret", "{status}")])],
    },
    Case {
        does: "orphan -- openat path=file",
        sees: &[("openat", &[("proc.ppid", "{root}"), ("proc.pname", "actor"), ("fd.name", "{dir}/file")])],
    },
    Case {
        does: "tower levels=5 -- openat path=file",
        sees: &[(
            "openat",
            &[("proc.apid[5]", "{root}"), ("proc.apid[6]", "{test}"), ("ancestors.4", "{root}")],
        )],
    },
];
