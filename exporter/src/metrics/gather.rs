//! The registry as those see it who send it somewhere.

use std::{fmt, sync::Arc};

use prometheus::proto::MetricFamily;

use super::{Metrics, View};

/// All samples of the moment at which it is called.
#[derive(Clone)]
pub struct Gather(pub Arc<dyn Fn() -> Vec<MetricFamily> + Send + Sync>);

impl fmt::Debug for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gather")
    }
}

impl Gather {
    pub fn of(metrics: &Arc<Metrics>) -> Gather {
        let metrics = Arc::clone(metrics);
        Gather(Arc::new(move || metrics.gather(View::Everything)))
    }
}
