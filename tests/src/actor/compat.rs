//! Calls through the 32-bit table: `int 0x80` from a 64-bit process, with memory under 4 GiB.

use std::arch::asm;

use crate::{
    Behaviour, files,
    inet::{self, Address},
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("compat-open", |p| open(p, 5)),
    ("compat-creat", |p| creat(p)),
    ("compat-openat", openat),
    ("compat-execve", execve),
    ("compat-socketcall", |_| stream(false)),
    ("compat-sockets", |_| stream(true)),
    ("compat-unlink", unlink),
    ("compat-dup2", |p| {
        Truth::of(call32(63, [p.number("fd", 0) as u32, p.number("new", 77) as u32, 0, 0, 0])).print()
    }),
    ("compat-setuid", |p| Truth::of(call32(213, [p.number("uid", 0) as u32, 0, 0, 0, 0])).print()),
];

/// The ia32 system call `nr`; `-errno` on failure. Pointers must be from a [`Low`].
fn call32(nr: u32, args: [u32; 5]) -> i64 {
    let [a, b, c, d, e] = args.map(u64::from);
    let result: u64;
    // SAFETY: rbx, which LLVM reserves, is swapped with the first argument and back; the kernel's
    // int 0x80 entry preserves the other registers except rax and may clear r8 to r11. Pointers passed
    // are into live `Low` memory.
    unsafe {
        asm!(
            "xchg rbx, {a}",
            "int 0x80",
            "xchg rbx, {a}",
            a = inout(reg) a => _,
            inlateout("rax") u64::from(nr) => result,
            in("rcx") b,
            in("rdx") c,
            in("rsi") d,
            in("rdi") e,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    i64::from(result as u32 as i32)
}

/// Memory under 4 GiB, never freed, filled from its beginning.
struct Low {
    base: *mut u8,
    used: usize,
}

impl Low {
    const SIZE: usize = 1 << 20;

    fn new() -> Low {
        // SAFETY: a new anonymous mapping, which nothing else refers to.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Low::SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED, "mmap under 4 GiB");
        Low { base: base.cast(), used: 0 }
    }

    /// Copies bytes there, 8-aligned; their address.
    fn put(&mut self, bytes: &[u8]) -> u32 {
        assert!(self.used + bytes.len() <= Low::SIZE, "room");
        // SAFETY: the range lies in the mapping, as just checked.
        let place = unsafe { self.base.add(self.used) };
        // SAFETY: as above; the source cannot overlap a mapping that only we write to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        self.used += bytes.len().next_multiple_of(8);
        u32::try_from(place as usize).expect("an address under 4 GiB")
    }

    fn text(&mut self, bytes: &[u8]) -> u32 {
        self.put(&[bytes, b"\0"].concat())
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.put(&bytes)
    }
}

fn open(params: &Params, nr: u32) {
    let path = Low::new().text(params.get("path").expect("path="));
    files::opened(call32(
        nr,
        [path, params.number("flags", 0) as u32, params.number("mode", 0o644) as u32, 0, 0],
    ));
}

fn creat(params: &Params) {
    let path = Low::new().text(params.get("path").expect("path="));
    files::opened(call32(8, [path, params.number("mode", 0o644) as u32, 0, 0, 0]));
}

fn openat(params: &Params) {
    let path = Low::new().text(params.get("path").expect("path="));
    let dirfd = params.dirfd("dirfd") as u32;
    files::opened(call32(
        295,
        [dirfd, path, params.number("flags", 0) as u32, params.number("mode", 0o644) as u32, 0],
    ));
}

fn unlink(params: &Params) {
    let path = Low::new().text(params.get("path").expect("path="));
    Truth::of(call32(10, [path, 0, 0, 0, 0])).print();
}

fn execve(params: &Params) {
    let mut low = Low::new();
    let path = low.text(params.get("path").expect("path="));
    let mut pointers: Vec<u32> = params.rest().iter().map(|word| low.text(word)).collect();
    pointers.push(0);
    let argv = low.words(&pointers);
    let entry = low.text(b"COMPAT=yes");
    let envp = low.words(&[entry, 0]);
    Truth::new().print();
    Truth::of(call32(11, [path, argv, envp, 0, 0])).print();
}

/// socket, bind, listen, connect and accept over IPv4, by the multiplexer socketcall(2) or, with
/// `direct`, by their own numbers.
fn stream(direct: bool) {
    let mut low = Low::new();
    // (socketcall's number, the call's own): there is no own number for accept, only for accept4.
    let mut make = |call: (u32, u32), args: [u32; 4]| {
        if direct {
            call32(call.1, [args[0], args[1], args[2], args[3], 0])
        } else {
            let block = low.words(&args);
            call32(102, [call.0, block, 0, 0, 0])
        }
    };
    let mut memory = Low::new();
    let server = make((1, 359), [libc::AF_INET as u32, libc::SOCK_STREAM as u32, 0, 0]);
    let mut address = Address::loopback(false, 0);
    let pointer = memory.put(address.bytes());
    let bound = make((2, 361), [server as u32, pointer, 16, 0]);
    let listening = make((4, 363), [server as u32, 8, 0, 0]);
    let server_port = inet::local_port(server);
    let mut address = Address::loopback(false, server_port);
    let pointer = memory.put(address.bytes());
    let client = make((1, 359), [libc::AF_INET as u32, libc::SOCK_STREAM as u32, 0, 0]);
    let connected = make((3, 362), [client as u32, pointer, 16, 0]);
    let accepted = make((18, 364), [server as u32, 0, 0, libc::SOCK_CLOEXEC as u32]);
    assert_eq!((bound, listening, connected), (0, 0, 0), "bind, listen, connect");
    let mut truth = Truth::new();
    truth.put("server", server);
    truth.put("client", client);
    truth.put("accepted", accepted);
    truth.put("server_port", server_port);
    truth.put("client_port", inet::local_port(client));
    truth.print();
}
