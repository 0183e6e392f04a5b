//! From the journal to receivers: one cursor for each sink and tenant, at least once, in order, each by itself.
//!
//! ```text
//! journal ─ cursor (sink, tenant) ─ batch ─ sink
//!              └ moves when the receiver has it, and is kept in the journal's file
//! ```
//!
//! A receiver that is away holds back nobody else: each cursor has a task, a pause and a request of its own. What a bound
//! removes from the journal before it was delivered is counted. It never decides what a detection says.

mod cursors;
mod selection;
#[cfg(test)]
mod tests;
mod way;

use std::{io, path::Path, sync::Arc, thread, time::Duration};

use tokio::{runtime::Builder, sync::watch};

pub use cursors::Cursors;
pub use selection::Selection;

use crate::{
    metrics::SinksCounters,
    pause::Pause,
    sinks::{Sink, webhook},
    tenants::Tenants,
};
use way::{Place, Way};

/// A sink of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkSettings {
    pub name: String,
    pub kind: SinkKind,
    pub selection: Selection,
    /// The first and the longest pause after a failure.
    pub pause: (Duration, Duration),
}

/// What kind of receiver.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    Webhook(webhook::Settings),
}

/// Delivery could not begin.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("sink {name}")]
    Webhook { name: String, source: webhook::WebhookError },
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
}

impl SinkSettings {
    /// Sets it up; connects to nobody.
    pub fn build(&self) -> Result<Arc<dyn Sink>, DeliveryError> {
        match &self.kind {
            SinkKind::Webhook(settings) => {
                let webhook = webhook::Webhook::new(settings.clone())
                    .map_err(|source| DeliveryError::Webhook { name: self.name.clone(), source })?;
                Ok(Arc::new(webhook))
            }
        }
    }
}

/// What runs; ends when dropped.
#[derive(Debug)]
pub struct Delivery {
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

impl Delivery {
    /// Starts to deliver what is in the journal after each cursor. `grown` changes when there is more. A cursor that
    /// is new begins at the end. A journal that cannot be opened is tried again until it can.
    pub fn start(
        settings: &[SinkSettings],
        path: &Path,
        tenants: &Tenants,
        cursors: &Arc<Cursors>,
        grown: &watch::Receiver<u64>,
        counters: &Arc<SinksCounters>,
    ) -> Result<Delivery, DeliveryError> {
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = watch::channel(false);
        let mut ways = Vec::new();
        for settings in settings {
            let sink = settings.build()?;
            for tenant in tenants.iter().filter(|tenant| settings.selection.wants_tenant(&tenant.name)) {
                counters.begin(&settings.name, &tenant.name);
                ways.push(Way {
                    sink: Arc::clone(&sink),
                    name: settings.name.clone(),
                    tenant: tenant.name.to_string(),
                    selection: settings.selection.clone(),
                    pause: Pause::new(settings.pause.0, settings.pause.1),
                    path: path.to_owned(),
                    cursors: Arc::clone(cursors),
                    counters: Arc::clone(counters),
                    grown: grown.clone(),
                    stop: stopped.clone(),
                });
            }
        }
        // Before the first detection: what comes from now on is after the cursor.
        let ways: Vec<(Way, Option<Place>)> = ways
            .into_iter()
            .map(|way| {
                let place = way.open();
                if let Err(error) = &place {
                    tracing::error!(sink = way.name, tenant = way.tenant, %error, "cannot deliver yet");
                }
                (way, place.ok())
            })
            .collect();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("yagura-deliver".into()).spawn(move || {
            runtime.block_on(async {
                let running: Vec<_> =
                    ways.into_iter().map(|(way, place)| tokio::spawn(way.run(place))).collect();
                for task in running {
                    // A task that panicked says so on stderr; the others go on.
                    let _panicked = task.await;
                }
            });
            alive.send_replace(true);
        })?;
        Ok(Delivery { stop, ended })
    }

    /// Asks for an end: what is under way is finished or given up; what is not delivered stays in the journal.
    pub fn stop(&self) -> watch::Receiver<bool> {
        self.stop.send_replace(true);
        self.ended.clone()
    }
}
