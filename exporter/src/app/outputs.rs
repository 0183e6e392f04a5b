//! The threads behind the queues: the journal's and stdout's writers, the recording's, and the sinks'; and remote-write's.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{oneshot, watch},
    time::timeout_at,
};

use super::{
    keep::{self, Keeper},
    sinks,
};
use crate::{
    config::{Config, Format, OutputConfig},
    delivery::Delivery,
    detection::{Formatter, Identity},
    journal::{Journal, News},
    metrics::{Ledger, Metrics},
    recording::Recorder,
    sinks::{
        otlp::MetricsPush,
        queue::{Sender, queue},
        remote_write::RemoteWrite,
        stdout::{End, StdoutSink},
    },
    tenants::Tenants,
};

/// Shortest time for the last samples.
const LAST_SAMPLES: Duration = Duration::from_secs(1);

/// The running writer of stdout.
#[derive(Debug)]
pub struct Outputs {
    /// How the writer ended, once it has.
    end: watch::Receiver<Option<End>>,
    delivery: Option<Delivery>,
    remote_write: Option<RemoteWrite>,
    metrics: Vec<MetricsPush>,
}

/// What ended in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub stdout: bool,
    pub recording: bool,
    pub sinks: bool,
}

impl Outputs {
    /// Starts the writer; returns what feeds it. On a runtime.
    pub fn start(
        config: &Config,
        identity: Identity,
        ledger: &Ledger,
        metrics: &Arc<Metrics>,
        tenants: &Tenants,
    ) -> io::Result<(Outputs, Sender)> {
        let (sender, mut receiver) = queue(config.queue_size);
        let mut delivery = None;
        let remote_write = sinks::start_remote_write(config, &identity, tenants, metrics, ledger)?;
        let pushes = sinks::start_metrics(config, &identity, tenants, metrics);
        if config.journal.enabled {
            let news = Arc::new(News::default());
            // Room for what the journal writes at once.
            let (stdout, of_stdout) = queue(config.queue_size + keep::BATCH);
            let whole = OutputConfig { format: Format::Json, ..Config::default().output };
            let keeper = Keeper {
                journal: Journal::new(config.journal.clone(), Arc::clone(&ledger.journal), Arc::clone(&news)),
                formatter: Formatter::new(identity.clone(), whole),
                stdout,
                counters: Arc::clone(&ledger.stdout),
            };
            if config.sinks.iter().any(|sink| sink.kind.is_fed_from_journal()) {
                delivery = Some(sinks::start(config, tenants, news, ledger)?);
            }
            let of_journal = std::mem::replace(&mut receiver, of_stdout);
            thread::Builder::new().name("yagura-journal".into()).spawn(move || keeper.run(&of_journal))?;
        }
        // The descriptor itself: `io::Stdout` would buffer, and its lock is not ours alone.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let formatter = Formatter::new(identity, config.output.clone());
        let sink = StdoutSink::new(out, formatter, Arc::clone(&ledger.stdout), metrics.latency.clone());
        let (ended, end) = watch::channel(None);
        thread::Builder::new().name("yagura-stdout".into()).spawn(move || {
            let end = sink.run(&receiver);
            ended.send_replace(Some(end));
        })?;
        Ok((Outputs { end, delivery, remote_write, metrics: pushes }, sender))
    }

    /// How the writer ended, once it has.
    pub fn end(&self) -> watch::Receiver<Option<End>> {
        self.end.clone()
    }

    /// Files may have been moved away (SIGHUP). To be called on a runtime.
    pub fn reopen(&self) {
        if let Some(delivery) = &self.delivery {
            delivery.reopen();
        }
    }

    /// Waits for the writers until the deadline.
    pub async fn finish(mut self, deadline: Instant, recording: Option<Recording>) -> Finished {
        let until = deadline;
        let deadline = deadline.into();
        let end = timeout_at(deadline, self.end.wait_for(Option::is_some)).await;
        let stdout = matches!(end, Ok(Ok(end)) if *end == Some(End::Drained));
        let recording = match recording {
            Some(recording) => matches!(timeout_at(deadline, recording.written).await, Ok(Ok(true))),
            None => true,
        };
        // Last: before stdout's writer has ended something may still be journaled.
        let sinks = match self.delivery.take() {
            Some(delivery) => delivery.finish(until).await,
            None => true,
        };
        // Its last samples are those of the end. What the others took of its time it gets back, but not more than this.
        let samples = match self.remote_write.take() {
            Some(remote_write) => remote_write.finish(until.max(Instant::now() + LAST_SAMPLES)).await,
            None => true,
        };
        for push in self.metrics.drain(..) {
            push.finish(until.max(Instant::now() + LAST_SAMPLES)).await;
        }
        if !samples {
            tracing::error!("remote-write did not end in time: some samples may be sent again");
        }
        Finished { stdout, recording, sinks }
    }
}

/// The running writer of a recording.
#[derive(Debug)]
pub struct Recording {
    /// Whether all of it was written.
    written: oneshot::Receiver<bool>,
}

impl Recording {
    pub fn start(recorder: Recorder<File>) -> io::Result<Recording> {
        let (written, has_written) = oneshot::channel();
        thread::Builder::new().name("yagura-record".into()).spawn(move || {
            let result = recorder.run();
            if let Err(error) = &result {
                tracing::error!(%error, "cannot write the recording");
            }
            let _ = written.send(result.is_ok());
        })?;
        Ok(Recording { written: has_written })
    }
}
