//! TCP and UDP over IPv4 and IPv6 on loopback.

use crate::{
    Behaviour,
    call::{
        Arg::{self, Buf, Int, Ptr},
        bytes_of, call, fork, wait, zeroed,
    },
    params::Params,
    truth::Truth,
};

pub const BEHAVIOURS: &[(&str, Behaviour)] =
    &[("tcp", tcp), ("udp", udp), ("refused", refused), ("connect", connect), ("lonely-net", lonely_net)];

/// An address and port as a `sockaddr`.
pub struct Address {
    storage: libc::sockaddr_storage,
    length: i64,
}

impl Address {
    /// Loopback of the family, with a port.
    pub fn loopback(v6: bool, port: u16) -> Address {
        let text = if v6 { "::1" } else { "127.0.0.1" };
        Address::new(text.parse().expect("an address"), port)
    }

    pub fn new(ip: std::net::IpAddr, port: u16) -> Address {
        let mut storage: libc::sockaddr_storage = zeroed();
        let bytes = bytes_of(&mut storage);
        bytes[2..4].copy_from_slice(&port.to_be_bytes());
        let length = match ip {
            std::net::IpAddr::V4(ip) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                bytes[4..8].copy_from_slice(&ip.octets());
                size_of::<libc::sockaddr_in>()
            }
            std::net::IpAddr::V6(ip) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                bytes[8..24].copy_from_slice(&ip.octets());
                size_of::<libc::sockaddr_in6>()
            }
        };
        Address { storage, length: length as i64 }
    }

    /// The two arguments that calls take.
    pub fn args(&mut self) -> (Arg<'_>, Arg<'_>) {
        let length = self.length;
        (Buf(bytes_of(&mut self.storage)), Int(length))
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        let length = self.length as usize;
        &mut bytes_of(&mut self.storage)[..length]
    }
}

pub fn socket(v6: bool, kind: i32) -> i64 {
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    call(libc::SYS_socket, [Int(family.into()), Int(kind.into()), Int(0)])
}

fn bind(fd: i64, address: &mut Address) -> i64 {
    let (pointer, length) = address.args();
    call(libc::SYS_bind, [Int(fd), pointer, length])
}

pub fn connect_to(fd: i64, address: &mut Address) -> i64 {
    let (pointer, length) = address.args();
    call(libc::SYS_connect, [Int(fd), pointer, length])
}

/// The local port of a bound socket, from the kernel.
pub fn local_port(fd: i64) -> u16 {
    let mut storage: libc::sockaddr_storage = zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let result =
        call(libc::SYS_getsockname, [Int(fd), Buf(bytes_of(&mut storage)), Buf(bytes_of(&mut length))]);
    assert_eq!(result, 0, "getsockname");
    let bytes = bytes_of(&mut storage);
    u16::from_be_bytes([bytes[2], bytes[3]])
}

/// A TCP connection to ourselves.
pub struct Pair {
    pub listener: i64,
    pub client: i64,
    pub server_port: u16,
    pub client_port: u16,
}

/// A listening socket, and its port.
pub fn listener(v6: bool, backlog: i64) -> (i64, u16) {
    let listener = socket(v6, libc::SOCK_STREAM);
    assert_eq!(bind(listener, &mut Address::loopback(v6, 0)), 0, "bind");
    assert_eq!(call(libc::SYS_listen, [Int(listener), Int(backlog)]), 0, "listen");
    (listener, local_port(listener))
}

/// A listening socket and a client connected to it, not accepted yet.
pub fn connected_pair(v6: bool) -> Pair {
    let (listener, server_port) = listener(v6, 8);
    let client = socket(v6, libc::SOCK_STREAM);
    assert_eq!(connect_to(client, &mut Address::loopback(v6, server_port)), 0, "connect");
    Pair { listener, client, server_port, client_port: local_port(client) }
}

/// A listener whose queue is full, so that a further connect waits, and its port.
pub fn full_listener() -> (i64, u16) {
    let (listener, port) = listener(false, 0);
    for _ in 0..3 {
        connect_to(
            socket(false, libc::SOCK_STREAM | libc::SOCK_NONBLOCK),
            &mut Address::loopback(false, port),
        );
    }
    (listener, port)
}

/// A message of one part, with an address if given, to send or to receive into.
pub struct Message<'a> {
    header: libc::msghdr,
    part: Box<libc::iovec>,
    _memory: std::marker::PhantomData<&'a mut [u8]>,
}

impl<'a> Message<'a> {
    pub fn new(data: &'a mut [u8], address: Option<&'a mut [u8]>) -> Message<'a> {
        let mut header: libc::msghdr = zeroed();
        let mut part = Box::new(libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() });
        header.msg_iov = &raw mut *part;
        header.msg_iovlen = 1;
        if let Some(address) = address {
            header.msg_name = address.as_mut_ptr().cast();
            header.msg_namelen = address.len() as libc::socklen_t;
        }
        Message { header, part, _memory: std::marker::PhantomData }
    }

    pub fn pointer(&mut self) -> Arg<'_> {
        self.header.msg_iov = &raw mut *self.part;
        Ptr((&raw mut self.header).cast())
    }
}

/// socket, bind, listen, connect, accept, then both directions of data.
fn tcp(params: &Params) {
    let v6 = params.number("family", 4) == 6;
    let pair = connected_pair(v6);
    let mut storage: libc::sockaddr_storage = zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let accepted = if params.has("accept4") {
        call(
            libc::SYS_accept4,
            [
                Int(pair.listener),
                Buf(bytes_of(&mut storage)),
                Buf(bytes_of(&mut length)),
                Int(libc::SOCK_CLOEXEC.into()),
            ],
        )
    } else {
        call(libc::SYS_accept, [Int(pair.listener), Buf(bytes_of(&mut storage)), Buf(bytes_of(&mut length))])
    };
    let mut hello = *b"hello from the client";
    let sent = call(libc::SYS_sendto, [Int(pair.client), Buf(&mut hello), Int(21), Int(0), Int(0), Int(0)]);
    let mut buffer = [0u8; 64];
    let received =
        call(libc::SYS_recvfrom, [Int(accepted), Buf(&mut buffer), Int(64), Int(0), Int(0), Int(0)]);
    let mut answer = *b"hello from the server";
    let mut message = Message::new(&mut answer, None);
    let sent_message = call(libc::SYS_sendmsg, [Int(accepted), message.pointer(), Int(0)]);
    let mut into = [0u8; 64];
    let mut message = Message::new(&mut into, None);
    let received_message = call(libc::SYS_recvmsg, [Int(pair.client), message.pointer(), Int(0)]);

    let mut truth = Truth::new();
    truth.put("listener", pair.listener);
    truth.put("client", pair.client);
    truth.put("accepted", accepted);
    truth.put("server_port", pair.server_port);
    truth.put("client_port", pair.client_port);
    truth.put("sent", sent);
    truth.put("received", received);
    truth.put("sent_message", sent_message);
    truth.put("received_message", received_message);
    truth.print();
}

/// Datagrams to ourselves; with `connected` the client is connected first, with `elsewhere` to another port
/// than the one it sends to.
fn udp(params: &Params) {
    let v6 = params.number("family", 4) == 6;
    let server = socket(v6, libc::SOCK_DGRAM);
    assert_eq!(bind(server, &mut Address::loopback(v6, 0)), 0, "bind");
    let server_port = local_port(server);
    let client = socket(v6, libc::SOCK_DGRAM);
    let mut target = Address::loopback(v6, server_port);
    let connected = params.has("connected");
    let mut hello = *b"datagram";
    let (sent, sent_message);
    if connected {
        assert_eq!(connect_to(client, &mut target), 0, "connect");
        sent = call(libc::SYS_sendto, [Int(client), Buf(&mut hello), Int(8), Int(0), Int(0), Int(0)]);
        let mut message = Message::new(&mut hello, None);
        sent_message = call(libc::SYS_sendmsg, [Int(client), message.pointer(), Int(0)]);
    } else {
        // Bound, so that the source address is known to the test.
        assert_eq!(bind(client, &mut Address::loopback(v6, 0)), 0, "bind");
        if params.has("elsewhere") {
            assert_eq!(connect_to(client, &mut Address::loopback(v6, 9)), 0, "connect");
        }
        let (pointer, length) = target.args();
        sent = call(libc::SYS_sendto, [Int(client), Buf(&mut hello), Int(8), Int(0), pointer, length]);
        let mut message = Message::new(&mut hello, Some(target.bytes()));
        sent_message = call(libc::SYS_sendmsg, [Int(client), message.pointer(), Int(0)]);
    }
    let mut buffer = [0u8; 64];
    let mut from: libc::sockaddr_storage = zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let received = call(
        libc::SYS_recvfrom,
        [
            Int(server),
            Buf(&mut buffer),
            Int(64),
            Int(0),
            Buf(bytes_of(&mut from)),
            Buf(bytes_of(&mut length)),
        ],
    );
    let mut message = Message::new(&mut buffer, Some(bytes_of(&mut from)));
    let received_message = call(libc::SYS_recvmsg, [Int(server), message.pointer(), Int(0)]);

    let mut truth = Truth::new();
    truth.put("server", server);
    truth.put("client", client);
    truth.put("server_port", server_port);
    truth.put("client_port", local_port(client));
    truth.put("sent", sent);
    truth.put("received", received);
    truth.put("sent_message", sent_message);
    truth.put("received_message", received_message);
    truth.print();
}

/// Connects to a port that is bound but not listened on.
fn refused(params: &Params) {
    let v6 = params.number("family", 4) == 6;
    let silent = socket(v6, libc::SOCK_STREAM);
    assert_eq!(bind(silent, &mut Address::loopback(v6, 0)), 0, "bind");
    let port = local_port(silent);
    let fd = socket(v6, libc::SOCK_STREAM);
    let mut truth = Truth::of(connect_to(fd, &mut Address::loopback(v6, port)));
    truth.put("fd", fd);
    truth.put("port", port);
    truth.print();
}

/// Connects to `ip=` `port=`; not blocking with `nonblock`; a datagram socket with `udp`.
fn connect(params: &Params) {
    let ip: std::net::IpAddr = params.text("ip").expect("ip=").parse().expect("an address");
    let port = u16::try_from(params.number("port", 9)).expect("a port");
    let kind = if params.has("udp") { libc::SOCK_DGRAM } else { libc::SOCK_STREAM };
    let kind = if params.has("nonblock") { kind | libc::SOCK_NONBLOCK } else { kind };
    let fd = if params.get("fd").is_some() { params.number("fd", -1) } else { socket(ip.is_ipv6(), kind) };
    let mut truth = Truth::of(connect_to(fd, &mut Address::new(ip, port)));
    truth.put("fd", fd);
    truth.print();
}

/// In a network of its own, gives the loopback interface the address `ip=`, listens on `port=`, and
/// performs the behaviour after `--` in a child: a public address without a network.
fn lonely_net(params: &Params) {
    assert_eq!(call(libc::SYS_unshare, [Int(libc::CLONE_NEWNET.into())]), 0, "unshare");
    let ip: std::net::Ipv4Addr = params.text("ip").expect("ip=").parse().expect("an address");
    let fd = socket(false, libc::SOCK_DGRAM);
    let mut request: libc::ifreq = zeroed();
    bytes_of(&mut request)[..2].copy_from_slice(b"lo");
    let mut address = Address::new(ip.into(), 0);
    bytes_of(&mut request)[16..32].copy_from_slice(address.bytes());
    let result = call(libc::SYS_ioctl, [Int(fd), Int(libc::SIOCSIFADDR as i64), Buf(bytes_of(&mut request))]);
    assert_eq!(result, 0, "SIOCSIFADDR");
    bytes_of(&mut request)[16..18]
        .copy_from_slice(&((libc::IFF_UP | libc::IFF_RUNNING) as i16).to_ne_bytes());
    let result =
        call(libc::SYS_ioctl, [Int(fd), Int(libc::SIOCSIFFLAGS as i64), Buf(bytes_of(&mut request))]);
    assert_eq!(result, 0, "SIOCSIFFLAGS");
    let listener = socket(false, libc::SOCK_STREAM);
    let port = u16::try_from(params.number("port", 0)).expect("a port");
    assert_eq!(bind(listener, &mut Address::new(ip.into(), port)), 0, "bind");
    assert_eq!(call(libc::SYS_listen, [Int(listener), Int(8)]), 0, "listen");
    let rest = params.rest();
    wait(fork(|| assert!(crate::perform(rest), "no such behaviour")));
}
