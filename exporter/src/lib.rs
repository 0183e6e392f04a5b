//! Yagura, a notify-only runtime-security detector: the daemon's library.
//!
//! Data flows one way, and imports follow it:
//! `kernel → decode → event → enrich → fields → rules → detection → sinks`; `app` alone knows everybody.
//! `docs/architecture.md` has the picture and the invariants.

#![deny(unsafe_code)]

pub mod decode;
pub mod embedded;
pub mod event;
pub mod fields;
pub mod kernel;
