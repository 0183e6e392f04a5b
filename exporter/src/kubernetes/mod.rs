//! What the Kubernetes API knows of this node's pods: labels, their namespace's labels, who made them, the node's labels.
//!
//! ```text
//! API server ─ client ─ lines ─ watch (pods of this node, namespaces, this node) ─┐
//!                     └──────── owners (who made a ReplicaSet or a Job) ──────── store ─ containers (a source like others)
//! ```
//!
//! It only reads, and metadata only: specifications and contents of objects never come here. Optional: without it, and
//! while the API server is away, everything else works. It runs on a thread of its own.
//!
//! A client of our own: the three requests that are needed are a few hundred lines on the HTTP and TLS that are here
//! already, with a bound on every line and body, while the `kube` crate would bring eighty more crates into a
//! daemon that runs as root.

mod client;
mod lines;
mod objects;
mod owners;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::runtime::Builder;

pub use client::ServerUrl;
pub use store::Store;

use crate::{backoff::Pace, metrics::KubernetesCounters};
use client::Client;
use watch::{Resource, Watch};

/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How to reach the API server. What is not given is the service account's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `None`: if there is a service account.
    pub enabled: Option<bool>,
    pub api_server: Option<ServerUrl>,
    pub ca_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// How long a deleted pod is still known: its last events come when it is gone.
    pub delete_delay: Duration,
    pub timing: Timing,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// To connect, and to begin an answer.
    pub answer: Duration,
    /// A watch is begun again after this.
    pub watch: Duration,
    /// The pauses after failures.
    pub pace: Pace,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            answer: Duration::from_secs(10),
            watch: Duration::from_secs(300),
            pace: Pace { first: Duration::from_millis(500), longest: Duration::from_secs(30) },
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: None,
            api_server: None,
            ca_file: None,
            token_file: None,
            delete_delay: Duration::from_secs(60),
            timing: Timing::default(),
        }
    }
}

/// Why the API server cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("kubernetes.api_server is not given, and KUBERNETES_SERVICE_HOST is not set: this is no pod")]
    NoServer,
    #[error("the API server's address from the environment is none: {0}")]
    BadServer(String),
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
}

/// Starts to watch, if the settings or the surroundings say so. Ends when nobody has the store any more.
pub fn start(
    settings: &Settings,
    node: &str,
    counters: Arc<KubernetesCounters>,
) -> Result<Option<Arc<Store>>, SettingsError> {
    let account = Path::new(SERVICE_ACCOUNT);
    let in_pod = env::var_os("KUBERNETES_SERVICE_HOST").is_some() && account.join("token").exists();
    if !settings.enabled.unwrap_or(in_pod || settings.api_server.is_some()) {
        return Ok(None);
    }
    let server = match &settings.api_server {
        Some(server) => server.clone(),
        None => of_environment()?,
    };
    let own = |given: &Option<PathBuf>, name: &str| {
        given.clone().or_else(|| Some(account.join(name)).filter(|_| settings.api_server.is_none()))
    };
    let client = Arc::new(Client {
        server,
        ca_file: own(&settings.ca_file, "ca.crt"),
        token_file: own(&settings.token_file, "token"),
        timing: settings.timing,
    });
    let store = Arc::new(Store::new(settings.delete_delay, Arc::clone(&counters)));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (weak, node, timing) = (Arc::downgrade(&store), node.to_owned(), settings.timing);
    let questions = store.take_questions();
    thread::Builder::new().name("yagura-kube".into()).spawn(move || {
        runtime.block_on(async move {
            for resource in Resource::ALL {
                let watch = Watch {
                    resource,
                    node: node.clone(),
                    client: Arc::clone(&client),
                    store: weak.clone(),
                    counters: Arc::clone(&counters),
                    timing,
                };
                tokio::spawn(watch.run());
            }
            tokio::spawn(owners::run(client, weak.clone(), questions, counters, timing));
            while let Some(store) = weak.upgrade() {
                store.expire();
                drop(store);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    })?;
    Ok(Some(store))
}

fn of_environment() -> Result<ServerUrl, SettingsError> {
    let host = env::var("KUBERNETES_SERVICE_HOST").map_err(|_| SettingsError::NoServer)?;
    let port = env::var("KUBERNETES_SERVICE_PORT").unwrap_or_else(|_| "443".into());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    ServerUrl::parse(&format!("https://{host}:{port}")).map_err(SettingsError::BadServer)
}
