//! What the journal counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::journal::{Bound, Settings};

/// Why detections could not be written.
pub const FAILURES: [&str; 5] = ["closed", "disk_full", "busy", "damaged", "io"];

#[derive(Debug)]
pub struct JournalCounters {
    up: AtomicBool,
    written: AtomicU64,
    failed: [AtomicU64; FAILURES.len()],
    set_aside: AtomicU64,
    size: AtomicU64,
    limit: AtomicU64,
    /// By tenant, of which there are as many as the configuration has, and by bound.
    pub(super) removed: IntCounterVec,
    /// The same of what receivers refuse.
    pub(super) rejected_removed: IntCounterVec,
    /// By tenant; also of those that only the journal still knows.
    pub(super) sizes: IntGaugeVec,
    pub(super) limits: IntGaugeVec,
}

impl JournalCounters {
    pub fn new() -> prometheus::Result<JournalCounters> {
        let removed = IntCounterVec::new(
            Opts::new("yagura_journal_removed_total", "Detections that a bound removed from the journal."),
            &["tenant", "bound"],
        )?;
        let rejected_removed = IntCounterVec::new(
            Opts::new(
                "yagura_journal_rejected_removed_total",
                "Detections refused by a sink's receiver that a bound removed from where they were set aside.",
            ),
            &["tenant", "bound"],
        )?;
        let sizes = IntGaugeVec::new(
            Opts::new(
                "yagura_journal_tenant_size_bytes",
                "What a tenant's detections in the journal count against its share.",
            ),
            &["tenant"],
        )?;
        let limits = IntGaugeVec::new(
            Opts::new("yagura_journal_tenant_limit_bytes", "A tenant's share of the journal."),
            &["tenant"],
        )?;
        Ok(JournalCounters {
            up: AtomicBool::default(),
            written: AtomicU64::default(),
            failed: Default::default(),
            set_aside: AtomicU64::default(),
            size: AtomicU64::default(),
            limit: AtomicU64::default(),
            removed,
            rejected_removed,
            sizes,
            limits,
        })
    }

    pub fn up(&self, up: bool) {
        self.up.store(up, Relaxed);
    }

    pub fn written(&self, count: u64) {
        self.written.fetch_add(count, Relaxed);
    }

    pub fn failed(&self, reason: &str, count: u64) {
        let at = FAILURES.iter().position(|known| *known == reason);
        // What has no name of its own is trouble with the file.
        if let Some(slot) = at.and_then(|at| self.failed.get(at)).or(self.failed.last()) {
            slot.fetch_add(count, Relaxed);
        }
    }

    pub fn set_aside(&self) {
        self.set_aside.fetch_add(1, Relaxed);
    }

    /// All together, and each tenant's.
    pub fn size<'t>(&self, total: u64, tenants: impl IntoIterator<Item = (&'t str, u64)>) {
        self.size.store(total, Relaxed);
        for (tenant, size) in tenants {
            self.sizes.with_label_values(&[tenant]).set(i64::try_from(size).unwrap_or(i64::MAX));
        }
    }

    pub fn removed(&self, tenant: &str, bound: Bound, count: u64) {
        self.removed.with_label_values(&[tenant, bound.name()]).inc_by(count);
    }

    pub fn rejected_removed(&self, tenant: &str, bound: Bound, count: u64) {
        self.rejected_removed.with_label_values(&[tenant, bound.name()]).inc_by(count);
    }

    /// The bounds, for all and for each tenant, whose removals begin at 0.
    pub fn begin<'t>(&self, settings: &Settings, tenants: impl IntoIterator<Item = &'t str>) {
        self.limit.store(settings.max_size, Relaxed);
        for tenant in tenants {
            for bound in Bound::ALL {
                self.removed(tenant, bound, 0);
                self.rejected_removed(tenant, bound, 0);
            }
            self.sizes.with_label_values(&[tenant]);
            let limit = i64::try_from(settings.share_of(tenant)).unwrap_or(i64::MAX);
            self.limits.with_label_values(&[tenant]).set(limit);
        }
    }

    /// How many of a tenant's a bound has removed.
    pub fn removals(&self, tenant: &str, bound: Bound) -> u64 {
        self.removed.with_label_values(&[tenant, bound.name()]).get()
    }

    #[cfg(test)]
    pub fn rejected_removals(&self, tenant: &str, bound: Bound) -> u64 {
        self.rejected_removed.with_label_values(&[tenant, bound.name()]).get()
    }

    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    pub fn all_written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    pub fn all_set_aside(&self) -> u64 {
        self.set_aside.load(Relaxed)
    }

    pub fn current_size(&self) -> u64 {
        self.size.load(Relaxed)
    }

    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// What a tenant's detections count.
    #[cfg(test)]
    pub fn size_of(&self, tenant: &str) -> u64 {
        self.sizes.with_label_values(&[tenant]).get().unsigned_abs()
    }

    pub fn failures(&self) -> Vec<(&'static str, u64)> {
        FAILURES.into_iter().zip(self.failed.iter().map(|count| count.load(Relaxed))).collect()
    }
}
