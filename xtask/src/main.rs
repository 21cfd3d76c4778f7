//! Tasks of this repository, run as `cargo xtask …`: tests with what they need, the style rules, the dependency policy.
//!
//! Not for anything that a user of OpenKCM runs, and not for steps that plain `cargo` does as well. A task leaves the
//! work tree as it was: everything it makes lies below the target directory.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the person who typed it")]

mod bench;
mod deny;
mod process;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::tools::Tool;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Tasks of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need, then run the doc tests and every test of the workspace
    Test {
        /// Use the tools that are there already; tests that need a missing one will say so
        #[arg(long)]
        no_install: bool,
        /// Only tests whose name contains one of these; skips the doc tests
        filter: Vec<String>,
    },
    /// Install test tools below target/tools; without names, all of them
    Tools {
        #[arg(value_enum)]
        names: Vec<Tool>,
    },
    /// Build the release binaries and measure: usable, kill, file, unlink, mesh, across, hydrate, manifests, chaos, lease (`cargo xtask bench help`)
    Bench {
        /// The scenario and its options
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check the style rules that no compiler knows
    Tidy,
    /// Check licences, banned crates and sources of every dependency (deny.toml)
    Deny,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Test { no_install, filter } => test::run(&workspace, no_install, &filter),
        Task::Tools { names } => tools::install_and_tell(&workspace, &names),
        Task::Bench { arguments } => bench::run_scenario(&workspace, &arguments),
        Task::Tidy => tidy::run(&workspace),
        Task::Deny => deny::run(&workspace),
    }
}
