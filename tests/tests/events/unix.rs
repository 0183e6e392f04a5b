//! Unix sockets, by path and by abstract name.

use end_to_end::case::Case;

pub const CASES: &[Case<'_>] = &[
    Case {
        does: "unix name={dir}/socket",
        sees: &[
            ("socket", &[("evt.arg.domain", "~UNIX"), ("evt.res", "SUCCESS")]),
            (
                "bind",
                &[
                    ("evt.res", "SUCCESS"),
                    ("evt.arg.addr", "~{dir}/socket"),
                    ("section.UnixLocal", "{dir}/socket"),
                ],
            ),
            ("listen", &[("evt.res", "SUCCESS"), ("fd.num", "{server}")]),
            (
                "connect",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{client}"),
                    ("fd.name", "{dir}/socket"),
                    ("fd.type", "unix"),
                    ("fd.typechar", "u"),
                    ("fd.sockfamily", "unix"),
                    ("fd.l4proto", "<NA>"),
                    ("fd.sport", "(absent)"),
                    ("section.UnixPeer", "{dir}/socket"),
                ],
            ),
            (
                "accept",
                &[
                    ("evt.res", "SUCCESS"),
                    ("fd.num", "{accepted}"),
                    ("fd.name", "{dir}/socket"),
                    ("fd.type", "unix"),
                ],
            ),
            ("sendto", &[("evt.rawres", "10"), ("fd.name", "{dir}/socket"), ("evt.buffer", "unix hello")]),
            ("recvmsg", &[("evt.rawres", "10"), ("fd.type", "unix"), ("evt.buffer", "unix hello")]),
        ],
    },
    Case {
        does: "unix name=@abstract-{dir}",
        sees: &[
            ("bind", &[("evt.res", "SUCCESS"), ("section.UnixLocal", "\\0abstract-{dir}")]),
            ("connect", &[("evt.res", "SUCCESS"), ("fd.type", "unix"), ("fd.name", "~abstract-{dir}")]),
            ("accept", &[("evt.res", "SUCCESS"), ("fd.name", "~abstract-{dir}")]),
        ],
    },
    Case {
        does: "unix name={dir}/datagrams datagram",
        sees: &[
            ("socket", &[("evt.arg.type", "~SOCK_DGRAM")]),
            ("connect", &[("evt.res", "SUCCESS"), ("fd.name", "{dir}/datagrams")]),
            ("sendto", &[("evt.res", "SUCCESS"), ("fd.name", "{dir}/datagrams"), ("fd.typechar", "u")]),
            ("recvmsg", &[("evt.res", "SUCCESS"), ("fd.name", "{dir}/datagrams")]),
        ],
    },
    Case {
        does: "unix name={dir}/sock\\xff",
        sees: &[("connect", &[("evt.res", "SUCCESS"), ("fd.name", "{dir}/sock\\xff")])],
    },
    Case {
        does: "unix-connect name={dir}/nobody",
        sees: &[(
            "connect",
            &[("evt.res", "ENOENT"), ("fd.num", "{fd}"), ("fd.type", "unix"), ("fd.name", "{dir}/nobody")],
        )],
    },
];
