//! When the ring's reader sleeps, and how: a decision without a clock or a system call, so that it is tested
//! as a table.
//!
//! Waking a reader costs the workload that produced the event more than the event itself (the wakeup is an
//! inter-processor interrupt and a run through the scheduler). So while events flow nobody is woken: the
//! reader naps for [`NAP`] and takes what came in one batch. A reader that found nothing asks the kernel
//! side to wake it at the next record, and then sleeps for as long as it may.

use std::time::Duration;

/// Sleep while events flow. Bounds the latency that batching adds: half of it at the median, with a goal of a
/// millisecond. What a wakeup costs is shared by what came meanwhile.
pub(super) const NAP: Duration = Duration::from_micros(1500);

/// Longest first sleep of a reader that has asked to be woken. A program that read the request's flag just before it
/// was set, and was then held up by more than the reader's patience, leaves a record without a wakeup: this
/// is when it is found if no other record follows. Whoever runs after that has seen the flag, so later sleeps
/// may last as long as the caller likes: an idle node is not woken for nothing.
pub(super) const FIRST_SLEEP: Duration = Duration::from_millis(250);

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

/// What the reader knows after a drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    /// Records that came.
    pub records: usize,
    /// So much is waiting again that a sleep would risk losses.
    pub backlog: bool,
    /// Something is waiting, perhaps a record that is still being written.
    pub pending: bool,
}

pub(super) fn next(drained: Drained) -> Step {
    match drained {
        Drained { backlog: true, records: 1.., .. } => Step::Drain,
        Drained { records: 1.., .. } | Drained { pending: true, .. } => Step::Nap,
        Drained { .. } => Step::Block,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naps_while_events_flow_and_blocks_when_there_are_none() {
        for (records, backlog, pending, expected) in [
            (4096, true, true, Step::Drain),
            (1, true, true, Step::Drain),
            (4096, false, true, Step::Nap),
            (100, false, false, Step::Nap),
            (1, false, false, Step::Nap),
            // The record at the front is being written: spinning would take the CPU that its writer needs.
            (0, false, true, Step::Nap),
            (0, true, true, Step::Nap),
            (0, false, false, Step::Block),
        ] {
            let drained = Drained { records, backlog, pending };
            assert_eq!(next(drained), expected, "{drained:?}");
        }
    }
}
