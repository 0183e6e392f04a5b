//! The thread of the audit source: intake → rules → queue. It never waits for anybody but the intake.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

use super::{
    active::{Active, Matching, Scratches, Whose},
    engine::time_field,
};
use crate::{
    audit::{AuditEvent, AuditView, Intake, Queued, Sessions, Taken, namespace_of},
    config::RateLimit,
    detection::{Correlation, Detection},
    fields::FieldRef,
    kubernetes::Store,
    metrics::AuditCounters,
    sinks::queue::Sender,
    tenants::{Owner, Tenants},
};

/// Longest sleep without events.
const IDLE: Duration = Duration::from_secs(1);

/// What the thread works with.
#[derive(Debug)]
pub struct AuditParts {
    pub intake: Arc<Intake>,
    pub sessions: Arc<Sessions>,
    pub active: Active,
    pub limit: RateLimit,
    pub queue: Sender,
    pub counters: Arc<AuditCounters>,
    pub hostname: String,
    pub cluster: String,
    /// What is known of namespaces, if the API server is watched.
    pub namespaces: Option<Arc<Store>>,
}

/// The running thread.
#[derive(Debug)]
pub struct Auditor {
    intake: Arc<Intake>,
    /// Rules to be used from the next event on.
    offer: Arc<Mutex<Option<Box<Active>>>>,
    ended: watch::Receiver<bool>,
}

impl Auditor {
    pub fn spawn(parts: AuditParts) -> io::Result<Auditor> {
        let (intake, offer) = (Arc::clone(&parts.intake), Arc::default());
        let (ended, has_ended) = watch::channel(false);
        let taken = Arc::clone(&offer);
        thread::Builder::new().name("yagura-audit".into()).spawn(move || {
            let _end = End { intake: Arc::clone(&parts.intake), ended };
            work(parts, &taken);
        })?;
        Ok(Auditor { intake, offer, ended: has_ended })
    }

    /// Makes the thread use other rules from the next event on.
    pub fn swap(&self, active: Active) {
        *self.offer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(active));
    }

    /// Takes no more events; those that are there are handled until the deadline. The result becomes true when the
    /// thread has ended.
    pub fn stop(&self, deadline: Instant) -> watch::Receiver<bool> {
        self.intake.close(deadline);
        self.ended.clone()
    }
}

/// Says that the thread has ended, also when it panics: nobody would handle what is taken after that.
struct End {
    intake: Arc<Intake>,
    ended: watch::Sender<bool>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.intake.close(Instant::now());
        self.ended.send_replace(true);
    }
}

fn work(parts: AuditParts, offer: &Mutex<Option<Box<Active>>>) {
    let AuditParts { intake, sessions, active, limit, queue, counters, hostname, cluster, namespaces } =
        parts;
    let mut judge = Judge {
        sessions,
        active: Box::new(active),
        scratch: Scratches::default(),
        limit,
        counters,
        hostname,
        cluster,
        namespaces,
        time: time_field(),
        start: Instant::now(),
        number: 0,
        first_ns: 0,
    };
    loop {
        let taken = intake.take(IDLE);
        // After the event is there: rules that were exchanged before it came apply to it.
        if let Some(active) = offer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            judge.swap(active);
        }
        match taken {
            Taken::Event(event) => {
                judge.handle_guarded(&event, &mut |detection| queue.try_send(detection).is_ok())
            }
            Taken::Nothing => {}
            Taken::End => return,
        }
    }
}

/// One audit event through the rules.
#[derive(Debug)]
struct Judge {
    sessions: Arc<Sessions>,
    active: Box<Active>,
    scratch: Scratches,
    limit: RateLimit,
    counters: Arc<AuditCounters>,
    hostname: String,
    cluster: String,
    namespaces: Option<Arc<Store>>,
    time: FieldRef,
    /// The rate limits' clock. Not the events' own, which whoever posts them could set.
    start: Instant,
    number: u64,
    first_ns: u64,
}

impl Judge {
    fn swap(&mut self, mut active: Box<Active>) {
        active.inherit(&self.active);
        self.active = active;
    }

    /// A panic costs one event only. It is on stderr, the event is counted as lost.
    fn handle_guarded(&mut self, event: &Queued, emit: &mut impl FnMut(Detection) -> bool) {
        if catch_unwind(AssertUnwindSafe(|| self.handle(event, emit))).is_err() {
            self.counters.panicked();
        }
    }

    fn handle(&mut self, event: &Queued, emit: &mut impl FnMut(Detection) -> bool) {
        let Judge {
            sessions,
            active,
            scratch,
            limit,
            counters,
            hostname,
            cluster,
            namespaces,
            time,
            start,
            number,
            first_ns,
        } = self;
        counters.receive(event.stage);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Ok(event) = AuditEvent::read(&event.text, nanoseconds(now)) else {
            counters.invalid.add(1);
            return;
        };
        *number += 1;
        if *number == 1 {
            *first_ns = event.time_ns();
        }
        let view = AuditView {
            event: &event,
            number: *number,
            first_ns: *first_ns,
            hostname: &*hostname,
            cluster: &*cluster,
        };
        let matching = Matching {
            scratch,
            limit,
            now_ns: nanoseconds(start.elapsed()),
            time,
            detections: &counters.detections,
            suppressed: &counters.suppressed,
            queue_full: &counters.queue_full,
        };
        let namespace = namespace_of(&event);
        let whose = |tenants: &Tenants| {
            let known = namespace.and_then(|name| namespaces.as_ref()?.namespace(name));
            let (labels, annotations) = known.as_ref().map(|(labels, ours)| (&**labels, &**ours)).unzip();
            let owner = Owner {
                namespace,
                namespace_labels: labels,
                namespace_annotations: annotations,
                ..Owner::default()
            };
            Whose { tenant: tenants.of(&owner), namespace }
        };
        let detections = sessions.observe(&event);
        let matched = active.apply(&view, whose, matching, &mut |mut detection| {
            if !detections.is_empty() {
                let detections = detections.clone();
                detection.correlation = Some(Box::new(Correlation { detections, ..Correlation::default() }));
            }
            emit(detection)
        });
        if matched { &counters.matched } else { &counters.unmatched }.add(1);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
