//! `actor NAME [key=value]…` performs one behaviour by raw system calls, so that exactly the call named is
//! the one made, and prints JSON lines of what it did: the truth that tests compare events with.
//!
//! The behaviour's call is the last of its type that the thread makes. Under any other name than
//! `actor` (the tests make symbolic links such as `nc`), arguments that name no behaviour do nothing.
//! It never harms the machine: mounts happen in a private mount namespace, signals go to its own
//! children, kernel modules are garbage.

mod call;
mod compat;
mod constants;
mod context;
mod descriptors;
mod exec;
mod files;
mod inet;
mod load;
mod params;
mod processes;
mod races;
mod sockets;
mod system;
mod truth;
mod unix;
mod uring;

use std::{ffi::OsString, os::unix::ffi::OsStringExt, process::ExitCode};

use params::Params;

/// What a behaviour is: it reads its parameters and prints its truth.
type Behaviour = fn(&Params);

/// Every family's behaviours by name.
const FAMILIES: &[&[(&str, Behaviour)]] = &[
    files::BEHAVIOURS,
    descriptors::BEHAVIOURS,
    sockets::BEHAVIOURS,
    inet::BEHAVIOURS,
    unix::BEHAVIOURS,
    processes::BEHAVIOURS,
    exec::BEHAVIOURS,
    system::BEHAVIOURS,
    compat::BEHAVIOURS,
    load::BEHAVIOURS,
    context::BEHAVIOURS,
    races::BEHAVIOURS,
    uring::BEHAVIOURS,
];

fn main() -> ExitCode {
    let mut args: Vec<Vec<u8>> = std::env::args_os().map(OsString::into_vec).collect();
    let called = args.remove(0);
    if perform(args) {
        return ExitCode::SUCCESS;
    }
    if called.ends_with(b"/actor") {
        eprintln!("actor: no such behaviour");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// Performs the behaviour that the first word names; false if there is none of that name.
pub fn perform(mut words: Vec<Vec<u8>>) -> bool {
    if words.is_empty() {
        return false;
    }
    let name = words.remove(0);
    let behaviour =
        FAMILIES.iter().flat_map(|family| family.iter()).find(|(known, _)| known.as_bytes() == name);
    match behaviour {
        Some((_, behaviour)) => {
            behaviour(&Params::new(words));
            true
        }
        None => false,
    }
}
