//! Values as text, in which tests are written.

use yagura::fields::Value;

/// How an absent field is written.
pub const ABSENT: &str = "(absent)";

/// Bytes as text, those that are not UTF-8 as `\xNN`, NUL as `\0`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\0', "\\0"));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The inverse of [`escape`].
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).expect("two hexadecimal digits"));
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// A field's value as a test writes it; a list as `(a,b)`.
pub fn of(value: &Value<'_>) -> String {
    match value {
        Value::Str(bytes) | Value::Bytes(bytes) => escape(bytes),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) | Value::RelTime(number) | Value::AbsTime(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Port(port) => port.to_string(),
        Value::List(values) => format!("({})", values.iter().map(of).collect::<Vec<_>>().join(",")),
    }
}
