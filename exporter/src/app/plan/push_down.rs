//! Whatever a rule matches, the filter passes: random rules, random events, and for each event what the kernel side
//! would make of it. The rules see the record that the kernel would have written, through the real decoder and
//! process table; the filter is the code that the kernel runs, over the tables that it gets.

use std::net::IpAddr;

use exporter_common::{
    event_type::EventType,
    filter::{
        Filter,
        classes::{self, Container, KIND_FILE, RawName, address_v4, address_v6, kind_of_family, protocol},
        keys::has_dots,
        paths::{Components, MAX_COMPONENTS},
    },
    record::{FileInfo, OpenHow, SOCKET_CONNECTED, SectionKind, SocketInfo},
};

use super::*;
use crate::{
    decode::decode,
    enrich::{EnrichOptions, Enricher},
    event::builder::RecordBuilder,
    kernel::{FilterTables, component_of},
    rules::{LoadOptions, RuleMatching, Scratch, SourceFile, load},
};

/// Rule sets, and events that each is tried with: 100,000 pairs of a set of 1 to 3 rules and an event.
const SETS: u64 = 2_000;
const EVENTS: u64 = 50;

/// A generator of the SplitMix64 kind: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

const NAMES: &[&str] = &["cat", "sshd", "bash", "a-name-of-15-by"];
const PATHS: &[&str] = &[
    "/",
    "/etc",
    "/etc/shadow",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/pam.d/sshd",
    "/etc/cron.d/a",
    "/root/.ssh/id_rsa",
    "/root/.bash_history",
    "/home/u/.ssh/authorized_keys",
    "/home/u/.aws/credentials",
    "/var/log/auth.log",
    "/tmp/x",
    "/a-component-that-is-longer-than-forty-bytes-so-that-it-is-cut/x.pem",
    "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r",
];
const ADDRESSES: &[&str] = &[
    "0.0.0.0",
    "127.0.0.1",
    "169.254.169.254",
    "169.254.1.1",
    "10.1.2.3",
    "172.20.0.1",
    "192.168.0.9",
    "100.64.1.1",
    "8.8.8.8",
    "::",
    "::1",
    "fd00::1",
    "::ffff:10.1.2.3",
];

/// A comparison that the filter may know something of, or not.
fn comparison(random: &mut Random) -> String {
    let path = random.of(PATHS);
    let cut = |random: &mut Random| {
        let at = random.below(path.len() as u64 + 1) as usize;
        (path[..at].to_owned(), path[at..].to_owned())
    };
    match random.below(30) {
        0 => format!(
            "evt.rawres {} {}",
            random.of(&["=", "!=", "<", "<=", ">", ">="]),
            random.of(&[-13, -2, -1, 0, 1, 2, 3, 9])
        ),
        1 => format!(
            "evt.res {} {}",
            random.of(&["=", "!=", "startswith", "contains"]),
            random.of(&["SUCCESS", "ENOENT", "EACCES", "EINPROGRESS", "E", "EPERM"])
        ),
        2 => format!("evt.failed = {}", random.chance(50)),
        3 => format!("fd.num {} {}", random.of(&[">=", "<", "="]), random.of(&[-1, 0, 3])),
        4 => format!("evt.is_open_read = {}", random.chance(70)),
        5 => format!("evt.is_open_write = {}", random.chance(70)),
        6 => format!("evt.is_open_exec = {}", random.chance(70)),
        7 => format!("evt.arg.flags contains {}", random.of(&["O_TRUNC", "O_CREAT", "O_T", "O_RDWR"])),
        8 => format!("container.id {} {}", random.of(&["=", "!="]), random.of(&["host", "0123456789ab"])),
        9 => format!("proc.name {} {}", random.of(&["=", "!="]), random.of(NAMES)),
        10 => format!("proc.name in ({}, {})", random.of(NAMES), random.of(NAMES)),
        11..=13 => format!("fd.name = {path}"),
        14 => format!("fd.name startswith \"{}\"", cut(random).0),
        15 => format!("fd.name endswith \"{}\"", cut(random).1),
        16 => format!(
            "fd.name contains \"{}\"",
            random.of(&[".ssh", "/.ssh/", "/.aws/cred", "id_rsa", "/", "etc"])
        ),
        17 => format!(
            "fd.name glob \"{}\"",
            random.of(&["/etc/*", "*/.ssh/*", "*.pem", "/home/*/.aws/*", "*log*", "/etc/s?adow", "/tmp/x"])
        ),
        18 => format!(
            "fd.name pmatch ({}, {})",
            random.of(PATHS),
            random.of(&["/etc/*/sshd", "/home/*/.ssh", "/var"])
        ),
        19 => format!(
            "fd.directory {}",
            random.of(&[
                "= /",
                "= /etc",
                "= /etc/pam.d",
                "startswith /etc",
                "startswith /root/.s",
                "pmatch (/etc)",
                "pmatch (/root/.ssh)"
            ])
        ),
        20 => format!(
            "fd.filename {} {}",
            random.of(&["=", "endswith", "startswith"]),
            random.of(&["shadow", "id_rsa", "x", ".pem"])
        ),
        21 => format!(
            "fd.nameraw {} \"{}\"",
            random.of(&["contains", "startswith", "glob"]),
            random.of(&["../", "..", "/etc", "*../*"])
        ),
        22 => format!(
            "fd.type in ({}, {})",
            random.of(&["ipv4", "unix", "file"]),
            random.of(&["ipv6", "netlink", "pipe"])
        ),
        23 => format!("fd.typechar {} {}", random.of(&["=", "!="]), random.of(&["4", "6", "u", "f", "n"])),
        24 => format!("fd.sockfamily = {}", random.of(&["ip", "unix"])),
        25 => format!("fd.l4proto {} {}", random.of(&["=", "!="]), random.of(&["tcp", "udp", "icmp", "raw"])),
        26 => format!(
            "{} in ({}, {})",
            random.of(&["fd.snet", "fd.rnet", "fd.net", "fd.lnet"]),
            random.of(&["\"10.0.0.0/8\"", "\"127.0.0.0/8\"", "\"::1\"", "\"0.0.0.0/0\""]),
            random.of(&["\"169.254.169.254\"", "\"192.168.0.0/24\"", "\"fd00::/8\""])
        ),
        27 => format!(
            "{} {} \"{}\"",
            random.of(&["fd.sip", "fd.rip", "fd.ip", "fd.cip"]),
            random.of(&["=", "!="]),
            random.of(ADDRESSES)
        ),
        28 => format!(
            "{} in ({}, {})",
            random.of(&["fd.sport", "fd.rport", "fd.port"]),
            random.of(&[22, 443]),
            random.of(&[53, 80])
        ),
        _ => format!("evt.arg.domain contains {}", random.of(&["AF_INET", "AF_UNIX", "AF_PACKET", "AF_"])),
    }
}

fn condition(random: &mut Random, depth: u32) -> String {
    if depth == 0 || random.chance(30) {
        let text = comparison(random);
        return if random.chance(15) { format!("not {text}") } else { text };
    }
    let count = 2 + random.below(2);
    let parts: Vec<_> = (0..count).map(|_| condition(random, depth - 1)).collect();
    let joined = format!("({})", parts.join(if random.chance(70) { " and " } else { " or " }));
    if random.chance(8) { format!("not {joined}") } else { joined }
}

/// An event: the record, and the facts as the kernel side finds them.
struct Case {
    event_type: EventType,
    record: Vec<u8>,
    ret: i64,
    comm: [u64; 2],
    container: Container,
    open: Option<usize>,
    raw_name: RawName,
    path: Option<Components>,
    kind: Option<usize>,
    protocol: Option<usize>,
    remote: Option<(usize, u16)>,
}

fn components(path: &str) -> Option<Components> {
    let mut components = Components::default();
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    // The kernel side does not look at a longer one.
    if names.len() > MAX_COMPONENTS {
        return None;
    }
    components.count = names.len() as u32;
    for (to, name) in components.items.iter_mut().zip(names.iter().rev()) {
        *to = component_of(name.as_bytes());
    }
    if let Some(last) = names.last() {
        let cut = last.len().saturating_sub(8);
        components.end = component_of(&last.as_bytes()[cut..]).first;
        components.end_length = last.len() as u64;
    }
    Some(components)
}

fn case(random: &mut Random, types: &[EventType]) -> Case {
    let event_type = random.of(types);
    let ret = random.of(&[0, 1, 2, 3, 9, -1, -2, -13, -115]);
    let name = random.of(NAMES);
    let mut record = RecordBuilder::new(event_type).comm(name).ret(ret);
    let comm = record.header.comm;
    let word = |at: usize| u64::from_le_bytes(comm[at..at + 8].try_into().unwrap());
    let id = "0123456789abcdef".repeat(4);
    let container = match random.below(3) {
        0 => {
            record = record
                .with(|header| header.cgroup_id = 7)
                .section(SectionKind::Cgroup, "/system.slice/a.service");
            Container::Host
        }
        1 => {
            let path = format!("/k8s.io/{id}");
            record = record.with(|header| header.cgroup_id = 8).section(SectionKind::Cgroup, path);
            Container::Container
        }
        _ => Container::Unknown,
    };
    let mut case = Case {
        event_type,
        record: Vec::new(),
        ret,
        comm: [word(0), word(8)],
        container,
        open: None,
        raw_name: RawName::Unknown,
        path: None,
        kind: None,
        protocol: None,
        remote: None,
    };
    record = match event_type {
        EventType::Open
        | EventType::Openat
        | EventType::Openat2
        | EventType::Creat
        | EventType::OpenByHandleAt => opened(random, &mut case, record),
        _ => connected(random, &mut case, record),
    };
    case.record = record.build();
    case
}

fn opened(random: &mut Random, case: &mut Case, record: RecordBuilder) -> RecordBuilder {
    let path = random.of(PATHS);
    let raw = if random.chance(30) { format!("/usr/..{path}") } else { path.to_owned() };
    let flags = random.of(&[0, 1, 2, 3])
        | if random.chance(30) { 0o1_000 } else { 0 }
        | if random.chance(30) { 0o100 } else { 0 };
    let mode = random.of(&[0, 0o644, 0o755]);
    let mut padded = raw.clone().into_bytes();
    padded.resize(raw.len().next_multiple_of(8) + 8, 0);
    let words: Vec<u64> =
        padded.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let dots = words.windows(2).any(|pair| has_dots(pair[0], pair[1]));
    let by_handle = case.event_type == EventType::OpenByHandleAt;
    case.raw_name = match dots {
        _ if by_handle => RawName::Unknown,
        true => RawName::Dots,
        false => RawName::Plain,
    };
    let mut record = if by_handle { record } else { record.section(SectionKind::PathArg, &raw) };
    record = match case.event_type {
        EventType::Open => record.args(&[0, flags, mode]),
        EventType::Openat => record.args(&[0, 0, flags, mode]),
        EventType::Creat => record.args(&[0, mode]),
        EventType::OpenByHandleAt => record.args(&[3, 0, flags]),
        _ => record.args(&[0, 0, 0, 24]).fixed(SectionKind::OpenHow, &OpenHow { flags, mode, resolve: 0 }),
    };
    let flags = if case.event_type == EventType::Creat { 0o1_101 } else { flags };
    let mode = if by_handle { 0 } else { mode };
    case.open = Some(classes::open(flags, mode));
    if case.ret >= 0 {
        case.path = components(path);
        let kind = if random.chance(20) { 0o040_755 } else { 0o100_644 };
        let file = FileInfo {
            open_flags: (flags & 0o2_000_003) as u32,
            mode: kind,
            fd: case.ret as i32,
            ..FileInfo::default()
        };
        record = record.section(SectionKind::Path, path).fixed(SectionKind::File, &file);
    }
    record
}

fn connected(random: &mut Random, case: &mut Case, record: RecordBuilder) -> RecordBuilder {
    let (connects, makes) = (
        case.event_type == EventType::Connect,
        matches!(case.event_type, EventType::Socket | EventType::Dup | EventType::Accept),
    );
    let family = random.of(&[1, 2, 10, 16, 17, 40]);
    let domain = match family {
        // The kernel makes a packet socket of socket(AF_INET, SOCK_PACKET).
        17 if random.chance(50) => 2,
        family => u64::from(family),
    };
    let record = record.args(&[if case.event_type == EventType::Socket { domain } else { 3 }]);
    if makes && case.ret < 0 && case.event_type != EventType::Accept {
        return record;
    }
    if case.event_type == EventType::Dup && random.chance(40) {
        case.kind = Some(KIND_FILE);
        let file = FileInfo { mode: random.of(&[0o100_644, 0o010_600]), fd: 3, ..FileInfo::default() };
        return record
            .section(SectionKind::Path, random.of(&["/etc/shadow", "pipe:[7]", "anon_inode:[eventfd]"]))
            .fixed(SectionKind::File, &file);
    }
    let (sock_type, proto) = random.of(&[(1, 6), (2, 17), (3, 1), (3, 6), (2, 1)]);
    let address: IpAddr = random.of(ADDRESSES).parse().unwrap();
    let port = random.of(&[22, 53, 80, 443, 8080]);
    let mut socket = SocketInfo {
        ino: 5,
        family,
        sock_type,
        protocol: proto,
        fd: 3,
        local_port: 4000,
        ..SocketInfo::default()
    };
    let fits = matches!((family, address), (2, IpAddr::V4(_)) | (10, _));
    let record = if fits && random.chance(80) {
        socket.flags |= SOCKET_CONNECTED;
        socket.remote_port = port;
        let class = match (family, address) {
            (2, IpAddr::V4(v4)) => {
                socket.remote_addr[..4].copy_from_slice(&v4.octets());
                address_v4(v4.into())
            }
            (_, address) => {
                let v6 = match address {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                };
                socket.remote_addr = v6.octets();
                let bits = u128::from(v6);
                address_v6((bits >> 64) as u64, bits as u64)
            }
        };
        if connects {
            case.remote = Some((class, port));
        }
        record
    } else if let IpAddr::V4(v4) = address {
        let mut sockaddr = vec![2, 0];
        sockaddr.extend(port.to_be_bytes());
        sockaddr.extend(v4.octets());
        sockaddr.extend([0; 8]);
        record.section(SectionKind::Sockaddr, sockaddr)
    } else {
        record
    };
    case.kind = Some(kind_of_family(family));
    case.protocol = Some(protocol(family, sock_type, proto));
    record.fixed(SectionKind::Socket, &socket)
}

/// As the kernel's programs ask.
fn passes(filter: &Filter, tables: &FilterTables, case: &Case) -> bool {
    let (keys, ty) = (&tables.keys, u32::from(case.event_type.id()));
    let mut clauses = filter.all & filter.of_result(case.ret);
    clauses &= filter.of_name(keys, ty, case.comm);
    clauses &= filter.of_container(case.container);
    if let Some(class) = case.open {
        clauses &= filter.of_open(class) & filter.of_raw_name(case.raw_name);
        if let Some(path) = &case.path {
            clauses &= filter.of_path(keys, ty, path);
        }
    }
    if let Some(class) = case.kind {
        clauses &= filter.of_kind(class);
    }
    if let Some(class) = case.protocol {
        clauses &= filter.of_protocol(class);
    }
    if let Some((class, port)) = case.remote {
        clauses &= filter.of_address(class) & filter.of_port(keys, ty, port);
    }
    clauses != 0
}

#[test]
fn what_a_rule_matches_passes_the_filter() {
    let types = [
        EventType::Open,
        EventType::Openat,
        EventType::Openat2,
        EventType::Creat,
        EventType::OpenByHandleAt,
        EventType::Connect,
        EventType::Socket,
        EventType::Dup,
        EventType::Accept,
        EventType::Sendto,
    ];
    let options = LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() };
    let (mut matched, mut dropped) = (0u64, 0u64);
    for seed in 0..SETS {
        let mut random = Random(seed);
        let all: Vec<_> = types.iter().map(|ty| ty.name()).collect();
        let text: String = (0..1 + random.below(3))
            .map(|index| {
                let condition = condition(&mut random, 3);
                format!(
                    "- rule: r{index}\n  desc: d\n  output: o\n  priority: INFO\n  warn_evttypes: false\n  condition: |\n    evt.type in ({}) and {condition}\n",
                    all.join(", ")
                )
            })
            .collect();
        let loaded = load(&[SourceFile { name: "r".into(), text: text.clone() }], &options);
        let set = loaded.rules.unwrap_or_else(|| panic!("{:?}\n{text}", loaded.diagnostics));
        let plan = of(&set, true);
        let tables = FilterTables::new(&plan.filters);
        let limits =
            EnrichOptions { max_processes: 16, max_cgroups: 16, max_sockets: 16, ..EnrichOptions::default() };
        let (mut enricher, mut scratch) = (Enricher::new(limits), Scratch::default());
        for number in 0..EVENTS {
            let case = case(&mut random, &types);
            let event = decode(&case.record).expect("a record that the kernel could have written");
            let view = enricher.observe(&event);
            let mut by = Vec::new();
            set.evaluate(&view, &mut scratch, |rule| by.push(rule.name.clone()));
            enricher.settle(&event);
            let passes = !plan.filters.contains_key(&case.event_type)
                || passes(&tables.filters[usize::from(case.event_type.id())], &tables, &case);
            // A type that no rule can match is not collected at all.
            let passes = passes && plan.wants(case.event_type);
            matched += u64::from(!by.is_empty());
            dropped += u64::from(!passes);
            assert!(
                passes || by.is_empty(),
                "set {seed}, event {number} ({:?} {}): matched by {by:?} and dropped\n{text}",
                case.event_type,
                case.ret,
            );
        }
    }
    // Else the test would show nothing.
    assert!(matched > 10_000 && dropped > 10_000, "{matched} matched, {dropped} dropped");
}
