//! `type: remote_write`.

use std::{collections::BTreeMap, time::Duration};

use saphyr::Marker;

use super::{
    super::{
        walk::{Errors, Map, Spanned},
        within,
    },
    target,
};
use crate::{
    delivery::Feed,
    sinks::{
        http::Target,
        remote_write::{Bounds, DEFAULT_INTERVAL, Settings, Tenancy, Version, has_place},
        tenant_ids::{TenantIds, check_account, check_org},
    },
    tenants::Tenant,
};

/// Labels at most: VictoriaMetrics takes 30 of a series, and ours have up to eight.
const MAX_LABELS: usize = 16;
const MIN_SIZE: u64 = 1 << 20;
const MAX_SIZE: u64 = 1 << 40;
/// What the protocol says itself.
const RESERVED: [&str; 4] =
    ["content-encoding", "content-type", "user-agent", "x-prometheus-remote-write-version"];

pub(super) fn read(
    at: Marker,
    entry: &mut Map<'_>,
    feed: &Feed,
    tenants: &[Tenant],
    errors: &mut Errors,
) -> Option<Settings> {
    let target = target::read(at, entry, errors);
    for (name, _) in target.iter().flat_map(|target| &target.headers) {
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            errors.at(at, format!("remote-write has its own header '{name}'"));
        }
    }
    let version = entry.integer("version", errors);
    let version = errors.parsed(version, Version::default(), |&number| {
        let version = i64::try_from(number).ok().and_then(Version::from_number);
        version.ok_or_else(|| format!("{number} is not one of: 1, 2"))
    });
    let interval = entry.duration("interval", errors);
    let interval = errors.parsed(interval, DEFAULT_INTERVAL, |&interval| within(interval, 1, 3600));
    let external_labels = external_labels(entry, errors);
    let bounds = bounds(entry, errors);
    let tenancy = tenancy(at, entry, target.as_ref(), errors);
    if matches!(tenancy, Some(Tenancy::Labels(_)))
        && external_labels.keys().any(|name| matches!(&**name, "vm_account_id" | "vm_project_id"))
    {
        errors.at(
            at,
            "with 'tenancy: labels', vm_account_id and vm_project_id are made from tenant_ids".into(),
        );
    }
    let settings =
        Settings { target: target?, version, interval, tenancy: tenancy?, external_labels, bounds };
    target::check_tenants(at, |tenant| settings.knows(tenant), feed, tenants, errors);
    Some(settings)
}

fn tenancy(at: Marker, entry: &mut Map<'_>, target: Option<&Target>, errors: &mut Errors) -> Option<Tenancy> {
    let how = entry.string("tenancy", errors);
    let labels = errors.choice(how, &[("url", false), ("labels", true)], false);
    let header = entry.string("tenant_header", errors);
    let header = errors.parsed(header, None, |text| match reqwest::header::HeaderName::try_from(&**text) {
        Ok(name) if !RESERVED.contains(&name.as_str()) => Ok(Some(name)),
        Ok(name) => Err(format!("remote-write has its own header '{name}'")),
        Err(error) => Err(format!("'{text}' is no header: {error}")),
    });
    // A place for the name makes an id of each tenant's own, which is looked at when the tenants are known.
    let check = if header.is_some() { check_org } else { check_account };
    let ids = target::tenant_ids(entry, errors, |id| check(&id.replace("{tenant}", "0")));
    let place = match has_place(&target?.url) {
        Ok(place) => place,
        Err(problem) => {
            errors.at(at, problem);
            return None;
        }
    };
    match (place, labels, header) {
        (true, false, None) => Some(Tenancy::Path(ids)),
        (false, true, None) => Some(Tenancy::Labels(ids)),
        (false, false, Some(header)) => {
            if target?.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header.as_str())) {
                errors.at(
                    at,
                    format!("the header '{header}' says whose samples they are: it cannot be in headers"),
                );
            }
            Some(Tenancy::Header(header, ids))
        }
        (false, false, None) if ids == TenantIds::default() => Some(Tenancy::Plain),
        (false, false, None) => {
            errors.at(
                at,
                "tenant_ids are for a url with {tenant_id} in its path, 'tenancy: labels' or a tenant_header"
                    .into(),
            );
            None
        }
        _ => {
            errors.at(at, "one of: {tenant_id} in the url, 'tenancy: labels', tenant_header".into());
            None
        }
    }
}

fn external_labels(entry: &mut Map<'_>, errors: &mut Errors) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (at, mut pair) in entry.maps("external_labels", errors) {
        let (name, value) = (pair.string("name", errors), pair.string("value", errors));
        pair.finish(errors);
        let (Some(Spanned { value: name, at: name_at }), Some(value)) = (name, value) else {
            errors.at(at, "an external label must have a name and a value".into());
            continue;
        };
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let plain = name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit());
        if !plain || name.starts_with("__") || name.len() > 128 {
            errors.at(name_at, format!("'{name}' is no name of a label"));
        } else if labels.len() == MAX_LABELS {
            errors.at(at, format!("more than {MAX_LABELS} external labels"));
        } else if labels.insert(name.clone(), value.value).is_some() {
            errors.at(name_at, format!("a second label '{name}'"));
        }
    }
    labels
}

fn bounds(entry: &mut Map<'_>, errors: &mut Errors) -> Bounds {
    let mut bounds = Bounds::default();
    let Some(mut map) = entry.map("spool", errors) else { return bounds };
    let size = map.size("max_size", errors);
    bounds.max_size = errors.parsed(size, bounds.max_size, |&size| {
        if (MIN_SIZE..=MAX_SIZE).contains(&size) {
            Ok(size)
        } else {
            Err(format!("{size} is not between 1MiB and 1TiB"))
        }
    });
    let age = map.duration("max_age", errors);
    let longest = Duration::from_secs(30 * 86_400);
    bounds.max_age = errors.parsed(age, bounds.max_age, |&age| within(age, 60, longest.as_secs()));
    map.finish(errors);
    bounds
}
