//! What of a condition the kernel can check: necessary conditions, so that an event which no rule can match need
//! not leave the kernel.
//!
//! A condition, specialised for an event type, becomes a list of [`Clause`]s: whatever the condition matches fulfils
//! one of them. Each comparison becomes what the kernel can tell about it ([`atom`]), or nothing, and then it is
//! left to user space. `exporter_common::filter` says how clauses are checked; the `kernel` module writes the tables.

mod atom;
mod clause;
mod path;

pub use clause::{Clause, Clauses, Dim};
pub use path::{PathKey, PathKind};

use std::collections::{BTreeSet, HashMap};

use exporter_common::event_type::EventType;

use super::{
    graph::{Edge, Graph, Node},
    typed::{Expr, ExprId, Expressions},
};
use crate::fields::{FieldRef, Scheme};

/// A conjunction of alternatives is not multiplied out beyond this many clauses; one side is dropped instead.
const MAX_PRODUCT: usize = 256;

/// The necessary conditions of one event type's rules.
pub(super) struct Necessary<'g, 'a> {
    graph: &'g Graph<'a>,
    scheme: &'static Scheme,
    event_type: EventType,
    known: HashMap<Edge, Clauses>,
}

impl<'g, 'a> Necessary<'g, 'a> {
    pub fn new(graph: &'g Graph<'a>, scheme: &'static Scheme, event_type: EventType) -> Necessary<'g, 'a> {
        Necessary { graph, scheme, event_type, known: HashMap::new() }
    }

    /// What must hold of an event that fulfils this condition.
    pub fn of(&mut self, edge: Edge) -> Clauses {
        if let Some(known) = self.known.get(&edge) {
            return known.clone();
        }
        let graph = self.graph;
        let clauses = match graph.nodes().get(edge.node() as usize) {
            Some(Node::And(members)) if edge.negated() => {
                let mut any = Clauses::never();
                for member in members {
                    any.or(self.of(member.not()));
                }
                any
            }
            Some(Node::And(members)) => {
                let mut all = Clauses::always();
                for member in members {
                    all = all.and(&self.of(*member), MAX_PRODUCT);
                }
                all
            }
            Some(Node::Check(id)) => {
                atom::of(graph.exprs().check(*id), edge.negated(), self.scheme, self.event_type)
            }
            Some(Node::True) | None if edge.negated() => Clauses::never(),
            Some(Node::True) | None => Clauses::always(),
        };
        self.known.insert(edge, clauses.clone());
        clauses
    }
}

/// The fields of a condition of whose comparisons the kernel can tell nothing, for events of this type.
pub(super) fn unknown(
    exprs: &Expressions,
    condition: ExprId,
    scheme: &'static Scheme,
    event_type: EventType,
) -> BTreeSet<FieldRef> {
    let (mut open, mut seen, mut fields) = (vec![condition], BTreeSet::new(), BTreeSet::new());
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        match exprs.expr(id) {
            Expr::And(items) | Expr::Or(items) => open.extend(items),
            Expr::Not(inner) => open.push(*inner),
            Expr::Check(id) => {
                let check = exprs.check(*id);
                let told = |negated| !atom::of(check, negated, scheme, event_type).is_always();
                if !told(false) && !told(true) {
                    check.fields(&mut |field| {
                        fields.insert(field.clone());
                    });
                }
            }
        }
    }
    fields
}
