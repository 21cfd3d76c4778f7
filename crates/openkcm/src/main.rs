//! The `openkcm` binary: parse everything, run one command, tell how it went.
//!
//! Nothing is decided here. Each command is a module of `cli`, the landscape in one process is `dev`.

mod cli;
mod dev;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::report(&error),
    }
}
