//! What another thread does while a system call waits: the descriptor or the memory of the call becomes another.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    Behaviour,
    call::{
        Arg::{Int, Ptr, Str},
        call,
    },
    inet::{self, Address},
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] =
    &[("orphan-connect", orphan_connect), ("rewritten-openat2", rewritten_openat2)];

/// Returns when the thread sleeps in the system call.
fn wait_until_in(tid: i64, nr: libc::c_long) {
    let path = format!("/proc/self/task/{tid}/syscall");
    let begin = format!("{nr} ");
    while !std::fs::read_to_string(&path).expect("CONFIG_HAVE_ARCH_TRACEHOOK").starts_with(&begin) {
        std::thread::yield_now();
    }
}

/// A connect waits for a listener whose queue is full; meanwhile its descriptor becomes `/dev/null`.
fn orphan_connect(_: &Params) {
    let (listener, port) = inet::full_listener();
    let null = call(libc::SYS_openat, [Int(-100), Str(c"/dev/null"), Int(0), Int(0)]);
    let fd = inet::socket(false, libc::SOCK_STREAM);
    let tid = call(libc::SYS_gettid, []);
    // Ends with the process: it waits for connections that may not come.
    std::thread::spawn(move || {
        wait_until_in(tid, libc::SYS_connect);
        assert_eq!(call(libc::SYS_dup2, [Int(null), Int(fd)]), fd, "dup2");
        while call(libc::SYS_accept, [Int(listener), Int(0), Int(0)]) >= 0 {}
    });
    let ret = inet::connect_to(fd, &mut Address::loopback(false, port));
    let mut truth = Truth::of(ret);
    truth.put("fd", fd);
    truth.put("port", port);
    truth.print();
}

/// An openat2 for writing waits for a FIFO's reader; meanwhile its `open_how` says reading.
fn rewritten_openat2(params: &Params) {
    let path = params.path("path");
    assert_eq!(call(libc::SYS_mknod, [Str(&path), Int((libc::S_IFIFO | 0o600).into()), Int(0)]), 0, "mknod");
    let how = [AtomicU64::new(libc::O_WRONLY as u64), AtomicU64::new(0), AtomicU64::new(0)];
    let tid = call(libc::SYS_gettid, []);
    let ret = std::thread::scope(|threads| {
        threads.spawn(|| {
            wait_until_in(tid, libc::SYS_openat2);
            how[0].store(libc::O_RDONLY as u64, Ordering::SeqCst);
            // Kept open: the writer's open must find its reader.
            call(libc::SYS_openat, [Int(-100), Str(&path), Int(0), Int(0)]);
        });
        call(
            libc::SYS_openat2,
            [Int(-100), Str(&path), Ptr(how.as_ptr().cast_mut().cast()), Int(size_of_val(&how) as i64)],
        )
    });
    Truth::of(ret).print();
}
