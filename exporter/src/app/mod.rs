//! The daemon: the one module that knows all others.
//!
//! ```text
//! run ── Live ─┬─ kernel            attach, detach, counters
//!              ├─ hot thread        ring → engine → queue
//!              ├─ audit thread      intake → rules → queue
//!              └─ reload            sources → rules → kernel, hot thread, audit thread
//!     ├─ Outputs                    queue → stdout, tap → recording
//!     └─ web                        metrics, health; audit events → intake
//! replay ── recording → engine → stdout
//! ```

mod active;
mod api_server;
mod audit;
mod doctor;
mod engine;
mod filters;
mod health;
mod held;
mod host_etc;
mod hot;
mod keep;
mod limit;
mod lineage;
mod live;
mod logging;
mod names;
mod outputs;
mod places;
mod plan;
mod reload;
mod replay;
mod run;
mod sets;
mod sinks;
mod snapshot;
mod sources;
mod suppression;
mod ties;
mod watch;

pub use api_server::ApiServerSetup;
pub use doctor::{Doctor, examine};
pub use filters::{RuleFilter, TypeFilter, explain as explain_rule};
pub use health::Health;
pub use live::StartError;
pub use logging::init as init_logging;
pub use replay::{ReplayError, ReplayOptions, Speed, replay};
pub use run::{RecordOptions, RunError, RunOptions, identity, run};
pub use sinks::{try_lane, try_remote_write};
pub use sources::{RuleSources, SourceError};
