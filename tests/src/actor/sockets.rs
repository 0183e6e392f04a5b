//! socket, and the socket calls where they fail.

use crate::{
    Behaviour,
    call::{
        Arg::{Buf, Int},
        call,
    },
    inet::{Address, Message},
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("socket", socket),
    ("bind-taken", bind_taken),
    ("bad-descriptor", bad_descriptor),
    ("accept-nothing", accept_nothing),
    ("receive-nothing", receive_nothing),
    ("send-nowhere", send_nowhere),
    ("listen-datagram", listen_datagram),
];

fn socket(params: &Params) {
    Truth::of(call(
        libc::SYS_socket,
        [Int(params.number("domain", 0)), Int(params.number("type", 0)), Int(params.number("protocol", 0))],
    ))
    .print();
}

fn make(kind: i32) -> i64 {
    call(libc::SYS_socket, [Int(libc::AF_INET.into()), Int(kind.into()), Int(0)])
}

/// Two binds of one port: the second fails with EADDRINUSE.
fn bind_taken(_: &Params) {
    let first = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = first.local_addr().expect("bound").port();
    let fd = make(libc::SOCK_STREAM);
    let mut address = Address::loopback(false, port);
    let (pointer, length) = address.args();
    let mut truth = Truth::of(call(libc::SYS_bind, [Int(fd), pointer, length]));
    truth.put("fd", fd);
    truth.put("port", port);
    truth.print();
}

/// `call=NAME` on a descriptor that is not open.
fn bad_descriptor(params: &Params) {
    let mut address = Address::loopback(false, 9);
    let mut data = [0u8; 8];
    let fd = Int(params.number("fd", 999));
    let ret = match params.text("call").expect("call=") {
        "bind" => {
            let (pointer, length) = address.args();
            call(libc::SYS_bind, [fd, pointer, length])
        }
        "connect" => {
            let (pointer, length) = address.args();
            call(libc::SYS_connect, [fd, pointer, length])
        }
        "listen" => call(libc::SYS_listen, [fd, Int(1)]),
        "accept" => call(libc::SYS_accept, [fd, Int(0), Int(0)]),
        "accept4" => call(libc::SYS_accept4, [fd, Int(0), Int(0), Int(0)]),
        "sendto" => call(libc::SYS_sendto, [fd, Buf(&mut data), Int(8), Int(0), Int(0), Int(0)]),
        "recvfrom" => call(libc::SYS_recvfrom, [fd, Buf(&mut data), Int(8), Int(0), Int(0), Int(0)]),
        "sendmsg" => call(libc::SYS_sendmsg, [fd, Message::new(&mut data, None).pointer(), Int(0)]),
        "recvmsg" => call(libc::SYS_recvmsg, [fd, Message::new(&mut data, None).pointer(), Int(0)]),
        other => panic!("actor: no call {other}"),
    };
    Truth::of(ret).print();
}

/// Accepts on a listening socket that nobody has connected to: EAGAIN.
fn accept_nothing(params: &Params) {
    let fd = make(libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
    call(libc::SYS_listen, [Int(fd), Int(1)]);
    let ret = if params.has("accept4") {
        call(libc::SYS_accept4, [Int(fd), Int(0), Int(0), Int(0)])
    } else {
        call(libc::SYS_accept, [Int(fd), Int(0), Int(0)])
    };
    let mut truth = Truth::of(ret);
    truth.put("fd", fd);
    truth.print();
}

/// Receives where nothing was sent: EAGAIN, by recvfrom and then by recvmsg.
fn receive_nothing(_: &Params) {
    let fd = make(libc::SOCK_DGRAM | libc::SOCK_NONBLOCK);
    let mut data = [0u8; 8];
    call(libc::SYS_recvfrom, [Int(fd), Buf(&mut data), Int(8), Int(0), Int(0), Int(0)]);
    let mut truth =
        Truth::of(call(libc::SYS_recvmsg, [Int(fd), Message::new(&mut data, None).pointer(), Int(0)]));
    truth.put("fd", fd);
    truth.print();
}

/// Sends on a datagram socket without an address: EDESTADDRREQ, by sendto and then by sendmsg.
fn send_nowhere(_: &Params) {
    let fd = make(libc::SOCK_DGRAM);
    let mut data = *b"nowhere!";
    call(libc::SYS_sendto, [Int(fd), Buf(&mut data), Int(8), Int(0), Int(0), Int(0)]);
    let mut truth =
        Truth::of(call(libc::SYS_sendmsg, [Int(fd), Message::new(&mut data, None).pointer(), Int(0)]));
    truth.put("fd", fd);
    truth.print();
}

/// Listens on a datagram socket: EOPNOTSUPP.
fn listen_datagram(_: &Params) {
    let fd = make(libc::SOCK_DGRAM);
    let mut truth = Truth::of(call(libc::SYS_listen, [Int(fd), Int(5)]));
    truth.put("fd", fd);
    truth.print();
}
