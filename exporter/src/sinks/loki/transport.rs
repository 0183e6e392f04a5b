//! Entries to requests.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use reqwest::header::HeaderMap;

use super::{
    Dialect, Limits, Settings, answer, encode,
    search::{Kept, Search},
};
use crate::{
    delivery::{Entry, Probing, Reason, Refusal, Sending, Sent, Sink},
    sinks::{
        http::{Answer, HttpClient},
        tenant_ids::TenantIds,
    },
};

/// The sink.
#[derive(Debug)]
pub struct Loki {
    client: HttpClient,
    dialect: Dialect,
    ids: TenantIds,
    limits: Limits,
    /// By tenant, what a failure broke off.
    searches: Mutex<HashMap<String, Kept>>,
}

impl Loki {
    pub fn new(Settings { target, dialect, ids, limits }: Settings) -> Loki {
        Loki { client: HttpClient::new(target), dialect, ids, limits, searches: Mutex::default() }
    }

    fn searches(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that say whose a request is; none for a receiver that knows no tenants.
    fn headers(&self, tenant: &str) -> Result<HeaderMap, Refusal> {
        // Without its own everything would be somebody else's.
        let denied = |what: String| Refusal::Later { reason: Reason::Denied, what, after: None };
        let id = self.ids.of(tenant);
        if id.is_none() && self.ids != TenantIds::default() {
            return Err(denied(format!("tenant {tenant} has no id at this receiver")));
        }
        self.dialect
            .headers(id.as_deref())
            .map_err(|error| denied(format!("the id of tenant {tenant} cannot be a header: {error}")))
    }

    async fn push(&self, tenant: &str, entries: &[Entry]) -> Result<Answer, Refusal> {
        let headers = self.headers(tenant)?;
        let body = encode::body(tenant, entries)
            .map_err(|error| Refusal::Poison { what: format!("cannot be compressed: {error}") })?;
        self.client.post(self.client.url().clone(), "application/x-protobuf", headers, body).await
    }

    /// Sends up to the first entry that is refused. No request is ever the whole of one that was refused: its good
    /// entries are stored, and are the same when they come again.
    async fn send_all(&self, tenant: &str, entries: &[Entry]) -> Sent {
        let now = now_ns();
        let mut taken = 0;
        let mut search = self.searches().remove(tenant).and_then(|kept| Search::resumed(kept, entries));
        while let Some(rest) = entries.get(taken..)
            && let Some(first) = rest.first()
        {
            if let Some(what) = self.limits.refusal(first, now) {
                return Sent { taken, refusal: Some(Refusal::Poison { what }) };
            }
            let most = search.map_or(rest.len(), |search| search.end(taken) - taken);
            let part = rest.get(..most).unwrap_or(rest);
            let part = part.get(..self.limits.together(part, now).max(1)).unwrap_or(part);
            let end = taken + part.len();
            let result = self.push(tenant, part).await;
            let refusal = match &result {
                Ok(answer) => answer::judge(answer).err(),
                Err(refusal) => Some(refusal.clone()),
            };
            match refusal {
                None => {
                    taken = end;
                    search = search.and_then(|search| search.after(taken));
                }
                Some(Refusal::Poison { .. }) if part.len() > 1 => {
                    let named = result.ok().and_then(|answer| answer::named(&answer, part));
                    search = Some(Search::within(taken, end, named));
                }
                refusal => {
                    if let (Some(Refusal::Later { .. }), Some(search)) = (&refusal, search)
                        && let Some(kept) = search.kept(entries)
                    {
                        self.searches().insert(tenant.to_owned(), kept);
                    }
                    return Sent { taken, refusal };
                }
            }
        }
        Sent { taken, refusal: None }
    }
}

impl Sink for Loki {
    fn send<'s>(&'s self, tenant: &'s str, entries: &'s [Entry]) -> Sending<'s> {
        Box::pin(self.send_all(tenant, entries))
    }

    /// Which entry is refused is found out here.
    fn sends_together(&self) -> bool {
        false
    }

    fn probe<'s>(&'s self, tenant: &'s str) -> Probing<'s> {
        Box::pin(
            async move { self.client.probe_with(self.client.url().clone(), self.headers(tenant)?).await },
        )
    }
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
