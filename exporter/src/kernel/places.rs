//! Tells the kernel side whose a cgroup is, so that it can filter by host or container.

use std::fmt;

use aya::maps::{HashMap, MapData, MapError};
use exporter_common::filter::classes::{CGROUP_CONTAINER, CGROUP_HOST};

use crate::enrich::cgroup::Place;

/// Where the kernel side looks it up. It keeps the ones that are used; one that it does not know passes.
pub struct KernelPlaces(HashMap<MapData, u64, u32>);

impl fmt::Debug for KernelPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KernelPlaces")
    }
}

impl KernelPlaces {
    pub(super) fn new(map: HashMap<MapData, u64, u32>) -> KernelPlaces {
        KernelPlaces(map)
    }

    /// Says whose the cgroup with this id is.
    pub fn set(&mut self, id: u64, place: Place) -> Result<(), MapError> {
        let value = match place {
            Place::Host => CGROUP_HOST,
            Place::Container => CGROUP_CONTAINER,
        };
        self.0.insert(id, value, 0)
    }
}
