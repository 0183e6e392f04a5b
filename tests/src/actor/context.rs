//! Circumstances in which a behaviour is performed: namespaces, session, terminal, user, cgroup.

use std::{ffi::CString, fs, os::unix::fs::MetadataExt};

use crate::{
    Behaviour,
    call::{
        Arg::{Buf, Int, Str},
        bytes_of, call, fork, wait, zeroed,
    },
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[("with", with), ("facts", |_| facts()), ("overlay", overlay)];

/// `with CIRCUMSTANCE… -- BEHAVIOUR…`. Circumstances are taken in this order, whatever theirs.
fn with(params: &Params) {
    let rest = params.rest();
    if let Some(cgroup) = params.text("cgroup") {
        fs::write(format!("{cgroup}/cgroup.procs"), "0").expect("moved to the cgroup");
    }
    if let Some(group) = params.text("newgroup") {
        fs::create_dir(group).expect("a new cgroup");
        fs::write(format!("{group}/cgroup.procs"), "0").expect("moved to the new cgroup");
    }
    if let Some(loginuid) = params.text("loginuid") {
        fs::write("/proc/self/loginuid", loginuid).expect("CAP_AUDIT_CONTROL");
    }
    if let Some(cwd) = params.optional_path("cwd") {
        assert_eq!(call(libc::SYS_chdir, [Str(&cwd)]), 0, "chdir");
    }
    if let Some(age) = params.text("age") {
        // What a rule asks is the age of the process, so time has to pass.
        std::thread::sleep(std::time::Duration::from_millis(age.parse().expect("milliseconds")));
    }
    let mut unshare = 0;
    for (word, flag) in [
        ("mntns", libc::CLONE_NEWNS),
        ("netns", libc::CLONE_NEWNET),
        ("userns", libc::CLONE_NEWUSER),
        ("utsns", libc::CLONE_NEWUTS),
        ("pidns", libc::CLONE_NEWPID),
    ] {
        if params.has(word) {
            unshare |= flag;
        }
    }
    if unshare != 0 {
        assert_eq!(call(libc::SYS_unshare, [Int(unshare.into())]), 0, "unshare");
    }
    if params.has("mntns") {
        private_mounts();
    }
    if params.has("session") || params.has("pty") || params.has("pidns") {
        wait(fork(|| inner(params, rest)));
    } else {
        inner(params, rest);
    }
}

fn inner(params: &Params, rest: Vec<Vec<u8>>) {
    if params.has("session") || params.has("pty") {
        assert!(call(libc::SYS_setsid, []) > 0, "setsid");
    }
    if params.has("pty") {
        terminal();
    }
    if params.has("group") {
        // A child in a process group of its own, so that leader of group and of session differ.
        wait(fork(|| {
            assert_eq!(call(libc::SYS_setpgid, [Int(0), Int(0)]), 0, "setpgid");
            become_user(params, rest);
        }));
    } else {
        become_user(params, rest);
    }
}

fn become_user(params: &Params, rest: Vec<Vec<u8>>) {
    if params.get("gid").is_some() {
        assert_eq!(call(libc::SYS_setgid, [Int(params.number("gid", 0))]), 0, "setgid");
    }
    if params.get("uid").is_some() {
        assert_eq!(call(libc::SYS_setuid, [Int(params.number("uid", 0))]), 0, "setuid");
    }
    if let Some(root) = params.optional_path("chroot") {
        assert_eq!(call(libc::SYS_chroot, [Str(&root)]), 0, "chroot");
        assert_eq!(call(libc::SYS_chdir, [Str(c"/")]), 0, "chdir");
    }
    if params.get("refuse").is_some() {
        refuse(params.number("refuse", 0));
    }
    assert!(crate::perform(rest), "no such behaviour");
}

/// From here on a seccomp filter answers this system call with EPERM, as a container's default profile does with many.
fn refuse(nr: i64) {
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    // The number is the first member of what a filter sees.
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, u32::try_from(nr).expect("a system call")),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let mut program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    let option = Int(libc::PR_SET_NO_NEW_PRIVS.into());
    assert_eq!(call(libc::SYS_prctl, [option, Int(1), Int(0), Int(0), Int(0)]), 0, "no new privileges");
    let mode = Int(libc::SECCOMP_SET_MODE_FILTER.into());
    assert_eq!(call(libc::SYS_seccomp, [mode, Int(0), Buf(bytes_of(&mut program))]), 0, "seccomp");
}

/// No mount made here is seen outside.
pub fn private_mounts() {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    let result = call(libc::SYS_mount, [Str(c"none"), Str(c"/"), Int(0), Int(flags.cast_signed()), Int(0)]);
    assert_eq!(result, 0, "make mounts private");
}

/// Makes a new pseudo-terminal the controlling one of this session. The leader's side stays open.
fn terminal() {
    let leader = call(
        libc::SYS_openat,
        [Int(libc::AT_FDCWD.into()), Str(c"/dev/ptmx"), Int((libc::O_RDWR | libc::O_NOCTTY).into())],
    );
    assert!(leader >= 0, "/dev/ptmx: {leader}");
    let mut unlocked = 0i32;
    call(libc::SYS_ioctl, [Int(leader), Int(libc::TIOCSPTLCK as i64), Buf(bytes_of(&mut unlocked))]);
    let mut number = 0u32;
    call(libc::SYS_ioctl, [Int(leader), Int(libc::TIOCGPTN as i64), Buf(bytes_of(&mut number))]);
    let path = CString::new(format!("/dev/pts/{number}")).expect("a path");
    let follower = call(libc::SYS_openat, [Int(libc::AT_FDCWD.into()), Str(&path), Int(libc::O_RDWR.into())]);
    assert!(follower >= 0, "{path:?}: {follower}");
    assert_eq!(call(libc::SYS_ioctl, [Int(follower), Int(libc::TIOCSCTTY as i64), Int(0)]), 0, "TIOCSCTTY");
}

/// Mounts an overlay on `merged=` in a private mount namespace, then performs what follows.
fn overlay(params: &Params) {
    assert_eq!(call(libc::SYS_unshare, [Int(libc::CLONE_NEWNS.into())]), 0, "unshare");
    private_mounts();
    let options = CString::new(format!(
        "lowerdir={},upperdir={},workdir={}",
        params.text("lower").expect("lower="),
        params.text("upper").expect("upper="),
        params.text("work").expect("work=")
    ))
    .expect("options");
    let result = call(
        libc::SYS_mount,
        [Str(c"overlay"), Str(&params.path("merged")), Str(c"overlay"), Int(0), Str(&options)],
    );
    assert_eq!(result, 0, "mount overlay");
    assert!(crate::perform(params.rest()), "no such behaviour");
}

/// Everything a process can learn about itself from /proc and plain calls.
fn facts() {
    let mut truth = Truth::new();
    for name in ["mnt", "pid", "net", "user"] {
        let link = fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace");
        let text = link.to_str().expect("text");
        let inum: u64 = text[name.len() + 2..text.len() - 1].parse().expect("an inode number");
        truth.put(&format!("{name}_ns"), inum);
    }
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc/self/stat");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    for (index, key) in [(1, "ppid"), (2, "pgid"), (3, "sid"), (4, "tty"), (19, "start_ticks")] {
        truth.put(key, fields[index].parse::<u64>().expect("a number"));
    }
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    for (label, key) in
        [("CapInh:", "cap_inheritable"), ("CapPrm:", "cap_permitted"), ("CapEff:", "cap_effective")]
    {
        let line = status.lines().find_map(|line| line.strip_prefix(label)).expect("capabilities");
        truth.put(key, u64::from_str_radix(line.trim(), 16).expect("hexadecimal"));
    }
    for (label, keys) in
        [("Uid:", ["uid", "euid", "suid", "fsuid"]), ("Gid:", ["gid", "egid", "sgid", "fsgid"])]
    {
        let line = status.lines().find_map(|line| line.strip_prefix(label)).expect("ids");
        for (value, key) in line.split_whitespace().zip(keys) {
            truth.put(key, value.parse::<u64>().expect("an id"));
        }
    }
    truth.put("vpgid", call(libc::SYS_getpgid, [Int(0)]));
    truth.put("vsid", call(libc::SYS_getsid, [Int(0)]));
    for key in ["loginuid", "sessionid"] {
        let text = fs::read_to_string(format!("/proc/self/{key}")).expect("audit");
        truth.put(key, text.trim().parse::<u64>().expect("a number"));
    }
    let exe = fs::metadata("/proc/self/exe").expect("the executable");
    truth.put("exe_ino", exe.ino());
    truth.put("exe_ctime_ns", exe.ctime() * 1_000_000_000 + exe.ctime_nsec());
    truth.put("exe_mtime_ns", exe.mtime() * 1_000_000_000 + exe.mtime_nsec());
    use std::os::unix::ffi::OsStrExt;
    truth.put_bytes("exe", fs::read_link("/proc/self/exe").expect("the executable").as_os_str().as_bytes());
    truth.put_bytes("cwd", fs::read_link("/proc/self/cwd").expect("the folder").as_os_str().as_bytes());
    let mut clock: libc::timespec = zeroed();
    call(libc::SYS_clock_gettime, [Int(libc::CLOCK_BOOTTIME.into()), Buf(bytes_of(&mut clock))]);
    truth.put("now_ns", clock.tv_sec * 1_000_000_000 + clock.tv_nsec);
    truth.print();
}
