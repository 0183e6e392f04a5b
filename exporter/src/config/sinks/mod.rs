//! `sinks`: who is told of detections and metrics.

mod alertmanager;
mod feed;
mod file;
mod loki;
mod otlp;
mod remote_write;
mod target;
mod webhook;

use std::{collections::HashSet, time::Duration};

use saphyr::Marker;

use super::walk::{Errors, Map, Spanned};
use crate::{delivery::Feed, sinks, tenants::Tenant};

/// One sink.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkConfig {
    pub name: String,
    pub feed: Feed,
    pub kind: SinkKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    Webhook(sinks::webhook::Settings),
    Loki(sinks::loki::Settings),
    RemoteWrite(sinks::remote_write::Settings),
    Otlp(sinks::otlp::Settings),
    File(sinks::file::Settings),
    Alertmanager(sinks::alertmanager::Settings),
}

impl SinkKind {
    /// Whether it is told of detections.
    pub fn is_fed_from_journal(&self) -> bool {
        !matches!(self, SinkKind::RemoteWrite(_))
    }
}

/// Longest name: it is a label.
const MAX_NAME: usize = 64;
/// What `type` can be.
const TYPES: &[(&str, Option<Type>)] = &[
    ("webhook", Some(Type::Webhook)),
    ("loki", Some(Type::Loki)),
    ("remote_write", Some(Type::RemoteWrite)),
    ("otlp", Some(Type::Otlp)),
    ("file", Some(Type::File)),
    ("alertmanager", Some(Type::Alertmanager)),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Webhook,
    Loki,
    RemoteWrite,
    Otlp,
    File,
    Alertmanager,
}

impl Type {
    /// How long detections wait for others to go with, if nothing is said.
    const fn max_wait(self) -> Duration {
        match self {
            Type::Loki | Type::Otlp => Duration::from_secs(1),
            Type::Webhook | Type::RemoteWrite | Type::File | Type::Alertmanager => Duration::ZERO,
        }
    }
}

/// Reads the list; `first`: where the first sink is that needs the journal.
pub(super) fn read(
    root: &mut Map<'_>,
    errors: &mut Errors,
    first: &mut Option<Marker>,
    tenants: &[Tenant],
) -> Vec<SinkConfig> {
    let mut names = HashSet::new();
    let mut paths = HashSet::new();
    let mut traced = false;
    let mut sinks = Vec::new();
    for (at, mut entry) in root.maps("sinks", errors) {
        let name = entry.string("name", errors);
        match &name {
            None => errors.at(at, "a sink must have a name".into()),
            Some(Spanned { value, at }) => {
                if let Err(problem) = check_name(value, &mut names) {
                    errors.at(*at, problem);
                }
            }
        }
        let kind = entry.string("type", errors);
        if kind.is_none() {
            let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            errors.at(at, format!("a sink must have a type: {}", names.join(", ")));
        }
        let Some(kind) = errors.choice(kind, TYPES, None) else { continue };
        let feed = match kind {
            Type::RemoteWrite => feed::of_samples(&mut entry, errors),
            _ => feed::read(&mut entry, errors, kind.max_wait()),
        };
        if kind != Type::RemoteWrite {
            first.get_or_insert(at);
        }
        let kind = match kind {
            Type::Webhook => webhook::read(at, &mut entry, errors).map(SinkKind::Webhook),
            Type::Loki => loki::read(at, &mut entry, &feed, tenants, errors).map(SinkKind::Loki),
            Type::Otlp => otlp::read(at, &mut entry, &feed, tenants, &mut traced, errors).map(SinkKind::Otlp),
            Type::RemoteWrite => {
                remote_write::read(at, &mut entry, &feed, tenants, errors).map(SinkKind::RemoteWrite)
            }
            Type::File => file::read(at, &mut entry, &mut paths, errors).map(SinkKind::File),
            Type::Alertmanager => alertmanager::read(at, &mut entry, errors).map(SinkKind::Alertmanager),
        };
        entry.finish(errors);
        if let (Some(kind), Some(name)) = (kind, name) {
            sinks.push(SinkConfig { name: name.value, feed, kind });
        }
    }
    sinks
}

fn check_name(name: &str, names: &mut HashSet<String>) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
        return Err(format!("'{name}' is no name: letters, digits, '-', '_', '.', at most {MAX_NAME}"));
    }
    if name == "stdout" {
        return Err("'stdout' is the name of a sink that there always is".into());
    }
    if names.insert(name.to_owned()) { Ok(()) } else { Err(format!("a second sink named '{name}'")) }
}
