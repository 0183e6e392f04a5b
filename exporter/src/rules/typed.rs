//! What a condition means, with names resolved and types checked: the form from which rules are compiled
//! and from which conditions are explained.
//!
//! Nodes live in one arena per rule set and equal nodes are one node, so a macro that many rules use is
//! there once.

use std::{collections::HashMap, hash::Hash};

use super::{
    ast::{Function, Operator},
    constant::{Number, ValueSet},
    regexp::Regexp,
};
use crate::{
    fields::{Cardinality, FieldRef, FieldType},
    glob::Glob,
};

/// Index of an [`Expr`] in [`Expressions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExprId(u32);

/// Index of a [`Check`] in [`Expressions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckId(u32);

/// A typed condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    And(Box<[ExprId]>),
    Or(Box<[ExprId]>),
    Not(ExprId),
    Check(CheckId),
}

/// One comparison: a term and what must hold for its value. False if the term has no value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    pub term: Term,
    pub ty: TermType,
    pub test: Test,
}

/// Something that has a value for an event, or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    Field(FieldRef),
    Call(Function, Box<[Term]>),
    /// `getopt(arguments, optstring)[option]`.
    Option(Box<[Term]>, u8),
    String(Box<[u8]>),
    List(Box<[Term]>),
}

impl Check {
    /// The fields it reads.
    pub fn fields<'t>(&'t self, found: &mut impl FnMut(&'t FieldRef)) {
        self.term.fields(found);
        if let Test::Term(_, term) = &self.test {
            term.fields(found);
        }
    }
}

impl Term {
    /// The fields it reads.
    pub fn fields<'t>(&'t self, found: &mut impl FnMut(&'t FieldRef)) {
        match self {
            Term::Field(field) => found(field),
            Term::Call(_, args) | Term::Option(args, _) | Term::List(args) => {
                args.iter().for_each(|arg| arg.fields(found));
            }
            Term::String(_) => {}
        }
    }
}

/// The type of a term's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TermType {
    pub ty: FieldType,
    pub shape: Shape,
}

/// [`Cardinality`], hashable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    One,
    Any,
    List,
}

impl From<Cardinality> for Shape {
    fn from(cardinality: Cardinality) -> Shape {
        match cardinality {
            Cardinality::One => Shape::One,
            Cardinality::Any => Shape::Any,
            Cardinality::List => Shape::List,
        }
    }
}

/// What must hold for a value. With several values ([`Shape::Any`], [`Shape::List`]) it must hold for one
/// of them, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// There is a value.
    Exists,
    /// `=`, `in`, `intersects`: the value is one of these.
    In(ValueSet),
    /// `!=`: the value is none of these. Of several addresses, networks or ports none may be.
    NotIn(ValueSet),
    /// `in` on a list: each value is one of these.
    AllIn(ValueSet),
    /// `<`, `<=`, `>`, `>=`.
    Compare(Operator, Number),
    /// `contains`, `bcontains`.
    Contains(Box<[u8]>),
    /// `icontains`: in lower case.
    Icontains(Box<[u8]>),
    /// `startswith`, `bstartswith`.
    Startswith(Box<[u8]>),
    Endswith(Box<[u8]>),
    /// `glob`, `iglob`.
    Glob(Glob),
    /// `regex`: the whole value matches.
    Regex(Regexp),
    /// `pmatch`: the value is one of these paths or below one.
    Pmatch(Box<[Glob]>),
    /// At least one of these holds, for the same value. Made by the optimiser.
    Any(Box<[Test]>),
    /// `oneof`: exactly one of these holds.
    OneOf(Box<[Test]>),
    /// Compared with another term's value.
    Term(Operator, Term),
}

/// The arena of typed conditions.
#[derive(Clone, Debug, Default)]
pub struct Expressions {
    exprs: Interner<Expr>,
    /// By expression: how deep it is.
    depths: Vec<u32>,
    checks: Interner<Check>,
}

impl Expressions {
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs.items[id.0 as usize]
    }

    pub fn check(&self, id: CheckId) -> &Check {
        &self.checks.items[id.0 as usize]
    }

    /// How many distinct comparisons there are.
    pub fn check_count(&self) -> usize {
        self.checks.items.len()
    }

    pub(super) fn depth(&self, id: ExprId) -> u32 {
        self.depths.get(id.0 as usize).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, expr: Expr) -> ExprId {
        let depth = match &expr {
            Expr::And(items) | Expr::Or(items) => items.iter().map(|id| self.depth(*id)).max().unwrap_or(0),
            Expr::Not(inner) => self.depth(*inner),
            Expr::Check(_) => 0,
        };
        let id = self.exprs.add(expr);
        if id as usize == self.depths.len() {
            self.depths.push(depth + 1);
        }
        ExprId(id)
    }

    /// The index of a comparison that need not be a node.
    pub(super) fn check_id(&mut self, check: Check) -> CheckId {
        CheckId(self.checks.add(check))
    }

    pub(super) fn add_check(&mut self, check: Check) -> ExprId {
        let id = CheckId(self.checks.add(check));
        self.add(Expr::Check(id))
    }
}

/// Equal items get the same index.
#[derive(Clone, Debug)]
pub(super) struct Interner<T> {
    pub items: Vec<T>,
    indexes: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Interner<T> {
        Interner { items: Vec::new(), indexes: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub fn add(&mut self, item: T) -> u32 {
        if let Some(index) = self.indexes.get(&item) {
            return *index;
        }
        let index = self.items.len() as u32;
        self.items.push(item.clone());
        self.indexes.insert(item, index);
        index
    }
}
