//! `sinks`: who is told of detections over a network.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use saphyr::Marker;

use super::{
    priority_names,
    walk::{Errors, Map, Spanned},
    within,
};
use crate::{
    delivery::{Feed, Filter},
    rules::Priority,
    sinks::webhook::{self, Form, Secret},
    tenants::Pattern,
};

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    pub name: String,
    pub feed: Feed,
    pub kind: SinkKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    Webhook(webhook::Settings),
}

/// Longest name: it is a label.
const MAX_NAME: usize = 64;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the list.
pub(super) fn read(root: &mut Map<'_>, errors: &mut Errors, first: &mut Option<Marker>) -> Vec<SinkConfig> {
    let mut names = HashSet::new();
    let mut sinks = Vec::new();
    for (at, mut entry) in root.maps("sinks", errors) {
        first.get_or_insert(at);
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
            errors.at(at, "a sink must have a type: webhook".into());
        }
        let is_webhook = errors.choice(kind, &[("webhook", true)], false);
        let feed = feed(&mut entry, errors);
        let settings = webhook(at, &mut entry, errors);
        entry.finish(errors);
        if let (true, Some(settings), Some(name)) = (is_webhook, settings, name) {
            sinks.push(SinkConfig { name: name.value, feed, kind: SinkKind::Webhook(settings) });
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

fn feed(entry: &mut Map<'_>, errors: &mut Errors) -> Feed {
    let default = Feed::default();
    let patterns = |list: Option<Vec<Spanned<String>>>| -> Vec<Pattern> {
        list.into_iter().flatten().map(|text| Pattern::new(&text.value)).collect()
    };
    let minimum_priority = entry.string("minimum_priority", errors);
    let filter = Filter {
        tenants: patterns(entry.strings("tenants", errors)),
        rules: patterns(entry.strings("rules", errors)),
        tags: patterns(entry.strings("tags", errors)),
        minimum_priority: errors.parsed(minimum_priority, default.filter.minimum_priority, |text| {
            Priority::from_name(text)
                .ok_or_else(|| format!("unknown priority '{text}', expected one of: {}", priority_names()))
        }),
    };
    let (mut batch, mut batch_bytes) = (default.batch, default.batch_bytes);
    if let Some(mut map) = entry.map("batch", errors) {
        let entries = map.integer("max_entries", errors);
        batch = errors.ranged(entries, 1..=1000, batch);
        let size = map.size("max_size", errors);
        batch_bytes = errors.parsed(size, batch_bytes, |&bytes| match usize::try_from(bytes) {
            Ok(size) if (1 << 10..=1 << 20).contains(&size) => Ok(size),
            _ => Err(format!("{bytes} is not between 1KiB and 1MiB")),
        });
        map.finish(errors);
    }
    let mut pace = default.pace;
    if let Some(mut map) = entry.map("retry", errors) {
        let first = map.duration("first", errors);
        pace.first = errors.parsed(first, pace.first, |&first| {
            if (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&first) {
                Ok(first)
            } else {
                Err("the first wait is not between 10ms and 60s".into())
            }
        });
        let longest = map.duration("longest", errors);
        let first = pace.first;
        pace.longest = errors.parsed(longest, pace.longest.max(first), |&longest| {
            if (first..=Duration::from_secs(3600)).contains(&longest) {
                Ok(longest)
            } else {
                Err("the longest wait is not between the first one and 1h".into())
            }
        });
        map.finish(errors);
    }
    Feed { filter, pace, batch, batch_bytes }
}

fn webhook(at: Marker, entry: &mut Map<'_>, errors: &mut Errors) -> Option<webhook::Settings> {
    let url = entry.string("url", errors);
    if url.is_none() {
        errors.at(at, "a webhook must have a url".into());
    }
    let url = errors.parsed(url, None, |text| check_url(text).map(Some));
    let form = entry.string("format", errors);
    let form = errors.choice(
        form,
        &[("single", Form::Single), ("array", Form::Array), ("lines", Form::Lines)],
        Form::default(),
    );
    let mut headers = Vec::new();
    for (at, mut header) in entry.maps("headers", errors) {
        let name = header.string("name", errors);
        let literal = header.string("value", errors);
        let value = secret(at, &mut header, literal, errors);
        header.finish(errors);
        match name {
            None => errors.at(at, "a header must have a name".into()),
            Some(Spanned { value: name, at }) => {
                if let Err(error) = reqwest::header::HeaderName::try_from(&*name) {
                    errors.at(at, format!("'{name}' is no header: {error}"));
                }
                headers.extend(value.map(|value| (name, value)));
            }
        }
    }
    let bearer_token = entry.map("bearer_token", errors).and_then(|mut map| {
        let token = secret(at, &mut map, None, errors);
        map.finish(errors);
        token
    });
    let (mut ca, mut identity) = (None, None);
    if let Some(mut tls) = entry.map("tls", errors) {
        ca = tls.string("ca", errors).map(|file| PathBuf::from(file.value));
        identity = match (tls.string("certificate", errors), tls.string("key", errors)) {
            (Some(certificate), Some(key)) => Some((certificate.value.into(), key.value.into())),
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => {
                errors.at(one.at, "tls needs both certificate and key".into());
                None
            }
        };
        tls.finish(errors);
    }
    let timeout = entry.duration("timeout", errors);
    let timeout = errors.parsed(timeout, DEFAULT_TIMEOUT, |&timeout| within(timeout, 1, 300));
    Some(webhook::Settings { url: url?, form, headers, bearer_token, ca, identity, timeout })
}

fn check_url(text: &str) -> Result<reqwest::Url, String> {
    // Not the text itself: it may hold a secret.
    let url: reqwest::Url = text.parse().map_err(|error| format!("no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("a url begins with https:// or http://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a url must have no user and no password: use headers".into());
    }
    Ok(url)
}

/// Where a value comes from: exactly one of what is possible.
fn secret(
    at: Marker,
    map: &mut Map<'_>,
    literal: Option<Spanned<String>>,
    errors: &mut Errors,
) -> Option<Secret> {
    let (file, env) = (map.string("file", errors), map.string("env", errors));
    match (literal, file, env) {
        (Some(literal), None, None) => Some(Secret::Literal(literal.value)),
        (None, Some(file), None) => Some(Secret::File(file.value.into())),
        (None, None, Some(env)) if env.value.starts_with("YAGURA_") => Some(Secret::Environment(env.value)),
        (None, None, Some(env)) => {
            errors.at(env.at, format!("'{}' does not begin with YAGURA_", env.value));
            None
        }
        _ => {
            errors.at(at, "expected exactly one of value (of a header), file and env".into());
            None
        }
    }
}
