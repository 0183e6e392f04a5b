//! Whoever runs containers, asked for what they know: image, mounts, pod.
//!
//! - [`service`]: the thread that takes the [`Question`](crate::enrich::slots::Question)s and fills the slots;
//! - [`files`], [`oci`], [`state`]: what the runtimes leave in files, which needs no socket;
//! - [`kubernetes`]: what the API server knows of a pod;
//! - [`cri`], [`containerd`], [`docker`]: their sockets; [`grpc`] and [`socket`] are the way there.
//!
//! Every source is optional and behind one trait, [`Resolver`]. Nothing here is on the hot path, and nothing changes a
//! container: every request is one that reads. What a runtime says was chosen by whoever made the container: texts and
//! lists are bounded ([`bounds`]).

pub(crate) mod bounds;
mod containerd;
mod cri;
mod docker;
mod files;
pub mod grpc;
mod kubernetes;
mod oci;
mod service;
mod socket;
mod state;

use std::{future::Future, pin::Pin};

pub use service::{Options, questions, start};

use crate::enrich::container::Container;

/// What a resolver is asked.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// The whole id. Never `.`, `..` or empty, and without `/`.
    pub id: &'q str,
    /// What other sources said before.
    pub known: &'q Known,
}

/// What the sources asked so far know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub container: Container,
    /// The containerd namespace in which it was found.
    pub namespace: Option<String>,
}

/// A source could not be asked, or gave no sense.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing listens there; not worth a word.
    #[error("nobody listens")]
    Absent,
    #[error("it failed a moment ago; not asked again yet")]
    Resting,
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Answer(String),
}

pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Option<Known>, ResolveError>> + Send + 'a>>;

/// A source of what is known of containers.
pub trait Resolver: Send + Sync + std::fmt::Debug {
    /// The label of its metrics.
    fn name(&self) -> &'static str;

    /// Whether it may know a container that is this much known.
    fn may_know(&self, known: &Known) -> bool;

    /// Asks. `None`: it does not know this container.
    fn resolve<'a>(&'a self, query: Query<'a>) -> Answer<'a>;
}
