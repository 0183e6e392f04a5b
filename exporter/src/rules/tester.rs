//! All tests of one term's value at once: the value is looked at once, whatever the number of rules that
//! compare it.
//!
//! Each test is put where it is found fastest: equality in a hash table, prefixes, suffixes and paths in
//! tries, substrings in an Aho-Corasick automaton, regular expressions in one set.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};
use ipnet::IpNet;
use memchr::memmem::Finder;
use regex::bytes::RegexSet;
use rustc_hash::FxHashMap;

use super::{
    ast::Operator,
    constant::{Number, ValueSet},
    regexp::{self, Regexp},
    semantics::{is_below, ordered, with_bytes},
    transform,
    trie::Trie,
    typed::{TermType, Test},
};
use crate::{
    fields::Value,
    glob::{Glob, Simple},
};

const EXACT: u8 = 1;
const PREFIXES: u8 = 2;
const SUFFIXES: u8 = 4;
const PATHS: u8 = 8;
const OTHER_BYTES: u8 = 16;

/// The tests of one term. A hit is the number of a comparison that holds.
#[derive(Debug, Default)]
pub(super) struct Tester {
    /// Hold if there is a value at all.
    exists: Vec<u32>,
    exact: FxHashMap<Box<[u8]>, Vec<u32>>,
    prefixes: Trie,
    /// Keys reversed.
    suffixes: Trie,
    paths: Trie,
    contains: Substrings,
    icontains: Substrings,
    regexes: Regexes,
    globs: Vec<(Glob, u32)>,
    path_globs: Vec<(Glob, u32)>,
    /// Few, so that a tree is faster than hashing.
    numbers: BTreeMap<i128, Vec<u32>>,
    ordered: Vec<(Operator, Number, u32)>,
    /// False, true.
    bools: [Vec<u32>; 2],
    addresses: FxHashMap<IpAddr, Vec<u32>>,
    nets: Vec<(IpNet, u32)>,
    /// Tested one by one, on each value or on a list as a whole.
    others: Vec<(Test, TermType, u32)>,
    /// Which kinds of tests on bytes there are: most terms have one or two.
    kinds: u8,
}

impl Tester {
    /// Adds a comparison. After the last one, [`Tester::finish`].
    pub fn add(&mut self, test: &Test, ty: TermType, number: u32) {
        match test {
            Test::Exists => self.exists.push(number),
            Test::In(set) => self.add_set(set, test, ty, number),
            Test::Compare(operator, constant) => self.ordered.push((*operator, *constant, number)),
            Test::Contains(needle) if needle.is_empty() => self.exists.push(number),
            Test::Contains(needle) => self.contains.add(needle, number),
            Test::Icontains(needle) if needle.is_empty() => self.exists.push(number),
            Test::Icontains(needle) => self.icontains.add(needle, number),
            Test::Startswith(prefix) => self.prefixes.insert(prefix, number),
            Test::Endswith(suffix) => self.add_suffix(suffix, number),
            Test::Glob(glob) => match glob.simple() {
                Some(Simple::Exact(text)) => self.exact.entry(text).or_default().push(number),
                Some(Simple::Prefix(text)) => self.prefixes.insert(&text, number),
                Some(Simple::Suffix(text)) => self.add_suffix(&text, number),
                Some(Simple::Contains(text)) if text.is_empty() => self.exists.push(number),
                Some(Simple::Contains(text)) => self.contains.add(&text, number),
                None => self.globs.push((glob.clone(), number)),
            },
            Test::Regex(regexp) => self.regexes.add(regexp, number),
            Test::Pmatch(paths) => {
                for path in paths {
                    match path.literal() {
                        Some(path) => self.paths.insert(&path, number),
                        None => self.path_globs.push((path.clone(), number)),
                    }
                }
            }
            Test::Any(tests) => tests.iter().for_each(|test| self.add(test, ty, number)),
            Test::NotIn(_) | Test::AllIn(_) | Test::OneOf(_) | Test::Term(..) => {
                self.others.push((test.clone(), ty, number));
            }
        }
    }

    fn add_suffix(&mut self, suffix: &[u8], number: u32) {
        let reversed: Vec<u8> = suffix.iter().rev().copied().collect();
        self.suffixes.insert(&reversed, number);
    }

    fn add_set(&mut self, set: &ValueSet, test: &Test, ty: TermType, number: u32) {
        match set {
            ValueSet::Strings(strings) => {
                for string in strings {
                    self.exact.entry(string.clone()).or_default().push(number);
                }
            }
            ValueSet::Bools(bools) => {
                for value in bools {
                    self.bools[usize::from(*value)].push(number);
                }
            }
            ValueSet::Numbers(numbers) if numbers.iter().all(|n| matches!(n, Number::Int(_))) => {
                for constant in numbers {
                    if let Number::Int(constant) = constant {
                        self.numbers.entry(*constant).or_default().push(number);
                    }
                }
            }
            ValueSet::Numbers(_) => self.others.push((test.clone(), ty, number)),
            ValueSet::Nets(nets) => {
                for net in nets {
                    if net.prefix_len() == net.max_prefix_len() {
                        self.addresses.entry(net.addr()).or_default().push(number);
                    } else {
                        self.nets.push((*net, number));
                    }
                }
            }
        }
    }

    /// Builds the automata.
    pub fn finish(&mut self) {
        self.contains.build(false);
        self.icontains.build(true);
        self.regexes.build();
        let whole = !(self.contains.is_empty()
            && self.icontains.is_empty()
            && self.regexes.is_empty()
            && self.globs.is_empty()
            && self.path_globs.is_empty());
        let kinds = [
            (EXACT, !self.exact.is_empty()),
            (PREFIXES, !self.prefixes.is_empty()),
            (SUFFIXES, !self.suffixes.is_empty()),
            (PATHS, !self.paths.is_empty()),
            (OTHER_BYTES, whole),
        ];
        self.kinds = kinds.iter().filter(|(_, used)| *used).fold(0, |kinds, (kind, _)| kinds | kind);
    }

    /// Whether a string is read from end to end.
    pub fn reads_whole(&self) -> bool {
        self.kinds & OTHER_BYTES != 0
    }

    /// Calls `hit` with the number of each comparison that holds, perhaps more than once.
    pub fn test(&self, value: &Value<'_>, hit: &mut impl FnMut(u32)) {
        let items = transform::items(value);
        if items.is_empty() {
            return;
        }
        self.exists.iter().for_each(|number| hit(*number));
        for item in items {
            self.test_one(item, hit);
        }
        for (test, ty, number) in &self.others {
            if test.holds(*ty, value) {
                hit(*number);
            }
        }
    }

    fn test_one(&self, value: &Value<'_>, hit: &mut impl FnMut(u32)) {
        let mut all = |hits: Option<&Vec<u32>>| hits.into_iter().flatten().for_each(|number| hit(*number));
        match value {
            Value::Bool(value) => all(self.bools.get(usize::from(*value))),
            Value::Ip(address) => {
                all(self.addresses.get(address));
                for (net, number) in &self.nets {
                    if net.contains(address) {
                        hit(*number);
                    }
                }
            }
            value => {
                if let Some(number) = Number::of(value) {
                    self.test_number(number, hit);
                }
            }
        }
        if self.kinds != 0 {
            with_bytes(value, |bytes| self.test_bytes(bytes, hit));
        }
    }

    fn test_number(&self, number: Number, hit: &mut impl FnMut(u32)) {
        if let Number::Int(number) = number {
            self.numbers.get(&number).into_iter().flatten().for_each(|number| hit(*number));
        }
        for (operator, constant, holds) in &self.ordered {
            if ordered(*operator, number, *constant) {
                hit(*holds);
            }
        }
    }

    fn test_bytes(&self, bytes: &[u8], hit: &mut impl FnMut(u32)) {
        let kinds = self.kinds;
        if kinds & EXACT != 0 {
            self.exact.get(bytes).into_iter().flatten().for_each(|number| hit(*number));
        }
        if kinds & PREFIXES != 0 {
            self.prefixes.prefixes(bytes, |_, hits| hits.iter().for_each(|number| hit(*number)));
        }
        if kinds & SUFFIXES != 0 {
            self.suffixes.suffixes(bytes, |hits| hits.iter().for_each(|number| hit(*number)));
        }
        if kinds & PATHS != 0 {
            self.paths.prefixes(bytes, |length, hits| {
                if matches!(bytes.get(length), None | Some(b'/')) {
                    hits.iter().for_each(|number| hit(*number));
                }
            });
        }
        if kinds & OTHER_BYTES != 0 {
            self.test_whole(bytes, hit);
        }
    }

    /// The tests that read all of a string. Apart, so that the others do not pay for its registers.
    #[inline(never)]
    fn test_whole(&self, bytes: &[u8], hit: &mut impl FnMut(u32)) {
        self.contains.test(bytes, hit);
        self.icontains.test(bytes, hit);
        self.regexes.test(bytes, hit);
        for (glob, number) in &self.globs {
            if glob.matches(bytes) {
                hit(*number);
            }
        }
        for (path, number) in &self.path_globs {
            if is_below(path, bytes) {
                hit(*number);
            }
        }
    }
}

/// As many substrings are found faster one after the other, with vector instructions, than by an automaton.
const FEW: usize = 2;

/// Substrings, found by one automaton.
#[derive(Default)]
struct Substrings {
    needles: Vec<Box<[u8]>>,
    /// By needle.
    hits: Vec<Vec<u32>>,
    automaton: Option<AhoCorasick>,
    /// For a few needles, each by itself.
    finders: Vec<Finder<'static>>,
    ignore_case: bool,
}

impl fmt::Debug for Substrings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Substrings({} needles)", self.needles.len())
    }
}

impl Substrings {
    fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    fn add(&mut self, needle: &[u8], number: u32) {
        match self.needles.iter().position(|known| **known == *needle) {
            Some(at) => self.hits[at].push(number),
            None => {
                self.needles.push(needle.into());
                self.hits.push(vec![number]);
            }
        }
    }

    fn build(&mut self, ignore_case: bool) {
        self.ignore_case = ignore_case;
        if self.needles.is_empty() {
            return;
        }
        if self.needles.len() <= FEW && !ignore_case {
            self.finders = self.needles.iter().map(|needle| Finder::new(needle).into_owned()).collect();
            return;
        }
        let length: usize = self.needles.iter().map(|needle| needle.len()).sum();
        // A DFA reads a byte with one lookup, but grows with the needles.
        let kind = if length < 4096 { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let build = |kind| {
            AhoCorasickBuilder::new().ascii_case_insensitive(ignore_case).kind(kind).build(&self.needles)
        };
        self.automaton = build(Some(kind)).or_else(|_| build(None)).ok();
    }

    fn test(&self, text: &[u8], hit: &mut impl FnMut(u32)) {
        for (finder, hits) in self.finders.iter().zip(&self.hits) {
            if finder.find(text).is_some() {
                hits.iter().for_each(|number| hit(*number));
            }
        }
        match &self.automaton {
            _ if self.finders.len() == self.needles.len() => {}
            Some(automaton) => {
                for found in automaton.find_overlapping_iter(text) {
                    let hits = self.hits.get(found.pattern().as_usize());
                    hits.into_iter().flatten().for_each(|number| hit(*number));
                }
            }
            // Only if the automaton would be too large to build.
            None => {
                for (needle, hits) in self.needles.iter().zip(&self.hits) {
                    let test = if self.ignore_case {
                        Test::Icontains(needle.clone())
                    } else {
                        Test::Contains(needle.clone())
                    };
                    if test.holds_for(&Value::str(text)) {
                        hits.iter().for_each(|number| hit(*number));
                    }
                }
            }
        }
    }
}

/// Regular expressions, matched as one set.
#[derive(Debug, Default)]
struct Regexes {
    regexes: Vec<(Regexp, u32)>,
    set: Option<RegexSet>,
}

impl Regexes {
    fn is_empty(&self) -> bool {
        self.regexes.is_empty()
    }

    fn add(&mut self, regexp: &Regexp, number: u32) {
        self.regexes.push((regexp.clone(), number));
    }

    fn build(&mut self) {
        if self.regexes.len() > 1 {
            self.set = regexp::set(self.regexes.iter().map(|(regexp, _)| regexp));
        }
    }

    fn test(&self, text: &[u8], hit: &mut impl FnMut(u32)) {
        match &self.set {
            // Asking whether any matches allocates nothing; which ones do is asked only then.
            Some(set) => {
                let matches = set.is_match(text).then(|| set.matches(text));
                for at in matches.iter().flatten() {
                    self.regexes.get(at).into_iter().for_each(|(_, number)| hit(*number));
                }
            }
            None => {
                for (regexp, number) in &self.regexes {
                    if regexp.matches(text) {
                        hit(*number);
                    }
                }
            }
        }
    }
}
