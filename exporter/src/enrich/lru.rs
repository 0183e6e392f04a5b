//! A bounded map that forgets what was not used for longest, cheaply.
//!
//! Two generations: when the young one is half the bound, it becomes the old one and what was old and not
//! used since is dropped. A lookup moves an entry to the young generation. Never holds more than its bound.

use std::hash::Hash;

use rustc_hash::FxHashMap;

#[derive(Debug)]
pub struct LruMap<K, V> {
    young: FxHashMap<K, V>,
    old: FxHashMap<K, V>,
    half: usize,
    evicted: u64,
}

impl<K: Hash + Eq + Clone, V> LruMap<K, V> {
    pub fn new(bound: usize) -> LruMap<K, V> {
        LruMap {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            half: (bound / 2).max(1),
            evicted: 0,
        }
    }

    pub fn get(&mut self, key: K) -> Option<&mut V> {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key)?;
            self.insert(key.clone(), value);
        }
        self.young.get_mut(&key)
    }

    /// A value without counting as its use.
    pub fn peek(&self, key: K) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.evicted += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub fn remove(&mut self, key: K) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries dropped because of the bound.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_what_is_used_stays() {
        let mut map = LruMap::new(8);
        for key in 0..1000 {
            map.insert(key, key);
            assert_eq!(map.get(0).copied(), Some(0), "used all the time");
            assert!(map.len() <= 8, "{}", map.len());
        }
        assert_eq!(map.get(1), None);
        assert_eq!(map.get(999).copied(), Some(999));
        assert_eq!(map.evicted(), 1000 - map.len() as u64);
        map.remove(999);
        assert_eq!(map.get(999), None);
    }

    #[test]
    fn inserting_again_replaces() {
        let mut map = LruMap::new(2);
        map.insert(1, 'a');
        map.insert(2, 'b');
        map.insert(1, 'c');
        assert_eq!((map.len(), map.get(1).copied()), (2, Some('c')));
    }
}
