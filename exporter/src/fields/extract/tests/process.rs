use exporter_common::record::{
    ChildInfo, ExecInfo, FILE_MEMFD, FILE_UPPER_LAYER, FILE_WRITABLE, FileInfo, SectionKind as K,
};

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A successful exec by process `pid`, child of `parent`.
fn exec(pid: u32, parent: u32, comm: &str, argv: &[&str]) -> RecordBuilder {
    let file = FileInfo { ino: 12, ctime_ns: 1_795_429_000_000_000_000, mtime_ns: 5, ..FileInfo::default() };
    RecordBuilder::new(EventType::Execve)
        .process(pid, u64::from(pid) * 1_000_000)
        .parent(parent, u64::from(parent) * 1_000_000)
        .with(|header| {
            (header.pgid, header.vpgid, header.sid, header.vsid) = (pid, pid, 100, 100);
            header.cgroup_id = 50;
        })
        .comm(comm)
        .section(K::Path, format!("/usr/bin/{comm}"))
        .section(K::PathArg, argv.first().copied().unwrap_or_default())
        .strings(K::Argv, argv)
        .fixed(K::File, &file)
        .fixed(K::Exec, &ExecInfo { argc: argv.len() as u32, ..ExecInfo::default() })
        .section(K::Cgroup, "/user.slice/session-1.scope")
}

/// An open by a process that exec made.
fn open(pid: u32, parent: u32, comm: &str) -> RecordBuilder {
    let mut record = exec(pid, parent, comm, &[]);
    record.header.event_type = EventType::Open.id();
    record = RecordBuilder::new(EventType::Open).with(|header| *header = record.header);
    record.ret(-2)
}

/// sshd (100) → bash (200) → sudo (300) → cat (400)
fn lineage() -> Enricher {
    let mut enricher = enricher();
    feed(&mut enricher, exec(100, 1, "sshd", &["sshd: root@pts/0"]));
    feed(&mut enricher, exec(200, 100, "bash", &["-bash"]));
    feed(
        &mut enricher,
        exec(300, 200, "sudo", &["sudo", "cat", "/etc/shadow"]).strings(K::Envp, &["A=1", "B=x y"]),
    );
    feed(&mut enricher, exec(400, 300, "cat", &["cat", "/etc/shadow"]));
    enricher
}

#[test]
fn an_exec_shows_the_new_image() {
    let flags = FILE_UPPER_LAYER | FILE_WRITABLE;
    let file =
        FileInfo { ino: 12, ctime_ns: 1_795_429_315_100_000_000, mtime_ns: 5, flags, ..FileInfo::default() };
    let record = exec(400, 300, "python3.11", &["python", "-c", "import os"]);
    // Another File section, so without the one of `exec`.
    let record = RecordBuilder::new(EventType::Execve)
        .with(|header| *header = record.header)
        .with(|header| {
            header.tty = 34816;
            (header.euid, header.egid, header.uid) = (33, 33, 0);
            header.loginuid = 0;
            header.cap_effective = 1 << 21;
            header.pidns_init_start_ns = 1_000_000;
            (header.pid_ns, header.vpid, header.vtid) = (7, 1, 1);
        })
        .section(K::Path, "/usr/bin/python3.11")
        .section(K::PathArg, "/usr/bin/python")
        .strings(K::Argv, &["python", "-c", "import os"])
        .strings(K::Envp, &["PATH=/bin", "EMPTY=", "PA=no"])
        .fixed(K::File, &file)
        .section(K::Cwd, "/root")
        .section(K::Cgroup, format!("/docker/{ID}"));
    check(
        &mut enricher(),
        record,
        &[
            ("proc.name", "python3.11"),
            ("proc.exe", "python"),
            ("proc.exepath", "/usr/bin/python3.11"),
            ("proc.args", "-c import os"),
            ("proc.cmdline", "python3.11 -c import os"),
            ("proc.exeline", "python -c import os"),
            ("proc.cmdnargs", "2"),
            ("proc.cmdlenargs", "11"),
            ("proc.env", "PATH=/bin EMPTY= PA=no"),
            ("proc.env[PATH]", "/bin"),
            ("proc.env[EMPTY]", ""),
            ("proc.env[PA]", "no"),
            ("proc.env[P]", ""),
            ("proc.cwd", "/root/"),
            ("proc.tty", "34816"),
            ("proc.pid", "400"),
            ("proc.vpid", "1"),
            ("proc.ppid", "300"),
            ("proc.duration", "9600000000"),
            ("proc.pid.ts", "1795429315400000000"),
            ("proc.is_exe_upper_layer", "true"),
            ("proc.is_exe_lower_layer", "false"),
            ("proc.is_exe_writable", "true"),
            ("proc.is_exe_from_memfd", "false"),
            ("proc.exe_ino", "12"),
            ("proc.exe_ino.ctime", "1795429315100000000"),
            ("proc.exe_ino.mtime", "5"),
            ("proc.exe_ino.ctime_duration_proc_start", "300000000"),
            ("proc.exe_ino.ctime_duration_pidns_start", "99000000"),
            ("proc.pidns_init_start_ts", "1795429315001000000"),
            ("proc.is_vpgid_leader", "false"),
            ("proc.is_pgid_leader", "true"),
            ("proc.is_sid_leader", "false"),
            ("thread.cap_effective", "CAP_SYS_ADMIN"),
            ("thread.cap_permitted", ""),
            ("thread.tid", "400"),
            ("thread.ismain", "true"),
            ("thread.cgroups", &format!("/docker/{ID}")),
            ("container.id", "0123456789ab"),
            ("container.full_id", ID),
            ("user.uid", "33"),
            ("user.name", "www-data"),
            ("user.homedir", "/var/www"),
            ("user.shell", "/usr/sbin/nologin"),
            ("user.loginuid", "0"),
            ("user.loginname", "root"),
            ("group.gid", "33"),
            ("group.name", "www-data"),
            ("evt.arg.exe", "python"),
            ("evt.arg.filename", "/usr/bin/python"),
            ("evt.arg.flags", "EXE_WRITABLE|EXE_UPPER_LAYER"),
            ("evt.arg.uid", "www-data"),
            ("evt.category", "process"),
            ("proc.pname", ABSENT),
            ("fd.name", ABSENT),
        ],
    );
}

#[test]
fn a_user_without_a_name_or_login() {
    let record = RecordBuilder::new(EventType::Kill).with(|header| (header.euid, header.egid) = (4711, 4711));
    check(
        &mut enricher(),
        record,
        &[
            ("user.uid", "4711"),
            ("user.name", "<NA>"),
            ("user.homedir", "<NA>"),
            ("user.loginuid", "-1"),
            ("user.loginname", "<NA>"),
            ("group.name", "<NA>"),
        ],
    );
}

#[test]
fn a_failed_exec_shows_the_old_image() {
    let mut enricher = lineage();
    let record = exec(400, 300, "cat", &["/nope", "x"]).ret(-2);
    check(
        &mut enricher,
        record,
        &[
            ("proc.name", "cat"),
            ("proc.cmdline", "cat /etc/shadow"),
            ("proc.exepath", "/usr/bin/cat"),
            ("evt.res", "ENOENT"),
            ("evt.arg.filename", "/nope"),
        ],
    );
}

#[test]
fn later_events_know_the_process_and_its_ancestors() {
    let mut enricher = lineage();
    check(
        &mut enricher,
        open(400, 300, "cat"),
        &[
            ("proc.name", "cat"),
            ("proc.exe", "cat"),
            ("proc.cmdline", "cat /etc/shadow"),
            ("proc.exepath", "/usr/bin/cat"),
            ("proc.pname", "sudo"),
            ("proc.pexe", "sudo"),
            ("proc.pexepath", "/usr/bin/sudo"),
            ("proc.pcmdline", "sudo cat /etc/shadow"),
            ("proc.aname[0]", "cat"),
            ("proc.aname[1]", "sudo"),
            ("proc.aname[2]", "bash"),
            ("proc.aname[3]", "sshd"),
            ("proc.aname[4]", ABSENT),
            ("proc.aname", "sudo,bash,sshd"),
            ("proc.aexe[2]", "-bash"),
            ("proc.aexepath[2]", "/usr/bin/bash"),
            ("proc.acmdline[1]", "sudo cat /etc/shadow"),
            ("proc.acmdline", "sudo cat /etc/shadow,bash,sshd"),
            ("proc.aargs[1]", "cat /etc/shadow"),
            ("proc.apid[1]", "300"),
            ("proc.apid[3]", "100"),
            ("proc.apid[4]", "1"),
            ("proc.apid", "300,200,100,1"),
            ("proc.aenv[1]", "A=1 B=x y"),
            ("proc.aenv[B]", "x y"),
            ("proc.aenv[C]", ""),
            ("proc.aenv[2]", ABSENT),
            ("proc.loginshellid", "200"),
            ("proc.sid", "100"),
            ("proc.sname", "sshd"),
            ("proc.sid.exe", "sshd: root@pts/0"),
            ("proc.sid.exepath", "/usr/bin/sshd"),
            ("proc.pgid.name", "cat"),
            ("proc.vpgid.exe", "cat"),
            ("proc.ppid.duration", "9700000000"),
            ("container.id", "host"),
            ("container.full_id", ABSENT),
            ("fd.containername", ABSENT),
        ],
    );
    // A name that prctl changed is the name; the line begins with it, as in Falco.
    check(
        &mut enricher,
        open(400, 300, "evil"),
        &[("proc.name", "evil"), ("proc.cmdline", "evil /etc/shadow")],
    );
    check(
        &mut enricher,
        open(500, 400, "sh"),
        &[("proc.pname", "evil"), ("proc.pcmdline", "evil /etc/shadow")],
    );
    // The name of another thread is not the process's.
    check(
        &mut enricher,
        open(400, 300, "worker").with(|h| h.tid = 401),
        &[("proc.name", "worker"), ("thread.ismain", "false")],
    );
    check(&mut enricher, open(500, 400, "sh"), &[("proc.pname", "evil")]);
}

#[test]
fn the_kernels_own_list_of_ancestors_wins() {
    let mut enricher = lineage();
    // The middle one is unknown, and sudo's parent is another than the table thinks.
    let record =
        open(400, 300, "cat").ancestors(&[(300, 300_000_000), (77, 77), (100, 100_000_000), (1, 1_000_000)]);
    check(
        &mut enricher,
        record,
        &[
            ("proc.aname[1]", "sudo"),
            ("proc.aname[2]", ABSENT),
            ("proc.aname[3]", "sshd"),
            ("proc.aname", "sudo,sshd"),
            ("proc.apid[2]", "77"),
            ("proc.apid", "300,77,100,1"),
        ],
    );
}

#[test]
fn a_forked_child_runs_its_parents_image() {
    let mut enricher = lineage();
    let child = ChildInfo {
        tid: 600,
        pid: 600,
        vtid: 6,
        vpid: 6,
        start_ns: 600_000_000,
        cgroup_id: 50,
        ppid: 200,
        pid_ns: 0,
        parent_start_ns: 200_000_000,
    };
    let fork = |child: &ChildInfo| {
        let mut record = exec(200, 100, "bash", &[]);
        record.header.event_type = EventType::Clone.id();
        RecordBuilder::new(EventType::Clone)
            .with(|header| *header = record.header)
            .ret(600)
            .fixed(K::Child, child)
    };
    check(
        &mut enricher,
        fork(&child),
        &[("proc.name", "bash"), ("evt.rawres", "600"), ("evt.arg.child_pid", "600")],
    );
    let rows =
        [("proc.cmdline", "bash"), ("proc.exe", "-bash"), ("proc.pname", "bash"), ("container.id", "host")];
    check(&mut enricher, open(600, 200, "bash"), &rows);
    // A thread is no new process.
    feed(&mut enricher, fork(&ChildInfo { tid: 601, ..child }));
    assert!(enricher.table.by_pid(601).is_none());
}

#[test]
fn a_reused_id_is_another_process() {
    let mut enricher = lineage();
    // No exit was seen, but this is a later process 400.
    let record = open(400, 300, "new").with(|header| header.start_ns = 5_000_000_000);
    check(&mut enricher, record, &[("proc.name", "new"), ("proc.cmdline", ABSENT), ("proc.exepath", ABSENT)]);
    assert_eq!(enricher.stats().table.reused, 1);
    // A child of the former one does not take the new one for its parent.
    check(&mut enricher, open(700, 400, "child"), &[("proc.pname", ABSENT), ("proc.ppid", "400")]);
}

#[test]
fn an_exited_parent_is_still_known_for_a_while() {
    let mut enricher = lineage();
    let exit = |at: u64| {
        let mut record = exec(300, 200, "sudo", &[]);
        record.header.event_type = EventType::Procexit.id();
        RecordBuilder::new(EventType::Procexit).with(|header| *header = record.header).with(|h| h.ts_ns = at)
    };
    feed(&mut enricher, exit(10_000_000_000));
    let late = |at: u64| open(400, 300, "cat").with(|header| header.ts_ns = at);
    check(&mut enricher, late(11_000_000_000), &[("proc.pname", "sudo")]);
    assert_eq!(enricher.stats().table.exited, 1);
    feed(&mut enricher, late(16_000_000_000));
    check(&mut enricher, late(16_000_000_001), &[("proc.pname", ABSENT), ("proc.ppid", "300")]);
    assert_eq!(enricher.stats().table.exited, 0);
}

#[test]
fn a_fileless_program_says_so() {
    let record = RecordBuilder::new(EventType::Execve)
        .section(K::Path, "/memfd:x")
        .fixed(K::File, &FileInfo { flags: FILE_MEMFD, ..FileInfo::default() });
    check(
        &mut enricher(),
        record,
        &[
            ("proc.is_exe_from_memfd", "true"),
            ("proc.exepath", "memfd:x"),
            ("evt.arg.flags", "EXE_FROM_MEMFD"),
        ],
    );
}

#[test]
fn a_container_is_known_to_processes_that_join_it() {
    let mut enricher = enricher();
    let in_cgroup = |record: RecordBuilder, id| record.with(|header| header.cgroup_id = id);
    feed(&mut enricher, in_cgroup(exec(100, 1, "sh", &["sh"]), 50));
    let joined = in_cgroup(open(300, 1, "nsenter"), 77);
    check(&mut enricher, joined.clone(), &[("container.id", ABSENT)]);
    let made = RecordBuilder::new(EventType::Execve)
        .process(200, 200)
        .with(|header| header.cgroup_id = 77)
        .section(K::Cgroup, format!("/kubepods/besteffort/pod1/{ID}"));
    check(&mut enricher, made, &[("container.id", "0123456789ab")]);
    check(&mut enricher, joined, &[("container.id", "0123456789ab"), ("fd.containername", ABSENT)]);
    // A name that only ctr would give counts only in another mount namespace.
    for (mnt_ns, id) in [(10, "host"), (11, "demo1")] {
        let record = RecordBuilder::new(EventType::Execve)
            .process(mnt_ns, 1)
            .with(|header| (header.cgroup_id, header.mnt_ns) = (90, mnt_ns))
            .section(K::Cgroup, "/default/demo1");
        check(&mut enricher, record, &[("container.id", id)]);
    }
}
