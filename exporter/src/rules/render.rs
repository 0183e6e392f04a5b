//! Values as text and as JSON, the way Falco prints them.

use std::{borrow::Cow, fmt::Write};

use serde_json::Value as Json;

use crate::fields::Value;

/// What stands in a text for a field that an event does not have.
pub const MISSING: &str = "<NA>";

/// The value as text. Bytes that are not UTF-8 become U+FFFD.
pub fn text<'v>(value: &'v Value<'_>) -> Cow<'v, str> {
    match value {
        Value::Str(bytes) | Value::Bytes(bytes) => String::from_utf8_lossy(bytes),
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::Uint(number) | Value::RelTime(number) | Value::AbsTime(number) => {
            Cow::Owned(number.to_string())
        }
        Value::Port(number) => Cow::Owned(number.to_string()),
        Value::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Value::Double(number) => Cow::Owned(format!("{number:.1}")),
        Value::Ip(address) => Cow::Owned(address.to_string()),
        Value::List(values) => {
            let mut list = String::from("(");
            for (index, value) in values.iter().enumerate() {
                list.push_str(if index > 0 { "," } else { "" });
                list.push_str(&text(value));
            }
            list.push(')');
            Cow::Owned(list)
        }
    }
}

/// The value as JSON: numbers as numbers, strings lossy.
pub fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Int(number) => Json::from(*number),
        Value::Uint(number) | Value::RelTime(number) | Value::AbsTime(number) => Json::from(*number),
        Value::Port(number) => Json::from(*number),
        Value::Bool(value) => Json::from(*value),
        Value::Double(number) => Json::from(*number),
        Value::Str(_) | Value::Bytes(_) | Value::Ip(_) => Json::from(text(value)),
        Value::List(values) => Json::Array(values.iter().map(json).collect()),
    }
}

/// Adds `text` with what could forge or hide part of a line made visible: control characters, line and
/// paragraph separators, and the characters that change the direction of text.
pub fn push_visible(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(line, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{200e}' | '\u{200f}') =>
            {
                let _ = write!(line, "\\u{{{:x}}}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_falco_prints_them() {
        let rows: &[(Value<'_>, &str, &str)] = &[
            (Value::str(b"a\xffb"), "a\u{fffd}b", "\"a\u{fffd}b\""),
            (Value::Int(-1), "-1", "-1"),
            (Value::Uint(u64::MAX), "18446744073709551615", "18446744073709551615"),
            (Value::Bool(true), "true", "true"),
            (Value::Double(0.25), "0.2", "0.25"),
            (Value::Port(443), "443", "443"),
            (Value::Ip([127, 0, 0, 1].into()), "127.0.0.1", "\"127.0.0.1\""),
            (Value::RelTime(5), "5", "5"),
            (Value::AbsTime(7), "7", "7"),
            (Value::List(vec![Value::str(b"a"), Value::str(b"b")]), "(a,b)", "[\"a\",\"b\"]"),
        ];
        for (value, as_text, as_json) in rows {
            assert_eq!(text(value), *as_text);
            assert_eq!(json(value).to_string(), *as_json);
        }
    }

    #[test]
    fn text_cannot_forge_a_line() {
        let mut line = String::new();
        push_visible(&mut line, "a\nb\r\t\u{1b}[31m\u{7f}\u{85}\u{2028}\u{202e}\u{9b}é\\");
        assert_eq!(line, "a\\nb\\r\\t\\x1b[31m\\x7f\\u{85}\\u{2028}\\u{202e}\\u{9b}é\\");
    }
}
