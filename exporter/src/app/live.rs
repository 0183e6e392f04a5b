//! The live side: the kernel's programs, the hot thread, and the rules they run.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use exporter_common::{counters::GlobalCounter, event_type::EventType};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{JoinError, spawn_blocking},
    time::timeout_at,
};

use super::{
    Health,
    active::{Active, QuotaTally, RuleTally},
    audit::{AuditParts, Auditor},
    engine::{Engine, Problem},
    host_etc::host_etc,
    hot::{Hot, Parts},
    names,
    outputs::Recording,
    places::Places,
    reload::{self, Loader, Stage, StageError},
    run::RecordOptions,
    sets::Sets,
    snapshot,
    ties::Ties,
};
use crate::{
    audit::{Intake, Sessions},
    config::{Config, RateLimit},
    containers,
    enrich::{
        EnrichOptions, Enricher, HostNames,
        roots::{self, RootUsers},
        seed::boot_time_ns,
        users::{UserDb, UserFiles},
    },
    kernel::{Counters, Kernel, KernelError, KernelOptions, Plan, chain},
    kubernetes,
    metrics::{KernelNumbers, Ledger, Metrics, ReloadResult},
    recording::{Meta, Recorder, Tap},
    sinks::queue::Sender,
    spans::TARGET,
};

/// Why the live side did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot load or attach the kernel side")]
    Kernel(#[from] KernelError),
    #[error("the ring buffer was taken twice")]
    Ring,
    #[error("cannot read /proc")]
    Proc(#[source] io::Error),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("cannot watch the Kubernetes API")]
    Kubernetes(#[from] kubernetes::SettingsError),
    #[error("cannot record to {}", path.display())]
    Record { path: PathBuf, source: io::Error },
}

/// What the live side is made from.
#[derive(Debug)]
pub struct Start {
    pub config: Config,
    pub hostname: String,
    pub node: String,
    pub record: Option<RecordOptions>,
    pub loader: Loader,
    pub rules: Sets,
    pub queue: Sender,
    /// Absent: no audit events are taken.
    pub intake: Option<Arc<Intake>>,
    /// Filled once the kernel side is loaded.
    pub counters: Arc<OnceLock<Counters>>,
    pub ledger: Ledger,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
}

/// What a reload acts on: see [`Stage`].
#[derive(Debug)]
struct Running {
    kernel: Kernel,
    hot: Hot,
    auditor: Option<Auditor>,
}

impl Stage for Running {
    type Rules = Active;

    fn collect(&mut self, plan: &Plan) -> Result<(), StageError> {
        Ok(self.kernel.apply(plan)?)
    }

    fn swap(&mut self, rules: Active) -> Result<(), StageError> {
        let twin = rules.twin();
        self.hot.control().swap(rules)?;
        if let Some(auditor) = &self.auditor {
            auditor.swap(twin);
        }
        Ok(())
    }
}

/// What a reload works with, on a thread of its own.
#[derive(Debug)]
struct Control {
    running: Running,
    loader: Loader,
    plan: Plan,
    metrics: Arc<Metrics>,
    limit: RateLimit,
}

/// How often series of namespaces that are gone are looked for.
const RETIRE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Live {
    /// Absent only while a reload runs.
    control: Option<Control>,
    tallies: Arc<[RuleTally]>,
    quotas: Arc<[QuotaTally]>,
    problem: Arc<Problem>,
    users: Users,
    /// The names to resolve; whoever resolves them listens.
    names: Option<watch::Sender<BTreeSet<String>>>,
    recording: Option<Recording>,
    ended: watch::Receiver<bool>,
    /// What the Kubernetes API says of namespaces.
    namespaces: Option<Arc<kubernetes::Store>>,
    retired: Instant,
}

impl Live {
    /// Loads, attaches, reads `/proc`, then begins to take events: in this order nothing falls between.
    /// Blocks for about a second.
    pub fn start(start: Start, runtime: &Handle) -> Result<Live, StartError> {
        let Start {
            config,
            hostname,
            node,
            record,
            loader,
            rules,
            queue,
            intake,
            counters,
            ledger,
            metrics,
            health,
        } = start;
        let event_hostname = hostname.clone();
        let options = KernelOptions { ring_bytes: Some(config.ring_size), ..KernelOptions::default() };
        let mut kernel = Kernel::load(&options)?;
        let _ = counters.set(kernel.counters());
        let plan = rules.plan(config.push_down);
        kernel.apply(&plan)?;
        let ring = kernel.take_ring().ok_or(StartError::Ring)?;
        let places = kernel.take_places().ok_or(StartError::Ring)?;

        let boot_time_ns = boot_time_ns();
        let users = Users::new();
        let names: Arc<ArcSwap<HostNames>> = Arc::default();
        let root_users: Arc<ArcSwap<RootUsers>> = Arc::default();
        let (root_questions, answer) = roots::questions();
        let reader =
            roots::Reader::new(Path::new("/proc"), Arc::clone(&root_users), Arc::clone(&ledger.engine.roots));
        // Ends when the enricher does: nobody asks any more.
        std::thread::Builder::new()
            .name("yagura-users".into())
            .spawn(move || reader.run(&answer))
            .map_err(StartError::Thread)?;
        let (container_questions, asked) = containers::questions();
        let waker = ring.waker();
        let pods = kubernetes::start(&config.kubernetes, &node, Arc::clone(&ledger.kubernetes))?;
        let counters = Arc::clone(&ledger.containers);
        containers::start(&config.containers, pods.clone(), asked, move || waker.wake(), counters)
            .map_err(StartError::Thread)?;
        let mut enricher = Enricher::new(EnrichOptions {
            container_questions: Some(container_questions),
            max_processes: config.max_processes,
            max_env_bytes: config.max_env_bytes,
            hostname: hostname.clone(),
            boot_time_ns,
            users: Arc::clone(&users.current),
            root_users,
            root_questions: Some(root_questions),
            names: Arc::clone(&names),
            ..EnrichOptions::default()
        });
        let seeded = enricher.seed_from_proc(Path::new("/proc")).map_err(StartError::Proc)?;
        tracing::debug!(processes = seeded.processes, vanished = seeded.vanished, "read /proc");

        let (tap, recording) = match record {
            Some(record) => {
                let meta = Meta {
                    yagura: env!("CARGO_PKG_VERSION").into(),
                    hostname,
                    kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
                    boot_offset_ns: boot_time_ns,
                };
                let (tap, recording) = start_recording(&record, &meta, &enricher, &ledger)
                    .map_err(|source| StartError::Record { path: record.path, source })?;
                (Some(tap), Some(recording))
            }
            None => (None, None),
        };

        metrics.set_rules_loaded(rules.enabled());
        loader.tell(&metrics);
        let names = config.resolve_names.then(|| {
            let (wanted, listen) = watch::channel(names::mentioned(rules.all()));
            runtime.spawn(names::keep_resolved(listen, names));
            wanted
        });
        let active = Active::new(rules, Arc::clone(loader.tenants()), &metrics, &config.rate_limit);
        let (tallies, quotas) = (active.tallies(), active.quotas());
        let sessions = intake.is_some().then(|| Arc::new(Sessions::new(Arc::clone(&ledger.audit))));
        let auditor = match (intake, &sessions) {
            (Some(intake), Some(sessions)) => Some(
                Auditor::spawn(AuditParts {
                    intake,
                    sessions: Arc::clone(sessions),
                    active: active.twin(),
                    limit: config.rate_limit,
                    queue: queue.clone(),
                    counters: Arc::clone(&ledger.audit),
                    hostname: event_hostname,
                    cluster: config.cluster.clone(),
                    namespaces: pods.clone(),
                })
                .map_err(StartError::Thread)?,
            ),
            _ => None,
        };
        let mut engine = Engine::new(
            enricher,
            boot_time_ns,
            active,
            config.rate_limit,
            config.containers.patience,
            Arc::clone(&ledger.engine),
        );
        if let Some(ties) = sessions.and_then(Ties::new) {
            engine.tie(ties);
        }
        let problem = engine.problem();
        let places = Places::start(places).map_err(StartError::Thread)?;
        let parts = Parts { ring, engine, queue, tap, counters: ledger.engine, health, places };
        let (hot, ended) = Hot::spawn(parts, ledger.kernel).map_err(StartError::Thread)?;
        let running = Running { kernel, hot, auditor };
        let control = Control { running, loader, plan, metrics, limit: config.rate_limit };
        Ok(Live {
            control: Some(control),
            tallies,
            quotas,
            problem,
            users,
            names,
            recording,
            ended,
            namespaces: pods,
            retired: Instant::now(),
        })
    }

    /// Per rule, what its rate limit held back.
    pub fn tallies(&self) -> Arc<[RuleTally]> {
        Arc::clone(&self.tallies)
    }

    /// Per tenant, what its quota held back.
    pub fn quotas(&self) -> Arc<[QuotaTally]> {
        Arc::clone(&self.quotas)
    }

    /// Resolves when the hot thread has ended.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// Reads the rules again, and takes them into use if they load and are others (or `always`). Returns the
    /// new set's tallies.
    pub async fn reload(&mut self, always: bool) -> Result<Option<Arc<[RuleTally]>>, JoinError> {
        let Some(mut control) = self.control.take() else { return Ok(None) };
        let (control, news) = spawn_blocking(move || {
            let Control { running, loader, plan, metrics, limit } = &mut control;
            let mut news = None;
            let tenants = Arc::clone(loader.tenants());
            let make = |rules: Sets| {
                let names = names::mentioned(rules.all());
                let active = Active::new(rules, tenants, metrics, limit);
                news = Some((active.tallies(), names));
                active
            };
            let span = tracing::info_span!(target: TARGET, "rules.reload", result = tracing::field::Empty);
            let result = span.in_scope(|| reload::reload(loader, always, running, plan, metrics, make));
            span.record("result", result.map_or("unchanged", ReloadResult::name));
            (control, news.filter(|_| result == Some(ReloadResult::Success)))
        })
        .await?;
        self.control = Some(control);
        let Some((tallies, names)) = news else { return Ok(None) };
        self.tallies = Arc::clone(&tallies);
        if let Some(wanted) = &self.names {
            wanted.send_replace(names);
        }
        Ok(Some(tallies))
    }

    /// What changes rarely: names of users, records that cannot be decoded.
    pub fn tick(&mut self) {
        self.users.refresh();
        if let Some(problem) = self.problem.take() {
            tracing::error!(newest = problem, "records from the kernel could not be decoded");
        }
        if let Some(control) = &self.control
            && self.retired.elapsed() >= RETIRE
        {
            self.retired = Instant::now();
            // Without the API a namespace that has been silent is as good as gone.
            let exists =
                |name: &str| self.namespaces.as_ref().is_some_and(|known| known.namespace(name).is_some());
            control.metrics.retire_namespaces(exists);
        }
    }

    /// Detaches, and takes what is left in the ring and of audit events until the deadline. Returns the recording's writer.
    pub async fn finish(mut self, deadline: Instant) -> Option<Recording> {
        let mut audited = None;
        if let Some(Control { running: Running { kernel, hot, auditor }, .. }) = self.control.take() {
            if let Err(error) = spawn_blocking(move || drop(kernel)).await {
                tracing::error!(%error, "detaching failed");
            }
            hot.stop(deadline);
            audited = auditor.map(|auditor| auditor.stop(deadline));
        }
        if timeout_at(deadline.into(), self.ended.wait_for(|ended| *ended)).await.is_err() {
            tracing::error!("events that could not be taken in time are lost");
        }
        if let Some(mut audited) = audited
            && timeout_at(deadline.into(), audited.wait_for(|ended| *ended)).await.is_err()
        {
            tracing::error!("audit events that could not be handled in time are lost");
        }
        self.tick();
        self.recording
    }
}

fn start_recording(
    record: &RecordOptions,
    meta: &Meta,
    enricher: &Enricher,
    ledger: &Ledger,
) -> io::Result<(Tap, Recording)> {
    let counters = Arc::clone(&ledger.recording);
    let (mut recorder, tap) = Recorder::create(&record.path, record.max_bytes, meta, counters)?;
    for part in snapshot::parts(&enricher.snapshot())? {
        recorder.processes(part.count, &part.json)?;
    }
    Ok((tap, Recording::start(recorder)?))
}

/// The names of users and groups, read again when their files change.
#[derive(Debug)]
pub struct Users {
    files: UserFiles,
    pub current: Arc<ArcSwap<UserDb>>,
}

impl Users {
    pub fn new() -> Users {
        let mut users =
            Users { files: UserFiles::new(&host_etc(Path::new("/proc"))), current: Arc::default() };
        users.refresh();
        users
    }

    fn refresh(&mut self) {
        match self.files.changed() {
            Ok(Some(db)) => self.current.store(Arc::new(db)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "cannot read the names of users; the old ones stay"),
        }
    }
}

/// The kernel side's numbers, all of them.
pub fn numbers(counters: &Counters) -> Result<KernelNumbers, KernelError> {
    let types = EventType::ALL
        .iter()
        .map(|event_type| Ok((*event_type, counters.of(*event_type)?)))
        .collect::<Result<_, KernelError>>()?;
    let ring = counters.ring();
    Ok(KernelNumbers {
        types,
        tail_call_failed: counters.global(GlobalCounter::TailCallFailed)?,
        own_syscalls: counters.global(GlobalCounter::OwnSyscall)?,
        uring_forgotten: counters.global(GlobalCounter::UringForgotten)?,
        ring_used: ring.used,
        ring_capacity: ring.capacity,
        ring_corrupt: ring.corrupt,
        programs: counters.programs(),
        shortfall: counters.shortfall(),
    })
}

/// The numbers once the kernel side is loaded, as [`Ledger`] wants them.
pub fn source(counters: Arc<OnceLock<Counters>>) -> crate::metrics::KernelSource {
    Arc::new(move || match numbers(counters.get()?) {
        Ok(numbers) => Some(numbers),
        Err(error) => {
            tracing::error!(error = %chain(&error), "cannot read the kernel's counters");
            None
        }
    })
}
