//! The optimiser's form of conditions: a graph of conjunctions in which an edge may negate.
//!
//! `a or b` is `not (not a and not b)`, so there is one kind of inner node; equal nodes are one node,
//! constants are folded and comparisons of one field in an `or` become one comparison. Conditions are
//! specialised by event type, so that `evt.type` costs nothing when an event is looked at.

use std::collections::{HashMap, HashSet};

use exporter_common::event_type::EventType;

use super::{
    constant::{Number, ValueSet},
    typed::{Check, CheckId, Expr, ExprId, Expressions, Interner, Shape, Term, TermType, Test},
};
use crate::{
    fields::{FieldArg, FieldRef, FieldType, Scheme, Value},
    glob::Simple,
};

/// A reference to a node, possibly negated: the lowest bit says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Edge(u32);

impl Edge {
    pub const TRUE: Edge = Edge(0);
    pub const FALSE: Edge = Edge(1);

    pub fn new(node: u32, negated: bool) -> Edge {
        Edge(node << 1 | u32::from(negated))
    }

    pub fn node(self) -> u32 {
        self.0 >> 1
    }

    pub fn negated(self) -> bool {
        self.0 & 1 == 1
    }

    pub fn not(self) -> Edge {
        Edge(self.0 ^ 1)
    }

    fn constant(value: bool) -> Edge {
        if value { Edge::TRUE } else { Edge::FALSE }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    True,
    Check(CheckId),
    And(Box<[Edge]>),
}

/// What evaluating a node is expected to cost, in nanoseconds, and how likely it is true.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    cost: f32,
    chance: f32,
}

/// A conjunction is not merged into the one around it beyond this many members.
const MAX_FLAT: usize = 4096;

pub(super) struct Graph<'a> {
    exprs: &'a mut Expressions,
    scheme: &'static Scheme,
    uses: HashMap<FieldRef, u32>,
    nodes: Interner<Node>,
    /// By node.
    estimates: Vec<Estimate>,
    /// Whether the event type matters to an expression.
    typed: HashMap<ExprId, bool>,
    done: HashMap<(ExprId, Option<EventType>), Edge>,
}

impl<'a> Graph<'a> {
    /// `uses`: how many rules look at a field.
    pub fn new(
        exprs: &'a mut Expressions,
        scheme: &'static Scheme,
        uses: HashMap<FieldRef, u32>,
    ) -> Graph<'a> {
        let mut graph = Graph {
            exprs,
            scheme,
            uses,
            nodes: Interner::default(),
            estimates: Vec::new(),
            typed: HashMap::new(),
            done: HashMap::new(),
        };
        graph.node(Node::True);
        graph
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes.items
    }

    pub fn exprs(&self) -> &Expressions {
        self.exprs
    }

    /// The condition for events of one type; `None`: whatever the type.
    pub fn specialise(&mut self, id: ExprId, ty: Option<EventType>) -> Edge {
        let ty = if self.depends_on_type(id) { ty } else { None };
        if let Some(edge) = self.done.get(&(id, ty)) {
            return *edge;
        }
        let edge = match self.exprs.expr(id).clone() {
            Expr::And(items) => {
                let items = items.iter().map(|item| self.specialise(*item, ty)).collect();
                self.and(items)
            }
            Expr::Or(items) => {
                let items = items.iter().map(|item| self.specialise(*item, ty).not()).collect();
                self.and(items).not()
            }
            Expr::Not(inner) => self.specialise(inner, ty).not(),
            Expr::Check(check) => self.check(check, ty),
        };
        self.done.insert((id, ty), edge);
        edge
    }

    fn depends_on_type(&mut self, id: ExprId) -> bool {
        if let Some(known) = self.typed.get(&id) {
            return *known;
        }
        let depends = match self.exprs.expr(id).clone() {
            Expr::And(items) | Expr::Or(items) => items.iter().any(|item| self.depends_on_type(*item)),
            Expr::Not(inner) => self.depends_on_type(inner),
            Expr::Check(check) => self.is_field(&self.exprs.check(check).term, "evt.type"),
        };
        self.typed.insert(id, depends);
        depends
    }

    fn is_field(&self, term: &Term, name: &str) -> bool {
        matches!(term, Term::Field(field)
            if field.arg == FieldArg::None && self.scheme.def(field.id).name == name)
    }

    fn check(&mut self, id: CheckId, ty: Option<EventType>) -> Edge {
        let check = self.exprs.check(id);
        if let Some(value) = self.constant(check, ty) {
            return Edge::constant(value);
        }
        // `!=`: there is a value and it is none of these.
        if let Test::NotIn(set) = &check.test {
            let none_of = check.ty.shape == Shape::One
                || (check.ty.shape == Shape::Any && matches!(set, ValueSet::Nets(_) | ValueSet::Numbers(_)));
            if none_of {
                let (term, ty, set) = (check.term.clone(), check.ty, set.clone());
                let exists = self.leaf(Check { term: term.clone(), ty, test: Test::Exists });
                let equal = self.leaf(Check { term, ty, test: Test::In(set) });
                return self.and(vec![exists, equal.not()]);
            }
        }
        self.node(Node::Check(id))
    }

    /// The result of a comparison that is the same for all events (of a type).
    fn constant(&self, check: &Check, ty: Option<EventType>) -> Option<bool> {
        match &check.test {
            Test::In(set) | Test::AllIn(set) if set.is_empty() => return Some(false),
            Test::OneOf(tests) if tests.is_empty() => return Some(false),
            Test::Pmatch(paths) if paths.is_empty() => return Some(false),
            // The idiom of Falco's rules for "never": events are numbered from 1.
            Test::In(ValueSet::Numbers(set))
                if set.iter().eq([&Number::Int(0)]) && self.is_field(&check.term, "evt.num") =>
            {
                return Some(false);
            }
            Test::Term(..) => return None,
            _ => {}
        }
        let ty = ty.filter(|_| self.is_field(&check.term, "evt.type"))?;
        Some(check.test.holds(check.ty, &Value::str(ty.name().as_bytes())))
    }

    fn leaf(&mut self, check: Check) -> Edge {
        let id = self.exprs.check_id(check);
        self.node(Node::Check(id))
    }

    fn node(&mut self, node: Node) -> Edge {
        let estimate = match &node {
            Node::True => Estimate { cost: 0.0, chance: 1.0 },
            Node::Check(id) => self.estimate_check(*id),
            // What comes later costs only if all before it held.
            Node::And(edges) => edges.iter().fold(Estimate { cost: 1.0, chance: 1.0 }, |sum, edge| {
                let next = self.estimate(*edge);
                Estimate { cost: sum.cost + sum.chance * next.cost, chance: sum.chance * next.chance }
            }),
        };
        let index = self.nodes.add(node);
        if index as usize == self.estimates.len() {
            self.estimates.push(estimate);
        }
        Edge::new(index, false)
    }

    fn estimate(&self, edge: Edge) -> Estimate {
        let known = self.estimates.get(edge.node() as usize).copied();
        let Estimate { cost, chance } = known.unwrap_or(Estimate { cost: 0.0, chance: 1.0 });
        Estimate { cost, chance: if edge.negated() { 1.0 - chance } else { chance } }
    }

    /// Members of a conjunction are asked in this order: those first that decide it at the least cost.
    fn rank(&self, edge: Edge) -> f32 {
        let Estimate { cost, chance } = self.estimate(edge);
        cost / (1.0 - chance).max(0.001)
    }

    /// Roughly what it takes, in nanoseconds, to get the value and test it, and how likely it holds.
    fn estimate_check(&self, id: CheckId) -> Estimate {
        let check = self.exprs.check(id);
        let mut cost: f32 = match (&check.test, class(&check.test)) {
            (Test::Exists | Test::Compare(..), _) => 1.0,
            (Test::Term(..) | Test::OneOf(_), _) => 40.0,
            (_, Class::Scan) => 40.0,
            (_, Class::Glob) => 60.0,
            (_, Class::Regex) => 100.0,
            _ if matches!(check.ty.ty, FieldType::String) => 8.0,
            _ => 3.0,
        };
        check.fields(&mut |field| {
            let def = self.scheme.def(field.id);
            let several = Shape::from(self.scheme.cardinality(field)) != Shape::One;
            let fetch = match def.name.split('.').next() {
                _ if several => 60.0,
                Some("evt" | "fd") => 10.0,
                Some("user" | "group" | "container" | "k8s") => 20.0,
                _ if field.arg != FieldArg::None => 30.0,
                _ => 20.0,
            };
            // What other rules ask for as well is likely there already, or will be needed anyway.
            cost += fetch / self.uses.get(field).copied().unwrap_or(1).clamp(1, 8) as f32;
        });
        if !matches!(check.term, Term::Field(_)) {
            cost += 60.0;
        }
        Estimate { cost, chance: chance(&check.test) }
    }

    /// The conjunction, simplified.
    fn and(&mut self, edges: Vec<Edge>) -> Edge {
        let mut flat = Vec::with_capacity(edges.len());
        for edge in edges {
            match self.nodes.items.get(edge.node() as usize) {
                Some(Node::And(inner)) if !edge.negated() && flat.len() + inner.len() <= MAX_FLAT => {
                    flat.extend_from_slice(inner);
                }
                _ => flat.push(edge),
            }
        }
        let mut flat = self.merge(flat);
        flat.sort_unstable();
        flat.dedup();
        flat.retain(|edge| *edge != Edge::TRUE);
        // Sorted, an edge and its negation are neighbours.
        let contradiction = flat.windows(2).any(|pair| matches!(pair, [a, b] if a.not() == *b));
        if contradiction || flat.contains(&Edge::FALSE) {
            return Edge::FALSE;
        }
        match flat.as_slice() {
            [] => Edge::TRUE,
            [only] => *only,
            _ => {
                flat.sort_by(|a, b| self.rank(*a).total_cmp(&self.rank(*b)).then(a.cmp(b)));
                self.node(Node::And(flat.into()))
            }
        }
    }

    /// Joins `not (f = a)` and `not (f = b)` to `not (f in (a, b))`, and so for the other tests.
    fn merge(&mut self, edges: Vec<Edge>) -> Vec<Edge> {
        let mut kept = Vec::with_capacity(edges.len());
        let mut groups: HashMap<(Term, TermType, Class), Vec<CheckId>> = HashMap::new();
        let mut order = Vec::new();
        for edge in edges {
            let check = match self.nodes.items.get(edge.node() as usize) {
                Some(Node::Check(id)) if edge.negated() => Some(*id),
                _ => None,
            };
            let Some(id) = check.filter(|id| can_merge(&self.exprs.check(*id).test)) else {
                kept.push(edge);
                continue;
            };
            let check = self.exprs.check(id);
            let key = (check.term.clone(), check.ty, class(&check.test));
            let group = groups.entry(key.clone()).or_default();
            if group.is_empty() {
                order.push(key);
            }
            group.push(id);
        }
        for key in order {
            let ids = groups.remove(&key).unwrap_or_default();
            let edge = match ids.as_slice() {
                [only] => self.node(Node::Check(*only)),
                ids => {
                    let tests = ids.iter().map(|id| self.exprs.check(*id).test.clone()).collect();
                    let (term, ty, _) = key;
                    self.leaf(Check { term, ty, test: any(tests) })
                }
            };
            kept.push(edge.not());
        }
        kept
    }
}

/// Tests that hold if they hold for one of a field's values.
fn can_merge(test: &Test) -> bool {
    match test {
        Test::In(_)
        | Test::Compare(..)
        | Test::Contains(_)
        | Test::Icontains(_)
        | Test::Startswith(_)
        | Test::Endswith(_)
        | Test::Glob(_)
        | Test::Regex(_)
        | Test::Pmatch(_)
        | Test::Any(_) => true,
        Test::Exists | Test::NotIn(_) | Test::AllIn(_) | Test::OneOf(_) | Test::Term(..) => false,
    }
}

/// What it takes to test a value. Comparisons of one term are answered together only within a class, so
/// that a dear one is never answered because a cheap one was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// A look-up, a walk along the beginning or the end of a string.
    Lookup,
    /// A walk along the whole string, for all substrings at once.
    Scan,
    /// All expressions at once.
    Regex,
    /// A walk along the whole string, for this pattern alone.
    Glob,
}

pub(super) fn class(test: &Test) -> Class {
    match test {
        Test::Contains(_) | Test::Icontains(_) => Class::Scan,
        Test::Regex(_) => Class::Regex,
        Test::Glob(glob) => match glob.simple() {
            Some(Simple::Exact(_) | Simple::Prefix(_) | Simple::Suffix(_)) => Class::Lookup,
            Some(Simple::Contains(_)) => Class::Scan,
            None => Class::Glob,
        },
        // Only tests of one class are merged.
        Test::Any(tests) => tests.first().map_or(Class::Lookup, class),
        _ => Class::Lookup,
    }
}

/// How likely a test holds. Conditions look for what is rare.
fn chance(test: &Test) -> f32 {
    match test {
        Test::Exists | Test::NotIn(_) => 0.9,
        Test::In(ValueSet::Strings(set)) => (0.02 + 0.005 * set.len() as f32).min(0.4),
        Test::In(ValueSet::Bools(_)) => 0.4,
        Test::In(_) | Test::AllIn(_) | Test::Contains(_) | Test::Icontains(_) => 0.1,
        Test::Startswith(_) | Test::Pmatch(_) | Test::OneOf(_) => 0.1,
        Test::Endswith(_) | Test::Glob(_) | Test::Regex(_) => 0.05,
        Test::Compare(..) => 0.6,
        Test::Term(..) => 0.2,
        Test::Any(tests) => 1.0 - tests.iter().fold(1.0, |none, test| none * (1.0 - chance(test))),
    }
}

/// One test for several: sets become one set.
#[expect(
    clippy::mutable_key_type,
    reason = "equality and hash of a regular expression are those of its pattern"
)]
fn any(tests: Vec<Test>) -> Test {
    let mut sets: Option<ValueSet> = None;
    let mut others: Vec<Test> = Vec::new();
    let mut seen: HashSet<Test> = HashSet::new();
    let mut add = |test: Test, others: &mut Vec<Test>| match (test, &mut sets) {
        (Test::In(set), Some(known)) => known.merge(&set),
        (Test::In(set), none) => *none = Some(set),
        (test, _) if !seen.insert(test.clone()) => {}
        (test, _) => others.push(test),
    };
    for test in tests {
        match test {
            Test::Any(inner) => inner.into_vec().into_iter().for_each(|test| add(test, &mut others)),
            test => add(test, &mut others),
        }
    }
    others.extend(sets.map(Test::In));
    match others.pop() {
        Some(only) if others.is_empty() => only,
        last => {
            others.extend(last);
            Test::Any(others.into())
        }
    }
}
