//! Configuration: one YAML file, with defaults that run with no file at all.
//!
//! `text → RawConfig (what the file says, with places) → Config (checked, complete)`. Every error of a file
//! is reported at once, each with its line and column. Keys that Falco's users know keep their names and
//! meaning. Secrets never live here: they come from `YAGURA_…` environment variables.

mod error;
mod journal;
mod kubernetes;
mod raw;
mod sinks;
mod tenants;
mod walk;
mod web;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use exporter_common::record::MAX_ENVP;

pub use error::{ConfigError, ConfigErrors};
use raw::{RawConfig, RawEngine};
pub use sinks::{SinkConfig, SinkKind};
use walk::{Errors, Spanned};
pub use web::{AuditConfig, TlsConfig, TokenConfig, WebConfig};

use crate::{
    containers,
    kernel::{MAX_RING_BYTES, MIN_RING_BYTES},
    kubernetes::Settings,
    rules::{Priority, RuleMatching, Selection},
    tenants::Tenant,
};

/// Where the configuration is looked for when `--config` is not given.
pub const DEFAULT_PATH: &str = "/etc/yagura/yagura.yaml";

/// How often what a limit held back is said.
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
/// Longest time that events may wait for what is known of their container.
const MAX_PATIENCE: Duration = Duration::from_secs(5);

/// Everything the daemon needs to know, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Rule files and folders; empty means the rules embedded in the binary.
    pub rules_files: Vec<PathBuf>,
    /// Rules enabled or disabled against what their files say, in order.
    pub rules: Vec<Selection>,
    /// What is usual for where the rules come from, if nothing is said.
    pub rule_matching: Option<RuleMatching>,
    /// Rules less severe than this are not loaded.
    pub priority: Priority,
    /// Reload rules when their files change.
    pub watch_config_files: bool,
    pub output: OutputConfig,
    pub log: LogConfig,
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    pub web: WebConfig,
    pub audit: AuditConfig,
    /// What the Kubernetes API is asked.
    pub kubernetes: Settings,
    /// Where detections are kept.
    pub journal: crate::journal::Settings,
    /// Who is told of detections, beside stdout.
    pub sinks: Vec<SinkConfig>,
    /// Resolve the host names that rules compare addresses with.
    pub resolve_names: bool,
    /// `None`: the machine's own host name.
    pub hostname: Option<String>,
    /// `None`: the host name.
    pub node: Option<String>,
    pub cluster: String,
    /// Bytes of the kernel's ring buffer; a power of two and a multiple of the page size.
    pub ring_size: u32,
    /// Drop in the kernel what no rule can match.
    pub push_down: bool,
    /// Bound of the process table.
    pub max_processes: usize,
    /// Bytes of environment kept of one exec (`proc.env`); 0 keeps none.
    pub max_env_bytes: usize,
    pub rate_limit: RateLimit,
    /// Bound of the queue between matching and writing, in detections.
    pub queue_size: usize,
    /// How long SIGTERM may take.
    pub drain_timeout: Duration,
    /// Whom to ask for containers.
    pub containers: containers::Options,
    /// Who owns what, beside the platform.
    pub tenants: Vec<Tenant>,
}

/// How a detection is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    pub format: Format,
    pub include_output: bool,
    pub include_message: bool,
    pub include_output_fields: bool,
    pub include_tags: bool,
    /// Text and the `output` property begin with an ISO 8601 time in UTC instead of the local time of day.
    pub time_iso8601: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// One line of text, as Falco prints it.
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A `tracing` filter directive.
    pub level: String,
    pub format: Format,
}

/// Bound on the detections of one rule that are written; all are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Detections a second in the long run; 0 means no limit.
    pub rate: f64,
    /// Detections at once.
    pub burst: u32,
    /// How often the number suppressed is logged.
    pub window: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            rules_files: Vec::new(),
            rules: Vec::new(),
            rule_matching: None,
            priority: Priority::Debug,
            watch_config_files: true,
            output: OutputConfig {
                format: Format::Json,
                include_output: true,
                include_message: false,
                include_output_fields: true,
                include_tags: true,
                time_iso8601: false,
            },
            log: LogConfig { level: "info".into(), format: Format::Text },
            listen: SocketAddr::from(([127, 0, 0, 1], 9752)),
            web: WebConfig::default(),
            audit: AuditConfig::default(),
            kubernetes: Settings::default(),
            journal: crate::journal::Settings::default(),
            sinks: Vec::new(),
            resolve_names: true,
            hostname: None,
            node: None,
            cluster: String::new(),
            ring_size: crate::kernel::DEFAULT_RING_BYTES,
            push_down: true,
            max_processes: 65_536,
            max_env_bytes: MAX_ENVP,
            rate_limit: RateLimit { rate: 100.0, burst: 1000, window: DEFAULT_WINDOW },
            queue_size: 1024,
            drain_timeout: Duration::from_secs(5),
            containers: containers::Options::default(),
            tenants: Vec::new(),
        }
    }
}

impl Config {
    /// Reads `path`, or [`DEFAULT_PATH`] if it exists, or takes the defaults.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigErrors> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_PATH), false),
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(&path.display().to_string(), &text, &|name| std::env::var(name).ok()),
            Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
            Err(error) => Err(ConfigErrors::unreadable(path, &error)),
        }
    }

    /// Parses a file's text. `env` resolves `${NAME}` in values.
    pub fn parse(
        file: &str,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigErrors> {
        let mut errors = Errors::new(file);
        let raw = RawConfig::parse(text, env, &mut errors);
        let config = Config::from_raw(raw, &mut errors);
        errors.into_result(config)
    }

    fn from_raw(raw: RawConfig, errors: &mut Errors) -> Config {
        let RawConfig {
            rules_files,
            rules,
            rule_matching,
            priority,
            watch_config_files,
            json_output,
            json_include_output_property,
            json_include_message_property,
            json_include_output_fields_property,
            json_include_tags_property,
            time_format_iso_8601,
            log_level,
            log_format,
            listen,
            web,
            audit,
            kubernetes,
            journal,
            resolve_names,
            hostname,
            node,
            cluster,
            ring_size,
            push_down,
            max_processes,
            max_env_bytes,
            rate,
            burst,
            window,
            queue_size,
            drain_timeout,
            tenants,
            journal_shares,
            sinks,
            sinks_at,
            containers_root,
            containers_wait,
            engines,
        } = raw;
        let default = Config::default();
        let text = |value: Option<Spanned<String>>| value.map(|v| v.value);
        let flag = |value: Option<Spanned<bool>>, default| value.map_or(default, |v| v.value);
        let (web, audit, kubernetes) =
            (web.check(&tenants, errors), audit.check(errors), kubernetes.check(errors));
        let journal = journal.check(journal_shares, errors);
        if let (Some(at), false) = (sinks_at, journal.enabled) {
            errors.at(at, "sinks are fed from the journal, which is not enabled".into());
        }
        let listen_at = listen.as_ref().map(|listen| listen.at).unwrap_or_default();
        let listen = errors.parsed(listen, default.listen, |text| {
            text.parse().map_err(|_| format!("'{text}' is not an address like 127.0.0.1:9752"))
        });
        web::check_exposure(listen, listen_at, &web, errors);
        Config {
            rules_files: rules_files
                .map(|files| files.into_iter().map(|f| PathBuf::from(f.value)).collect())
                .unwrap_or(default.rules_files),
            rules,
            rule_matching: errors.choice(
                rule_matching,
                &[
                    ("first", Some(RuleMatching::First)),
                    ("all", Some(RuleMatching::All)),
                    ("most_severe", Some(RuleMatching::MostSevere)),
                ],
                default.rule_matching,
            ),
            priority: errors.parsed(priority, default.priority, |text| {
                Priority::from_name(text).ok_or_else(|| {
                    format!("unknown priority '{text}', expected one of: {}", priority_names())
                })
            }),
            watch_config_files: flag(watch_config_files, default.watch_config_files),
            output: OutputConfig {
                format: if flag(json_output, true) { Format::Json } else { Format::Text },
                include_output: flag(json_include_output_property, default.output.include_output),
                include_message: flag(json_include_message_property, default.output.include_message),
                include_output_fields: flag(
                    json_include_output_fields_property,
                    default.output.include_output_fields,
                ),
                include_tags: flag(json_include_tags_property, default.output.include_tags),
                time_iso8601: flag(time_format_iso_8601, default.output.time_iso8601),
            },
            log: LogConfig {
                level: errors.parsed(log_level, default.log.level, |text| log_level_of(text)),
                format: errors.choice(
                    log_format,
                    &[("text", Format::Text), ("json", Format::Json)],
                    default.log.format,
                ),
            },
            listen,
            web,
            audit,
            kubernetes,
            journal,
            sinks,
            resolve_names: flag(resolve_names, default.resolve_names),
            hostname: text(hostname),
            node: text(node),
            cluster: text(cluster).unwrap_or(default.cluster),
            ring_size: errors.parsed(ring_size, default.ring_size, |&bytes| match u32::try_from(bytes) {
                Ok(size) if size.is_power_of_two() && (MIN_RING_BYTES..=MAX_RING_BYTES).contains(&size) => {
                    Ok(size)
                }
                _ => Err(format!("{bytes} is not a power of two between 256KiB and 1GiB")),
            }),
            push_down: flag(push_down, default.push_down),
            max_processes: errors.ranged(max_processes, 1024..=4_194_304, default.max_processes),
            max_env_bytes: errors.parsed(max_env_bytes, default.max_env_bytes, |&bytes| {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                if bytes <= MAX_ENVP { Ok(bytes) } else { Err(format!("{bytes} is more than {MAX_ENVP}")) }
            }),
            rate_limit: RateLimit {
                rate: errors.parsed(rate, default.rate_limit.rate, |&rate| {
                    if rate.is_finite() && (0.0..=1e6).contains(&rate) {
                        Ok(rate)
                    } else {
                        Err(format!("{rate} is not between 0 and 1000000"))
                    }
                }),
                burst: errors.ranged(burst, 1..=1_000_000, default.rate_limit.burst),
                window: errors.parsed(window, default.rate_limit.window, |&window| within(window, 1, 86_400)),
            },
            queue_size: errors.ranged(queue_size, 16..=1_000_000, default.queue_size),
            drain_timeout: errors
                .parsed(drain_timeout, default.drain_timeout, |&timeout| within(timeout, 1, 3600)),
            tenants,
            containers: containers(containers_root, containers_wait, engines, errors),
        }
    }
}

fn containers(
    root: Option<Spanned<String>>,
    wait: Option<Spanned<Duration>>,
    engines: [RawEngine; 4],
    errors: &mut Errors,
) -> containers::Options {
    let default = containers::Options::default();
    let root = errors.parsed(root, default.root, |text| {
        let root = PathBuf::from(text);
        if root.is_absolute() { Ok(root) } else { Err(format!("'{text}' is not an absolute path")) }
    });
    let patience = errors.parsed(wait, default.patience, |&wait| {
        if wait <= MAX_PATIENCE { Ok(wait) } else { Err(format!("{}s is more than 5s", wait.as_secs_f64())) }
    });
    let defaults = [default.cri, default.containerd, default.docker, default.podman];
    let [cri, containerd, docker, podman] = std::array::from_fn(|index| {
        let (engine, default) = (engines.get(index), defaults.get(index).cloned().unwrap_or_default());
        let Some(RawEngine { enabled, sockets }) = engine else { return default };
        match (enabled, sockets) {
            (Some(Spanned { value: false, .. }), _) => Vec::new(),
            (_, Some(sockets)) => sockets.iter().map(|socket| PathBuf::from(&socket.value)).collect(),
            (_, None) => default,
        }
    });
    containers::Options { root, patience, cri, containerd, docker, podman }
}

fn within(value: Duration, min: u64, max: u64) -> Result<Duration, String> {
    if (min..=max).contains(&value.as_secs()) {
        Ok(value)
    } else {
        Err(format!("{}s is not between {min}s and {max}s", value.as_secs_f64()))
    }
}

fn priority_names() -> String {
    Priority::ALL.iter().map(|p| p.name().to_lowercase()).collect::<Vec<_>>().join(", ")
}

/// Falco's and tracing's level names, as a tracing level.
pub fn log_level_of(level: &str) -> Result<String, String> {
    match level.to_ascii_lowercase().as_str() {
        "emergency" | "alert" | "critical" | "error" => Ok("error".into()),
        "warning" | "warn" => Ok("warn".into()),
        "notice" | "info" | "informational" => Ok("info".into()),
        "debug" => Ok("debug".into()),
        "trace" => Ok("trace".into()),
        other => Err(format!("unknown log level '{other}', expected error, warning, info, debug or trace")),
    }
}

#[cfg(test)]
mod tests;
