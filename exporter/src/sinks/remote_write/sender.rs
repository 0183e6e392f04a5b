//! Sends what waits of one lane, a request at a time, for as long as it takes.

use std::{sync::Arc, time::Duration};

use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use tokio::{select, sync::watch, time::sleep};

use super::{
    judge::{Done, judge},
    lane::Lane,
    queue::{First, Request},
    route::Route,
};
use crate::{
    backoff::Backoff,
    delivery::{Breaker, Change, Reason, Refusal},
    sinks::http::HttpClient,
};

/// How long to wait for a file that cannot be read.
const SPOOL_PAUSE: Duration = Duration::from_secs(2);
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// Why a request is to be made again, and after how long at the earliest.
#[derive(Clone, Debug)]
pub(super) struct Later {
    pub reason: Reason,
    pub what: String,
    pub after: Option<Duration>,
}

/// One request to a tenant's receiver, and what became of it.
pub(super) async fn send(client: &HttpClient, route: &Route, request: Request) -> Result<Done, Later> {
    let Request { time_ms: _, samples, version, body } = request;
    let mut headers: HeaderMap = route.headers.clone();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(VERSION, HeaderValue::from_static(version.header()));
    let answer = client.post(route.url.clone(), version.content_type(), headers, body).await;
    match answer.and_then(|answer| judge(version, samples, &answer)) {
        Err(Refusal::Poison { what } | Refusal::Part { what, .. }) => {
            Ok(Done { sent: 0, rejected: samples, what: Some(what) })
        }
        Err(Refusal::Later { reason, what, after }) => Err(Later { reason, what, after }),
        Ok(done) => Ok(done),
    }
}

/// Sends until it is stopped; then what is there, up to the first failure.
pub(super) async fn run(lane: Arc<Lane>, client: Arc<HttpClient>, mut stop: watch::Receiver<bool>) {
    let (mut backoff, mut breaker) = (Backoff::new(lane.pace), Breaker::default());
    let mut rejecting = false;
    loop {
        let stopping = *stop.borrow_and_update();
        let request = match lane.first() {
            First::Request(request) => request,
            First::Nothing | First::Unreadable if stopping => return,
            First::Nothing => {
                select! {
                    () = lane.news.notified() => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
            First::Unreadable => {
                wait(SPOOL_PAUSE, &mut stop).await;
                continue;
            }
        };
        let again = backoff.failures() > 0;
        lane.counters.numbers().retried += u64::from(again);
        match send(&client, &lane.route, request).await {
            Ok(Done { sent, rejected, what }) => {
                lane.done(sent, rejected);
                backoff.succeed();
                if breaker.succeed() == Some(Change::Closed) {
                    tracing::info!(sink = %lane.sink, tenant = %lane.tenant, "the receiver works again");
                    lane.counters.numbers().down = false;
                }
                match what {
                    // Once: whatever is wrong is likely wrong with the next request too.
                    Some(what) if !rejecting => {
                        tracing::warn!(sink = %lane.sink, tenant = %lane.tenant, rejected, %what,
                            "the receiver refuses samples: they are not sent again");
                    }
                    _ => {}
                }
                rejecting = rejected > 0;
            }
            Err(Later { reason, what, after }) => {
                lane.failed();
                let pause = backoff.fail(after);
                let change = breaker.fail(backoff.failures());
                {
                    let mut numbers = lane.counters.numbers();
                    numbers.fail(reason);
                    numbers.down |= change == Some(Change::Opened);
                }
                match change {
                    _ if backoff.failures() == 1 => {
                        tracing::warn!(sink = %lane.sink, tenant = %lane.tenant, %what, "samples wait");
                    }
                    Some(Change::Opened) => {
                        tracing::error!(sink = %lane.sink, tenant = %lane.tenant, %what,
                            "the receiver does not work: samples wait");
                    }
                    _ => tracing::debug!(sink = %lane.sink, tenant = %lane.tenant, %what, "samples wait"),
                }
                if stopping {
                    return;
                }
                wait(pause, &mut stop).await;
            }
        }
    }
}

/// Less long if it is to end.
async fn wait(pause: Duration, stop: &mut watch::Receiver<bool>) {
    select! {
        () = sleep(pause) => {}
        // Whoever would say so is gone, or has.
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
