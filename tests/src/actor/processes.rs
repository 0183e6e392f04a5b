//! Making and ending processes and threads.

use std::arch::asm;

use crate::{
    Behaviour,
    call::{
        Arg::{Buf, Int},
        bytes_of, call, exit_now, fork, wait, zeroed,
    },
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("fork", |_| child(fork(|| ()))),
    ("vfork", |_| child(vfork())),
    ("clone", clone),
    ("clone3", clone3),
    ("clone-fails", clone_fails),
    ("clone3-fails", clone3_fails),
    ("thread", thread),
    ("exit", exit),
    ("orphan", orphan),
    ("tower", tower),
];

/// Reports a child that was made, after it has ended.
fn child(pid: i64) {
    let mut truth = Truth::of(pid);
    let status = if pid > 0 { wait(pid) } else { 0 };
    truth.put("child", pid);
    truth.put("status", status);
    truth.print();
}

/// A child that shares our memory and ends at once.
fn vfork() -> i64 {
    let pid: i64;
    // SAFETY: the child runs only the instructions here: it ends by exit_group without touching the
    // stack or memory it shares with the suspended parent. The clobbers are those of `syscall`.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov edi, 7",
            "mov eax, 231",
            "syscall",
            "2:",
            inlateout("rax") libc::SYS_vfork => pid,
            out("rcx") _,
            out("r11") _,
            out("rdi") _,
        );
    }
    pid
}

/// clone(2) as fork does it, with more `flags=`.
fn clone(params: &Params) {
    let flags = params.number("flags", libc::SIGCHLD.into());
    let pid = call(libc::SYS_clone, [Int(flags), Int(0), Int(0), Int(0), Int(0)]);
    if pid == 0 {
        exit_now(0);
    }
    child(pid);
}

fn clone3(params: &Params) {
    let mut args: libc::clone_args = zeroed();
    args.flags = params.number("flags", 0).cast_unsigned();
    args.exit_signal = libc::SIGCHLD as u64;
    let size = size_of::<libc::clone_args>() as i64;
    let pid = call(libc::SYS_clone3, [Buf(bytes_of(&mut args)), Int(size)]);
    if pid == 0 {
        exit_now(0);
    }
    child(pid);
}

/// A thread must share signal handlers; without that the call fails with EINVAL.
fn clone_fails(_: &Params) {
    let flags = i64::from(libc::CLONE_THREAD);
    Truth::of(call(libc::SYS_clone, [Int(flags), Int(0), Int(0), Int(0), Int(0)])).print();
}

fn clone3_fails(_: &Params) {
    let mut args: libc::clone_args = zeroed();
    args.flags = libc::CLONE_THREAD as u64;
    let size = size_of::<libc::clone_args>() as i64;
    Truth::of(call(libc::SYS_clone3, [Buf(bytes_of(&mut args)), Int(size)])).print();
}

/// A thread that opens a file: its events have the process's pid and its own tid.
fn thread(params: &Params) {
    let path = params.path("path");
    std::thread::spawn(move || {
        call(
            libc::SYS_prctl,
            [Int(libc::PR_SET_NAME.into()), crate::call::Arg::Str(c"own-name"), Int(0), Int(0), Int(0)],
        );
        let truth = Truth::new();
        let ret = call(
            libc::SYS_openat,
            [Int(libc::AT_FDCWD.into()), crate::call::Arg::Str(&path), Int(0), Int(0)],
        );
        let mut truth = truth;
        truth.put("ret", ret);
        truth.print();
    })
    .join()
    .expect("the thread ends");
}

/// A child that exits with `code=`, or is killed by `signal=`.
fn exit(params: &Params) {
    let code = i32::try_from(params.number("code", 0)).expect("an exit code");
    let signal = params.number("signal", 0);
    let pid = fork(|| {
        if signal != 0 {
            call(libc::SYS_kill, [Int(call(libc::SYS_getpid, [])), Int(signal)]);
        }
        exit_now(code);
    });
    child(pid);
}

/// A grandchild that outlives its parent, performs the behaviour after `--` once it has a new parent, and
/// is waited for by us as a subreaper.
fn orphan(params: &Params) {
    call(libc::SYS_prctl, [Int(libc::PR_SET_CHILD_SUBREAPER.into()), Int(1), Int(0), Int(0), Int(0)]);
    let us = call(libc::SYS_getpid, []);
    let rest = params.rest();
    wait(fork(|| {
        let parent = call(libc::SYS_getpid, []);
        fork(|| {
            while call(libc::SYS_getppid, []) == parent {
                call(libc::SYS_sched_yield, []);
            }
            assert_eq!(call(libc::SYS_getppid, []), us, "the subreaper");
            assert!(crate::perform(rest), "no such behaviour");
        });
    }));
    wait(-1);
}

/// `levels=` processes, each the child of the one before; the last performs the behaviour after `--`.
fn tower(params: &Params) {
    fn build(levels: i64, rest: Vec<Vec<u8>>) {
        if levels == 0 {
            assert!(crate::perform(rest), "no such behaviour");
        } else {
            wait(fork(|| build(levels - 1, rest)));
        }
    }
    build(params.number("levels", 1), params.rest());
}
