// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! Resolving a (mount, dentry) to a path, as `d_path` does for the running task.
//!
//! `bpf_d_path` is refused in these programs, so the dentries are walked here: from the leaf to the task's
//! root, crossing mounts. The walk takes no lock. A rename at the same moment can give a path that mixes
//! old and new names, as it can for every reader without `rename_lock`.
use core::ffi::c_void;

use aya_ebpf::helpers::generated as bpf;
use exporter_common::record::{SECTION_DELETED, SECTION_TRUNCATED, SectionKind};

use crate::{
    maps::{PATH_END, SHORT, Scratch},
    memory::{Ptr, copy_kernel, fetch, mask, member},
    offsets::{fact, has, load, load_ptr, member, probe},
    record,
};

/// More than there can be components and mounts in 4096 bytes.
const MAX_STEPS: u32 = 4096;
/// A component's name is at most this long (`NAME_MAX`).
const NAME_MASK: u64 = 0xff;

const PIPEFS: u64 = 0x5049_5045;
const SOCKFS: u64 = 0x534f_434b;
const ANON_INODE_FS: u64 = 0x0904_1934;
const NSFS: u64 = 0x6e73_6673;
const PIDFS: u64 = 0x5049_4446;

/// What the body of a kernel loop gets: it may use the caller's stack, and no other memory.
#[repr(C)]
pub struct LoopContext {
    pub scratch: *mut Scratch,
}

/// Runs `body` up to `times` times, until it returns 1.
#[inline(always)]
pub fn repeat(s: *mut Scratch, times: u32, body: extern "C" fn(u64, *mut LoopContext) -> i64) {
    let mut context = LoopContext { scratch: s };
    // SAFETY: the body has the signature that bpf_loop calls.
    unsafe { bpf::bpf_loop(times, body as *mut c_void, (&raw mut context).cast(), 0) };
}

/// Remembers the task's root, at which paths end. Once per record.
#[inline(always)]
pub fn begin(s: *mut Scratch, task: Ptr) {
    let fs = load_ptr!(task, OFF_TASK_FS);
    let (mut dentry, mut mnt) = (0, 0);
    if !fs.is_null() {
        dentry = load!(u64, fs, OFF_FS_ROOT_DENTRY);
        mnt = load!(u64, fs, OFF_FS_ROOT_MNT);
    }
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        (*s).walk.root_dentry = dentry;
        (*s).walk.root_vfsmnt = mnt;
    }
}

/// Continues the walk in this mount.
#[inline(always)]
pub fn enter_mount(s: *mut Scratch, vfsmnt: u64) {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let mount = vfsmnt.wrapping_sub(fact!(OFF_MOUNT_MNT) as u64);
        let chunk = &raw mut (*s).mount;
        fetch(chunk, mount);
        (*s).walk.vfsmnt = vfsmnt;
        (*s).walk.mnt_root = member(chunk, mount, fact!(OFF_MOUNT_MNT) + fact!(OFF_VFSMOUNT_ROOT));
    }
}

/// Puts `len` bytes of kernel memory, at most `NAME_MASK`, before what is there.
/// False if there is no room.
#[inline(always)]
fn prepend(s: *mut Scratch, from: u64, len: u64) -> bool {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let len = mask::<NAME_MASK>(len);
        let start = (*s).walk.start;
        if start < len {
            (*s).walk.flags |= u32::from(SECTION_TRUNCATED);
            return false;
        }
        let start = mask::<{ PATH_END - 1 }>(start - len);
        copy_kernel((&raw mut (*s).path).cast::<u8>().add(start as usize), len, from);
        (*s).walk.start = start;
    }
    true
}

/// Are short names within the part of a dentry that is fetched? A constant for the verifier.
#[inline(always)]
pub fn has_short_names() -> bool {
    let offset = fact!(OFF_DENTRY_SHORTNAME);
    offset >= SHORT as usize && offset <= 96 - SHORT as usize
}

/// Puts the short name of the dentry that was fetched before what is there. A helper call less than [`prepend`].
#[inline(always)]
fn prepend_short(s: *mut Scratch, len: u64) -> bool {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let start = (*s).walk.start;
        if start < len {
            (*s).walk.flags |= u32::from(SECTION_TRUNCATED);
            return false;
        }
        // Whole words that end where the name ends. What they carry before it is overwritten by what is next.
        let from = (&raw const (*s).dentry).cast::<u8>();
        let from = from.add(fact!(OFF_DENTRY_SHORTNAME)).add(mask::<63>(len) as usize).sub(SHORT as usize);
        let end = mask::<{ 2 * PATH_END - 1 }>(start);
        if end > PATH_END {
            return false;
        }
        let to = (&raw mut (*s).margin).cast::<u8>().add(end as usize);
        for word in 0..SHORT as usize / 8 {
            let value = from.cast::<u64>().add(word).read_volatile();
            to.cast::<u64>().add(word).write_volatile(value);
        }
        (*s).walk.start = start - len;
    }
    true
}

#[inline(always)]
pub fn prepend_byte(s: *mut Scratch, byte: u8) -> bool {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let start = (*s).walk.start;
        if start == 0 {
            (*s).walk.flags |= u32::from(SECTION_TRUNCATED);
            return false;
        }
        let start = mask::<{ PATH_END - 1 }>(start - 1);
        *(&raw mut (*s).path).cast::<u8>().add(start as usize) = byte;
        (*s).walk.start = start;
    }
    true
}

#[inline(always)]
fn prepend_text<const N: usize>(s: *mut Scratch, text: [u8; N]) {
    for byte in text.into_iter().rev() {
        prepend_byte(s, byte);
    }
}

/// What is at a point of a walk, besides a name.
pub enum Crossing {
    /// Nothing: the walk goes on over the name.
    None,
    /// A mount's root: the walk is at its mount point now.
    Crossed,
    /// The task's root, or that of the mount tree.
    Root,
}

/// From a mount's root to its mount point, if the walk is at one.
#[inline(always)]
pub fn cross_mounts(s: *mut Scratch) -> Crossing {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let dentry = (*s).walk.dentry;
        if dentry == (*s).walk.root_dentry && (*s).walk.vfsmnt == (*s).walk.root_vfsmnt {
            return Crossing::Root;
        }
        if dentry != (*s).walk.mnt_root {
            return Crossing::None;
        }
        let mount = (*s).walk.vfsmnt.wrapping_sub(fact!(OFF_MOUNT_MNT) as u64);
        let chunk = &raw const (*s).mount;
        let parent = member!(u64, chunk, mount, OFF_MOUNT_PARENT);
        if parent == mount || parent == 0 {
            return Crossing::Root;
        }
        (*s).walk.dentry = member!(u64, chunk, mount, OFF_MOUNT_MOUNTPOINT);
        enter_mount(s, parent + fact!(OFF_MOUNT_MNT) as u64);
        Crossing::Crossed
    }
}

/// One step: over a mount's root to its mount point, or over a name to the parent.
extern "C" fn step(index: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the loop's context, which holds this CPU's scratch memory.
    unsafe {
        let s = (*context).scratch;
        match cross_mounts(s) {
            Crossing::None => {}
            Crossing::Crossed => return 0,
            Crossing::Root => return 1,
        }
        let dentry = (*s).walk.dentry;
        let chunk = &raw mut (*s).dentry;
        if !fetch(chunk, dentry) {
            return 1;
        }
        let parent = member!(u64, chunk, dentry, OFF_DENTRY_PARENT);
        if parent == dentry {
            // A root that is not its mount's: a file of a pseudo file system, or one that was moved away.
            (*s).walk.pseudo = u32::from(index == 0);
            return 1;
        }
        if index == 0 && member!(u64, chunk, dentry, OFF_DENTRY_HASH_PPREV) == 0 {
            (*s).walk.flags |= u32::from(SECTION_DELETED);
        }
        let len = member!(u32, chunk, dentry, OFF_DENTRY_NAME_LEN);
        let name = member!(u64, chunk, dentry, OFF_DENTRY_NAME_NAME);
        let inside = has_short_names()
            && u64::from(len) < SHORT
            && name == dentry + fact!(OFF_DENTRY_SHORTNAME) as u64;
        let fits = if inside { prepend_short(s, u64::from(len)) } else { prepend(s, name, u64::from(len)) };
        if !fits || !prepend_byte(s, b'/') {
            return 1;
        }
        (*s).walk.dentry = parent;
    }
    0
}

/// Finds the path of a file and leaves it in `s.path[walk.start..PATH_END]`, with `walk.flags`.
#[inline(never)]
pub fn resolve(s: *mut Scratch, vfsmnt: u64, dentry: u64) {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        (*s).walk.dentry = dentry;
        (*s).walk.start = PATH_END;
        (*s).walk.flags = 0;
        (*s).walk.pseudo = 0;
        enter_mount(s, vfsmnt);
        repeat(s, MAX_STEPS, step);
        if (*s).walk.pseudo != 0 {
            name_pseudo(s, dentry);
        } else if (*s).walk.start == PATH_END {
            prepend_byte(s, b'/');
        }
    }
}

/// Files of pseudo file systems have no place in the tree; each has its `d_dname`, which is imitated here.
#[inline(never)]
fn name_pseudo(s: *mut Scratch, dentry: u64) {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let chunk = &raw const (*s).dentry;
        let len = u64::from(member!(u32, chunk, dentry, OFF_DENTRY_NAME_LEN));
        let name = member!(u64, chunk, dentry, OFF_DENTRY_NAME_NAME);
        let inode = member!(u64, chunk, dentry, OFF_DENTRY_INODE);
        let sb = member!(u64, chunk, dentry, OFF_DENTRY_SB);
        let magic = probe!(u64, sb, OFF_SB_MAGIC);
        let ino = probe!(u64, inode, OFF_INODE_INO);
        if magic == PIPEFS {
            prepend_number(s, ino);
            prepend_text(s, *b"pipe:");
        } else if magic == SOCKFS {
            prepend_number(s, ino);
            prepend_text(s, *b"socket:");
        } else if magic == NSFS {
            prepend_number(s, ino);
            prepend_byte(s, b':');
            prepend_namespace(s, inode);
        } else if magic == PIDFS {
            prepend_text(s, *b"anon_inode:[pidfd]");
        } else {
            prepend(s, name, len);
            if magic == ANON_INODE_FS {
                prepend_text(s, *b"anon_inode:");
            } else {
                // `simple_dname`, of memfds and the like: never linked.
                prepend_byte(s, b'/');
                (*s).walk.flags |= u32::from(SECTION_DELETED);
            }
        }
    }
}

/// `[number]` in decimal.
#[inline(always)]
fn prepend_number(s: *mut Scratch, number: u64) {
    prepend_byte(s, b']');
    let mut rest = number;
    for _ in 0..20 {
        prepend_byte(s, b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    prepend_byte(s, b'[');
}

/// The kind of namespace: `ns->ops->name`, a short string.
#[inline(always)]
fn prepend_namespace(s: *mut Scratch, inode: u64) {
    if !has!(OFF_NS_COMMON_OPS) || !has!(OFF_NS_OPS_NAME) {
        return;
    }
    let ns = probe!(u64, inode, OFF_INODE_PRIVATE);
    let ops = probe!(u64, ns, OFF_NS_COMMON_OPS);
    let name = probe!(u64, ops, OFF_NS_OPS_NAME);
    prepend_string(s, name);
}

/// Puts a NUL-terminated string of kernel memory, cut to `NAME_MASK` bytes, before what is there.
/// False if it is empty or there is no room.
#[inline(always)]
pub fn prepend_string(s: *mut Scratch, string: u64) -> bool {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let buffer = &raw mut (*s).name;
        let n = bpf::bpf_probe_read_kernel_str(buffer.cast(), NAME_MASK as u32 + 1, string as *const c_void);
        n > 1 && prepend(s, buffer as u64, n as u64 - 1)
    }
}

/// Prepends `/name`. False if it is empty or there is no room.
#[inline(always)]
pub fn prepend_component(s: *mut Scratch, string: u64) -> bool {
    prepend_string(s, string) && prepend_byte(s, b'/')
}

/// Appends the path that [`resolve`] left as a section.
#[inline(never)]
pub fn put(s: *mut Scratch, kind: u32) {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let start = mask::<{ 2 * PATH_END - 1 }>((*s).walk.start);
        if start >= PATH_END {
            return;
        }
        let len = PATH_END - start;
        let from = (&raw const (*s).path).cast::<u8>().add(start as usize);
        if len <= 64 {
            // A helper call less. What is copied beyond the end is cut off.
            let to = record::data(s).cast::<u64>();
            for word in 0..8 {
                to.add(word).write_volatile(from.cast::<u64>().add(word).read_volatile());
            }
            record::finish(s, kind, (*s).walk.flags, len);
        } else {
            record::put_kernel(s, kind, (*s).walk.flags, from as u64, len);
        }
    }
}

/// Resolves the path of an open file and appends it. Leaves the file's first bytes in `s.file`.
#[inline(never)]
pub fn put_file(s: *mut Scratch, kind: u32, file: u64) {
    if file == 0 {
        return;
    }
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let chunk = &raw mut (*s).file;
        fetch(chunk, file);
        resolve(
            s,
            member!(u64, chunk, file, OFF_FILE_PATH_MNT),
            member!(u64, chunk, file, OFF_FILE_PATH_DENTRY),
        );
    }
    put(s, kind);
}

/// Appends the working directory, as the section that it is here: `Cwd`, or the directory of a relative path.
#[inline(never)]
pub fn put_cwd(s: *mut Scratch, task: Ptr, kind: u32) {
    let fs = load_ptr!(task, OFF_TASK_FS);
    if fs.is_null() {
        return;
    }
    resolve(s, load!(u64, fs, OFF_FS_PWD_MNT), load!(u64, fs, OFF_FS_PWD_DENTRY));
    put(s, kind);
}

/// Appends the path of the running task's executable.
#[inline(never)]
pub fn put_exe(s: *mut Scratch, task: Ptr) {
    let mm = load_ptr!(task, OFF_TASK_MM);
    if mm.is_null() {
        return;
    }
    // Read, not loaded: what the verifier makes of this pointer differs between kernels.
    let file = crate::memory::probe::<u64>(mm as u64 + fact!(OFF_MM_EXE_FILE) as u64);
    put_file(s, SectionKind::Exe as u32, file);
}
