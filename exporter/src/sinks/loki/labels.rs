//! A stream's labels: few, of few values each.

use std::fmt::Write as _;

use super::metadata::Facts;
use crate::delivery::Entry;

/// All that there are, in their order.
pub(super) const NAMES: [&str; 8] =
    ["job", "cluster", "node", "tenant", "namespace", "rule", "priority", "source"];

/// Loki's default of `max_label_value_length`.
const MAX_VALUE: usize = 2048;

/// The labels as a query has them. One without a value is left out, which means the same to Loki.
pub(super) fn of(tenant: &str, entry: &Entry, facts: &Facts<'_>) -> String {
    let values = [
        "yagura",
        &facts.cluster,
        &facts.node,
        tenant,
        entry.namespace.as_deref().unwrap_or_default(),
        &entry.rule,
        entry.priority.name(),
        &entry.source,
    ];
    let mut text = String::from("{");
    for (name, value) in NAMES.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        quote(cut(value), &mut text);
    }
    text.push('}');
    text
}

fn cut(value: &str) -> &str {
    value.get(..value.floor_char_boundary(MAX_VALUE)).unwrap_or(value)
}

/// As Go quotes a string, which is how Loki reads one.
fn quote(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Of these none is above U+FFFF.
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_go_does() {
        for (value, expected) in [
            ("Read sensitive file", r#""Read sensitive file""#),
            (r#"a "b" \c"#, r#""a \"b\" \\c""#),
            ("櫓, {x}", r#""櫓, {x}""#),
            ("a\nb\tc\r", r#""a\nb\tc\r""#),
            ("\u{1b}\u{7f}\u{85}\0", r#""\u001b\u007f\u0085\u0000""#),
        ] {
            let mut text = String::new();
            quote(value, &mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(2000)).len(), 2048);
        assert_eq!(cut(&format!("a{}", "é".repeat(2000))).len(), 2047);
        assert_eq!(cut("short"), "short");
    }
}
