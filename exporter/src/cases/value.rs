//! A YAML value as the value of a field: the field's type decides what is allowed.

use std::borrow::Cow;

use saphyr::{MarkedYaml, Scalar, YamlData};

use crate::fields::{FieldType, Value};

/// Reads one value, or says what it should have been.
pub(super) fn scalar(ty: FieldType, node: &MarkedYaml<'_>) -> Result<Value<'static>, String> {
    let YamlData::Value(scalar) = &node.data else {
        return Err(expected(ty, node));
    };
    let unsigned = || scalar.as_integer().and_then(|number| u64::try_from(number).ok());
    let fits = |max: u64| unsigned().filter(|number| *number <= max);
    let within = |min: i64, max: i64| scalar.as_integer().filter(|number| (min..=max).contains(number));
    let value = match ty {
        FieldType::String => scalar.as_str().map(|text| Value::Str(Cow::Owned(text.as_bytes().to_vec()))),
        FieldType::Bytes => scalar.as_str().map(|text| Value::Bytes(Cow::Owned(text.as_bytes().to_vec()))),
        FieldType::Int64 => scalar.as_integer().map(Value::Int),
        FieldType::Int32 => within(i32::MIN.into(), i32::MAX.into()).map(Value::Int),
        FieldType::Int16 => within(i16::MIN.into(), i16::MAX.into()).map(Value::Int),
        FieldType::Uint64 => unsigned().map(Value::Uint),
        FieldType::Uint32 => fits(u32::MAX.into()).map(Value::Uint),
        FieldType::Bool => scalar.as_bool().map(Value::Bool),
        FieldType::Double => match scalar {
            Scalar::Integer(number) => Some(Value::Double(*number as f64)),
            Scalar::FloatingPoint(number) => Some(Value::Double(number.into_inner())),
            _ => None,
        },
        // A field that is compared with networks yields an address.
        FieldType::IpAddr | FieldType::IpNet => {
            scalar.as_str().and_then(|text| text.parse().ok()).map(Value::Ip)
        }
        FieldType::Port => fits(u16::MAX.into()).map(|port| Value::Port(port as u16)),
        FieldType::RelTime => unsigned().map(Value::RelTime),
        FieldType::AbsTime => unsigned().map(Value::AbsTime),
    };
    value.ok_or_else(|| expected(ty, node))
}

fn expected(ty: FieldType, node: &MarkedYaml<'_>) -> String {
    let what = match ty {
        FieldType::String | FieldType::Bytes => match &node.data {
            YamlData::Value(Scalar::Boolean(_) | Scalar::Integer(_) | Scalar::FloatingPoint(_)) => {
                return format!("is text: write {} in quotes", kind(node));
            }
            _ => "text",
        },
        FieldType::Int64 | FieldType::Int32 | FieldType::Int16 => "a whole number in its range",
        FieldType::Uint64 | FieldType::Uint32 => "a whole number from 0 in its range",
        FieldType::Bool => "true or false",
        FieldType::Double => "a number",
        FieldType::IpAddr | FieldType::IpNet => "an IP address",
        FieldType::Port => "a port number",
        FieldType::RelTime => "a duration in nanoseconds",
        FieldType::AbsTime => "a time in nanoseconds since the epoch",
    };
    format!("must be {what}, not {}", kind(node))
}

/// What a node is, for messages.
pub(super) fn kind(node: &MarkedYaml<'_>) -> String {
    match &node.data {
        YamlData::Sequence(_) => "a list".into(),
        YamlData::Mapping(_) => "a mapping".into(),
        YamlData::Value(Scalar::Null) => "nothing".into(),
        YamlData::Value(Scalar::Boolean(value)) => format!("'{value}'"),
        YamlData::Value(Scalar::Integer(value)) => format!("'{value}'"),
        YamlData::Value(Scalar::FloatingPoint(value)) => format!("'{value}'"),
        YamlData::Value(Scalar::String(value)) => format!("'{value}'"),
        _ => "this".into(),
    }
}
