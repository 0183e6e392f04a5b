// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//! Loading of kernel modules: the file it comes from, and the parameters.
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use exporter_common::{event_type::EventType, record::SectionKind};

use crate::{capture, context, files, record};

/// init_module (image, length, parameters), finit_module (descriptor, parameters, flags).
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_module(ctx: BtfTracePointContext) -> i32 {
    let Some(event) = context::begin_syscall(&ctx) else { return 0 };
    let parameters = if event.is(EventType::FinitModule) {
        let fd = event.arg(0);
        files::put_path_and_info(event.s, event.task, files::of_descriptor(event.task, fd), fd as u32);
        event.arg(1)
    } else {
        event.arg(2)
    };
    record::put_user_string(event.s, SectionKind::Text as u32, parameters);
    capture::put_wanted(&event);
    context::submit(event.s);
    0
}
