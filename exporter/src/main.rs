//! The `yagura` binary.

fn main() {}
