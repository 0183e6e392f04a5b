//! `tenants`: who owns what, and what each has of its own.

use std::collections::{BTreeMap, HashSet};

use super::{
    RateLimit, priority_names,
    raw::selections,
    walk::{Errors, Map, Spanned},
};
use crate::{
    detection::PLATFORM_TENANT,
    journal::DEFAULT_SHARE,
    rules::Priority,
    tenants::{DEFAULT_SERIES, Label, Pattern, Scope, Tenant},
};

/// Reads the list, and their shares of the journal.
pub(super) fn read(
    root: &mut Map<'_>,
    errors: &mut Errors,
    window: std::time::Duration,
    shares: &mut BTreeMap<String, f64>,
) -> Vec<Tenant> {
    let mut names = HashSet::new();
    let mut tenants = Vec::new();
    for (at, mut entry) in root.maps("tenants", errors) {
        let name = entry.string("name", errors);
        match &name {
            None => errors.at(at, "a tenant must have a name".into()),
            Some(Spanned { value, at }) => {
                if let Err(problem) = check_name(value, &mut names) {
                    errors.at(*at, problem);
                }
            }
        }
        let mut tenant = Tenant {
            name: name.map_or_else(|| "".into(), |name| name.value.into()),
            namespaces: Vec::new(),
            labels: Vec::new(),
            annotations: Vec::new(),
            namespace_labels: Vec::new(),
            node_labels: Vec::new(),
            images: Vec::new(),
            nodes: Vec::new(),
            scope: scope(&mut entry, errors),
            quota: RateLimit { rate: 0.0, burst: 1000, window },
            max_series: DEFAULT_SERIES,
        };
        let patterns = |list: Option<Vec<Spanned<String>>>| -> Vec<Pattern> {
            list.into_iter().flatten().map(|text| Pattern::new(&text.value)).collect()
        };
        if let Some(mut by) = entry.map("match", errors) {
            tenant.namespaces = patterns(by.strings("namespaces", errors));
            tenant.labels = labels(by.strings("labels", errors), errors);
            tenant.annotations = labels(by.strings("annotations", errors), errors);
            tenant.namespace_labels = labels(by.strings("namespace_labels", errors), errors);
            tenant.node_labels = labels(by.strings("node_labels", errors), errors);
            tenant.images = patterns(by.strings("images", errors));
            tenant.nodes = patterns(by.strings("nodes", errors));
            by.finish(errors);
        }
        let any = [
            tenant.namespaces.len(),
            tenant.labels.len(),
            tenant.annotations.len(),
            tenant.namespace_labels.len(),
            tenant.node_labels.len(),
            tenant.images.len(),
            tenant.nodes.len(),
        ];
        if any.iter().all(|count| *count == 0) {
            errors.at(
                at,
                "a tenant must match something: namespaces, labels, annotations, namespace_labels, images, nodes or node_labels".into(),
            );
        }
        if let Some(mut quota) = entry.map("quota", errors) {
            let rate = quota.number("detections_per_second", errors);
            tenant.quota.rate = errors.parsed(rate, 0.0, |&rate| {
                if rate.is_finite() && (0.0..=1e6).contains(&rate) {
                    Ok(rate)
                } else {
                    Err(format!("{rate} is not between 0 and 1000000"))
                }
            });
            let burst = quota.integer("burst", errors);
            tenant.quota.burst = errors.ranged(burst, 1..=1_000_000, 1000);
            let series = quota.integer("series", errors);
            tenant.max_series = errors.ranged(series, 1..=100_000, DEFAULT_SERIES);
            if let Some(share) = quota.number("journal", errors) {
                let share = errors.parsed(Some(share), DEFAULT_SHARE, |&share| {
                    if share > 0.0 && share <= 1.0 {
                        Ok(share)
                    } else {
                        Err(format!("{share} is not above 0 and at most 1"))
                    }
                });
                shares.insert(tenant.name.to_string(), share);
            }
            quota.finish(errors);
        }
        entry.finish(errors);
        tenants.push(tenant);
    }
    tenants
}

/// A name is a label's value, a header's and part of a URL: what Kubernetes calls an RFC 1123 label.
fn check_name(name: &str, names: &mut HashSet<String>) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fine = (1..=63).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain);
    if !fine {
        return Err(format!(
            "'{name}' is no name of a tenant: lower-case letters, digits and '-', at most 63"
        ));
    }
    if name == PLATFORM_TENANT {
        return Err(format!("'{name}' owns what no tenant does; it needs no entry"));
    }
    if names.insert(name.to_owned()) { Ok(()) } else { Err(format!("another tenant is called '{name}'")) }
}

fn labels(list: Option<Vec<Spanned<String>>>, errors: &mut Errors) -> Vec<Label> {
    let mut labels = Vec::new();
    for Spanned { value, at } in list.into_iter().flatten() {
        match Label::parse(&value) {
            Some(label) => labels.push(label),
            None => errors.at(at, format!("'{value}' is not NAME=PATTERN or NAME")),
        }
    }
    labels
}

fn scope(entry: &mut Map<'_>, errors: &mut Errors) -> Scope {
    let mut scope = Scope { selection: selections(entry, errors), ..Scope::default() };
    for (at, mut change) in entry.maps("priorities", errors) {
        let (rule, priority) = (change.string("rule", errors), change.string("priority", errors));
        change.finish(errors);
        let (Some(rule), Some(priority)) = (rule, priority) else {
            errors.at(at, "an entry of priorities must have a rule and a priority".into());
            continue;
        };
        match Priority::from_name(&priority.value) {
            Some(priority) => scope.priorities.push((Pattern::new(&rule.value), priority)),
            None => errors.at(
                priority.at,
                format!("unknown priority '{}', expected one of: {}", priority.value, priority_names()),
            ),
        }
    }
    for (at, mut exception) in entry.maps("exceptions", errors) {
        let (rule, condition) = (exception.string("rule", errors), exception.string("condition", errors));
        exception.finish(errors);
        match (rule, condition) {
            (Some(rule), Some(condition)) => {
                scope.exceptions.push((Pattern::new(&rule.value), condition.value));
            }
            _ => errors.at(at, "an entry of exceptions must have a rule and a condition".into()),
        }
    }
    let files = entry.strings("rules_files", errors);
    scope.rules_files = files.into_iter().flatten().map(|file| file.value.into()).collect();
    scope
}
