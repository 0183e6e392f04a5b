//! `yagura run`: load, attach, detect, reload, drain.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{
    Health,
    live::{self, Live, Start, StartError},
    outputs::Outputs,
    reload::{Loaded, Loader},
    sources::RuleSources,
    suppression::Suppression,
    watch::Watcher,
};
use crate::{
    audit::Intake,
    config::Config,
    detection::Identity,
    kernel::Counters,
    metrics::{Ledger, Metrics},
    tenants::Tenants,
    web,
};

/// How often the control side looks at what changes rarely.
const TICK: Duration = Duration::from_secs(5);

/// What `run` is asked to do.
#[derive(Debug)]
pub struct RunOptions {
    pub config: Config,
    pub sources: RuleSources,
    pub record: Option<RecordOptions>,
}

/// `--record`.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    pub path: PathBuf,
    pub max_bytes: u64,
}

/// Why the daemon did not start, or ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Said in detail on the log already.
    #[error("the rules do not load")]
    Rules,
    #[error(transparent)]
    Web(#[from] web::ProtectionError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the thread that reads the events has ended")]
    EventsEnded,
    #[error("whoever reads stdout is gone")]
    StdoutClosed,
    #[error("cannot set up {what}")]
    System { what: &'static str, source: io::Error },
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
    #[error("a thread panicked")]
    Panic(#[from] tokio::task::JoinError),
}

impl RunError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> RunError {
        move |source| RunError::System { what, source }
    }

    /// Whether the user's rules or options are at fault, rather than the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            RunError::Rules
                | RunError::Web(_)
                | RunError::Start(StartError::Record { .. } | StartError::Kubernetes(_))
        )
    }
}

/// Runs until SIGINT or SIGTERM. Once events were taken the ledger is printed in the end, also of a failure.
pub fn run(options: RunOptions) -> Result<(), RunError> {
    // One thread is enough: what blocks has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::system("the runtime"))?;
    let result = runtime.block_on(daemon(options));
    // A thread stuck in a write must not keep the process.
    runtime.shutdown_background();
    result
}

async fn daemon(options: RunOptions) -> Result<(), RunError> {
    let RunOptions { config, sources, record } = options;
    // First what fails most often and needs no privilege: the rules.
    let identity = identity(&config);
    let tenants = Arc::new(Tenants::new(&config.tenants, &identity.node, config.rate_limit));
    let options = sources.load_options(&config);
    let mut loader = Loader::new(sources, options, config.push_down, Arc::clone(&tenants));
    // Watched before they are read: a change in between is noticed.
    let mut watcher = Watcher::new(config.watch_config_files, &loader.paths());
    let Loaded::Rules(rules) = loader.load(true) else { return Err(RunError::Rules) };
    let count = rules.enabled();
    let mut signals = Signals::new().map_err(RunError::system("signals"))?;

    let counters: Arc<OnceLock<Counters>> = Arc::default();
    let ledger = Ledger::new(live::source(Arc::clone(&counters)))?;
    let metrics = Arc::new(Metrics::new(ledger.clone())?);
    for tenant in tenants.iter() {
        metrics.quota(&tenant.name, tenant.quota.rate, tenant.max_series);
    }
    ledger.journal.begin(&config.journal, tenants.iter().map(|tenant| &*tenant.name));
    let health = Arc::new(Health::default());
    let intake =
        config.audit.enabled.then(|| Arc::new(Intake::new(&config.audit, Arc::clone(&ledger.audit))));
    let listen = serve(&config, &metrics, &health, intake.clone()).await?;
    let (hostname, node) = (identity.hostname.clone(), identity.node.clone());
    let (outputs, queue) =
        Outputs::start(&config, identity, &ledger, &metrics, &tenants).map_err(RunError::system("stdout"))?;
    let start = Start {
        config: config.clone(),
        hostname,
        node,
        record,
        loader,
        rules: *rules,
        queue,
        intake,
        counters,
        ledger: ledger.clone(),
        metrics,
        health: Arc::clone(&health),
    };
    let handle = tokio::runtime::Handle::current();
    let mut live = spawn_blocking(move || Live::start(start, &handle)).await??;
    health.set_rules_loaded();
    health.set_attached(true);
    tracing::info!(rules = count, %listen, "ready");

    let mut suppression = Suppression::new(live.tallies(), live.quotas(), config.rate_limit);
    let result = supervise(&mut signals, &mut watcher, &mut live, &outputs, &mut suppression, &config).await;

    // Detach first, so that there is an end; then take what is left; then write it.
    health.set_attached(false);
    tracing::info!("draining");
    let deadline = Instant::now() + config.drain_timeout;
    let recording = live.finish(deadline).await;
    let finished = outputs.finish(deadline, recording).await;
    suppression.log();
    if !finished.stdout {
        tracing::error!("detections that stdout did not take are lost");
    }
    if !finished.sinks {
        tracing::error!("the positions of sinks may not be written: some detections may be sent again");
    }
    if !finished.recording {
        tracing::error!("the recording is not complete");
    }
    print_balance(&ledger);
    result
}

/// Handles signals and changed rules until it is time to end.
async fn supervise(
    signals: &mut Signals,
    watcher: &mut Watcher,
    live: &mut Live,
    outputs: &Outputs,
    suppression: &mut Suppression,
    config: &Config,
) -> Result<(), RunError> {
    let Signals { interrupt, terminate, hangup } = signals;
    let (mut events, mut stdout) = (live.ended(), outputs.end());
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut window = interval(config.rate_limit.window);
    window.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let always = tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = events.wait_for(|ended| *ended) => return Err(RunError::EventsEnded),
            _ = stdout.wait_for(Option::is_some) => return Err(RunError::StdoutClosed),
            _ = tick.tick() => {
                live.tick();
                continue;
            }
            _ = window.tick() => {
                suppression.log();
                continue;
            }
            _ = hangup.recv() => {
                outputs.reopen();
                true
            }
            () = watcher.changed() => false,
        };
        // New watches before the files are read: what changes meanwhile is noticed after.
        watcher.renew();
        if let Some(tallies) = live.reload(always).await? {
            suppression.replace(tallies);
        }
    }
}

async fn serve(
    config: &Config,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
    intake: Option<Arc<Intake>>,
) -> Result<SocketAddr, RunError> {
    let address = config.listen;
    let protection = Arc::new(web::Protection::new(&config.web)?);
    let audit = intake.map(|intake| web::AuditEndpoint::new(intake, config.audit.max_body));
    let listen = |source| RunError::Listen { address, source };
    let server = web::Server::bind(address).await.map_err(listen)?;
    let bound = server.address().map_err(listen)?;
    let state = web::State { metrics: Arc::clone(metrics), health: Arc::clone(health), protection, audit };
    tokio::spawn(Arc::clone(&state.protection).keep_fresh());
    tokio::spawn(server.serve(Arc::new(state)));
    Ok(bound)
}

/// Who this daemon is, by the configuration and the machine's name.
pub fn identity(config: &Config) -> Identity {
    let hostname = config
        .hostname
        .clone()
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let node = config.node.clone().unwrap_or_else(|| hostname.clone());
    Identity { hostname, node, cluster: config.cluster.clone() }
}

/// One JSON line on stderr, whatever the log's level and format.
fn print_balance(ledger: &Ledger) {
    if let Ok(mut line) = serde_json::to_vec(&ledger.close()) {
        line.push(b'\n');
        let _ = io::stderr().write_all(&line);
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}
