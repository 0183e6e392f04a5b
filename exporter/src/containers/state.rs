//! The state that an OCI runtime keeps of a container: runc's `state.json`, crun's `status`.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Runc {
    init_process_pid: u32,
    created: Option<jiff::Timestamp>,
    config: RuncConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuncConfig {
    labels: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Crun {
    pid: u32,
    bundle: String,
    created: Option<jiff::Timestamp>,
}

/// What a state says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The host's number of the container's first process, 0 if it has none yet.
    pub pid: u32,
    /// Nanoseconds since the epoch.
    pub created_ns: Option<u64>,
    /// The folder with `config.json`.
    pub bundle: Option<String>,
}

pub(super) fn of_runc(text: &[u8]) -> Result<State, serde_json::Error> {
    let Runc { init_process_pid, created, config } = serde_json::from_slice(text)?;
    let mut labels = config.labels.iter().flatten();
    let bundle = labels.find_map(|label| label.strip_prefix("bundle=")).map(str::to_owned);
    Ok(State { pid: init_process_pid, created_ns: created.and_then(nanoseconds), bundle })
}

pub(super) fn of_crun(text: &[u8]) -> Result<State, serde_json::Error> {
    let Crun { pid, bundle, created } = serde_json::from_slice(text)?;
    let bundle = Some(bundle).filter(|bundle| !bundle.is_empty());
    Ok(State { pid, created_ns: created.and_then(nanoseconds), bundle })
}

/// Nanoseconds since the epoch; `None` for a time before it (Go's zero time).
pub(super) fn nanoseconds(time: jiff::Timestamp) -> Option<u64> {
    u64::try_from(time.as_nanosecond()).ok().filter(|ns| *ns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read() {
        let runc = br#"{"id": "a", "init_process_pid": 7, "created": "2026-01-02T03:04:05.6Z",
            "config": {"labels": ["x=y", "bundle=/run/b"]}}"#;
        let crun = br#"{"pid": 7, "bundle": "/run/b", "created": "2026-01-02T03:04:05.6Z"}"#;
        let expected =
            State { pid: 7, created_ns: Some(1_767_323_045_600_000_000), bundle: Some("/run/b".into()) };
        assert_eq!(of_runc(runc).unwrap(), expected);
        assert_eq!(of_crun(crun).unwrap(), expected);
        let zero = br#"{"created": "0001-01-01T00:00:00Z", "config": {"labels": null}}"#;
        assert_eq!(of_runc(zero).unwrap(), State::default());
        assert!(of_runc(b"[").is_err() && of_crun(br#"{"created": "soon"}"#).is_err());
    }
}
