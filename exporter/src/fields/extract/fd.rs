//! `fd.*`: the event's file or socket.

use std::{borrow::Cow, net::IpAddr};

use exporter_common::{
    event_type::EventType as T,
    record::{FILE_LOWER_LAYER, FILE_MEMFD, FILE_UPPER_LAYER, SOCKET_CONNECTED, SectionKind},
};

use super::{NOT_AVAILABLE, owned, path};
use crate::{
    enrich::{View, view::Connection},
    event::address::{AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, Address},
    fields::{Value, table::fd::FdField as F},
};

const IPPROTO_ICMP: u16 = 1;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_ICMPV6: u16 = 58;

/// What a descriptor refers to, as Falco tells kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FdKind {
    File,
    Directory,
    Ipv4,
    Ipv6,
    Ipv4Server,
    Ipv6Server,
    Unix,
    Pipe,
    Event,
    Signal,
    EventPoll,
    Inotify,
    Timer,
    Netlink,
    Bpf,
    UserFault,
    IoUring,
    Memfd,
    PidFd,
    Unknown,
}

impl FdKind {
    fn name(self) -> &'static str {
        match self {
            FdKind::File => "file",
            FdKind::Directory => "directory",
            FdKind::Ipv4 | FdKind::Ipv4Server => "ipv4",
            FdKind::Ipv6 | FdKind::Ipv6Server => "ipv6",
            FdKind::Unix => "unix",
            FdKind::Pipe => "pipe",
            FdKind::Event => "event",
            FdKind::Signal => "signalfd",
            FdKind::EventPoll => "eventpoll",
            FdKind::Inotify => "inotify",
            FdKind::Timer => "timerfd",
            FdKind::Netlink => "netlink",
            FdKind::Bpf => "bpf",
            FdKind::UserFault => "userfaultfd",
            FdKind::IoUring => "io_uring",
            FdKind::Memfd => "memfd",
            FdKind::PidFd => "pidfd",
            FdKind::Unknown => "<UNKNOWN>",
        }
    }

    pub(super) fn typechar(self) -> &'static [u8; 1] {
        match self {
            FdKind::File => b"f",
            FdKind::Directory => b"d",
            FdKind::Ipv4 => b"4",
            FdKind::Ipv6 => b"6",
            FdKind::Ipv4Server => b"2",
            FdKind::Ipv6Server => b"3",
            FdKind::Unix | FdKind::UserFault => b"u",
            FdKind::Pipe => b"p",
            FdKind::Event => b"e",
            FdKind::Signal => b"s",
            FdKind::EventPoll => b"l",
            FdKind::Inotify => b"i",
            FdKind::Timer => b"t",
            FdKind::Netlink => b"n",
            FdKind::Bpf => b"b",
            FdKind::IoUring => b"r",
            FdKind::Memfd => b"m",
            FdKind::PidFd => b"P",
            FdKind::Unknown => b"o",
        }
    }

    pub(super) fn is_ip(self) -> bool {
        matches!(self, FdKind::Ipv4 | FdKind::Ipv6 | FdKind::Ipv4Server | FdKind::Ipv6Server)
    }

    /// Kinds without an inode of their own on a file system, by the name the kernel gives them.
    fn anonymous(path: &[u8]) -> Option<FdKind> {
        let name = path.strip_prefix(b"/").unwrap_or(path);
        // Nearly every file has a path of its own, and this is asked of every opened file.
        if !matches!(name.first(), Some(b'a' | b'm' | b'p')) {
            return None;
        }
        [
            (&b"anon_inode:[eventfd]"[..], FdKind::Event),
            (b"anon_inode:[eventpoll]", FdKind::EventPoll),
            (b"anon_inode:inotify", FdKind::Inotify),
            (b"anon_inode:[signalfd]", FdKind::Signal),
            (b"anon_inode:[timerfd]", FdKind::Timer),
            (b"anon_inode:[userfaultfd]", FdKind::UserFault),
            (b"anon_inode:[io_uring]", FdKind::IoUring),
            (b"anon_inode:[pidfd]", FdKind::PidFd),
            (b"anon_inode:bpf", FdKind::Bpf),
            (b"memfd:", FdKind::Memfd),
            (b"pipe:", FdKind::Pipe),
            (b"anon_inode:", FdKind::Unknown),
        ]
        .into_iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map(|(_, kind)| kind)
    }
}

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFIFO: u32 = 0o010_000;

impl<'e> View<'e> {
    pub(super) fn fd(&self, field: F) -> Option<Value<'_>> {
        let event = self.event;
        if !uses_fd(event.event_type()) {
            return None;
        }
        let text = |text: &'static str| Some(Value::str(text.as_bytes()));
        let ip = |end: Option<(IpAddr, u16)>| Some(Value::Ip(end?.0));
        let port = |end: Option<(IpAddr, u16)>| Some(Value::Port(end?.1));
        let proto = |end: Option<(IpAddr, u16)>| Some(owned(end?.1.to_string()));
        match field {
            F::Num => Some(Value::Int(self.fd_number())),
            F::Type => text(self.fd_kind()?.name()),
            F::TypeChar => Some(Value::str(self.fd_kind()?.typechar())),
            F::Name => self.fd_name().map(Value::Str),
            F::NameRaw => event.bytes(SectionKind::PathArg).map(|raw| Value::Str(single_slashes(raw))),
            F::Directory => self.fd_directory().map(Value::Str),
            F::Filename => {
                if !matches!(self.fd_kind()?, FdKind::File) {
                    return None;
                }
                Some(part(self.fd_name()?, path::filename))
            }
            F::Ip | F::Net => self.both(|end| Value::Ip(end.0)),
            F::Port | F::Proto => self.both(|end| Value::Port(end.1)),
            F::CIp | F::CNet => ip(self.ends().client),
            F::SIp | F::SNet => ip(self.ends().server),
            F::LIp | F::LNet => ip(self.ends().local),
            F::RIp | F::RNet => ip(self.ends().remote),
            F::CPort => port(self.ends().client),
            F::SPort => port(self.ends().server),
            F::LPort => port(self.ends().local),
            F::RPort => port(self.ends().remote),
            F::CProto => proto(self.ends().client),
            F::SProto => proto(self.ends().server),
            F::LProto => proto(self.ends().local),
            F::RProto => proto(self.ends().remote),
            F::CIpName => self.names_of(self.ends().client),
            F::SIpName => self.names_of(self.ends().server),
            F::LIpName => self.names_of(self.ends().local),
            F::RIpName => self.names_of(self.ends().remote),
            F::L4Proto => match self.fd_kind()? {
                kind if kind.is_ip() => text(self.l4proto().unwrap_or("<NA>")),
                _ => Some(Value::str(NOT_AVAILABLE)),
            },
            F::SockFamily => match self.fd_kind()? {
                kind if kind.is_ip() => text("ip"),
                FdKind::Unix => text("unix"),
                _ => None,
            },
            F::IsServer => Some(Value::Bool(match self.fd_kind()? {
                FdKind::Ipv4Server | FdKind::Ipv6Server => true,
                _ => matches!(self.connection(), Some(Connection::Ends { is_server: true, .. })),
            })),
            F::Uid => Some(owned(format!("{}{}", event.header.tid, self.fd_number()))),
            F::ContainerName => self.in_container(self.fd_name()?),
            F::ContainerDirectory => self.in_container(self.fd_directory()?),
            F::Connected => Some(Value::Bool(event.socket()?.flags & SOCKET_CONNECTED != 0)),
            F::NameChanged => event.socket().map(|_| Value::Bool(self.socket.changed)),
            F::Dev => Some(Value::Int(device(event.file()?.dev).into())),
            F::DevMajor => Some(Value::Int((event.file()?.dev >> 20).into())),
            F::DevMinor => Some(Value::Int((event.file()?.dev & 0xf_ffff).into())),
            F::Ino => {
                let ino = event.file().map(|file| file.ino).or(event.socket().map(|socket| socket.ino))?;
                Some(Value::Int(ino as i64))
            }
            F::IsUpperLayer => Some(Value::Bool(event.file()?.flags & FILE_UPPER_LAYER != 0)),
            F::IsLowerLayer => Some(Value::Bool(event.file()?.flags & FILE_LOWER_LAYER != 0)),
        }
    }

    /// The descriptor that the call made, -1 if it failed, or the one it was given.
    fn fd_number(&self) -> i64 {
        match self.event.event_type() {
            ty if creates_fd(ty) => self.event.header.ret.max(-1),
            _ => self.event.int_arg(0).into(),
        }
    }

    /// The descriptor whose file or socket the event carries.
    pub(super) fn described_fd(&self) -> Option<i64> {
        let file = self.event.file().map(|file| file.fd);
        Some(file.or(self.event.socket().map(|socket| socket.fd))?.into())
    }

    pub(super) fn fd_kind(&self) -> Option<FdKind> {
        let event = self.event;
        if let Some(socket) = event.socket() {
            let connection = match socket.family {
                AF_INET | AF_INET6 => self.connection(),
                _ => None,
            };
            let listens = matches!(connection, Some(Connection::Listening { .. }));
            // IPv4 spoken over an IPv6 socket is IPv4, as in Falco.
            let v6 = match connection {
                Some(Connection::Ends { server, .. } | Connection::Listening { server }) => {
                    server.0.is_ipv6()
                }
                None => socket.family == AF_INET6,
            };
            return Some(match socket.family {
                AF_INET | AF_INET6 => match (v6, listens) {
                    (false, false) => FdKind::Ipv4,
                    (true, false) => FdKind::Ipv6,
                    (false, true) => FdKind::Ipv4Server,
                    (true, true) => FdKind::Ipv6Server,
                },
                AF_UNIX => FdKind::Unix,
                AF_NETLINK => FdKind::Netlink,
                _ => FdKind::Unknown,
            });
        }
        if let Some(file) = event.file() {
            let anonymous = event.bytes(SectionKind::Path).and_then(FdKind::anonymous);
            return Some(match file.mode & S_IFMT {
                _ if file.flags & FILE_MEMFD != 0 => FdKind::Memfd,
                S_IFDIR => FdKind::Directory,
                S_IFIFO => FdKind::Pipe,
                _ => anonymous.unwrap_or(FdKind::File),
            });
        }
        match event.event_type() {
            // Falco's guess for a descriptor it knows nothing of: by the call that would have made it.
            T::Open | T::Openat | T::Openat2 | T::Creat | T::OpenByHandleAt => Some(FdKind::File),
            T::MemfdCreate => Some(FdKind::Memfd),
            T::Bpf if event.succeeded() => Some(FdKind::Bpf),
            T::IoUringSetup if event.succeeded() => Some(FdKind::IoUring),
            T::Userfaultfd if event.succeeded() => Some(FdKind::UserFault),
            T::Connect => match event.orphan_address()? {
                Address::Ip(IpAddr::V4(_), _) => Some(FdKind::Ipv4),
                Address::Ip(IpAddr::V6(_), _) => Some(FdKind::Ipv6),
                Address::Unix(_) => Some(FdKind::Unix),
                Address::Other(_) => None,
            },
            _ => None,
        }
    }

    /// `fd.name`: of a file its path, of a socket its ends. Computed at most once per event.
    pub(super) fn fd_name(&self) -> Option<Cow<'_, [u8]>> {
        let event = self.event;
        if event.socket().is_none() {
            if let Some(path) = event.bytes(SectionKind::Path) {
                return Some(Cow::Borrowed(path));
            }
            if event.event_type() == T::MemfdCreate {
                return event.bytes(SectionKind::PathArg).map(Cow::Borrowed);
            }
        }
        let name = self.fd_name.get_or_init(|| match event.socket() {
            Some(_) => self.socket_name(),
            None => match event.event_type() {
                T::Connect => self.socket_name(),
                T::Open | T::Openat | T::Openat2 | T::Creat | T::OpenByHandleAt => {
                    self.absolute(SectionKind::Path, SectionKind::PathArg).map(Cow::into_owned)
                }
                _ => None,
            },
        });
        name.as_deref().map(Cow::Borrowed)
    }

    fn fd_directory(&self) -> Option<Cow<'_, [u8]>> {
        match self.fd_kind()? {
            FdKind::Directory => self.fd_name(),
            FdKind::File => match part(self.fd_name()?, path::directory) {
                Value::Str(text) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// `client:port->server:port`, `address:port` of a listening socket, or a unix socket's path.
    pub(super) fn socket_name(&self) -> Option<Vec<u8>> {
        let orphan = self.event.orphan_address();
        let is_unix = match self.event.socket() {
            Some(socket) => socket.family == AF_UNIX,
            None => matches!(orphan?, Address::Unix(_)),
        };
        if is_unix {
            // The end that has a name: the server's, whichever end the process is. Falco puts the addresses
            // of kernel structures before it; they tell a rule nothing.
            let passed = match self.event.sockaddr() {
                Some(Address::Unix(path)) => Some(path),
                _ => None,
            };
            let peer = self.event.bytes(SectionKind::UnixPeer).filter(|name| !name.is_empty());
            let local = self.event.bytes(SectionKind::UnixLocal).filter(|name| !name.is_empty());
            return peer.or(passed.filter(|path| !path.is_empty())).or(local).map(unix_name);
        }
        Some(match self.connection()? {
            Connection::Ends { client, server, .. } => {
                format!("{}->{}", endpoint(client), endpoint(server)).into_bytes()
            }
            Connection::Listening { server } => endpoint(server).into_bytes(),
        })
    }

    pub(super) fn l4proto(&self) -> Option<&'static str> {
        let socket = self.event.socket()?;
        match (socket.family, socket.sock_type, socket.protocol) {
            (AF_INET | AF_INET6, _, IPPROTO_ICMP | IPPROTO_ICMPV6) => Some("icmp"),
            (AF_INET | AF_INET6, 3, _) => Some("raw"),
            (AF_INET | AF_INET6, _, IPPROTO_TCP) => Some("tcp"),
            (AF_INET | AF_INET6, _, IPPROTO_UDP) => Some("udp"),
            _ => None,
        }
    }

    fn ends(&self) -> Ends {
        match self.connection() {
            Some(Connection::Ends { client, server, is_server }) => {
                let (local, remote) = if is_server { (server, client) } else { (client, server) };
                Ends { client: Some(client), server: Some(server), local: Some(local), remote: Some(remote) }
            }
            Some(Connection::Listening { server }) => Ends { server: Some(server), ..Ends::default() },
            None => Ends::default(),
        }
    }

    /// Client and server, for fields that compare with either.
    fn both(&self, part: fn((IpAddr, u16)) -> Value<'static>) -> Option<Value<'static>> {
        let Ends { client, server, .. } = self.ends();
        let values: Vec<_> = [client, server].into_iter().flatten().map(part).collect();
        (!values.is_empty()).then_some(Value::List(values))
    }

    fn names_of(&self, end: Option<(IpAddr, u16)>) -> Option<Value<'_>> {
        let names = self.names_at(end?.0);
        let values: Vec<_> = names.map(|name| Value::str(name.as_bytes())).collect();
        (!values.is_empty()).then_some(Value::List(values))
    }

    fn in_container(&self, name: Cow<'_, [u8]>) -> Option<Value<'_>> {
        let mut text = self.container_id()?.to_vec();
        text.push(b':');
        text.extend_from_slice(&name);
        Some(owned(text))
    }
}

#[derive(Clone, Copy, Default)]
struct Ends {
    client: Option<(IpAddr, u16)>,
    server: Option<(IpAddr, u16)>,
    local: Option<(IpAddr, u16)>,
    remote: Option<(IpAddr, u16)>,
}

/// Calls that make or use a descriptor; other events have no `fd.*`.
fn uses_fd(ty: T) -> bool {
    creates_fd(ty)
        || matches!(
            ty,
            T::Connect
                | T::Bind
                | T::Listen
                | T::Fchmod
                | T::Setns
                | T::FinitModule
                | T::Sendto
                | T::Sendmsg
                | T::Recvfrom
                | T::Recvmsg
        )
}

fn creates_fd(ty: T) -> bool {
    matches!(
        ty,
        T::Open
            | T::Openat
            | T::Openat2
            | T::OpenByHandleAt
            | T::Creat
            | T::Accept
            | T::Accept4
            | T::Socket
            | T::Dup
            | T::Dup2
            | T::Dup3
            | T::MemfdCreate
            | T::Bpf
            | T::Userfaultfd
            | T::IoUringSetup
    )
}

/// `10.0.0.1:80`; Falco puts no brackets around an IPv6 address.
pub(super) fn endpoint((ip, port): (IpAddr, u16)) -> String {
    format!("{ip}:{port}")
}

/// An abstract name begins with NUL, written `@` as everywhere.
pub(super) fn unix_name(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == 0 { b'@' } else { *byte }).collect()
}

/// A device as `stat` numbers it (`new_encode_dev`), from the kernel's own form.
pub(super) fn device(dev: u32) -> u32 {
    let (major, minor) = (dev >> 20, dev & 0xf_ffff);
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

fn part<'a>(name: Cow<'a, [u8]>, of: fn(&[u8]) -> &[u8]) -> Value<'a> {
    match name {
        Cow::Borrowed(name) => Value::str(of(name)),
        Cow::Owned(name) => owned(of(&name)),
    }
}

/// Falco removes doubled slashes from raw names.
fn single_slashes(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(raw, b"//").is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = raw.to_vec();
    text.dedup_by(|a, b| *a == b'/' && *b == b'/');
    Cow::Owned(text)
}
