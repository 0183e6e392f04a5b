//! Calls that take paths: open, link, rename, unlink, mkdir, chmod and their relatives.

use crate::{
    Behaviour,
    call::{
        Arg::{Buf, Int, Str},
        bytes_of, call, zeroed,
    },
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("open", open),
    ("open-nowhere", |_| opened(call(libc::SYS_open, [Int(1), Int(0), Int(0)]))),
    ("openat", openat),
    ("openat2", openat2),
    ("creat", creat),
    ("open-by-handle", open_by_handle),
    ("symlink", |p| two_paths(p, libc::SYS_symlink)),
    ("symlinkat", symlinkat),
    ("link", |p| two_paths(p, libc::SYS_link)),
    ("linkat", |p| two_paths_at(p, libc::SYS_linkat)),
    ("rename", |p| two_paths(p, libc::SYS_rename)),
    ("renameat", |p| two_paths_at(p, libc::SYS_renameat)),
    ("renameat2", |p| two_paths_at(p, libc::SYS_renameat2)),
    ("unlink", |p| one_path(p, libc::SYS_unlink)),
    ("unlinkat", |p| one_path_at(p, libc::SYS_unlinkat, "flags")),
    ("mkdir", |p| one_path(p, libc::SYS_mkdir)),
    ("mkdirat", |p| one_path_at(p, libc::SYS_mkdirat, "mode")),
    ("rmdir", |p| one_path(p, libc::SYS_rmdir)),
    ("chmod", |p| one_path(p, libc::SYS_chmod)),
    ("fchmod", fchmod),
    ("fchmodat", |p| one_path_at(p, libc::SYS_fchmodat, "mode")),
    ("fchmodat2", fchmodat2),
];

/// Prints the result of an open, with what `fstat(2)` says of the descriptor.
pub fn opened(ret: i64) {
    let mut truth = Truth::of(ret);
    stat_into(&mut truth, ret);
    truth.print();
}

/// Adds what `fstat(2)` says of a descriptor, if it is one.
pub fn stat_into(truth: &mut Truth, fd: i64) {
    let mut stat: libc::stat = zeroed();
    if fd >= 0 && call(libc::SYS_fstat, [Int(fd), Buf(bytes_of(&mut stat))]) == 0 {
        truth.put("ino", stat.st_ino);
        truth.put("major", libc::major(stat.st_dev));
        truth.put("minor", libc::minor(stat.st_dev));
        truth.put("mode", stat.st_mode);
        truth.put("uid", stat.st_uid);
        truth.put("ctime_ns", stat.st_ctime * 1_000_000_000 + stat.st_ctime_nsec);
        truth.put("mtime_ns", stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec);
    }
}

fn mode(params: &Params) -> i64 {
    params.number("mode", 0o644)
}

fn open(params: &Params) {
    opened(call(
        libc::SYS_open,
        [Str(&params.path("path")), Int(params.number("flags", 0)), Int(mode(params))],
    ));
}

fn openat(params: &Params) {
    let dirfd = params.dirfd("dirfd");
    opened(call(
        libc::SYS_openat,
        [Int(dirfd), Str(&params.path("path")), Int(params.number("flags", 0)), Int(mode(params))],
    ));
}

fn openat2(params: &Params) {
    let dirfd = params.dirfd("dirfd");
    let mut how: libc::open_how = zeroed();
    how.flags = params.number("flags", 0).cast_unsigned();
    how.mode = params.number("mode", 0).cast_unsigned();
    how.resolve = params.number("resolve", 0).cast_unsigned();
    opened(call(
        libc::SYS_openat2,
        [
            Int(dirfd),
            Str(&params.path("path")),
            Buf(bytes_of(&mut how)),
            Int(size_of::<libc::open_how>() as i64),
        ],
    ));
}

fn creat(params: &Params) {
    opened(call(libc::SYS_creat, [Str(&params.path("path")), Int(mode(params))]));
}

/// Opens a file by its handle; `bad`: by one that names none.
fn open_by_handle(params: &Params) {
    // struct file_handle: handle_bytes, handle_type, the handle.
    let mut handle = [0u32; 34];
    handle[0] = 128;
    let mut mount = 0i32;
    let made = call(
        libc::SYS_name_to_handle_at,
        [
            Int(libc::AT_FDCWD.into()),
            Str(&params.path("path")),
            Buf(bytes_of(&mut handle)),
            Buf(bytes_of(&mut mount)),
            Int(0),
        ],
    );
    assert_eq!(made, 0, "actor: name_to_handle_at");
    if params.has("bad") {
        handle[2..].fill(0xffff_fff0);
    }
    // One that was opened as a path only is not taken.
    let flags = libc::O_DIRECTORY | libc::O_CLOEXEC;
    let folder = call(libc::SYS_openat, [Int(0), Str(&params.path("mount")), Int(flags.into())]);
    opened(call(
        libc::SYS_open_by_handle_at,
        [Int(folder), Buf(bytes_of(&mut handle)), Int(params.number("flags", 0))],
    ));
}

fn one_path(params: &Params, nr: libc::c_long) {
    Truth::of(call(nr, [Str(&params.path("path")), Int(mode(params))])).print();
}

fn one_path_at(params: &Params, nr: libc::c_long, third: &str) {
    let dirfd = params.dirfd("dirfd");
    Truth::of(call(nr, [Int(dirfd), Str(&params.path("path")), Int(params.number(third, 0))])).print();
}

fn two_paths(params: &Params, nr: libc::c_long) {
    Truth::of(call(nr, [Str(&params.path("path")), Str(&params.path("path2"))])).print();
}

fn two_paths_at(params: &Params, nr: libc::c_long) {
    let (dirfd, dirfd2) = (params.dirfd("dirfd"), params.dirfd("dirfd2"));
    let mut truth = Truth::of(call(
        nr,
        [
            Int(dirfd),
            Str(&params.path("path")),
            Int(dirfd2),
            Str(&params.path("path2")),
            Int(params.number("flags", 0)),
        ],
    ));
    truth.put("dirfd", dirfd);
    truth.put("dirfd2", dirfd2);
    truth.print();
}

fn symlinkat(params: &Params) {
    let dirfd = params.dirfd("dirfd");
    Truth::of(call(libc::SYS_symlinkat, [Str(&params.path("path")), Int(dirfd), Str(&params.path("path2"))]))
        .print();
}

fn fchmod(params: &Params) {
    let fd = match params.optional_path("path") {
        Some(path) => call(libc::SYS_openat, [Int(libc::AT_FDCWD.into()), Str(&path), Int(0)]),
        None => params.number("fd", -1),
    };
    let mut truth = Truth::of(call(libc::SYS_fchmod, [Int(fd), Int(mode(params))]));
    truth.put("fd", fd);
    truth.print();
}

fn fchmodat2(params: &Params) {
    // Newer than libc's table on some releases.
    const SYS_FCHMODAT2: libc::c_long = 452;
    let dirfd = params.dirfd("dirfd");
    Truth::of(call(
        SYS_FCHMODAT2,
        [Int(dirfd), Str(&params.path("path")), Int(mode(params)), Int(params.number("flags", 0))],
    ))
    .print();
}
