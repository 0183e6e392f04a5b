use std::net::Ipv6Addr;

use exporter_common::record::{SOCKET_CONNECTED, SOCKET_SERVER, SectionKind as K, SocketInfo};

use super::*;

fn v4(address: [u8; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&address);
    bytes
}

const TCP: SocketInfo = SocketInfo {
    ino: 5,
    family: 2,
    sock_type: 1,
    protocol: 6,
    flags: SOCKET_CONNECTED,
    local_port: 40_000,
    remote_port: 443,
    state: 1,
    reserved: 0,
    local_addr: [192, 168, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    remote_addr: [10, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    fd: 3,
    net_ns: 0,
};

fn udp() -> SocketInfo {
    SocketInfo { sock_type: 2, protocol: 17, flags: 0, remote_port: 0, remote_addr: [0; 16], ..TCP }
}

/// `sockaddr_in`.
fn sockaddr(address: [u8; 4], port: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0];
    bytes.extend(port.to_be_bytes());
    bytes.extend(address);
    bytes.extend([0; 8]);
    bytes
}

#[test]
fn a_client_connects() {
    check(
        &mut enricher(),
        RecordBuilder::new(EventType::Connect)
            .args(&[3])
            .fixed(K::Socket, &TCP)
            .section(K::Sockaddr, sockaddr([10, 96, 0, 1], 443)),
        &[
            ("fd.num", "3"),
            ("fd.name", "192.168.1.2:40000->10.96.0.1:443"),
            ("fd.type", "ipv4"),
            ("fd.typechar", "4"),
            ("fd.l4proto", "tcp"),
            ("fd.sockfamily", "ip"),
            ("fd.is_server", "false"),
            ("fd.cip", "192.168.1.2"),
            ("fd.sip", "10.96.0.1"),
            ("fd.lip", "192.168.1.2"),
            ("fd.rip", "10.96.0.1"),
            ("fd.ip", "192.168.1.2,10.96.0.1"),
            ("fd.net", "192.168.1.2,10.96.0.1"),
            ("fd.snet", "10.96.0.1"),
            ("fd.cport", "40000"),
            ("fd.sport", "443"),
            ("fd.lport", "40000"),
            ("fd.rport", "443"),
            ("fd.port", "40000,443"),
            ("fd.proto", "40000,443"),
            ("fd.sproto", "443"),
            ("fd.connected", "true"),
            ("fd.name_changed", "true"),
            ("fd.sip.name", "kubernetes.default.svc.cluster.local"),
            ("fd.rip.name", "kubernetes.default.svc.cluster.local"),
            ("fd.cip.name", ABSENT),
            ("fd.directory", ABSENT),
            ("fd.filename", ABSENT),
            ("fd.nameraw", ABSENT),
            ("evt.category", "net"),
            ("evt.arg.tuple", "192.168.1.2:40000->10.96.0.1:443"),
            ("evt.arg.fd", "<4t>192.168.1.2:40000->10.96.0.1:443"),
            ("evt.arg.addr", "10.96.0.1:443"),
        ],
    );
}

#[test]
fn a_connection_that_did_not_come_about_has_the_address_that_was_asked_for() {
    let socket = SocketInfo { flags: 0, remote_port: 0, remote_addr: [0; 16], local_addr: [0; 16], ..TCP };
    check(
        &mut enricher(),
        RecordBuilder::new(EventType::Connect)
            .args(&[3])
            .ret(-115)
            .fixed(K::Socket, &socket)
            .section(K::Sockaddr, sockaddr([1, 2, 3, 4], 80)),
        &[
            ("fd.name", "0.0.0.0:40000->1.2.3.4:80"),
            ("fd.sip", "1.2.3.4"),
            ("fd.connected", "false"),
            ("evt.res", "EINPROGRESS"),
            ("evt.count.error.net", "1"),
        ],
    );
}

#[test]
fn a_server_accepts() {
    let mut enricher = enricher();
    let socket = SocketInfo {
        local_port: 22,
        remote_port: 50_000,
        flags: SOCKET_CONNECTED | SOCKET_SERVER,
        fd: 7,
        ..TCP
    };
    check(
        &mut enricher,
        RecordBuilder::new(EventType::Accept4).args(&[3, 0, 0, 0o2_000_000]).ret(7).fixed(K::Socket, &socket),
        &[
            ("fd.num", "7"),
            ("fd.name", "10.96.0.1:50000->192.168.1.2:22"),
            ("fd.is_server", "true"),
            ("fd.cip", "10.96.0.1"),
            ("fd.sip", "192.168.1.2"),
            ("fd.lip", "192.168.1.2"),
            ("fd.sport", "22"),
            ("fd.lport", "22"),
            ("fd.rport", "50000"),
            ("evt.arg.fd", "<4t>10.96.0.1:50000->192.168.1.2:22"),
            ("evt.arg.flags", "SOCK_CLOEXEC"),
        ],
    );
    // It has its name from the start.
    let send = RecordBuilder::new(EventType::Sendto).args(&[7]).ret(1).fixed(K::Socket, &socket);
    let rows = [
        ("fd.name_changed", "false"),
        ("fd.name", "10.96.0.1:50000->192.168.1.2:22"),
        ("fd.is_server", "true"),
    ];
    check(&mut enricher, send, &rows);
}

#[test]
fn a_socket_that_listens_has_only_a_server() {
    let socket = SocketInfo {
        flags: 0,
        remote_port: 0,
        remote_addr: [0; 16],
        local_port: 80,
        local_addr: [0; 16],
        ..TCP
    };
    for (ty, ret, name) in [
        (EventType::Bind, 0, "0.0.0.0:80"),
        (EventType::Bind, -98, "127.0.0.1:81"),
        (EventType::Listen, 0, "0.0.0.0:80"),
    ] {
        let record = RecordBuilder::new(ty)
            .args(&[3, 5])
            .ret(ret)
            .fixed(K::Socket, &socket)
            .section(K::Sockaddr, sockaddr([127, 0, 0, 1], 81));
        let rows = [
            ("fd.name", name),
            ("fd.type", "ipv4"),
            ("fd.typechar", "2"),
            ("fd.is_server", "true"),
            ("fd.sport", name.rsplit_once(':').unwrap().1),
            ("fd.cip", ABSENT),
            ("fd.lport", ABSENT),
        ];
        check(&mut enricher(), record, &rows);
    }
}

#[test]
fn ipv6_and_ipv4_within_it() {
    let socket = SocketInfo {
        family: 10,
        local_addr: Ipv6Addr::LOCALHOST.octets(),
        remote_addr: "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets(),
        ..TCP
    };
    let record = |socket| RecordBuilder::new(EventType::Connect).args(&[3]).fixed(K::Socket, &socket);
    check(
        &mut enricher(),
        record(socket),
        &[("fd.name", "::1:40000->2001:db8::1:443"), ("fd.type", "ipv6"), ("fd.typechar", "6")],
    );
    let mapped = |address: [u8; 4]| std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets();
    let socket = SocketInfo { local_addr: mapped([1, 2, 3, 4]), remote_addr: mapped([5, 6, 7, 8]), ..socket };
    check(
        &mut enricher(),
        record(socket),
        &[("fd.name", "1.2.3.4:40000->5.6.7.8:443"), ("fd.type", "ipv4"), ("fd.sip", "5.6.7.8")],
    );
}

#[test]
fn an_unconnected_udp_socket_changes_its_name_with_its_peer() {
    let mut enricher = enricher();
    let send = |peer| {
        RecordBuilder::new(EventType::Sendto)
            .args(&[3, 0, 100])
            .ret(20)
            .fixed(K::Socket, &udp())
            .section(K::Sockaddr, sockaddr(peer, 53))
    };
    for (peer, changed) in
        [([8, 8, 8, 8], "true"), ([8, 8, 8, 8], "false"), ([9, 9, 9, 9], "true"), ([8, 8, 8, 8], "true")]
    {
        let [a, ..] = peer;
        let name = format!("192.168.1.2:40000->{a}.{a}.{a}.{a}:53");
        let rows = [
            ("fd.name_changed", changed),
            ("fd.name", &*name),
            ("fd.connected", "false"),
            ("fd.l4proto", "udp"),
            ("fd.is_server", "false"),
            ("evt.is_io_write", "true"),
            ("evt.io_dir", "write"),
            ("evt.buflen", "20"),
            ("evt.arg.size", "100"),
        ];
        check(&mut enricher, send(peer), &rows);
    }
    // Its answer comes without an address of its own if the caller did not ask for one.
    let answer = RecordBuilder::new(EventType::Recvfrom).args(&[3]).ret(20).fixed(K::Socket, &udp());
    check(
        &mut enricher,
        answer.section(K::Data, "answer"),
        &[
            ("fd.name", "192.168.1.2:40000->8.8.8.8:53"),
            ("fd.name_changed", "false"),
            ("evt.buffer", "answer"),
            ("evt.arg.data", "answer"),
            ("evt.io_dir", "read"),
        ],
    );
}

#[test]
fn a_udp_socket_that_receives_first_serves() {
    let mut enricher = enricher();
    let socket = SocketInfo { local_port: 53, local_addr: v4([0, 0, 0, 0]), ..udp() };
    let peer = sockaddr([7, 7, 7, 7], 6000);
    for ty in [EventType::Recvfrom, EventType::Sendto] {
        let record =
            RecordBuilder::new(ty).args(&[3]).ret(9).fixed(K::Socket, &socket).section(K::Sockaddr, &peer);
        let rows = [("fd.name", "7.7.7.7:6000->0.0.0.0:53"), ("fd.sport", "53"), ("fd.is_server", "true")];
        check(&mut enricher, record, &rows);
    }

    // Nothing was there to receive: that makes nobody a server.
    let other = SocketInfo { ino: 6, ..socket };
    let record = |ty| RecordBuilder::new(ty).args(&[3]).fixed(K::Socket, &other);
    check(&mut enricher, record(EventType::Recvfrom).ret(-11), &[("fd.name", ABSENT)]);
    let rows = [("fd.name", "0.0.0.0:53->7.7.7.7:6000"), ("fd.sip", "7.7.7.7"), ("fd.is_server", "false")];
    check(&mut enricher, record(EventType::Sendto).ret(9).section(K::Sockaddr, &peer), &rows);
}

#[test]
fn unix_sockets_have_the_name_of_the_end_that_has_one() {
    let socket = SocketInfo { family: 1, sock_type: 1, protocol: 0, local_port: 0, remote_port: 0, ..TCP };
    for (ty, sections, name) in [
        (EventType::Connect, &[(K::UnixPeer, "/run/docker.sock")][..], "/run/docker.sock"),
        (EventType::Accept, &[(K::UnixLocal, "/run/docker.sock")], "/run/docker.sock"),
        (EventType::Connect, &[(K::Sockaddr, "\x01\0/run/gone.sock\0")], "/run/gone.sock"),
        (EventType::Bind, &[(K::UnixLocal, "\0abstract")], "@abstract"),
        (EventType::Connect, &[], ABSENT),
    ] {
        let mut record = RecordBuilder::new(ty).args(&[3]).ret(3).fixed(K::Socket, &socket);
        for (kind, data) in sections {
            record = record.section(*kind, data);
        }
        let rows = [
            ("fd.name", name),
            ("fd.type", "unix"),
            ("fd.typechar", "u"),
            ("fd.sockfamily", "unix"),
            ("fd.l4proto", "<NA>"),
            ("fd.sip", ABSENT),
        ];
        check(&mut enricher(), record, &rows);
    }
    let record = RecordBuilder::new(EventType::Sendto)
        .ret(1)
        .fixed(K::Socket, &socket)
        .section(K::UnixPeer, "/dev/log");
    check(&mut enricher(), record, &[("evt.is_syslog", "true")]);
}

#[test]
fn a_duplicated_socket_is_still_a_socket() {
    let record = RecordBuilder::new(EventType::Dup2)
        .args(&[3, 0])
        .ret(0)
        .fixed(K::Socket, &SocketInfo { fd: 0, ..TCP });
    check(
        &mut enricher(),
        record,
        &[
            ("fd.num", "0"),
            ("fd.type", "ipv4"),
            ("fd.name", "192.168.1.2:40000->10.96.0.1:443"),
            ("fd.sip", "10.96.0.1"),
            ("evt.category", "net"),
        ],
    );
}

/// A datagram goes where the call says, also from a socket that is connected to another address.
#[test]
fn a_datagram_goes_where_the_call_says() {
    let connected = SocketInfo { sock_type: 2, protocol: 17, ..TCP };
    for (socket, ty, sip) in [
        (connected, EventType::Sendto, "8.8.8.8"),
        (connected, EventType::Sendmsg, "8.8.8.8"),
        (SocketInfo { sock_type: 3, ..connected }, EventType::Sendto, "8.8.8.8"),
        (connected, EventType::Recvfrom, "10.96.0.1"),
        (TCP, EventType::Sendto, "10.96.0.1"),
    ] {
        let record = RecordBuilder::new(ty).args(&[3]).fixed(K::Socket, &socket);
        let record = record.section(K::Sockaddr, sockaddr([8, 8, 8, 8], 53));
        let field = if ty == EventType::Recvfrom { "fd.cip" } else { "fd.sip" };
        check(&mut enricher(), record, &[(field, sip)]);
    }
}

/// While a connect waits another thread can put another file in its descriptor's place.
#[test]
fn a_connect_without_its_socket_is_still_one() {
    let connect = |ret| RecordBuilder::new(EventType::Connect).args(&[3]).ret(ret);
    let to = sockaddr([10, 96, 0, 1], 443);
    for (ret, name, kind) in [
        (0, "0.0.0.0:0->10.96.0.1:443", "4"),
        (-115, "0.0.0.0:0->10.96.0.1:443", "4"),
        (-111, "0.0.0.0:0->10.96.0.1:443", "4"),
        (-9, ABSENT, ABSENT),
        (-88, ABSENT, ABSENT),
    ] {
        let rows = [("fd.name", name), ("fd.typechar", kind), ("fd.num", "3")];
        check(&mut enricher(), connect(ret).section(K::Sockaddr, &to), &rows);
    }
    check(
        &mut enricher(),
        connect(0).section(K::Sockaddr, b"\x01\0/run/docker.sock\0"),
        &[("fd.name", "/run/docker.sock"), ("fd.typechar", "u"), ("fd.sip", ABSENT)],
    );
    check(&mut enricher(), connect(0), &[("fd.name", ABSENT), ("fd.typechar", ABSENT)]);
}

/// What a resolver gets from port 53: the name's addresses.
fn answer(name: &str, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0x81, 0x80, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    for address in addresses {
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend(address);
    }
    bytes
}

#[test]
fn an_address_has_the_names_that_its_network_was_told() {
    let server = |net_ns, remote_port| SocketInfo {
        net_ns,
        remote_port,
        ino: 100 + u64::from(net_ns) + u64::from(remote_port),
        remote_addr: v4([10, 0, 0, 53]),
        flags: SOCKET_CONNECTED,
        ..udp()
    };
    let hear = |net_ns, port, name: &str, addresses: &[[u8; 4]]| {
        RecordBuilder::new(EventType::Recvfrom)
            .ret(80)
            .fixed(K::Socket, &server(net_ns, port))
            .section(K::Data, answer(name, addresses))
    };
    let connect = |net_ns| {
        let socket = SocketInfo { net_ns, ino: 9, remote_addr: v4([192, 0, 2, 1]), ..TCP };
        RecordBuilder::new(EventType::Connect).fixed(K::Socket, &socket)
    };
    let mut enricher = enricher();
    feed(&mut enricher, hear(7, 53, "db.example", &[[192, 0, 2, 1], [10, 96, 0, 1]]));
    // Not from a name server; and a name that is the host's to give.
    feed(&mut enricher, hear(7, 5353, "forged.example", &[[192, 0, 2, 1]]));
    feed(&mut enricher, hear(7, 53, "Kubernetes.default.svc.cluster.local", &[[192, 0, 2, 1]]));
    check(&mut enricher, connect(7), &[("fd.sip.name", "db.example"), ("fd.rip.name", "db.example")]);
    check(&mut enricher, connect(8), &[("fd.sip.name", ABSENT)]);
    let host = SocketInfo { net_ns: 7, ino: 10, ..TCP };
    check(
        &mut enricher,
        RecordBuilder::new(EventType::Connect).fixed(K::Socket, &host),
        &[("fd.sip.name", "kubernetes.default.svc.cluster.local,db.example")],
    );
    assert_eq!(enricher.stats().dns_addresses, 2);
}
