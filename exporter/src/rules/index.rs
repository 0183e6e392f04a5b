//! Which of many rules an event can match at all.
//!
//! A condition that holds makes at least one of some comparisons hold: those of a member of a conjunction, or of
//! every alternative of a disjunction. Such a *cover* is chosen for each rule. The comparisons of one term are
//! answered together, so a few answers tell which covers are touched, however many rules there are; the others
//! cannot match. A rule without a good cover is always evaluated.

use rustc_hash::FxHashMap;

/// Fewer rules are evaluated faster one after the other: each ends at its first comparison that decides it.
const MIN_RULES: usize = 32;
/// A cover that this part of the rules shares says little: it is taken only where there is no other.
const POPULAR: usize = 8;
/// Larger covers, and more of them for one rule, are not considered.
const MAX_COVER: usize = 32;
const MAX_COVERS: usize = 16;
/// Parts of a condition that are looked at: those of macros used twice are looked at twice.
const MAX_PARTS: usize = 1000;

/// A condition as far as covers depend on it.
pub(super) trait Conditions {
    type Condition: Copy;

    fn parts(&self, condition: Self::Condition) -> Parts<Self::Condition>;

    /// The group of comparisons that are answered together, and how many rules it must serve to be worth an answer
    /// for every event; `None` if it never is.
    fn group(&self, comparison: u32) -> (u32, Option<usize>);
}

/// What a condition is made of.
pub(super) enum Parts<C> {
    /// This comparison.
    Holds(u32),
    All(Vec<C>),
    Any(Vec<C>),
    /// Nothing that a cover could be made of.
    Other,
}

/// Comparisons of which one holds if the condition does.
type Cover = Vec<u32>;

/// The rules of one event type, by the comparisons that must hold.
#[derive(Debug)]
pub(super) struct Index {
    /// Groups to answer for every event.
    pub groups: Box<[u32]>,
    /// By comparison: positions of the rules to evaluate if it holds.
    positions: FxHashMap<u32, Box<[u32]>>,
    /// A bit for each rule that is always evaluated.
    always: Box<[u64]>,
}

/// Positions of rules to evaluate, in order.
#[derive(Debug, Default)]
pub(super) struct Due(Vec<u64>);

impl Due {
    fn add(&mut self, position: u32) {
        if let Some(word) = self.0.get_mut(position as usize / 64) {
            *word |= 1 << (position % 64);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            // Each step takes the lowest bit away.
            let left = |rest: &u64| Some(rest & (rest - 1)).filter(|rest| *rest != 0);
            let words = std::iter::successors(Some(*word).filter(|word| *word != 0), left);
            words.map(move |rest| index * 64 + rest.trailing_zeros() as usize)
        })
    }
}

impl Index {
    /// `None` if evaluating all of them is as well.
    pub fn new<C: Conditions>(conditions: &C, rules: &[C::Condition]) -> Option<Index> {
        if rules.len() < MIN_RULES {
            return None;
        }
        let mut uses: FxHashMap<u32, usize> = FxHashMap::default();
        for rule in rules {
            let mut mentioned = Vec::new();
            let mut left = MAX_PARTS;
            mentions(conditions, *rule, &mut mentioned, &mut left);
            for comparison in distinct(mentioned) {
                *uses.entry(comparison).or_default() += 1;
            }
        }
        let usable = |comparison: &u32| conditions.group(*comparison).1.is_some();
        let cost = |cover: &Cover| cover.iter().filter_map(|c| uses.get(c)).sum::<usize>();
        let covers: Vec<Vec<Cover>> =
            rules.iter().map(|rule| covers(conditions, *rule, &usable, &mut { MAX_PARTS })).collect();
        let rare = |cover: &&Cover| cost(cover) <= rules.len() / POPULAR;
        let mut groups = Vec::new();
        let first: Vec<Vec<&Cover>> =
            covers.iter().map(|covers| covers.iter().filter(rare).collect()).collect();
        choose(conditions, first, &mut groups);
        choose(conditions, covers.iter().map(|covers| covers.iter().collect()).collect(), &mut groups);
        let mut positions: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        let mut always = vec![0u64; rules.len().div_ceil(64)];
        for (position, covers) in covers.iter().enumerate() {
            let known = |cover: &&Cover| cover.iter().all(|c| groups.contains(&conditions.group(*c).0));
            match covers.iter().filter(known).min_by_key(|cover| cost(cover)) {
                Some(cover) => {
                    cover.iter().for_each(|c| positions.entry(*c).or_default().push(position as u32));
                }
                None => always[position / 64] |= 1 << (position % 64),
            }
        }
        let used = distinct(positions.keys().map(|comparison| conditions.group(*comparison).0).collect());
        let positions = positions.into_iter().map(|(comparison, list)| (comparison, list.into())).collect();
        (!used.is_empty()).then(|| Index { groups: used.into(), positions, always: always.into() })
    }

    /// Begins with the rules that are always evaluated.
    pub fn begin(&self, due: &mut Due) {
        due.0.clear();
        due.0.extend_from_slice(&self.always);
    }

    /// Adds the rules that need a comparison that holds.
    pub fn add(&self, comparison: u32, due: &mut Due) {
        for position in self.positions.get(&comparison).into_iter().flatten() {
            due.add(*position);
        }
    }
}

/// Takes one from what is left; false if nothing was.
fn spend(left: &mut usize) -> bool {
    match left.checked_sub(1) {
        Some(rest) => *left = rest,
        None => return false,
    }
    true
}

/// The comparisons that appear in a condition.
fn mentions<C: Conditions>(conditions: &C, condition: C::Condition, into: &mut Vec<u32>, left: &mut usize) {
    if !spend(left) {
        return;
    }
    match conditions.parts(condition) {
        Parts::Holds(comparison) => into.push(comparison),
        Parts::All(parts) | Parts::Any(parts) => {
            parts.into_iter().for_each(|part| mentions(conditions, part, into, left));
        }
        Parts::Other => {}
    }
}

/// The covers of a condition, made of usable comparisons only.
fn covers<C: Conditions>(
    conditions: &C,
    condition: C::Condition,
    usable: &impl Fn(&u32) -> bool,
    left: &mut usize,
) -> Vec<Cover> {
    if !spend(left) {
        return Vec::new();
    }
    match conditions.parts(condition) {
        Parts::Holds(comparison) if usable(&comparison) => vec![vec![comparison]],
        Parts::Holds(_) | Parts::Other => Vec::new(),
        Parts::All(parts) => {
            let all = parts.into_iter().flat_map(|part| covers(conditions, part, usable, left));
            all.take(MAX_COVERS).collect()
        }
        Parts::Any(parts) => {
            let mut joined = Cover::new();
            for part in parts {
                match covers(conditions, part, usable, left).into_iter().min_by_key(Vec::len) {
                    Some(cover) => joined.extend(cover),
                    None => return Vec::new(),
                }
            }
            let joined = distinct(joined);
            if joined.is_empty() || joined.len() > MAX_COVER { Vec::new() } else { vec![joined] }
        }
    }
}

/// Adds the groups that are worth answering, given those that are answered anyway: those first that serve most rules.
fn choose<C: Conditions>(conditions: &C, covers: Vec<Vec<&Cover>>, chosen: &mut Vec<u32>) {
    let mut shares: FxHashMap<u32, usize> = FxHashMap::default();
    // By rule: the sets of groups that would do for it.
    let mut wanted: Vec<Vec<Vec<u32>>> = Vec::new();
    for covers in covers {
        let mut options = Vec::new();
        for cover in covers {
            let mut groups = Vec::new();
            for comparison in cover {
                let (group, share) = conditions.group(*comparison);
                shares.insert(group, share.unwrap_or(usize::MAX));
                groups.push(group);
            }
            options.push(distinct(groups));
        }
        wanted.push(options);
    }
    loop {
        wanted.retain(|options| {
            !options.iter().any(|groups| groups.iter().all(|group| chosen.contains(group)))
        });
        let mut serves: FxHashMap<u32, usize> = FxHashMap::default();
        for options in &wanted {
            for group in distinct(options.iter().flatten().copied().collect()) {
                *serves.entry(group).or_default() += 1;
            }
        }
        let worth = |(group, served): &(u32, usize)| {
            !chosen.contains(group) && shares.get(group).is_some_and(|share| served >= share)
        };
        // Of equals the one with the lowest number, so that a rule set always gives the same program.
        let best = serves.into_iter().filter(worth).max_by_key(|(group, served)| (*served, u32::MAX - group));
        match best {
            Some((group, _)) => chosen.push(group),
            None => return,
        }
    }
}

fn distinct(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
