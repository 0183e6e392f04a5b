//! One raw system call, with arguments that are either numbers or borrowed memory.

use std::ffi::CStr;

/// An argument of a system call.
pub enum Arg<'a> {
    /// A number, a descriptor, flags; also a null pointer (0).
    Int(i64),
    /// A string.
    Str(&'a CStr),
    /// Memory the kernel reads, or writes within its length.
    Buf(&'a mut [u8]),
    /// A pointer to something that is not plain bytes (an `iovec`, a `msghdr`, a pointer array).
    Ptr(*mut libc::c_void),
}

use Arg::{Buf, Int, Ptr, Str};

impl Arg<'_> {
    fn register(&mut self) -> libc::c_long {
        match self {
            Int(number) => *number,
            Str(text) => text.as_ptr() as libc::c_long,
            Buf(bytes) => bytes.as_mut_ptr() as libc::c_long,
            Ptr(pointer) => *pointer as libc::c_long,
        }
    }
}

/// Makes the call; the result is the kernel's: `-errno` on failure.
pub fn call<const N: usize>(nr: libc::c_long, args: [Arg<'_>; N]) -> i64 {
    let mut registers = [0; 6];
    for (register, mut arg) in registers.iter_mut().zip(args) {
        *register = arg.register();
    }
    let [a, b, c, d, e, f] = registers;
    // SAFETY: memory arguments are borrowed for the whole call and their lengths are passed by the
    // caller as the following argument where the call has one; no behaviour calls what remaps memory
    // that Rust uses (munmap, brk) through here.
    let result = unsafe { libc::syscall(nr, a, b, c, d, e, f) };
    if result == -1 { -i64::from(errno()) } else { result }
}

/// The calling thread's `errno`.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The bytes of a C structure, to hand it to the kernel or to read what the kernel put there.
pub fn bytes_of<T: Copy>(value: &mut T) -> &mut [u8] {
    // SAFETY: the slice covers exactly the value, which outlives it and is borrowed mutably; callers use
    // libc's plain structures, for which any bytes the kernel writes are valid.
    unsafe { std::slice::from_raw_parts_mut(std::ptr::from_mut(value).cast(), size_of::<T>()) }
}

/// An all-zero C structure.
pub fn zeroed<T: Copy>() -> T {
    // SAFETY: used for libc's plain structures of integers and pointers, for which zero is valid.
    unsafe { std::mem::zeroed() }
}

/// Waits for a child of ours; its status as of `wait(2)`.
pub fn wait(pid: i64) -> i32 {
    let mut status = 0i32;
    loop {
        let result =
            call(libc::SYS_wait4, [Int(pid), Buf(bytes_of(&mut status)), Int(libc::__WALL.into()), Int(0)]);
        if result != -i64::from(libc::EINTR) {
            return status;
        }
    }
}

/// Ends this process at once, without running anything of the parent's.
pub fn exit_now(code: i32) -> ! {
    call(libc::SYS_exit_group, [Int(code.into())]);
    unreachable!("exit_group returned")
}

/// A child process made by `fork(2)`: runs `child` and exits 0. Returns its pid.
pub fn fork(child: impl FnOnce()) -> i64 {
    // The actor is single-threaded where it forks, so the child may use everything.
    let pid = call(libc::SYS_fork, []);
    if pid == 0 {
        child();
        exit_now(0);
    }
    pid
}
