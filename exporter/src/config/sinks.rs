//! `sinks`: who is told, of what, and how.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use super::walk::{Errors, Map, Spanned};
use crate::{
    delivery::{Selection, SinkKind, SinkSettings},
    rules::Priority,
    sinks::webhook,
    tenants::Pattern,
};

/// Most entries in a request.
const MAX_BATCH: u64 = 1000;
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the list.
pub(super) fn read(root: &mut Map<'_>, errors: &mut Errors) -> Vec<SinkSettings> {
    let mut names = HashSet::new();
    let mut sinks = Vec::new();
    for (at, mut entry) in root.maps("sinks", errors) {
        let name = entry.string("name", errors);
        match &name {
            None => errors.at(at, "a sink must have a name".into()),
            Some(Spanned { value, at }) if !names.insert(value.clone()) => {
                errors.at(*at, format!("another sink is called '{value}'"));
            }
            Some(_) => {}
        }
        let kind = entry.string("type", errors);
        if kind.is_none() {
            errors.at(at, "a sink must have a type".into());
        }
        errors.choice(kind, &[("webhook", ())], ());
        let selection = selection(&mut entry, errors);
        let longest = entry.duration("max_pause", errors);
        let longest = errors.parsed(longest, PAUSES.1, |&pause| super::within(pause, 1, 3600));
        if let Some(webhook) = webhook(at, &mut entry, errors) {
            sinks.push(SinkSettings {
                name: name.map(|name| name.value).unwrap_or_default(),
                kind: SinkKind::Webhook(webhook),
                selection,
                pause: (PAUSES.0.min(longest), longest),
            });
        }
        entry.finish(errors);
    }
    sinks
}

fn selection(entry: &mut Map<'_>, errors: &mut Errors) -> Selection {
    let patterns = |list: Option<Vec<Spanned<String>>>| -> Vec<Pattern> {
        list.into_iter().flatten().map(|text| Pattern::new(&text.value)).collect()
    };
    let tenants = patterns(entry.strings("tenants", errors));
    let rules = patterns(entry.strings("rules", errors));
    let tags = entry.strings("tags", errors).into_iter().flatten().map(|tag| tag.value).collect();
    let priority = entry.string("minimum_priority", errors);
    let minimum_priority = errors.parsed(priority, Priority::Debug, |text| {
        Priority::from_name(text)
            .ok_or_else(|| format!("unknown priority '{text}', expected one of: {}", super::priority_names()))
    });
    Selection { tenants, minimum_priority, rules, tags }
}

fn webhook(at: saphyr::Marker, entry: &mut Map<'_>, errors: &mut Errors) -> Option<webhook::Settings> {
    let url = entry.string("url", errors);
    if url.is_none() {
        errors.at(at, "a webhook must have a url".into());
    }
    let url = errors.parsed(url, None, |text| {
        let url = Url::parse(text).map_err(|error| format!("'{text}' is no URL: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Some(url)),
            other => Err(format!("'{text}': {other} is not http or https")),
        }
    });
    let mut headers = Vec::new();
    for header in entry.strings("headers", errors).into_iter().flatten() {
        match parse_header(&header.value) {
            Some(header) => headers.push(header),
            None => errors.at(header.at, "a header is NAME: VALUE".into()),
        }
    }
    let mut file = |name| entry.string(name, errors).map(|path| PathBuf::from(path.value));
    let (token_file, ca_file, identity_file) = (file("token_file"), file("ca_file"), file("identity_file"));
    let batch = entry.integer("batch", errors);
    let timeout = entry.duration("timeout", errors);
    Some(webhook::Settings {
        headers,
        token_file,
        ca_file,
        identity_file,
        batch: errors.ranged(batch, 1..=MAX_BATCH, 1),
        timeout: errors.parsed(timeout, TIMEOUT, |&timeout| super::within(timeout, 1, 600)),
        url: url?,
    })
}

fn parse_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    // It may be a secret.
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}
