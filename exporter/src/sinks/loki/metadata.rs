//! Structured metadata: what is in an entry's line and has too many values for a label.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{labels, messages::LabelPair};

/// Loki's defaults of `max_structured_metadata_entries_count` and `max_structured_metadata_size`, with room for what it
/// adds itself.
const MAX_PAIRS: usize = 120;
const MAX_BYTES: usize = 63 << 10;
/// Says how many fields there was no room for. They are in the line all the same.
const LEFT_OUT: &str = "fields_left_out";
/// Room for that.
const RESERVE: usize = 40;

/// What only the line knows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Facts<'l> {
    #[serde(borrow)]
    pub cluster: Cow<'l, str>,
    #[serde(borrow)]
    pub node: Cow<'l, str>,
    #[serde(borrow)]
    pub uuid: Cow<'l, str>,
    pub output_fields: Map<String, Value>,
}

impl Facts<'_> {
    /// Of a line that is no detection nothing is known.
    pub(super) fn of(line: &str) -> Facts<'_> {
        serde_json::from_str(line).unwrap_or_default()
    }

    /// The id, and each output field that has a value, as text.
    pub(super) fn metadata(&self) -> Vec<LabelPair> {
        let mut pairs = Pairs::default();
        if !self.uuid.is_empty() {
            pairs.add("uuid", &self.uuid);
        }
        for (name, value) in &self.output_fields {
            match value {
                Value::Null => {}
                Value::String(text) => pairs.add(name, text),
                other => pairs.add(name, &other.to_string()),
            }
        }
        pairs.finish()
    }
}

#[derive(Default)]
struct Pairs {
    pairs: Vec<LabelPair>,
    names: HashSet<String>,
    bytes: usize,
    left_out: usize,
}

impl Pairs {
    fn add(&mut self, name: &str, value: &str) {
        let name = self.free(plain(name));
        let bytes = self.bytes + name.len() + value.len();
        if self.pairs.len() + 1 >= MAX_PAIRS || bytes + RESERVE > MAX_BYTES {
            self.left_out += 1;
            return;
        }
        self.bytes = bytes;
        self.names.insert(name.clone());
        self.pairs.push(LabelPair { name, value: value.to_owned() });
    }

    /// A name that neither a label nor an earlier field has.
    fn free(&self, name: String) -> String {
        let used =
            |name: &str| labels::NAMES.contains(&name) || name == LEFT_OUT || self.names.contains(name);
        if !used(&name) {
            return name;
        }
        // As many as there are names at most.
        (2_usize..).map(|number| format!("{name}_{number}")).find(|name| !used(name)).unwrap_or(name)
    }

    fn finish(mut self) -> Vec<LabelPair> {
        if self.left_out > 0 {
            self.pairs.push(LabelPair { name: LEFT_OUT.into(), value: self.left_out.to_string() });
        }
        self.pairs
    }
}

/// A name that a query can have: `proc.aname[2]` is `proc_aname_2_`.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len() + 1);
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        plain.push('_');
    }
    plain.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<(String, String)> {
        Facts::of(line).metadata().into_iter().map(|pair| (pair.name, pair.value)).collect()
    }

    #[test]
    fn every_field_is_text_under_a_name_of_its_own() {
        for (line, expected) in [
            ("{}", &[][..]),
            ("no JSON", &[]),
            (r#"{"uuid":7,"node":"n"}"#, &[]),
            (r#"{"uuid":"u","output_fields":null}"#, &[]),
            (
                r#"{"uuid":"u","output_fields":{"evt.time":1507591916746609046,"fd.name":null,"a":"é\n","b":true,
                   "c":[1,"x"],"d":{"k":0.5}}}"#,
                &[
                    ("uuid", "u"),
                    ("evt_time", "1507591916746609046"),
                    ("a", "é\n"),
                    ("b", "true"),
                    ("c", r#"[1,"x"]"#),
                    ("d", r#"{"k":0.5}"#),
                ],
            ),
            (
                r#"{"uuid":"u","output_fields":{"proc.name":"1","proc_name":"2","proc-name":"3","uuid":"4",
                   "tenant":"5","proc.aname[2]":"6","2x":"7","":"8","fields_left_out":"9"}}"#,
                &[
                    ("uuid", "u"),
                    ("proc_name", "1"),
                    ("proc_name_2", "2"),
                    ("proc_name_3", "3"),
                    ("uuid_2", "4"),
                    ("tenant_2", "5"),
                    ("proc_aname_2_", "6"),
                    ("_2x", "7"),
                    ("_", "8"),
                    ("fields_left_out_2", "9"),
                ],
            ),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(of(line), expected, "{line}");
        }
    }

    #[test]
    fn is_bounded_in_fields_and_in_bytes() {
        let line = |count: usize, bytes: usize| {
            let fields: Map<String, Value> =
                (0..count).map(|number| (format!("f{number}"), "x".repeat(bytes).into())).collect();
            serde_json::json!({"uuid": "u", "output_fields": fields}).to_string()
        };
        for (count, bytes, kept, left_out) in [
            (100, 10, 101, None),
            (200, 10, 119, Some("82")),
            (3, 30 << 10, 3, Some("1")),
            (1, 70 << 10, 1, Some("1")),
        ] {
            let mut pairs = of(&line(count, bytes));
            let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(pairs.len() <= MAX_PAIRS && size <= MAX_BYTES, "{} {size}", pairs.len());
            let last = pairs.pop_if(|(name, _)| name == LEFT_OUT).map(|(_, value)| value);
            assert_eq!((pairs.len(), last.as_deref()), (kept, left_out), "{count} {bytes}");
        }
    }
}
