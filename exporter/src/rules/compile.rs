//! From typed rules to a rule set: for each event type the rules that can match it, with their conditions
//! specialised and simplified.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use exporter_common::{
    event_type::{EVENT_TYPE_SLOTS, EventType},
    object::can_filter,
};

use super::{
    Necessary, Requirements, Rule, RuleMatching, RuleSet,
    graph::{Edge, Graph, Node},
    program::{Candidate, Program},
    pushdown,
    typed::{CheckId, Expressions},
};
use crate::fields::{FieldRef, Scheme, Source};

pub(super) fn compile(
    mut rules: Vec<Rule>,
    mut exprs: Expressions,
    matching: RuleMatching,
    scheme: &'static Scheme,
) -> RuleSet {
    let mut uses: HashMap<FieldRef, u32> = HashMap::new();
    for field in rules.iter().filter(|rule| rule.enabled).flat_map(|rule| &rule.fields) {
        *uses.entry(field.clone()).or_default() += 1;
    }
    let mut graph = Graph::new(&mut exprs, scheme, uses);
    let mut by_type: Vec<Vec<(u32, Edge)>> = vec![Vec::new(); EVENT_TYPE_SLOTS as usize];
    let mut untyped = Vec::new();
    let mut audit = Vec::new();
    for (index, rule) in rules.iter_mut().enumerate() {
        let any = graph.specialise(rule.condition, None);
        match rule.source {
            Source::K8sAudit if rule.enabled && any != Edge::FALSE => audit.push((index as u32, any)),
            Source::K8sAudit => {}
            Source::Syscall => {
                for ty in EventType::ALL {
                    let edge = graph.specialise(rule.condition, Some(*ty));
                    if edge == Edge::FALSE {
                        continue;
                    }
                    rule.event_types.push(*ty);
                    if rule.enabled {
                        by_type[usize::from(ty.id())].push((index as u32, edge));
                    }
                }
                if rule.enabled && any != Edge::FALSE {
                    untyped.push((index as u32, any));
                }
            }
        }
    }
    if matching == RuleMatching::MostSevere {
        // They are tried in this order. The sort keeps that of the files among equals.
        let severity = |(index, _): &(u32, Edge)| rules.get(*index as usize).map(|rule| rule.priority);
        for list in by_type.iter_mut().chain([&mut untyped, &mut audit]) {
            list.sort_by_key(severity);
        }
    }
    let requirements = requirements(&rules, &by_type, &audit, &graph);
    let necessary = necessary(&by_type, &graph, scheme);
    let mut builder = Builder::default();
    let by_type: Vec<Vec<Candidate>> =
        by_type.into_iter().map(|list| builder.candidates(&graph, list)).collect();
    let untyped = builder.candidates(&graph, untyped);
    let audit = builder.candidates(&graph, audit);
    let program = Program::new(builder.nodes, builder.checks, graph.exprs(), by_type, untyped, audit);
    RuleSet::new(rules, exprs, program, requirements, necessary, matching)
}

/// What the kernel can check of each event type's rules.
fn necessary(
    by_type: &[Vec<(u32, Edge)>],
    graph: &Graph<'_>,
    scheme: &'static Scheme,
) -> BTreeMap<EventType, Vec<Necessary>> {
    let mut necessary = BTreeMap::new();
    for ty in EventType::ALL.iter().filter(|ty| can_filter(**ty)) {
        let list = by_type.get(usize::from(ty.id())).map(Vec::as_slice).unwrap_or_default();
        let mut conditions = pushdown::Necessary::new(graph, scheme, *ty);
        let of_rule =
            |(rule, edge): &(u32, Edge)| Necessary { rule: *rule as usize, clauses: conditions.of(*edge) };
        if !list.is_empty() {
            necessary.insert(*ty, list.iter().map(of_rule).collect());
        }
    }
    necessary
}

/// The fields that each event type's rules look at.
fn requirements(
    rules: &[Rule],
    by_type: &[Vec<(u32, Edge)>],
    audit: &[(u32, Edge)],
    graph: &Graph<'_>,
) -> Requirements {
    let fields_of = |list: &[(u32, Edge)]| {
        let mut fields: BTreeSet<FieldRef> = BTreeSet::new();
        let mut seen = vec![false; graph.nodes().len()];
        for (rule, edge) in list {
            condition_fields(graph, *edge, &mut seen, &mut fields);
            if let Some(rule) = rules.get(*rule as usize) {
                fields.extend(rule.output.fields().into_iter().cloned());
            }
        }
        fields.into_iter().collect::<Vec<_>>()
    };
    let mut types = BTreeMap::new();
    for ty in EventType::ALL {
        let list = by_type.get(usize::from(ty.id())).map(Vec::as_slice).unwrap_or_default();
        if !list.is_empty() {
            types.insert(*ty, fields_of(list));
        }
    }
    Requirements { types, audit: fields_of(audit) }
}

fn condition_fields(graph: &Graph<'_>, edge: Edge, seen: &mut [bool], fields: &mut BTreeSet<FieldRef>) {
    let mut open = vec![edge.node()];
    while let Some(node) = open.pop() {
        match seen.get_mut(node as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        match graph.nodes().get(node as usize) {
            Some(Node::Check(id)) => graph.exprs().check(*id).fields(&mut |field| {
                fields.insert(field.clone());
            }),
            Some(Node::And(edges)) => open.extend(edges.iter().map(|edge| edge.node())),
            Some(Node::True) | None => {}
        }
    }
}

/// Numbers the nodes and comparisons that are used.
#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    numbers: HashMap<u32, u32>,
    checks: Vec<CheckId>,
    check_numbers: HashMap<CheckId, u32>,
}

impl Builder {
    fn candidates(&mut self, graph: &Graph<'_>, list: Vec<(u32, Edge)>) -> Vec<Candidate> {
        list.into_iter().map(|(rule, edge)| Candidate { rule, condition: self.edge(graph, edge) }).collect()
    }

    fn edge(&mut self, graph: &Graph<'_>, edge: Edge) -> Edge {
        if let Some(number) = self.numbers.get(&edge.node()) {
            return Edge::new(*number, edge.negated());
        }
        let node = match graph.nodes().get(edge.node() as usize) {
            Some(Node::And(edges)) => {
                let edges = edges.clone();
                Node::And(edges.iter().map(|edge| self.edge(graph, *edge)).collect())
            }
            Some(Node::Check(id)) => {
                let next = self.checks.len() as u32;
                self.check_numbers.entry(*id).or_insert_with(|| {
                    self.checks.push(*id);
                    next
                });
                Node::Check(*id)
            }
            Some(Node::True) | None => Node::True,
        };
        let number = self.nodes.len() as u32;
        self.nodes.push(node);
        self.numbers.insert(edge.node(), number);
        Edge::new(number, edge.negated())
    }
}
