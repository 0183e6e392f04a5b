//! Shell patterns as `fnmatch(3)` has them without flags: `*` and `?` also match `/`.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Glob {
    tokens: Box<[Token]>,
    /// ASCII letters match in either case; the tokens are in lower case.
    pub ignore_case: bool,
    /// Wildcards do not match `/`.
    path: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[a-z]`: ranges, and whether the set is negated.
    Set(Box<[(u8, u8)]>, bool),
}

/// What a pattern amounts to, if it is one of the simple cases that are found faster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Simple {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<[u8]>),
}

impl Glob {
    pub fn new(pattern: &[u8], ignore_case: bool) -> Glob {
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let [first, tail @ ..] = rest {
            rest = tail;
            let token = match first {
                b'?' => Token::One,
                b'*' => Token::Many,
                b'[' => match set(tail, ignore_case) {
                    Some((ranges, negated, tail)) => {
                        rest = tail;
                        Token::Set(ranges, negated)
                    }
                    None => Token::Byte(b'['),
                },
                b'\\' => match tail {
                    [escaped, tail @ ..] => {
                        rest = tail;
                        Token::Byte(*escaped)
                    }
                    // fnmatch: a pattern that ends in a backslash matches nothing but itself.
                    [] => Token::Byte(b'\\'),
                },
                byte => Token::Byte(*byte),
            };
            let token = match token {
                Token::Byte(byte) if ignore_case => Token::Byte(byte.to_ascii_lowercase()),
                token => token,
            };
            if !(token == Token::Many && tokens.last() == Some(&Token::Many)) {
                tokens.push(token);
            }
        }
        Glob { tokens: tokens.into(), ignore_case, path: false }
    }

    /// A path of `pmatch`: each component is a pattern of its own, a slash at the end means nothing.
    pub(crate) fn path(pattern: &[u8]) -> Glob {
        let end = pattern.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
        Glob { path: true, ..Glob::new(pattern.get(..end).unwrap_or_default(), false) }
    }

    /// Whether the whole text matches. Takes at most text × pattern steps.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut at, mut token) = (0, 0);
        // Where the last `*` was, and how far the text had been when it is taken to end.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let next = self.tokens.get(token);
            if next == Some(&Token::Many) {
                token += 1;
                retry = Some((token, at));
                continue;
            }
            match (text.get(at), next) {
                (None, None) => return true,
                (Some(byte), Some(expected)) if self.accepts(expected, *byte) => {
                    at += 1;
                    token += 1;
                }
                _ => match &mut retry {
                    Some((after, end)) if text.get(*end).is_some_and(|byte| !self.path || *byte != b'/') => {
                        *end += 1;
                        (token, at) = (*after, *end);
                    }
                    _ => return false,
                },
            }
        }
    }

    fn accepts(&self, token: &Token, byte: u8) -> bool {
        let byte = if self.ignore_case { byte.to_ascii_lowercase() } else { byte };
        match token {
            Token::Byte(expected) => *expected == byte,
            Token::One => !self.path || byte != b'/',
            Token::Many => false,
            Token::Set(ranges, negated) => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
            }
        }
    }

    /// The pattern without wildcards, if it has none.
    pub(crate) fn literal(&self) -> Option<Box<[u8]>> {
        bytes(&self.tokens)
    }

    /// What every text that matches begins and ends with, if the case of letters matters.
    pub(crate) fn literal_ends(&self) -> Option<Ends> {
        let byte = |token: &Token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        };
        let prefix = self.tokens.iter().map_while(byte).collect();
        let mut suffix: Vec<u8> = self.tokens.iter().rev().map_while(byte).collect();
        suffix.reverse();
        (!self.ignore_case).then(|| (prefix, suffix.into()))
    }

    /// The components before the first one that has a wildcard.
    pub(crate) fn literal_components(&self) -> Box<[u8]> {
        if let Some(all) = self.literal() {
            return all;
        }
        let (prefix, _) = self.literal_ends().unwrap_or_default();
        let slash = prefix.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        prefix.get(..slash).unwrap_or_default().into()
    }

    /// Whether every text that matches contains these bytes: they are in the pattern as they are.
    pub(crate) fn has_literal(&self, bytes: &[u8]) -> bool {
        let same = |(token, byte): (&Token, &u8)| *token == Token::Byte(*byte);
        self.tokens.windows(bytes.len().max(1)).any(|part| part.iter().zip(bytes).all(same))
    }

    /// The simple case that this pattern is, if it is one and the case of letters matters.
    pub(crate) fn simple(&self) -> Option<Simple> {
        if self.ignore_case || self.path {
            return None;
        }
        match &*self.tokens {
            [Token::Many, inner @ .., Token::Many] => bytes(inner).map(Simple::Contains),
            [Token::Many, suffix @ ..] => bytes(suffix).map(Simple::Suffix),
            [prefix @ .., Token::Many] => bytes(prefix).map(Simple::Prefix),
            all => bytes(all).map(Simple::Exact),
        }
    }
}

/// A prefix and a suffix.
pub(crate) type Ends = (Box<[u8]>, Box<[u8]>);

fn bytes(tokens: &[Token]) -> Option<Box<[u8]>> {
    let byte = |token: &Token| match token {
        Token::Byte(byte) => Some(*byte),
        _ => None,
    };
    tokens.iter().map(byte).collect()
}

type Set<'p> = (Box<[(u8, u8)]>, bool, &'p [u8]);

/// The set after `[`, and the pattern after its `]`.
fn set(pattern: &[u8], ignore_case: bool) -> Option<Set<'_>> {
    let (negated, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    let mut first = true;
    loop {
        match rest {
            [] => return None,
            [b']', tail @ ..] if !first => {
                if ignore_case {
                    fold(&mut ranges);
                }
                return Some((ranges.into(), negated, tail));
            }
            [b'[', b':', tail @ ..] => {
                let end = tail.windows(2).position(|pair| pair == b":]")?;
                ranges.extend_from_slice(class(tail.get(..end)?)?);
                rest = tail.get(end + 2..)?;
            }
            [low, b'-', high, tail @ ..] if *high != b']' => {
                ranges.push((*low, *high));
                rest = tail;
            }
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                ranges.push((*byte, *byte));
                rest = tail;
            }
        }
        first = false;
    }
}

/// Adds the lower-case letters of ranges of upper-case ones: the text is folded to lower case.
fn fold(ranges: &mut Vec<(u8, u8)>) {
    let folded: Vec<(u8, u8)> = (ranges.iter())
        .map(|(low, high)| ((*low).max(b'A'), (*high).min(b'Z')))
        .filter(|(low, high)| low <= high)
        .map(|(low, high)| (low.to_ascii_lowercase(), high.to_ascii_lowercase()))
        .collect();
    ranges.extend(folded);
}

fn class(name: &[u8]) -> Option<&'static [(u8, u8)]> {
    Some(match name {
        b"alnum" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
        b"alpha" => &[(b'A', b'Z'), (b'a', b'z')],
        b"blank" => &[(b' ', b' '), (b'\t', b'\t')],
        b"cntrl" => &[(0, 31), (127, 127)],
        b"digit" => &[(b'0', b'9')],
        b"graph" => &[(33, 126)],
        b"lower" => &[(b'a', b'z')],
        b"print" => &[(32, 126)],
        b"punct" => &[(33, 47), (58, 64), (91, 96), (123, 126)],
        b"space" => &[(b' ', b' '), (9, 13)],
        b"upper" => &[(b'A', b'Z')],
        b"xdigit" => &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let rows: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("?", "", false),
            ("?", "/", true),
            ("/home/*/.ssh/*", "/home/a/b/.ssh/id", true),
            ("/home/*/.ssh/*", "/home/.ssh/id", false),
            ("*../*../*", "/a/../b/../c", true),
            ("*../*../*", "/a/../b", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[[:digit:]]*", "7up", true),
            ("[[:digit:]]*", "up", false),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("A", "a", false),
            ("*a*b", "aab", true),
            ("*aab", "aaab", true),
        ];
        for (pattern, text, expected) in rows {
            let glob = Glob::new(pattern.as_bytes(), false);
            assert_eq!(glob.matches(text.as_bytes()), *expected, "{pattern} on {text}");
        }
        for (pattern, text) in [("A*Z", "a-z"), ("a?c", "AbC"), ("[A-C]", "b"), ("[a-c]", "B")] {
            assert!(Glob::new(pattern.as_bytes(), true).matches(text.as_bytes()), "{pattern} on {text}");
        }
    }

    #[test]
    fn simple_patterns_are_recognised() {
        let simple = |pattern: &str| Glob::new(pattern.as_bytes(), false).simple();
        let bytes = |text: &str| Box::from(text.as_bytes());
        assert_eq!(simple("abc"), Some(Simple::Exact(bytes("abc"))));
        assert_eq!(simple("abc*"), Some(Simple::Prefix(bytes("abc"))));
        assert_eq!(simple("**abc"), Some(Simple::Suffix(bytes("abc"))));
        assert_eq!(simple("*a*"), Some(Simple::Contains(bytes("a"))));
        assert_eq!(simple("*"), Some(Simple::Suffix(bytes(""))));
        assert_eq!(simple("a*c"), None);
        assert_eq!(simple("a?"), None);
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern = "*a".repeat(200);
        assert!(!Glob::new(pattern.as_bytes(), false).matches(&[b'b'; 20_000]));
        let text: Vec<u8> = [b"a".repeat(5_000), b"b".to_vec()].concat();
        assert!(!Glob::new(pattern.as_bytes(), false).matches(&text));
    }
}
