//! What a sink is given, and at what pace: the same for each type.

use std::time::Duration;

use super::super::{
    priority_names,
    walk::{Errors, Map, Spanned},
};
use crate::{
    backoff::Pace,
    delivery::{Feed, Filter},
    rules::Priority,
    tenants::Pattern,
};

/// Longest time that detections wait for others.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// `max_wait` is the type's default of `batch.max_wait`.
pub(super) fn read(entry: &mut Map<'_>, errors: &mut Errors, mut max_wait: Duration) -> Feed {
    let default = Feed::default();
    let minimum_priority = entry.string("minimum_priority", errors);
    let filter = Filter {
        tenants: patterns(entry.strings("tenants", errors)),
        rules: patterns(entry.strings("rules", errors)),
        tags: patterns(entry.strings("tags", errors)),
        minimum_priority: errors.parsed(minimum_priority, default.filter.minimum_priority, |text| {
            Priority::from_name(text)
                .ok_or_else(|| format!("unknown priority '{text}', expected one of: {}", priority_names()))
        }),
    };
    let (mut batch, mut batch_bytes) = (default.batch, default.batch_bytes);
    if let Some(mut map) = entry.map("batch", errors) {
        let entries = map.integer("max_entries", errors);
        batch = errors.ranged(entries, 1..=1000, batch);
        let size = map.size("max_size", errors);
        batch_bytes = errors.parsed(size, batch_bytes, |&bytes| match usize::try_from(bytes) {
            Ok(size) if (1 << 10..=1 << 20).contains(&size) => Ok(size),
            _ => Err(format!("{bytes} is not between 1KiB and 1MiB")),
        });
        let wait = map.duration("max_wait", errors);
        max_wait = errors.parsed(wait, max_wait, |&wait| {
            if wait <= LONGEST_WAIT { Ok(wait) } else { Err("max_wait is not between 0 and 60s".into()) }
        });
        map.finish(errors);
    }
    let pace = pace(entry, default.pace, errors);
    Feed { filter, pace, batch, batch_bytes, max_wait }
}

/// Of a sink that is sent samples: whose, and at what pace.
pub(super) fn of_samples(entry: &mut Map<'_>, errors: &mut Errors) -> Feed {
    let default = Feed::default();
    let tenants = patterns(entry.strings("tenants", errors));
    let pace = pace(entry, default.pace, errors);
    Feed { filter: Filter { tenants, ..default.filter }, pace, ..default }
}

fn patterns(list: Option<Vec<Spanned<String>>>) -> Vec<Pattern> {
    list.into_iter().flatten().map(|text| Pattern::new(&text.value)).collect()
}

fn pace(entry: &mut Map<'_>, mut pace: Pace, errors: &mut Errors) -> Pace {
    if let Some(mut map) = entry.map("retry", errors) {
        let first = map.duration("first", errors);
        pace.first = errors.parsed(first, pace.first, |&first| {
            if (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&first) {
                Ok(first)
            } else {
                Err("the first wait is not between 10ms and 60s".into())
            }
        });
        let longest = map.duration("longest", errors);
        let first = pace.first;
        pace.longest = errors.parsed(longest, pace.longest.max(first), |&longest| {
            if (first..=Duration::from_secs(3600)).contains(&longest) {
                Ok(longest)
            } else {
                Err("the longest wait is not between the first one and 1h".into())
            }
        });
        map.finish(errors);
    }
    pace
}
