//! Compiled rules, and their evaluation.
//!
//! Comparisons of the same term share a [`Tester`]; when one of them is needed, the term's value is fetched
//! and all of them are answered. Which have been answered for the current event is known by a generation
//! number, so that nothing is cleared between events.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use exporter_common::event_type::EventType;

use super::{
    graph::{Class, Edge, Node, class},
    index::{Conditions, Due, Index, Parts},
    tester::Tester,
    transform,
    typed::{Check, CheckId, Expressions, Term, Test},
};
use crate::fields::{FieldRef, Source, Subject};

/// A rule that can match, with what is left of its condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub rule: u32,
    pub condition: Edge,
}

#[derive(Debug)]
pub(super) struct Program {
    /// Which scratch belongs to this program.
    id: u64,
    /// The members of all conjunctions.
    members: Vec<Member>,
    /// How many results of conjunctions are remembered.
    memories: usize,
    /// How many comparisons there are.
    comparisons: usize,
    groups: Vec<Group>,
    /// By event type id.
    by_type: Vec<Roots>,
    /// For an event of the syscall source without a type.
    untyped: Roots,
    audit: Roots,
}

/// The rules that an event of one type can match.
#[derive(Debug)]
struct Roots {
    list: Vec<Root>,
    /// Which of them to evaluate; all if there is none.
    index: Option<Index>,
}

/// A [`Candidate`] whose condition has become a step.
#[derive(Clone, Copy, Debug)]
struct Root {
    rule: u32,
    condition: Member,
}

/// An [`Edge`] with what it leads to.
#[derive(Clone, Copy, Debug)]
struct Member {
    step: Step,
    negated: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    True,
    Comparison {
        number: u32,
        group: u32,
    },
    /// All of `members[start..end]`.
    And {
        start: u32,
        end: u32,
    },
    /// The same, needed in several places: the result is remembered.
    Shared {
        start: u32,
        end: u32,
        memory: u32,
    },
}

/// Comparisons that are answered together.
#[derive(Debug)]
enum Group {
    /// All comparisons of a field that are of one class.
    Field { field: FieldRef, tester: Box<Tester> },
    /// The same for a transformer's result.
    Computed { term: Term, tester: Box<Tester> },
    /// One comparison of two terms.
    Pair { check: Box<Check>, number: u32 },
}

/// What one thread needs to evaluate rules. One scratch may be used with any rule set; it allocates when
/// it meets another one.
#[derive(Debug, Default)]
pub struct Scratch {
    program: u64,
    generation: u32,
    /// By group: the generation in which it was answered.
    groups: Vec<u32>,
    /// By comparison: the last generation in which it held.
    holds: Vec<u32>,
    /// Remembered results: generation << 1 | result.
    memories: Vec<u32>,
    due: Due,
}

/// Generations are 31 bits, because a memory holds one more.
const LAST_GENERATION: u32 = u32::MAX >> 1;

impl Scratch {
    fn next(&mut self, program: &Program) {
        if self.program != program.id || self.generation == LAST_GENERATION {
            self.program = program.id;
            self.generation = 0;
            for (memory, size) in [
                (&mut self.groups, program.groups.len()),
                (&mut self.holds, program.comparisons),
                (&mut self.memories, program.memories),
            ] {
                memory.clear();
                memory.resize(size, 0);
            }
        }
        self.generation += 1;
    }
}

impl Program {
    pub fn new(
        nodes: Vec<Node>,
        checks: Vec<CheckId>,
        exprs: &Expressions,
        by_type: Vec<Vec<Candidate>>,
        untyped: Vec<Candidate>,
        audit: Vec<Candidate>,
    ) -> Program {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let numbers: HashMap<CheckId, u32> =
            checks.iter().enumerate().map(|(number, id)| (*id, number as u32)).collect();
        let mut uses = vec![0u32; nodes.len()];
        let roots =
            by_type.iter().flatten().chain(&untyped).chain(&audit).map(|candidate| candidate.condition);
        for edge in roots {
            uses[edge.node() as usize] += 1;
        }
        for node in &nodes {
            if let Node::And(edges) = node {
                edges.iter().for_each(|edge| uses[edge.node() as usize] += 1);
            }
        }
        let Grouping { groups, groups_of, implied } = group(&checks, exprs);
        let comparisons = groups_of.len();
        // A node comes after the ones it refers to, so their steps are known.
        let (mut steps, mut members, mut memories) = (Vec::with_capacity(nodes.len()), Vec::new(), 0);
        let member = |steps: &[Step], edge: Edge| Member {
            step: steps.get(edge.node() as usize).copied().unwrap_or(Step::True),
            negated: edge.negated(),
        };
        for (node, uses) in nodes.into_iter().zip(uses) {
            steps.push(match node {
                Node::True => Step::True,
                Node::Check(id) => {
                    let number = numbers.get(&id).copied().unwrap_or_default();
                    let group = groups_of.get(number as usize).copied().unwrap_or_default();
                    Step::Comparison { number, group }
                }
                Node::And(edges) => {
                    let start = members.len() as u32;
                    members.extend(edges.iter().map(|edge| member(&steps, *edge)));
                    let (end, memory) = (members.len() as u32, memories as u32);
                    if uses > 1 {
                        memories += 1;
                        Step::Shared { start, end, memory }
                    } else {
                        Step::And { start, end }
                    }
                }
            });
        }
        let shares: Vec<Option<usize>> = groups.iter().map(Group::share).collect();
        let conditions =
            Compiled { members: &members, groups_of: &groups_of, shares: &shares, implied: &implied };
        let roots = |list: Vec<Candidate>| -> Roots {
            let root = |Candidate { rule, condition }| Root { rule, condition: member(&steps, condition) };
            let list: Vec<Root> = list.into_iter().map(root).collect();
            let rules: Vec<Member> = list.iter().map(|root| root.condition).collect();
            Roots { index: Index::new(&conditions, &rules), list }
        };
        let by_type = by_type.into_iter().map(roots).collect();
        let (untyped, audit) = (roots(untyped), roots(audit));
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Program { id, members, memories, comparisons, groups, by_type, untyped, audit }
    }

    /// Calls `matched` with the index of each rule that matches, in order, until it returns `false`.
    pub fn evaluate<S: Subject>(
        &self,
        subject: &S,
        scratch: &mut Scratch,
        mut matched: impl FnMut(u32) -> bool,
    ) {
        let candidates = match (subject.source(), subject.event_type()) {
            (Source::K8sAudit, _) => &self.audit,
            (Source::Syscall, None) => &self.untyped,
            (Source::Syscall, Some(ty)) => match self.by_type.get(usize::from(EventType::id(ty))) {
                Some(candidates) => candidates,
                None => return,
            },
        };
        if candidates.list.is_empty() {
            return;
        }
        scratch.next(self);
        let mut run = Run { program: self, subject, scratch };
        let mut evaluate = |run: &mut Run<'_, S>, candidate: &Root| {
            !run.holds(candidate.condition) || matched(candidate.rule)
        };
        let Some(index) = &candidates.index else {
            candidates.list.iter().all(|candidate| evaluate(&mut run, candidate));
            return;
        };
        let due = run.due(index);
        due.iter().filter_map(|position| candidates.list.get(position)).all(|root| evaluate(&mut run, root));
        scratch.due = due;
    }
}

impl Group {
    /// How many rules an answer must serve to be worth it for every event: it spares each of them a comparison or
    /// two.
    fn share(&self) -> Option<usize> {
        match self {
            Group::Field { tester, .. } if tester.reads_whole() => Some(24),
            Group::Field { .. } => Some(8),
            Group::Computed { .. } | Group::Pair { .. } => None,
        }
    }
}

/// Conditions as [`Index`] sees them.
struct Compiled<'p> {
    members: &'p [Member],
    groups_of: &'p [u32],
    shares: &'p [Option<usize>],
    implied: &'p HashMap<u32, u32>,
}

impl Conditions for Compiled<'_> {
    type Condition = Member;

    fn parts(&self, condition: Member) -> Parts<Member> {
        match (condition.step, condition.negated) {
            (Step::Comparison { number, .. }, false) => {
                Parts::Holds(self.implied.get(&number).copied().unwrap_or(number))
            }
            (Step::And { start, end } | Step::Shared { start, end, .. }, negated) => {
                let members = self.members.get(start as usize..end as usize).unwrap_or_default();
                if negated {
                    let not = |member: &Member| Member { step: member.step, negated: !member.negated };
                    Parts::Any(members.iter().map(not).collect())
                } else {
                    Parts::All(members.to_vec())
                }
            }
            (Step::Comparison { .. }, true) | (Step::True, _) => Parts::Other,
        }
    }

    fn group(&self, comparison: u32) -> (u32, Option<usize>) {
        let group = self.groups_of.get(comparison as usize).copied().unwrap_or_default();
        (group, self.shares.get(group as usize).copied().flatten())
    }
}

/// All comparisons, in groups.
struct Grouping {
    groups: Vec<Group>,
    /// By comparison.
    groups_of: Vec<u32>,
    /// Of a pattern that is tested alone: the comparison with the text that it begins with, which holds if the
    /// pattern matches and is answered together with others.
    implied: HashMap<u32, u32>,
}

/// Sorts comparisons into groups: by term, and by what they take.
fn group(checks: &[CheckId], exprs: &Expressions) -> Grouping {
    let mut groups: Vec<Group> = Vec::new();
    let mut groups_of = Vec::with_capacity(checks.len());
    let mut known: HashMap<(&Term, Class, Option<u32>), usize> = HashMap::new();
    for (number, id) in checks.iter().enumerate() {
        let number = number as u32;
        let check = exprs.check(*id);
        if matches!(check.test, Test::Term(..)) {
            groups_of.push(groups.len() as u32);
            groups.push(Group::Pair { check: Box::new(check.clone()), number });
            continue;
        }
        let class = class(&check.test);
        // Patterns share no work.
        let alone = (class == Class::Glob).then_some(number);
        let at = *known.entry((&check.term, class, alone)).or_insert_with(|| {
            let tester = Box::default();
            groups.push(match &check.term {
                Term::Field(field) => Group::Field { field: field.clone(), tester },
                term => Group::Computed { term: term.clone(), tester },
            });
            groups.len() - 1
        });
        groups_of.push(at as u32);
        if let Some(Group::Field { tester, .. } | Group::Computed { tester, .. }) = groups.get_mut(at) {
            tester.add(&check.test, check.ty, number);
        }
    }
    let mut implied = HashMap::new();
    for (number, id) in checks.iter().enumerate() {
        let check = exprs.check(*id);
        let Test::Glob(glob) = &check.test else { continue };
        let Some((prefix, _)) = glob.literal_ends().filter(|(prefix, _)| !prefix.is_empty()) else {
            continue;
        };
        let at = known.get(&(&check.term, Class::Lookup, None)).copied();
        if let Some(at) = at.filter(|_| class(&check.test) == Class::Glob)
            && let Some(Group::Field { tester, .. }) = groups.get_mut(at)
        {
            let next = groups_of.len() as u32;
            tester.add(&Test::Startswith(prefix), check.ty, next);
            groups_of.push(at as u32);
            implied.insert(number as u32, next);
        }
    }
    for group in &mut groups {
        if let Group::Field { tester, .. } | Group::Computed { tester, .. } = group {
            tester.finish();
        }
    }
    Grouping { groups, groups_of, implied }
}

/// The evaluation of one event.
struct Run<'r, S> {
    program: &'r Program,
    subject: &'r S,
    scratch: &'r mut Scratch,
}

impl<S: Subject> Run<'_, S> {
    fn holds(&mut self, member: Member) -> bool {
        let result = match member.step {
            Step::Comparison { number, group } => self.comparison(number, group as usize),
            Step::And { start, end } => self.all(start, end),
            Step::Shared { start, end, memory } => self.remembered(start, end, memory as usize),
            Step::True => true,
        };
        result != member.negated
    }

    fn all(&mut self, start: u32, end: u32) -> bool {
        let program = self.program;
        let members = program.members.get(start as usize..end as usize).unwrap_or_default();
        members.iter().all(|member| match member.step {
            // Most members are comparisons; asking them here spares a call.
            Step::Comparison { number, group } => self.comparison(number, group as usize) != member.negated,
            _ => self.holds(*member),
        })
    }

    fn remembered(&mut self, start: u32, end: u32, memory: usize) -> bool {
        let generation = self.scratch.generation;
        if let Some(known) = self.scratch.memories.get(memory).filter(|known| **known >> 1 == generation) {
            return known & 1 == 1;
        }
        let result = self.all(start, end);
        if let Some(memory) = self.scratch.memories.get_mut(memory) {
            *memory = generation << 1 | u32::from(result);
        }
        result
    }

    #[inline]
    fn comparison(&mut self, number: u32, group: usize) -> bool {
        let generation = self.scratch.generation;
        match self.scratch.groups.get_mut(group) {
            Some(answered) if *answered == generation => {}
            Some(answered) => {
                *answered = generation;
                self.answer(group, |_| ());
            }
            None => return false,
        }
        self.scratch.holds.get(number as usize) == Some(&generation)
    }

    /// The rules of an index that can match.
    fn due(&mut self, index: &Index) -> Due {
        let mut due = std::mem::take(&mut self.scratch.due);
        index.begin(&mut due);
        for group in &index.groups {
            if let Some(answered) = self.scratch.groups.get_mut(*group as usize) {
                *answered = self.scratch.generation;
            }
            self.answer(*group as usize, |number| index.add(number, &mut due));
        }
        due
    }

    /// Answers all comparisons of a group, and says which hold.
    #[inline(never)]
    fn answer(&mut self, group: usize, mut says: impl FnMut(u32)) {
        let generation = self.scratch.generation;
        let holds = &mut self.scratch.holds;
        let mut hit = |number: u32| {
            says(number);
            if let Some(holds) = holds.get_mut(number as usize) {
                *holds = generation;
            }
        };
        match self.program.groups.get(group) {
            Some(Group::Field { field, tester }) => {
                if let Some(value) = self.subject.get(field) {
                    tester.test(&value, &mut hit);
                }
            }
            Some(Group::Computed { term, tester }) => {
                if let Some(value) = transform::value(term, self.subject) {
                    tester.test(&value, &mut hit);
                }
            }
            Some(Group::Pair { check, number }) if check.holds(self.subject) => hit(*number),
            Some(Group::Pair { .. }) | None => {}
        }
    }
}
