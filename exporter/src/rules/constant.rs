//! Right-hand sides: text from a rule becomes a constant of the field's type, once, at load.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use crate::fields::{FieldType, Value};

/// A number of any of the numeric types: they compare with each other without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Number {
    Int(i128),
    /// The bits of an `f64`.
    Double(u64),
}

/// The constants of an equality.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueSet {
    /// Strings and buffers.
    Strings(BTreeSet<Box<[u8]>>),
    Numbers(BTreeSet<Number>),
    Bools(BTreeSet<bool>),
    /// An address is a network of one.
    Nets(BTreeSet<IpNet>),
}

/// One constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Constant {
    String(Box<[u8]>),
    Number(Number),
    Bool(bool),
    Net(IpNet),
}

/// Port names that a rule may use instead of a number. Falco asks `/etc/services`; a rule must not mean
/// something else on another machine.
const PORTS: &[(&str, u16)] = &[
    ("domain", 53),
    ("ftp", 21),
    ("http", 80),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("ldap", 389),
    ("ldaps", 636),
    ("mysql", 3306),
    ("ntp", 123),
    ("pop3", 110),
    ("postgresql", 5432),
    ("redis", 6379),
    ("smtp", 25),
    ("snmp", 161),
    ("ssh", 22),
    ("syslog", 514),
    ("telnet", 23),
];

/// Reads a constant of type `ty`, or says what would be one.
pub(super) fn parse(ty: FieldType, text: &str) -> Result<Constant, String> {
    let ranged = |what: &str, low: i128, high: i128| match integer(text) {
        Some(number) if (low..=high).contains(&number) => Ok(Constant::Number(Number::Int(number))),
        Some(_) => Err(format!("{what} between {low} and {high}")),
        None => Err(what.to_owned()),
    };
    match ty {
        FieldType::String | FieldType::Bytes => Ok(Constant::String(text.as_bytes().into())),
        FieldType::Int64 => ranged("an integer", i64::MIN.into(), i64::MAX.into()),
        FieldType::Int32 => ranged("an integer", i32::MIN.into(), i32::MAX.into()),
        FieldType::Int16 => ranged("an integer", i16::MIN.into(), i16::MAX.into()),
        FieldType::Uint64 => ranged("an unsigned integer", 0, u64::MAX.into()),
        FieldType::Uint32 => ranged("an unsigned integer", 0, u32::MAX.into()),
        FieldType::RelTime => ranged("a number of nanoseconds", 0, u64::MAX.into()),
        FieldType::AbsTime => match text.parse::<jiff::Timestamp>() {
            Ok(time) if time.as_nanosecond() >= 0 => Ok(Constant::Number(Number::Int(time.as_nanosecond()))),
            _ => ranged("nanoseconds since the epoch or an ISO 8601 time", 0, u64::MAX.into()),
        },
        FieldType::Port => match PORTS.iter().find(|(name, _)| *name == text) {
            Some((_, port)) => Ok(Constant::Number(Number::Int((*port).into()))),
            None => ranged("a port number", 0, u16::MAX.into()),
        },
        FieldType::Bool => match text {
            "true" | "1" => Ok(Constant::Bool(true)),
            "false" | "0" => Ok(Constant::Bool(false)),
            _ => Err("true or false".to_owned()),
        },
        FieldType::Double => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Constant::Number(Number::Double(number.to_bits()))),
            _ => Err("a number".to_owned()),
        },
        FieldType::IpAddr | FieldType::IpNet => {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            let net = address.or_else(|_| text.parse::<IpNet>().map(|net| net.trunc()));
            net.map(Constant::Net).map_err(|_| "an IP address or a network such as 10.0.0.0/8".to_owned())
        }
    }
}

/// Decimal with an optional sign, or hexadecimal after `0x`.
pub(super) fn integer(text: &str) -> Option<i128> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            i128::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Bytes written as pairs of hexadecimal digits, for `bcontains` and `bstartswith`.
pub(super) fn hex(text: &str) -> Option<Box<[u8]>> {
    let pairs = text.as_bytes().chunks_exact(2);
    if text.is_empty() || !pairs.remainder().is_empty() {
        return None;
    }
    let digit = |b: &u8| char::from(*b).to_digit(16);
    pairs
        .map(|pair| match pair {
            [high, low] => Some((digit(high)? * 16 + digit(low)?) as u8),
            _ => None,
        })
        .collect()
}

impl ValueSet {
    /// An empty set of constants of this type.
    pub(super) fn empty(ty: FieldType) -> ValueSet {
        match ty {
            FieldType::String | FieldType::Bytes => ValueSet::Strings(BTreeSet::new()),
            FieldType::Bool => ValueSet::Bools(BTreeSet::new()),
            FieldType::IpAddr | FieldType::IpNet => ValueSet::Nets(BTreeSet::new()),
            _ => ValueSet::Numbers(BTreeSet::new()),
        }
    }

    /// Adds a constant of the set's type.
    pub(super) fn insert(&mut self, constant: Constant) {
        match (self, constant) {
            (ValueSet::Strings(set), Constant::String(string)) => _ = set.insert(string),
            (ValueSet::Numbers(set), Constant::Number(number)) => _ = set.insert(number),
            (ValueSet::Bools(set), Constant::Bool(value)) => _ = set.insert(value),
            (ValueSet::Nets(set), Constant::Net(net)) => _ = set.insert(net),
            _ => {}
        }
    }

    /// Whether no value is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            ValueSet::Strings(set) => set.is_empty(),
            ValueSet::Numbers(set) => set.is_empty(),
            ValueSet::Bools(set) => set.is_empty(),
            ValueSet::Nets(set) => set.is_empty(),
        }
    }

    /// Adds what is in `other`; both are of the same type.
    pub(super) fn merge(&mut self, other: &ValueSet) {
        match (self, other) {
            (ValueSet::Strings(set), ValueSet::Strings(more)) => set.extend(more.iter().cloned()),
            (ValueSet::Numbers(set), ValueSet::Numbers(more)) => set.extend(more),
            (ValueSet::Bools(set), ValueSet::Bools(more)) => set.extend(more),
            (ValueSet::Nets(set), ValueSet::Nets(more)) => set.extend(more),
            _ => {}
        }
    }

    /// Whether the value, which is not a list, equals one of the constants.
    pub fn contains(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (ValueSet::Strings(set), Value::Str(bytes) | Value::Bytes(bytes)) => set.contains(&**bytes),
            (ValueSet::Strings(set), value) => set.contains(super::render::text(value).as_bytes()),
            (ValueSet::Bools(set), Value::Bool(value)) => set.contains(value),
            (ValueSet::Nets(set), Value::Ip(address)) => set.iter().any(|net| net.contains(address)),
            (ValueSet::Numbers(set), value) => match Number::of(value) {
                Some(number @ Number::Int(_)) => set.contains(&number),
                Some(number) => set.iter().any(|constant| constant.compare(number).is_eq()),
                None => false,
            },
            _ => false,
        }
    }
}

impl Number {
    /// The value as a number, if it is one.
    pub fn of(value: &Value<'_>) -> Option<Number> {
        match value {
            Value::Int(number) => Some(Number::Int((*number).into())),
            Value::Uint(number) | Value::RelTime(number) | Value::AbsTime(number) => {
                Some(Number::Int((*number).into()))
            }
            Value::Port(number) => Some(Number::Int((*number).into())),
            Value::Double(number) => Some(Number::Double(number.to_bits())),
            _ => None,
        }
    }

    /// By value.
    pub fn compare(self, other: Number) -> std::cmp::Ordering {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a.cmp(&b),
            _ => self.compare_doubles(other),
        }
    }

    // Apart, or the conversions would be done before it is known whether they are needed.
    #[cold]
    fn compare_doubles(self, other: Number) -> std::cmp::Ordering {
        self.as_double().total_cmp(&other.as_double())
    }

    fn as_double(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Double(bits) => f64::from_bits(bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_of_each_type() {
        let int = |number| Some(Constant::Number(Number::Int(number)));
        let net = |text: &str| text.parse().ok().map(Constant::Net);
        let rows: &[(FieldType, &str, Option<Constant>)] = &[
            (FieldType::Int64, "-1", int(-1)),
            (FieldType::Int64, "0x1F", int(31)),
            (FieldType::Int64, "0x", None),
            (FieldType::Int64, "1.5", None),
            (FieldType::Int64, "9223372036854775808", None),
            (FieldType::Int32, "2147483648", None),
            (FieldType::Int16, "-32768", int(-32768)),
            (FieldType::Uint32, "4294967295", int(4_294_967_295)),
            (FieldType::Uint32, "-1", None),
            (FieldType::Uint64, "18446744073709551615", int(u64::MAX.into())),
            (FieldType::Port, "443", int(443)),
            (FieldType::Port, "https", int(443)),
            (FieldType::Port, "65536", None),
            (FieldType::RelTime, "5000000000", int(5_000_000_000)),
            (FieldType::RelTime, "5s", None),
            (FieldType::AbsTime, "1", int(1)),
            (FieldType::AbsTime, "1970-01-01T00:00:01Z", int(1_000_000_000)),
            (FieldType::AbsTime, "yesterday", None),
            (FieldType::Bool, "true", Some(Constant::Bool(true))),
            (FieldType::Bool, "0", Some(Constant::Bool(false))),
            (FieldType::Bool, "yes", None),
            (FieldType::IpAddr, "127.0.0.1", net("127.0.0.1/32")),
            (FieldType::IpAddr, "10.1.2.3/8", net("10.0.0.0/8")),
            (FieldType::IpNet, "::1", net("::1/128")),
            (FieldType::IpNet, "10.0.0.0/33", None),
            (FieldType::IpNet, "localhost", None),
            (FieldType::String, "", Some(Constant::String((*b"").into()))),
            (FieldType::Double, "1e3", Some(Constant::Number(Number::Double(1000f64.to_bits())))),
            (FieldType::Double, "NaN", None),
        ];
        for (ty, text, expected) in rows {
            assert_eq!(parse(*ty, text).ok(), *expected, "{ty:?} {text}");
        }
    }

    #[test]
    fn hexadecimal_strings() {
        assert_eq!(hex("cafeBABE").as_deref(), Some(&[0xca, 0xfe, 0xba, 0xbe][..]));
        for text in ["", "c", "caf", "xx", "+f"] {
            assert_eq!(hex(text), None, "{text:?}");
        }
    }
}
