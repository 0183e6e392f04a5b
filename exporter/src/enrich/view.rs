//! An event and what is known around it, as the rules look at it. What the fields yield is in
//! `fields::extract`.

use std::{cell::OnceCell, net::IpAddr, sync::Arc};

use exporter_common::{event_type::EventType, record::SOCKET_SERVER};

use super::{
    Clock, HostNames,
    cgroup::SHORT_ID,
    container::Container,
    dns::Dns,
    process::{Image, Process, Start},
    sockets::SocketUse,
    table::Table,
    users::UserDb,
};
use crate::event::{Event, address};

/// Made by [`super::Enricher::observe`]; lives until the next event.
#[derive(Debug)]
pub struct View<'e> {
    pub event: &'e Event<'e>,
    /// The process that made the event; `None` only if the table's bounds are absurdly small.
    pub process: Option<&'e Process>,
    pub(super) table: &'e Table,
    /// The host's users.
    pub users: &'e UserDb,
    /// The users by the process's own root; `None` until they have been read.
    pub own_users: Option<&'e UserDb>,
    pub(super) names: &'e HostNames,
    pub(super) dns: &'e Dns,
    pub clock: Clock,
    /// `evt.num`.
    pub number: u64,
    pub hostname: &'e [u8],
    pub socket: SocketUse,
    /// A computed `fd.name`, so that several rules compute it once.
    pub(crate) fd_name: OnceCell<Option<Vec<u8>>>,
    /// What is known of the container, taken when a rule first asks, so that all rules see the same.
    pub(super) metadata: OnceCell<Option<Arc<Container>>>,
}

/// Which end of a connection the process is, and both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The process's end is `local`; it is the server or the client.
    Ends { client: (IpAddr, u16), server: (IpAddr, u16), is_server: bool },
    /// A socket that is bound or listens and has no peer.
    Listening { server: (IpAddr, u16) },
}

/// How far up a chain of parents is walked.
const MAX_DEPTH: usize = 64;

impl<'e> View<'e> {
    /// The program of the process.
    pub fn image(&self) -> Option<&'e Image> {
        self.process?.image.as_deref()
    }

    /// The parent as the kernel saw it at the event.
    pub fn parent(&self) -> Option<&'e Process> {
        let header = &self.event.header;
        self.table.get(header.ppid, header.parent_start_ns)
    }

    /// Ids and starts of the ancestors, parent first: the kernel's own list if the event has it, else the
    /// parents as the table knows them.
    pub fn ancestor_ids(&self) -> impl Iterator<Item = (u32, Start)> + use<'e> {
        let header = &self.event.header;
        let listed = self.event.ancestors().map(|ancestor| (ancestor.pid, Start::Exact(ancestor.start_ns)));
        let table = self.table;
        let first = Some((header.ppid, Start::Exact(header.parent_start_ns)));
        let walk = std::iter::successors(first, move |(pid, start)| {
            let process = table.get(*pid, *start)?;
            Some((process.ppid, process.parent_start))
        });
        let has_list = self.event.ancestors().next().is_some();
        listed.chain(walk.take(if has_list { 0 } else { MAX_DEPTH })).take_while(|(pid, _)| *pid != 0)
    }

    /// The ancestor at a depth: 0 is the process itself, 1 its parent.
    pub fn ancestor(&self, depth: usize) -> Option<&'e Process> {
        let Some(above) = depth.checked_sub(1) else { return self.process };
        let (pid, start) = self.ancestor_ids().nth(above)?;
        self.table.get(pid, start)
    }

    /// All ancestors that the table knows, parent first.
    pub fn ancestors(&self) -> impl Iterator<Item = &'e Process> {
        let table = self.table;
        self.ancestor_ids().filter_map(move |(pid, start)| table.get(pid, start))
    }

    /// The leader of the session; if it is gone, the highest ancestor in the same session, as in Falco.
    pub fn session_leader(&self) -> Option<&'e Process> {
        let sid = self.event.header.sid;
        self.leader(sid, |process| process.sid == sid)
    }

    /// The leader of the process group; if it is gone, the highest ancestor in the same group.
    pub fn group_leader(&self) -> Option<&'e Process> {
        let pgid = self.event.header.pgid;
        self.leader(pgid, |process| process.pgid == pgid)
    }

    fn leader(&self, id: u32, member: impl Fn(&Process) -> bool) -> Option<&'e Process> {
        let own = self.event.header.start_ns;
        let leader = self.table.by_pid(id).filter(|leader| member(leader) && leader.start.ns() <= own);
        leader.or_else(|| self.ancestors().take_while(|process| member(process)).last()).or(self.process)
    }

    /// The whole id of the container, `Some(None)` for a host process, `None` if the cgroup is unknown.
    pub fn container(&self) -> Option<Option<&'e [u8]>> {
        let process = self.process?;
        Some(process.cgroup.as_deref()?.container(process.foreign_mounts))
    }

    /// `container.id`.
    pub fn container_id(&self) -> Option<&'e [u8]> {
        Some(match self.container()? {
            Some(id) => id.get(..SHORT_ID).unwrap_or(id),
            None => b"host",
        })
    }

    /// What is known of the container. `None` for a host process, too.
    pub fn metadata(&self) -> Option<&Container> {
        let look = || {
            let process = self.process?;
            process.cgroup.as_deref()?.slot(process.foreign_mounts)?.container()
        };
        self.metadata.get_or_init(look).as_deref()
    }

    /// The ends of the event's IP socket and their roles.
    pub fn connection(&self) -> Option<Connection> {
        let Some(socket) = self.event.socket() else {
            let tuple = self.event.tuple()?;
            return Some(Connection::Ends { client: tuple.local, server: tuple.remote, is_server: false });
        };
        let ty = self.event.event_type();
        let bound = || Some(Connection::Listening { server: address::local(&socket)? });
        if matches!(ty, EventType::Bind | EventType::Listen) {
            return match (ty, self.event.sockaddr()) {
                // A bind that failed did not change the socket.
                (EventType::Bind, Some(address::Address::Ip(ip, port))) if !self.event.succeeded() => {
                    Some(Connection::Listening { server: (ip, port) })
                }
                _ => bound(),
            };
        }
        let Some(tuple) = self.socket.tuple.or_else(|| self.event.tuple()) else {
            return if socket.flags & SOCKET_SERVER != 0 { bound() } else { None };
        };
        let is_server = match ty {
            EventType::Accept | EventType::Accept4 => true,
            EventType::Connect => false,
            _ => socket.flags & SOCKET_SERVER != 0 || self.socket.received_first,
        };
        let (client, server) =
            if is_server { (tuple.remote, tuple.local) } else { (tuple.local, tuple.remote) };
        Some(Connection::Ends { client, server, is_server })
    }

    /// The name of a user by the process's own database: `Some(None)` if it has none there, `None` if the database
    /// is not known yet.
    pub fn user_name(&self, uid: u32) -> Option<Option<&'e [u8]>> {
        match self.own_users {
            Some(db) => Some(db.user(uid).map(|user| &*user.name)),
            None => (uid == 0).then_some(Some(b"root")),
        }
    }

    /// The same of a group.
    pub fn group_name(&self, gid: u32) -> Option<Option<&'e [u8]>> {
        match self.own_users {
            Some(db) => Some(db.group(gid)),
            None => (gid == 0).then_some(Some(b"root")),
        }
    }

    /// The names of an address: what the host itself says, then what processes in the same network were told. A
    /// name that the host has an address for is the host's to give: no answer to a workload counts for it.
    pub fn names_at(&self, address: IpAddr) -> impl Iterator<Item = &'e str> + use<'e> {
        let net_ns = self.event.socket().map_or(self.event.header.net_ns, |socket| socket.net_ns);
        let names = self.names;
        let learned = self.dns.names(net_ns, address, self.event.header.ts_ns);
        names.of(address).iter().map(|name| &**name).chain(learned.filter(|name| !names.knows(name)))
    }

    /// The instant of the event, nanoseconds since the epoch.
    pub fn time_ns(&self) -> u64 {
        self.clock.boot_time_ns.saturating_add(self.event.header.ts_ns)
    }
}
