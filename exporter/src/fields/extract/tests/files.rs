use exporter_common::record::{
    FILE_CREATED, FILE_MEMFD, FILE_UPPER_LAYER, FileInfo, OpenHow, SectionKind as K,
};

use super::*;

fn opened(ty: EventType, path: &str, raw: &str, args: &[u64], fd: i32) -> RecordBuilder {
    let file = FileInfo { fd, ino: 99, dev: 8 << 20 | 1, mode: 0o100_644, ..FileInfo::default() };
    RecordBuilder::new(ty)
        .args(args)
        .ret(fd.into())
        .section(K::Path, path)
        .section(K::PathArg, raw)
        .fixed(K::File, &file)
}

const AT_FDCWD: u64 = -100i32 as u32 as u64;

#[test]
fn an_opened_file_has_its_resolved_path() {
    check(
        &mut enricher(),
        opened(EventType::Openat, "/etc/shadow", "../etc//link", &[AT_FDCWD, 0, 0o2_000_000], 3),
        &[
            ("fd.num", "3"),
            ("fd.name", "/etc/shadow"),
            ("fd.nameraw", "../etc/link"),
            ("fd.directory", "/etc"),
            ("fd.filename", "shadow"),
            ("fd.type", "file"),
            ("fd.typechar", "f"),
            ("fd.ino", "99"),
            ("fd.dev", "2049"),
            ("fd.dev.major", "8"),
            ("fd.dev.minor", "1"),
            ("fd.uid", "10003"),
            ("fd.is_upper_layer", "false"),
            ("fd.l4proto", "<NA>"),
            ("fd.sip", ABSENT),
            ("fd.ip", ABSENT),
            ("fd.connected", ABSENT),
            ("fs.path.name", "/etc/shadow"),
            ("fs.path.nameraw", "../etc//link"),
            ("fs.path.source", ABSENT),
            ("evt.abspath", "/etc/shadow"),
            ("evt.is_open_read", "true"),
            ("evt.is_open_write", "false"),
            ("evt.is_open_exec", "false"),
            ("evt.is_open_create", "false"),
            ("evt.category", "file"),
            ("evt.arg.fd", "<f>/etc/shadow"),
            ("evt.arg.dirfd", "AT_FDCWD"),
            ("evt.arg.name", "/etc/shadow"),
            ("evt.arg.flags", "O_RDONLY|O_CLOEXEC"),
            ("evt.arg.mode", "0"),
            ("evt.arg.dev", "801"),
            ("evt.arg.ino", "99"),
            (
                "evt.args",
                "fd=3(<f>/etc/shadow) dirfd=-100(AT_FDCWD) name=../etc//link(/etc/shadow) \
                 flags=524288(O_RDONLY|O_CLOEXEC) mode=0 dev=801 ino=99",
            ),
        ],
    );
}

#[test]
fn a_failed_open_has_the_path_that_was_asked_for() {
    for (raw, dir, name) in [
        ("/etc/../root/x", None, "/root/x"),
        ("x", Some("/home/a"), "/home/a/x"),
        ("../x", Some("/home/a"), "/home/x"),
        ("x", None, "x"),
    ] {
        let mut record = RecordBuilder::new(EventType::Open).ret(-2).section(K::PathArg, raw);
        if let Some(dir) = dir {
            record = record.section(K::Dir, dir);
        }
        let rows = [
            ("fd.num", "-1"),
            ("fd.name", name),
            ("fd.nameraw", raw),
            ("fd.typechar", "f"),
            ("evt.res", "ENOENT"),
            ("evt.rawres", "-2"),
            ("evt.arg.fd", "ENOENT"),
            ("evt.arg.name", name),
            ("evt.count.error.file", "1"),
        ];
        check(&mut enricher(), record, &rows);
    }
}

#[test]
fn open_modes_are_told_apart() {
    use EventType as T;
    let how = |flags, mode| {
        RecordBuilder::new(T::Openat2).ret(3).fixed(K::OpenHow, &OpenHow { flags, mode, resolve: 8 })
    };
    let opened = |open_flags| FileInfo { open_flags, mode: 0o100_600, fd: 3, ..FileInfo::default() };
    let open = |flags, mode| RecordBuilder::new(T::Open).ret(3).args(&[0, flags, mode]);
    for (record, read, write, exec, create) in [
        (open(0, 0o777), "true", "false", "false", "false"),
        (open(1, 0), "false", "true", "false", "false"),
        (open(2, 0), "true", "true", "false", "false"),
        (open(3, 0), "false", "false", "false", "false"),
        (open(0o101, 0o755), "false", "true", "true", "false"),
        (open(0o101, 0o644), "false", "true", "false", "false"),
        (open(0o20_200_002, 0o700), "true", "true", "true", "true"),
        (open(0o20_200_002, 0o700).ret(-13), "true", "true", "true", "false"),
        (how(0o102, 0o100), "true", "true", "true", "false"),
        (RecordBuilder::new(T::Openat2).ret(-14), "false", "false", "false", "false"),
        // What the caller wrote into `open_how` meanwhile does not count, nor that it is gone.
        (how(0, 0).fixed(K::File, &opened(0o100_001)), "false", "true", "false", "false"),
        (how(1, 0).fixed(K::File, &opened(0o100_000)), "true", "false", "false", "false"),
        (
            RecordBuilder::new(T::Openat2).ret(3).fixed(K::File, &opened(0o100_002)),
            "true",
            "true",
            "false",
            "false",
        ),
        (RecordBuilder::new(T::Creat).ret(3).args(&[0, 0o711]), "false", "true", "true", "false"),
        (RecordBuilder::new(T::Mkdir).args(&[0, 0o777]), "false", "false", "false", "false"),
    ] {
        let rows = [
            ("evt.is_open_read", read),
            ("evt.is_open_write", write),
            ("evt.is_open_exec", exec),
            ("evt.is_open_create", create),
        ];
        check(&mut enricher(), record, &rows);
    }
    let created =
        FileInfo { flags: FILE_CREATED | FILE_UPPER_LAYER, mode: 0o100_600, fd: 3, ..FileInfo::default() };
    check(
        &mut enricher(),
        open(0o1101, 0o600).fixed(K::File, &created),
        &[
            ("evt.is_open_create", "true"),
            ("evt.arg.flags", "O_TRUNC|O_CREAT|O_WRONLY|O_F_CREATED|FD_UPPER_LAYER"),
            ("evt.arg.mode", "0600"),
            ("fd.is_upper_layer", "true"),
        ],
    );
    check(
        &mut enricher(),
        how(0, 0),
        &[("evt.arg.resolve", "RESOLVE_BENEATH"), ("evt.arg.flags", "O_RDONLY")],
    );
}

#[test]
fn kinds_of_files_are_told_apart() {
    let file = |mode, flags| FileInfo { mode, flags, fd: 3, ..FileInfo::default() };
    for (path, info, kind, typechar, directory, filename) in [
        ("/tmp", file(0o040_755, 0), "directory", "d", "/tmp", ABSENT),
        ("/vmlinuz", file(0o100_644, 0), "file", "f", "/", "vmlinuz"),
        ("pipe:[7]", file(0o010_600, 0), "pipe", "p", ABSENT, ABSENT),
        ("anon_inode:[eventfd]", file(0o600, 0), "event", "e", ABSENT, ABSENT),
        ("anon_inode:bpf-prog", file(0o600, 0), "bpf", "b", ABSENT, ABSENT),
        ("/memfd:x", file(0o100_777, FILE_MEMFD), "memfd", "m", ABSENT, ABSENT),
        ("/dev/null", file(0o020_666, 0), "file", "f", "/dev", "null"),
    ] {
        let record = RecordBuilder::new(EventType::Dup).ret(3).section(K::Path, path).fixed(K::File, &info);
        let rows = [
            ("fd.type", kind),
            ("fd.typechar", typechar),
            ("fd.name", path),
            ("fd.directory", directory),
            ("fd.filename", filename),
        ];
        check(&mut enricher(), record, &rows);
    }
}

#[test]
fn paths_that_are_not_utf8_are_kept() {
    let record = RecordBuilder::new(EventType::Open)
        .ret(3)
        .section(K::Path, b"/tmp/\xff\xfe")
        .section(K::PathArg, b"\xff\xfe")
        .fixed(K::File, &FileInfo { mode: 0o100_644, fd: 3, ..FileInfo::default() });
    check(
        &mut enricher(),
        record,
        &[("fd.name", r"/tmp/\xff\xfe"), ("fd.nameraw", r"\xff\xfe"), ("fd.filename", r"\xff\xfe")],
    );
}

#[test]
fn calls_with_two_paths_have_source_and_target() {
    use EventType as T;
    for (ty, source) in
        [(T::Rename, "/a/x"), (T::Link, "/a/x"), (T::Linkat, "/a/x"), (T::Symlink, "x"), (T::Mount, "x")]
    {
        let record = RecordBuilder::new(ty)
            .section(K::PathArg, "x")
            .section(K::Dir, "/a")
            .section(K::Path2Arg, "y")
            .section(K::Dir2, "/b");
        let rows = [
            ("fs.path.source", source),
            ("fs.path.sourceraw", "x"),
            ("fs.path.target", "/b/y"),
            ("fs.path.targetraw", "y"),
            ("fs.path.name", ABSENT),
            ("evt.abspath.dst", "/b/y"),
        ];
        check(&mut enricher(), record, &rows);
    }
}
