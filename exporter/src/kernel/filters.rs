//! From clauses to the tables by which the kernel side filters: see `exporter_common::filter`.

use std::collections::BTreeMap;

use aya::maps::{Array, MapData};
use exporter_common::{
    event_type::{EVENT_TYPE_SLOTS, EventType},
    filter::{
        BANKS, Filter, KEY_COMPONENT, KEY_DIRECTORY, KEY_EXACT,
        keys::{KEYS, KeyKind, KeyTable, hash_key, hash_name, hash_port, mix, slots},
        paths::{Component, NAME_WORDS, ROOT, component, within},
    },
    object::{FILTER_KEYS, FILTERS},
};

use super::KernelError;
use crate::rules::{Clause, Clauses, Dim, PathKey, PathKind};

/// The filters of one bank.
#[derive(Clone, Debug)]
pub struct FilterTables {
    /// By event type id.
    pub filters: Vec<Filter>,
    /// Masks by the slot of a key's hash.
    pub keys: Keys,
}

/// The table of keys of one bank.
#[derive(Clone, Debug)]
pub struct Keys(pub Vec<u64>);

impl KeyTable for Keys {
    fn at(&self, index: u32) -> u64 {
        self.0.get(index as usize).copied().unwrap_or_default()
    }
}

impl FilterTables {
    /// Of the event types that have clauses, none of which allows everything.
    pub fn new(filters: &BTreeMap<EventType, Clauses>) -> FilterTables {
        let mut tables = FilterTables {
            filters: vec![Filter::default(); EVENT_TYPE_SLOTS as usize],
            keys: Keys(vec![0; KEYS as usize]),
        };
        for (event_type, clauses) in filters {
            let Some(list) = clauses.list() else { continue };
            let mut filter = Filter::default();
            for (bit, clause) in list.iter().enumerate() {
                tables.keys.add(&mut filter, u32::from(event_type.id()), 1 << bit, clause);
            }
            if let Some(slot) = tables.filters.get_mut(usize::from(event_type.id())) {
                *slot = filter;
            }
        }
        tables
    }
}

/// The two banks in the kernel: one is in force while the other is written.
pub(super) struct Banks {
    filters: Array<MapData, Filter>,
    keys: Array<MapData, u64>,
    /// What each bank holds.
    written: [FilterTables; BANKS as usize],
    /// The filters in force, and the bank they are in.
    current: BTreeMap<EventType, Clauses>,
    bank: usize,
}

impl Banks {
    pub fn new(filters: Array<MapData, Filter>, keys: Array<MapData, u64>) -> Banks {
        let empty = FilterTables::new(&BTreeMap::new());
        Banks { filters, keys, written: [empty.clone(), empty], current: BTreeMap::new(), bank: 0 }
    }

    /// Writes filters to the bank that is not in force, unless they are what is. Returns the bank to use, as in
    /// `TypeConfig`.
    pub fn write(&mut self, filters: &BTreeMap<EventType, Clauses>) -> Result<u32, KernelError> {
        if *filters != self.current {
            let bank = 1 - self.bank;
            let tables = FilterTables::new(filters);
            let Some(written) = self.written.get_mut(bank) else { return Ok(0) };
            put(&mut self.filters, FILTERS, bank, &mut written.filters, tables.filters)?;
            put(&mut self.keys, FILTER_KEYS, bank, &mut written.keys.0, tables.keys.0)?;
            self.bank = bank;
            self.current.clone_from(filters);
        }
        Ok(self.bank as u32 + 1)
    }
}

/// Writes what differs.
fn put<T: aya::Pod + PartialEq>(
    map: &mut Array<MapData, T>,
    name: &'static str,
    bank: usize,
    written: &mut [T],
    new: Vec<T>,
) -> Result<(), KernelError> {
    let first = bank * new.len();
    for (index, (written, new)) in written.iter_mut().zip(new).enumerate() {
        if *written != new {
            map.set((first + index) as u32, new, 0).map_err(|source| KernelError::map(name, source))?;
            *written = new;
        }
    }
    Ok(())
}

impl Keys {
    fn add(&mut self, filter: &mut Filter, event_type: u32, bit: u64, clause: &Clause) {
        filter.all |= bit;
        for dim in Dim::ALL {
            let masks: &mut [u64] = match dim {
                Dim::Result => &mut filter.results,
                Dim::Open => &mut filter.opens,
                Dim::Container => &mut filter.containers,
                Dim::RawName => &mut filter.raw_names,
                Dim::Kind => &mut filter.kinds,
                Dim::Protocol => &mut filter.protocols,
                Dim::Address => &mut filter.addresses,
            };
            for (class, mask) in masks.iter_mut().enumerate() {
                if clause.allowed(dim) >> class & 1 == 1 {
                    *mask |= bit;
                }
            }
        }
        match &clause.names {
            None => filter.any_name |= bit,
            Some(names) => names.iter().for_each(|name| self.name(event_type, bit, name)),
        }
        match &clause.ports {
            None => filter.any_port |= bit,
            Some(ports) => ports.iter().for_each(|port| self.enter(hash_port(event_type, *port), bit)),
        }
        match &clause.paths {
            None => filter.any_path |= bit,
            Some(paths) => paths.iter().for_each(|path| self.path(filter, event_type, bit, path)),
        }
    }

    fn enter(&mut self, hash: u64, bit: u64) {
        let (first, second) = slots(hash);
        for slot in [first, second] {
            if let Some(mask) = self.0.get_mut(slot as usize) {
                *mask |= bit;
            }
        }
    }

    fn name(&mut self, event_type: u32, bit: u64, name: &[u8]) {
        // The kernel cuts names to 15 bytes: a longer one is nobody's.
        if name.len() < 16 {
            self.enter(hash_name(event_type, [word(name, 0), word(name, 1)]), bit);
        }
    }

    fn path(&mut self, filter: &mut Filter, event_type: u32, bit: u64, path: &PathKey) {
        let keys = &mut filter.path;
        let walk = |items: &mut dyn Iterator<Item = &[u8]>| {
            items.fold(ROOT, |walked, item| mix(walked, component_of(item).hash))
        };
        let depth = path.components().count() as u32;
        let (kind, length, hash) = match path.kind {
            PathKind::Exact => {
                keys.kinds |= KEY_EXACT;
                (KeyKind::Exact, 0, walk(&mut path.components()))
            }
            PathKind::Directory => {
                keys.kinds |= KEY_DIRECTORY;
                (KeyKind::Directory, 0, walk(&mut path.components()))
            }
            PathKind::Prefix => {
                keys.prefix_depth = keys.prefix_depth.max(depth);
                (KeyKind::Prefix, 0, walk(&mut path.components()))
            }
            PathKind::Part => {
                let folders = depth.saturating_sub(1);
                let part = path.components().next_back().unwrap_or_default();
                keys.prefix_depth = keys.prefix_depth.max(folders);
                keys.part_lengths |= 1 << part.len();
                let walked = walk(&mut path.components().take(folders as usize));
                (KeyKind::Part, part.len() as u32, mix(walked, word(part, 0)))
            }
            PathKind::Suffix => {
                keys.suffix_depth = keys.suffix_depth.max(depth);
                (KeyKind::Suffix, 0, walk(&mut path.components().rev()))
            }
            PathKind::End => {
                keys.end_lengths |= 1 << path.text.len();
                (KeyKind::End, path.text.len() as u32, word(&path.text, 0))
            }
            PathKind::Component => {
                keys.kinds |= KEY_COMPONENT;
                (KeyKind::Component, 0, component_of(&path.text).hash)
            }
        };
        self.enter(hash_key(event_type, kind, length, hash), bit);
    }
}

/// A component as the kernel side hashes it.
pub fn component_of(name: &[u8]) -> Component {
    let mut words = [0; NAME_WORDS];
    for (index, to) in words.iter_mut().enumerate() {
        *to = word(name, index);
    }
    component(words, name.len() as u64)
}

/// Eight bytes of a text as a little-endian word, zero-padded.
fn word(text: &[u8], index: usize) -> u64 {
    let mut bytes = [0; 8];
    let rest = text.get(index * 8..).unwrap_or_default();
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    within(u64::from_le_bytes(bytes), rest.len() as i64)
}
