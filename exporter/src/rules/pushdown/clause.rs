//! Clauses: conjunctions of facts that the kernel can check, and lists of them.

use std::{collections::BTreeSet, fmt};

use exporter_common::filter::{
    MAX_CLAUSES,
    classes::{
        ADDRESSES, CONTAINERS, KINDS, OPEN_READ, OPEN_WRITE, OPENS, PROTOCOLS, RAW_NAMES, RESULT_SUCCESS,
        RESULTS,
    },
};

use super::path::PathKey;

/// A fact with few classes (`exporter_common::filter::classes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    Result,
    Open,
    Container,
    RawName,
    Kind,
    Protocol,
    Address,
}

impl Dim {
    pub const ALL: [Dim; 7] =
        [Dim::Result, Dim::Open, Dim::Container, Dim::RawName, Dim::Kind, Dim::Protocol, Dim::Address];

    /// How many classes it has.
    pub const fn classes(self) -> usize {
        match self {
            Dim::Result => RESULTS,
            Dim::Open => OPENS,
            Dim::Container => CONTAINERS,
            Dim::RawName => RAW_NAMES,
            Dim::Kind => KINDS,
            Dim::Protocol => PROTOCOLS,
            Dim::Address => ADDRESSES,
        }
    }

    /// The set of all its classes.
    pub const fn every(self) -> u64 {
        (1 << self.classes()) - 1
    }

    const fn name(self) -> &'static str {
        match self {
            Dim::Result => "result",
            Dim::Open => "open mode",
            Dim::Container => "host or container",
            Dim::RawName => "'..' in the path as passed",
            Dim::Kind => "kind of descriptor",
            Dim::Protocol => "transport protocol",
            Dim::Address => "remote address",
        }
    }
}

/// What must hold of an event, all of it. A set that is not there allows everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// By [`Dim`]: the classes that are allowed, as bits.
    pub(super) classes: [u64; Dim::ALL.len()],
    pub names: Option<BTreeSet<Box<[u8]>>>,
    /// Remote ports.
    pub ports: Option<BTreeSet<u16>>,
    pub paths: Option<BTreeSet<PathKey>>,
}

impl Default for Clause {
    /// Allows everything.
    fn default() -> Clause {
        Clause { classes: Dim::ALL.map(Dim::every), names: None, ports: None, paths: None }
    }
}

impl Clause {
    /// Allows only these classes of one fact.
    pub fn classes(dim: Dim, allowed: u64) -> Clause {
        let mut clause = Clause::default();
        clause.classes[dim as usize] &= allowed;
        clause
    }

    /// The classes of a fact that are allowed.
    pub fn allowed(&self, dim: Dim) -> u64 {
        self.classes[dim as usize]
    }

    /// Whether nothing fulfils it.
    fn is_never(&self) -> bool {
        self.classes.contains(&0)
            || self.names.as_ref().is_some_and(BTreeSet::is_empty)
            || self.ports.as_ref().is_some_and(BTreeSet::is_empty)
            || self.paths.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Whether everything fulfils it.
    pub fn is_always(&self) -> bool {
        *self == Clause::default()
    }

    fn and(&self, other: &Clause) -> Clause {
        let mut classes = self.classes;
        for (mine, theirs) in classes.iter_mut().zip(other.classes) {
            *mine &= theirs;
        }
        Clause {
            classes,
            names: intersection(&self.names, &other.names),
            ports: intersection(&self.ports, &other.ports),
            // What both patterns match cannot be said in general: the narrower one stays.
            paths: match (&self.paths, &other.paths) {
                (Some(a), Some(b)) => Some(if breadth(a) <= breadth(b) { a } else { b }.clone()),
                (a, b) => a.as_ref().or(b.as_ref()).cloned(),
            },
        }
    }

    /// Allows what either allows, and maybe more.
    fn join(&mut self, other: Clause) {
        for (mine, theirs) in self.classes.iter_mut().zip(other.classes) {
            *mine |= theirs;
        }
        union(&mut self.names, other.names);
        union(&mut self.ports, other.ports);
        union(&mut self.paths, other.paths);
    }

    /// In how many facts they differ, those weighted by what a union would lose.
    fn distance(&self, other: &Clause) -> u32 {
        let classes = self.classes.iter().zip(other.classes).filter(|(a, b)| **a != *b).count() as u32;
        let set = |differ: bool, one_is_open: bool| match (differ, one_is_open) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 4,
        };
        classes
            + set(self.names != other.names, self.names.is_some() != other.names.is_some())
            + set(self.ports != other.ports, self.ports.is_some() != other.ports.is_some())
            + set(self.paths != other.paths, self.paths.is_some() != other.paths.is_some())
    }

    /// Whether everything that fulfils this one fulfils the other.
    fn implies(&self, other: &Clause) -> bool {
        self.classes.iter().zip(other.classes).all(|(mine, theirs)| mine & !theirs == 0)
            && within(&self.names, &other.names)
            && within(&self.ports, &other.ports)
            && within(&self.paths, &other.paths)
    }

    /// Whether their union is exactly a clause: they differ in one fact only.
    fn differs_in_one(&self, other: &Clause) -> bool {
        let classes = self.classes.iter().zip(other.classes).filter(|(a, b)| **a != *b).count();
        let sets = usize::from(self.names != other.names)
            + usize::from(self.ports != other.ports)
            + usize::from(self.paths != other.paths);
        classes + sets <= 1
    }
}

fn intersection<T: Ord + Clone>(a: &Option<BTreeSet<T>>, b: &Option<BTreeSet<T>>) -> Option<BTreeSet<T>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.intersection(b).cloned().collect()),
        (a, b) => a.as_ref().or(b.as_ref()).cloned(),
    }
}

fn union<T: Ord>(mine: &mut Option<BTreeSet<T>>, theirs: Option<BTreeSet<T>>) {
    match (&mut *mine, theirs) {
        (Some(mine), Some(theirs)) => mine.extend(theirs),
        (_, _) => *mine = None,
    }
}

fn within<T: Ord>(mine: &Option<BTreeSet<T>>, theirs: &Option<BTreeSet<T>>) -> bool {
    match (mine, theirs) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(mine), Some(theirs)) => mine.is_subset(theirs),
    }
}

/// How much of what is opened a set of patterns lets through, roughly.
fn breadth(paths: &BTreeSet<PathKey>) -> u64 {
    paths.iter().map(PathKey::breadth).sum()
}

/// Alternatives: an event that fulfils none of them is matched by nothing. At most [`MAX_CLAUSES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clauses(Vec<Clause>);

impl Clauses {
    /// Nothing fulfils it.
    pub fn never() -> Clauses {
        Clauses(Vec::new())
    }

    /// Everything fulfils it.
    pub fn always() -> Clauses {
        Clauses(vec![Clause::default()])
    }

    pub fn one(clause: Clause) -> Clauses {
        let mut clauses = Clauses::never();
        clauses.add(clause);
        clauses
    }

    /// The alternatives; `None` if one of them allows everything.
    pub fn list(&self) -> Option<&[Clause]> {
        (!self.is_always()).then_some(&self.0)
    }

    pub fn is_always(&self) -> bool {
        self.0.iter().any(Clause::is_always)
    }

    /// Allows what either allows.
    pub fn or(&mut self, other: Clauses) {
        other.0.into_iter().for_each(|clause| self.add(clause));
    }

    /// Allows what both allow, and more if there would be more than `most` alternatives.
    pub(super) fn and(&self, other: &Clauses, most: usize) -> Clauses {
        if self.0.len().saturating_mul(other.0.len()) > most {
            // Patterns of paths say most; then the list that says more with fewer alternatives.
            let worth = |clauses: &Clauses| {
                let paths = clauses.0.iter().filter(|clause| clause.paths.is_some()).count();
                (paths == clauses.0.len(), std::cmp::Reverse(clauses.0.len()))
            };
            return if worth(self) >= worth(other) { self.clone() } else { other.clone() };
        }
        let mut both = Clauses::never();
        for a in &self.0 {
            for b in &other.0 {
                both.add(a.and(b));
            }
        }
        both
    }

    fn add(&mut self, mut clause: Clause) {
        if clause.is_never() {
            return;
        }
        // A union can make another one possible.
        while let Some(at) = self.0.iter().position(|known| {
            clause.implies(known) || known.implies(&clause) || known.differs_in_one(&clause)
        }) {
            if clause.implies(&self.0[at]) {
                return;
            }
            clause.join(self.0.swap_remove(at));
        }
        self.0.push(clause);
        if self.0.len() > MAX_CLAUSES {
            self.loosen();
        }
    }

    /// Joins the two clauses whose union loses least.
    fn loosen(&mut self) {
        let mut best = (u32::MAX, 0, 0);
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in self.0.iter().enumerate().skip(i + 1) {
                let distance = a.distance(b);
                if distance < best.0 {
                    best = (distance, i, j);
                }
            }
        }
        let (_, i, j) = best;
        if i < j {
            let other = self.0.swap_remove(j);
            let mut joined = self.0.swap_remove(i);
            joined.join(other);
            self.add(joined);
        }
    }
}

/// The classes of results that are successes.
const SUCCESSES: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << RESULT_SUCCESS;

/// Whether all classes of opens in the set have this `OPEN_*` bit.
fn every_has(set: u64, bit: usize) -> bool {
    (0..OPENS).all(|class| set >> class & 1 == 0 || class & bit != 0)
}

/// At most this many items of a set are printed.
const PRINTED: usize = 8;

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for dim in Dim::ALL {
            if self.allowed(dim) != dim.every() {
                parts.push(match (dim, self.allowed(dim)) {
                    (Dim::Container, 1) => "on the host".to_owned(),
                    (Dim::Container, _) => "in a container".to_owned(),
                    (Dim::RawName, _) => "'..' in the path as passed".to_owned(),
                    (Dim::Result, set) if set & !SUCCESSES == 0 => "success".to_owned(),
                    (Dim::Result, set) if set & SUCCESSES == 0 => "failure".to_owned(),
                    (Dim::Open, set) if every_has(set, OPEN_WRITE) => "opened for writing".to_owned(),
                    (Dim::Open, set) if every_has(set, OPEN_READ) => "opened for reading".to_owned(),
                    (dim, _) => dim.name().to_owned(),
                });
            }
        }
        let list = |what: &str, items: &mut dyn Iterator<Item = String>, count: usize| {
            let mut text = items.take(PRINTED).collect::<Vec<_>>().join(", ");
            if count > PRINTED {
                text.push_str(&format!(", … ({count})"));
            }
            format!("{what} in ({text})")
        };
        if let Some(names) = &self.names {
            let mut items = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
            parts.push(list("task name", &mut items, names.len()));
        }
        if let Some(ports) = &self.ports {
            parts.push(list("remote port", &mut ports.iter().map(u16::to_string), ports.len()));
        }
        if let Some(paths) = &self.paths {
            parts.push(list("path", &mut paths.iter().map(PathKey::to_string), paths.len()));
        }
        match parts.is_empty() {
            true => f.write_str("everything"),
            false => f.write_str(&parts.join(" and ")),
        }
    }
}
