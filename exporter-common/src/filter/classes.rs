//! Facts of an event of which there are few kinds: each kind is a class, and a filter has a mask for each.
//!
//! One function for each fact, so that the kernel side and whoever makes the masks cannot disagree.

/// Number of classes of results.
pub const RESULTS: usize = 8;
/// Results that are a class of their own, from class 0 on. What else succeeded is [`RESULT_SUCCESS`], what else
/// failed is [`RESULT_FAILURE`].
pub const SINGLE_RESULTS: [i64; 6] = [0, 1, 2, -2, -13, -115];
/// A success with a number that is no class of its own.
pub const RESULT_SUCCESS: usize = 6;
/// A failure with an error that is no class of its own (ENOENT, EACCES and EINPROGRESS are).
pub const RESULT_FAILURE: usize = 7;

/// The class of a return value.
#[inline(always)]
pub fn result(ret: i64) -> usize {
    match ret {
        0 => 0,
        1 => 1,
        2 => 2,
        -2 => 3,
        -13 => 4,
        -115 => 5,
        3.. => RESULT_SUCCESS,
        _ => RESULT_FAILURE,
    }
}

/// Number of classes of opens: every set of the `OPEN_*` bits.
pub const OPENS: usize = 32;
/// The file was opened for reading.
pub const OPEN_READ: usize = 1 << 0;
/// The file was opened for writing.
pub const OPEN_WRITE: usize = 1 << 1;
/// The caller asked for `O_TRUNC`.
pub const OPEN_TRUNC: usize = 1 << 2;
/// The caller asked for `O_CREAT`.
pub const OPEN_CREAT: usize = 1 << 3;
/// The caller would create the file with an execute permission.
pub const OPEN_EXEC: usize = 1 << 4;

const O_ACCMODE: u64 = 3;
const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1_000;
/// With the bit of `O_DIRECTORY`, which it contains.
const O_TMPFILE: u64 = 0o20_200_000;

/// The class of an open: its flags and the mode that it passed.
#[inline(always)]
pub fn open(flags: u64, mode: u64) -> usize {
    let access = flags & O_ACCMODE;
    let creates = flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE;
    let mut class = 0;
    if access == 0 || access == 2 {
        class |= OPEN_READ;
    }
    if access == 1 || access == 2 {
        class |= OPEN_WRITE;
    }
    if flags & O_TRUNC != 0 {
        class |= OPEN_TRUNC;
    }
    if flags & O_CREAT != 0 {
        class |= OPEN_CREAT;
    }
    if creates && mode & 0o111 != 0 {
        class |= OPEN_EXEC;
    }
    class
}

/// Number of classes of places: the host, a container.
pub const CONTAINERS: usize = 2;

/// Whether a process is in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    Host,
    Container,
    /// Not known here: user space finds out.
    Unknown,
}

/// Value of the map from cgroup id to place: a host cgroup.
pub const CGROUP_HOST: u32 = 1;
/// Value of the map from cgroup id to place: a container's cgroup.
pub const CGROUP_CONTAINER: u32 = 2;

/// Number of classes of path arguments.
pub const RAW_NAMES: usize = 2;

/// A path argument as the caller passed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawName {
    /// Without two dots next to each other.
    Plain,
    /// With two dots next to each other, as in `../`.
    Dots,
    /// Not read.
    Unknown,
}

/// Number of classes of descriptors.
pub const KINDS: usize = 8;
pub const KIND_INET: usize = 0;
pub const KIND_INET6: usize = 1;
pub const KIND_UNIX: usize = 2;
pub const KIND_NETLINK: usize = 3;
pub const KIND_PACKET: usize = 4;
/// A socket of another family.
pub const KIND_SOCKET: usize = 5;
/// A file of any kind that is no socket.
pub const KIND_FILE: usize = 6;
/// Nothing is known of the descriptor.
pub const KIND_UNKNOWN: usize = 7;

/// The class of a socket's address family (`AF_*`).
#[inline(always)]
pub fn kind_of_family(family: u16) -> usize {
    match family {
        1 => KIND_UNIX,
        2 => KIND_INET,
        10 => KIND_INET6,
        16 => KIND_NETLINK,
        17 => KIND_PACKET,
        _ => KIND_SOCKET,
    }
}

/// Number of classes of transport protocols.
pub const PROTOCOLS: usize = 4;
pub const PROTOCOL_TCP: usize = 0;
pub const PROTOCOL_UDP: usize = 1;
/// Anything else: ICMP, raw IP, no IP at all, not known.
pub const PROTOCOL_OTHER: usize = 2;

/// The class of a socket, by its family (`AF_*`), type (`SOCK_*`) and protocol (`IPPROTO_*`).
#[inline(always)]
pub fn protocol(family: u16, sock_type: u16, protocol: u16) -> usize {
    const SOCK_RAW: u16 = 3;
    if (family != 2 && family != 10) || sock_type == SOCK_RAW {
        return PROTOCOL_OTHER;
    }
    match protocol {
        6 => PROTOCOL_TCP,
        17 => PROTOCOL_UDP,
        _ => PROTOCOL_OTHER,
    }
}

/// Number of classes of remote addresses.
pub const ADDRESSES: usize = 16;
/// IPv4 networks that are a class each, from class 0 on: address and prefix length. The first that fits counts.
pub const NETWORKS_V4: [(u32, u32); 8] = [
    (0x0000_0000, 32), // unspecified
    (0x7f00_0000, 8),  // loopback
    (0xa9fe_a9fe, 32), // the cloud's metadata service
    (0xa9fe_0000, 16), // link-local
    (0x0a00_0000, 8),  // private, RFC 1918
    (0xac10_0000, 12),
    (0xc0a8_0000, 16),
    (0x6440_0000, 10), // shared, RFC 6598
];
/// An IPv4 address of none of these networks.
pub const ADDRESS_V4: usize = 8;
/// `::`
pub const ADDRESS_V6_UNSPECIFIED: usize = 9;
/// `::1`
pub const ADDRESS_V6_LOOPBACK: usize = 10;
/// Any other IPv6 address.
pub const ADDRESS_V6: usize = 11;
/// No address, or not known.
pub const ADDRESS_UNKNOWN: usize = 12;

/// The class of an IPv4 address, in host byte order.
#[inline(always)]
pub fn address_v4(address: u32) -> usize {
    if address == 0 {
        return 0;
    }
    if address >> 24 == 0x7f {
        return 1;
    }
    if address == 0xa9fe_a9fe {
        return 2;
    }
    if address >> 16 == 0xa9fe {
        return 3;
    }
    if address >> 24 == 0x0a {
        return 4;
    }
    if address >> 20 == 0xac1 {
        return 5;
    }
    if address >> 16 == 0xc0a8 {
        return 6;
    }
    if address >> 22 == 0x6440_0000 >> 22 {
        return 7;
    }
    ADDRESS_V4
}

/// The class of an IPv6 address: its two halves in host byte order. An IPv4 address inside it is one.
#[inline(always)]
pub fn address_v6(high: u64, low: u64) -> usize {
    if high != 0 {
        return ADDRESS_V6;
    }
    match low {
        0 => ADDRESS_V6_UNSPECIFIED,
        1 => ADDRESS_V6_LOOPBACK,
        _ if low >> 32 == 0xffff => address_v4(low as u32),
        _ => ADDRESS_V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_classes() {
        for (class, ret) in SINGLE_RESULTS.iter().enumerate() {
            assert_eq!(result(*ret), class);
        }
        assert_eq!([3, i64::MAX, -1, i64::MIN, -14].map(result), [6, 6, 7, 7, 7]);
    }

    #[test]
    fn opens_are_classes() {
        for (flags, mode, class) in [
            (0, 0, OPEN_READ),
            (1, 0o777, OPEN_WRITE),
            (2, 0, OPEN_READ | OPEN_WRITE),
            (3, 0, 0),
            (0o1_001, 0, OPEN_WRITE | OPEN_TRUNC),
            (0o101, 0o644, OPEN_WRITE | OPEN_CREAT),
            (0o1_102, 0o755, OPEN_READ | OPEN_WRITE | OPEN_CREAT | OPEN_TRUNC | OPEN_EXEC),
            (0o20_200_001, 0o700, OPEN_WRITE | OPEN_EXEC),
            (0o200_000, 0o700, OPEN_READ),
        ] {
            assert_eq!(open(flags, mode), class, "{flags:o} {mode:o}");
            assert!(class < OPENS);
        }
    }

    #[test]
    fn addresses_are_classes() {
        let v4 = |text: &str| address_v4(text.parse::<std::net::Ipv4Addr>().unwrap().into());
        for (text, class) in [
            ("0.0.0.0", 0),
            ("127.0.0.53", 1),
            ("169.254.169.254", 2),
            ("169.254.0.1", 3),
            ("10.255.0.1", 4),
            ("172.16.0.1", 5),
            ("172.31.255.255", 5),
            ("172.32.0.1", ADDRESS_V4),
            ("192.168.1.1", 6),
            ("100.64.0.1", 7),
            ("100.128.0.1", ADDRESS_V4),
            ("8.8.8.8", ADDRESS_V4),
        ] {
            assert_eq!(v4(text), class, "{text}");
        }
        for (index, (network, length)) in NETWORKS_V4.into_iter().enumerate() {
            assert_eq!(address_v4(network), index, "{network:x}/{length}");
        }
        let v6 = |text: &str| {
            let bits = u128::from(text.parse::<std::net::Ipv6Addr>().unwrap());
            address_v6((bits >> 64) as u64, bits as u64)
        };
        for (text, class) in [
            ("::", ADDRESS_V6_UNSPECIFIED),
            ("::1", ADDRESS_V6_LOOPBACK),
            ("::2", ADDRESS_V6),
            ("fd00::1", ADDRESS_V6),
            ("::ffff:10.0.0.1", 4),
            ("::ffff:1.1.1.1", ADDRESS_V4),
        ] {
            assert_eq!(v6(text), class, "{text}");
        }
    }
}
