//! Rows of (field, expected text) over records built by hand.

mod files;
mod process;
mod sockets;

use std::sync::Arc;

use exporter_common::{event_type::EventType, record::SectionKind};

use super::*;
use crate::{
    decode::decode,
    enrich::{EnrichOptions, Enricher, HostNames, users::UserDb},
    event::{args, builder::RecordBuilder},
};

/// What stands for "the event does not have it".
const ABSENT: &str = "(absent)";

fn enricher() -> Enricher {
    let mut options = EnrichOptions {
        hostname: "node-1".into(),
        boot_time_ns: 1_795_429_315_000_000_000,
        host_mnt_ns: 10,
        ..EnrichOptions::default()
    };
    let passwd = b"root:x:0:0::/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n";
    options.users.store(Arc::new(UserDb::parse(passwd, b"root:x:0:\nwww-data:x:33:\n")));
    options.names.store(Arc::new(HostNames::parse(b"10.96.0.1 kubernetes.default.svc.cluster.local")));
    options.max_processes = 100;
    Enricher::new(options)
}

/// Feeds an event that only changes what the enricher knows.
fn feed(enricher: &mut Enricher, record: RecordBuilder) {
    let bytes = record.build();
    let event = decode(&bytes).unwrap();
    enricher.observe(&event);
    enricher.settle(&event);
}

/// Feeds an event and compares its fields.
fn check(enricher: &mut Enricher, record: RecordBuilder, rows: &[(&str, &str)]) {
    let bytes = record.build();
    let event = decode(&bytes).unwrap();
    let view = enricher.observe(&event);
    let ty = event.event_type().name();
    for (field, expected) in rows {
        assert_eq!(text(&view, field), *expected, "{field} of {ty}");
    }
    enricher.settle(&event);
}

/// The value of a field as text.
fn text(view: &View<'_>, field: &str) -> String {
    let (name, arg) = match field.split_once('[') {
        Some((name, rest)) => (name, Some(rest.trim_end_matches(']'))),
        None => (field, None),
    };
    let field = scheme().resolve(Source::Syscall, name, arg).unwrap();
    let value = view.get(&field);
    let list = matches!(value, Some(Value::List(_)));
    assert!(!list || scheme().cardinality(&field) != crate::fields::Cardinality::One, "{name} yields a list");
    value.map_or(ABSENT.into(), |value| show(&value))
}

fn show(value: &Value<'_>) -> String {
    match value {
        Value::Str(bytes) | Value::Bytes(bytes) => crate::enrich::snapshot::escape(bytes),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) | Value::RelTime(number) | Value::AbsTime(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Port(port) => port.to_string(),
        Value::List(values) => values.iter().map(show).collect::<Vec<_>>().join(","),
    }
}

#[test]
fn an_event_has_its_own_fields() {
    let record = || RecordBuilder::new(EventType::Kill).args(&[4321, 9]).with(|header| header.cpu = 3);
    let mut enricher = enricher();
    check(
        &mut enricher,
        record(),
        &[
            ("evt.num", "1"),
            ("evt.type", "kill"),
            ("syscall.type", "kill"),
            ("evt.type.is.kill", "1"),
            ("evt.type.is.open", "0"),
            ("evt.category", "signal"),
            ("evt.time", "10:22:05.000000000"),
            ("evt.time.iso8601", "2026-11-23T10:22:05.000000000+0000"),
            ("evt.datetime.s", "2026-11-23 10:22:05"),
            ("evt.rawtime", "1795429325000000000"),
            ("evt.rawtime.s", "1795429325"),
            ("evt.rawtime.ns", "0"),
            ("evt.reltime", "0"),
            ("evt.deltatime", "0"),
            ("evt.source", "syscall"),
            ("evt.is_async", "false"),
            ("evt.hostname", "node-1"),
            ("evt.dir", "<"),
            ("evt.cpu", "3"),
            ("evt.res", "SUCCESS"),
            ("evt.rawres", "0"),
            ("evt.failed", "false"),
            ("evt.count", "1"),
            ("evt.count.error", "0"),
            ("evt.count.error.other", "0"),
            ("evt.count.error.net", ABSENT),
            ("evt.args", "res=0 pid=4321 sig=9(SIGKILL)"),
            ("evt.info", "res=0 pid=4321 sig=9(SIGKILL)"),
            ("evt.arg.sig", "SIGKILL"),
            ("evt.arg[1]", "4321"),
            ("evt.arg[3]", ABSENT),
            ("evt.arg.flags", ABSENT),
            ("evt.is_io", "false"),
            ("evt.io_dir", ABSENT),
            ("evt.is_open_read", "false"),
            ("evt.buffer", ABSENT),
            ("evt.buflen", ABSENT),
            ("fd.num", ABSENT),
            ("fd.name", ABSENT),
            ("container.image", ABSENT),
        ],
    );
    let later = record().ret(-1).with(|header| header.ts_ns += 2_500_000_000);
    check(
        &mut enricher,
        later,
        &[
            ("evt.num", "2"),
            ("evt.reltime", "2500000000"),
            ("evt.reltime.s", "2"),
            ("evt.reltime.ns", "500000000"),
            ("evt.deltatime", "2500000000"),
            ("evt.res", "EPERM"),
            ("evt.rawres", "-1"),
            ("evt.failed", "true"),
            ("evt.count.error", "1"),
            ("evt.arg.res", "EPERM"),
            ("evt.args", "res=-1(EPERM) pid=4321 sig=9(SIGKILL)"),
        ],
    );
}

#[test]
fn arguments_are_written_as_falco_writes_them() {
    use EventType as T;
    const MINUS_100: u64 = -100i32 as u32 as u64;
    let path = SectionKind::PathArg;
    let path2 = SectionKind::Path2Arg;
    let dir = SectionKind::Dir;
    let dir2 = SectionKind::Dir2;
    let text = SectionKind::Text;
    let new = RecordBuilder::new;
    let rows: Vec<(RecordBuilder, &[(&str, &str)])> = vec![
        (new(T::Ptrace).args(&[16, 77]), &[("request", "PTRACE_ATTACH"), ("pid", "77")]),
        (new(T::Ptrace).args(&[0x4206]), &[("request", "PTRACE_SEIZE")]),
        (new(T::Ptrace).args(&[0x9999]), &[("request", "39321")]),
        (new(T::Bpf).args(&[5]).ret(3), &[("cmd", "BPF_PROG_LOAD"), ("fd", "3")]),
        (
            new(T::Socket).args(&[17, 0o2_000_003, 768]).ret(4),
            &[("domain", "AF_PACKET"), ("type", "SOCK_RAW|SOCK_CLOEXEC"), ("proto", "768"), ("fd", "4")],
        ),
        (new(T::Unshare).args(&[0x1002_0000]), &[("flags", "CLONE_NEWNS|CLONE_NEWUSER")]),
        (new(T::Setns).args(&[3, 0]), &[("nstype", "0"), ("fd", "3")]),
        (new(T::Setuid).args(&[0]), &[("uid", "root")]),
        (new(T::Setuid).args(&[12345]), &[("uid", "<NA>")]),
        (new(T::Setuid).args(&[u32::MAX.into()]).ret(-22), &[("uid", "-1"), ("res", "EINVAL")]),
        (
            new(T::Chmod).args(&[0, 0o4755]).section(path, "/x"),
            &[
                ("mode", "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID"),
                ("filename", "/x"),
            ],
        ),
        (
            new(T::Mkdir).args(&[0, 0o755]).section(path, "b").section(dir, "/a"),
            &[("mode", "0755"), ("path", "/a/b")],
        ),
        (
            new(T::Unlinkat).args(&[MINUS_100, 0, 0x200]).section(path, "../b").section(dir, "/a/c"),
            &[("dirfd", "AT_FDCWD"), ("name", "/a/b"), ("flags", "AT_REMOVEDIR")],
        ),
        (
            new(T::Symlink).section(path, "../etc/shadow").section(path2, "s").section(dir2, "/t"),
            &[("target", "../etc/shadow"), ("linkpath", "/t/s")],
        ),
        (
            new(T::Renameat2)
                .args(&[5, 0, MINUS_100, 0, 1])
                .section(path, "a")
                .section(dir, "/d")
                .section(path2, "/b//c")
                .section(dir2, "/e"),
            &[
                ("olddirfd", "<d>/d"),
                ("oldpath", "/d/a"),
                ("newdirfd", "AT_FDCWD"),
                ("newpath", "/b/c"),
                ("flags", "RENAME_NOREPLACE"),
            ],
        ),
        (
            new(T::Mount)
                .args(&[0, 0, 0, 0x1000 | 0x4000])
                .section(path, "/dev/sda")
                .section(path2, "/mnt")
                .section(text, "ext4"),
            &[("dev", "/dev/sda"), ("dir", "/mnt"), ("type", "ext4"), ("flags", "BIND|REC")],
        ),
        (new(T::Umount2).args(&[0, 2]).section(path, "/mnt"), &[("name", "/mnt"), ("flags", "DETACH")]),
        (
            new(T::FinitModule).args(&[3, 0, 2]).section(text, "a=1"),
            &[("uargs", "a=1"), ("flags", "MODULE_INIT_IGNORE_VERMAGIC")],
        ),
        (
            new(T::MemfdCreate).args(&[0, 1]).section(path, "x").ret(5),
            &[("name", "x"), ("flags", "MFD_CLOEXEC"), ("fd", "<m>x")],
        ),
        (new(T::Prctl).comm("kworker").args(&[15, 1]), &[("option", "PR_SET_NAME"), ("arg2_str", "kworker")]),
        (
            new(T::Prctl).args(&[38, 1]),
            &[("option", "PR_SET_NO_NEW_PRIVS"), ("arg2_str", ABSENT), ("arg2_int", "1")],
        ),
        (new(T::Clone).args(&[0x1001_0111]).ret(9), &[("flags", "CLONE_THREAD|CLONE_VM|CLONE_NEWUSER")]),
        (new(T::Procexit).ret(9), &[("sig", "SIGKILL"), ("ret", "0"), ("status", "9")]),
        (new(T::Procexit).ret(0x0300), &[("sig", "0"), ("ret", "3")]),
        (new(T::IoUringSetup).args(&[8]).ret(5), &[("res", "5"), ("entries", "8")]),
        (new(T::Userfaultfd).args(&[0o2_000_000]).ret(-38), &[("res", "ENOSYS"), ("flags", "O_CLOEXEC")]),
        (
            new(T::Dup3).args(&[3, 1, 0o2_000_000]).ret(1),
            &[("res", "1"), ("oldfd", "3"), ("flags", "O_CLOEXEC")],
        ),
        (new(T::Listen).args(&[3, 128]), &[("backlog", "128")]),
        (new(T::Capset).with(|h| h.cap_effective = 1 << 21), &[("cap_effective", "CAP_SYS_ADMIN")]),
    ];
    for (record, arguments) in rows {
        let names: Vec<String> = arguments.iter().map(|(name, _)| format!("evt.arg.{name}")).collect();
        let rows: Vec<_> = names.iter().zip(arguments).map(|(name, (_, value))| (&**name, *value)).collect();
        check(&mut enricher(), record, &rows);
    }
}

/// Whatever an event holds, every field of the scheme can be asked for, on an event of every type.
#[test]
fn a_raw_argument_is_a_number_or_the_text_as_passed() {
    let mut enricher = enricher();
    let open = RecordBuilder::new(EventType::Openat)
        .args(&[u64::MAX - 99, 0, 0o101, 0o640])
        .ret(3)
        .section(SectionKind::PathArg, "../x");
    check(
        &mut enricher,
        open,
        &[
            ("evt.rawarg[dirfd]", "-100"),
            ("evt.rawarg[flags]", "65"),
            ("evt.rawarg[mode]", "416"),
            ("evt.rawarg[name]", "../x"),
            ("evt.rawarg[request]", ABSENT),
        ],
    );
    check(
        &mut enricher,
        RecordBuilder::new(EventType::Kill).args(&[4321, 9]).ret(-3),
        &[("evt.rawarg[res]", "-3"), ("evt.rawarg[pid]", "4321"), ("evt.rawarg[sig]", "9")],
    );
    check(
        &mut enricher,
        RecordBuilder::new(EventType::InitModule).args(&[0xffff_ffff_ffff_f000, u64::MAX]).ret(0),
        &[("evt.rawarg[img]", &i64::MAX.to_string()), ("evt.rawarg[length]", &i64::MAX.to_string())],
    );
    // What is a number in one event type and text in another has no type.
    let mut mixed: Vec<&str> = args::names().filter(|name| args::is_text(name).is_none()).collect();
    mixed.sort_unstable();
    mixed.dedup();
    assert_eq!(mixed, ["addr", "data", "dev", "type"], "evt.rawarg of these is refused");
}

#[test]
fn every_field_of_every_event_can_be_asked_for() {
    use SectionKind as K;
    let mut enricher = enricher();
    let names: Vec<String> = scheme()
        .of_source(Source::Syscall)
        .filter(|def| def.field.is_some())
        .flat_map(|def| match def.arg {
            crate::fields::ArgSpec::RequiredName if def.name == "evt.arg" => {
                (0..30).map(|index| format!("evt.arg[{index}]")).collect()
            }
            crate::fields::ArgSpec::RequiredName if def.name == "evt.rawarg" => args::names()
                .filter(|name| args::is_text(name).is_some())
                .map(|name| format!("evt.rawarg[{name}]"))
                .collect(),
            crate::fields::ArgSpec::RequiredName => vec![format!("{}[open]", def.name)],
            crate::fields::ArgSpec::OptionalIndex => {
                [0, 1, 2, 70].iter().map(|index| format!("{}[{index}]", def.name)).collect()
            }
            _ => vec![def.name.to_owned()],
        })
        .collect();
    for ty in EventType::ALL {
        for odd in [false, true] {
            let mut record = RecordBuilder::new(*ty);
            if odd {
                record = record.ret(i64::MIN).args(&[u64::MAX; 6]).with(|header| {
                    header.ts_ns = u64::MAX;
                    header.comm = [0xff; 16];
                });
                for kind in
                    [K::PathArg, K::Path2Arg, K::Dir, K::Sockaddr, K::UnixPeer, K::Argv, K::Envp, K::Text]
                {
                    record = record.section(kind, b"\xff\x00\x02");
                }
                record = record
                    .fixed(
                        K::Socket,
                        &exporter_common::record::SocketInfo { family: 10, ..Default::default() },
                    )
                    .fixed(
                        K::File,
                        &exporter_common::record::FileInfo { dev: u32::MAX, ..Default::default() },
                    );
            }
            let bytes = record.build();
            let event = decode(&bytes).unwrap();
            let view = enricher.observe(&event);
            for name in &names {
                text(&view, name);
            }
            enricher.settle(&event);
        }
    }
}

proptest::proptest! {
    /// Arbitrary sequences of events, with fields asked for after each, on a table that is always full.
    #[test]
    fn arbitrary_events_never_panic(
        events in proptest::collection::vec(
            (
                1u16..55, 0u32..6, 0u32..6, 0u64..3,
                proptest::collection::vec((1u16..24, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)), 0..6),
                proptest::prelude::any::<i8>(),
            ),
            1..40,
        )
    ) {
        use exporter_common::record::{ChildInfo, SectionKind as K, SocketInfo};
        use zerocopy::FromBytes;
        let mut enricher = Enricher::new(EnrichOptions { max_processes: 4, max_process_bytes: 600, max_sockets: 2, max_exited: 1, max_cgroups: 2, ..EnrichOptions::default() });
        let fields: Vec<_> = ["proc.aname", "proc.cmdline", "proc.pcmdline", "proc.sname", "fd.name", "fd.ip", "evt.args", "container.id", "proc.env[A]", "fd.name_changed"]
            .iter()
            .map(|name| match name.split_once('[') {
                Some((name, arg)) => scheme().resolve(Source::Syscall, name, Some(arg.trim_end_matches(']'))).unwrap(),
                None => scheme().resolve(Source::Syscall, name, None).unwrap(),
            })
            .collect();
        for (event_type, pid, ppid, start, sections, ret) in events {
            let mut record = RecordBuilder::new(EventType::from_id(event_type).unwrap())
                .process(pid, start)
                .parent(ppid, start)
                .ret(ret.into())
                .with(|header| (header.cgroup_id, header.sid, header.pgid) = (start, ppid, ppid));
            let mut used = std::collections::HashSet::new();
            for (kind, data) in sections {
                if !used.insert(kind) {
                    continue;
                }
                let full = |len: usize| data.iter().copied().cycle().chain([0].into_iter().cycle()).take(len).collect::<Vec<u8>>();
                let zeros = |len: usize| if data.is_empty() { vec![0; len] } else { full(len) };
                record = match K::from_id(kind) {
                    Some(K::File) => record.section(K::File, zeros(64)),
                    Some(K::Socket) => {
                        let mut socket = SocketInfo::read_from_bytes(&zeros(64)).unwrap();
                        socket.family = [1, 2, 10, 16][usize::from(socket.family) % 4];
                        socket.ino %= 4;
                        record.fixed(K::Socket, &socket)
                    }
                    Some(K::Child) => {
                        let mut child = ChildInfo::read_from_bytes(&zeros(48)).unwrap();
                        child.pid %= 6;
                        child.tid = child.pid;
                        record.fixed(K::Child, &child)
                    }
                    Some(K::Exec) => record.section(K::Exec, zeros(16)),
                    Some(K::OpenHow | K::CapSets) => record.raw(kind, 0, &zeros(24)),
                    Some(K::Ancestors) => record.ancestors(&[(ppid, start), (pid, start), (1, 1)]),
                    _ => record.raw(kind, 0, &data),
                };
            }
            let bytes = record.build();
            let event = decode(&bytes).unwrap();
            let view = enricher.observe(&event);
            for field in &fields {
                std::hint::black_box(view.get(field));
            }
            enricher.settle(&event);
            let stats = enricher.stats();
            proptest::prop_assert!(stats.table.processes <= 4, "{:?}", stats);
        }
    }
}
