//! `rules test`: cases that say of an event which rules must fire, so that a rule author needs no kernel.
//!
//! A case file is YAML; `docs/writing-rules.md` has its format. [`parse`] turns it into [`Case`]s and reports
//! everything that is wrong with it at once, with places. [`run`] evaluates the cases with the engine that
//! the daemon uses, on a subject that has exactly the fields the case gives. [`coverage`] tells which rules
//! no case makes fire, or keeps from firing.
//!
//! Nothing here opens a file or prints.

mod case;
mod coverage;
mod explain;
mod parse;
mod report;
mod run;
mod value;

#[cfg(test)]
mod tests;

pub use case::{Case, CaseSubject, Expected};
pub use coverage::{Coverage, coverage};
pub use parse::parse;
pub use report::{Decisive, Failure, Missing, OutputDifference, Report};
pub use run::{check_names, run};
