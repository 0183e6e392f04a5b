//! The daemon: the one module that knows all others.

mod health;

pub use health::Health;
