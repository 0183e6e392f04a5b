// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! Drops what no loaded rule can match, before a record is built: see `exporter_common::filter`.
//!
//! A fact that cannot be told here allows everything, so that doubt lets an event through.
use core::ffi::c_void;

use aya_ebpf::helpers::generated as bpf;
use exporter_common::{
    event_type::{EVENT_TYPE_SLOTS, EventType},
    filter::{
        Filter,
        classes::{
            self, CGROUP_CONTAINER, CGROUP_HOST, Container, KIND_FILE, OPENS, RawName, address_v4,
            address_v6, kind_of_family, protocol,
        },
        keys::{KEYS, KeyTable, has_dots},
        paths::{Component, MAX_COMPONENTS, NAME_WORDS, component, within},
    },
    record::{Header, OpenHow, SOCKET_CONNECTED, SectionHeader, SocketInfo},
};

use crate::{
    cgroup,
    context::{self, Event},
    maps::{CGROUPS, FILTER_KEYS, FILTERS, SHORT, Scratch},
    memory::{Ptr, copy_kernel, fetch, mask, probe, probe_user},
    offsets::{fact, has, load, load_ptr, member},
    path::{self, LoopContext},
};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const O_ACCMODE: u64 = 3;
/// By definition those of an open that is a creat.
const CREAT_FLAGS: u64 = 0o1_101;
/// A path argument that is longer is not looked at.
const RAW_NAME: usize = 256;
/// Components, and as many mounts.
const MAX_STEPS: u32 = 2 * MAX_COMPONENTS as u32 + 2;
/// `components.count` of a path that cannot be told.
const UNKNOWN: u32 = u32::MAX;

/// The keys of one bank.
struct Bank(u32);

impl KeyTable for Bank {
    #[inline(always)]
    fn at(&self, index: u32) -> u64 {
        // An index is always within; if it were not, nothing may be dropped because of it.
        FILTER_KEYS.get(self.0.wrapping_add(index)).copied().unwrap_or(u64::MAX)
    }
}

/// Which clauses an event can still fulfil.
pub struct Pending {
    /// `None`: every event of the type is reported.
    filter: Option<&'static Filter>,
    bank: Bank,
    event_type: u32,
    clauses: u64,
}

impl Pending {
    /// What the result and the task's name leave.
    #[inline(always)]
    pub fn of(event: &Event) -> Pending {
        let bank = event.bank;
        let second = if bank == 2 { 1 } else { 0 };
        let filter = if bank == 0 { None } else { FILTERS.get(second * EVENT_TYPE_SLOTS + event.event_type) };
        let mut pending =
            Pending { filter, bank: Bank(second * KEYS), event_type: event.event_type, clauses: 1 };
        if let Some(filter) = filter {
            pending.clauses = filter.all & filter.of_result(event.ret);
            if pending.clauses & !filter.any_name != 0 {
                let comm = [load!(u64, event.task, OFF_TASK_COMM), load!(u64, event.task, OFF_TASK_COMM, 8)];
                pending.clauses &= filter.of_name(&pending.bank, event.event_type, comm);
            }
        }
        pending
    }

    /// What the container leaves. It takes some looking up: first comes what is cheaper.
    #[inline(always)]
    pub fn place(&mut self, event: &Event) {
        let Some(filter) = self.filter else { return };
        if filter.asks_container(self.clauses) {
            self.clauses &= filter.of_container(container(event.task));
        }
    }

    /// Gives the event up if no clause is left. True: it is over.
    #[inline(always)]
    pub fn drops(&self, event: &Event) -> bool {
        if self.clauses != 0 {
            return false;
        }
        context::discard(event);
        true
    }

    /// What an open leaves: how the file was opened, and its path. `file`: 0 if the call failed.
    #[inline(always)]
    pub fn open(&mut self, event: &Event, file: u64) {
        let Some(filter) = self.filter else { return };
        if self.clauses == 0 {
            return;
        }
        let name =
            if event.is(EventType::Open) || event.is(EventType::Creat) { event.arg(0) } else { event.arg(1) };
        if let Some((flags, mode)) = flags_and_mode(event, file) {
            self.clauses &= filter.of_open(classes::open(flags, mode));
        }
        let named = !event.is(EventType::OpenByHandleAt);
        if self.clauses != 0 && named && filter.asks_raw_name(self.clauses) {
            self.clauses &= filter.of_raw_name(raw_name(event.s, name));
        }
        self.place_and_path(event, filter, file);
    }

    /// The same of an open by io_uring. Its name is no longer where the caller had it, and not looked at.
    #[inline(always)]
    pub fn uring_open(&mut self, event: &Event, file: u64, flags: u64, mode: u64) {
        let Some(filter) = self.filter else { return };
        if self.clauses == 0 {
            return;
        }
        // The mask is for Linux 6.1, whose verifier does not see how many classes there are.
        let class = mask::<{ OPENS as u64 - 1 }>(classes::open(as_opened(flags, file), mode) as u64);
        self.clauses &= filter.of_open(class as usize);
        self.place_and_path(event, filter, file);
    }

    #[inline(always)]
    fn place_and_path(&mut self, event: &Event, filter: &Filter, file: u64) {
        self.place(event);
        // One clause that does not ask for the path is enough.
        if self.clauses & filter.any_path != 0 || self.clauses == 0 || file == 0 {
            return;
        }
        collect_path(event.s, file);
        // SAFETY: `s` is this CPU's scratch memory.
        unsafe {
            (*event.s).filter =
                u64::from(if self.bank.0 == 0 { 0 } else { EVENT_TYPE_SLOTS } + self.event_type);
            (*event.s).bank = u64::from(self.bank.0);
        }
        self.clauses &= path_clauses(event.s);
    }

    /// What the socket leaves, of which the section is the record's first.
    #[inline(always)]
    pub fn socket(&mut self, event: &Event) {
        let Some(filter) = self.filter else { return };
        // SAFETY: the section is there, as said above.
        let info = unsafe {
            let first = (&raw const (*event.s).record).cast::<u8>();
            &*first.add(size_of::<Header>() + size_of::<SectionHeader>()).cast::<SocketInfo>()
        };
        self.clauses &= filter.of_kind(kind_of_family(info.family));
        self.clauses &= filter.of_protocol(protocol(info.family, info.sock_type, info.protocol));
        let has_remote =
            event.is(EventType::Connect) || event.is(EventType::Recvfrom) || event.is(EventType::Recvmsg);
        if has_remote && info.flags & SOCKET_CONNECTED != 0 {
            let bytes = (&raw const info.remote_addr).cast::<u64>();
            // SAFETY: 16 bytes, aligned to 8 in the section.
            let (first, second) = unsafe { (bytes.read_unaligned(), bytes.add(1).read_unaligned()) };
            let class = match info.family {
                AF_INET => address_v4((first as u32).swap_bytes()),
                AF_INET6 => address_v6(first.swap_bytes(), second.swap_bytes()),
                _ => return,
            };
            self.clauses &= filter.of_address(class);
            if self.clauses & !filter.any_port != 0 {
                self.clauses &= filter.of_port(&self.bank, self.event_type, info.remote_port);
            }
        }
    }

    /// What a descriptor that is no socket leaves.
    #[inline(always)]
    pub fn file(&mut self) {
        if let Some(filter) = self.filter {
            self.clauses &= filter.of_kind(KIND_FILE);
        }
    }
}

/// Flags and mode of an open; `None` if they cannot be told as user space will.
#[inline(always)]
fn flags_and_mode(event: &Event, file: u64) -> Option<(u64, u64)> {
    if event.is(EventType::Open) {
        Some((event.arg(1), event.arg(2)))
    } else if event.is(EventType::Openat) {
        Some((event.arg(2), event.arg(3)))
    } else if event.is(EventType::OpenByHandleAt) {
        Some((event.arg(2), 0))
    } else if event.is(EventType::Creat) {
        Some((CREAT_FLAGS, event.arg(1)))
    } else {
        if event.arg(3) < size_of::<OpenHow>() as u64 {
            return None;
        }
        let how = probe_user::<[u64; 2]>(event.arg(2))?;
        if event.ret < 0 {
            return Some((how[0], how[1]));
        }
        if file == 0 {
            return None;
        }
        Some((as_opened(how[0], file), how[1]))
    }
}

/// Flags of an open: how the file is accessed is what the kernel says, if it was opened.
#[inline(always)]
fn as_opened(flags: u64, file: u64) -> u64 {
    if file == 0 {
        return flags;
    }
    let opened = u64::from(probe::<u32>(file + fact!(OFF_FILE_FLAGS) as u64));
    flags & !O_ACCMODE | opened & O_ACCMODE
}

/// Whether the task is in a container, as far as user space has said.
#[inline(never)]
fn container(task: Ptr) -> Container {
    let id = cgroup::unified_id(task);
    if id > 1 {
        // SAFETY: read at once; an entry that is replaced meanwhile is one or the other.
        return match unsafe { CGROUPS.get(id) }.copied() {
            Some(CGROUP_HOST) => Container::Host,
            Some(CGROUP_CONTAINER) => Container::Container,
            _ => Container::Unknown,
        };
    }
    // The root of the unified hierarchy says nothing if engines use version 1 hierarchies.
    let proxy = load_ptr!(task, OFF_TASK_NSPROXY);
    if id == 0 || !has!(HOST_MNT_NS) || proxy.is_null() || !cgroup::in_roots(task) {
        return Container::Unknown;
    }
    let mounts = load_ptr!(proxy, OFF_NSPROXY_MNT_NS);
    if load!(u32, mounts, OFF_MNTNS_INUM) as usize == fact!(HOST_MNT_NS) {
        Container::Host
    } else {
        Container::Unknown
    }
}

/// Whether a path argument has two dots next to each other.
#[inline(never)]
fn raw_name(s: *mut Scratch, address: u64) -> RawName {
    // SAFETY: `s` is this CPU's scratch memory; the helper survives any source address.
    unsafe {
        let name = &raw mut (*s).name;
        let n = bpf::bpf_probe_read_user_str(name.cast(), RAW_NAME as u32, address as *const c_void);
        if n <= 0 || n >= RAW_NAME as i64 {
            return RawName::Unknown;
        }
        let words = name.cast::<u64>();
        for index in 0..RAW_NAME / 8 {
            if index as i64 * 8 >= n {
                break;
            }
            // What is behind the text is of an earlier one: it can only add dots.
            if has_dots(words.add(index).read_volatile(), words.add(index + 1).read_volatile()) {
                return RawName::Dots;
            }
        }
    }
    RawName::Plain
}

/// Finds the components of a file's path and leaves them in `s.components`.
#[inline(never)]
fn collect_path(s: *mut Scratch, file: u64) {
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        let chunk = &raw mut (*s).file;
        fetch(chunk, file);
        (*s).walk.dentry = member!(u64, chunk, file, OFF_FILE_PATH_DENTRY);
        (*s).walk.flags = 0;
        (*s).components.count = 0;
        path::enter_mount(s, member!(u64, chunk, file, OFF_FILE_PATH_MNT));
        path::repeat(s, MAX_STEPS, step);
        if (*s).walk.flags == 0 {
            (*s).components.count = UNKNOWN;
        }
    }
}

/// One step of the walk; `walk.flags` is 1 once it has come to the root.
extern "C" fn step(_index: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the loop's context, which holds this CPU's scratch memory.
    unsafe {
        let s = (*context).scratch;
        match path::cross_mounts(s) {
            path::Crossing::None => {}
            path::Crossing::Crossed => return 0,
            path::Crossing::Root => {
                (*s).walk.flags = 1;
                return 1;
            }
        }
        let dentry = (*s).walk.dentry;
        let chunk = &raw mut (*s).dentry;
        let count = (*s).components.count;
        if count as usize >= MAX_COMPONENTS || !fetch(chunk, dentry) {
            return 1;
        }
        let parent = member!(u64, chunk, dentry, OFF_DENTRY_PARENT);
        if parent == dentry {
            return 1;
        }
        let len = u64::from(member!(u32, chunk, dentry, OFF_DENTRY_NAME_LEN));
        let name = member!(u64, chunk, dentry, OFF_DENTRY_NAME_NAME);
        let inside =
            path::has_short_names() && len < SHORT && name == dentry + fact!(OFF_DENTRY_SHORTNAME) as u64;
        let mut words = [0u64; NAME_WORDS];
        if inside {
            let from = chunk.cast::<u8>().add(fact!(OFF_DENTRY_SHORTNAME)).cast::<u64>();
            for (index, word) in words.iter_mut().enumerate() {
                *word = within(from.add(index).read_volatile(), len as i64 - index as i64 * 8);
            }
        } else {
            let buffer = (&raw mut (*s).name).cast::<u8>();
            let held = if len < SHORT { mask::<63>(len) } else { SHORT };
            if !copy_kernel(buffer, held, name) {
                return 1;
            }
            let from = buffer.cast::<u64>();
            for (index, word) in words.iter_mut().enumerate() {
                *word = within(from.add(index).read_volatile(), len as i64 - index as i64 * 8);
            }
        }
        if count == 0 {
            (*s).components.end_length = len;
            (*s).components.end = if len <= 8 { words[0] } else { probe::<u64>(name + len - 8) };
        }
        let items = (&raw mut (*s).components.items).cast::<Component>();
        items
            .add(mask::<{ MAX_COMPONENTS as u64 - 1 }>(u64::from(count)) as usize)
            .write(component(words, len));
        (*s).components.count = count + 1;
        (*s).walk.dentry = parent;
    }
    0
}

/// The filter of the event, and where its keys are: for the loops, which are functions of their own.
#[inline(always)]
fn current(s: *mut Scratch) -> Option<(&'static Filter, Bank, u32)> {
    // SAFETY: `s` is this CPU's scratch memory.
    let (index, bank, event_type) = unsafe { ((*s).filter as u32, (*s).bank as u32, (*s).event_type) };
    Some((FILTERS.get(index)?, Bank(bank), event_type))
}

/// Clauses that allow the path in `s.components`.
#[inline(never)]
fn path_clauses(s: *mut Scratch) -> u64 {
    let Some((filter, bank, event_type)) = current(s) else { return u64::MAX };
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe {
        if (*s).components.count == UNKNOWN {
            return filter.all;
        }
        (*s).path_walk = filter.begin_path();
        path::repeat(s, MAX_COMPONENTS as u32, down);
        filter.turn(&bank, event_type, &(*s).components, &mut (*s).path_walk);
        if filter.path.suffix_depth != 0 {
            path::repeat(s, MAX_COMPONENTS as u32, up);
        }
        (*s).path_walk.found
    }
}

extern "C" fn down(depth: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the loop's context, which holds this CPU's scratch memory.
    unsafe {
        let s = (*context).scratch;
        let Some((filter, bank, event_type)) = current(s) else { return 1 };
        if depth >= u64::from((*s).components.count) {
            return 1;
        }
        filter.down(&bank, event_type, &(*s).components, depth as usize, &mut (*s).path_walk);
    }
    0
}

extern "C" fn up(height: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the loop's context, which holds this CPU's scratch memory.
    unsafe {
        let s = (*context).scratch;
        let Some((filter, bank, event_type)) = current(s) else { return 1 };
        if height >= u64::from((*s).components.count) || height >= u64::from(filter.path.suffix_depth) {
            return 1;
        }
        filter.up(&bank, event_type, &(*s).components, height as usize, &mut (*s).path_walk);
    }
    0
}
