//! JSON as a user of the cluster may have written it.
//!
//! The API server copies the body of a patch into its audit event as it came. JSON's grammar allows what Rust's
//! types cannot hold: half of a surrogate pair, a number without bound, nesting without end. Refusing an event for
//! that would let its author hide it, so the offending part is replaced and the rest is kept.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Objects and lists nested deeper than this become `null`. Below the 128 at which serde_json gives up.
const MAX_DEPTH: usize = 100;

/// Reads a text that is JSON by its grammar.
pub(super) fn read(text: &str) -> serde_json::Result<Value> {
    value(text).or_else(|_| value(&replaced(text)))
}

fn value(text: &str) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Depth(MAX_DEPTH).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Reads a value with at most so many levels.
struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Some(below) = self.0.checked_sub(1) else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        };
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Depth(below))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let Some(below) = self.0.checked_sub(1) else {
            while pairs.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        };
        let mut map = Map::new();
        while let Some(key) = pairs.next_key::<String>()? {
            let value = pairs.next_value_seed(Depth(below))?;
            // As Go does it: the last of equal keys counts.
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Applies a JSON merge patch (RFC 7386): objects are merged, `null` removes, everything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, patch) in patch {
        if patch.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key.as_str()).or_insert(Value::Null), patch);
        }
    }
}

/// The same text with U+FFFD for halves of surrogate pairs, and `null` for numbers that are too large.
fn replaced(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_text = false;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '"' => {
                in_text = !in_text;
                1
            }
            '\\' if in_text => match surrogate(rest) {
                Some(unit)
                    if (0xd800..0xdc00).contains(&unit)
                        && rest.get(6..).and_then(surrogate).is_some_and(|low| low >= 0xdc00) =>
                {
                    12
                }
                Some(_) => {
                    out.push('\u{fffd}');
                    rest = rest.get(6..).unwrap_or_default();
                    continue;
                }
                // The backslash and what it escapes, which may be a quote.
                None => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            },
            '-' | '0'..='9' if !in_text => {
                let end = rest
                    .find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'))
                    .unwrap_or(rest.len());
                let number = rest.get(..end).unwrap_or_default();
                if number.parse::<f64>().is_ok_and(f64::is_infinite) {
                    out.push_str("null");
                    rest = rest.get(end..).unwrap_or_default();
                    continue;
                }
                end
            }
            c => c.len_utf8(),
        };
        out.push_str(rest.get(..taken).unwrap_or_default());
        rest = rest.get(taken..).unwrap_or_default();
    }
    Cow::Owned(out)
}

/// The unit of `\uXXXX` at the start, if it is half of a surrogate pair.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok().filter(|unit| (0xd800..0xe000).contains(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rust_cannot_hold_is_replaced_and_the_rest_is_kept() {
        for (text, expected) in [
            (r#"{"a":[1,-2,0.5,true,null,"x"]}"#, r#"{"a":[1,-2,0.5,true,null,"x"]}"#),
            (r#"{"a":"\ud800","b":1}"#, r#"{"a":"�","b":1}"#),
            (r#"{"a":"\udc00\ud800x","b":1}"#, r#"{"a":"��x","b":1}"#),
            (r#"{"a":"\ud83d\ude00 \ud800"}"#, r#"{"a":"😀 �"}"#),
            (r#"{"a":"\\ud800 \" \ud800"}"#, r#"{"a":"\\ud800 \" �"}"#),
            (r#"{"\ud800":1e999,"b":[-1e999,12]}"#, r#"{"�":null,"b":[null,12]}"#),
            (r#"{"a":"1e999","b":1e999}"#, r#"{"a":"1e999","b":null}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(read(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "{", "{} x", "[1,]", "nul"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!(
                r#"{{"before":1,"deep":{}1{},"after":2}}"#,
                open.repeat(100_000),
                close.repeat(100_000)
            );
            let value = read(&deep).unwrap();
            assert_eq!((&value["before"], &value["after"]), (&1.into(), &2.into()));
            let (mut depth, mut at) = (0, &value["deep"]);
            while let Some(below) = at.get(0).or_else(|| at.get("a")) {
                (depth, at) = (depth + 1, below);
            }
            assert_eq!((depth, at), (MAX_DEPTH - 1, &Value::Null));
        }
    }
}
