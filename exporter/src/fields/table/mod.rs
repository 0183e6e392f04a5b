//! The table of fields, one file per family.
//!
//! A family that Yagura extracts has an enum, so that the extraction is an exhaustive `match`; fields
//! that are known but have no value here are plain rows.

pub mod audit;
pub mod container;
pub mod evt;
pub mod fd;
pub mod later;
pub mod other;
pub mod proc;

use super::scheme::{ArgSpec, Cardinality, Field, FieldDef, FieldType, Provided, Source};

/// Fields of kernel events.
pub(super) const SYSCALL: &[Source] = &[Source::Syscall];
/// Fields of audit events.
pub(super) const AUDIT: &[Source] = &[Source::K8sAudit];
/// Fields of every event, whatever its source.
pub(super) const EVERY: &[Source] = &[Source::Syscall, Source::K8sAudit];

/// Declares a family: an enum with one variant per field, and the rows of the scheme.
macro_rules! fields {
    ($(#[$meta:meta])* $family:ident in $field:ident;
     $($variant:ident = $name:literal, $ty:ident, $arg:ident, $card:ident, $sources:ident, $wants:expr, $description:literal;)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $family { $(#[doc = $description] $variant,)* }

        impl $family {
            /// The rows of this family.
            pub(in crate::fields) fn defs() -> Vec<crate::fields::FieldDef> {
                use crate::fields::scheme::{ArgSpec, Cardinality, Field, FieldDef, FieldType, Provided};
                use crate::fields::table::*;
                vec![$(FieldDef {
                    name: $name,
                    ty: FieldType::$ty,
                    sources: $sources,
                    arg: ArgSpec::$arg,
                    cardinality: Cardinality::$card,
                    provided: Provided::Yes,
                    wants: $wants,
                    field: Some(Field::$field($family::$variant)),
                    description: $description,
                },)*]
            }
        }
    };
}
pub(super) use fields;

/// A row of a field that has no value here.
type Row = (&'static str, FieldType, ArgSpec, Cardinality, &'static str);

fn rows(sources: &'static [Source], provided: Provided, rows: &[Row]) -> Vec<FieldDef> {
    rows.iter()
        .map(|&(name, ty, arg, cardinality, description)| FieldDef {
            name,
            ty,
            sources,
            arg,
            cardinality,
            provided,
            wants: 0,
            field: None::<Field>,
            description,
        })
        .collect()
}

/// Every field, in the order of the scheme.
pub(super) fn all() -> Vec<FieldDef> {
    let mut all = evt::EvtField::defs();
    all.extend(proc::ProcField::defs());
    all.extend(fd::FdField::defs());
    all.extend(other::OtherField::defs());
    all.extend(container::ContainerField::defs());
    all.extend(later::defs());
    all.extend(audit::defs());
    all
}
