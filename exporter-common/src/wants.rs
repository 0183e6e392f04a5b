//! What the loaded rules make the kernel collect for an event type, beyond what every event carries.
//!
//! A bit that is off costs nothing in the kernel. `exec` always collects arguments, executable and
//! cgroup, because the process table lives on them.

/// Value of the map that is indexed by event type id. All zero: the type is off.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeConfig {
    /// `WANT_*` bits.
    pub wants: u32,
    /// Upper bound of a `DATA` section in bytes (`evt.buffer`), at most [`crate::record::MAX_DATA`].
    pub max_data: u32,
    /// Which bank of filters applies, from 1; 0: none, every event is reported.
    pub bank: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<TypeConfig>() == 16);

#[cfg(feature = "user")]
// SAFETY: repr(C), only u32 fields, so no padding and every bit pattern is valid.
unsafe impl aya::Pod for TypeConfig {}

/// Report events of this type at all.
pub const WANT_EVENT: u32 = 1 << 0;
/// Current working directory (`CWD`).
pub const WANT_CWD: u32 = 1 << 1;
/// Environment of an exec (`ENVP`).
pub const WANT_ENV: u32 = 1 << 2;
/// Ancestors beyond the parent (`ANCESTORS`).
pub const WANT_ANCESTORS: u32 = 1 << 3;
/// First bytes of the buffer of a send or receive (`DATA`).
pub const WANT_DATA: u32 = 1 << 4;
/// Path of the executable of the calling process (`EXE`) on events other than exec.
pub const WANT_EXE: u32 = 1 << 5;
/// fork/vfork/clone/clone3: report new threads too, not only new processes.
pub const WANT_THREADS: u32 = 1 << 6;
