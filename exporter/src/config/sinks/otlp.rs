//! `type: otlp`.

use std::time::Duration;

use reqwest::header::HeaderName;
use saphyr::Marker;

use super::{
    super::{
        walk::{Errors, Map},
        within,
    },
    target,
};
use crate::{
    delivery::Feed,
    sinks::{
        otlp::Settings,
        tenant_ids::{TenantIds, check_org},
    },
    tenants::Tenant,
};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_RATIO: f64 = 0.1;

/// `traced`: whether a sink before it has asked for spans.
pub(super) fn read(
    at: Marker,
    entry: &mut Map<'_>,
    feed: &Feed,
    tenants: &[Tenant],
    traced: &mut bool,
    errors: &mut Errors,
) -> Option<Settings> {
    let target = target::read(at, entry, errors);
    let compression = entry.string("compression", errors);
    let gzip = errors.choice(compression, &[("none", false), ("gzip", true)], false);
    let name = entry.string("tenant_header", errors);
    let header: Option<HeaderName> = errors.parsed(name, None, |name| {
        HeaderName::try_from(name).map(Some).map_err(|error| format!("'{name}' is no header: {error}"))
    });
    let ids = target::tenant_ids(entry, errors, check_org);
    let tenant_header = match header {
        Some(header) => {
            if ids == TenantIds::default() {
                errors.at(at, "tenant_header needs tenant_id or tenant_ids".into());
            } else {
                let knows = |tenant: &str| ids.of(tenant).is_some();
                target::check_tenants(at, knows, feed, tenants, errors);
            }
            Some((header, ids))
        }
        None => {
            if ids != TenantIds::default() {
                errors.at(at, "tenant_ids are for a tenant_header".into());
            }
            None
        }
    };
    let metrics = entry.map("metrics", errors).map(|mut map| {
        let time = map.duration("interval", errors);
        let time = errors.parsed(time, DEFAULT_INTERVAL, |&time| within(time, 1, 3600));
        map.finish(errors);
        time
    });
    let sample_ratio = entry.map("traces", errors).map(|mut map| {
        if std::mem::replace(traced, true) {
            errors.at(map.at(), "traces go to one sink".into());
        }
        let ratio = map.number("sample_ratio", errors);
        let ratio = errors.parsed(ratio, DEFAULT_RATIO, |&ratio| {
            if (0.0..=1.0).contains(&ratio) {
                Ok(ratio)
            } else {
                Err(format!("{ratio} is not between 0 and 1"))
            }
        });
        map.finish(errors);
        ratio
    });
    Some(Settings { target: target?, gzip, tenant_header, metrics, sample_ratio })
}
