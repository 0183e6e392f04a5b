//! Which fields exist: names, types, arguments and sources, as in Falco (`falco --list`).

use std::fmt;

/// Where an event comes from: Falco's `source` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    Syscall,
    K8sAudit,
}

impl Source {
    /// The name in a rule's `source` key and in the `source` label.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Syscall => "syscall",
            Source::K8sAudit => "k8s_audit",
        }
    }
}

/// A field's type; it decides which operators and right-hand sides a rule may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    String,
    Int64,
    Int32,
    Int16,
    Uint64,
    Uint32,
    Bool,
    Double,
    IpAddr,
    IpNet,
    Port,
    RelTime,
    AbsTime,
    Bytes,
}

/// What follows the name: `proc.aname[2]`, `evt.arg.flags`, `proc.env[HOME]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgSpec {
    None,
    OptionalIndex,
    RequiredIndex,
    OptionalKey,
    RequiredKey,
}

/// How a comparison treats a field that yields several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One value.
    One,
    /// True if any value compares true (`fd.ip`, `proc.aname` without an index).
    Any,
    /// A list as such: `in` means all of it is contained, `intersects` any.
    List,
}

/// Whether Yagura yields the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provided {
    Yes,
    /// Known, but a rule that uses it is refused with this reason.
    No(&'static str),
}

/// Dense index into [`Scheme::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

/// A field, as documented in `docs/fields.md`.
#[derive(Clone, Debug)]
pub struct FieldDef {
    pub name: &'static str,
    pub ty: FieldType,
    pub sources: &'static [Source],
    pub arg: ArgSpec,
    pub cardinality: Cardinality,
    pub provided: Provided,
    /// `WANT_*` bits of `exporter_common::wants` that the kernel must set for an event type whose rules
    /// use this field.
    pub wants: u32,
    pub description: &'static str,
}

/// The argument of a use of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldArg {
    None,
    Index(u32),
    Key(Box<str>),
}

/// A use of a field: what a rule resolves a name to at load, so that nothing is looked up per event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldRef {
    pub id: FieldId,
    pub arg: FieldArg,
}

/// Why a name in a rule is not a usable field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("unknown field '{name}'{}", suggestion.as_ref().map(|s| format!(", did you mean '{s}'?")).unwrap_or_default())]
    Unknown { name: String, suggestion: Option<String> },
    #[error("field '{name}' is not available for source '{}'", source_name)]
    WrongSource { name: String, source_name: &'static str },
    #[error("field '{name}' is known but not provided: {reason}")]
    NotProvided { name: String, reason: &'static str },
    #[error("field '{name}' {problem}")]
    BadArgument { name: String, problem: String },
}

/// The set of all fields.
pub struct Scheme {
    pub fields: &'static [FieldDef],
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scheme({} fields)", self.fields.len())
    }
}
