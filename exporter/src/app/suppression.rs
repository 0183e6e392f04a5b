//! Says which rules had detections held back by their rate limit: a limit is never silent.

use std::sync::Arc;

use super::active::{QuotaTally, RuleTally};
use crate::config::RateLimit;

#[derive(Debug)]
pub struct Suppression {
    tallies: Arc<[RuleTally]>,
    /// What was said already, per rule.
    said: Vec<u64>,
    limit: RateLimit,
    quotas: Arc<[QuotaTally]>,
    /// The same per tenant.
    said_of: Vec<u64>,
}

impl Suppression {
    pub fn new(tallies: Arc<[RuleTally]>, quotas: Arc<[QuotaTally]>, limit: RateLimit) -> Suppression {
        let (said, said_of) = (vec![0; tallies.len()], vec![0; quotas.len()]);
        Suppression { tallies, said, limit, quotas, said_of }
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
        for (quota, said) in self.quotas.iter().zip(&mut self.said_of) {
            let now = quota.suppressed();
            if now > *said {
                let (tenant, suppressed, rate) = (&quota.tenant, now - *said, quota.limit.rate);
                tracing::warn!(%tenant, suppressed, rate, "detections held back by the tenant's quota");
                *said = now;
            }
        }
    }

    /// Goes on with other rules.
    pub fn replace(&mut self, tallies: Arc<[RuleTally]>) {
        self.log();
        self.said = vec![0; tallies.len()];
        self.tallies = tallies;
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
        let mut suppression =
            Suppression::new(Arc::clone(&tallies), Arc::new([]), Config::default().rate_limit);
        assert_eq!(suppression.take(), []);
        tallies[1].suppressed.add(3);
        assert_eq!(suppression.take(), [("b".into(), 3)]);
        assert_eq!(suppression.take(), []);
        tallies[0].suppressed.add(1);
        tallies[1].suppressed.add(2);
        assert_eq!(suppression.take(), [("a".into(), 1), ("b".into(), 2)]);
    }
}
