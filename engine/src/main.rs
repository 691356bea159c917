//! `engine`: the command line of the crate. Everything that needs a device happens in a worker process.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
