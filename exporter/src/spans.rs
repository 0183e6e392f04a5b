//! Yagura's own spans: they go to an OTLP receiver if one asks for them, and to no log.

/// The target by which they are told from everything else that is traced.
pub const TARGET: &str = "yagura::span";
