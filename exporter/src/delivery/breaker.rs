//! Whether a receiver is thought to work: open after failures in a row, closed again by one success.

/// Failures in a row that open it.
const OPENS_AT: u32 = 5;

#[derive(Debug, Default)]
pub struct Breaker {
    open: bool,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Opened,
    Closed,
}

impl Breaker {
    /// While it is open a receiver is tried with one entry at a time.
    pub fn is_open(&self) -> bool {
        self.open
    }

    pub fn fail(&mut self, failures_in_a_row: u32) -> Option<Change> {
        let opens = !self.open && failures_in_a_row >= OPENS_AT;
        self.open |= opens;
        opens.then_some(Change::Opened)
    }

    pub fn succeed(&mut self) -> Option<Change> {
        std::mem::take(&mut self.open).then_some(Change::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_once_and_closes_once() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.succeed(), None);
        assert_eq!((1..OPENS_AT).find_map(|failures| breaker.fail(failures)), None);
        assert_eq!(breaker.fail(OPENS_AT), Some(Change::Opened));
        assert_eq!(breaker.fail(OPENS_AT + 1), None);
        assert!(breaker.is_open());
        assert_eq!(breaker.succeed(), Some(Change::Closed));
        assert!(!breaker.is_open());
    }
}
