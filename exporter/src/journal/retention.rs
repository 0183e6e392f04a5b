//! How much of the journal each tenant uses, and whose oldest detections go when there is too much.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::Settings;

/// Detections removed by one statement: the writer must not be kept from its queue for long.
const CHUNK: i64 = 500;
/// What a detection weighs that is a rather long one.
const HEAVY: u64 = 2048;

/// What each tenant uses. From an index alone: it is asked for before the daemon sees anything.
pub(super) const USAGE: &str = "SELECT tenant, SUM(weight) FROM detections GROUP BY tenant";

/// Removed detections and what they weighed, by tenant.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub detections: u64,
    pub weight: u64,
}

/// Why detections are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Age,
    Size,
    /// A tenant's share.
    Share,
}

impl Bound {
    pub const ALL: [Bound; 3] = [Bound::Age, Bound::Size, Bound::Share];

    /// Label of its metric.
    pub const fn name(self) -> &'static str {
        match self {
            Bound::Age => "age",
            Bound::Size => "size",
            Bound::Share => "share",
        }
    }
}

/// Sizes by tenant. Kept up to date with every statement, so that no query adds them up.
#[derive(Debug, Default)]
pub(super) struct Usage {
    by_tenant: HashMap<String, u64>,
    total: u64,
}

impl Usage {
    pub fn read(connection: &Connection) -> rusqlite::Result<Usage> {
        let mut usage = Usage::default();
        let mut statement = connection.prepare(USAGE)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let weight: i64 = row.get(1)?;
            usage.add(&row.get::<_, String>(0)?, u64::try_from(weight).unwrap_or(0));
        }
        Ok(usage)
    }

    pub fn add(&mut self, tenant: &str, weight: u64) {
        match self.by_tenant.get_mut(tenant) {
            Some(own) => *own += weight,
            None => drop(self.by_tenant.insert(tenant.to_owned(), weight)),
        }
        self.total += weight;
    }

    fn remove(&mut self, tenant: &str, weight: u64) {
        if let Some(own) = self.by_tenant.get_mut(tenant) {
            *own = own.saturating_sub(weight);
        }
        self.total = self.total.saturating_sub(weight);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn by_tenant(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_tenant.iter().map(|(tenant, weight)| (tenant.as_str(), *weight))
    }

    /// A tenant that has more than it may, which bound says so, and by how much: one above its share, or the largest
    /// if all together are too much.
    fn excess(&self, settings: &Settings) -> Option<(String, Bound, u64)> {
        let above = |(tenant, weight): (&String, &u64)| {
            let excess = weight.saturating_sub(settings.share_of(tenant));
            (excess > 0).then(|| (tenant.clone(), Bound::Share, excess))
        };
        if let Some(found) = self.by_tenant.iter().find_map(above) {
            return Some(found);
        }
        let excess = self.total.saturating_sub(settings.max_size);
        let largest = self.by_tenant.iter().max_by_key(|(_, weight)| **weight);
        largest.filter(|_| excess > 0).map(|(tenant, _)| (tenant.clone(), Bound::Size, excess))
    }

    /// Removes what is above a bound, the oldest first; says what was removed.
    pub fn shrink(
        &mut self,
        connection: &Connection,
        settings: &Settings,
        mut removed: impl FnMut(&str, Bound, Removed),
    ) -> rusqlite::Result<()> {
        while let Some((tenant, bound, excess)) = self.excess(settings) {
            // Rather too few at first than more than must go.
            let count = i64::try_from(excess / HEAVY).unwrap_or(CHUNK).clamp(1, CHUNK);
            let gone = remove(
                connection,
                "DELETE FROM detections WHERE id IN \
                 (SELECT id FROM detections WHERE tenant = ?1 ORDER BY seq LIMIT ?2) RETURNING weight",
                params![tenant, count],
            )?;
            if gone.detections == 0 {
                // It says that there is something and there is not: start from what is there.
                *self = Usage::read(connection)?;
                return Ok(());
            }
            self.remove(&tenant, gone.weight);
            removed(&tenant, bound, gone);
        }
        Ok(())
    }

    /// Removes one chunk of what was written before a time; whether there may be more.
    pub fn expire(
        &mut self,
        connection: &Connection,
        before_ns: i64,
        mut removed: impl FnMut(&str, Bound, Removed),
    ) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare(
            "DELETE FROM detections WHERE id IN (SELECT id FROM detections ORDER BY id LIMIT ?1) \
             AND written_ns < ?2 RETURNING tenant, weight",
        )?;
        let mut rows = statement.query(params![CHUNK, before_ns])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (tenant, weight): (String, i64) = (row.get(0)?, row.get(1)?);
            let weight = u64::try_from(weight).unwrap_or(0);
            self.remove(&tenant, weight);
            removed(&tenant, Bound::Age, Removed { detections: 1, weight });
            count += 1;
        }
        Ok(count == CHUNK)
    }
}

fn remove(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Removed> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params)?;
    let mut gone = Removed::default();
    while let Some(row) = rows.next()? {
        let weight: i64 = row.get(0)?;
        gone.detections += 1;
        gone.weight += u64::try_from(weight).unwrap_or(0);
    }
    Ok(gone)
}
