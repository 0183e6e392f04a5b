//! Names that processes learned of addresses: what the answers of name servers said, for a while.
//!
//! # Trust
//! An answer is what somebody sent from port 53 to a process that asked, or pretended to. Whoever controls a workload
//! can send it any answer. So what is learned counts only in the network namespace in which the answer came, for a
//! bounded time; and a name that the host itself resolves (or has in `/etc/hosts`) is never learned over: see
//! [`super::View::names_at`]. A rule that lets connections pass by a name only a workload's answers vouch for can be
//! deceived by that workload.
//!
//! Bytes are hostile: every length is checked, compression pointers only go back, and names hold only the characters
//! of host names. Never a look-up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::lru::LruMap;

/// The port of name servers.
pub const PORT: u16 = 53;

/// Names kept of one address.
const MAX_NAMES: usize = 8;
/// Names of one answer: the one asked for and its aliases.
const MAX_CHAIN: usize = 8;
/// Resource records looked at in one answer.
const MAX_RECORDS: usize = 64;
/// Longest name as text.
const MAX_NAME: usize = 253;
/// A program goes on using an address after its answer's time, so that names live at least …
const MIN_TTL_NS: u64 = 60_000_000_000;
/// … and at most this long.
const MAX_TTL_NS: u64 = 3_600_000_000_000;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

#[derive(Debug)]
struct Learned {
    name: Box<str>,
    until_ns: u64,
}

/// Learned names by network namespace and address.
#[derive(Debug)]
pub struct Dns {
    known: LruMap<(u32, IpAddr), Vec<Learned>>,
    invalid: u64,
    dropped: u64,
}

impl Dns {
    /// At most `bound` addresses.
    pub fn new(bound: usize) -> Dns {
        Dns { known: LruMap::new(bound), invalid: 0, dropped: 0 }
    }

    /// Takes in an answer that came from a name server's port to a process of this network namespace. `data` may be a
    /// prefix of it.
    pub fn learn(&mut self, net_ns: u32, data: &[u8], now_ns: u64) {
        let Some(answer) = Answer::parse(data) else {
            self.invalid += 1;
            return;
        };
        for (address, ttl) in answer.addresses {
            let ttl_ns = (u64::from(ttl) * 1_000_000_000).clamp(MIN_TTL_NS, MAX_TTL_NS);
            let until_ns = now_ns.saturating_add(ttl_ns);
            if self.known.get((net_ns, address)).is_none() {
                self.known.insert((net_ns, address), Vec::new());
            }
            let Some(names) = self.known.get((net_ns, address)) else { continue };
            names.retain(|known| known.until_ns > now_ns && !answer.names.contains(&known.name));
            names.extend(answer.names.iter().map(|name| Learned { name: name.clone(), until_ns }));
            let beyond = names.len().saturating_sub(MAX_NAMES);
            names.drain(..beyond);
            self.dropped += beyond as u64;
        }
    }

    /// The names that an address had lately, as processes of this network namespace were told.
    pub fn names(&self, net_ns: u32, address: IpAddr, now_ns: u64) -> impl Iterator<Item = &str> {
        let known = self.known.peek((net_ns, address)).map_or(&[][..], Vec::as_slice);
        known.iter().filter(move |known| known.until_ns > now_ns).map(|known| &*known.name)
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Addresses, and names of an address, dropped because of the bounds.
    pub fn evicted(&self) -> u64 {
        self.known.evicted() + self.dropped
    }

    /// What came from port 53 and was no answer that can be read.
    pub fn invalid(&self) -> u64 {
        self.invalid
    }
}

/// What an answer says: the name asked for with its aliases, and their addresses with the seconds they hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    names: Vec<Box<str>>,
    addresses: Vec<(IpAddr, u32)>,
}

impl Answer {
    /// `None` if it is no answer to one question. Of one that was cut, what is whole. One without addresses (an
    /// error, or another kind of question) says nothing.
    fn parse(message: &[u8]) -> Option<Answer> {
        let mut reader = Reader { message, at: 2 };
        let flags = reader.u16()?;
        let (questions, records) = (reader.u16()?, reader.u16()?);
        reader.skip(4)?;
        // A response to a standard query.
        if flags & 0xf800 != 0x8000 || questions != 1 {
            return None;
        }
        let mut answer = Answer::default();
        let name = reader.name()?;
        reader.skip(4)?;
        if flags & 0xf != 0 {
            return Some(answer);
        }
        // A name that no host can have is no error: services have such.
        let Some(name) = name else { return Some(answer) };
        answer.names.push(name);
        for _ in 0..usize::from(records).min(MAX_RECORDS) {
            if reader.record(&mut answer).is_none() {
                break;
            }
        }
        Some(answer)
    }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip(&mut self, len: usize) -> Option<()> {
        self.at = self.at.checked_add(len).filter(|at| *at <= self.message.len())?;
        Some(())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.message.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn record(&mut self, answer: &mut Answer) -> Option<()> {
        let owner = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        let ttl = u32::from_be_bytes(self.take()?);
        let len = usize::from(self.u16()?);
        let end = self.at.checked_add(len).filter(|end| *end <= self.message.len())?;
        // What was not asked for is not believed.
        if class == CLASS_IN && owner.is_some_and(|owner| answer.names.contains(&owner)) {
            match (kind, len) {
                (TYPE_A, 4) => answer.addresses.push((Ipv4Addr::from(self.take::<4>()?).into(), ttl)),
                (TYPE_AAAA, 16) => answer.addresses.push((Ipv6Addr::from(self.take::<16>()?).into(), ttl)),
                (TYPE_CNAME, _) => {
                    let alias = self.name()?.filter(|alias| !answer.names.contains(alias));
                    answer.names.extend(alias.filter(|_| answer.names.len() < MAX_CHAIN));
                }
                _ => {}
            }
        }
        self.at = end;
        Some(())
    }

    /// A name in lower case, `Some(None)` if it is none that a host can have; `None` if it cannot be read.
    fn name(&mut self) -> Option<Option<Box<str>>> {
        let mut text = String::new();
        let mut valid = true;
        let (mut at, mut after) = (self.at, None);
        // A pointer goes back, each further than the one before: this ends.
        let mut limit = at;
        loop {
            let len = usize::from(*self.message.get(at)?);
            match len {
                0 => break,
                1..=63 => {
                    let label = self.message.get(at + 1..at + 1 + len)?;
                    valid &=
                        label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                    if text.len() > 2 * MAX_NAME {
                        return None;
                    }
                    at += 1 + len;
                }
                0xc0.. => {
                    let to = (len & 0x3f) << 8 | usize::from(*self.message.get(at + 1)?);
                    after.get_or_insert(at + 2);
                    if to >= limit {
                        return None;
                    }
                    (at, limit) = (to, to);
                }
                _ => return None,
            }
        }
        self.at = after.unwrap_or(at + 1);
        let valid = valid && !text.is_empty() && text.len() <= MAX_NAME;
        Some(valid.then(|| text.into_boxed_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A name as labels.
    fn labels(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    /// A record: owner, type, seconds, data.
    type Record<'a> = (&'a [u8], u16, u32, &'a [u8]);

    fn message(flags: u16, question: &[u8], records: &[Record<'_>]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34];
        for number in [flags, 1, records.len() as u16, 0, 0] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(question);
        bytes.extend([0, 1, 0, 1]);
        for (owner, kind, ttl, data) in records {
            bytes.extend(*owner);
            bytes.extend(kind.to_be_bytes());
            bytes.extend(CLASS_IN.to_be_bytes());
            bytes.extend(ttl.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    /// The name in the question, by its place.
    const QUESTION: &[u8] = &[0xc0, 12];
    const ANSWER: u16 = 0x8180;

    /// `name,name address/ttl,…`, or why there is nothing.
    fn shown(message: &[u8]) -> String {
        match Answer::parse(message) {
            None => "invalid".into(),
            Some(Answer { names, addresses }) => {
                let addresses: Vec<_> = addresses.iter().map(|(ip, ttl)| format!("{ip}/{ttl}")).collect();
                format!("{} {}", names.join(","), addresses.join(","))
            }
        }
    }

    #[test]
    fn answers_are_read() {
        let www = labels("WWW.Example.com");
        let cdn = labels("cdn.example.net");
        let v6 = Ipv6Addr::LOCALHOST.octets();
        let a: Record<'_> = (QUESTION, TYPE_A, 30, &[192, 0, 2, 1]);
        let rows: &[(&str, Vec<u8>, &str)] = &[
            ("an address", message(ANSWER, &www, &[a]), "www.example.com 192.0.2.1/30"),
            (
                "two",
                message(ANSWER, &www, &[a, (QUESTION, TYPE_AAAA, 5, &v6)]),
                "www.example.com 192.0.2.1/30,::1/5",
            ),
            (
                "an alias",
                message(ANSWER, &www, &[(QUESTION, TYPE_CNAME, 9, &cdn), (&cdn, TYPE_A, 7, &[192, 0, 2, 2])]),
                "www.example.com,cdn.example.net 192.0.2.2/7",
            ),
            (
                "not asked for",
                message(ANSWER, &www, &[(&cdn, TYPE_A, 7, &[192, 0, 2, 2])]),
                "www.example.com ",
            ),
            ("wrong length", message(ANSWER, &www, &[(QUESTION, TYPE_A, 7, &[1, 2, 3])]), "www.example.com "),
            ("no such name", message(ANSWER | 3, &www, &[a]), " "),
            ("a question", message(0x0100, &www, &[a]), "invalid"),
            ("a status", message(0x9180, &www, &[a]), "invalid"),
            ("no host's name", message(ANSWER, &labels("a b.c"), &[a]), " "),
            ("the root", message(ANSWER, &labels(""), &[a]), " "),
            ("a pointer to itself", message(ANSWER, QUESTION, &[a]), "invalid"),
            ("a pointer ahead", message(ANSWER, &[0xc0, 200], &[a]), "invalid"),
            ("a label of 64", message(ANSWER, &[64], &[a]), "invalid"),
            ("nothing", Vec::new(), "invalid"),
            ("half a record", message(ANSWER, &www, &[a, a])[..60].to_vec(), "www.example.com 192.0.2.1/30"),
        ];
        for (what, bytes, expected) in rows {
            assert_eq!(shown(bytes), *expected, "{what}");
        }
    }

    fn names(dns: &Dns, net_ns: u32, now_ns: u64) -> Vec<&str> {
        dns.names(net_ns, [192, 0, 2, 1].into(), now_ns).collect()
    }

    #[test]
    fn names_hold_where_and_while_they_were_told() {
        let answer =
            |name: &str, ttl| message(ANSWER, &labels(name), &[(QUESTION, TYPE_A, ttl, &[192, 0, 2, 1])]);
        let mut dns = Dns::new(4);
        dns.learn(7, &answer("a.example", 0), SECOND);
        assert_eq!(names(&dns, 7, 60 * SECOND), ["a.example"], "a minute at least");
        assert_eq!(names(&dns, 7, 61 * SECOND), [""; 0]);
        assert_eq!(names(&dns, 8, 2 * SECOND), [""; 0], "in another network");
        dns.learn(7, &answer("b.example", u32::MAX), 2 * SECOND);
        assert_eq!(names(&dns, 7, 3 * SECOND), ["a.example", "b.example"]);
        assert_eq!(names(&dns, 7, 3601 * SECOND), ["b.example"]);
        assert_eq!(names(&dns, 7, 3602 * SECOND), [""; 0], "an hour at most");
        dns.learn(7, &answer("b.example", 90), 3 * SECOND);
        assert_eq!(names(&dns, 7, 92 * SECOND), ["b.example"], "the newest answer counts");
        assert_eq!((names(&dns, 7, 93 * SECOND), dns.evicted(), dns.invalid()), (vec![], 0, 0));
        // Bounds.
        for number in 0..100 {
            dns.learn(7, &answer(&format!("n{number}"), 90), 4 * SECOND);
        }
        assert_eq!(names(&dns, 7, 5 * SECOND).len(), MAX_NAMES);
        assert_eq!(names(&dns, 7, 5 * SECOND).last(), Some(&"n99"));
        for net_ns in 0..100 {
            dns.learn(net_ns, &answer("x", 90), 4 * SECOND);
        }
        assert!(dns.len() <= 4 && dns.evicted() > 90, "{} {}", dns.len(), dns.evicted());
        dns.learn(7, b"x", 0);
        assert_eq!(dns.invalid(), 1);
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_no_danger(
            mut bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0..4u8, 0xc0..0xc2u8], 0..300),
            as_answer: bool,
        ) {
            if as_answer && bytes.len() >= 12 {
                bytes[2..6].copy_from_slice(&[0x81, 0x80, 0, 1]);
            }
            if let Some(answer) = Answer::parse(&bytes) {
                prop_assert!(answer.names.len() <= MAX_CHAIN && answer.addresses.len() <= MAX_RECORDS);
                prop_assert!(answer.names.iter().all(|name| (1..=MAX_NAME).contains(&name.len())));
            }
        }

        #[test]
        fn an_answer_is_read_whole_or_as_a_prefix(
            name in "[a-z0-9]{1,20}(\\.[a-z0-9-]{1,20}){0,4}",
            addresses in proptest::collection::vec(any::<[u8; 4]>(), 0..20),
            cut in 0..400usize,
        ) {
            let records: Vec<Record<'_>> =
                addresses.iter().map(|address| (QUESTION, TYPE_A, 60, &address[..])).collect();
            let bytes = message(ANSWER, &labels(&name), &records);
            let answer = Answer::parse(&bytes).expect("an answer");
            prop_assert_eq!(answer.names, vec![name.into_boxed_str()]);
            let read: Vec<IpAddr> = answer.addresses.iter().map(|(address, _)| *address).collect();
            let sent: Vec<IpAddr> = addresses.iter().map(|address| IpAddr::from(*address)).collect();
            prop_assert_eq!(&read, &sent);
            if let Some(part) = Answer::parse(&bytes[..cut.min(bytes.len())]) {
                prop_assert!(part.addresses.iter().map(|(ip, _)| ip).eq(sent.iter().take(part.addresses.len())));
            }
        }
    }
}
