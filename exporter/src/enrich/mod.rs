//! What an event alone cannot say: the process behind it, its ancestors, its container, its user's name.
//!
//! The [`Enricher`] belongs to the thread that reads the ring. It keeps the table of processes by fork, exec
//! and exit, refreshes an entry by each event's header, and hands out a [`View`] for the rules. Nothing here
//! does I/O except [`seed`], [`users`] and [`roots`], which are called outside the hot path.

pub mod cgroup;
pub mod container;
pub mod dns;
pub mod lru;
pub mod names;
pub mod process;
pub mod roots;
pub mod seed;
pub mod slots;
pub mod snapshot;
pub mod sockets;
pub mod table;
pub mod users;
pub mod view;

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc::SyncSender},
};

use arc_swap::{ArcSwap, Cache};
use exporter_common::{
    event_type::EventType,
    record::{ChildInfo, SectionKind},
};
use tokio::sync::mpsc::Sender;

use self::{
    cgroup::Cgroups,
    dns::Dns,
    process::{ExeFile, Image, ImageLimits, Process, Start},
    roots::{Asker, RootUsers},
    slots::{Slot, Slots},
    sockets::{SocketUse, Sockets},
    table::{Table, TableLimits, TableStats},
    users::UserDb,
};
pub use self::{names::HostNames, seed::SeedReport, view::View};
use crate::event::Event;

/// Bounds and facts of the host.
#[derive(Clone, Debug)]
pub struct EnrichOptions {
    pub max_processes: usize,
    /// Bytes of arguments, environments and paths over all processes.
    pub max_process_bytes: usize,
    /// Bytes of arguments kept of one exec.
    pub max_args_bytes: usize,
    /// Bytes of environment kept of one exec.
    pub max_env_bytes: usize,
    /// Exited processes kept for late children, and for how long.
    pub max_exited: usize,
    pub exited_ns: u64,
    pub max_cgroups: usize,
    pub max_sockets: usize,
    /// Addresses of which learned names are kept.
    pub max_dns: usize,
    /// `evt.hostname`.
    pub hostname: String,
    /// Nanoseconds since the epoch at which the machine booted: what turns event times into dates.
    pub boot_time_ns: u64,
    /// The mount namespace of the host, 0 if unknown.
    pub host_mnt_ns: u32,
    /// Users and groups; the control side stores a new one when the files change.
    pub users: Arc<ArcSwap<UserDb>>,
    /// Users and groups of other roots, and whom to ask for them.
    pub root_users: Arc<ArcSwap<RootUsers>>,
    pub root_questions: Option<SyncSender<roots::Question>>,
    /// Containers of which something is known.
    pub max_containers: usize,
    /// Whom to ask for containers.
    pub container_questions: Option<Sender<slots::Question>>,
    /// Names of addresses; the control side stores a new one when they are resolved again.
    pub names: Arc<ArcSwap<HostNames>>,
}

impl Default for EnrichOptions {
    fn default() -> EnrichOptions {
        EnrichOptions {
            max_processes: 65_536,
            max_process_bytes: 64 << 20,
            max_args_bytes: 8192,
            max_env_bytes: 8192,
            max_exited: 4096,
            exited_ns: 5_000_000_000,
            max_cgroups: 8192,
            max_sockets: 16_384,
            max_dns: 4096,
            hostname: String::new(),
            boot_time_ns: 0,
            host_mnt_ns: 0,
            users: Arc::default(),
            root_users: Arc::default(),
            root_questions: None,
            max_containers: 4096,
            container_questions: None,
            names: Arc::default(),
        }
    }
}

/// Sizes, and what the bounds cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnrichStats {
    pub table: TableStats,
    /// Processes that only a descendant's event named: their name and arguments are unknown.
    pub incomplete: u64,
    pub cgroups: u64,
    pub cgroups_evicted: u64,
    /// Events whose cgroup had no known path: `container.id` is that of the cgroup before, or absent.
    pub cgroups_unknown: u64,
    pub sockets: u64,
    pub sockets_evicted: u64,
    pub dns_addresses: u64,
    pub dns_evicted: u64,
    /// What came from a name server's port and could not be read.
    pub dns_invalid: u64,
    /// Questions for a container's users that could not be put.
    pub root_questions_refused: u64,
    pub containers: u64,
    pub containers_evicted: u64,
    /// Questions for a container that could not be put.
    pub container_questions_refused: u64,
}

/// Times that an event is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    pub boot_time_ns: u64,
    pub first_ns: u64,
    pub previous_ns: u64,
}

/// Processes waiting to be looked up in `/proc`, at most.
const MAX_WANTED: usize = 1024;

#[derive(Debug)]
pub struct Enricher {
    pub(crate) table: Table,
    pub(crate) cgroups: Cgroups,
    sockets: Sockets,
    dns: Dns,
    limits: ImageLimits,
    hostname: Box<[u8]>,
    pub(crate) host_mnt_ns: u32,
    pub(crate) clock: Clock,
    users: Cache<Arc<ArcSwap<UserDb>>, Arc<UserDb>>,
    root_users: Cache<Arc<ArcSwap<RootUsers>>, Arc<RootUsers>>,
    asker: Asker,
    names: Cache<Arc<ArcSwap<HostNames>>, Arc<HostNames>>,
    number: u64,
    incomplete: u64,
    wanted: VecDeque<(u32, u64)>,
}

impl Enricher {
    pub fn new(options: EnrichOptions) -> Enricher {
        let table = TableLimits {
            processes: options.max_processes,
            bytes: options.max_process_bytes,
            exited: options.max_exited,
            exited_ns: options.exited_ns,
        };
        Enricher {
            table: Table::new(table),
            cgroups: Cgroups::new(
                options.max_cgroups,
                Slots::new(options.max_containers, options.container_questions),
            ),
            sockets: Sockets::new(options.max_sockets),
            dns: Dns::new(options.max_dns),
            limits: ImageLimits { args: options.max_args_bytes, env: options.max_env_bytes },
            hostname: options.hostname.into_bytes().into(),
            host_mnt_ns: options.host_mnt_ns,
            clock: Clock { boot_time_ns: options.boot_time_ns, ..Clock::default() },
            users: Cache::new(options.users),
            root_users: Cache::new(options.root_users),
            asker: Asker::new(options.root_questions),
            names: Cache::new(options.names),
            number: 0,
            incomplete: 0,
            wanted: VecDeque::new(),
        }
    }

    /// The container of an event, while somebody is looking for what is known of it: whoever can wait should. To be
    /// asked before [`Enricher::observe`].
    pub fn unsettled(&mut self, event: &Event<'_>) -> Option<Arc<Slot>> {
        let header = &event.header;
        let foreign_mounts = self.is_foreign(header.mnt_ns);
        let path = if event.child().is_none() { event.bytes(SectionKind::Cgroup) } else { None };
        let cgroup = if path.is_some() {
            let cgroup = self.cgroups.of(header.cgroup_id, path, None)?;
            self.cgroups.ask(&cgroup, foreign_mounts);
            cgroup
        } else if !self.cgroups.slots().any_open() {
            return None;
        } else {
            match self.cgroups.peek(header.cgroup_id) {
                Some(cgroup) => Arc::clone(cgroup),
                None => Arc::clone(self.table.get(header.pid, header.start_ns)?.cgroup.as_ref()?),
            }
        };
        cgroup.slot(foreign_mounts).filter(|slot| slot.is_open()).cloned()
    }

    fn is_foreign(&self, mnt_ns: u32) -> bool {
        self.host_mnt_ns != 0 && mnt_ns != 0 && mnt_ns != self.host_mnt_ns
    }

    /// Takes an event into account and shows it to the rules together with what is known around it.
    pub fn observe<'e>(&'e mut self, event: &'e Event<'e>) -> View<'e> {
        self.number += 1;
        if self.number == 1 {
            self.clock.first_ns = event.header.ts_ns;
            self.clock.previous_ns = event.header.ts_ns;
        }
        self.refresh(event);
        if event.is_exec() {
            self.exec(event);
        }
        if let Some(child) = event.child() {
            self.fork(event, &child);
        }
        let socket = self.socket(event);
        self.answer(event, &socket);
        let header = &event.header;
        let foreign_mounts = self.is_foreign(header.mnt_ns);
        let users = self.users.load();
        let own_users = if foreign_mounts {
            let known = self.root_users.load().get(&header.mnt_ns).map(|db| &**db);
            self.asker.ask(header.mnt_ns, header.pid, known.is_some(), event.is_exec(), header.ts_ns);
            known
        } else {
            Some(&**users)
        };
        let names = self.names.load();
        View {
            event,
            process: self.table.get(header.pid, header.start_ns),
            table: &self.table,
            users,
            own_users,
            names,
            dns: &self.dns,
            clock: self.clock,
            number: self.number,
            hostname: &self.hostname,
            socket,
            fd_name: Default::default(),
            metadata: Default::default(),
        }
    }

    /// After the rules have seen the event: what must not change while they look.
    pub fn settle(&mut self, event: &Event<'_>) {
        let header = &event.header;
        if event.event_type() == EventType::Procexit {
            self.table.exit(header.pid, header.start_ns, header.ts_ns);
        }
        self.table.forget_exited(header.ts_ns);
        self.clock.previous_ns = header.ts_ns;
    }

    /// Cgroups whose paths became known since the last time, and whether they are a container's.
    pub fn new_cgroups(&mut self) -> impl Iterator<Item = (u64, cgroup::Place)> {
        self.cgroups.news()
    }

    pub fn stats(&self) -> EnrichStats {
        EnrichStats {
            table: self.table.stats(),
            incomplete: self.incomplete,
            cgroups: self.cgroups.len() as u64,
            cgroups_evicted: self.cgroups.evicted(),
            cgroups_unknown: self.cgroups.unknown(),
            sockets: self.sockets.len() as u64,
            sockets_evicted: self.sockets.evicted(),
            dns_addresses: self.dns.len() as u64,
            dns_evicted: self.dns.evicted(),
            dns_invalid: self.dns.invalid(),
            root_questions_refused: self.asker.refused(),
            containers: self.cgroups.slots().len() as u64,
            containers_evicted: self.cgroups.slots().evicted(),
            container_questions_refused: self.cgroups.slots().refused(),
        }
    }

    /// The wall clock was set: dates of events follow it from now on.
    pub fn set_boot_time(&mut self, boot_time_ns: u64) {
        self.clock.boot_time_ns = boot_time_ns;
    }

    fn refresh(&mut self, event: &Event<'_>) {
        let header = &event.header;
        let mut relatives = false;
        if self.table.get(header.pid, header.start_ns).is_none() {
            relatives = true;
            self.add_incomplete(Process::from_header(header));
        }
        let foreign_mounts = self.is_foreign(header.mnt_ns);
        let Some(process) = self.table.get_mut(header.pid, header.start_ns) else { return };
        relatives |= process.ppid != header.ppid || !process.parent_start.is(header.parent_start_ns);
        process.refresh(header);
        process.used = self.number;
        process.foreign_mounts = foreign_mounts;
        // A fork's Cgroup section is the child's, which clone3 can put into another one than the parent's.
        let path = if event.child().is_none() { event.bytes(SectionKind::Cgroup) } else { None };
        if path.is_some() || process.cgroup.as_ref().is_none_or(|cgroup| cgroup.id != header.cgroup_id) {
            process.cgroup = self.cgroups.of(header.cgroup_id, path, process.cgroup.as_ref());
        }
        if let Some(exe) = event.bytes(SectionKind::Exe)
            && process.image.is_none()
        {
            let image = Image::new(header.comm, Some(exe), b"", None, ExeFile::default(), self.limits);
            self.table.set_image(header.pid, header.start_ns, image);
        }
        if relatives {
            self.relatives(event);
        }
    }

    /// Makes entries for ancestors that are not known, so that their ids are.
    fn relatives(&mut self, event: &Event<'_>) {
        let header = &event.header;
        let mut chain = event.ancestors().map(|ancestor| (ancestor.pid, ancestor.start_ns)).peekable();
        let mut next = if chain.peek().is_some() {
            chain.next()
        } else {
            Some((header.ppid, header.parent_start_ns)).filter(|(pid, _)| *pid != 0)
        };
        while let Some((pid, start_ns)) = next {
            next = chain.next();
            // One that took the id over since is known better than one that is gone.
            let known = self.table.by_pid(pid);
            if known.is_some_and(|known| known.start.is(start_ns) || known.start.ns() > start_ns) {
                continue;
            }
            let (ppid, parent_start_ns) = next.unwrap_or_default();
            let stub = Process {
                pid,
                start: Start::Exact(start_ns),
                ppid,
                parent_start: Start::Exact(parent_start_ns),
                vpid: 0,
                pgid: 0,
                sid: 0,
                tty: 0,
                comm: [0; 16],
                image: None,
                cgroup: None,
                foreign_mounts: false,
                exited: false,
                used: self.number,
            };
            self.add_incomplete(stub);
        }
    }

    /// Adds a process of which no fork or exec was seen.
    fn add_incomplete(&mut self, process: Process) {
        self.incomplete += 1;
        if self.wanted.len() < MAX_WANTED {
            self.wanted.push_back((process.pid, process.start.ns()));
        }
        self.table.insert(process);
    }

    fn exec(&mut self, event: &Event<'_>) {
        let header = &event.header;
        let file = event.file().as_ref().map(ExeFile::from).unwrap_or_default();
        let image = Image::new(
            header.comm,
            event.bytes(SectionKind::Path),
            event.bytes(SectionKind::Argv).unwrap_or_default(),
            event.bytes(SectionKind::Envp),
            file,
            self.limits,
        );
        self.table.set_image(header.pid, header.start_ns, image);
    }

    fn fork(&mut self, event: &Event<'_>, child: &ChildInfo) {
        let header = &event.header;
        if child.tid != child.pid {
            return; // A thread: part of a process that is known.
        }
        let Some(parent) = self.table.get(header.pid, header.start_ns) else { return };
        let process = Process {
            pid: child.pid,
            start: Start::Exact(child.start_ns),
            ppid: child.ppid,
            parent_start: Start::Exact(child.parent_start_ns),
            vpid: child.vpid,
            comm: header.comm,
            exited: false,
            used: self.number,
            cgroup: self.cgroups.of(
                child.cgroup_id,
                event.bytes(SectionKind::Cgroup),
                parent.cgroup.as_ref(),
            ),
            ..parent.clone()
        };
        self.table.insert(process);
    }

    /// Learns from what a name server sent.
    fn answer(&mut self, event: &Event<'_>, socket: &SocketUse) {
        if !matches!(event.event_type(), EventType::Recvfrom | EventType::Recvmsg) || !event.succeeded() {
            return;
        }
        let from_server = socket.tuple.is_some_and(|tuple| tuple.remote.1 == dns::PORT);
        if let (true, Some(data), Some(of)) = (from_server, event.bytes(SectionKind::Data), event.socket()) {
            self.dns.learn(of.net_ns, data, event.header.ts_ns);
        }
    }

    fn socket(&mut self, event: &Event<'_>) -> SocketUse {
        let Some(socket) = event.socket() else { return SocketUse::default() };
        let receives = match event.event_type() {
            // A new socket: its inode number may have been another's.
            EventType::Socket => {
                self.sockets.forget(socket.ino);
                return SocketUse::default();
            }
            EventType::Accept | EventType::Accept4 if event.succeeded() => {
                self.sockets.forget(socket.ino);
                true
            }
            // One that took nothing in says nothing about the role.
            EventType::Recvfrom | EventType::Recvmsg if event.succeeded() => true,
            EventType::Sendto | EventType::Sendmsg | EventType::Connect => false,
            _ => return SocketUse { tuple: event.tuple(), ..SocketUse::default() },
        };
        self.sockets.used(socket.ino, event.tuple(), receives)
    }
}
