//! Which detections a sink wants.

use super::Entry;
use crate::{rules::Priority, tenants::Pattern};

/// What is not said does not restrict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub tenants: Vec<Pattern>,
    pub minimum_priority: Priority,
    pub rules: Vec<Pattern>,
    /// At least one of these.
    pub tags: Vec<Pattern>,
}

impl Default for Filter {
    fn default() -> Filter {
        Filter { tenants: Vec::new(), minimum_priority: Priority::Debug, rules: Vec::new(), tags: Vec::new() }
    }
}

impl Filter {
    /// Whether anything of a tenant is wanted.
    pub fn wants_tenant(&self, tenant: &str) -> bool {
        any(&self.tenants, tenant)
    }

    pub fn wants(&self, entry: &Entry) -> bool {
        entry.priority <= self.minimum_priority
            && any(&self.rules, &entry.rule)
            && (self.tags.is_empty() || entry.tags.iter().any(|tag| any(&self.tags, tag)))
    }
}

fn any(patterns: &[Pattern], value: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wants_what_fits_all_that_is_said() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text)).collect::<Vec<_>>();
        let entry = Entry {
            priority: Priority::Warning,
            rule: "Shell in a container".into(),
            tags: vec!["container".into(), "T1059".into()],
            ..Entry::of_test(1, "{}")
        };
        for (priority, rules, tags, expected) in [
            (Priority::Debug, &[][..], &[][..], true),
            (Priority::Warning, &[], &[], true),
            (Priority::Error, &[], &[], false),
            (Priority::Debug, &["Shell *"], &[], true),
            (Priority::Debug, &["Read *"], &[], false),
            (Priority::Debug, &["Read *", "Shell*"], &["T1*"], true),
            (Priority::Debug, &[], &["host"], false),
        ] {
            let filter = Filter {
                minimum_priority: priority,
                rules: patterns(rules),
                tags: patterns(tags),
                ..Filter::default()
            };
            assert_eq!(filter.wants(&entry), expected, "{priority:?} {rules:?} {tags:?}");
        }
        let filter = Filter { tenants: patterns(&["shop-*"]), ..Filter::default() };
        assert!(filter.wants_tenant("shop-1") && !filter.wants_tenant("platform"));
    }
}
