//! What the kernel side and the user side of Yagura agree on, and nothing else.
//!
//! - [`event_type`]: the closed set of event types and the system calls that make them;
//! - [`record`]: the layout of one record in the ring buffer;
//! - [`object`]: the names of programs, maps and settings in the kernel object;
//! - [`offsets`]: the kernel facts that the loader reads from BTF for the programs;
//! - [`counters`]: what each hop in the kernel counts, and the closed set of loss reasons;
//! - [`filter`]: which events no loaded rule can match, decided by the same code on both sides;
//! - [`wants`]: what the loaded rules make the kernel collect for an event type.
//!
//! The crate is `no_std`, allocates nothing and does no I/O. Every struct that crosses the boundary is
//! `repr(C)` with explicit padding and a size assert, so that a change is a compile error on both sides.
#![cfg_attr(not(test), no_std)]

pub mod counters;
pub mod event_type;
pub mod filter;
pub mod object;
pub mod offsets;
pub mod record;
pub mod wants;
