//! `journal`: where detections are kept, and how many.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::walk::{Errors, Map, Spanned};
use crate::journal::Settings;

/// Smallest bound: a few thousand detections.
const MIN_SIZE: u64 = 1 << 20;
const MAX_SIZE: u64 = 1 << 40;

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct RawJournal {
    pub enabled: Option<Spanned<bool>>,
    pub path: Option<Spanned<String>>,
    pub max_size: Option<Spanned<u64>>,
    pub max_age: Option<Spanned<Duration>>,
}

impl RawJournal {
    pub fn parse(root: &mut Map<'_>, errors: &mut Errors) -> RawJournal {
        let Some(mut map) = root.map("journal", errors) else { return RawJournal::default() };
        let raw = RawJournal {
            enabled: map.bool("enabled", errors),
            path: map.string("path", errors),
            max_size: map.size("max_size", errors),
            max_age: map.duration("max_age", errors),
        };
        map.finish(errors);
        raw
    }

    /// `shares`: what the tenants' quotas say.
    pub fn check(self, shares: BTreeMap<String, f64>, errors: &mut Errors) -> Settings {
        let RawJournal { enabled, path, max_size, max_age } = self;
        let default = Settings::default();
        Settings {
            enabled: enabled.map_or(default.enabled, |enabled| enabled.value),
            path: errors.parsed(path, default.path, |text| {
                let path = PathBuf::from(text);
                if path.is_absolute() { Ok(path) } else { Err(format!("'{text}' is not an absolute path")) }
            }),
            max_size: errors.parsed(max_size, default.max_size, |&size| {
                if (MIN_SIZE..=MAX_SIZE).contains(&size) {
                    Ok(size)
                } else {
                    Err(format!("{size} is not between 1MiB and 1TiB"))
                }
            }),
            max_age: errors
                .parsed(max_age, default.max_age, |&age| super::within(age, 60, 10 * 365 * 86_400)),
            shares,
        }
    }
}
