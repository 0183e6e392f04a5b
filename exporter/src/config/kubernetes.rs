//! `kubernetes`: whether and how the API server is asked about pods.

use std::{path::PathBuf, time::Duration};

use super::walk::{Errors, Map, Spanned};
use crate::kubernetes::{ServerUrl, Settings};

/// Longest time that a deleted pod is still known.
const MAX_DELAY: Duration = Duration::from_secs(3600);

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct RawKubernetes {
    enabled: Option<Spanned<bool>>,
    api_server: Option<Spanned<String>>,
    ca_file: Option<Spanned<String>>,
    token_file: Option<Spanned<String>>,
    pub delete_delay: Option<Spanned<Duration>>,
}

impl RawKubernetes {
    pub fn parse(root: &mut Map<'_>, errors: &mut Errors) -> RawKubernetes {
        let Some(mut map) = root.map("kubernetes", errors) else { return RawKubernetes::default() };
        let raw = RawKubernetes {
            enabled: map.bool("enabled", errors),
            api_server: map.string("api_server", errors),
            ca_file: map.string("ca_file", errors),
            token_file: map.string("token_file", errors),
            delete_delay: map.duration("delete_delay", errors),
        };
        map.finish(errors);
        raw
    }

    pub fn check(self, errors: &mut Errors) -> Settings {
        let RawKubernetes { enabled, api_server, ca_file, token_file, delete_delay } = self;
        let default = Settings::default();
        let file = |file: Option<Spanned<String>>| file.map(|file| PathBuf::from(file.value));
        Settings {
            enabled: enabled.map(|enabled| enabled.value),
            api_server: errors.parsed(api_server, None, |text| ServerUrl::parse(text).map(Some)),
            ca_file: file(ca_file),
            token_file: file(token_file),
            delete_delay: errors.parsed(delete_delay, default.delete_delay, |&delay| {
                if delay <= MAX_DELAY {
                    Ok(delay)
                } else {
                    Err(format!("{}s is more than an hour", delay.as_secs()))
                }
            }),
            timing: default.timing,
        }
    }
}
