//! Carries what the hot thread learns about cgroups to the kernel, on a thread of its own: the hot thread makes no
//! system call for it.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use crate::{enrich::cgroup::Place, kernel::KernelPlaces};

/// Cgroups on their way. One that finds no room is not told: the kernel then reports its events, and user space
/// decides.
const WAITING: usize = 8192;

/// The way to the kernel.
#[derive(Debug)]
pub struct Places(SyncSender<(u64, Place)>);

impl Places {
    /// Starts the thread. It ends with the last sender.
    pub fn start(mut kernel: KernelPlaces) -> io::Result<Places> {
        let (sender, receiver) = sync_channel::<(u64, Place)>(WAITING);
        thread::Builder::new().name("yagura-cgroups".into()).spawn(move || {
            for (id, place) in receiver {
                if let Err(error) = kernel.set(id, place) {
                    tracing::debug!(id, %error, "cannot tell the kernel whose a cgroup is");
                }
            }
        })?;
        Ok(Places(sender))
    }

    /// Sends it on its way, if there is room.
    pub fn tell(&self, id: u64, place: Place) {
        let _ = self.0.try_send((id, place));
    }
}
