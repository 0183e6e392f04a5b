// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! The socket behind a descriptor, from `struct sock`.
use exporter_common::record::{SOCKET_CONNECTED, SOCKET_SERVER, SectionKind, SocketInfo};

use crate::{
    maps::Scratch,
    memory::{fetch, probe},
    offsets::{fact, has, member, probe},
    record,
};

const SOCKFS: u64 = 0x534f_434b;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const SOCK_RAW: u16 = 3;
const TCP_LISTEN: u8 = 10;
/// `sizeof(sun_path)`.
const SUN_PATH: u64 = 108;
/// What precedes `sun_path`: the family.
const SUN_FAMILY: u64 = 2;

/// Appends the socket that `file` is, with its names if it is a unix one; false if it is no socket.
/// `flags`: `SOCKET_*` bits that the caller knows.
#[inline(never)]
pub fn put_if_socket(s: *mut Scratch, file: u64, fd: u32, flags: u32) -> bool {
    if file == 0 {
        return false;
    }
    let inode = probe!(u64, file, OFF_FILE_INODE);
    if probe!(u64, probe!(u64, inode, OFF_INODE_SB), OFF_SB_MAGIC) != SOCKFS {
        return false;
    }
    let socket = probe!(u64, file, OFF_FILE_PRIVATE_DATA);
    let sk = probe!(u64, socket, OFF_SOCKET_SK);
    if sk == 0 {
        return false;
    }
    // SAFETY: `s` is this CPU's scratch memory.
    unsafe { fetch(&raw mut (*s).sock, sk) };
    let chunk = unsafe { &raw const (*s).sock };
    let family = member!(u16, chunk, sk, OFF_SOCK_FAMILY);
    let peer = if family == AF_UNIX { probe!(u64, sk, OFF_UNIX_PEER) } else { 0 };

    // SAFETY: the section's own bytes, and this CPU's scratch memory.
    record::put_struct::<SocketInfo>(s, SectionKind::Socket, |info| unsafe {
        let chunk = &raw const (*s).sock;
        let state = member!(u8, chunk, sk, OFF_SOCK_STATE);
        let sock_type = probe!(u16, socket, OFF_SOCKET_TYPE);
        let mut flags = flags as u16;
        (*info).ino = probe!(u64, inode, OFF_INODE_INO);
        (*info).family = family;
        (*info).sock_type = sock_type;
        (*info).protocol = protocol(sk);
        (*info).state = u16::from(state);
        (*info).fd = fd as i32;
        (*info).net_ns = probe!(u32, member!(u64, chunk, sk, OFF_SOCK_NET), OFF_NET_INUM);
        if state == TCP_LISTEN {
            flags |= SOCKET_SERVER;
        }
        if family == AF_UNIX {
            if peer != 0 {
                flags |= SOCKET_CONNECTED;
            }
        } else if family == AF_INET || family == AF_INET6 {
            let remote_port = member!(u16, chunk, sk, OFF_SOCK_DPORT).swap_bytes();
            (*info).remote_port = remote_port;
            // A raw socket keeps its protocol there.
            if sock_type != SOCK_RAW {
                (*info).local_port = member!(u16, chunk, sk, OFF_SOCK_NUM);
            }
            if remote_port != 0 {
                flags |= SOCKET_CONNECTED;
                // An accepted connection inherits the backlog of its listener; one that connected has none.
                if sock_type == SOCK_STREAM && probe!(u32, sk, OFF_SOCK_MAX_ACK_BACKLOG) != 0 {
                    flags |= SOCKET_SERVER;
                }
            }
            let local = (&raw mut (*info).local_addr).cast::<u64>();
            let remote = (&raw mut (*info).remote_addr).cast::<u64>();
            if family == AF_INET {
                local.write(u64::from(member!(u32, chunk, sk, OFF_SOCK_RCV_SADDR)));
                remote.write(u64::from(member!(u32, chunk, sk, OFF_SOCK_DADDR)));
            } else {
                let address = member!([u64; 2], chunk, sk, OFF_SOCK_V6_RCV_SADDR);
                local.write(address[0]);
                local.add(1).write(address[1]);
                let address = member!([u64; 2], chunk, sk, OFF_SOCK_V6_DADDR);
                remote.write(address[0]);
                remote.add(1).write(address[1]);
            }
        }
        (*info).flags = flags;
    });
    if family == AF_UNIX {
        put_unix_name(s, SectionKind::UnixLocal as u32, sk);
        if peer != 0 {
            put_unix_name(s, SectionKind::UnixPeer as u32, peer);
        }
    }
    true
}

/// `sk_protocol` has 16 bits since 5.6.
#[inline(always)]
fn protocol(sk: u64) -> u16 {
    probe!(u16, sk, OFF_SOCK_PROTOCOL)
}

/// Appends the name of a unix socket if it has one.
#[inline(never)]
fn put_unix_name(s: *mut Scratch, kind: u32, sk: u64) {
    let address = probe!(u64, sk, OFF_UNIX_ADDR);
    if address == 0 {
        return;
    }
    let len = u64::from(probe!(u32, address, OFF_UNIX_ADDR_LEN));
    if len <= SUN_FAMILY || len > SUN_FAMILY + SUN_PATH + 1 {
        return;
    }
    let name = address + fact!(OFF_UNIX_ADDR_NAME) as u64 + SUN_FAMILY;
    if probe::<u8>(name) == 0 {
        record::put_kernel(s, kind, 0, name, len - SUN_FAMILY);
    } else {
        record::put_kernel_string(s, kind, name);
    }
}
