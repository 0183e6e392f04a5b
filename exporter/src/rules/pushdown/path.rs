//! Patterns of paths that the kernel can check: whole components, at the beginning, at the end, anywhere.

use std::fmt;

/// How a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathKind {
    /// The whole path.
    Exact,
    /// The folder of its last component.
    Directory,
    /// It is this, or below it.
    Prefix,
    /// It begins with this text, of which the part after the last slash has 1 to 8 bytes.
    Part,
    /// Its last components.
    Suffix,
    /// Its last component ends with this text of 1 to 8 bytes.
    End,
    /// One of its components.
    Component,
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathKey {
    pub kind: PathKind,
    /// Components joined by slashes; of an end or a component the text alone.
    pub text: Box<[u8]>,
}

/// Deeper prefixes are cut to this many components, longer suffixes likewise.
pub const MAX_DEPTH: usize = 8;
/// The most bytes of a component's beginning or end that are compared.
const MAX_PART: usize = 8;

impl PathKey {
    /// Its components, from the root on.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        components(&self.text)
    }

    /// Roughly how much of what is opened it lets through.
    pub(super) fn breadth(&self) -> u64 {
        let depth = self.components().count().min(4) as u32;
        match self.kind {
            PathKind::Exact => 1,
            PathKind::Directory | PathKind::Suffix => 4,
            PathKind::End | PathKind::Component => 16,
            PathKind::Prefix | PathKind::Part => 512 >> (2 * depth),
        }
    }

    fn new(kind: PathKind, text: impl Into<Box<[u8]>>) -> PathKey {
        PathKey { kind, text: text.into() }
    }

    /// Paths equal to this text. `None`, here and below: every path may be.
    pub(super) fn exact(text: &[u8]) -> Option<PathKey> {
        (text.first() == Some(&b'/')).then(|| PathKey::new(PathKind::Exact, join(components(text))))
    }

    /// Files in this folder.
    pub(super) fn directory(text: &[u8]) -> Option<PathKey> {
        (text.first() == Some(&b'/')).then(|| PathKey::new(PathKind::Directory, join(components(text))))
    }

    /// Paths that are this one or below it.
    pub(super) fn below(text: &[u8]) -> Option<PathKey> {
        let path = join(components(text).take(MAX_DEPTH));
        (text.first() == Some(&b'/') && !path.is_empty()).then(|| PathKey::new(PathKind::Prefix, path))
    }

    /// Paths that begin with this text.
    pub(super) fn beginning(text: &[u8]) -> Option<PathKey> {
        let slash = text.iter().rposition(|byte| *byte == b'/')?;
        let (folder, part) = (text.get(..slash)?, text.get(slash + 1..)?);
        if text.first() != Some(&b'/') || text.windows(2).any(|pair| pair == b"//") {
            return None;
        }
        let depth = components(folder).count();
        if part.is_empty() || depth >= MAX_DEPTH {
            return PathKey::below(folder);
        }
        let part = part.get(..MAX_PART).unwrap_or(part);
        Some(PathKey::new(PathKind::Part, [folder, b"/", part].concat()))
    }

    /// Paths that end with this text.
    pub(super) fn end(text: &[u8]) -> Option<PathKey> {
        if text.ends_with(b"/") || text.windows(2).any(|pair| pair == b"//") {
            return None;
        }
        match text.iter().position(|byte| *byte == b'/') {
            None if text.is_empty() => None,
            None => {
                let cut = text.len().saturating_sub(MAX_PART);
                Some(PathKey::new(PathKind::End, text.get(cut..)?))
            }
            // What is before the first slash is a part of a component only.
            Some(slash) => {
                let mut items: Vec<_> = components(text.get(slash..)?).rev().take(MAX_DEPTH).collect();
                items.reverse();
                Some(PathKey::new(PathKind::Suffix, join(items.into_iter())))
            }
        }
    }

    /// Files of this name.
    pub(super) fn filename(text: &[u8]) -> Option<PathKey> {
        let plain = !text.is_empty() && !text.contains(&b'/');
        plain.then(|| PathKey::new(PathKind::Suffix, [b"/", text].concat()))
    }

    /// Paths that contain this text: only if a whole component is in it.
    pub(super) fn containing(text: &[u8]) -> Option<PathKey> {
        let mut slashes = text.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let (first, second) = (slashes.next()?, slashes.next()?);
        let name = text.get(first + 1..second)?;
        (!name.is_empty()).then(|| PathKey::new(PathKind::Component, name))
    }
}

fn components(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
}

fn join<'t>(items: impl Iterator<Item = &'t [u8]>) -> Vec<u8> {
    items.flat_map(|item| [b"/", item]).flatten().copied().collect()
}

impl fmt::Display for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.text);
        match self.kind {
            PathKind::Exact => write!(f, "{}", if text.is_empty() { "/" } else { &text }),
            PathKind::Directory => write!(f, "{text}/?"),
            PathKind::Prefix => write!(f, "{text}/**"),
            PathKind::Part => write!(f, "{text}**"),
            PathKind::Suffix => write!(f, "**{text}"),
            PathKind::End => write!(f, "**{text}"),
            PathKind::Component => write!(f, "**/{text}/**"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_components() {
        let text = |key: Option<PathKey>| key.map_or("everything".to_owned(), |key| key.to_string());
        for (actual, expected) in [
            (PathKey::exact(b"/etc/shadow"), "/etc/shadow"),
            (PathKey::exact(b"/"), "/"),
            (PathKey::exact(b"shadow"), "everything"),
            (PathKey::directory(b"/etc/pam.d"), "/etc/pam.d/?"),
            (PathKey::directory(b"/"), "/?"),
            (PathKey::beginning(b"/etc/"), "/etc/**"),
            (PathKey::beginning(b"/etc"), "/etc**"),
            (PathKey::beginning(b"/"), "everything"),
            (PathKey::beginning(b"etc"), "everything"),
            (PathKey::beginning(b"/etc/ssh/ssh_host_rsa"), "/etc/ssh/ssh_host**"),
            (PathKey::below(b"/usr/bin/"), "/usr/bin/**"),
            (PathKey::end(b"/.ssh/id_rsa"), "**/.ssh/id_rsa"),
            (PathKey::end(b"x/id_rsa"), "**/id_rsa"),
            (PathKey::end(b".bash_history"), "**_history"),
            (PathKey::end(b".pem"), "**.pem"),
            (PathKey::end(b"/"), "everything"),
            (PathKey::filename(b"shadow"), "**/shadow"),
            (PathKey::filename(b"a/b"), "everything"),
            (PathKey::containing(b"/.aws/"), "**/.aws/**"),
            (PathKey::containing(b"/.aws/cred"), "**/.aws/**"),
            (PathKey::containing(b"id_rsa"), "everything"),
            (PathKey::containing(b"/id_rsa"), "everything"),
        ] {
            assert_eq!(text(actual), expected);
        }
    }
}
