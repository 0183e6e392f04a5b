//! The `yagura` binary: arguments → configuration → what was asked for → exit code.

use std::process::ExitCode;

use clap::Parser;
use yagura::cli::Cli;

fn main() -> ExitCode {
    // Wrong usage ends here, with exit code 2.
    Cli::parse().execute().into()
}
