//! Where a sink sends to, and who it is there: the same for each type that speaks HTTP.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use saphyr::Marker;

use super::super::{
    walk::{Errors, Map, Spanned},
    within,
};
use crate::{
    delivery::Feed,
    detection::PLATFORM_TENANT,
    secret::Secret,
    sinks::{
        http::{Authorization, Target},
        tenant_ids::TenantIds,
    },
    tenants::Tenant,
};

/// Receivers of one sink.
const MAX_RECEIVERS: usize = 16;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// `url` and all that goes with it.
pub(super) fn read(at: Marker, entry: &mut Map<'_>, errors: &mut Errors) -> Option<Target> {
    let url = entry.string("url", errors);
    if url.is_none() {
        errors.at(at, "this sink must have a url".into());
    }
    let url = errors.parsed(url, None, |text| check_url(text).map(Some));
    read_with(url, entry, errors)
}

/// `url` or `urls`, all with the same that goes with it. `check` says what else is wrong with one.
pub(super) fn read_all(
    at: Marker,
    entry: &mut Map<'_>,
    errors: &mut Errors,
    check: impl Fn(&reqwest::Url) -> Result<(), String>,
) -> Option<Vec<Target>> {
    let (one, several) = (entry.string("url", errors), entry.strings("urls", errors));
    if one.is_some() == several.as_ref().is_some_and(|urls| !urls.is_empty()) {
        errors.at(at, "this sink must have either url or urls".into());
    }
    let mut urls: Vec<reqwest::Url> = Vec::new();
    for text in one.into_iter().chain(several.into_iter().flatten()) {
        let place = text.at;
        let url = errors.parsed(Some(text), None, |text| {
            let url = check_url(text)?;
            check(&url)?;
            if urls.contains(&url) { Err("the same url again".into()) } else { Ok(Some(url)) }
        });
        urls.extend(url);
        if urls.len() > MAX_RECEIVERS {
            errors.at(place, format!("more than {MAX_RECEIVERS} urls"));
            break;
        }
    }
    let target = read_with(urls.first().cloned(), entry, errors)?;
    Some(urls.into_iter().map(|url| Target { url, ..target.clone() }).collect())
}

/// What goes with a URL.
fn read_with(url: Option<reqwest::Url>, entry: &mut Map<'_>, errors: &mut Errors) -> Option<Target> {
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
    let bearer = entry.map("bearer_token", errors).map(|mut map| {
        let at = map.at();
        let token = secret(at, &mut map, None, errors);
        map.finish(errors);
        (at, token.map(Authorization::Bearer))
    });
    let basic = entry.map("basic_auth", errors).map(|mut map| (map.at(), basic(&mut map, errors)));
    let authorization = match (bearer, basic) {
        (Some(_), Some((at, _))) => {
            errors.at(at, "either bearer_token or basic_auth".into());
            None
        }
        (Some((_, one)), None) | (None, Some((_, one))) => one,
        (None, None) => None,
    };
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
    Some(Target { url: url?, headers, authorization, ca, identity, timeout })
}

/// `tenant_id` and `tenant_ids`, each id checked.
pub(super) fn tenant_ids(
    entry: &mut Map<'_>,
    errors: &mut Errors,
    check: impl Fn(&str) -> Result<(), String>,
) -> TenantIds {
    let checked = |text: Option<Spanned<String>>, errors: &mut Errors| {
        errors.parsed(text, None, |text| check(text).map(|()| Some(text.clone())))
    };
    let otherwise = entry.string("tenant_id", errors);
    let otherwise = checked(otherwise, errors);
    let mut named = BTreeMap::new();
    for (at, mut pair) in entry.maps("tenant_ids", errors) {
        let (tenant, id) = (pair.string("tenant", errors), pair.string("id", errors));
        pair.finish(errors);
        let (Some(tenant), true) = (tenant, id.is_some()) else {
            errors.at(at, "an entry of tenant_ids must have a tenant and an id".into());
            continue;
        };
        named.extend(checked(id, errors).map(|id| (tenant.value, id)));
    }
    TenantIds { named, otherwise }
}

/// Each tenant that a sink is for must have an id there: what has none would be the receiver's default tenant's.
pub(super) fn check_tenants(
    at: Marker,
    knows: impl Fn(&str) -> bool,
    feed: &Feed,
    tenants: &[Tenant],
    errors: &mut Errors,
) {
    let names = [PLATFORM_TENANT].into_iter().chain(tenants.iter().map(|tenant| &*tenant.name));
    for tenant in names.filter(|tenant| feed.filter.wants_tenant(tenant) && !knows(tenant)) {
        errors.at(
            at,
            format!("tenant '{tenant}' has no id at this receiver: see tenant_ids, tenant_id, or leave it out with tenants"),
        );
    }
}

fn basic(map: &mut Map<'_>, errors: &mut Errors) -> Option<Authorization> {
    let at = map.at();
    let username = map.string("username", errors);
    let password = map.map("password", errors).and_then(|mut map| {
        let password = secret(map.at(), &mut map, None, errors);
        map.finish(errors);
        password
    });
    if username.is_none() || password.is_none() {
        errors.at(at, "basic_auth must have a username and a password".into());
    }
    Some(Authorization::Basic { username: username?.value, password: password? })
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
