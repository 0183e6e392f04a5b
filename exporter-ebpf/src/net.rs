// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! The socket calls.
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use exporter_common::{
    event_type::EventType,
    record::{MAX_DATA, MAX_SOCKADDR, SOCKET_SERVER, SectionKind},
    wants::WANT_DATA,
};

use crate::{
    capture,
    context::{self, Event},
    files,
    filter::Pending,
    memory::probe_user,
    record, socket,
};

/// socket, connect, accept, accept4, bind, listen.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_socket(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_unfiltered(&ctx) else { return 0 };
    let accepts = event.is(EventType::Accept) || event.is(EventType::Accept4);
    let creates = event.is(EventType::Socket);
    // The new socket, if there is one; of an accept that failed the one that listens.
    let new = (accepts || creates) && event.ret >= 0;
    let fd = if new { event.ret as u64 } else { event.arg(0) };
    let known = new || !creates;
    if !describe_with_socket(&event, known, fd, if accepts { SOCKET_SERVER } else { 0 }) {
        return 0;
    }
    if event.is(EventType::Connect) || event.is(EventType::Bind) {
        put_sockaddr(&event, event.arg(1), event.arg(2));
    } else if accepts && event.ret >= 0 {
        put_returned_sockaddr(&event, event.arg(1), event.arg(2));
    }
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

/// sendto (fd, buffer, length, flags, address, address length), recvfrom (…, address, pointer to its length).
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_sendto(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_unfiltered(&ctx) else { return 0 };
    if !describe_with_socket(&event, true, event.arg(0), 0) {
        return 0;
    }
    let sends = event.is(EventType::Sendto);
    if sends {
        put_sockaddr(&event, event.arg(4), event.arg(5));
    } else if event.ret >= 0 {
        put_returned_sockaddr(&event, event.arg(4), event.arg(5));
    }
    put_data(&event, sends, event.arg(1), event.arg(2));
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

/// sendmsg, recvmsg (fd, `struct msghdr`, flags): of the buffers the first.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_sendmsg(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_unfiltered(&ctx) else { return 0 };
    if !describe_with_socket(&event, true, event.arg(0), 0) {
        return 0;
    }
    let sends = event.is(EventType::Sendmsg);
    // SAFETY: `s` is this CPU's scratch memory.
    let compat = unsafe { (*event.s).compat } != 0;
    // name, name length, iov, number of iovs
    let message = if compat {
        probe_user::<[u32; 4]>(event.arg(1))
            .map(|m| [u64::from(m[0]), u64::from(m[1]), u64::from(m[2]), u64::from(m[3])])
    } else {
        probe_user::<[u64; 4]>(event.arg(1))
    };
    match message {
        Some([name, name_len, iov, iovs]) => {
            if sends || event.ret >= 0 {
                put_sockaddr(&event, name, name_len);
            }
            if event.wants(WANT_DATA) && iovs != 0 {
                put_first_buffer(&event, sends, compat, iov);
            }
        }
        None => record::fault(event.s),
    }
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}

#[inline(always)]
fn put_first_buffer(event: &Event, sends: bool, compat: bool, iov: u64) {
    let first = if compat {
        probe_user::<[u32; 2]>(iov).map(|v| [u64::from(v[0]), u64::from(v[1])])
    } else {
        probe_user::<[u64; 2]>(iov)
    };
    match first {
        Some([base, len]) => put_data(event, sends, base, len),
        None => record::fault(event.s),
    }
}

/// Appends the socket behind the descriptor, if it is `known`, and describes the event; false if no rule can
/// match it.
#[inline(always)]
fn describe_with_socket(event: &Event, known: bool, fd: u64, flags: u16) -> bool {
    let mut pending = Pending::of(event);
    pending.place(event);
    if pending.drops(event) {
        return false;
    }
    let file = if known { files::of_descriptor(event.task, fd) } else { 0 };
    if socket::put_if_socket(event.s, file, fd as u32, u32::from(flags)) {
        pending.socket(event);
    }
    if pending.drops(event) {
        return false;
    }
    event.describe();
    true
}

/// Appends an address that the caller passed.
#[inline(always)]
fn put_sockaddr(event: &Event, address: u64, len: u64) {
    let len = len & 0xffff_ffff;
    if address != 0 && len != 0 && len <= MAX_SOCKADDR as u64 {
        record::put_user(event.s, SectionKind::Sockaddr as u32, address, len, MAX_SOCKADDR as u64);
    }
}

/// Appends an address that the kernel wrote, if the caller asked for it.
#[inline(always)]
fn put_returned_sockaddr(event: &Event, address: u64, len_address: u64) {
    if address != 0 && len_address != 0 {
        match probe_user::<u32>(len_address) {
            Some(len) => put_sockaddr(event, address, u64::from(len)),
            None => record::fault(event.s),
        }
    }
}

/// Appends the first bytes that were sent or received. Of a send that failed, what was to be sent.
#[inline(always)]
fn put_data(event: &Event, sends: bool, buffer: u64, size: u64) {
    if !event.wants(WANT_DATA) {
        return;
    }
    let mut len = size;
    if event.ret >= 0 && len > event.ret as u64 {
        len = event.ret as u64;
    }
    if len == 0 || (event.ret < 0 && !sends) {
        return;
    }
    let mut max = u64::from(event.max_data);
    if max > MAX_DATA as u64 {
        max = MAX_DATA as u64;
    }
    record::put_user(event.s, SectionKind::Data as u32, buffer, len, max);
}
