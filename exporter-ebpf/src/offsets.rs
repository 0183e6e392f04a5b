// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! The kernel facts as `.rodata` globals, and the settings; the loader fills them in before it freezes the map.
use exporter_common::offsets::ABSENT;

macro_rules! globals {
    (offsets { $($off:ident = $path:literal;)* } sizes { $($size:ident = $ty:literal;)* } values { $($val:ident = $en:literal;)* }) => {
        $(#[unsafe(no_mangle)] pub static $off: u32 = ABSENT;)*
        $(#[unsafe(no_mangle)] pub static $size: u32 = ABSENT;)*
        $(#[unsafe(no_mangle)] pub static $val: u32 = ABSENT;)*
    };
}
exporter_common::kernel_facts!(globals);

/// See `exporter_common::object::SELF_TGID`.
#[unsafe(no_mangle)]
pub static SELF_TGID: u32 = 0;
/// See `exporter_common::object::HOST_MNT_NS`. The loader sets it, to `ABSENT` if it is not known.
#[unsafe(no_mangle)]
pub static HOST_MNT_NS: u32 = ABSENT;
/// See `exporter_common::object::RING_WAKE_BYTES`.
#[unsafe(no_mangle)]
pub static RING_WAKE_BYTES: u32 = 1 << 20;

/// Reads a global, as if it could have any value.
#[inline(always)]
pub fn value_of(global: &'static u32) -> usize {
    // SAFETY: a reference is valid.
    unsafe { core::ptr::read_volatile(global) as usize }
}

/// Value of a global. Volatile: the compiler must not use the value it sees here.
macro_rules! fact {
    ($name:ident) => {
        $crate::offsets::value_of(&$crate::offsets::$name)
    };
}

/// Whether the running kernel has this fact. A constant for the verifier.
macro_rules! has {
    ($name:ident) => {
        fact!($name) != exporter_common::offsets::ABSENT as usize
    };
}

/// Loads a member through a pointer whose type the verifier knows (BTF). Faster than a helper; a bad address
/// reads as zero. Zero too if the kernel has no such member.
macro_rules! load {
    ($t:ty, $base:expr, $name:ident) => {
        load!($t, $base, $name, 0)
    };
    ($t:ty, $base:expr, $name:ident, $extra:expr) => {{
        let base = $base;
        if has!($name) { $crate::memory::load::<$t>(base, fact!($name) + $extra) } else { <$t>::default() }
    }};
}

/// Loads a pointer member through a pointer whose type the verifier knows; the result has a known type too.
/// Null if the kernel has no such member: what comes after the test for null is then never reached.
macro_rules! load_ptr {
    ($base:expr, $name:ident) => {
        load_ptr!($base, $name, 0)
    };
    ($base:expr, $name:ident, $extra:expr) => {{
        let base = $base;
        if has!($name) {
            $crate::memory::load::<$crate::memory::Ptr>(base, fact!($name) + $extra)
        } else {
            core::ptr::null()
        }
    }};
}

/// Reads a member of a kernel object at an address that is a plain number to the verifier. Zero on a fault.
macro_rules! probe {
    ($t:ty, $address:expr, $name:ident) => {{
        let address: u64 = $address;
        if has!($name) { $crate::memory::probe::<$t>(address + fact!($name) as u64) } else { <$t>::default() }
    }};
}

/// Member of a kernel object of which the first bytes are in `$chunk`; read from `$address` if it lies beyond.
macro_rules! member {
    ($t:ty, $chunk:expr, $address:expr, $name:ident) => {{
        let chunk = $chunk;
        if has!($name) {
            $crate::memory::member::<$t, _>(chunk, $address, fact!($name))
        } else {
            <$t>::default()
        }
    }};
}

pub(crate) use {fact, has, load, load_ptr, member, probe};
