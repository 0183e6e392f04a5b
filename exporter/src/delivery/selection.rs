//! Which detections a sink gets.

use crate::{rules::Priority, tenants::Pattern};

/// All that are given must hold; of each list, one entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    pub tenants: Vec<Pattern>,
    pub minimum_priority: Priority,
    pub rules: Vec<Pattern>,
    pub tags: Vec<String>,
}

impl Default for Selection {
    /// Everything.
    fn default() -> Selection {
        Selection {
            tenants: Vec::new(),
            minimum_priority: Priority::Debug,
            rules: Vec::new(),
            tags: Vec::new(),
        }
    }
}

impl Selection {
    pub fn wants_tenant(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|pattern| pattern.fits(tenant))
    }

    /// `priority`: Falco's number. `tags`: a JSON array of texts.
    pub fn wants(&self, rule: &str, priority: i64, tags: &str) -> bool {
        if priority > self.minimum_priority as i64 {
            return false;
        }
        if !self.rules.is_empty() && !self.rules.iter().any(|pattern| pattern.fits(rule)) {
            return false;
        }
        if self.tags.is_empty() {
            return true;
        }
        let own: Vec<String> = serde_json::from_str(tags).unwrap_or_default();
        self.tags.iter().any(|tag| own.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted() {
        let some = Selection {
            tenants: vec![Pattern::new("shop-*")],
            minimum_priority: Priority::Warning,
            rules: vec![Pattern::new("Shell *"), Pattern::new("Other")],
            tags: vec!["container".into()],
        };
        for (rule, priority, tags, expected) in [
            ("Shell in a pod", Priority::Critical, r#"["container","x"]"#, true),
            ("Shell in a pod", Priority::Warning, r#"["container"]"#, true),
            ("Shell in a pod", Priority::Notice, r#"["container"]"#, false),
            ("Something", Priority::Critical, r#"["container"]"#, false),
            ("Other", Priority::Critical, r#"["containers"]"#, false),
            ("Other", Priority::Critical, "no JSON", false),
        ] {
            assert_eq!(some.wants(rule, priority as i64, tags), expected, "{rule} {priority:?} {tags}");
            assert!(Selection::default().wants(rule, priority as i64, tags));
        }
        assert!(some.wants_tenant("shop-1") && !some.wants_tenant("bank"));
        assert!(Selection::default().wants_tenant("bank"));
    }
}
