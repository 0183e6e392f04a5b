//! The rules that Yagura brings: the files of `rules/`, in the order in which they are read.

use crate::rules::SourceFile;

/// Name and text of each file of `rules/`.
pub const RULES: &[(&str, &str)] = &[
    ("rules/00-lists.yaml", include_str!("../../rules/00-lists.yaml")),
    ("rules/01-macros.yaml", include_str!("../../rules/01-macros.yaml")),
    ("rules/10-containers.yaml", include_str!("../../rules/10-containers.yaml")),
    ("rules/20-credentials.yaml", include_str!("../../rules/20-credentials.yaml")),
    ("rules/30-persistence.yaml", include_str!("../../rules/30-persistence.yaml")),
    ("rules/40-execution.yaml", include_str!("../../rules/40-execution.yaml")),
    ("rules/50-escape.yaml", include_str!("../../rules/50-escape.yaml")),
    ("rules/60-network.yaml", include_str!("../../rules/60-network.yaml")),
    ("rules/70-evasion.yaml", include_str!("../../rules/70-evasion.yaml")),
    ("rules/80-kubernetes-audit.yaml", include_str!("../../rules/80-kubernetes-audit.yaml")),
];

/// The same as the loader takes them.
pub fn files() -> Vec<SourceFile> {
    RULES.iter().map(|(name, text)| SourceFile { name: (*name).into(), text: (*text).into() }).collect()
}

#[cfg(test)]
mod pages;
#[cfg(test)]
mod tests;
