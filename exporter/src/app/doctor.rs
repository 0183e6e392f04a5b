//! `yagura doctor`: what this kernel offers, what the rules would attach, and what is missing.

use std::{
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use serde::Serialize;

use super::{
    filters::{self, TypeFilter},
    plan,
    sources::RuleSources,
};
use crate::{
    config::Config,
    kernel::{Answer, Kernel, KernelOptions, Report},
    rules,
};

/// Everything examined.
#[derive(Debug, Serialize)]
pub struct Doctor {
    pub version: &'static str,
    pub kernel: Report,
    pub rules: RulesStatus,
    /// Which events the kernel reports; empty if `push_down` is off in the configuration, or the rules do not load.
    pub filters: Vec<TypeFilter>,
    pub listen: ListenStatus,
}

#[derive(Debug, Serialize)]
pub struct RulesStatus {
    /// Enabled rules; 0 if they do not load.
    pub enabled: usize,
    pub warnings: usize,
    /// Why they do not load.
    pub errors: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ListenStatus {
    pub address: SocketAddr,
    pub state: ListenState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenState {
    Free,
    /// A daemon answers there.
    Yagura,
    /// Something else is there, or the address is not this machine's.
    Taken,
}

impl Doctor {
    /// Is everything there without which nothing would be detected?
    pub fn healthy(&self) -> bool {
        let facilities = self.kernel.host.facilities.iter();
        let essential = facilities.filter(|f| f.required).all(|f| f.available != Answer::No);
        self.kernel.error.is_none()
            && essential
            && self.rules.errors.is_empty()
            && self.listen.state != ListenState::Taken
    }
}

/// Loads the rules, and for a moment the kernel side with what they need. Nothing is detected.
pub fn examine(config: &Config, sources: &RuleSources) -> Doctor {
    let (status, plan, filters) = examine_rules(config, sources);
    let kernel =
        Kernel::load(&KernelOptions { ring_bytes: Some(config.ring_size), ..KernelOptions::default() })
            .and_then(|mut kernel| {
                kernel.apply(&plan)?;
                Ok(kernel.report())
            })
            .unwrap_or_else(|error| Report::of_failure(&error));
    let listen = ListenStatus { address: config.listen, state: examine_listen(config.listen) };
    Doctor { version: env!("CARGO_PKG_VERSION"), kernel, rules: status, filters, listen }
}

fn examine_rules(
    config: &Config,
    sources: &RuleSources,
) -> (RulesStatus, crate::kernel::Plan, Vec<TypeFilter>) {
    let broken = |errors| {
        let status = RulesStatus { enabled: 0, warnings: 0, errors };
        (status, crate::kernel::Plan::default(), Vec::new())
    };
    let files = match sources.read() {
        Ok(files) => files,
        Err(error) => return broken(vec![error.to_string()]),
    };
    let load = rules::load(&files, &sources.load_options(config));
    match load.rules {
        Some(rules) => {
            let warnings = load.diagnostics.len();
            let status = RulesStatus {
                enabled: rules.rules().iter().filter(|rule| rule.enabled).count(),
                warnings,
                errors: Vec::new(),
            };
            let filters = if config.push_down { filters::report(&rules) } else { Vec::new() };
            (status, plan::of(&rules, config.push_down), filters)
        }
        None => {
            let errors = load.diagnostics.iter().filter(|d| d.severity == rules::Severity::Error);
            broken(errors.map(ToString::to_string).collect())
        }
    }
}

fn examine_listen(address: SocketAddr) -> ListenState {
    match TcpListener::bind(address) {
        Ok(_) => ListenState::Free,
        Err(_) if is_yagura(address) => ListenState::Yagura,
        Err(_) => ListenState::Taken,
    }
}

/// Whether a daemon serves its metrics there.
fn is_yagura(address: SocketAddr) -> bool {
    let time = Duration::from_secs(2);
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, time)?;
        stream.set_read_timeout(Some(time))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(1 << 20).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().is_ok_and(|answer| answer.contains("\nyagura_build_info{"))
}

impl fmt::Display for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Doctor { version, kernel, rules, filters: _, listen } = self;
        writeln!(f, "yagura         {version}")?;
        write!(f, "{kernel}")?;
        writeln!(f)?;
        let RulesStatus { enabled, warnings, errors } = rules;
        if errors.is_empty() {
            writeln!(f, "rules          {enabled} enabled, {warnings} warnings")?;
        } else {
            writeln!(f, "rules          DO NOT LOAD")?;
            errors.iter().try_for_each(|error| writeln!(f, "{error}"))?;
        }
        let state = match listen.state {
            ListenState::Free => "free",
            ListenState::Yagura => "a daemon is running there",
            ListenState::Taken => "TAKEN by another program, or not an address of this machine",
        };
        writeln!(f, "listen         {}: {state}", listen.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_free_or_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Whoever connects is sent away.
        let closer = std::thread::spawn(move || drop(listener.accept()));
        assert_eq!(examine_listen(address), ListenState::Taken);
        closer.join().unwrap();
        assert_eq!(examine_listen(address), ListenState::Free);
    }
}
