//! The pages that the kernel shares with the reader of a ring buffer map: the only raw memory in Yagura.
//!
//! Layout (`kernel/bpf/ringbuf.c`): a page with the consumer's position, which the reader writes; then,
//! read-only to us, a page with the producer's position and the data. The kernel offers the data twice in a
//! row so that no record looks split; mapping it once halves the resident memory that is charged to the
//! daemon, so a record across the end is put together in a buffer by [`super::ring`].

#![expect(unsafe_code, reason = "maps the ring buffer and reads what the kernel wrote into it")]

use std::{
    io,
    os::fd::BorrowedFd,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes before each record: `u32 len | flags`, `u32 page offset`.
pub(super) const RECORD_HEADER: u64 = 8;

#[derive(Debug)]
pub(super) struct RingPages {
    consumer: NonNull<u8>,
    producer: NonNull<u8>,
    page: usize,
    capacity: usize,
}

// SAFETY: the mappings live until drop, positions are accessed as atomics only, and data bytes between the
// positions do not change until the single `Ring` that may move the consumer's position has moved it.
unsafe impl Send for RingPages {}
// SAFETY: as above; shared access only loads positions.
unsafe impl Sync for RingPages {}

impl RingPages {
    /// Maps the ring buffer behind `fd`. `capacity` is the map's `max_entries`.
    pub(super) fn map(fd: BorrowedFd<'_>, capacity: usize) -> io::Result<RingPages> {
        let page = rustix::param::page_size();
        if !capacity.is_power_of_two() || !capacity.is_multiple_of(page) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "ring size is no power of two of pages"));
        }
        let map = |len, protection, offset: usize| {
            // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
            let start =
                unsafe { mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, fd, offset as u64) }?;
            NonNull::new(start.cast::<u8>()).ok_or_else(|| io::Error::other("mmap returned null"))
        };
        let consumer = map(page, ProtFlags::READ | ProtFlags::WRITE, 0)?;
        match map(page + capacity, ProtFlags::READ, page) {
            Ok(producer) => Ok(RingPages { consumer, producer, page, capacity }),
            Err(error) => {
                // SAFETY: mapped above with this length, and nothing refers to it.
                let _ = unsafe { munmap(consumer.as_ptr().cast(), page) };
                Err(error)
            }
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// Where the reader is. Positions only grow; the place in the data is the position modulo the capacity.
    pub(super) fn consumer_position(&self) -> u64 {
        self.position(self.consumer).load(Ordering::Acquire)
    }

    /// Where the kernel will write next.
    pub(super) fn producer_position(&self) -> u64 {
        self.position(self.producer).load(Ordering::Acquire)
    }

    /// Bytes that are written and not yet consumed.
    pub(super) fn fill(&self) -> u64 {
        // Consumer first: the producer's position can only have grown since, so this does not underflow.
        let consumer = self.consumer_position();
        self.producer_position().wrapping_sub(consumer).min(self.capacity())
    }

    /// Gives the space before `position` back to the kernel.
    pub(super) fn publish(&self, position: u64) {
        // Release: the kernel pairs this with an acquire load before it reuses the space.
        self.position(self.consumer).store(position, Ordering::Release);
    }

    /// The length and flags word of the record at `position`, which must be a multiple of 8.
    pub(super) fn record_header(&self, position: u64) -> u32 {
        let offset = self.offset(position) & !7;
        // SAFETY: offset is below the capacity and a multiple of 8, so the word is inside the mapping and
        // aligned. The kernel commits a record with an atomic exchange of this word.
        let word = unsafe { &*self.producer.as_ptr().add(self.page + offset).cast::<AtomicU32>() };
        word.load(Ordering::Acquire)
    }

    /// The bytes from `position` on: `len` of them in up to two pieces, the second from the data's start.
    /// Longer than the capacity gives the capacity.
    pub(super) fn bytes(&self, position: u64, len: usize) -> (&[u8], &[u8]) {
        let len = len.min(self.capacity);
        let offset = self.offset(position);
        let first = len.min(self.capacity - offset);
        // SAFETY: offset + first <= capacity and len - first <= capacity, so both are inside the mapping. The
        // bytes of a committed record do not change before `publish` moves past it, which the caller does
        // only after the borrow ends.
        unsafe {
            let data = self.producer.as_ptr().add(self.page);
            (
                std::slice::from_raw_parts(data.add(offset), first),
                std::slice::from_raw_parts(data, len - first),
            )
        }
    }

    fn offset(&self, position: u64) -> usize {
        (position as usize) & (self.capacity - 1)
    }

    fn position(&self, page: NonNull<u8>) -> &AtomicU64 {
        // SAFETY: both pages begin with an `unsigned long`, stay mapped as long as self, and are page-aligned.
        unsafe { page.cast::<AtomicU64>().as_ref() }
    }
}

impl Drop for RingPages {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with these lengths; borrows of the data cannot outlive self.
        unsafe {
            let _ = munmap(self.consumer.as_ptr().cast(), self.page);
            let _ = munmap(self.producer.as_ptr().cast(), self.page + self.capacity);
        }
    }
}
