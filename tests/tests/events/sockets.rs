//! Sockets of both families: both ends, streams and datagrams, and what fails.

use end_to_end::case::{Case, Fields};

const TCP4_CLIENT: Fields<'_> = &[
    ("evt.res", "SUCCESS"),
    ("fd.num", "{client}"),
    ("fd.type", "ipv4"),
    ("fd.typechar", "4"),
    ("fd.sockfamily", "ip"),
    ("fd.l4proto", "tcp"),
    ("fd.name", "127.0.0.1:{client_port}->127.0.0.1:{server_port}"),
    ("fd.cip", "127.0.0.1"),
    ("fd.cport", "{client_port}"),
    ("fd.sip", "127.0.0.1"),
    ("fd.sport", "{server_port}"),
    ("fd.lip", "127.0.0.1"),
    ("fd.lport", "{client_port}"),
    ("fd.rip", "127.0.0.1"),
    ("fd.rport", "{server_port}"),
    ("fd.is_server", "false"),
    ("fd.connected", "true"),
    ("socket.family", "2"),
    ("socket.protocol", "6"),
    ("socket.local_port", "{client_port}"),
    ("socket.remote_port", "{server_port}"),
];

const TCP4_SERVER: Fields<'_> = &[
    ("evt.res", "SUCCESS"),
    ("fd.num", "{accepted}"),
    ("fd.type", "ipv4"),
    ("fd.l4proto", "tcp"),
    ("fd.name", "127.0.0.1:{client_port}->127.0.0.1:{server_port}"),
    ("fd.cport", "{client_port}"),
    ("fd.sport", "{server_port}"),
    ("fd.lport", "{server_port}"),
    ("fd.rport", "{client_port}"),
    ("fd.is_server", "true"),
    ("fd.connected", "true"),
];

const TCP6_CLIENT: Fields<'_> = &[
    ("evt.res", "SUCCESS"),
    ("fd.num", "{client}"),
    ("fd.type", "ipv6"),
    ("fd.typechar", "6"),
    ("fd.l4proto", "tcp"),
    ("fd.name", "::1:{client_port}->::1:{server_port}"),
    ("fd.cip", "::1"),
    ("fd.sip", "::1"),
    ("fd.lport", "{client_port}"),
    ("fd.rport", "{server_port}"),
    ("fd.is_server", "false"),
];

pub const INET: &[Case<'_>] = &[
    Case {
        does: "tcp",
        sees: &[
            (
                "socket",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{client}"),
                    ("evt.arg.domain", "AF_INET"),
                    ("evt.arg.type", "~SOCK_STREAM"),
                ],
            ),
            (
                "bind",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{listener}"),
                    ("evt.arg.addr", "~127.0.0.1:"),
                    ("fd.sport", "{server_port}"),
                    ("fd.sip", "127.0.0.1"),
                    ("fd.is_server", "true"),
                    ("socket.local_port", "{server_port}"),
                ],
            ),
            (
                "listen",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{listener}"),
                    ("evt.arg.backlog", "8"),
                    ("fd.sport", "{server_port}"),
                    ("fd.is_server", "true"),
                ],
            ),
            ("connect", TCP4_CLIENT),
            ("accept", TCP4_SERVER),
            ("sendto", TCP4_CLIENT),
            (
                "sendto",
                &[("evt.rawres", "21"), ("evt.buffer", "hello from the client"), ("evt.buflen", "21")],
            ),
            ("recvfrom", TCP4_SERVER),
            (
                "recvfrom",
                &[("evt.rawres", "21"), ("evt.buffer", "hello from the client"), ("evt.is_io_read", "true")],
            ),
            ("sendmsg", TCP4_SERVER),
            (
                "sendmsg",
                &[("evt.rawres", "21"), ("evt.buffer", "hello from the server"), ("evt.is_io_write", "true")],
            ),
            ("recvmsg", TCP4_CLIENT),
            ("recvmsg", &[("evt.rawres", "21"), ("evt.buffer", "hello from the server")]),
        ],
    },
    Case {
        does: "tcp family=6 accept4",
        sees: &[
            ("socket", &[("evt.arg.domain", "AF_INET6"), ("fd.num", "{client}")]),
            ("bind", &[("fd.sip", "::1"), ("fd.sport", "{server_port}"), ("evt.arg.addr", "~::1")]),
            ("connect", TCP6_CLIENT),
            (
                "accept4",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{accepted}"),
                    ("fd.name", "::1:{client_port}->::1:{server_port}"),
                    ("fd.lport", "{server_port}"),
                    ("fd.rport", "{client_port}"),
                    ("fd.rip", "::1"),
                    ("fd.is_server", "true"),
                    ("evt.arg.flags", "~CLOEXEC"),
                ],
            ),
            ("sendto", TCP6_CLIENT),
            ("recvmsg", TCP6_CLIENT),
        ],
    },
    Case {
        does: "lonely-net ip=203.0.113.5 port=443 -- connect ip=203.0.113.5 port=443",
        sees: &[(
            "connect",
            &[
                ("evt.res", "SUCCESS"),
                ("fd.sip", "203.0.113.5"),
                ("fd.sport", "443"),
                ("fd.num", "{fd}"),
                ("fd.connected", "true"),
            ],
        )],
    },
    Case {
        does: "lonely-net ip=203.0.113.5 port=443 -- connect ip=203.0.113.5 port=443 nonblock",
        sees: &[(
            "connect",
            &[
                ("evt.res", "EINPROGRESS"),
                ("evt.rawres", "-115"),
                ("fd.sip", "203.0.113.5"),
                ("fd.sport", "443"),
            ],
        )],
    },
    Case {
        does: "udp",
        sees: &[
            ("socket", &[("evt.arg.type", "~SOCK_DGRAM"), ("fd.num", "{client}")]),
            ("bind", &[("fd.sport", "{client_port}"), ("fd.num", "{client}")]),
            (
                "sendto",
                &[
                    ("evt.res", "SUCCESS"),
                    ("evt.rawres", "8"),
                    ("evt.buffer", "datagram"),
                    ("fd.l4proto", "udp"),
                    ("fd.name", "127.0.0.1:{client_port}->127.0.0.1:{server_port}"),
                    ("fd.lport", "{client_port}"),
                    ("fd.rport", "{server_port}"),
                    ("fd.sport", "{server_port}"),
                    ("fd.rip", "127.0.0.1"),
                    ("fd.connected", "false"),
                    ("fd.is_server", "false"),
                ],
            ),
            (
                "sendmsg",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.name", "127.0.0.1:{client_port}->127.0.0.1:{server_port}"),
                    ("fd.connected", "false"),
                    ("evt.buffer", "datagram"),
                ],
            ),
            (
                "recvfrom",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{server}"),
                    ("fd.lport", "{server_port}"),
                    ("fd.rport", "{client_port}"),
                    ("fd.rip", "127.0.0.1"),
                    ("fd.l4proto", "udp"),
                    ("evt.buffer", "datagram"),
                ],
            ),
            ("recvmsg", &[("evt.res", "SUCCESS"), ("fd.num", "{server}"), ("fd.rport", "{client_port}")]),
        ],
    },
    // The kernel sends to the address of the call, whatever the socket is connected to.
    Case {
        does: "udp elsewhere",
        sees: &[
            ("connect", &[("fd.sport", "9")]),
            (
                "sendto",
                &[("evt.rawres", "8"), ("fd.name", "127.0.0.1:{client_port}->127.0.0.1:{server_port}")],
            ),
            ("sendmsg", &[("evt.rawres", "8"), ("fd.sport", "{server_port}")]),
        ],
    },
    // Another thread puts a file in the place of the socket while the connect waits.
    Case {
        does: "orphan-connect",
        sees: &[(
            "connect",
            &[
                ("evt.res", "SUCCESS"),
                ("fd.num", "{fd}"),
                ("fd.typechar", "4"),
                ("fd.sip", "127.0.0.1"),
                ("fd.sport", "{port}"),
            ],
        )],
    },
    Case {
        does: "udp connected family=6",
        sees: &[
            (
                "connect",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.type", "ipv6"),
                    ("fd.l4proto", "udp"),
                    ("fd.name", "::1:{client_port}->::1:{server_port}"),
                    ("fd.connected", "true"),
                ],
            ),
            (
                "sendto",
                &[
                    ("evt.rawres", "8"),
                    ("fd.name", "::1:{client_port}->::1:{server_port}"),
                    ("fd.connected", "true"),
                    ("fd.rport", "{server_port}"),
                ],
            ),
            (
                "recvfrom",
                &[("fd.num", "{server}"), ("fd.lport", "{server_port}"), ("fd.rport", "{client_port}")],
            ),
        ],
    },
    Case {
        does: "socket domain=AF_PACKET type=SOCK_RAW protocol=0x300",
        sees: &[(
            "socket",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.arg.domain", "AF_PACKET"),
                ("evt.arg.type", "~SOCK_RAW"),
                ("fd.num", "{ret}"),
                ("socket.family", "17"),
            ],
        )],
    },
    Case {
        does: "socket domain=AF_NETLINK type=SOCK_RAW|SOCK_CLOEXEC",
        sees: &[(
            "socket",
            &[("evt.res", "SUCCESS"), ("evt.arg.domain", "AF_NETLINK"), ("evt.arg.type", "~SOCK_RAW")],
        )],
    },
    Case {
        does: "dup tcp=4",
        sees: &[(
            "dup",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "{ret}"),
                ("fd.num", "{ret}"),
                ("fd.type", "ipv4"),
                ("fd.name", "127.0.0.1:{lport}->127.0.0.1:{rport}"),
                ("fd.lport", "{lport}"),
                ("fd.sport", "{rport}"),
            ],
        )],
    },
    Case {
        does: "dup2 tcp=6 new=0",
        sees: &[(
            "dup2",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "0"),
                ("fd.num", "0"),
                ("fd.type", "ipv6"),
                ("fd.name", "::1:{lport}->::1:{rport}"),
                ("evt.arg.oldfd", "~{old}"),
            ],
        )],
    },
    Case {
        does: "dup3 tcp=4 new=2 flags=O_CLOEXEC",
        sees: &[(
            "dup3",
            &[
                ("evt.res", "SUCCESS"),
                ("evt.rawres", "2"),
                ("fd.type", "ipv4"),
                ("evt.arg.flags", "~CLOEXEC"),
            ],
        )],
    },
];

pub const FAILURES: &[Case<'_>] = &[
    Case {
        does: "refused",
        sees: &[(
            "connect",
            &[
                ("evt.res", "ECONNREFUSED"),
                ("evt.rawres", "-111"),
                ("evt.failed", "true"),
                ("fd.num", "{fd}"),
                ("fd.type", "ipv4"),
                ("fd.l4proto", "tcp"),
                ("fd.sip", "127.0.0.1"),
                ("fd.sport", "{port}"),
                ("fd.rport", "{port}"),
                ("fd.name", "~->127.0.0.1:{port}"),
                ("fd.connected", "false"),
            ],
        )],
    },
    Case {
        does: "refused family=6",
        sees: &[(
            "connect",
            &[("evt.res", "ECONNREFUSED"), ("fd.sip", "::1"), ("fd.sport", "{port}"), ("fd.type", "ipv6")],
        )],
    },
    Case {
        does: "bind-taken",
        sees: &[(
            "bind",
            &[
                ("evt.res", "EADDRINUSE"),
                ("evt.rawres", "-98"),
                ("fd.num", "{fd}"),
                ("evt.arg.addr", "~127.0.0.1:{port}"),
            ],
        )],
    },
    Case {
        does: "listen-datagram",
        sees: &[("listen", &[("evt.res", "EOPNOTSUPP"), ("fd.num", "{fd}"), ("evt.arg.backlog", "5")])],
    },
    Case { does: "accept-nothing", sees: &[("accept", &[("evt.res", "EAGAIN"), ("evt.rawres", "-11")])] },
    Case { does: "accept-nothing accept4", sees: &[("accept4", &[("evt.res", "EAGAIN")])] },
    Case {
        does: "receive-nothing",
        sees: &[
            ("recvfrom", &[("evt.res", "EAGAIN"), ("evt.buffer", "(absent)"), ("fd.num", "{fd}")]),
            ("recvmsg", &[("evt.res", "EAGAIN"), ("fd.num", "{fd}")]),
        ],
    },
    Case {
        does: "send-nowhere",
        sees: &[
            ("sendto", &[("evt.res", "EDESTADDRREQ"), ("fd.num", "{fd}"), ("fd.type", "ipv4")]),
            ("sendmsg", &[("evt.res", "EDESTADDRREQ"), ("fd.l4proto", "udp")]),
        ],
    },
    Case {
        does: "socket domain=99 type=SOCK_STREAM",
        sees: &[("socket", &[("evt.res", "EAFNOSUPPORT"), ("fd.num", "-1")])],
    },
    Case { does: "bad-descriptor call=bind", sees: &[("bind", &[("evt.res", "EBADF")])] },
    Case { does: "bad-descriptor call=connect", sees: &[("connect", &[("evt.res", "EBADF")])] },
    Case { does: "bad-descriptor call=listen", sees: &[("listen", &[("evt.res", "EBADF")])] },
    Case { does: "bad-descriptor call=accept", sees: &[("accept", &[("evt.res", "EBADF")])] },
    Case {
        does: "bad-descriptor call=sendto fd=0",
        sees: &[("sendto", &[("evt.res", "ENOTSOCK"), ("evt.rawres", "-88")])],
    },
    Case { does: "bad-descriptor call=recvmsg fd=0", sees: &[("recvmsg", &[("evt.res", "ENOTSOCK")])] },
    Case { does: "dup fd=999", sees: &[("dup", &[("evt.res", "EBADF"), ("evt.rawres", "-9")])] },
    Case { does: "dup2 fd=999", sees: &[("dup2", &[("evt.res", "EBADF")])] },
    Case { does: "dup3 fd=999", sees: &[("dup3", &[("evt.res", "EBADF")])] },
    Case { does: "dup3 path=file new=0 flags=0x1", sees: &[("dup3", &[("evt.res", "EINVAL")])] },
    Case {
        does: "dup path=link",
        sees: &[(
            "dup",
            &[("evt.res", "SUCCESS"), ("fd.num", "{ret}"), ("fd.name", "{dir}/file"), ("fd.type", "file")],
        )],
    },
    Case {
        does: "dup2 path=name\\xff new=99",
        sees: &[("dup2", &[("evt.res", "SUCCESS"), ("fd.num", "99"), ("fd.name", "{dir}/name\\xff")])],
    },
];
