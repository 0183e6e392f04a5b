//! A real vmalert, which evaluates recording rules for a VictoriaMetrics.

use std::{net::SocketAddr, path::Path};

use crate::{program::Program, victoria_metrics::VictoriaMetrics};

/// Runs until dropped.
#[derive(Debug)]
pub struct Vmalert {
    pub server: Program,
}

impl Vmalert {
    /// Starts it with a file of rules and waits until it is ready.
    pub fn start(address: SocketAddr, rules: &Path, victoria: &VictoriaMetrics) -> Vmalert {
        crate::install("victoriametrics");
        let url = format!("http://{}", victoria.server.address());
        let server = Program::start("vmalert", address, "/health", |_| {
            vec![
                format!("-rule={}", rules.display()),
                format!("-datasource.url={url}"),
                format!("-remoteWrite.url={url}"),
                // What is recorded is to be found soon.
                "-remoteWrite.flushInterval=1s".into(),
                format!("-httpListenAddr={address}"),
            ]
        });
        Vmalert { server }
    }
}
