//! `type: alertmanager`.

use saphyr::Marker;

use super::{
    super::{
        walk::{Errors, Map, Spanned},
        within,
    },
    target,
};
use crate::sinks::alertmanager::{Links, Settings, Template};

pub(super) fn read(at: Marker, entry: &mut Map<'_>, errors: &mut Errors) -> Option<Settings> {
    let targets = target::read_all(at, entry, errors, |url| {
        if url.query().is_some() || url.fragment().is_some() {
            return Err("the url of an Alertmanager has no query and no fragment".into());
        }
        if url.path().trim_end_matches('/').ends_with("/api/v2/alerts") {
            return Err("the url of an Alertmanager is without /api/v2/alerts".into());
        }
        Ok(())
    });
    let refresh = entry.duration("refresh", errors);
    let refresh = errors.parsed(refresh, Settings::DEFAULT_REFRESH, |&time| within(time, 1, 3600));
    let resolve_after = entry.duration("resolve_after", errors);
    let resolve_after =
        errors.parsed(resolve_after, Settings::DEFAULT_RESOLVE_AFTER, |&time| within(time, 1, 7 * 86_400));
    let max_alerts = entry.integer("max_alerts", errors);
    let max_alerts = errors.ranged(max_alerts, 1..=10_000, Settings::DEFAULT_MAX_ALERTS);
    let link = |text: Option<Spanned<String>>, errors: &mut Errors| {
        errors.parsed(text, None, |text| Template::parse(text).map(Some).map_err(|error| error.to_string()))
    };
    let dashboard_url = entry.string("dashboard_url", errors);
    let dashboard_url = link(dashboard_url, errors);
    let runbook_url = entry.string("runbook_url", errors);
    let runbook_url = link(runbook_url, errors);
    let generator_url = entry.string("generator_url", errors);
    let generator_url = link(generator_url, errors);
    let links = Links { dashboard_url, runbook_url, generator_url };
    Some(Settings { targets: targets?, refresh, resolve_after, max_alerts, links })
}
