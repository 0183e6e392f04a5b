//! Longer and longer pauses after failures, each with some chance in it: nodes must not come back in step.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Pause {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pause {
    pub fn new(first: Duration, longest: Duration) -> Pause {
        Pause { first, longest, failures: 0 }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether nothing has failed since the last success.
    pub fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// The next pause: each time twice as long, up to the longest; at once the longest if trying soon makes no sense.
    /// Between a half and the whole of it.
    pub fn next(&mut self, longest: bool) -> Duration {
        let full = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        let full = if longest { self.longest } else { full };
        self.failures = self.failures.saturating_add(1);
        let chance = uuid::Uuid::new_v4().as_bytes().first().copied().map_or(0, u32::from);
        full / 2 + full / 2 * chance / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut pause = Pause::new(first, longest);
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let next = pause.next(false).as_millis();
            assert!((expected / 2..=expected).contains(&next), "{next} for {expected}");
        }
        pause.reset();
        assert!(pause.is_first() && pause.next(false) <= first);
        assert!(pause.next(true) >= longest / 2 && !pause.is_first());
        assert!((0..100).all(|_| pause.next(false) <= longest), "it never overflows");
    }
}
