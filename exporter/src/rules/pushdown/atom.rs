//! One comparison: what the kernel can tell about whether it holds.
//!
//! For each class of a fact there are two questions: can the comparison be true for an event of that class, and
//! can it be false? Where the answer is not certain it is yes. That is all there is to the proof that nothing is
//! lost, so each function here says why it may say no.

use std::collections::BTreeSet;

use exporter_common::{
    event_type::EventType as T,
    filter::classes::{
        ADDRESS_V4, ADDRESS_V6, ADDRESS_V6_LOOPBACK, ADDRESS_V6_UNSPECIFIED, KIND_FILE, KIND_INET,
        KIND_INET6, KIND_NETLINK, KIND_PACKET, KIND_SOCKET, KIND_UNIX, NETWORKS_V4, OPEN_CREAT, OPEN_EXEC,
        OPEN_READ, OPEN_TRUNC, OPEN_WRITE, PROTOCOL_TCP, PROTOCOL_UDP, RESULT_FAILURE, RESULT_SUCCESS,
        SINGLE_RESULTS,
    },
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    clause::{Clause, Clauses, Dim},
    path::PathKey,
};
use crate::{
    fields::{FieldArg, FieldRef, Scheme, Value},
    glob::Simple,
    rules::{
        constant::{Number, ValueSet},
        semantics,
        typed::{Check, Shape, Term, Test},
    },
};

/// What must hold of an event of this type for which the comparison holds, or (`negated`) does not.
pub(super) fn of(check: &Check, negated: bool, scheme: &Scheme, ty: T) -> Clauses {
    let Term::Field(field) = &check.term else { return Clauses::always() };
    if matches!(check.test, Test::Term(..)) {
        return Clauses::always();
    }
    if let Some((dim, can)) = classes(check, field, scheme, ty) {
        let allowed = (0..dim.classes())
            .filter(|class| if negated { can(*class).be_false } else { can(*class).be_true })
            .fold(0, |set, class| set | 1 << class);
        return Clauses::one(Clause::classes(dim, allowed));
    }
    // Of sets only membership is checked: what a table lets through by a collision must be something more.
    if negated {
        Clauses::always()
    } else {
        members(check, field, scheme, ty).unwrap_or_else(Clauses::always)
    }
}

/// Whether a comparison can hold, and fail, for events of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Can {
    be_true: bool,
    be_false: bool,
}

impl Can {
    const BOTH: Can = Can { be_true: true, be_false: true };

    fn only(value: bool) -> Can {
        Can { be_true: value, be_false: !value }
    }

    /// It holds for one of several values, and it is not known which.
    fn one_of(values: impl Iterator<Item = bool>) -> Can {
        values.fold(Can { be_true: false, be_false: false }, |can, value| Can {
            be_true: can.be_true || value,
            be_false: can.be_false || !value,
        })
    }
}

type Classes<'c> = (Dim, Box<dyn Fn(usize) -> Can + 'c>);

/// The fact that a comparison is about, if it has few classes.
fn classes<'c>(check: &'c Check, field: &FieldRef, scheme: &Scheme, ty: T) -> Option<Classes<'c>> {
    let name = scheme.def(field.id).name;
    let holds = |value: &Value<'_>| check.test.holds(check.ty, value);
    // A field without a value makes every comparison false.
    let exactly = move |value: Option<Value<'static>>| Can::only(value.is_some_and(|value| holds(&value)));
    match name {
        "evt.rawres" | "evt.res" | "evt.failed" | "fd.num" => {
            let which = match name {
                "evt.rawres" => Outcome::Number,
                "evt.res" => Outcome::Text,
                "evt.failed" => Outcome::Failed,
                _ if returns_descriptor(ty) => Outcome::Descriptor,
                _ => return None,
            };
            Some((Dim::Result, Box::new(move |class| outcome(check, which, class))))
        }
        "evt.is_open_read" | "evt.is_open_write" | "evt.is_open_exec" if opens(ty) => {
            let bit = match name {
                "evt.is_open_read" => OPEN_READ,
                "evt.is_open_write" => OPEN_WRITE,
                _ => OPEN_EXEC,
            };
            Some((Dim::Open, Box::new(move |class| exactly(Some(Value::Bool(class & bit != 0))))))
        }
        "evt.arg" if opens(ty) && ty != T::Creat && is_arg(field, "flags") => {
            let bit = match &check.test {
                // No other name of a flag contains these.
                Test::Contains(text) if **text == *b"O_TRUNC" => OPEN_TRUNC,
                Test::Contains(text) if **text == *b"O_CREAT" => OPEN_CREAT,
                _ => return None,
            };
            Some((Dim::Open, Box::new(move |class| Can::only(class & bit != 0))))
        }
        "evt.arg" if ty == T::Socket && is_arg(field, "domain") => Some((
            Dim::Kind,
            Box::new(move |class| match class {
                KIND_INET => exactly(Some(Value::str(b"AF_INET"))),
                KIND_INET6 => exactly(Some(Value::str(b"AF_INET6"))),
                KIND_UNIX => exactly(Some(Value::str(b"AF_UNIX"))),
                KIND_NETLINK => exactly(Some(Value::str(b"AF_NETLINK"))),
                // The kernel makes one of socket(AF_INET, SOCK_PACKET), too.
                KIND_PACKET => Can::one_of(
                    [&b"AF_PACKET"[..], b"AF_INET"].into_iter().map(|name| holds(&Value::str(name))),
                ),
                _ => Can::BOTH,
            }),
        )),
        "container.id" => Some((
            Dim::Container,
            Box::new(move |class| match (class, &check.test) {
                (0, _) => exactly(Some(Value::str(b"host"))),
                // The id of a container is 12 characters, which "host" is not.
                (_, Test::In(ValueSet::Strings(ids))) if ids.iter().all(|id| **id == *b"host") => {
                    Can::only(false)
                }
                _ => Can::BOTH,
            }),
        )),
        "fd.nameraw" if opens(ty) => Some((
            Dim::RawName,
            Box::new(move |class| match class {
                0 => Can { be_true: !needs_dots(&check.test), be_false: true },
                _ => Can::BOTH,
            }),
        )),
        "fd.type" | "fd.typechar" | "fd.sockfamily" if has_kind(ty) => {
            let values = match name {
                "fd.type" => TYPES,
                "fd.typechar" => TYPECHARS,
                _ => FAMILIES,
            };
            Some((Dim::Kind, Box::new(move |class| kind(check, values, class))))
        }
        "fd.l4proto" if has_kind(ty) => Some((
            Dim::Protocol,
            Box::new(move |class| match class {
                PROTOCOL_TCP => exactly(Some(Value::str(b"tcp"))),
                PROTOCOL_UDP => exactly(Some(Value::str(b"udp"))),
                _ => Can::BOTH,
            }),
        )),
        "fd.sip" | "fd.snet" | "fd.rip" | "fd.rnet" if ty == T::Connect => {
            Some((Dim::Address, Box::new(move |class| address(&check.test, class, false))))
        }
        // The server's address or the client's: of the client's nothing is known here.
        "fd.ip" | "fd.net" if ty == T::Connect && check.ty.shape == Shape::Any => {
            Some((Dim::Address, Box::new(move |class| address(&check.test, class, true))))
        }
        _ => None,
    }
}

/// A comparison with a set of texts or numbers that are looked up.
fn members(check: &Check, field: &FieldRef, scheme: &Scheme, ty: T) -> Option<Clauses> {
    let name = scheme.def(field.id).name;
    match (name, &check.test) {
        ("proc.name", Test::In(ValueSet::Strings(names))) => {
            let names = Some(names.clone());
            Some(Clauses::one(Clause { names, ..Clause::default() }))
        }
        ("fd.sport" | "fd.rport", Test::In(ValueSet::Numbers(numbers))) if ty == T::Connect => {
            let port = |number: &Number| match number {
                Number::Int(port) => u16::try_from(*port).ok(),
                // Never one that is equal.
                Number::Double(_) => None,
            };
            let ports = Some(numbers.iter().filter_map(port).collect());
            Some(Clauses::one(Clause { ports, ..Clause::default() }))
        }
        ("fd.name" | "fd.directory" | "fd.filename", test) if opens(ty) => {
            let mut paths = BTreeSet::new();
            pattern(name, test, &mut paths)?;
            Some(Clauses::one(Clause { paths: Some(paths), ..Clause::default() }))
        }
        _ => None,
    }
}

/// Adds the patterns of paths of which one matches if the test holds; `None` if every path may.
fn pattern(field: &str, test: &Test, paths: &mut BTreeSet<PathKey>) -> Option<()> {
    let mut each = |keys: Vec<Option<PathKey>>| -> Option<()> {
        for key in keys {
            paths.insert(key?);
        }
        Some(())
    };
    match (field, test) {
        (_, Test::Any(tests)) => tests.iter().try_for_each(|test| pattern(field, test, paths)),
        ("fd.name", Test::In(ValueSet::Strings(set))) => {
            each(set.iter().map(|text| PathKey::exact(text)).collect())
        }
        ("fd.name", Test::Startswith(text)) => each(vec![PathKey::beginning(text)]),
        ("fd.name", Test::Endswith(text)) => each(vec![PathKey::end(text)]),
        ("fd.name", Test::Contains(text)) => each(vec![PathKey::containing(text)]),
        ("fd.name", Test::Glob(glob)) => match glob.simple() {
            Some(Simple::Exact(text)) => each(vec![PathKey::exact(&text)]),
            Some(Simple::Prefix(text)) => each(vec![PathKey::beginning(&text)]),
            Some(Simple::Suffix(text)) => each(vec![PathKey::end(&text)]),
            Some(Simple::Contains(text)) => each(vec![PathKey::containing(&text)]),
            None => match glob.literal_ends() {
                Some((prefix, suffix)) => {
                    each(vec![PathKey::beginning(&prefix).or_else(|| PathKey::end(&suffix))])
                }
                None => None,
            },
        },
        ("fd.name" | "fd.directory", Test::Pmatch(globs)) => {
            // Below a folder that is below it.
            each(globs.iter().map(|glob| PathKey::below(&glob.literal_components())).collect())
        }
        // Of a directory that is opened, fd.directory is its own path.
        ("fd.directory", Test::In(ValueSet::Strings(set))) => {
            each(set.iter().flat_map(|text| [PathKey::directory(text), PathKey::exact(text)]).collect())
        }
        // A path begins as its folder does.
        ("fd.directory", Test::Startswith(text)) => each(vec![PathKey::beginning(text)]),
        ("fd.filename", Test::In(ValueSet::Strings(set))) => {
            each(set.iter().map(|text| PathKey::filename(text)).collect())
        }
        ("fd.filename", Test::Endswith(text)) => each(vec![PathKey::end(text)]),
        _ => None,
    }
}

/// The open family.
fn opens(ty: T) -> bool {
    matches!(ty, T::Open | T::Openat | T::Openat2 | T::Creat | T::OpenByHandleAt)
}

/// Calls of which `fd.num` is the result, or -1.
fn returns_descriptor(ty: T) -> bool {
    opens(ty)
        || matches!(ty, T::Accept | T::Accept4 | T::Socket | T::Dup | T::Dup2 | T::Dup3 | T::MemfdCreate)
        || matches!(ty, T::Bpf | T::Userfaultfd | T::IoUringSetup)
}

/// Calls of which the kernel side tells the kind of descriptor.
fn has_kind(ty: T) -> bool {
    matches!(ty, T::Connect | T::Accept | T::Accept4 | T::Bind | T::Listen | T::Socket)
        || matches!(ty, T::Sendto | T::Sendmsg | T::Recvfrom | T::Recvmsg | T::Dup | T::Dup2 | T::Dup3)
}

fn is_arg(field: &FieldRef, name: &str) -> bool {
    matches!(&field.arg, FieldArg::Key(key) if **key == *name)
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Number,
    Text,
    Failed,
    Descriptor,
}

/// A comparison of the result, for results of a class.
fn outcome(check: &Check, which: Outcome, class: usize) -> Can {
    let holds = |value: Value<'_>| check.test.holds(check.ty, &value);
    let single = SINGLE_RESULTS.get(class).copied();
    let failed = single.map_or(class == RESULT_FAILURE, |ret| ret < 0);
    match (which, single) {
        (Outcome::Failed, _) => Can::only(holds(Value::Bool(failed))),
        (Outcome::Text, _) if !failed => Can::only(holds(Value::str(b"SUCCESS"))),
        (Outcome::Text, Some(ret)) => Can::only(holds(Value::str(match ret {
            -2 => b"ENOENT",
            -13 => b"EACCES",
            -115 => b"EINPROGRESS",
            _ => return Can::BOTH,
        }))),
        (Outcome::Text, None) => match &check.test {
            // What failed is not called so.
            Test::In(ValueSet::Strings(set)) if set.iter().all(|text| **text == *b"SUCCESS") => {
                Can::only(false)
            }
            _ => Can::BOTH,
        },
        (Outcome::Descriptor, _) if failed => Can::only(holds(Value::Int(-1))),
        (Outcome::Number | Outcome::Descriptor, Some(ret)) => Can::only(holds(Value::Int(ret))),
        (Outcome::Number | Outcome::Descriptor, None) => {
            let (low, high) = if class == RESULT_SUCCESS { (3, i64::MAX) } else { (i64::MIN, -1) };
            range(&check.test, low, high)
        }
    }
}

/// A comparison of a number of which only a range is known.
fn range(test: &Test, low: i64, high: i64) -> Can {
    match test {
        Test::Exists => Can::only(true),
        Test::In(ValueSet::Numbers(set)) => {
            let within = |number: &Number| match number {
                Number::Int(number) => (i128::from(low)..=i128::from(high)).contains(number),
                Number::Double(_) => true,
            };
            Can { be_true: set.iter().any(within), be_false: true }
        }
        // What holds at neither end holds nowhere between, and likewise what fails.
        Test::Compare(operator, limit) => Can::one_of(
            [low, high].into_iter().map(|end| semantics::ordered(*operator, Number::Int(end.into()), *limit)),
        ),
        Test::Any(tests) => {
            let all: Vec<Can> = tests.iter().map(|test| range(test, low, high)).collect();
            Can { be_true: all.iter().any(|can| can.be_true), be_false: all.iter().all(|can| can.be_false) }
        }
        _ => Can::BOTH,
    }
}

/// Whether the test can hold only for a text in which two dots are next to each other.
fn needs_dots(test: &Test) -> bool {
    let dots = |text: &[u8]| text.windows(2).any(|pair| pair == b"..");
    match test {
        Test::Contains(text) | Test::Icontains(text) | Test::Startswith(text) | Test::Endswith(text) => {
            dots(text)
        }
        Test::In(ValueSet::Strings(set)) => set.iter().all(|text| dots(text)),
        Test::Glob(glob) => glob.has_literal(b".."),
        Test::Any(tests) => tests.iter().all(needs_dots),
        _ => false,
    }
}

/// What a field about the kind of descriptor can be: for an IP socket, a unix socket, a netlink socket, another
/// socket, a file. `None`: no value.
type Kinds = [&'static [Option<&'static str>]; 5];

/// An IPv6 socket can speak IPv4, and one that listens has a character of its own.
const TYPES: Kinds = [
    &[Some("ipv4"), Some("ipv6")],
    &[Some("unix")],
    &[Some("netlink")],
    &[Some("<UNKNOWN>")],
    &[
        Some("file"),
        Some("directory"),
        Some("pipe"),
        Some("event"),
        Some("signalfd"),
        Some("eventpoll"),
        Some("inotify"),
        Some("timerfd"),
        Some("bpf"),
        Some("userfaultfd"),
        Some("io_uring"),
        Some("memfd"),
        Some("pidfd"),
        Some("<UNKNOWN>"),
    ],
];
const TYPECHARS: Kinds = [
    &[Some("4"), Some("6"), Some("2"), Some("3")],
    &[Some("u")],
    &[Some("n")],
    &[Some("o")],
    &[
        Some("f"),
        Some("d"),
        Some("p"),
        Some("e"),
        Some("s"),
        Some("l"),
        Some("i"),
        Some("t"),
        Some("b"),
        Some("u"),
        Some("r"),
        Some("m"),
        Some("P"),
        Some("o"),
    ],
];
const FAMILIES: Kinds = [&[Some("ip")], &[Some("unix")], &[None], &[None], &[None]];

fn kind(check: &Check, values: Kinds, class: usize) -> Can {
    let of = match class {
        KIND_INET | KIND_INET6 => 0,
        KIND_UNIX => 1,
        KIND_NETLINK => 2,
        KIND_PACKET | KIND_SOCKET => 3,
        KIND_FILE => 4,
        _ => return Can::BOTH,
    };
    let possible = values.get(of).copied().unwrap_or_default();
    Can::one_of(
        possible.iter().map(|value| {
            value.is_some_and(|value| check.test.holds(check.ty, &Value::str(value.as_bytes())))
        }),
    )
}

/// A comparison of the remote address, or (`either`) of one of two addresses of which it is one.
fn address(test: &Test, class: usize, either: bool) -> Can {
    let Test::In(ValueSet::Nets(nets)) = test else { return Can::BOTH };
    let special = |net: &Ipv4Net| {
        let known = |(address, length): (u32, u32)| {
            Ipv4Net::new(address.into(), length as u8).is_ok_and(|known| known.contains(net))
        };
        NETWORKS_V4.into_iter().any(known)
    };
    let v4 = nets.iter().filter_map(|net| match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    });
    let v6 = nets.iter().filter_map(|net| match net {
        IpNet::V6(net) => Some(*net),
        IpNet::V4(_) => None,
    });
    let one = |text: &str| text.parse::<Ipv6Net>().ok();
    let (some, all) = match class {
        ADDRESS_V4 => {
            // Not in one of the networks that have classes of their own.
            let nets: Vec<_> = v4.collect();
            (nets.iter().any(|net| !special(net)), nets.iter().any(|net| net.prefix_len() == 0))
        }
        ADDRESS_V6_UNSPECIFIED | ADDRESS_V6_LOOPBACK => {
            let own = one(if class == ADDRESS_V6_LOOPBACK { "::1/128" } else { "::/128" });
            let within = v6.into_iter().any(|net| own.is_some_and(|own| net.contains(&own)));
            (within, within)
        }
        ADDRESS_V6 => {
            let nets: Vec<_> = v6.collect();
            (!nets.is_empty(), nets.iter().any(|net| net.prefix_len() == 0))
        }
        class => match NETWORKS_V4
            .get(class)
            .map(|(address, length)| Ipv4Net::new((*address).into(), *length as u8))
        {
            Some(Ok(own)) => {
                let nets: Vec<_> = v4.collect();
                (
                    nets.iter().any(|net| net.contains(&own) || own.contains(net)),
                    nets.iter().any(|net| net.contains(&own)),
                )
            }
            _ => return Can::BOTH,
        },
    };
    Can { be_true: some || either, be_false: !all }
}
