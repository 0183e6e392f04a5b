//! Opens and connects that are submitted by io_uring, through the system calls themselves.

use std::{
    ffi::CString,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    Behaviour,
    call::{
        Arg::{Buf, Int},
        bytes_of, call, zeroed,
    },
    files::stat_into,
    inet::{Address, listener, socket},
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("uring-open", open),
    ("uring-reopen", reopen),
    ("uring-overflow", overflow),
    ("uring-connect", connect),
];

const OP_NOP: u8 = 0;
const OP_CONNECT: u8 = 16;
const OP_OPENAT: u8 = 18;
const OP_CLOSE: u8 = 19;
const OP_OPENAT2: u8 = 28;
const IOSQE_ASYNC: u8 = 1 << 4;
const IOSQE_CQE_SKIP_SUCCESS: u8 = 1 << 6;
const SETUP_SQPOLL: u32 = 1 << 1;
const SETUP_CQSIZE: u32 = 1 << 3;
const ENTER_GETEVENTS: i64 = 1;
const ENTER_SQ_WAKEUP: i64 = 2;
const REGISTER_FILES: i64 = 2;
const OFF_SQ_RING: i64 = 0;
const OFF_CQ_RING: i64 = 0x800_0000;
const OFF_SQES: i64 = 0x1000_0000;

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Setup {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    resv: [u32; 3],
    /// head, tail, ring_mask, ring_entries, flags, dropped, array, resv1, user_addr (2)
    sq_off: [u32; 10],
    /// head, tail, ring_mask, ring_entries, overflow, cqes, flags, resv1, user_addr (2)
    cq_off: [u32; 10],
}

/// `struct io_uring_sqe`, the members that are used here.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    /// Also `addr2`.
    off: u64,
    addr: u64,
    len: u32,
    /// Also `open_flags`.
    rw_flags: u32,
    user_data: u64,
    buf_index: u16,
    personality: u16,
    file_index: u32,
    rest: [u64; 2],
}

/// A ring of eight submissions.
struct Ring {
    fd: i64,
    setup: Setup,
    sq: *mut u8,
    cq: *mut u8,
    sqes: *mut Sqe,
}

impl Ring {
    /// `completions`: entries of the completion queue, 0 for what the kernel takes.
    fn new(flags: u32, completions: u32) -> Ring {
        let mut setup: Setup = zeroed();
        setup.flags = flags | if completions == 0 { 0 } else { SETUP_CQSIZE };
        setup.cq_entries = completions;
        setup.sq_thread_idle = 10_000;
        let fd = call(libc::SYS_io_uring_setup, [Int(8), Buf(bytes_of(&mut setup))]);
        assert!(fd >= 0, "actor: io_uring_setup: {fd}");
        let map = |offset: i64| {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a new mapping of the ring, at an address that the kernel chooses.
            let address = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    1 << 14,
                    protection,
                    libc::MAP_SHARED | libc::MAP_POPULATE,
                    fd as i32,
                    offset,
                )
            };
            assert!(address != libc::MAP_FAILED, "actor: mmap: {}", crate::call::errno());
            address.cast::<u8>()
        };
        Ring { fd, setup, sq: map(OFF_SQ_RING), cq: map(OFF_CQ_RING), sqes: map(OFF_SQES).cast() }
    }

    fn word(base: *mut u8, offset: u32) -> &'static AtomicU32 {
        // SAFETY: within the mapping, which lasts as long as the process; the kernel's words are aligned.
        unsafe { &*base.add(offset as usize).cast() }
    }

    /// Puts a request in line.
    fn push(&self, sqe: Sqe) {
        let tail = Ring::word(self.sq, self.setup.sq_off[1]);
        let index = tail.load(Ordering::Relaxed) & (self.setup.sq_entries - 1);
        // SAFETY: the index is below the number of entries.
        unsafe { self.sqes.add(index as usize).write_volatile(sqe) };
        Ring::word(self.sq, self.setup.sq_off[6] + index * 4).store(index, Ordering::Relaxed);
        tail.fetch_add(1, Ordering::Release);
    }

    /// Submits what is in line, and waits for so many completions.
    fn enter(&self, requests: i64, completions: i64) {
        let poll = self.setup.flags & SETUP_SQPOLL != 0;
        let flags = ENTER_GETEVENTS | if poll { ENTER_SQ_WAKEUP } else { 0 };
        let done = call(
            libc::SYS_io_uring_enter,
            [Int(self.fd), Int(requests), Int(completions), Int(flags), Int(0), Int(0)],
        );
        assert!(done >= 0, "actor: io_uring_enter: {done}");
    }

    /// The oldest completion's result, which is taken out.
    fn result(&self) -> Option<i32> {
        let head = Ring::word(self.cq, self.setup.cq_off[0]);
        let at = head.load(Ordering::Relaxed);
        if at == Ring::word(self.cq, self.setup.cq_off[1]).load(Ordering::Acquire) {
            return None;
        }
        let index = at & (self.setup.cq_entries - 1);
        // user_data (u64), res (i32), flags (u32)
        let result = Ring::word(self.cq, self.setup.cq_off[5] + index * 16 + 8).load(Ordering::Relaxed);
        head.store(at.wrapping_add(1), Ordering::Release);
        Some(result.cast_signed())
    }
}

fn sqe(opcode: u8, params: &Params) -> Sqe {
    let mut sqe: Sqe = zeroed();
    sqe.opcode = opcode;
    if params.has("skip") {
        sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
    }
    if params.has("async") {
        sqe.flags |= IOSQE_ASYNC;
    }
    sqe
}

fn openat(path: &CString, params: &Params) -> Sqe {
    let mut open = sqe(OP_OPENAT, params);
    open.fd = params.dirfd("dirfd") as i32;
    open.addr = path.as_ptr() as u64;
    open.rw_flags = params.number("flags", 0) as u32;
    open.len = params.number("mode", 0) as u32;
    open
}

/// The descriptor that the next open gets.
fn next_descriptor() -> i64 {
    let fd = call(libc::SYS_dup, [Int(0)]);
    call(libc::SYS_close, [Int(fd)]);
    fd
}

/// Waits until the descriptor is there: an open may be left to a worker.
fn wait_for(fd: i64) {
    let mut stat: libc::stat = zeroed();
    while call(libc::SYS_fstat, [Int(fd), Buf(bytes_of(&mut stat))]) != 0 {
        std::thread::yield_now();
    }
}

/// One open, `how` for openat2, `direct` into the ring's own table, `poll` by the kernel's thread.
fn open(params: &Params) {
    let ring = Ring::new(if params.has("poll") { SETUP_SQPOLL } else { 0 }, 0);
    let path = params.path("path");
    let mut how: libc::open_how = zeroed();
    let mut open = openat(&path, params);
    if params.has("how") {
        how.flags = params.number("flags", 0).cast_unsigned();
        how.mode = params.number("mode", 0).cast_unsigned();
        how.resolve = params.number("resolve", 0).cast_unsigned();
        open.opcode = OP_OPENAT2;
        open.off = (&raw const how) as u64;
        open.len = size_of::<libc::open_how>() as u32;
        open.rw_flags = 0;
    }
    if params.has("direct") {
        let mut slots = [-1i32; 4];
        let registered = call(
            libc::SYS_io_uring_register,
            [Int(ring.fd), Int(REGISTER_FILES), Buf(bytes_of(&mut slots)), Int(4)],
        );
        assert_eq!(registered, 0, "actor: io_uring_register");
        open.file_index = 1;
    }
    let expected = next_descriptor();
    ring.push(open);
    // Of a request that wants no completion only the next one tells that it was submitted.
    let skips = params.has("skip") && !params.has("fails");
    ring.enter(1, i64::from(!skips));
    let ret = if skips {
        wait_for(expected);
        expected
    } else {
        ring.result().expect("a completion").into()
    };
    let mut truth = Truth::of(ret);
    if !params.has("direct") {
        stat_into(&mut truth, ret);
    }
    truth.print();
}

/// One batch: an open, the close of the descriptor that it gets, and an openat2 of another file, which gets the
/// same. When the first completion is posted the descriptor is the second file's.
fn reopen(params: &Params) {
    let ring = Ring::new(0, 0);
    let (path, path2) = (params.path("path"), params.path("path2"));
    let ret = next_descriptor();
    ring.push(openat(&path, params));
    let mut close: Sqe = zeroed();
    close.opcode = OP_CLOSE;
    close.fd = ret as i32;
    ring.push(close);
    let how: libc::open_how = zeroed();
    let mut second: Sqe = zeroed();
    second.opcode = OP_OPENAT2;
    second.fd = libc::AT_FDCWD;
    second.addr = path2.as_ptr() as u64;
    second.off = (&raw const how) as u64;
    second.len = size_of::<libc::open_how>() as u32;
    ring.push(second);
    ring.enter(3, if params.has("skip") { 2 } else { 3 });
    Truth::of(ret).print();
}

/// An open whose completion finds the queue full.
fn overflow(params: &Params) {
    let ring = Ring::new(0, 8);
    for _ in 0..8 {
        let mut nop: Sqe = zeroed();
        nop.opcode = OP_NOP;
        ring.push(nop);
    }
    ring.enter(8, 8);
    let path = params.path("path");
    ring.push(openat(&path, params));
    let ret = next_descriptor();
    ring.enter(1, 0);
    wait_for(ret);
    Truth::of(ret).print();
}

/// A TCP connect on loopback, to a port that listens or, if `refused`, to one that does not.
fn connect(params: &Params) {
    let (fd, port) = listener(false, 8);
    if params.has("refused") {
        call(libc::SYS_close, [Int(fd)]);
    }
    let ring = Ring::new(0, 0);
    let client = socket(false, libc::SOCK_STREAM);
    let mut address = Address::loopback(false, port);
    let bytes = address.bytes();
    let mut connect = sqe(OP_CONNECT, params);
    connect.fd = client as i32;
    connect.addr = bytes.as_ptr() as u64;
    connect.off = bytes.len() as u64;
    ring.push(connect);
    ring.enter(1, i64::from(!params.has("skip")));
    let mut truth = Truth::of(ring.result().unwrap_or(0).into());
    truth.put("fd", client);
    truth.put("port", port);
    truth.print();
}
