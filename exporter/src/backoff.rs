//! How long to wait after a failure: twice as long each time, up to a bound, and never the same for two.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Bounds of the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { first: Duration::from_millis(500), longest: Duration::from_secs(60) }
    }
}

/// The waits after failures in a row.
#[derive(Debug)]
pub struct Backoff {
    pace: Pace,
    failures: u32,
    random: RandomState,
}

impl Backoff {
    pub fn new(pace: Pace) -> Backoff {
        Backoff { pace, failures: 0, random: RandomState::new() }
    }

    /// Another failure: how long to wait now. Between half of the time and all of it, so that many who failed together
    /// do not come back together. What the receiver asks for is a lower bound, itself bounded by the longest wait.
    pub fn fail(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = self.pace.first.saturating_mul(1 << self.failures.min(20));
        let whole = doubled.min(self.pace.longest);
        self.failures = self.failures.saturating_add(1);
        let share = self.random.hash_one(self.failures) as f64 / u64::MAX as f64;
        let wait = whole.mul_f64(0.5 + share / 2.0).min(self.pace.longest);
        wait.max(asked.unwrap_or_default().min(self.pace.longest))
    }

    pub fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_bounds(first in 1u64..5000, longest in 1u64..100_000, asked in 0u64..200_000) {
            let pace = Pace { first: Duration::from_millis(first), longest: Duration::from_millis(longest.max(first)) };
            let mut backoff = Backoff::new(pace);
            for failure in 0..40u32 {
                let whole = pace.first.saturating_mul(1 << failure.min(20)).min(pace.longest);
                let wait = backoff.fail(None);
                prop_assert!(wait >= whole / 2 && wait <= pace.longest, "{failure} {wait:?} {whole:?}");
            }
            let asked = Duration::from_millis(asked);
            prop_assert!(backoff.fail(Some(asked)) >= asked.min(pace.longest));
            backoff.succeed();
            prop_assert!(backoff.fail(None) <= pace.first);
        }
    }
}
