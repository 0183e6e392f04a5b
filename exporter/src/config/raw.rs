//! What the file says: every key optional, every value with its place, nothing checked but its type.

use std::{collections::BTreeMap, time::Duration};

use saphyr::{LoadableYamlNode, MarkedYaml, Marker};

use super::{
    DEFAULT_WINDOW,
    journal::RawJournal,
    kubernetes::RawKubernetes,
    sinks::{self, SinkConfig},
    tenants,
    walk::{Errors, Map, Spanned},
    web::{RawAudit, RawWeb},
};
use crate::{
    rules::{Selection, Selector},
    tenants::Tenant,
};

#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub rules_files: Option<Vec<Spanned<String>>>,
    /// Falco's `rules`: `- enable: {rule: NAME}`, `- disable: {tag: TAG}`.
    pub rules: Vec<Selection>,
    pub rule_matching: Option<Spanned<String>>,
    pub priority: Option<Spanned<String>>,
    pub watch_config_files: Option<Spanned<bool>>,
    pub json_output: Option<Spanned<bool>>,
    pub json_include_output_property: Option<Spanned<bool>>,
    pub json_include_message_property: Option<Spanned<bool>>,
    pub json_include_output_fields_property: Option<Spanned<bool>>,
    pub json_include_tags_property: Option<Spanned<bool>>,
    pub time_format_iso_8601: Option<Spanned<bool>>,
    pub log_level: Option<Spanned<String>>,
    pub log_format: Option<Spanned<String>>,
    pub listen: Option<Spanned<String>>,
    pub web: RawWeb,
    pub audit: RawAudit,
    pub kubernetes: RawKubernetes,
    pub journal: RawJournal,
    pub resolve_names: Option<Spanned<bool>>,
    pub hostname: Option<Spanned<String>>,
    pub node: Option<Spanned<String>>,
    pub cluster: Option<Spanned<String>>,
    pub ring_size: Option<Spanned<u64>>,
    pub push_down: Option<Spanned<bool>>,
    pub max_processes: Option<Spanned<u64>>,
    pub max_env_bytes: Option<Spanned<u64>>,
    pub rate: Option<Spanned<f64>>,
    pub burst: Option<Spanned<u64>>,
    pub window: Option<Spanned<Duration>>,
    pub queue_size: Option<Spanned<u64>>,
    pub drain_timeout: Option<Spanned<Duration>>,
    pub tenants: Vec<Tenant>,
    /// By tenant: its part of the journal.
    pub journal_shares: BTreeMap<String, f64>,
    pub sinks: Vec<SinkConfig>,
    /// Where the first of them stands.
    pub sinks_at: Option<Marker>,
    pub containers_root: Option<Spanned<String>>,
    pub containers_wait: Option<Spanned<Duration>>,
    pub engines: [RawEngine; 4],
}

/// One of `container_engines`.
#[derive(Debug, Default)]
pub(super) struct RawEngine {
    pub enabled: Option<Spanned<bool>>,
    pub sockets: Option<Vec<Spanned<String>>>,
}

/// The names of the engines, in the order of [`RawConfig::engines`].
pub(super) const ENGINES: [&str; 4] = ["cri", "containerd", "docker", "podman"];

impl RawConfig {
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>, errors: &mut Errors) -> RawConfig {
        let documents = match MarkedYaml::load_from_str(text) {
            Ok(documents) => documents,
            Err(error) => {
                errors.at(*error.marker(), error.info().to_owned());
                return RawConfig::default();
            }
        };
        let mut documents = documents.into_iter();
        // An empty file is a file that changes nothing.
        let Some(document) = documents.next() else { return RawConfig::default() };
        if let Some(second) = documents.next() {
            errors.at(second.span.start, "a second YAML document; there must be one".into());
        }
        let mut raw = RawConfig::default();
        let Some(mut root) = Map::root(&document, env, errors) else { return raw };
        raw.rules_files = root.strings("rules_files", errors);
        raw.rules = selections(&mut root, errors);
        raw.rule_matching = root.string("rule_matching", errors);
        raw.priority = root.string("priority", errors);
        raw.watch_config_files = root.bool("watch_config_files", errors);
        raw.json_output = root.bool("json_output", errors);
        raw.json_include_output_property = root.bool("json_include_output_property", errors);
        raw.json_include_message_property = root.bool("json_include_message_property", errors);
        raw.json_include_output_fields_property = root.bool("json_include_output_fields_property", errors);
        raw.json_include_tags_property = root.bool("json_include_tags_property", errors);
        raw.time_format_iso_8601 = root.bool("time_format_iso_8601", errors);
        raw.log_level = root.string("log_level", errors);
        raw.log_format = root.string("log_format", errors);
        raw.listen = root.string("listen", errors);
        raw.web = RawWeb::parse(&mut root, errors);
        raw.audit = RawAudit::parse(&mut root, errors);
        raw.kubernetes = RawKubernetes::parse(&mut root, errors);
        raw.journal = RawJournal::parse(&mut root, errors);
        raw.resolve_names = root.bool("resolve_names", errors);
        raw.hostname = root.string("hostname", errors);
        raw.node = root.string("node", errors);
        raw.cluster = root.string("cluster", errors);
        raw.queue_size = root.integer("queue_size", errors);
        raw.drain_timeout = root.duration("drain_timeout", errors);
        if let Some(mut kernel) = root.map("kernel", errors) {
            raw.ring_size = kernel.size("ring_size", errors);
            raw.push_down = kernel.bool("push_down", errors);
            kernel.finish(errors);
        }
        if let Some(mut processes) = root.map("process_table", errors) {
            raw.max_processes = processes.integer("max_processes", errors);
            raw.max_env_bytes = processes.size("max_env_bytes", errors);
            processes.finish(errors);
        }
        if let Some(mut limit) = root.map("rate_limit", errors) {
            raw.rate = limit.number("rate", errors);
            raw.burst = limit.integer("burst", errors);
            raw.window = limit.duration("window", errors);
            limit.finish(errors);
        }
        if let Some(mut engines) = root.map("container_engines", errors) {
            raw.containers_root = engines.string("root", errors);
            raw.containers_wait = engines.duration("wait", errors);
            for (name, raw) in ENGINES.iter().zip(&mut raw.engines) {
                if let Some(mut engine) = engines.map(name, errors) {
                    raw.enabled = engine.bool("enabled", errors);
                    raw.sockets = engine.strings("sockets", errors);
                    engine.finish(errors);
                }
            }
            engines.finish(errors);
        }
        let window = raw.window.as_ref().map_or(DEFAULT_WINDOW, |window| window.value);
        raw.tenants = tenants::read(&mut root, errors, window, &mut raw.journal_shares);
        raw.sinks = sinks::read(&mut root, errors, &mut raw.sinks_at, &raw.tenants);
        root.finish(errors);
        raw
    }
}

/// A list `rules` of what is enabled and disabled.
pub(super) fn selections(map: &mut Map<'_>, errors: &mut Errors) -> Vec<Selection> {
    let mut selections = Vec::new();
    for (at, mut entry) in map.maps("rules", errors) {
        selections.extend(selection(at, &mut entry, errors));
        entry.finish(errors);
    }
    selections
}

/// One entry of `rules`.
fn selection(at: Marker, entry: &mut Map<'_>, errors: &mut Errors) -> Option<Selection> {
    let (enable, disable) = (entry.map("enable", errors), entry.map("disable", errors));
    let (enable, mut by) = match (enable, disable) {
        (Some(by), None) => (true, by),
        (None, Some(by)) => (false, by),
        _ => {
            errors.at(at, "an entry of rules must have either enable or disable".into());
            return None;
        }
    };
    let (rule, tag) = (by.string("rule", errors), by.string("tag", errors));
    by.finish(errors);
    match (rule, tag) {
        (Some(rule), None) => Some(Selection { enable, by: Selector::Rule(rule.value) }),
        (None, Some(tag)) => Some(Selection { enable, by: Selector::Tag(tag.value) }),
        _ => {
            errors.at(at, "an entry of rules must name either a rule or a tag".into());
            None
        }
    }
}
