// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! The kernel programs of Yagura: they look, count and report, and never alter a task.
//!
//! Read [`dispatch`] first, then [`context`] (the header of a record), [`path`], and one file per hook family.
//! What the programs share with user space is in `exporter-common`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod capture;
mod cgroup;
mod context;
mod dispatch;
mod files;
mod filter;
mod maps;
mod memory;
mod modules;
mod names;
mod net;
mod offsets;
mod path;
mod plain;
mod process;
mod record;
mod socket;
mod uring;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses an endless loop: an object in which a panic can be reached does not load.
    loop {}
}

// The helpers that read kernel memory are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
