//! What this kernel does not do of what is wanted of it: how much less is seen here than on another node.

use std::sync::atomic::{AtomicU64, Ordering};

/// All 0 where nothing is missing. `yagura doctor` has the names behind the numbers.
#[derive(Debug, Default)]
pub(super) struct Shortfall {
    /// Event types that rules want, whose program the kernel refused.
    event_types: AtomicU64,
    /// Fields of the kernel's structures that were not found.
    fields: AtomicU64,
    /// 1 where opens and connects by io_uring are wanted and not seen.
    io_uring: AtomicU64,
    /// 1 where our own system calls cannot be told from others': not in the initial pid namespace.
    own_syscalls: AtomicU64,
}

impl Shortfall {
    pub fn new(fields: usize, initial_pid_namespace: bool) -> Shortfall {
        let shortfall = Shortfall::default();
        shortfall.fields.store(fields as u64, Ordering::Relaxed);
        shortfall.own_syscalls.store((!initial_pid_namespace).into(), Ordering::Relaxed);
        shortfall
    }

    /// After a plan was applied.
    pub fn set_unavailable(&self, event_types: usize, io_uring: bool) {
        self.event_types.store(event_types as u64, Ordering::Relaxed);
        self.io_uring.store(io_uring.into(), Ordering::Relaxed);
    }

    pub fn numbers(&self) -> Vec<(&'static str, u64)> {
        let Shortfall { event_types, fields, io_uring, own_syscalls } = self;
        [
            ("event_types", event_types),
            ("fields", fields),
            ("io_uring", io_uring),
            ("own_syscalls", own_syscalls),
        ]
        .map(|(what, number)| (what, number.load(Ordering::Relaxed)))
        .to_vec()
    }
}
