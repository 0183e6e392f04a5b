//! Which fields exist: names, types, arguments and sources, as in Falco (`falco --list`).
//!
//! Names are resolved once, when rules are loaded; an event is only ever asked for a [`FieldRef`].

use std::{collections::HashMap, fmt, sync::LazyLock};

use exporter_common::{
    event_type::EventType,
    wants::{WANT_CWD, WANT_DATA, WANT_ENV, WANT_THREADS},
};

use super::table::{
    self, audit::AuditField, container::ContainerField, evt::EvtField, fd::FdField, other::OtherField,
    proc::ProcField,
};
use crate::{event::args, suggest::nearest};

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

    /// The source with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Source> {
        [Source::Syscall, Source::K8sAudit].into_iter().find(|source| source.name() == name)
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

impl FieldType {
    /// The name in `docs/fields.md` and in `yagura fields`: Falco's.
    pub const fn name(self) -> &'static str {
        match self {
            FieldType::String => "string",
            FieldType::Int64 => "int64",
            FieldType::Int32 => "int32",
            FieldType::Int16 => "int16",
            FieldType::Uint64 => "uint64",
            FieldType::Uint32 => "uint32",
            FieldType::Bool => "bool",
            FieldType::Double => "double",
            FieldType::IpAddr => "ipaddr",
            FieldType::IpNet => "ipnet",
            FieldType::Port => "port",
            FieldType::RelTime => "reltime",
            FieldType::AbsTime => "abstime",
            FieldType::Bytes => "bytebuf",
        }
    }
}

/// What follows the name: `proc.aname[2]`, `evt.arg.flags`, `proc.env[HOME]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgSpec {
    None,
    /// `proc.aname`, `proc.aname[2]`.
    OptionalIndex,
    /// `proc.env`, `proc.env[HOME]`.
    OptionalKey,
    /// `jevt.value[/stage]`.
    RequiredKey,
    /// A name or a number, also after a dot: `evt.abspath`, `evt.abspath.src`, `proc.aenv[2]`.
    OptionalName,
    /// A name or a number, also after a dot: `evt.arg.flags`, `evt.arg[flags]`, `evt.arg[0]`.
    RequiredName,
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
    /// Known, rules that use it load, but no event has it yet, for this reason: every comparison is false.
    Absent(&'static str),
    /// Known, but a rule that uses it is refused with this reason.
    No(&'static str),
}

/// Dense index into [`Scheme::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

/// A field that events yield, for the extraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    Evt(EvtField),
    Proc(ProcField),
    Fd(FdField),
    Other(OtherField),
    Container(ContainerField),
    Audit(&'static AuditField),
}

/// A field, as documented in `docs/fields.md`.
#[derive(Clone, Debug)]
pub struct FieldDef {
    pub name: &'static str,
    pub ty: FieldType,
    pub sources: &'static [Source],
    pub arg: ArgSpec,
    /// Of a use without an argument; with one it is [`Cardinality::One`] unless this is a list.
    pub cardinality: Cardinality,
    pub provided: Provided,
    /// `WANT_*` bits that the kernel must set whatever the argument; [`Scheme::wants`] has all.
    pub wants: u32,
    /// `None` if no event yields it.
    pub field: Option<Field>,
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
    #[error("unknown field '{name}'{}", did_you_mean(suggestion))]
    Unknown { name: String, suggestion: Option<String> },
    #[error("field '{name}' is not available for source '{}'", source_name)]
    WrongSource { name: String, source_name: &'static str },
    #[error("field '{name}' is known but not provided: {reason}")]
    NotProvided { name: String, reason: &'static str },
    #[error("field '{name}' {problem}")]
    BadArgument { name: String, problem: String },
    #[error("no event type has an argument '{argument}'{}", did_you_mean(suggestion))]
    UnknownArgument { argument: String, suggestion: Option<String> },
}

impl FieldError {
    /// What the author probably meant, for a diagnostic.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            FieldError::Unknown { suggestion, .. } | FieldError::UnknownArgument { suggestion, .. } => {
                suggestion.as_deref()
            }
            _ => None,
        }
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!(", did you mean '{name}'?")).unwrap_or_default()
}

/// The set of all fields.
pub struct Scheme {
    pub fields: Vec<FieldDef>,
    by_name: HashMap<&'static str, FieldId>,
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scheme({} fields)", self.fields.len())
    }
}

/// The scheme: built once, the same for everybody.
pub fn scheme() -> &'static Scheme {
    static SCHEME: LazyLock<Scheme> = LazyLock::new(|| {
        let fields = table::all();
        let by_name =
            fields.iter().enumerate().map(|(index, def)| (def.name, FieldId(index as u16))).collect();
        Scheme { fields, by_name }
    });
    &SCHEME
}

impl Scheme {
    /// The definition behind an id; `None` only for an id that is not of this scheme.
    pub fn get(&self, id: FieldId) -> Option<&FieldDef> {
        self.fields.get(usize::from(id.0))
    }

    /// The definition of a resolved field.
    ///
    /// # Panics
    /// If the id was not made by [`Scheme::resolve`].
    pub fn def(&self, id: FieldId) -> &FieldDef {
        &self.fields[usize::from(id.0)]
    }

    /// Fields that rules of `source` may name, in the table's order.
    pub fn of_source(&self, source: Source) -> impl Iterator<Item = &FieldDef> {
        self.fields.iter().filter(move |def| def.sources.contains(&source))
    }

    /// Resolves a name as a rule of `source` writes it. `arg` is the text between brackets, if there are
    /// any; `name` may carry an argument after a dot where Falco allows it (`evt.arg.flags`).
    pub fn resolve(&self, source: Source, name: &str, arg: Option<&str>) -> Result<FieldRef, FieldError> {
        let (id, arg) = match (self.by_name.get(name), arg) {
            (Some(id), arg) => (*id, arg),
            (None, None) => match self.dotted(name) {
                Some((id, key)) => (id, Some(key)),
                None => return Err(self.unknown(source, name)),
            },
            (None, Some(_)) => return Err(self.unknown(source, name)),
        };
        let def = self.def(id);
        if !def.sources.contains(&source) {
            return Err(FieldError::WrongSource { name: def.name.to_owned(), source_name: source.name() });
        }
        if let Provided::No(reason) = def.provided {
            return Err(FieldError::NotProvided { name: def.name.to_owned(), reason });
        }
        Ok(FieldRef { id, arg: argument(def, arg)? })
    }

    /// The type of this use of a field: that of the field, unless the argument decides it.
    pub fn ty(&self, field: &FieldRef) -> FieldType {
        let def = self.def(field.id);
        match (&def.field, &field.arg) {
            (Some(Field::Evt(EvtField::RawArg)), FieldArg::Key(name)) => match args::is_text(name) {
                Some(false) => FieldType::Int64,
                _ => FieldType::String,
            },
            _ => def.ty,
        }
    }

    /// How a comparison treats this use of a field.
    pub fn cardinality(&self, field: &FieldRef) -> Cardinality {
        let def = self.def(field.id);
        match (def.cardinality, &field.arg) {
            (Cardinality::Any, FieldArg::Index(_) | FieldArg::Key(_)) => Cardinality::One,
            (cardinality, _) => cardinality,
        }
    }

    /// `WANT_*` bits that the kernel must set for `ty` so that this field is there.
    pub fn wants(&self, field: &FieldRef, ty: EventType) -> u32 {
        let def = self.def(field.id);
        let named = match (&def.field, &field.arg) {
            (Some(Field::Evt(EvtField::Arg | EvtField::RawArg)), arg) => {
                match args::named(ty, arg).map(|arg| arg.name) {
                    Some("data") => WANT_DATA,
                    Some("cwd") => WANT_CWD,
                    Some("env") => WANT_ENV,
                    // A rule that looks at what clone was asked for means threads too.
                    Some("flags") if matches!(ty, EventType::Clone | EventType::Clone3) => WANT_THREADS,
                    _ => 0,
                }
            }
            _ => 0,
        };
        def.wants | named
    }

    /// `WANT_*` bits that `execve` and `execveat` need because of this field, whatever type the rule is
    /// for: some facts of a process can be had only when it begins.
    pub fn exec_wants(&self, field: &FieldRef) -> u32 {
        match self.def(field.id).field {
            Some(Field::Proc(ProcField::Env | ProcField::AEnv)) => WANT_ENV,
            _ => 0,
        }
    }

    /// Whether the field's value comes from whoever runs the container.
    pub fn is_metadata(&self, field: &FieldRef) -> bool {
        matches!(self.def(field.id).field, Some(Field::Container(_)))
    }

    /// Splits `evt.arg.flags` into the field and its argument.
    fn dotted<'n>(&self, name: &'n str) -> Option<(FieldId, &'n str)> {
        name.char_indices().rev().filter(|(_, c)| *c == '.').find_map(|(dot, _)| {
            let id = *self.by_name.get(name.get(..dot)?)?;
            let takes_dotted = matches!(self.def(id).arg, ArgSpec::RequiredName | ArgSpec::OptionalName);
            let key = name.get(dot + 1..).filter(|key| !key.is_empty())?;
            takes_dotted.then_some((id, key))
        })
    }

    fn unknown(&self, source: Source, name: &str) -> FieldError {
        let names = self.of_source(source).map(|def| def.name);
        FieldError::Unknown { name: name.to_owned(), suggestion: nearest(name, names).map(str::to_owned) }
    }
}

/// Checks the argument of a use against what the field takes.
fn argument(def: &FieldDef, arg: Option<&str>) -> Result<FieldArg, FieldError> {
    let bad = |problem: &str| {
        Err(FieldError::BadArgument { name: def.name.to_owned(), problem: problem.to_owned() })
    };
    let index = |arg: &str| arg.parse().map(FieldArg::Index).ok();
    let key = |arg: &str| FieldArg::Key(arg.into());
    let Some(arg) = arg else {
        return match def.arg {
            ArgSpec::None | ArgSpec::OptionalIndex | ArgSpec::OptionalKey | ArgSpec::OptionalName => {
                Ok(FieldArg::None)
            }
            ArgSpec::RequiredKey => bad("needs an argument in brackets"),
            ArgSpec::RequiredName => bad("needs a name after a dot or in brackets"),
        };
    };
    if arg.is_empty() {
        return bad("has an empty argument");
    }
    match def.arg {
        ArgSpec::None => bad("takes no argument"),
        ArgSpec::OptionalIndex => index(arg).map_or_else(|| bad("takes a number as argument"), Ok),
        ArgSpec::OptionalKey | ArgSpec::RequiredKey => Ok(key(arg)),
        ArgSpec::OptionalName | ArgSpec::RequiredName => {
            let arg = index(arg).unwrap_or_else(|| key(arg));
            check_name(def, &arg)?;
            Ok(arg)
        }
    }
}

/// Names that only make sense from a closed set.
fn check_name(def: &FieldDef, arg: &FieldArg) -> Result<(), FieldError> {
    let bad = |problem: &str| {
        Err(FieldError::BadArgument { name: def.name.to_owned(), problem: problem.to_owned() })
    };
    let FieldArg::Key(name) = arg else {
        return match def.field {
            Some(Field::Evt(EvtField::RawArg)) => {
                bad("takes a name: the type at a position differs by event")
            }
            _ => Ok(()),
        };
    };
    match def.field {
        Some(Field::Evt(EvtField::Arg | EvtField::RawArg))
            if !args::names().any(|known| known == &**name) =>
        {
            let suggestion = nearest(name, args::names()).map(str::to_owned);
            Err(FieldError::UnknownArgument { argument: name.to_string(), suggestion })
        }
        Some(Field::Evt(EvtField::RawArg)) if args::is_text(name).is_none() => {
            bad("is text in one event type and a number in another here; use evt.arg")
        }
        Some(Field::Evt(EvtField::AbsPath)) if !matches!(&**name, "src" | "dst") => {
            bad("takes 'src' or 'dst' as argument")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
