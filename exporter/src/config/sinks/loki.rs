//! `type: loki`.

use std::time::Duration;

use saphyr::Marker;

use super::{
    super::walk::{Errors, Map},
    target,
};
use crate::{
    delivery::Feed,
    sinks::{
        loki::{Dialect, Limits, Settings},
        tenant_ids::TenantIds,
    },
    tenants::Tenant,
};

const LONGEST: Duration = Duration::from_secs(10 * 365 * 86400);

pub(super) fn read(
    at: Marker,
    entry: &mut Map<'_>,
    feed: &Feed,
    tenants: &[Tenant],
    errors: &mut Errors,
) -> Option<Settings> {
    let target = target::read(at, entry, errors);
    let dialect = entry.string("dialect", errors);
    let dialects = [("loki", Dialect::Loki), ("victorialogs", Dialect::VictoriaLogs)];
    let dialect = errors.choice(dialect, &dialects, Dialect::default());
    let ids = target::tenant_ids(entry, errors, |id| dialect.check(id));
    let knows = |tenant: &str| ids == TenantIds::default() || ids.of(tenant).is_some();
    target::check_tenants(at, knows, feed, tenants, errors);
    let limits = limits(entry, errors);
    let mut target = target?;
    for (name, _) in &target.headers {
        if dialect.is_tenant_header(name) {
            errors.at(at, format!("the header {name} is made from tenant_id and tenant_ids"));
        }
    }
    if target.url.path() == "/" {
        target.url.set_path(dialect.path());
    }
    Some(Settings { target, dialect, ids, limits })
}

fn limits(entry: &mut Map<'_>, errors: &mut Errors) -> Limits {
    let default = Limits::default();
    let Some(mut map) = entry.map("limits", errors) else { return default };
    let size = map.size("max_line_size", errors);
    let max_line_size = errors.parsed(size, default.max_line_size, |&bytes| {
        usize::try_from(bytes).map_err(|_| format!("{bytes} is too large"))
    });
    let mut time = |name, default| {
        let time = map.duration(name, errors);
        errors.parsed(time, default, |&time| {
            if time <= LONGEST { Ok(time) } else { Err(format!("{name} is more than ten years")) }
        })
    };
    let reject_old_samples_max_age = time("reject_old_samples_max_age", default.reject_old_samples_max_age);
    let creation_grace_period = time("creation_grace_period", default.creation_grace_period);
    map.finish(errors);
    Limits { max_line_size, reject_old_samples_max_age, creation_grace_period }
}
