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
    graph::{Edge, Node, is_scan},
    tester::Tester,
    transform,
    typed::{Check, CheckId, Expressions, Term, Test},
};
use crate::fields::{Source, Subject};

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
    nodes: Vec<Step>,
    edges: Vec<Edge>,
    /// By comparison: its group.
    groups_of: Vec<u32>,
    groups: Vec<Group>,
    /// By event type id.
    by_type: Vec<Vec<Candidate>>,
    /// For an event of the syscall source without a type.
    untyped: Vec<Candidate>,
    audit: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    True,
    Comparison(u32),
    /// All of `edges[start..end]`; whether the result is worth remembering.
    And {
        start: u32,
        end: u32,
        shared: bool,
    },
}

/// Comparisons that are answered together.
#[derive(Debug)]
enum Group {
    Values {
        term: Term,
        tester: Box<Tester>,
    },
    /// One comparison of two terms.
    Pair {
        check: Box<Check>,
        number: u32,
    },
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
    /// By node: generation << 1 | result.
    nodes: Vec<u32>,
}

/// Generations are 31 bits, because a node's memory holds one more.
const LAST_GENERATION: u32 = u32::MAX >> 1;

impl Scratch {
    fn next(&mut self, program: &Program) {
        if self.program != program.id || self.generation == LAST_GENERATION {
            self.program = program.id;
            self.generation = 0;
            for (memory, size) in [
                (&mut self.groups, program.groups.len()),
                (&mut self.holds, program.groups_of.len()),
                (&mut self.nodes, program.nodes.len()),
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
        let mut edges = Vec::new();
        let steps = nodes.into_iter().zip(uses).map(|(node, uses)| match node {
            Node::True => Step::True,
            Node::Check(id) => numbers.get(&id).map_or(Step::True, |number| Step::Comparison(*number)),
            Node::And(inner) => {
                let start = edges.len() as u32;
                edges.extend_from_slice(&inner);
                Step::And { start, end: edges.len() as u32, shared: uses > 1 }
            }
        });
        let nodes = steps.collect();
        let (groups, groups_of) = group(&checks, exprs);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Program { id, nodes, edges, groups_of, groups, by_type, untyped, audit }
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
        if candidates.is_empty() {
            return;
        }
        scratch.next(self);
        let mut run = Run { program: self, subject, scratch };
        for candidate in candidates {
            if run.edge(candidate.condition) && !matched(candidate.rule) {
                return;
            }
        }
    }
}

/// Sorts comparisons into groups: by term, and by whether they read the whole value.
fn group(checks: &[CheckId], exprs: &Expressions) -> (Vec<Group>, Vec<u32>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut groups_of = Vec::with_capacity(checks.len());
    let mut known: HashMap<(&Term, bool), usize> = HashMap::new();
    for (number, id) in checks.iter().enumerate() {
        let number = number as u32;
        let check = exprs.check(*id);
        if matches!(check.test, Test::Term(..)) {
            groups_of.push(groups.len() as u32);
            groups.push(Group::Pair { check: Box::new(check.clone()), number });
            continue;
        }
        let at = *known.entry((&check.term, is_scan(&check.test))).or_insert_with(|| {
            groups.push(Group::Values { term: check.term.clone(), tester: Box::default() });
            groups.len() - 1
        });
        groups_of.push(at as u32);
        if let Some(Group::Values { tester, .. }) = groups.get_mut(at) {
            tester.add(&check.test, check.ty, number);
        }
    }
    for group in &mut groups {
        if let Group::Values { tester, .. } = group {
            tester.finish();
        }
    }
    (groups, groups_of)
}

/// The evaluation of one event.
struct Run<'r, S> {
    program: &'r Program,
    subject: &'r S,
    scratch: &'r mut Scratch,
}

impl<S: Subject> Run<'_, S> {
    fn edge(&mut self, edge: Edge) -> bool {
        let node = edge.node() as usize;
        let result = match self.program.nodes.get(node) {
            Some(Step::Comparison(number)) => self.comparison(*number),
            Some(Step::And { start, end, shared }) => self.and(node, *start, *end, *shared),
            Some(Step::True) | None => true,
        };
        result != edge.negated()
    }

    fn and(&mut self, node: usize, start: u32, end: u32, shared: bool) -> bool {
        let generation = self.scratch.generation;
        let memory = self.scratch.nodes.get(node).filter(|memory| shared && **memory >> 1 == generation);
        if let Some(memory) = memory {
            return memory & 1 == 1;
        }
        let program = self.program;
        let edges = program.edges.get(start as usize..end as usize).unwrap_or_default();
        let result = edges.iter().all(|edge| self.edge(*edge));
        if let Some(memory) = self.scratch.nodes.get_mut(node).filter(|_| shared) {
            *memory = generation << 1 | u32::from(result);
        }
        result
    }

    fn comparison(&mut self, number: u32) -> bool {
        let generation = self.scratch.generation;
        let group = self.program.groups_of.get(number as usize).copied().unwrap_or_default() as usize;
        match self.scratch.groups.get_mut(group) {
            Some(answered) if *answered == generation => {}
            Some(answered) => {
                *answered = generation;
                self.answer(group);
            }
            None => return false,
        }
        self.scratch.holds.get(number as usize) == Some(&generation)
    }

    /// Answers all comparisons of a group.
    fn answer(&mut self, group: usize) {
        let generation = self.scratch.generation;
        let holds = &mut self.scratch.holds;
        let mut hit = |number: u32| {
            if let Some(holds) = holds.get_mut(number as usize) {
                *holds = generation;
            }
        };
        match self.program.groups.get(group) {
            Some(Group::Values { term, tester }) => {
                if let Some(value) = transform::value(term, self.subject) {
                    tester.test(&value, &mut hit);
                }
            }
            Some(Group::Pair { check, number }) if check.holds(self.subject) => hit(*number),
            Some(Group::Pair { .. }) | None => {}
        }
    }
}
