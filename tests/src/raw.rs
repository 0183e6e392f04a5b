//! What a record itself says, read here a second time: facts that no field shows (namespaces, cgroup id),
//! by names that begin with `header.`, `file.`, `socket.`, `exec.`, `child.`, `how.`, `caps.` or `section.`.
//!
//! This reader is independent of `yagura::decode`, so that the two check each other.

use exporter_common::record::{
    Ancestor, CapSets, ChildInfo, ExecInfo, FileInfo, Header, OpenHow, SectionHeader, SectionKind, SocketInfo,
};
use zerocopy::FromBytes;

use crate::text::escape;

/// The record's header.
pub fn header(record: &[u8]) -> Header {
    Header::read_from_prefix(record).expect("a record has a header").0
}

/// The data and flags of a section, if the record has it.
pub fn section(record: &[u8], kind: SectionKind) -> Option<(&[u8], u16)> {
    let mut rest = &record[size_of::<Header>()..header(record).len as usize];
    while !rest.is_empty() {
        let (head, after) = SectionHeader::read_from_prefix(rest).expect("a section has a header");
        let data = &after[..head.len as usize];
        if head.kind == kind as u16 {
            return Some((data, head.flags));
        }
        rest = &after[(head.len as usize).next_multiple_of(8)..];
    }
    None
}

fn typed<T: FromBytes>(record: &[u8], kind: SectionKind) -> Option<T> {
    section(record, kind).map(|(data, _)| T::read_from_prefix(data).expect("the section's size").0)
}

macro_rules! member {
    ($value:expr, $name:expr, [$($member:ident)*]) => {
        match $name {
            $(stringify!($member) => Some($value.$member.to_string()),)*
            other => panic!("no member {other}"),
        }
    };
}

/// The fact's value as text; `None` if the record does not have it.
pub fn get(record: &[u8], name: &str) -> Option<String> {
    let (group, member) = name.split_once('.').expect("a group");
    match group {
        "header" => member!(header(record), member, [
            flags ret syscall_nr tid pid vtid vpid ppid pvpid pgid vpgid sid vsid cgroup_id uid gid euid egid suid
            fsuid loginuid sessionid cap_effective cap_permitted cap_inheritable mnt_ns pid_ns net_ns user_ns
            tty start_ns parent_start_ns pidns_init_start_ns
        ]),
        "file" => member!(typed::<FileInfo>(record, SectionKind::File)?, member, [
            ino dev open_flags mode flags uid gid ctime_ns mtime_ns fs_magic fd nlink
        ]),
        "socket" => member!(typed::<SocketInfo>(record, SectionKind::Socket)?, member, [
            ino family sock_type protocol flags local_port remote_port state fd net_ns
        ]),
        "exec" => {
            member!(typed::<ExecInfo>(record, SectionKind::Exec)?, member, [argc envc argv_len envp_len])
        }
        "child" => member!(typed::<ChildInfo>(record, SectionKind::Child)?, member, [
            tid pid vtid vpid start_ns cgroup_id ppid pid_ns parent_start_ns
        ]),
        "how" => member!(typed::<OpenHow>(record, SectionKind::OpenHow)?, member, [flags mode resolve]),
        "caps" => {
            member!(typed::<CapSets>(record, SectionKind::CapSets)?, member, [effective permitted inheritable])
        }
        "ancestors" => {
            let (data, _) = section(record, SectionKind::Ancestors)?;
            let all: Vec<Ancestor> = data
                .chunks_exact(size_of::<Ancestor>())
                .map(|bytes| Ancestor::read_from_bytes(bytes).expect("an ancestor"))
                .collect();
            match member {
                "count" => Some(all.len().to_string()),
                index => all.get(index.parse::<usize>().expect("an index")).map(|a| a.pid.to_string()),
            }
        }
        "section" => section(record, kind(member)).map(|(data, _)| escape(data)),
        "length" => section(record, kind(member)).map(|(data, _)| data.len().to_string()),
        "cut" => section(record, kind(member)).map(|(_, flags)| flags.to_string()),
        other => panic!("no group {other}"),
    }
}

/// Is this a name for [`get`], rather than a field?
pub fn is_raw(name: &str) -> bool {
    let groups = [
        "header.",
        "file.",
        "socket.",
        "exec.",
        "child.",
        "how.",
        "caps.",
        "ancestors.",
        "section.",
        "length.",
        "cut.",
    ];
    groups.iter().any(|group| name.starts_with(group))
}

fn kind(name: &str) -> SectionKind {
    *SectionKind::ALL
        .iter()
        .find(|kind| format!("{kind:?}") == name)
        .unwrap_or_else(|| panic!("no section {name}"))
}
