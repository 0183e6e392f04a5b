//! What a field yields.

use std::{borrow::Cow, net::IpAddr};

/// A value of a field. Strings are bytes: paths, names and arguments need not be UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Str(Cow<'a, [u8]>),
    /// All signed integer types.
    Int(i64),
    /// All unsigned integer types.
    Uint(u64),
    Bool(bool),
    Double(f64),
    Ip(IpAddr),
    Port(u16),
    /// A duration in nanoseconds.
    RelTime(u64),
    /// Nanoseconds since the epoch.
    AbsTime(u64),
    /// A buffer: printed as text when it is, compared as bytes.
    Bytes(Cow<'a, [u8]>),
    /// Several values at once (`proc.aname` without an index, `fd.ip`, lists): see
    /// [`super::scheme::Cardinality`] for how a comparison treats them.
    List(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// A string value that borrows.
    pub fn str(bytes: &'a [u8]) -> Value<'a> {
        Value::Str(Cow::Borrowed(bytes))
    }
}
