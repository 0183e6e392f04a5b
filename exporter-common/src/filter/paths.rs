//! Paths, component by component. The kernel has no text of a path: it walks from the last component to the root.

use super::{
    Filter, KEY_COMPONENT, KEY_DIRECTORY, KEY_EXACT,
    keys::{KeyKind, KeyTable, hash_key, mix},
};

/// A path with more components is not looked at: it passes. A power of two.
pub const MAX_COMPONENTS: usize = 16;
/// Of a component, the bytes that are hashed.
pub const NAME_WORDS: usize = 5;
/// What a walk begins with.
pub const ROOT: u64 = 0x7961_6775_7261;

/// One component of a path.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// Of its first bytes and its length.
    pub hash: u64,
    /// Its first eight bytes, zero-padded.
    pub first: u64,
}

/// The components of a path, the last one first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Components {
    pub items: [Component; MAX_COMPONENTS],
    pub count: u32,
    pub reserved: u32,
    /// The last bytes of the last component, up to eight, in the lowest bytes.
    pub end: u64,
    /// How many bytes the last component has.
    pub end_length: u64,
}

/// The component of this name: its first 40 bytes as words, zero-padded, and its whole length.
#[inline(always)]
pub fn component(words: [u64; NAME_WORDS], length: u64) -> Component {
    let mut hash = length;
    for word in words {
        hash = mix(hash, word);
    }
    Component { hash, first: words[0] }
}

/// The part of a little-endian word that is within a text of which `left` bytes remain.
#[inline(always)]
pub fn within(word: u64, left: i64) -> u64 {
    if left >= 8 {
        word
    } else if left <= 0 {
        0
    } else {
        word & ((1u64 << (left as u64 * 8)) - 1)
    }
}

/// How far a path has been compared.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Hash of the components so far.
    pub walked: u64,
    /// Clauses that allow the path by what was seen of it.
    pub found: u64,
}

/// The steps of a comparison: [`Filter::begin_path`], [`Filter::down`] for each component from the root on,
/// [`Filter::turn`], [`Filter::up`] for each component from the last one on. They are apart because the kernel's
/// verifier follows a loop only as a function that the kernel calls.
impl Filter {
    /// Clauses that allow this path.
    pub fn of_path(&self, table: &impl KeyTable, event_type: u32, path: &Components) -> u64 {
        let mut walk = self.begin_path();
        for depth in 0..path.count as usize {
            self.down(table, event_type, path, depth, &mut walk);
        }
        self.turn(table, event_type, path, &mut walk);
        for depth in 0..(path.count.min(self.path.suffix_depth)) as usize {
            self.up(table, event_type, path, depth, &mut walk);
        }
        walk.found
    }

    /// Before the first component.
    #[inline(always)]
    pub fn begin_path(&self) -> Walk {
        Walk { walked: ROOT, found: self.any_path }
    }

    /// The component at this depth below the root, which must be below `path.count`.
    #[inline(always)]
    pub fn down(
        &self,
        table: &impl KeyTable,
        event_type: u32,
        path: &Components,
        depth: usize,
        walk: &mut Walk,
    ) {
        let keys = &self.path;
        let count = path.count as usize;
        let key = |kind, length, hash| table.find(hash_key(event_type, kind, length, hash));
        if depth + 1 == count && keys.kinds & KEY_DIRECTORY != 0 {
            walk.found |= key(KeyKind::Directory, 0, walk.walked);
        }
        let item = &path.items[count.wrapping_sub(1 + depth) & (MAX_COMPONENTS - 1)];
        if depth as u32 <= keys.prefix_depth && keys.part_lengths != 0 {
            let mut length = 1;
            while length <= 8 {
                if keys.part_lengths & 1 << length != 0 {
                    let part = within(item.first, length as i64);
                    walk.found |= key(KeyKind::Part, length, mix(walk.walked, part));
                }
                length += 1;
            }
        }
        if keys.kinds & KEY_COMPONENT != 0 {
            walk.found |= key(KeyKind::Component, 0, item.hash);
        }
        walk.walked = mix(walk.walked, item.hash);
        if (depth as u32) < keys.prefix_depth {
            walk.found |= key(KeyKind::Prefix, 0, walk.walked);
        }
    }

    /// After the last component: the whole path, and how it ends.
    #[inline(always)]
    pub fn turn(&self, table: &impl KeyTable, event_type: u32, path: &Components, walk: &mut Walk) {
        let keys = &self.path;
        let key = |kind, length, hash| table.find(hash_key(event_type, kind, length, hash));
        if keys.kinds & KEY_DIRECTORY != 0 && path.count == 0 {
            walk.found |= key(KeyKind::Directory, 0, walk.walked);
        }
        if keys.kinds & KEY_EXACT != 0 {
            walk.found |= key(KeyKind::Exact, 0, walk.walked);
        }
        walk.walked = ROOT;
        if keys.end_lengths == 0 || path.count == 0 {
            return;
        }
        let mut length = 1;
        while length <= 8 {
            if keys.end_lengths & 1 << length != 0 && path.end_length >= length as u64 {
                // `end` holds min(8, end_length) bytes; the last `length` of them are the highest.
                let held = if path.end_length < 8 { path.end_length } else { 8 };
                let end = path.end >> (((held - length as u64) * 8) & 63);
                walk.found |= key(KeyKind::End, length, within(end, length as i64));
            }
            length += 1;
        }
    }

    /// The component at this height above the last one, which must be below `path.count` and the suffix depth.
    #[inline(always)]
    pub fn up(
        &self,
        table: &impl KeyTable,
        event_type: u32,
        path: &Components,
        height: usize,
        walk: &mut Walk,
    ) {
        walk.walked = mix(walk.walked, path.items[height & (MAX_COMPONENTS - 1)].hash);
        walk.found |= table.find(hash_key(event_type, KeyKind::Suffix, 0, walk.walked));
    }
}
