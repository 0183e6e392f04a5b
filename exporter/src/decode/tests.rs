use exporter_common::record::{SECTION_DELETED, SECTION_TRUNCATED};
use proptest::prelude::*;

use super::*;
use crate::event::builder::RecordBuilder;

/// A record with every kind of section.
fn full() -> Vec<u8> {
    RecordBuilder::new(EventType::Openat)
        .comm("cat")
        .section(SectionKind::Path, "/etc/shadow")
        .section(SectionKind::PathArg, b"../etc/\xff")
        .section(SectionKind::Path2, "")
        .section(SectionKind::Path2Arg, "b")
        .section(SectionKind::Dir, "/d")
        .section(SectionKind::Dir2, "/e")
        .flagged(SectionKind::Cwd, SECTION_TRUNCATED, "/tmp")
        .flagged(SectionKind::Exe, SECTION_DELETED, "/bin/cat")
        .strings(SectionKind::Argv, &["cat", "/etc/shadow"])
        .strings(SectionKind::Envp, &["A=1"])
        .ancestors(&[(1, 2), (3, 4)])
        .fixed(SectionKind::File, &FileInfo { ino: 7, ..FileInfo::default() })
        .fixed(SectionKind::Socket, &SocketInfo { ino: 8, ..SocketInfo::default() })
        .section(SectionKind::Sockaddr, [1, 0])
        .section(SectionKind::UnixLocal, "/l")
        .section(SectionKind::UnixPeer, b"\0p")
        .section(SectionKind::Data, "data")
        .fixed(SectionKind::Exec, &ExecInfo { argc: 2, ..ExecInfo::default() })
        .fixed(SectionKind::Child, &ChildInfo { pid: 5, ..ChildInfo::default() })
        .fixed(SectionKind::OpenHow, &OpenHow { flags: 1, mode: 2, resolve: 3 })
        .section(SectionKind::Cgroup, "/c")
        .fixed(SectionKind::CapSets, &CapSets { effective: 1, permitted: 2, inheritable: 3 })
        .section(SectionKind::Text, "ext4")
        .build()
}

#[test]
fn every_section_is_found() {
    let bytes = full();
    let event = decode(&bytes).unwrap();
    assert_eq!(event.event_type(), EventType::Openat);
    assert_eq!(event.comm(), b"cat");
    assert_eq!(event.bytes(SectionKind::Path), Some(&b"/etc/shadow"[..]));
    assert_eq!(event.bytes(SectionKind::PathArg), Some(&b"../etc/\xff"[..]));
    assert_eq!(event.bytes(SectionKind::Path2), Some(&b""[..]));
    assert!(event.section(SectionKind::Cwd).unwrap().truncated());
    assert!(event.section(SectionKind::Exe).unwrap().deleted());
    assert_eq!(event.bytes(SectionKind::Argv), Some(&b"cat\0/etc/shadow\0"[..]));
    assert_eq!(event.ancestors().map(|a| (a.pid, a.start_ns)).collect::<Vec<_>>(), [(1, 2), (3, 4)]);
    assert_eq!(event.file().unwrap().ino, 7);
    assert_eq!(event.socket().unwrap().ino, 8);
    assert_eq!(event.exec().unwrap().argc, 2);
    assert_eq!(event.child().unwrap().pid, 5);
    assert_eq!(event.open_how().unwrap().resolve, 3);
    assert_eq!(event.cap_sets().unwrap().permitted, 2);
    for kind in SectionKind::ALL {
        assert!(event.section(*kind).is_some(), "{kind:?}");
    }
}

#[test]
fn absent_sections_are_absent() {
    let bytes = RecordBuilder::new(EventType::Open).build();
    let event = decode(&bytes).unwrap();
    for kind in SectionKind::ALL {
        assert_eq!(event.section(*kind), None, "{kind:?}");
    }
    assert_eq!(event.ancestors().count(), 0);
}

#[test]
fn a_kind_of_a_later_version_is_skipped() {
    for kind in [0, SectionKind::ALL.len() as u16 + 1, u16::MAX] {
        let bytes = RecordBuilder::new(EventType::Open)
            .raw(kind, 0, b"later")
            .raw(kind, 0, b"twice")
            .section(SectionKind::Path, "/p")
            .build();
        assert_eq!(decode(&bytes).unwrap().bytes(SectionKind::Path), Some(&b"/p"[..]), "{kind}");
    }
}

#[test]
fn bad_records_are_refused_with_the_place() {
    let header = size_of::<Header>();
    let record = || RecordBuilder::new(EventType::Open);
    let changed = |bytes: Vec<u8>, at: usize, value: u8| {
        let mut bytes = bytes;
        bytes[at] = value;
        bytes
    };
    let longer = |mut bytes: Vec<u8>, by: usize| {
        bytes.resize(bytes.len() + by, 0);
        bytes
    };
    let sized = |kind, len: usize| record().section(kind, vec![b'x'; len]).build();
    let rows: &[(Vec<u8>, DecodeError)] = &[
        (vec![], DecodeError::NoHeader { have: 0 }),
        (vec![0; header - 1], DecodeError::NoHeader { have: header - 1 }),
        (longer(record().build(), 8), DecodeError::Length { len: header as u32, have: header + 8 }),
        (record().with(|h| h.event_type = 0).build(), DecodeError::EventType(0)),
        (record().with(|h| h.event_type = 60).build(), DecodeError::EventType(60)),
        // A section header that is cut off cannot be: lengths are multiples of 8. Its data can.
        (changed(sized(SectionKind::Path, 8), header + 4, 9), DecodeError::SectionLength { at: header }),
        (changed(sized(SectionKind::Path, 8), header + 7, 0xff), DecodeError::SectionLength { at: header }),
        (changed(sized(SectionKind::Path, 1), header + 8 + 7, 1), DecodeError::Padding { at: header + 16 }),
        (
            record().section(SectionKind::Path, "a").section(SectionKind::Path, "b").build(),
            DecodeError::DuplicateSection { kind: SectionKind::Path, at: header + 16 },
        ),
        (
            sized(SectionKind::Path, MAX_PATH + 1),
            DecodeError::SectionSize { kind: SectionKind::Path, at: header, len: MAX_PATH as u32 + 1 },
        ),
        (
            sized(SectionKind::File, 63),
            DecodeError::SectionSize { kind: SectionKind::File, at: header, len: 63 },
        ),
        (
            sized(SectionKind::Ancestors, 15),
            DecodeError::SectionSize { kind: SectionKind::Ancestors, at: header, len: 15 },
        ),
        (
            sized(SectionKind::Data, MAX_DATA + 1),
            DecodeError::SectionSize { kind: SectionKind::Data, at: header, len: MAX_DATA as u32 + 1 },
        ),
    ];
    for (bytes, expected) in rows {
        assert_eq!(decode(bytes).unwrap_err(), *expected);
    }
    for (size, fits) in [(MAX_PATH, true), (MAX_PATH + 1, false)] {
        assert_eq!(decode(&sized(SectionKind::Cgroup, size)).is_ok(), fits, "{size}");
    }
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let bytes = full();
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "cut at {len}");
        // Also when its own idea of its length is cut too: then it must still be whole sections.
        let mut cut = bytes[..len].to_vec();
        if cut.len() >= 4 {
            cut[..4].copy_from_slice(&(len as u32).to_ne_bytes());
        }
        if let Ok(event) = decode(&cut) {
            for kind in SectionKind::ALL {
                let whole = decode(&bytes).unwrap().bytes(*kind).map(<[u8]>::to_vec);
                assert!(event.bytes(*kind).is_none_or(|data| Some(data) == whole.as_deref()));
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = decode(&bytes);
    }

    /// A plausible header with arbitrary sections behind it goes deeper than arbitrary bytes.
    #[test]
    fn arbitrary_sections_never_panic(
        event_type in 0u16..70,
        sections in proptest::collection::vec((0u16..30, any::<u16>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..30),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut record = RecordBuilder::new(EventType::Open).with(|header| header.event_type = event_type);
        for (kind, flags, data) in &sections {
            record = record.raw(*kind, *flags, data);
        }
        let mut bytes = record.build();
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(event) = decode(&bytes) {
            std::hint::black_box((event.ancestors().count(), event.file(), event.socket(), event.comm()));
        }
    }
}
