//! Says which rules had detections held back by their rate limit: a limit is never silent.

use std::sync::Arc;

use super::engine::RuleTally;
use crate::config::RateLimit;

#[derive(Debug)]
pub struct Suppression {
    tallies: Arc<[RuleTally]>,
    /// What was said already, per rule.
    said: Vec<u64>,
    limit: RateLimit,
}

impl Suppression {
    pub fn new(tallies: Arc<[RuleTally]>, limit: RateLimit) -> Suppression {
        let said = vec![0; tallies.len()];
        Suppression { tallies, said, limit }
    }

    /// Rules and the number of their detections held back since the last call.
    pub fn take(&mut self) -> Vec<(Arc<str>, u64)> {
        let mut news = Vec::new();
        for (tally, said) in self.tallies.iter().zip(&mut self.said) {
            let now = tally.suppressed.get();
            if now > *said {
                news.push((Arc::clone(&tally.rule), now - *said));
                *said = now;
            }
        }
        news
    }

    pub fn log(&mut self) {
        let RateLimit { rate, burst, window } = self.limit;
        for (rule, suppressed) in self.take() {
            let window = window.as_secs();
            tracing::warn!(%rule, suppressed, rate, burst, window, "detections held back by the rate limit");
        }
    }

    /// Goes on with other rules.
    pub fn replace(&mut self, tallies: Arc<[RuleTally]>) {
        self.log();
        *self = Suppression::new(tallies, self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, metrics::Tally};

    #[test]
    fn each_detection_is_said_once() {
        let tallies: Arc<[RuleTally]> = ["a", "b"]
            .map(|rule| RuleTally { rule: rule.into(), suppressed: Tally::default() })
            .into_iter()
            .collect();
        let mut suppression = Suppression::new(Arc::clone(&tallies), Config::default().rate_limit);
        assert_eq!(suppression.take(), []);
        tallies[1].suppressed.add(3);
        assert_eq!(suppression.take(), [("b".into(), 3)]);
        assert_eq!(suppression.take(), []);
        tallies[0].suppressed.add(1);
        tallies[1].suppressed.add(2);
        assert_eq!(suppression.take(), [("a".into(), 1), ("b".into(), 2)]);
    }
}
