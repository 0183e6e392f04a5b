//! Credentials, namespaces, mounts, modules, tracing, signals and the rest.

use crate::{
    Behaviour,
    call::{
        Arg::{Buf, Int, Str},
        bytes_of, call, fork, wait,
    },
    context, files,
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("ptrace", ptrace),
    ("ptrace-child", ptrace_child),
    ("setuid", |p| Truth::of(call(libc::SYS_setuid, [Int(p.number("uid", 0))])).print()),
    ("setns", setns),
    ("unshare", |p| Truth::of(call(libc::SYS_unshare, [Int(p.number("flags", 0))])).print()),
    ("mount", mount),
    ("umount2", umount2),
    ("init_module", init_module),
    ("finit_module", finit_module),
    ("bpf", bpf),
    ("userfaultfd", |p| files::opened(call(libc::SYS_userfaultfd, [Int(p.number("flags", 0))]))),
    ("io_uring_setup", io_uring_setup),
    ("kill", kill),
    ("prctl", prctl),
    ("capset", capset),
];

/// ptrace of a process that is not there, or `PTRACE_TRACEME`.
fn ptrace(params: &Params) {
    let request = params.number("request", 0);
    let pid = params.number("pid", 0);
    let mut truth = Truth::of(call(libc::SYS_ptrace, [Int(request), Int(pid), Int(0), Int(0)]));
    truth.put("target", pid);
    truth.print();
}

/// Attaches to a child of ours by `request=` (`PTRACE_ATTACH` or `PTRACE_SEIZE`), then ends it.
fn ptrace_child(params: &Params) {
    let child = fork(|| {
        loop {
            call(libc::SYS_pause, []);
        }
    });
    let request = params.number("request", libc::PTRACE_ATTACH.into());
    let mut truth = Truth::of(call(libc::SYS_ptrace, [Int(request), Int(child), Int(0), Int(0)]));
    call(libc::SYS_kill, [Int(child), Int(libc::SIGKILL.into())]);
    wait(child);
    truth.put("target", child);
    truth.print();
}

/// Enters the namespace that `path=` names, or descriptor `fd=`.
fn setns(params: &Params) {
    let fd = match params.optional_path("path") {
        Some(path) => call(libc::SYS_openat, [Int(libc::AT_FDCWD.into()), Str(&path), Int(0)]),
        None => params.number("fd", -1),
    };
    let mut truth = Truth::of(call(libc::SYS_setns, [Int(fd), Int(params.number("type", 0))]));
    truth.put("fd", fd);
    truth.print();
}

fn private() {
    assert_eq!(call(libc::SYS_unshare, [Int(libc::CLONE_NEWNS.into())]), 0, "unshare");
    context::private_mounts();
}

/// mount in a mount namespace of our own.
fn mount(params: &Params) {
    private();
    let kind = params.path("type");
    let source = params.path("source");
    let target = params.path("target");
    let data = params.optional_path("data");
    Truth::of(call(
        libc::SYS_mount,
        [
            Str(&source),
            Str(&target),
            Str(&kind),
            Int(params.number("flags", 0)),
            data.as_ref().map_or(Int(0), |data| Str(data)),
        ],
    ))
    .print();
}

/// Mounts a tmpfs on `target=` in a mount namespace of our own, unless `bare`, and unmounts it.
fn umount2(params: &Params) {
    private();
    let target = params.path("target");
    if !params.has("bare") {
        let result = call(libc::SYS_mount, [Str(c"test"), Str(&target), Str(c"tmpfs"), Int(0), Int(0)]);
        assert_eq!(result, 0, "mount");
    }
    Truth::of(call(libc::SYS_umount2, [Str(&target), Int(params.number("flags", 0))])).print();
}

/// An image that is no ELF file: refused by every kernel.
fn init_module(params: &Params) {
    let mut image = *b"this is not a kernel module at all";
    let length = image.len() as i64;
    let text = params.path("params");
    Truth::of(call(libc::SYS_init_module, [Buf(&mut image), Int(length), Str(&text)])).print();
}

/// A file that is no kernel module: refused by every kernel.
fn finit_module(params: &Params) {
    let fd = call(libc::SYS_openat, [Int(libc::AT_FDCWD.into()), Str(&params.path("path")), Int(0)]);
    let text = params.path("params");
    let mut truth =
        Truth::of(call(libc::SYS_finit_module, [Int(fd), Str(&text), Int(params.number("flags", 0))]));
    truth.put("fd", fd);
    truth.print();
}

/// `BPF_MAP_CREATE` of a small array, or command `cmd=` with a null attribute.
fn bpf(params: &Params) {
    let cmd = params.number("cmd", 0);
    let ret = if cmd == 0 {
        // map_type ARRAY, key_size 4, value_size 4, max_entries 1.
        let mut attr = [0u32; 32];
        attr[..4].copy_from_slice(&[2, 4, 4, 1]);
        call(libc::SYS_bpf, [Int(0), Buf(bytes_of(&mut attr)), Int(128)])
    } else {
        call(libc::SYS_bpf, [Int(cmd), Int(0), Int(0)])
    };
    Truth::of(ret).print();
}

/// A ring of `entries=`.
fn io_uring_setup(params: &Params) {
    // struct io_uring_params, 120 bytes.
    let mut ring = [0u64; 15];
    let entries = params.number("entries", 1);
    files::opened(call(libc::SYS_io_uring_setup, [Int(entries), Buf(bytes_of(&mut ring))]));
}

/// Sends `signal=` to a child of ours that waits for it, or to `pid=` that is not there.
fn kill(params: &Params) {
    let signal = params.number("signal", 0);
    if params.get("pid").is_some() {
        let pid = params.number("pid", 0);
        let mut truth = Truth::of(call(libc::SYS_kill, [Int(pid), Int(signal)]));
        truth.put("target", pid);
        truth.print();
        return;
    }
    let child = fork(|| {
        loop {
            call(libc::SYS_pause, []);
        }
    });
    let mut truth = Truth::of(call(libc::SYS_kill, [Int(child), Int(signal)]));
    if signal == 0 {
        // Ended by another call, so that the last kill is the behaviour's.
        call(libc::SYS_tgkill, [Int(child), Int(child), Int(libc::SIGKILL.into())]);
    }
    wait(child);
    truth.put("target", child);
    truth.print();
}

fn prctl(params: &Params) {
    let option = params.number("option", 0);
    let name = params.optional_path("name");
    let second = name.as_ref().map_or(Int(params.number("arg2", 0)), |name| Str(name));
    Truth::of(call(libc::SYS_prctl, [Int(option), second, Int(0), Int(0), Int(0)])).print();
}

/// Sets effective, permitted and inheritable sets; without parameters drops all.
fn capset(params: &Params) {
    let version = params.number("version", 0x2008_0522);
    let mut header: [u32; 2] = [version as u32, 0];
    let mut data = [0u32; 6];
    for (index, key) in ["effective", "permitted", "inheritable"].into_iter().enumerate() {
        let set = params.number(key, 0).cast_unsigned();
        data[index] = set as u32;
        data[index + 3] = (set >> 32) as u32;
    }
    Truth::of(call(libc::SYS_capset, [Buf(bytes_of(&mut header)), Buf(bytes_of(&mut data))])).print();
}
