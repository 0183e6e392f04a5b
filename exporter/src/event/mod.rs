//! Events: what a record says, typed and borrowed from its bytes.
//!
//! No I/O, no async; nothing here knows rules or processes.

pub mod args;
