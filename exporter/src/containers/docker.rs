//! The Docker Engine API, as Docker and Podman serve it: `GET /containers/ID/json`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::Deserialize;

use super::{
    Answer, Known, Query, ResolveError, Resolver, bounds,
    socket::{Socket, TIMEOUT},
    state::nanoseconds,
};
use crate::enrich::container::{Container, HostNamespaces, Image, Mount, Runtime};

/// Longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inspect {
    name: String,
    image: String,
    created: Option<jiff::Timestamp>,
    config: Config,
    host_config: HostConfig,
    mounts: Option<Vec<InspectMount>>,
    network_settings: NetworkSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    image: String,
    labels: Option<BTreeMap<String, String>>,
    healthcheck: Option<Healthcheck>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Healthcheck {
    test: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    privileged: bool,
    pid_mode: String,
    network_mode: String,
    ipc_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectMount {
    source: String,
    destination: String,
    mode: String,
    #[serde(rename = "RW")]
    rw: bool,
    propagation: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    networks: Option<BTreeMap<String, Network>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectImage {
    repo_digests: Option<Vec<String>>,
}

#[derive(Debug)]
pub(super) struct Docker {
    path: PathBuf,
    runtime: Runtime,
    socket: Socket,
}

impl Docker {
    /// `runtime` is whose socket it is.
    pub fn new(path: &Path, runtime: Runtime) -> Docker {
        Docker { path: path.to_owned(), runtime, socket: Socket::new(path, TIMEOUT) }
    }

    async fn look(&self, query: Query<'_>) -> Result<Option<Known>, ResolveError> {
        let Some(text) = self.get(&format!("/containers/{}/json", query.id)).await? else { return Ok(None) };
        let inspect: Inspect = self.parsed(&text)?;
        let mut container = container(&inspect, self.runtime);
        // The digest is the image's. Its absence costs only the digest.
        if let Some(id) = &container.image.id
            && let Ok(Some(text)) = self.get(&format!("/images/{id}/json")).await
            && let Ok(image) = self.parsed::<InspectImage>(&text)
        {
            container.image.digest = digest(&container.image, &image.repo_digests.unwrap_or_default());
        }
        Ok(Some(Known { container, namespace: None }))
    }

    fn parsed<'t, T: Deserialize<'t>>(&self, text: &'t [u8]) -> Result<T, ResolveError> {
        serde_json::from_slice(text)
            .map_err(|error| ResolveError::Answer(format!("{}: {error}", self.path.display())))
    }

    /// The body of an answer; `None` for one that says there is no such thing.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, ResolveError> {
        let bad = |error: &dyn std::fmt::Display| ResolveError::Answer(error.to_string());
        self.socket
            .ask(async {
                let stream = TokioIo::new(self.socket.connect().await?);
                let (mut sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                let request = Request::get(path).header("host", "localhost");
                let request = request.body(Empty::<Bytes>::new()).map_err(|error| bad(&error))?;
                let (head, body) = sender.send_request(request).await?.into_parts();
                match head.status {
                    StatusCode::OK => {}
                    StatusCode::NOT_FOUND => return Ok(None),
                    status => return Err(bad(&format!("{path}: {status}"))),
                }
                let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| bad(&error))?;
                Ok(Some(body.to_bytes()))
            })
            .await
    }
}

/// The digest under which an image was pulled from the repository that the container names, else any.
fn digest(image: &Image, digests: &[String]) -> Option<Box<str>> {
    let pairs = || digests.iter().filter_map(|digest| digest.split_once('@'));
    let own = pairs().find(|(repository, _)| Some(*repository) == image.repository());
    own.or_else(|| pairs().next()).and_then(|(_, digest)| bounds::text(digest))
}

fn container(inspect: &Inspect, runtime: Runtime) -> Container {
    let Inspect { name, image, created, config, host_config, mounts, network_settings } = inspect;
    let labels = config.labels.iter().flatten().map(|(name, value)| (&**name, &**value));
    let networks = network_settings.networks.iter().flatten().map(|(_, network)| &network.ip_address);
    let mut addresses = std::iter::once(&network_settings.ip_address).chain(networks).flatten();
    let mounts = mounts.iter().flatten().map(|mount| Mount {
        source: bounds::text(&mount.source).unwrap_or_default(),
        destination: bounds::text(&mount.destination).unwrap_or_default(),
        mode: bounds::text(&mount.mode).unwrap_or_default(),
        writable: mount.rw,
        propagation: bounds::text(&mount.propagation).unwrap_or_default(),
    });
    let test = config.healthcheck.as_ref().and_then(|check| check.test.as_deref()).unwrap_or_default();
    let healthcheck = match test {
        [kind, command] if kind == "CMD-SHELL" => Some(format!("/bin/sh -c {command}")),
        [kind, command @ ..] if kind == "CMD" => Some(command.join(" ")),
        _ => None,
    };
    Container {
        name: bounds::text(name.trim_start_matches('/')),
        runtime: Some(runtime),
        image: Image {
            reference: bounds::text(&config.image),
            id: bounds::text(image.trim_start_matches("sha256:")),
            digest: None,
        },
        privileged: Some(host_config.privileged),
        mounts: Some(bounds::mounts(mounts)),
        created_ns: created.and_then(nanoseconds),
        labels: Some(bounds::labels(labels)),
        ip: addresses.find_map(|ip| bounds::text(ip)),
        namespaces: HostNamespaces {
            pid: Some(host_config.pid_mode == "host"),
            network: Some(host_config.network_mode == "host"),
            ipc: Some(host_config.ipc_mode == "host"),
        },
        healthcheck: healthcheck.as_deref().and_then(bounds::text),
        pod: None,
    }
}

impl Resolver for Docker {
    fn name(&self) -> &'static str {
        match self.runtime {
            Runtime::Podman => "podman",
            _ => "docker",
        }
    }

    fn may_know(&self, known: &Known) -> bool {
        known.container.runtime.is_none_or(|runtime| runtime == self.runtime)
    }

    fn resolve<'a>(&'a self, query: Query<'a>) -> Answer<'a> {
        Box::pin(self.look(query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inspection_is_read() {
        let json = r#"{"Name": "/web", "Image": "sha256:00ff", "Created": "1970-01-01T00:00:02.5Z",
            "Config": {"Image": "registry:5000/busybox:1", "Labels": {"a": "b"},
                "Healthcheck": {"Test": ["CMD-SHELL", "curl -f http://localhost"]}},
            "HostConfig": {"Privileged": true, "PidMode": "host", "NetworkMode": "bridge", "IpcMode": "private"},
            "Mounts": [{"Source": "/", "Destination": "/host", "Mode": "ro", "RW": false, "Propagation": "rslave"}],
            "NetworkSettings": {"IPAddress": "", "Networks": {"mine": {"IPAddress": "172.18.0.2"}}}}"#;
        let found = container(&serde_json::from_str(json).unwrap(), Runtime::Docker);
        assert_eq!((found.name.as_deref(), found.image.tag()), (Some("web"), Some("1")));
        assert_eq!((found.image.id.as_deref(), found.privileged), (Some("00ff"), Some(true)));
        assert_eq!((found.created_ns, found.ip.as_deref()), (Some(2_500_000_000), Some("172.18.0.2")));
        let shared = HostNamespaces { pid: Some(true), network: Some(false), ipc: Some(false) };
        assert_eq!(found.namespaces, shared);
        let mounts: Vec<_> = found.mounts.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(mounts, ["/:/host:ro:false:rslave"]);
        assert_eq!(found.healthcheck.as_deref(), Some("/bin/sh -c curl -f http://localhost"));
        let image = &found.image;
        let digests = ["other@sha256:1".to_owned(), "registry:5000/busybox@sha256:2".to_owned()];
        assert_eq!(digest(image, &digests).as_deref(), Some("sha256:2"));
        assert_eq!(digest(image, digests.get(..1).unwrap()).as_deref(), Some("sha256:1"));
        assert_eq!(digest(image, &[]), None);
    }

    #[test]
    fn what_is_empty_in_go_is_null() {
        let json = r#"{"Config": {"Labels": null, "Healthcheck": {"Test": ["NONE"]}}, "Mounts": null}"#;
        let found = container(&serde_json::from_str(json).unwrap(), Runtime::Podman);
        assert_eq!((found.name, found.healthcheck, found.ip), (None, None, None));
        assert_eq!(found.labels.map(|labels| labels.len()), Some(0));
    }
}
