//! `yagura fields`.

use clap::Args;
use serde::Serialize;

use super::{Exit, OutputFormat, print, print_json, report, table};
use crate::fields::{FieldDef, Source, scheme, scheme::Provided};

#[derive(Debug, Args)]
pub struct FieldsArgs {
    /// Only fields that rules of this source can use: syscall or k8s_audit
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    #[arg(long, short, value_enum, default_value_t)]
    output: OutputFormat,
}

/// A field in `-o json`.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    #[serde(rename = "type")]
    ty: &'static str,
    sources: Vec<&'static str>,
    /// `yes`, `absent` (rules load, no event has it yet) or `no` (rules that use it are refused).
    provided: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    description: &'static str,
}

pub fn execute(args: &FieldsArgs) -> Exit {
    let source = match args.source.as_deref().map(|name| Source::from_name(name).ok_or(name)) {
        None => None,
        Some(Ok(source)) => Some(source),
        Some(Err(name)) => {
            report(&format!("yagura: unknown source '{name}', expected syscall or k8s_audit"));
            return Exit::Bad;
        }
    };
    let fields =
        scheme().fields.iter().filter(|def| source.is_none_or(|source| def.sources.contains(&source)));
    let fields: Vec<Listed> = fields.map(listed).collect();
    match args.output {
        OutputFormat::Json => print_json(&fields),
        OutputFormat::Text => {
            let head = ["FIELD", "TYPE", "SOURCES", "PROVIDED", "DESCRIPTION"].map(str::to_owned).to_vec();
            let rows = fields.iter().map(|field| {
                let description = match field.reason {
                    Some(reason) => format!("{} ({reason})", field.description),
                    None => field.description.to_owned(),
                };
                vec![
                    field.name.to_owned(),
                    field.ty.to_owned(),
                    field.sources.join(","),
                    field.provided.to_owned(),
                    description,
                ]
            });
            print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
        }
    }
}

fn listed(def: &FieldDef) -> Listed {
    let (provided, reason) = match def.provided {
        Provided::Yes => ("yes", None),
        Provided::Absent(reason) => ("absent", Some(reason)),
        Provided::No(reason) => ("no", Some(reason)),
    };
    Listed {
        name: def.name,
        ty: def.ty.name(),
        sources: def.sources.iter().map(|source| source.name()).collect(),
        provided,
        reason,
        description: def.description,
    }
}
