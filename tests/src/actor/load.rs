//! Behaviours in great number, for the tests that flood.

use std::time::{Duration, Instant};

use crate::{
    Behaviour,
    call::{
        Arg::{Buf, Int, Str},
        bytes_of, call, exit_now, wait, zeroed,
    },
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] =
    &[("flood-opens", flood_opens), ("many-processes", many_processes), ("deep", deep)];

/// Runs on this CPU alone.
fn pin(cpu: i64) {
    let mut set: libc::cpu_set_t = zeroed();
    bytes_of(&mut set)[(cpu / 8) as usize] = 1 << (cpu % 8);
    let size = size_of::<libc::cpu_set_t>() as i64;
    assert_eq!(call(libc::SYS_sched_setaffinity, [Int(0), Int(size), Buf(bytes_of(&mut set))]), 0, "pinned");
}

/// Opens and closes `path=` for `seconds=` on CPU `cpu=`, at `rate=` a second (0: as fast as it can).
/// Ends early after `count=`, or when the file `until=` is there. Reports how many opens succeeded, how many
/// failed, and the time they took.
fn flood_opens(params: &Params) {
    pin(params.number("cpu", 0));
    let path = params.path("path");
    let rate = params.number("rate", 0);
    let duration = Duration::from_millis(params.number("milliseconds", 1000) as u64);
    let limit = params.number("count", i64::MAX);
    let until = params.optional_path("until");
    let told = || until.as_ref().is_some_and(|path| call(libc::SYS_access, [Str(path), Int(0)]) == 0);
    let begin = Instant::now();
    let (mut opened, mut failed) = (0i64, 0i64);
    while opened + failed < limit {
        // In batches, so that asking the clock costs nothing.
        for _ in 0..100 {
            let fd = call(libc::SYS_openat, [Int(libc::AT_FDCWD.into()), Str(&path), Int(0), Int(0)]);
            if fd >= 0 {
                opened += 1;
                call(libc::SYS_close, [Int(fd)]);
            } else {
                failed += 1;
            }
        }
        let elapsed = begin.elapsed();
        if elapsed >= duration || told() {
            break;
        }
        if rate > 0 {
            // Behind schedule: go on; ahead of it: spin, since a sleep is coarser than a batch, unless it is a slow one.
            let due =
                Duration::from_nanos(((opened + failed) as u64).saturating_mul(1_000_000_000) / rate as u64);
            while let Some(left) = due.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
                if left > Duration::from_millis(10) {
                    std::thread::sleep(left);
                }
                std::hint::spin_loop();
            }
        }
    }
    let mut truth = Truth::new();
    truth.put("opened", opened);
    truth.put("failed", failed);
    truth.put("elapsed_ns", begin.elapsed().as_nanos() as u64);
    truth.print();
}

/// `count=` children, one after the other, that end at once, each of another exit status.
fn many_processes(params: &Params) {
    let count = params.number("count", 1000);
    let mut first = 0;
    let mut made = 0;
    for index in 0..count {
        let pid = call(libc::SYS_fork, []);
        if pid == 0 {
            exit_now((index % 100) as i32);
        }
        if pid > 0 {
            made += 1;
            first = if first == 0 { pid } else { first };
            wait(pid);
        }
    }
    let mut truth = Truth::new();
    truth.put("made", made);
    truth.put("first", first);
    truth.print();
}

/// Makes folders below `path=`, `levels=` deep, each of a name of `length=` bytes, opens a file in the
/// deepest relative to it, and removes everything.
fn deep(params: &Params) {
    let base = params.path("path");
    let name = std::ffi::CString::new(vec![b'd'; params.number("length", 1) as usize]).expect("a name");
    let levels = params.number("levels", 1);
    assert_eq!(call(libc::SYS_chdir, [Str(&base)]), 0, "chdir");
    for level in 0..levels {
        assert_eq!(call(libc::SYS_mkdir, [Str(&name), Int(0o700)]), 0, "mkdir {level}");
        assert_eq!(call(libc::SYS_chdir, [Str(&name)]), 0, "chdir {level}");
    }
    let flags = libc::O_CREAT | libc::O_WRONLY;
    let fd = call(libc::SYS_open, [Str(c"leaf"), Int(flags.into()), Int(0o600)]);
    let truth = Truth::of(fd);
    call(libc::SYS_unlink, [Str(c"leaf")]);
    for _ in 0..levels {
        call(libc::SYS_chdir, [Str(c"..")]);
        call(libc::SYS_rmdir, [Str(&name)]);
    }
    truth.print();
}
