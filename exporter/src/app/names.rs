//! Names of addresses: `fd.sip.name = kubernetes.default.svc` compares an address with what the name resolves
//! to. Names are resolved ahead of time, and only those that enabled rules mention; an event never waits for
//! a name server.

use std::{
    collections::{BTreeSet, HashSet},
    net::ToSocketAddrs,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    enrich::HostNames,
    fields::{FieldId, Source, scheme},
    rules::{
        RuleSet, ValueSet,
        typed::{Expr, ExprId, Expressions, Term, Test},
    },
};

/// Names are resolved again after this time.
const REFRESH: Duration = Duration::from_secs(300);
/// More names than this are not resolved.
const MAX_NAMES: usize = 512;
/// The fields whose values are names of addresses.
const FIELDS: [&str; 4] = ["fd.cip.name", "fd.sip.name", "fd.lip.name", "fd.rip.name"];

/// The names that the enabled rules of a set compare addresses with.
pub fn mentioned(rules: &RuleSet) -> BTreeSet<String> {
    let scheme = scheme();
    let fields = FIELDS.iter().filter_map(|name| scheme.resolve(Source::Syscall, name, None).ok());
    let fields: Vec<FieldId> = fields.map(|field| field.id).collect();
    let mut walk =
        Walk { expressions: rules.expressions(), fields, seen: HashSet::new(), names: BTreeSet::new() };
    rules.rules().iter().filter(|rule| rule.enabled).for_each(|rule| walk.expr(rule.condition));
    walk.names
}

struct Walk<'a> {
    expressions: &'a Expressions,
    fields: Vec<FieldId>,
    seen: HashSet<ExprId>,
    names: BTreeSet<String>,
}

impl Walk<'_> {
    fn expr(&mut self, id: ExprId) {
        if !self.seen.insert(id) {
            return;
        }
        let expressions = self.expressions;
        match expressions.expr(id) {
            Expr::And(items) | Expr::Or(items) => items.iter().for_each(|item| self.expr(*item)),
            Expr::Not(inner) => self.expr(*inner),
            Expr::Check(check) => {
                let check = expressions.check(*check);
                if matches!(&check.term, Term::Field(field) if self.fields.contains(&field.id)) {
                    self.test(&check.test);
                }
            }
        }
    }

    fn test(&mut self, test: &Test) {
        match test {
            Test::In(ValueSet::Strings(names))
            | Test::NotIn(ValueSet::Strings(names))
            | Test::AllIn(ValueSet::Strings(names)) => {
                self.names
                    .extend(names.iter().filter_map(|name| Some(str::from_utf8(name).ok()?.to_owned())));
            }
            Test::Any(tests) | Test::OneOf(tests) => tests.iter().for_each(|test| self.test(test)),
            // Patterns name no host that could be asked for.
            _ => {}
        }
    }
}

/// Resolves what `wanted` holds, again from time to time and when it changes. Runs until dropped.
pub async fn keep_resolved(mut wanted: watch::Receiver<BTreeSet<String>>, current: Arc<ArcSwap<HostNames>>) {
    loop {
        let names = wanted.borrow_and_update().clone();
        if !names.is_empty() || !current.load().is_empty() {
            if names.len() > MAX_NAMES {
                tracing::warn!(
                    names = names.len(),
                    MAX_NAMES,
                    "too many names in rules; the rest is not resolved"
                );
            }
            match spawn_blocking(move || resolve(&names)).await {
                Ok(resolved) => current.store(Arc::new(resolved)),
                Err(error) => tracing::error!(%error, "cannot resolve names"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            changed = wanted.changed() => if changed.is_err() { return },
        }
    }
}

/// Asks the system's resolver. A name that it does not know has no addresses.
fn resolve(names: &BTreeSet<String>) -> HostNames {
    let mut resolved = HostNames::new();
    for name in names.iter().take(MAX_NAMES) {
        match (name.as_str(), 0).to_socket_addrs() {
            Ok(addresses) => {
                for address in addresses {
                    let known = resolved.entry(address.ip()).or_default();
                    if !known.iter().any(|known| **known == **name) {
                        known.push(name.as_str().into());
                    }
                }
            }
            Err(error) => tracing::debug!(name, %error, "cannot resolve a name that rules mention"),
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{self, LoadOptions, SourceFile};

    #[test]
    fn names_are_those_that_enabled_rules_compare_with() {
        let rule = |name: &str, condition: &str, enabled: bool| {
            format!(
                "- rule: {name}\n  desc: d\n  condition: evt.type = connect and {condition}\n  output: o\n  \
                 priority: INFO\n  enabled: {enabled}\n"
            )
        };
        let text =
            rule("a", "(fd.sip.name = one.example or not fd.cip.name in (two.example, three.example))", true)
                + &rule("b", "fd.sip.name = off.example", false)
                + &rule("c", "fd.name = other.example and fd.rip.name endswith .example", true);
        let file = SourceFile { name: "r.yaml".into(), text };
        let rules = rules::load(&[file], &LoadOptions::default()).rules.expect("rules");
        let names: Vec<_> = mentioned(&rules).into_iter().collect();
        assert_eq!(names, ["one.example", "three.example", "two.example"]);
    }

    #[test]
    fn an_address_has_its_names() {
        let names = ["localhost", "name.invalid"].map(str::to_owned).into();
        let resolved = resolve(&names);
        let loopback = resolved.iter().find(|(address, _)| address.is_loopback());
        assert_eq!(loopback.map(|(_, names)| names.as_slice()), Some(&["localhost".into()][..]));
        assert!(resolved.values().flatten().all(|name| &**name == "localhost"));
    }
}
