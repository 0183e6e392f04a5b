//! dup and its relatives, and memfd_create.

use crate::{
    Behaviour,
    call::{
        Arg::{Int, Str},
        call,
    },
    files, inet,
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("dup", |p| duplicate(p, |old, _| call(libc::SYS_dup, [Int(old)]))),
    ("dup2", |p| duplicate(p, |old, new| call(libc::SYS_dup2, [Int(old), Int(new)]))),
    ("dup3", |p| {
        duplicate(p, |old, new| call(libc::SYS_dup3, [Int(old), Int(new), Int(p.number("flags", 0))]))
    }),
    ("memfd_create", memfd_create),
];

/// Duplicates the descriptor of `path=`, of a connected TCP socket (`tcp=4|6`), or number `fd=`.
fn duplicate(params: &Params, dup: impl Fn(i64, i64) -> i64) {
    let mut truth;
    let old;
    if let Some(path) = params.optional_path("path") {
        old = call(libc::SYS_openat, [Int(libc::AT_FDCWD.into()), Str(&path), Int(0)]);
        truth = Truth::new();
    } else if params.get("tcp").is_some() {
        let pair = inet::connected_pair(params.number("tcp", 4) == 6);
        old = pair.client;
        truth = Truth::new();
        truth.put("lport", pair.client_port);
        truth.put("rport", pair.server_port);
    } else {
        old = params.number("fd", -1);
        truth = Truth::new();
    }
    truth.put("ret", dup(old, params.number("new", 77)));
    truth.put("old", old);
    truth.print();
}

fn memfd_create(params: &Params) {
    files::opened(call(libc::SYS_memfd_create, [Str(&params.path("name")), Int(params.number("flags", 0))]));
}
