//! Facts of which there are many kinds, by their hash: task names, ports, parts of paths.

/// Entries of the table that all event types share, for each bank. A power of two.
pub const KEYS: u32 = 1 << 14;

/// The table of one bank.
pub trait KeyTable {
    /// The mask at an index below [`KEYS`].
    fn at(&self, index: u32) -> u64;

    /// Clauses that name what has this hash; others by a chance of collision only.
    #[inline(always)]
    fn find(&self, hash: u64) -> u64 {
        let (first, second) = slots(hash);
        self.at(first) & self.at(second)
    }
}

/// Where a hash is entered: at both places.
#[inline(always)]
pub fn slots(hash: u64) -> (u32, u32) {
    (hash as u32 & (KEYS - 1), (hash >> 32) as u32 & (KEYS - 1))
}

/// Mixes a word into a hash.
#[inline(always)]
pub const fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// What a key is about: keys of different kinds and event types do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum KeyKind {
    Name = 1,
    Port = 2,
    Exact = 3,
    Directory = 4,
    Prefix = 5,
    Part = 6,
    Suffix = 7,
    End = 8,
    Component = 9,
}

/// The hash by which a key is found.
#[inline(always)]
pub const fn hash_key(event_type: u32, kind: KeyKind, length: u32, hash: u64) -> u64 {
    mix(hash, (event_type as u64) << 16 | (kind as u64) << 8 | length as u64)
}

/// Of a task name, of which the bytes after the first NUL do not count.
#[inline(always)]
pub fn hash_name(event_type: u32, comm: [u64; 2]) -> u64 {
    let (first, ended) = until_nul(comm[0]);
    let second = if ended { 0 } else { until_nul(comm[1]).0 };
    hash_key(event_type, KeyKind::Name, 0, mix(mix(0, first), second))
}

/// Of a port.
#[inline(always)]
pub fn hash_port(event_type: u32, port: u16) -> u64 {
    hash_key(event_type, KeyKind::Port, 0, port as u64)
}

/// The bytes of a little-endian word before its first NUL, and whether there is one.
#[inline(always)]
fn until_nul(word: u64) -> (u64, bool) {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit that is set is that of the first byte that is zero.
    let zeros = word.wrapping_sub(LOW) & !word & HIGH;
    if zeros == 0 {
        return (word, false);
    }
    // All bits below the marked byte's own, which are those of the bytes before it.
    let below = (zeros & zeros.wrapping_neg()) - 1;
    (word & (below >> 7), true)
}

/// Whether two dots are next to each other in a word, or end it and begin the next one.
#[inline(always)]
pub fn has_dots(word: u64, next: u64) -> bool {
    const REST: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let difference = word ^ 0x2e2e_2e2e_2e2e_2e2e;
    // The highest bit of every byte that is a dot, and of no other.
    let dots = !((difference & REST).wrapping_add(REST) | difference | REST);
    let first = u64::from(next & 0xff == 0x2e) << 63;
    dots & (dots >> 8 | first) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_name_ends_at_its_first_nul() {
        let name = |text: &[u8; 16]| {
            let word = |at: usize| u64::from_le_bytes(text[at..at + 8].try_into().unwrap());
            hash_name(9, [word(0), word(8)])
        };
        assert_eq!(name(b"bash\0ld name\0\0\0\0"), name(b"bash\0\0\0\0\0\0\0\0\0\0\0\0"));
        assert_eq!(name(b"12345678\0garbage"), name(b"12345678\0\0\0\0\0\0\0\0"));
        assert_ne!(name(b"bash\0\0\0\0\0\0\0\0\0\0\0\0"), name(b"bas\0\0\0\0\0\0\0\0\0\0\0\0\0"));
        assert_ne!(name(b"12345678a\0\0\0\0\0\0\0"), name(b"12345678b\0\0\0\0\0\0\0"));
        for text in [b"abcdefgh", b"abcdefg\0", b"\0bcdefgh", b"a\x01\0\x01\x01\xff\x80c"] {
            let len = text.iter().position(|byte| *byte == 0).unwrap_or(8);
            let mut expected = [0; 8];
            expected[..len].copy_from_slice(&text[..len]);
            assert_eq!(
                until_nul(u64::from_le_bytes(*text)),
                (u64::from_le_bytes(expected), len < 8),
                "{text:?}"
            );
        }
    }

    #[test]
    fn two_dots_are_found_where_they_are() {
        let word = |text: &[u8; 8]| u64::from_le_bytes(*text);
        for (first, second, expected) in [
            (b"/a/b/c/d", b"\0\0\0\0\0\0\0\0", false),
            (b"../a/b/c", b"\0\0\0\0\0\0\0\0", true),
            (b"/a/b/c..", b"\0\0\0\0\0\0\0\0", true),
            (b"/a/b/c/.", b"./a\0\0\0\0\0", true),
            (b"/a/b/c/.", b"a.b\0\0\0\0\0", false),
            (b"a.b.c.d.", b"a\0\0\0\0\0\0\0", false),
            (b"./a/./b.", b"/\0\0\0\0\0\0\0", false),
            (b"\0\0\0\0\0\0\0\0", b"..\0\0\0\0\0\0", false),
        ] {
            assert_eq!(has_dots(word(first), word(second)), expected, "{first:?} {second:?}");
        }
    }
}
