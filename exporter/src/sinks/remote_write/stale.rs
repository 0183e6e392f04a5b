//! Which series have ended. A receiver would else go on answering with their last value for five minutes.

use std::{collections::HashMap, sync::Arc};

use super::series::{About, Labels, Series};

/// Prometheus' staleness marker: a NaN of its own.
pub(super) const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// The series of the last gathering. As many as the registry has, which bounds them.
#[derive(Debug, Default)]
pub(super) struct Known {
    series: HashMap<Labels, Arc<About>>,
}

impl Known {
    /// What is to be sent of a gathering: itself, and a marker for each series that was in the last one and is not in it.
    pub fn follow(&mut self, mut gathered: Vec<Series>) -> Vec<Series> {
        let series = gathered.iter().map(|one| (one.labels.clone(), Arc::clone(&one.about))).collect();
        let mut ended = std::mem::replace(&mut self.series, series);
        ended.retain(|labels, _| !self.series.contains_key(labels));
        gathered.extend(markers(ended));
        gathered
    }

    /// Markers for all: nothing comes any more.
    pub fn end(&mut self) -> Vec<Series> {
        markers(std::mem::take(&mut self.series)).collect()
    }
}

fn markers(ended: HashMap<Labels, Arc<About>>) -> impl Iterator<Item = Series> {
    ended.into_iter().map(|(labels, about)| Series { labels, value: STALE, about })
}
