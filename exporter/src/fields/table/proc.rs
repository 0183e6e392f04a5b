//! `proc.*` and `thread.*`: the calling process, its ancestors and leaders.

use exporter_common::wants::{WANT_ANCESTORS, WANT_CWD};

use super::fields;

fields! {
    /// Fields of the process and thread.
    ProcField in Proc;
    Exe = "proc.exe", String, None, One, SYSCALL, 0, "First command-line argument (argv[0]) of the process.";
    PExe = "proc.pexe", String, None, One, SYSCALL, 0, "proc.exe of the parent.";
    AExe = "proc.aexe", String, OptionalIndex, Any, SYSCALL, WANT_ANCESTORS, "proc.exe of an ancestor: [1] is the parent; without an index any ancestor.";
    ExePath = "proc.exepath", String, None, One, SYSCALL, 0, "Resolved path of the executable.";
    PExePath = "proc.pexepath", String, None, One, SYSCALL, 0, "proc.exepath of the parent.";
    AExePath = "proc.aexepath", String, OptionalIndex, Any, SYSCALL, WANT_ANCESTORS, "proc.exepath of an ancestor: [1] is the parent; without an index any ancestor.";
    Name = "proc.name", String, None, One, SYSCALL, 0, "Name of the process (comm), at most 15 bytes. Chosen by the workload.";
    PName = "proc.pname", String, None, One, SYSCALL, 0, "proc.name of the parent.";
    AName = "proc.aname", String, OptionalIndex, Any, SYSCALL, WANT_ANCESTORS, "proc.name of an ancestor: [1] is the parent; without an index any ancestor.";
    Args = "proc.args", String, None, One, SYSCALL, 0, "Arguments after argv[0], separated by blanks.";
    AArgs = "proc.aargs", String, OptionalIndex, Any, SYSCALL, WANT_ANCESTORS, "proc.args of an ancestor: [1] is the parent; without an index any ancestor.";
    CmdNArgs = "proc.cmdnargs", Uint64, None, One, SYSCALL, 0, "Number of arguments after argv[0].";
    CmdLenArgs = "proc.cmdlenargs", Uint64, None, One, SYSCALL, 0, "Bytes of the arguments after argv[0], without the blanks between them.";
    CmdLine = "proc.cmdline", String, None, One, SYSCALL, 0, "proc.name and proc.args.";
    PCmdLine = "proc.pcmdline", String, None, One, SYSCALL, 0, "proc.cmdline of the parent.";
    ACmdLine = "proc.acmdline", String, OptionalIndex, Any, SYSCALL, WANT_ANCESTORS, "proc.cmdline of an ancestor: [1] is the parent; without an index any ancestor.";
    ExeLine = "proc.exeline", String, None, One, SYSCALL, 0, "proc.exe and proc.args.";
    Env = "proc.env", String, OptionalKey, One, SYSCALL, 0, "Environment at exec, NAME=VALUE separated by blanks; proc.env[NAME] is one value.";
    AEnv = "proc.aenv", String, OptionalName, Any, SYSCALL, WANT_ANCESTORS, "Environment of an ancestor: proc.aenv[2] whole, proc.aenv[NAME] the value in the process or its nearest ancestor.";
    Cwd = "proc.cwd", String, None, One, SYSCALL, WANT_CWD, "Resolved working directory, with a '/' at its end.";
    LoginShellId = "proc.loginshellid", Int64, None, One, SYSCALL, WANT_ANCESTORS, "Process id of the oldest shell among the ancestors, if there is one.";
    Tty = "proc.tty", Uint32, None, One, SYSCALL, 0, "Controlling terminal, 0 if there is none.";
    Pid = "proc.pid", Int64, None, One, SYSCALL, 0, "Process id in the host's namespace.";
    PPid = "proc.ppid", Int64, None, One, SYSCALL, 0, "Process id of the parent.";
    APid = "proc.apid", Int64, OptionalIndex, Any, SYSCALL, WANT_ANCESTORS, "Process id of an ancestor: [1] is the parent; without an index any ancestor.";
    VPid = "proc.vpid", Int64, None, One, SYSCALL, 0, "Process id as seen inside the process's own pid namespace.";
    PVPid = "proc.pvpid", Int64, None, One, SYSCALL, 0, "Process id of the parent inside the parent's pid namespace.";
    Sid = "proc.sid", Int64, None, One, SYSCALL, 0, "Session id inside the process's pid namespace.";
    SName = "proc.sname", String, None, One, SYSCALL, 0, "proc.name of the session leader.";
    SidExe = "proc.sid.exe", String, None, One, SYSCALL, 0, "proc.exe of the session leader.";
    SidExePath = "proc.sid.exepath", String, None, One, SYSCALL, 0, "proc.exepath of the session leader.";
    VPgid = "proc.vpgid", Int64, None, One, SYSCALL, 0, "Process group id inside the process's pid namespace.";
    VPgidName = "proc.vpgid.name", String, None, One, SYSCALL, 0, "proc.name of the process group leader.";
    VPgidExe = "proc.vpgid.exe", String, None, One, SYSCALL, 0, "proc.exe of the process group leader.";
    VPgidExePath = "proc.vpgid.exepath", String, None, One, SYSCALL, 0, "proc.exepath of the process group leader.";
    Pgid = "proc.pgid", Int64, None, One, SYSCALL, 0, "Process group id in the host's namespace.";
    PgidName = "proc.pgid.name", String, None, One, SYSCALL, 0, "proc.name of the process group leader.";
    PgidExe = "proc.pgid.exe", String, None, One, SYSCALL, 0, "proc.exe of the process group leader.";
    PgidExePath = "proc.pgid.exepath", String, None, One, SYSCALL, 0, "proc.exepath of the process group leader.";
    Duration = "proc.duration", RelTime, None, One, SYSCALL, 0, "Nanoseconds since the process started.";
    PPidDuration = "proc.ppid.duration", RelTime, None, One, SYSCALL, 0, "Nanoseconds since the parent started.";
    PidTs = "proc.pid.ts", RelTime, None, One, SYSCALL, 0, "Start of the process in nanoseconds since the epoch.";
    PPidTs = "proc.ppid.ts", RelTime, None, One, SYSCALL, 0, "Start of the parent in nanoseconds since the epoch.";
    IsExeWritable = "proc.is_exe_writable", Bool, None, One, SYSCALL, 0, "True if the user who executed the file may write to it.";
    IsExeUpperLayer = "proc.is_exe_upper_layer", Bool, None, One, SYSCALL, 0, "True if the executable is on the upper layer of an overlay file system: not part of the image.";
    IsExeLowerLayer = "proc.is_exe_lower_layer", Bool, None, One, SYSCALL, 0, "True if the executable is on the lower layer of an overlay file system: part of the image.";
    IsExeFromMemfd = "proc.is_exe_from_memfd", Bool, None, One, SYSCALL, 0, "True if the executable is an anonymous file made by memfd_create.";
    IsSidLeader = "proc.is_sid_leader", Bool, None, One, SYSCALL, 0, "True if the process leads its session.";
    IsVPgidLeader = "proc.is_vpgid_leader", Bool, None, One, SYSCALL, 0, "True if the process leads its process group, by the ids inside its pid namespace.";
    IsPgidLeader = "proc.is_pgid_leader", Bool, None, One, SYSCALL, 0, "True if the process leads its process group.";
    ExeIno = "proc.exe_ino", Int64, None, One, SYSCALL, 0, "Inode number of the executable.";
    ExeInoCtime = "proc.exe_ino.ctime", AbsTime, None, One, SYSCALL, 0, "Last change of the executable's inode, nanoseconds since the epoch.";
    ExeInoMtime = "proc.exe_ino.mtime", AbsTime, None, One, SYSCALL, 0, "Last change of the executable's content, nanoseconds since the epoch.";
    ExeInoCtimeProcStart = "proc.exe_ino.ctime_duration_proc_start", AbsTime, None, One, SYSCALL, 0, "Nanoseconds from the inode's last change to the start of the process; absent if the change came later.";
    ExeInoCtimePidnsStart = "proc.exe_ino.ctime_duration_pidns_start", AbsTime, None, One, SYSCALL, 0, "Nanoseconds from the start of the pid namespace to the inode's last change; absent if the change came first.";
    PidnsInitStartTs = "proc.pidns_init_start_ts", Uint64, None, One, SYSCALL, 0, "Start of the first process of the pid namespace, nanoseconds since the epoch.";
    CapPermitted = "thread.cap_permitted", String, None, One, SYSCALL, 0, "Permitted capabilities, names separated by blanks.";
    CapInheritable = "thread.cap_inheritable", String, None, One, SYSCALL, 0, "Inheritable capabilities, names separated by blanks.";
    CapEffective = "thread.cap_effective", String, None, One, SYSCALL, 0, "Effective capabilities, names separated by blanks.";
    Tid = "thread.tid", Int64, None, One, SYSCALL, 0, "Thread id in the host's namespace.";
    VTid = "thread.vtid", Int64, None, One, SYSCALL, 0, "Thread id as seen inside the process's pid namespace.";
    IsMain = "thread.ismain", Bool, None, One, SYSCALL, 0, "True for the main thread of the process.";
    Cgroup = "thread.cgroup", String, RequiredName, One, SYSCALL, 0, "Path of the cgroup of one controller (thread.cgroup.cpu): with v2, the one path of thread.cgroups for every controller.";
    Cgroups = "thread.cgroups", String, None, One, SYSCALL, 0, "Path of the process's cgroup (v2, or of a v1 hierarchy where v2 is not used).";
}
