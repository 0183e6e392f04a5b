//! What no loaded rule can match never leaves the kernel: the filter that both sides run.
//!
//! User space reduces the loaded rules of an event type to at most 64 *clauses*: conjunctions of facts that the
//! kernel can tell cheaply, such that an event that fulfils no clause is matched by no rule. A clause is a bit.
//! For each fact of an event there is a mask of the clauses that allow it; the masks are joined by `and`, and
//! an event of which no bit is left is dropped. An event of which a fact is not known is allowed by all clauses.
//!
//! - [`Filter`]: the masks of an event type, for facts of which there are few ([`classes`]).
//! - Facts of which there are many (paths, task names, ports) are looked up by their hash in a table that the
//!   types share ([`keys`]). Two entries must agree, so a wrong hit is rare; it lets through an event that user
//!   space then decides about.
//! - [`paths`]: a path is compared component by component, as the kernel keeps it.
//!
//! Nothing here allocates, loops without bound or panics: the kernel's verifier must follow it.

pub mod classes;
pub mod keys;
pub mod paths;

use classes::{
    ADDRESSES, CONTAINERS, Container, KINDS, OPENS, PROTOCOLS, RAW_NAMES, RESULTS, RawName, result,
};
use keys::{KeyTable, hash_name, hash_port};

/// Clauses of one event type: the bits of a mask.
pub const MAX_CLAUSES: usize = 64;
/// Filters exist twice, so that one set is in force while the other is written.
pub const BANKS: u32 = 2;

/// Value of the map that is indexed by bank × [`crate::event_type::EVENT_TYPE_SLOTS`] + event type id.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// One bit for each clause.
    pub all: u64,
    pub results: [u64; RESULTS],
    pub opens: [u64; OPENS],
    pub containers: [u64; CONTAINERS],
    pub raw_names: [u64; RAW_NAMES],
    pub kinds: [u64; KINDS],
    pub protocols: [u64; PROTOCOLS],
    /// By class of the remote address.
    pub addresses: [u64; ADDRESSES],
    /// Clauses that allow every task name, remote port, path.
    pub any_name: u64,
    pub any_port: u64,
    pub any_path: u64,
    /// Which of a path's keys are in the table.
    pub path: PathKeys,
}

/// Which keys of a path clauses ask for; the others are not looked up.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathKeys {
    /// `KEY_*` bits.
    pub kinds: u32,
    /// Most components of a prefix.
    pub prefix_depth: u32,
    /// Most components of a suffix.
    pub suffix_depth: u32,
    /// Bit n: the first n bytes (1 to 8) of the component after a prefix.
    pub part_lengths: u32,
    /// Bit n: the last n bytes (1 to 8) of the last component.
    pub end_lengths: u32,
    pub reserved: u32,
}

/// [`PathKeys::kinds`]: whole paths.
pub const KEY_EXACT: u32 = 1 << 0;
/// [`PathKeys::kinds`]: the folder of the last component.
pub const KEY_DIRECTORY: u32 = 1 << 1;
/// [`PathKeys::kinds`]: a component anywhere.
pub const KEY_COMPONENT: u32 = 1 << 2;

impl Default for Filter {
    /// No clause: nothing passes.
    fn default() -> Filter {
        Filter {
            all: 0,
            results: [0; RESULTS],
            opens: [0; OPENS],
            containers: [0; CONTAINERS],
            raw_names: [0; RAW_NAMES],
            kinds: [0; KINDS],
            protocols: [0; PROTOCOLS],
            addresses: [0; ADDRESSES],
            any_name: 0,
            any_port: 0,
            any_path: 0,
            path: PathKeys::default(),
        }
    }
}

const _: () = assert!(
    size_of::<Filter>()
        == 8 * (4 + RESULTS + OPENS + CONTAINERS + RAW_NAMES + KINDS + PROTOCOLS + ADDRESSES) + 24
);

#[cfg(feature = "user")]
// SAFETY: repr(C), only integers of 8 bytes and an even number of 4 bytes, so no padding; every bit pattern is valid.
unsafe impl aya::Pod for Filter {}

impl Filter {
    /// Clauses that allow this result of the call.
    #[inline(always)]
    pub fn of_result(&self, ret: i64) -> u64 {
        self.results[result(ret) & (RESULTS - 1)]
    }

    /// Clauses that allow an open of this class ([`classes::open`]).
    #[inline(always)]
    pub fn of_open(&self, class: usize) -> u64 {
        self.opens[class & (OPENS - 1)]
    }

    /// Clauses that allow this kind of descriptor.
    #[inline(always)]
    pub fn of_kind(&self, class: usize) -> u64 {
        self.kinds[class & (KINDS - 1)]
    }

    /// Clauses that allow this transport protocol.
    #[inline(always)]
    pub fn of_protocol(&self, class: usize) -> u64 {
        self.protocols[class & (PROTOCOLS - 1)]
    }

    /// Clauses that allow this remote address.
    #[inline(always)]
    pub fn of_address(&self, class: usize) -> u64 {
        self.addresses[class & (ADDRESSES - 1)]
    }

    /// Clauses that allow a process that is, or may be, in a container.
    #[inline(always)]
    pub fn of_container(&self, container: Container) -> u64 {
        match container {
            Container::Host => self.containers[0],
            Container::Container => self.containers[1],
            Container::Unknown => self.containers[0] | self.containers[1],
        }
    }

    /// Is it worth finding out whether the process is in a container?
    #[inline(always)]
    pub fn asks_container(&self, clauses: u64) -> bool {
        clauses & self.containers[0] & self.containers[1] != clauses
    }

    /// Clauses that allow a path argument of this kind.
    #[inline(always)]
    pub fn of_raw_name(&self, name: RawName) -> u64 {
        match name {
            RawName::Plain => self.raw_names[0],
            RawName::Dots => self.raw_names[1],
            RawName::Unknown => self.raw_names[0] | self.raw_names[1],
        }
    }

    /// Is it worth looking at the path argument?
    #[inline(always)]
    pub fn asks_raw_name(&self, clauses: u64) -> bool {
        clauses & self.raw_names[0] & self.raw_names[1] != clauses
    }

    /// Clauses that allow a task name, as the kernel keeps it: 16 bytes, of which those after the first NUL do
    /// not count.
    #[inline(always)]
    pub fn of_name(&self, table: &impl KeyTable, event_type: u32, comm: [u64; 2]) -> u64 {
        if self.any_name == self.all {
            return self.all;
        }
        self.any_name | table.find(hash_name(event_type, comm))
    }

    /// Clauses that allow this remote port.
    #[inline(always)]
    pub fn of_port(&self, table: &impl KeyTable, event_type: u32, port: u16) -> u64 {
        if self.any_port == self.all {
            return self.all;
        }
        self.any_port | table.find(hash_port(event_type, port))
    }
}
