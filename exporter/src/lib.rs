//! Yagura, a notify-only runtime-security detector: the daemon's library.
//!
//! Data flows one way, and imports follow it:
//! `kernel → decode → event → enrich → fields → rules → detection → sinks`, and for Kubernetes audit events
//! `web → audit → fields → …`; `app` alone knows everybody.
//! `docs/architecture.md` has the picture and the invariants.

#![deny(unsafe_code)]

pub mod app;
pub mod audit;
pub mod backoff;
pub mod cases;
pub mod cli;
pub mod config;
pub mod containers;
pub mod decode;
pub mod delivery;
pub mod detection;
pub mod embedded;
pub mod enrich;
pub mod event;
pub mod fields;
pub mod glob;
pub mod journal;
pub mod kernel;
pub mod kubernetes;
pub mod metrics;
pub mod recording;
pub mod rules;
pub mod secret;
pub mod sinks;
pub mod spans;
pub mod suggest;
pub mod tenants;
pub mod web;
