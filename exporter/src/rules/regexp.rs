//! Regular expressions of `regex`: RE2's syntax, the whole value must match.

use std::hash::{Hash, Hasher};

/// A compiled expression; equal if the patterns are.
#[derive(Clone, Debug)]
pub struct Regexp {
    pattern: Box<str>,
    compiled: regex::bytes::Regex,
}

/// Of one compiled expression. A larger one is refused at load.
const MAX_SIZE: usize = 1 << 20;

impl Regexp {
    pub(super) fn new(pattern: &str) -> Result<Regexp, String> {
        // Checked by itself first: `a)(b` would otherwise become valid inside the group.
        regex_syntax_ok(pattern)?;
        let compiled = regex::bytes::RegexBuilder::new(&anchored(pattern))
            .unicode(!pattern.is_ascii())
            .size_limit(MAX_SIZE)
            .build()
            .map_err(|error| reason(&error))?;
        Ok(Regexp { pattern: pattern.into(), compiled })
    }

    /// As written in the rule.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        self.compiled.is_match(text)
    }
}

/// One automaton for all of them; `None` if it would be too large. Unicode only matters to expressions
/// that are not ASCII, and those switch it on for themselves.
pub(super) fn set<'r>(regexes: impl Iterator<Item = &'r Regexp>) -> Option<regex::bytes::RegexSet> {
    let patterns = regexes.map(|regexp| {
        let flag = if regexp.pattern.is_ascii() { "(?-u)" } else { "(?u)" };
        format!("{flag}{}", anchored(&regexp.pattern))
    });
    regex::bytes::RegexSetBuilder::new(patterns).size_limit(8 * MAX_SIZE).build().ok()
}

fn anchored(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

fn regex_syntax_ok(pattern: &str) -> Result<(), String> {
    let built =
        regex::bytes::RegexBuilder::new(pattern).unicode(!pattern.is_ascii()).size_limit(MAX_SIZE).build();
    built.map(drop).map_err(|error| reason(&error))
}

/// One line of the library's message, which repeats the pattern on several.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl PartialEq for Regexp {
    fn eq(&self, other: &Regexp) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Regexp {}

impl Hash for Regexp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pattern.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_value_must_match() {
        let rows: &[(&str, &[u8], bool)] = &[
            ("a", b"a", true),
            ("a", b"ba", false),
            ("a|b", b"b", true),
            ("a|b", b"ab", false),
            ("^python[23]\\.[0-9]+$", b"python3.11", true),
            (".*", b"\xff\xfe", true),
            ("caf\u{e9}", "caf\u{e9}".as_bytes(), true),
            ("[[:alpha:]]+", b"abc", true),
            ("", b"", true),
            ("", b"a", false),
        ];
        for (pattern, text, expected) in rows {
            let regexp = Regexp::new(pattern).expect("valid");
            assert_eq!(regexp.matches(text), *expected, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn what_is_not_an_expression_or_too_large_is_refused() {
        for pattern in ["(", "a)(b", "[", "*", "(?<x", "a{100000}{100000}"] {
            assert!(Regexp::new(pattern).is_err(), "{pattern}");
        }
    }
}
