//! How much of the journal each tenant uses, and whose oldest detections go when there is too much.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::Settings;

/// Detections removed by one statement: the writer must not be kept from its queue for long.
const CHUNK: i64 = 500;
/// What a detection weighs that is a rather long one.
const HEAVY: u64 = 2048;

/// A table that the bounds are for.
#[derive(Debug)]
pub(super) struct Table {
    /// What each tenant uses.
    pub usage: &'static str,
    /// Removes some of a tenant's, the oldest first.
    shrink: &'static str,
    /// Removes some of what was written before a time.
    pub expire: &'static str,
    /// It may have one part in so many of `max_size`, and a tenant of its share.
    part: u64,
}

/// Usage is added up from an index alone: it is asked for before the daemon sees anything.
pub(super) const DETECTIONS: Table = Table {
    usage: "SELECT tenant, SUM(weight) FROM detections GROUP BY tenant",
    shrink: "DELETE FROM detections WHERE id IN \
             (SELECT id FROM detections WHERE tenant = ?1 ORDER BY seq LIMIT ?2) RETURNING tenant, weight",
    expire: "DELETE FROM detections WHERE id IN \
             (SELECT id FROM detections WHERE written_ns < ?1 ORDER BY written_ns LIMIT ?2) \
             RETURNING tenant, weight",
    part: 1,
};

/// What receivers refuse: each lane keeps few of them, so that reading an index of all is little work.
pub(super) const REJECTED: Table = Table {
    usage: "SELECT tenant, SUM(weight) FROM rejected GROUP BY tenant",
    shrink: "DELETE FROM rejected WHERE (sink, tenant, seq) IN \
             (SELECT sink, tenant, seq FROM rejected WHERE tenant = ?1 ORDER BY written_ns LIMIT ?2) \
             RETURNING tenant, weight",
    expire: "DELETE FROM rejected WHERE (sink, tenant, seq) IN \
             (SELECT sink, tenant, seq FROM rejected WHERE written_ns < ?1 ORDER BY written_ns LIMIT ?2) \
             RETURNING tenant, weight",
    part: 16,
};

/// Removed detections and what they weighed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Removed {
    detections: u64,
    weight: u64,
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

/// Sizes by tenant of what a table has. Kept up to date with every statement, so that no query adds them up.
#[derive(Debug)]
pub(super) struct Usage {
    table: &'static Table,
    by_tenant: HashMap<String, u64>,
    total: u64,
}

impl Usage {
    pub fn read(connection: &Connection, table: &'static Table) -> rusqlite::Result<Usage> {
        let mut usage = Usage { table, by_tenant: HashMap::new(), total: 0 };
        let mut statement = connection.prepare(table.usage)?;
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

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn by_tenant(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_tenant.iter().map(|(tenant, weight)| (tenant.as_str(), *weight))
    }

    /// A tenant that has more than it may, which bound says so, and by how much: one above its share, or the largest
    /// if all together are too much.
    fn excess(&self, settings: &Settings) -> Option<(String, Bound, u64)> {
        let part = self.table.part;
        let above = |(tenant, weight): (&String, &u64)| {
            let excess = weight.saturating_sub(settings.share_of(tenant) / part);
            (excess > 0).then(|| (tenant.clone(), Bound::Share, excess))
        };
        if let Some(found) = self.by_tenant.iter().find_map(above) {
            return Some(found);
        }
        let excess = self.total.saturating_sub(settings.max_size / part);
        let largest = self.by_tenant.iter().max_by_key(|(_, weight)| **weight);
        largest.filter(|_| excess > 0).map(|(tenant, _)| (tenant.clone(), Bound::Size, excess))
    }

    /// Removes what is above a bound, the oldest first; says what was removed.
    pub fn shrink(
        &mut self,
        connection: &Connection,
        settings: &Settings,
        mut removed: impl FnMut(&str, Bound, u64),
    ) -> rusqlite::Result<()> {
        while let Some((tenant, bound, excess)) = self.excess(settings) {
            // Rather too few at first than more than must go.
            let count = i64::try_from(excess / HEAVY).unwrap_or(CHUNK).clamp(1, CHUNK);
            let gone = remove(connection, self.table.shrink, params![tenant, count])?;
            if gone.is_empty() {
                // It says that there is something and there is not: start from what is there.
                *self = Usage::read(connection, self.table)?;
                return Ok(());
            }
            self.remove(gone, bound, &mut removed);
        }
        Ok(())
    }

    /// Removes one chunk of what was written before a time; whether there may be more.
    pub fn expire(
        &mut self,
        connection: &Connection,
        before_ns: i64,
        mut removed: impl FnMut(&str, Bound, u64),
    ) -> rusqlite::Result<bool> {
        let gone = remove(connection, self.table.expire, params![before_ns, CHUNK])?;
        let count: u64 = gone.values().map(|own| own.detections).sum();
        self.remove(gone, Bound::Age, &mut removed);
        Ok(count == CHUNK as u64)
    }

    fn remove(
        &mut self,
        gone: HashMap<String, Removed>,
        bound: Bound,
        removed: &mut impl FnMut(&str, Bound, u64),
    ) {
        for (tenant, Removed { detections, weight }) in gone {
            if let Some(own) = self.by_tenant.get_mut(&tenant) {
                *own = own.saturating_sub(weight);
            }
            self.total = self.total.saturating_sub(weight);
            removed(&tenant, bound, detections);
        }
    }
}

/// Deletes, and says what of whom: nothing unless it is on disk.
fn remove(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<HashMap<String, Removed>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params)?;
    let mut gone: HashMap<String, Removed> = HashMap::new();
    // The rows come before the transaction ends, which may fail: then they are all still there.
    while let Some(row) = rows.next()? {
        let weight: i64 = row.get(1)?;
        let own = gone.entry(row.get(0)?).or_default();
        own.detections += 1;
        own.weight += u64::try_from(weight).unwrap_or(0);
    }
    Ok(gone)
}
