//! Who waits for detections is told when there are some.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

/// By tenant, the number of the last detection that is in the journal.
#[derive(Debug, Default)]
pub struct News {
    tenants: Mutex<HashMap<Box<str>, watch::Sender<i64>>>,
}

impl News {
    /// Detections up to this one are in the journal.
    pub fn tell(&self, tenant: &str, last: i64) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = tenants.get(tenant) {
            news.send_replace(last);
        } else {
            tenants.insert(tenant.into(), watch::channel(last).0);
        }
    }

    pub fn listen(&self, tenant: &str) -> watch::Receiver<i64> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(tenant.into()).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}
