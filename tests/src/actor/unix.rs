//! Unix sockets, by path and by abstract name.

use crate::{
    Behaviour,
    call::{
        Arg::{Buf, Int},
        call,
    },
    inet::Message,
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[("unix", unix), ("unix-connect", unix_connect)];

/// A `sockaddr_un` of the name; one beginning with `@` is abstract.
fn address(name: &[u8]) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    match name.split_first() {
        Some((b'@', rest)) => {
            bytes.push(0);
            bytes.extend(rest);
        }
        _ => {
            bytes.extend(name);
            bytes.push(0);
        }
    }
    bytes
}

fn socket(datagram: bool) -> i64 {
    let kind = if datagram { libc::SOCK_DGRAM } else { libc::SOCK_STREAM };
    call(libc::SYS_socket, [Int(libc::AF_UNIX.into()), Int(kind.into()), Int(0)])
}

/// Binds `name=`, connects to it and exchanges data; `datagram` or a stream.
fn unix(params: &Params) {
    let mut name = address(params.get("name").expect("name="));
    let length = name.len() as i64;
    let datagram = params.has("datagram");
    let server = socket(datagram);
    assert_eq!(call(libc::SYS_bind, [Int(server), Buf(&mut name), Int(length)]), 0, "bind");
    if !datagram {
        assert_eq!(call(libc::SYS_listen, [Int(server), Int(8)]), 0, "listen");
    }
    let client = socket(datagram);
    let mut truth = Truth::new();
    assert_eq!(call(libc::SYS_connect, [Int(client), Buf(&mut name), Int(length)]), 0, "connect");
    let accepted = if datagram { server } else { call(libc::SYS_accept, [Int(server), Int(0), Int(0)]) };
    let mut hello = *b"unix hello";
    let sent = call(libc::SYS_sendto, [Int(client), Buf(&mut hello), Int(10), Int(0), Int(0), Int(0)]);
    let mut buffer = [0u8; 32];
    let mut message = Message::new(&mut buffer, None);
    let received = call(libc::SYS_recvmsg, [Int(accepted), message.pointer(), Int(0)]);
    truth.put("server", server);
    truth.put("client", client);
    truth.put("accepted", accepted);
    truth.put("sent", sent);
    truth.put("received", received);
    truth.print();
}

/// Connects to `name=`, which nobody may have bound.
fn unix_connect(params: &Params) {
    let mut name = address(params.get("name").expect("name="));
    let length = name.len() as i64;
    let fd = socket(false);
    let mut truth = Truth::of(call(libc::SYS_connect, [Int(fd), Buf(&mut name), Int(length)]));
    truth.put("fd", fd);
    truth.print();
}
