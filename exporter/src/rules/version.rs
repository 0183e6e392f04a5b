//! Versions: of the rule language that this engine implements, and of the plugins whose sources and
//! fields are built in.

use std::fmt;

/// `x.y.z`, compared number by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// The version of Falco's engine whose language is implemented.
pub(super) const ENGINE: Version = Version { major: 0, minor: 63, patch: 0 };

/// Falco's plugins that need not be loaded here, with the version whose fields and sources we know.
pub(super) const PLUGINS: &[(&str, Version)] = &[
    ("container", Version { major: 0, minor: 7, patch: 1 }),
    ("k8saudit", Version { major: 0, minor: 18, patch: 0 }),
    ("json", Version { major: 0, minor: 7, patch: 4 }),
];

impl Version {
    /// `x.y.z`, with an optional pre-release or build part, which does not count.
    pub fn parse(text: &str) -> Option<Version> {
        let core = text.split(['-', '+']).next()?;
        let mut parts = core
            .split('.')
            .map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten());
        let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Version { major, minor, patch })
    }

    /// A plain number `n` is version `0.n.0`.
    pub fn parse_engine(text: &str) -> Option<Version> {
        match text.parse() {
            Ok(minor) => Some(Version { major: 0, minor, patch: 0 }),
            Err(_) => Version::parse(text),
        }
    }

    /// Whether something at this version offers what `required` asks for: same major version, not older.
    pub fn offers(self, required: Version) -> bool {
        self.major == required.major && self >= required
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse_and_compare() {
        let rows = [
            ("0.63.0", true),
            ("0.57.0", true),
            ("15", true),
            ("63", true),
            ("64", false),
            ("0.63.1", false),
            ("1.0.0", false),
        ];
        for (text, offered) in rows {
            let version = Version::parse_engine(text).unwrap_or_else(|| panic!("{text} parses"));
            assert_eq!(ENGINE.offers(version), offered, "{text}");
        }
        for text in ["", "a", "1.2", "1.2.3.4", "0.x.1", "-1", "1..2", "+1.2.3"] {
            assert_eq!(Version::parse_engine(text), None, "{text:?}");
        }
    }
}
