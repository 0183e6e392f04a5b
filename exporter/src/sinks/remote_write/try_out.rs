//! One made-up sample, to see whether a receiver takes it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Settings,
    encode::Frame,
    lane::now_ms,
    queue::Request,
    sender,
    series::{About, Kind, Series},
};
use crate::sinks::http::HttpClient;

/// Sends `yagura_sink_test` with the value 1 to a tenant's receiver. The error is what came back, or what is missing.
pub async fn try_out(
    settings: &Settings,
    tenant: &str,
    mut external: BTreeMap<String, String>,
) -> Result<(), String> {
    let Some(route) = settings.route(tenant) else {
        return Err(format!("tenant '{tenant}' has no id at this receiver"));
    };
    external.extend(route.labels.iter().cloned());
    let name = "yagura_sink_test";
    let about = About { name: name.into(), kind: Kind::Gauge, help: "Made up by yagura sink test.".into() };
    let series = Series {
        labels: vec![("__name__".into(), name.into()), ("tenant".into(), tenant.into())],
        value: 1.0,
        about: Arc::new(about),
    };
    let (version, time_ms) = (settings.version, now_ms());
    let frame = Frame { version, time_ms, external: &external, with_metadata: true };
    let body = frame.body(&[series]).map_err(|error| error.to_string())?;
    let request = Request { time_ms, samples: 1, version, body };
    match sender::send(&HttpClient::new(settings.target.clone()), &route, request).await {
        Ok(done) => done.what.map_or(Ok(()), Err),
        Err(later) => Err(later.what),
    }
}
