//! How severe a rule's finding is, and which rules of several matching ones speak.

/// Falco's priorities, most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

impl Priority {
    /// All of them, most severe first.
    pub const ALL: [Priority; 8] = [
        Priority::Emergency,
        Priority::Alert,
        Priority::Critical,
        Priority::Error,
        Priority::Warning,
        Priority::Notice,
        Priority::Informational,
        Priority::Debug,
    ];

    /// As Falco prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Priority::Emergency => "Emergency",
            Priority::Alert => "Alert",
            Priority::Critical => "Critical",
            Priority::Error => "Error",
            Priority::Warning => "Warning",
            Priority::Notice => "Notice",
            Priority::Informational => "Informational",
            Priority::Debug => "Debug",
        }
    }

    /// The priority of this name in any case; `info` is `informational`.
    pub fn from_name(name: &str) -> Option<Priority> {
        if name.eq_ignore_ascii_case("info") {
            return Some(Priority::Informational);
        }
        Self::ALL.into_iter().find(|priority| priority.name().eq_ignore_ascii_case(name))
    }
}

/// Falco's `rule_matching`: which of the rules that match one event speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RuleMatching {
    /// The first in file order.
    #[default]
    First,
    /// Every one.
    All,
    /// The first of the most severe ones; Falco has no such value.
    MostSevere,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        for priority in Priority::ALL {
            assert_eq!(Priority::from_name(&priority.name().to_uppercase()), Some(priority));
        }
        assert_eq!(Priority::from_name("info"), Some(Priority::Informational));
        assert_eq!(Priority::from_name("warn"), None);
        assert!(Priority::Emergency < Priority::Debug);
    }
}
