//! How far each sink is with each tenant: so that what is removed before it was delivered can be counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::Selection;
use crate::metrics::SinksCounters;

#[derive(Debug)]
struct Cursor {
    sink: String,
    at: i64,
    selection: Selection,
}

/// Shared by the tasks, which move them, and the journal's writer, which removes.
#[derive(Debug)]
pub struct Cursors {
    by_tenant: Mutex<BTreeMap<String, Vec<Cursor>>>,
    counters: Arc<SinksCounters>,
}

impl Cursors {
    pub fn new(counters: Arc<SinksCounters>) -> Cursors {
        Cursors { by_tenant: Mutex::default(), counters }
    }

    pub(super) fn begin(&self, sink: &str, tenant: &str, at: i64, selection: Selection) {
        let mut all = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.entry(tenant.to_owned()).or_default();
        own.retain(|cursor| cursor.sink != sink);
        own.push(Cursor { sink: sink.to_owned(), at, selection });
    }

    pub(super) fn moved(&self, sink: &str, tenant: &str, at: i64) {
        let mut all = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get_mut(tenant).and_then(|own| own.iter_mut().find(|cursor| cursor.sink == sink));
        if let Some(cursor) = own {
            cursor.at = at;
        }
    }

    /// A detection is no longer in the journal: whoever wanted it and had not got it never will.
    pub fn removed(&self, tenant: &str, id: i64, rule: &str, priority: i64, tags: &str) {
        let all = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        for cursor in all.get(tenant).into_iter().flatten() {
            if cursor.at < id && cursor.selection.wants(rule, priority, tags) {
                self.counters.expired(&cursor.sink, tenant);
            }
        }
    }
}
