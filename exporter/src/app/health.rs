//! Whether the daemon lives and whether it is ready: what `/livez` and `/readyz` say.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[derive(Debug, Default)]
pub struct Health {
    /// The programs that the rules need are attached.
    attached: AtomicBool,
    rules: AtomicBool,
    /// The thread that reads the ring buffer has ended, on purpose or not.
    ended: AtomicBool,
}

impl Health {
    pub fn set_attached(&self, attached: bool) {
        self.attached.store(attached, Relaxed);
    }

    pub fn set_rules_loaded(&self) {
        self.rules.store(true, Relaxed);
    }

    pub fn set_ended(&self) {
        self.ended.store(true, Relaxed);
    }

    /// Fails when only a restart helps.
    pub fn live(&self) -> Vec<(&'static str, bool)> {
        vec![("events", !self.ended.load(Relaxed))]
    }

    /// Fails when events would not be detected.
    pub fn ready(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("attached", self.attached.load(Relaxed)),
            ("rules", self.rules.load(Relaxed)),
            ("events", !self.ended.load(Relaxed)),
        ]
    }
}
