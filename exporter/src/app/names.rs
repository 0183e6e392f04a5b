//! Names of addresses: `fd.sip.name = kubernetes.default.svc` compares an address with what the name resolves
//! to. Names are resolved ahead of time, and only those that enabled rules mention; with those of the host's
//! `/etc/hosts` they are what the host vouches for. An event never waits for a name server.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    io::Read,
    net::ToSocketAddrs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{sync::watch, task::spawn_blocking};

use super::host_etc::host_etc;
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
/// The hosts file is looked at this often.
const LOOK: Duration = Duration::from_secs(5);
/// Longest hosts file that is read.
const MAX_HOSTS: u64 = 4 << 20;
/// More names than this are not resolved.
const MAX_NAMES: usize = 512;
/// The fields whose values are names of addresses.
pub(super) const FIELDS: [&str; 4] = ["fd.cip.name", "fd.sip.name", "fd.lip.name", "fd.rip.name"];

/// The names that the enabled rules of a set compare addresses with.
pub fn mentioned<'r>(sets: impl Iterator<Item = &'r RuleSet>) -> BTreeSet<String> {
    sets.flat_map(mentioned_in).collect()
}

fn mentioned_in(rules: &RuleSet) -> BTreeSet<String> {
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

/// The hosts file, read again when it changes.
#[derive(Debug)]
struct Hosts {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
    names: HostNames,
}

impl Hosts {
    fn new(path: &Path) -> Hosts {
        Hosts { path: path.to_owned(), seen: None, names: HostNames::default() }
    }

    /// Whether there is something new in it. A missing file has no names.
    fn changed(&mut self) -> bool {
        let state = fs::metadata(&self.path).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
        if state == self.seen {
            return false;
        }
        let mut text = Vec::new();
        if let Err(error) =
            fs::File::open(&self.path).and_then(|file| file.take(MAX_HOSTS).read_to_end(&mut text))
        {
            tracing::debug!(%error, "cannot read the hosts file");
        }
        self.seen = state;
        self.names = HostNames::parse(&text);
        true
    }
}

/// Resolves what `wanted` holds, again from time to time and when it changes, and follows the hosts file. Runs until
/// dropped.
pub async fn keep_resolved(mut wanted: watch::Receiver<BTreeSet<String>>, current: Arc<ArcSwap<HostNames>>) {
    let (mut hosts, mut resolved) =
        (Hosts::new(&host_etc(Path::new("/proc")).join("hosts")), HostNames::default());
    let mut due = Instant::now();
    loop {
        let names = wanted.borrow_and_update().clone();
        let resolves = Instant::now() >= due;
        if resolves && names.len() > MAX_NAMES {
            tracing::warn!(
                names = names.len(),
                MAX_NAMES,
                "too many names in rules; the rest is not resolved"
            );
        }
        let look = move || {
            let changed = hosts.changed();
            let again = resolves.then(|| resolve(&names));
            (hosts, changed, again)
        };
        let changed;
        let again;
        (hosts, changed, again) = match spawn_blocking(look).await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "names are not resolved any more");
                return;
            }
        };
        if changed || again.is_some() {
            if let Some(again) = again {
                (resolved, due) = (again, Instant::now() + REFRESH);
            }
            let mut all = hosts.names.clone();
            all.extend(&resolved);
            current.store(Arc::new(all));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            changed = wanted.changed() => match changed {
                Ok(()) => due = Instant::now(),
                Err(_) => return,
            },
        }
    }
}

/// Asks the system's resolver. A name that it does not know has no addresses.
fn resolve(names: &BTreeSet<String>) -> HostNames {
    let mut resolved = HostNames::default();
    for name in names.iter().take(MAX_NAMES) {
        match (name.as_str(), 0).to_socket_addrs() {
            Ok(addresses) => {
                addresses.for_each(|address| resolved.add(address.ip(), name));
            }
            Err(error) => tracing::debug!(name, %error, "cannot resolve a name that rules mention"),
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

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
        let names: Vec<_> = mentioned(std::iter::once(&rules)).into_iter().collect();
        assert_eq!(names, ["one.example", "three.example", "two.example"]);
    }

    #[test]
    fn an_address_has_its_names() {
        let names = ["localhost", "name.invalid"].map(str::to_owned).into();
        let resolved = resolve(&names);
        let loopback: Vec<&str> = [IpAddr::from([127, 0, 0, 1]), "::1".parse().expect("an address")]
            .into_iter()
            .flat_map(|address| resolved.of(address).iter().map(|name| &**name))
            .collect();
        assert!(loopback.contains(&"localhost"), "{loopback:?}");
        assert!(resolved.knows("localhost") && !resolved.knows("name.invalid"));
    }

    #[test]
    fn the_hosts_file_is_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("hosts");
        let mut hosts = Hosts::new(&path);
        assert!(!hosts.changed(), "there is none");
        for (text, knows) in [("10.0.0.1 db", true), ("10.0.0.1 database", false)] {
            fs::write(&path, text).expect("written");
            assert!(hosts.changed() && !hosts.changed());
            assert_eq!(hosts.names.knows("db"), knows);
        }
        fs::remove_file(&path).expect("removed");
        assert!(hosts.changed() && hosts.names.is_empty());
    }
}
