//! The `openkcm` binary: parse everything, run one command, tell how it went.
//!
//! Nothing is decided here. Each command is a module of `cli`, the landscape in one process is `dev`.

mod backup;
mod cli;
mod component;
mod dev;
mod drill;
mod files;
mod init;
mod process;
mod run;
mod shell;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

/// Facts are read, settled and dropped by the thousand, which glibc's allocator answers by tidying its arenas each
/// time. Keys are not its business: they lie in locked memory of their own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    // The first and only one to do it; it fails only for the second.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let hardened = openkcm_host::harden().context("the process can't be kept out of core dumps");
    match hardened.and_then(|_| cli::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::report(&error),
    }
}
