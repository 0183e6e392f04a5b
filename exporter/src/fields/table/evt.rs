//! `evt.*` and `syscall.*`: the event itself.

use exporter_common::wants::WANT_DATA;

use super::fields;

fields! {
    /// Fields of the event itself.
    EvtField in Evt;
    Num = "evt.num", Uint64, None, One, EVERY, 0, "Number of the event, counted from 1 since the daemon started.";
    Time = "evt.time", String, None, One, EVERY, 0, "Time of the event with nanoseconds, HH:MM:SS.nnnnnnnnn, in UTC.";
    TimeS = "evt.time.s", String, None, One, EVERY, 0, "Time of the event, HH:MM:SS, in UTC.";
    TimeIso = "evt.time.iso8601", String, None, One, EVERY, 0, "Date and time of the event as ISO 8601 with nanoseconds, in UTC.";
    DateTime = "evt.datetime", String, None, One, EVERY, 0, "Date and time of the event with nanoseconds, in UTC.";
    DateTimeS = "evt.datetime.s", String, None, One, EVERY, 0, "Date and time of the event in whole seconds, in UTC.";
    RawTime = "evt.rawtime", AbsTime, None, One, EVERY, 0, "Time of the event in nanoseconds since the epoch.";
    RawTimeS = "evt.rawtime.s", AbsTime, None, One, EVERY, 0, "Whole seconds of evt.rawtime.";
    RawTimeNs = "evt.rawtime.ns", AbsTime, None, One, EVERY, 0, "Nanoseconds of evt.rawtime within its second.";
    RelTime = "evt.reltime", RelTime, None, One, EVERY, 0, "Nanoseconds since the first event the daemon saw.";
    RelTimeS = "evt.reltime.s", RelTime, None, One, EVERY, 0, "Whole seconds of evt.reltime.";
    RelTimeNs = "evt.reltime.ns", RelTime, None, One, EVERY, 0, "Nanoseconds of evt.reltime within its second.";
    DeltaTime = "evt.deltatime", RelTime, None, One, SYSCALL, 0, "Nanoseconds since the event before this one.";
    DeltaTimeS = "evt.deltatime.s", RelTime, None, One, SYSCALL, 0, "Whole seconds of evt.deltatime.";
    DeltaTimeNs = "evt.deltatime.ns", RelTime, None, One, SYSCALL, 0, "Nanoseconds of evt.deltatime within its second.";
    Source = "evt.source", String, None, One, EVERY, 0, "Source of the event: syscall or k8s_audit.";
    IsAsync = "evt.is_async", Bool, None, One, EVERY, 0, "True for events made by a plugin in the background; always false here.";
    Hostname = "evt.hostname", String, None, One, EVERY, 0, "Name of the host (the node in Kubernetes).";
    Dir = "evt.dir", String, None, One, SYSCALL, 0, "Deprecated by Falco. Always '<': every event here is the end of its system call.";
    Type = "evt.type", String, None, One, SYSCALL, 0, "Name of the event type, for example openat.";
    TypeIs = "evt.type.is", Uint32, RequiredName, One, SYSCALL, 0, "evt.type.is.NAME is 1 if the event has type NAME, otherwise 0.";
    SyscallType = "syscall.type", String, None, One, SYSCALL, 0, "Name of the system call; absent for events that are not system calls.";
    Category = "evt.category", String, None, One, SYSCALL, 0, "Kind of event: file, net, process, memory, user, system, IPC, signal or other.";
    Cpu = "evt.cpu", Int16, None, One, SYSCALL, 0, "Number of the CPU on which the event happened.";
    Args = "evt.args", String, None, One, SYSCALL, 0, "All arguments of the event, name=value, separated by blanks.";
    Arg = "evt.arg", String, RequiredName, One, SYSCALL, 0, "One argument as text, by name (evt.arg.flags) or by position (evt.arg[0]). docs/events.md lists them.";
    RawArg = "evt.rawarg", String, RequiredName, One, SYSCALL, 0, "One argument in its own type, by name: evt.rawarg.flags is the number (int64), evt.rawarg.path the text as passed. A number in one event type that is text in another cannot be asked for.";
    Info = "evt.info", String, None, One, SYSCALL, 0, "The same as evt.args.";
    Buffer = "evt.buffer", Bytes, None, One, SYSCALL, WANT_DATA, "First bytes of the data that was sent or received.";
    BufLen = "evt.buflen", Uint64, None, One, SYSCALL, 0, "Bytes that the call sent or received, also those beyond evt.buffer.";
    Res = "evt.res", String, None, One, SYSCALL, 0, "SUCCESS, or the name of the error, for example ENOENT.";
    RawRes = "evt.rawres", Int64, None, One, SYSCALL, 0, "Return value of the system call; a negative error number on failure.";
    Failed = "evt.failed", Bool, None, One, SYSCALL, 0, "True if the system call failed.";
    IsIo = "evt.is_io", Bool, None, One, SYSCALL, 0, "True for events that send or receive data.";
    IsIoRead = "evt.is_io_read", Bool, None, One, SYSCALL, 0, "True for events that receive data.";
    IsIoWrite = "evt.is_io_write", Bool, None, One, SYSCALL, 0, "True for events that send data.";
    IoDir = "evt.io_dir", String, None, One, SYSCALL, 0, "'read' for events that receive data, 'write' for events that send data.";
    IsWait = "evt.is_wait", Bool, None, One, SYSCALL, 0, "True for events that make a thread wait; none of the event types here does.";
    IsSyslog = "evt.is_syslog", Bool, None, One, SYSCALL, 0, "True for events that send to /dev/log.";
    Count = "evt.count", Uint32, None, One, SYSCALL, 0, "Always 1.";
    CountError = "evt.count.error", Uint32, None, One, SYSCALL, 0, "1 if the system call failed, otherwise 0.";
    CountErrorFile = "evt.count.error.file", Uint32, None, One, SYSCALL, 0, "1 if a file operation failed, 0 if it succeeded; absent for others.";
    CountErrorNet = "evt.count.error.net", Uint32, None, One, SYSCALL, 0, "1 if a network operation failed, 0 if it succeeded; absent for others.";
    CountErrorMemory = "evt.count.error.memory", Uint32, None, One, SYSCALL, 0, "1 if a memory operation failed, 0 if it succeeded; absent for others.";
    CountErrorOther = "evt.count.error.other", Uint32, None, One, SYSCALL, 0, "1 if any other operation failed, 0 if it succeeded; absent for those above.";
    CountExit = "evt.count.exit", Uint32, None, One, SYSCALL, 0, "1 for events at the end of a system call: always.";
    AbsPath = "evt.abspath", String, OptionalName, One, SYSCALL, 0, "Absolute path of the call's path argument; evt.abspath.src and evt.abspath.dst for calls with two.";
    IsOpenRead = "evt.is_open_read", Bool, None, One, SYSCALL, 0, "True for open, openat, openat2 that opened a path for reading.";
    IsOpenWrite = "evt.is_open_write", Bool, None, One, SYSCALL, 0, "True for open, openat, openat2, creat that opened a path for writing.";
    IsOpenExec = "evt.is_open_exec", Bool, None, One, SYSCALL, 0, "True for open, openat, openat2, creat that created a file with an execute permission.";
    IsOpenCreate = "evt.is_open_create", Bool, None, One, SYSCALL, 0, "True for open, openat, openat2, creat that created a file.";
}
