//! Addresses of sockets, from the kernel's socket or from a `sockaddr`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use exporter_common::{
    event_type::EventType,
    record::{SOCKET_CONNECTED, SectionKind, SocketInfo},
};

use super::Event;

pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
pub const AF_NETLINK: u16 = 16;
const SOCK_STREAM: u16 = 1;

const EBADF: i64 = -9;
const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const ENOTSOCK: i64 = -88;

/// Both ends of a socket as one event sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    pub local: (IpAddr, u16),
    pub remote: (IpAddr, u16),
}

/// An address that a caller passed or got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    Ip(IpAddr, u16),
    /// `sun_path` without its padding; an abstract one begins with NUL.
    Unix(&'a [u8]),
    /// Another family.
    Other(u16),
}

impl<'a> Address<'a> {
    /// Reads a `sockaddr`; `None` if it is too short for its family.
    pub fn parse(bytes: &'a [u8]) -> Option<Address<'a>> {
        let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
        Some(match family {
            AF_INET => {
                let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
                Address::Ip(Ipv4Addr::from(octets).into(), port()?)
            }
            AF_INET6 => {
                let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                Address::Ip(plain(Ipv6Addr::from(octets).into()), port()?)
            }
            AF_UNIX => Address::Unix(unix_path(bytes.get(2..)?)),
            family => Address::Other(family),
        })
    }
}

/// A unix path ends at its first NUL, an abstract name at its last byte that is not NUL.
fn unix_path(bytes: &[u8]) -> &[u8] {
    let len = match bytes.first() {
        Some(0) => bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
        _ => memchr::memchr(0, bytes).unwrap_or(bytes.len()),
    };
    bytes.get(..len).unwrap_or_default()
}

/// An IPv4 address inside an IPv6 one is an IPv4 address, as in Falco.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The local end of an IP socket.
pub fn local(socket: &SocketInfo) -> Option<(IpAddr, u16)> {
    Some((ip(socket.family, &socket.local_addr)?, socket.local_port))
}

fn ip(family: u16, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => {
            let octets: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        }
        AF_INET6 => Some(plain(Ipv6Addr::from(*bytes).into())),
        _ => None,
    }
}

impl<'a> Event<'a> {
    /// The address that the caller passed or got.
    pub fn sockaddr(&self) -> Option<Address<'a>> {
        Address::parse(self.bytes(SectionKind::Sockaddr)?)
    }

    /// Both ends: the kernel's where the socket has a peer, else the address of this very call.
    pub fn tuple(&self) -> Option<Tuple> {
        let Some(socket) = self.socket() else { return self.tuple_without_socket() };
        let mut local = local(&socket)?;
        let remote = if let Some(sent_to) = self.sent_to(&socket) {
            sent_to
        } else if socket.flags & SOCKET_CONNECTED != 0 || socket.remote_port != 0 {
            (ip(socket.family, &socket.remote_addr)?, socket.remote_port)
        } else {
            match self.sockaddr()? {
                Address::Ip(address, port) => (address, port),
                _ => return None,
            }
        };
        // An IPv6 socket that is not bound yet and talks IPv4 has no IPv4 address of its own.
        if local.0.is_unspecified() && remote.0.is_ipv4() {
            local.0 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        }
        Some(Tuple { local, remote })
    }

    /// Where a datagram went, if the call named an address: that counts, also on a socket that is connected to
    /// another. A stream goes to its peer whatever the call says.
    fn sent_to(&self, socket: &SocketInfo) -> Option<(IpAddr, u16)> {
        if !matches!(self.event_type(), EventType::Sendto | EventType::Sendmsg)
            || socket.sock_type == SOCK_STREAM
        {
            return None;
        }
        match self.sockaddr()? {
            Address::Ip(address, port) => Some((address, port)),
            _ => None,
        }
    }

    /// While a connect waits, another thread can close its descriptor or put a file in its place. What is left
    /// then is the address that was asked for.
    fn tuple_without_socket(&self) -> Option<Tuple> {
        let remote = match self.orphan_address()? {
            Address::Ip(address, port) => (address, port),
            _ => return None,
        };
        let unspecified = match remote.0 {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Some(Tuple { local: (unspecified, 0), remote })
    }

    /// The address of a connect whose descriptor is no longer its socket, though it was one: else the call had
    /// failed at once.
    pub fn orphan_address(&self) -> Option<Address<'a>> {
        let orphan = self.event_type() == EventType::Connect
            && self.socket().is_none()
            && !matches!(self.header.ret, EBADF | ENOTSOCK | EFAULT | EINVAL);
        orphan.then(|| self.sockaddr()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_by_family() {
        let v4 = [2, 0, 0, 80, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut v6 = vec![10, 0, 0x1f, 0x90, 0, 0, 0, 0];
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        v6.extend([0; 4]);
        let mut mapped = vec![10, 0, 0, 53, 0, 0, 0, 0];
        mapped.extend(Ipv4Addr::new(8, 8, 8, 8).to_ipv6_mapped().octets());
        for (bytes, expected) in [
            (&v4[..], Some(Address::Ip("10.0.0.1".parse().unwrap(), 80))),
            (&v4[..7], None),
            (&v6, Some(Address::Ip("::1".parse().unwrap(), 8080))),
            (&v6[..23], None),
            (&mapped, Some(Address::Ip("8.8.8.8".parse().unwrap(), 53))),
            (b"\x01\x00/run/x\0garbage", Some(Address::Unix(b"/run/x"))),
            (b"\x01\x00\0abs\0\0", Some(Address::Unix(b"\0abs"))),
            (b"\x01\x00", Some(Address::Unix(b""))),
            (b"\x11\x00\x01", Some(Address::Other(17))),
            (b"\x01", None),
            (b"", None),
        ] {
            assert_eq!(Address::parse(bytes), expected, "{bytes:?}");
        }
    }
}
