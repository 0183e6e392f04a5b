//! Executing programs.

use std::{ffi::CString, fs, io::Write, os::fd::FromRawFd};

use crate::{
    Behaviour,
    call::{
        Arg::{Int, Ptr, Str},
        call, exit_now, fork, wait,
    },
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("execve", execve),
    ("execveat", execveat),
    ("exec-memfd", exec_memfd),
    ("exec-deleted", exec_deleted),
    ("spawn", spawn),
    ("spawn-as", spawn_as),
];

/// Strings as the null-terminated array of pointers that exec takes.
pub struct Strings {
    pointers: Vec<*const libc::c_char>,
    _owned: Vec<CString>,
}

impl Strings {
    pub fn new(words: impl IntoIterator<Item = Vec<u8>>) -> Strings {
        let owned: Vec<CString> =
            words.into_iter().map(|word| CString::new(word).expect("no NUL in an argument")).collect();
        let mut pointers: Vec<_> = owned.iter().map(|word| word.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Strings { pointers, _owned: owned }
    }

    pub fn pointer(&mut self) -> *mut libc::c_void {
        self.pointers.as_mut_ptr().cast()
    }
}

/// The environment: ours, or `env=A=1,B=2` alone.
fn environment(params: &Params) -> Strings {
    match params.get("env") {
        Some(list) => Strings::new(list.split(|byte| *byte == b',').map(<[u8]>::to_vec)),
        None => {
            use std::os::unix::ffi::OsStrExt;
            Strings::new(
                std::env::vars_os().map(|(key, value)| [key.as_bytes(), b"=", value.as_bytes()].concat()),
            )
        }
    }
}

/// The arguments: the words after `--`, then `fill=COUNT` arguments of `length=` bytes.
fn arguments(params: &Params) -> Strings {
    let mut words = params.rest();
    let filler = vec![b'x'; usize::try_from(params.number("length", 0)).expect("a length")];
    for _ in 0..params.number("fill", 0) {
        words.push(filler.clone());
    }
    Strings::new(words)
}

fn execve(params: &Params) {
    let (mut argv, mut envp) = (arguments(params), environment(params));
    let truth = Truth::new();
    truth.print();
    let ret = call(libc::SYS_execve, [Str(&params.path("path")), Ptr(argv.pointer()), Ptr(envp.pointer())]);
    Truth::of(ret).print();
}

fn execveat(params: &Params) {
    let (mut argv, mut envp) = (arguments(params), environment(params));
    let dirfd = match params.optional_path("file") {
        Some(file) => {
            call(libc::SYS_openat, [Int(libc::AT_FDCWD.into()), Str(&file), Int(libc::O_PATH.into())])
        }
        None => params.dirfd("dirfd"),
    };
    Truth::new().print();
    let ret = call(
        libc::SYS_execveat,
        [
            Int(dirfd),
            Str(&params.path("path")),
            Ptr(argv.pointer()),
            Ptr(envp.pointer()),
            Int(params.number("flags", 0)),
        ],
    );
    Truth::of(ret).print();
}

/// Copies `path=` into a memfd called `name=` and executes that.
fn exec_memfd(params: &Params) {
    let program = fs::read(std::path::Path::new(params.text("path").expect("path="))).expect("readable");
    let fd = call(libc::SYS_memfd_create, [Str(&params.path("name")), Int(0)]);
    assert!(fd >= 0, "memfd_create: {fd}");
    // SAFETY: the descriptor was just made and is owned here alone.
    let mut file = unsafe { fs::File::from_raw_fd(i32::try_from(fd).expect("a descriptor")) };
    file.write_all(&program).expect("written");
    let (mut argv, mut envp) = (arguments(params), environment(params));
    Truth::new().print();
    let ret = call(
        libc::SYS_execveat,
        [Int(fd), Str(c""), Ptr(argv.pointer()), Ptr(envp.pointer()), Int(libc::AT_EMPTY_PATH.into())],
    );
    Truth::of(ret).print();
}

/// Executes `path=` through a descriptor after unlinking it.
fn exec_deleted(params: &Params) {
    let path = params.path("path");
    let fd = call(libc::SYS_openat, [Int(libc::AT_FDCWD.into()), Str(&path), Int(0)]);
    call(libc::SYS_unlink, [Str(&path)]);
    let (mut argv, mut envp) = (arguments(params), environment(params));
    Truth::new().print();
    let ret = call(
        libc::SYS_execveat,
        [Int(fd), Str(c""), Ptr(argv.pointer()), Ptr(envp.pointer()), Int(libc::AT_EMPTY_PATH.into())],
    );
    Truth::of(ret).print();
}

/// `spawn FILE ARG…`: a child executes FILE, with FILE as its argument zero; waits for it.
fn spawn(params: &Params) {
    let words = params.words().to_vec();
    run(words[0].clone(), words);
}

/// `spawn-as FILE ARG0 ARG…`: as spawn, with another argument zero.
fn spawn_as(params: &Params) {
    let mut words = params.words().to_vec();
    let file = words.remove(0);
    run(file, words);
}

fn run(file: Vec<u8>, words: Vec<Vec<u8>>) {
    let path = CString::new(file).expect("no NUL in a path");
    let mut argv = Strings::new(words);
    let mut envp = environment(&Params::new(Vec::new()));
    wait(fork(|| {
        Truth::new().print();
        let ret = call(libc::SYS_execve, [Str(&path), Ptr(argv.pointer()), Ptr(envp.pointer())]);
        Truth::of(ret).print();
        exit_now(127);
    }));
}
