//! When the ring's reader sleeps, and how: a state machine without a clock or a system call, so that it is
//! tested as a table.
//!
//! Waking a reader costs the workload that produced the event more than the event itself (the wakeup is an
//! inter-processor interrupt and a run through the scheduler). So while events flow nobody is woken: the
//! reader naps for [`NAP`] and takes what came in one batch. Only a reader that found nothing for
//! [`EMPTY_ROUNDS`] rounds asks the kernel side to wake it at the next record, and then sleeps for as long as
//! it may.

use std::time::Duration;

/// Sleep while events flow. Bounds the latency that batching adds.
pub(super) const NAP: Duration = Duration::from_millis(1);

/// Rounds without an event before the reader asks to be woken.
pub(super) const EMPTY_ROUNDS: u32 = 2;

/// What to do before the next drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is enough to do: drain again at once.
    Drain,
    /// Sleep for [`NAP`]; only the fill threshold or a waker ends it early.
    Nap,
    /// Ask the kernel side for a wakeup, look at the ring once more, then sleep.
    Block,
}

#[derive(Debug, Default)]
pub(super) struct Pace {
    empty_rounds: u32,
}

impl Pace {
    /// `drained` records came in the last drain, and `backlog` says that much is waiting again already.
    pub(super) fn next(&mut self, drained: usize, backlog: bool) -> Step {
        self.empty_rounds = if drained > 0 { 0 } else { self.empty_rounds.saturating_add(1) };
        if backlog {
            Step::Drain
        } else if self.empty_rounds <= EMPTY_ROUNDS {
            Step::Nap
        } else {
            Step::Block
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naps_while_events_flow_and_blocks_only_after_empty_rounds() {
        use Step::{Block, Drain, Nap};
        let rows: &[&[(usize, bool, Step)]] = &[
            // A flood never blocks, and never sleeps while there is a backlog.
            &[(4096, true, Drain), (4096, true, Drain), (100, false, Nap), (100, false, Nap)],
            // A trickle: one event resets the count.
            &[(1, false, Nap), (0, false, Nap), (0, false, Nap), (1, false, Nap), (0, false, Nap)],
            // Silence: naps, then blocks, and stays blocking until something comes.
            &[
                (1, false, Nap),
                (0, false, Nap),
                (0, false, Nap),
                (0, false, Block),
                (0, false, Block),
                (1, false, Nap),
            ],
            // From the start.
            &[(0, false, Nap), (0, false, Nap), (0, false, Block)],
            // A backlog after an empty drain (the record at the front was still being written).
            &[(0, false, Nap), (0, false, Nap), (0, true, Drain), (0, false, Block)],
        ];
        for row in rows {
            let mut pace = Pace::default();
            for (round, (drained, backlog, expected)) in row.iter().enumerate() {
                assert_eq!(pace.next(*drained, *backlog), *expected, "{row:?} round {round}");
            }
        }
    }

    #[test]
    fn a_reader_idle_for_years_still_blocks() {
        let mut pace = Pace { empty_rounds: u32::MAX };
        assert_eq!(pace.next(0, false), Step::Block);
    }
}
