//! Giving freed memory back to the system.

#![expect(unsafe_code, reason = "malloc_trim is a function of the C library")]

/// Returns the pages of the heap that nothing uses. Loading the kernel side parses megabytes of type
/// information, and building a rule set allocates as much: without this the allocator keeps what both
/// freed, for good.
pub fn release_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions and takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
