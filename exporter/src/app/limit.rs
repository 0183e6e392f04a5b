//! How many detections of one rule may be written: a token bucket on the time of the events.

use crate::config::RateLimit;

/// Starts full. A full bucket holds `burst` tokens, each detection takes one, `rate` come back a second.
#[derive(Clone, Debug)]
pub struct Bucket {
    tokens: f64,
    /// Time of the newest event seen, nanoseconds.
    at: u64,
}

impl Bucket {
    pub fn new(limit: &RateLimit) -> Bucket {
        Bucket { tokens: f64::from(limit.burst), at: 0 }
    }

    /// May a detection of an event of this time be written? Events of different CPUs come slightly out of
    /// order: time only goes forward here.
    pub fn take(&mut self, limit: &RateLimit, now_ns: u64) -> bool {
        if limit.rate <= 0.0 {
            return true;
        }
        let elapsed = now_ns.saturating_sub(self.at);
        self.at = self.at.max(now_ns);
        self.tokens = (self.tokens + elapsed as f64 / 1e9 * limit.rate).min(f64::from(limit.burst));
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Events at these milliseconds; which of them pass.
    fn check(rate: f64, burst: u32, times: &[u64], expected: &[bool]) {
        let limit = RateLimit { rate, burst, window: Duration::from_secs(60) };
        let mut bucket = Bucket::new(&limit);
        let passed: Vec<_> = times.iter().map(|ms| bucket.take(&limit, ms * 1_000_000)).collect();
        assert_eq!(passed, expected, "rate {rate} burst {burst} at {times:?}");
    }

    #[test]
    fn bursts_pass_and_then_the_rate() {
        check(1.0, 2, &[0, 0, 0, 500, 1000, 1000, 2000], &[true, true, false, false, true, false, true]);
        // A long pause fills it to the burst and no further.
        check(1.0, 2, &[0, 0, 100_000, 100_000, 100_000], &[true, true, true, true, false]);
        // Less than one a second.
        check(0.5, 1, &[0, 1000, 1999, 2000], &[true, false, false, true]);
        // No limit.
        check(0.0, 1, &[0, 0, 0], &[true, true, true]);
        // Time that goes back gives nothing.
        check(1.0, 1, &[5000, 0, 4000, 5999, 6000], &[true, false, false, false, true]);
        check(1e6, 1_000_000, &[u64::MAX / 1_000_000, 0], &[true, true]);
    }
}
