//! `openkcm-sim`: runs many histories, or tells one.
//!
//! Nothing is decided here; see the library.
#![allow(clippy::print_stdout, reason = "a command talks to the person who typed it")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use openkcm_simulator::{Coverage, History, Options, run};

/// Lines of a failing history that are shown.
const LAST_LINES: usize = 40;

#[derive(Parser)]
#[command(name = "openkcm-sim", about = "OpenKCM's landscape under a seeded scheduler")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run many histories; the first that breaks a promise is told
    Run {
        /// How many
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Steps of each before faults stop
        #[arg(long, default_value_t = 400)]
        steps: u32,
    },
    /// Tell one history from its beginning
    Replay {
        /// Its seed
        seed: u64,
        /// Its steps before faults stop
        #[arg(long, default_value_t = 400)]
        steps: u32,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { seeds, from, steps } => run_many(from, seeds, steps),
        Command::Replay { seed, steps } => replay(seed, steps),
    }
}

fn run_many(from: u64, seeds: u64, steps: u32) -> ExitCode {
    let mut coverage = Coverage::default();
    for seed in from..from.saturating_add(seeds) {
        let history = run(seed, Options { steps, bug: None });
        coverage.merge(&history.coverage);
        if history.violation.is_some() {
            tell_failure(&history, steps);
            return ExitCode::FAILURE;
        }
    }
    print!("{coverage}");
    let missing = coverage.missing();
    missing.iter().for_each(|what| println!("never reached: {}", what.text()));
    println!("{seeds} histories of {steps} steps kept every promise");
    if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, steps: u32) -> ExitCode {
    let history = run(seed, Options { steps, bug: None });
    history.story.iter().enumerate().for_each(|(number, line)| println!("{number:>5}  {line}"));
    if history.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn tell_failure(history: &History, steps: u32) {
    let first = history.story.len().saturating_sub(LAST_LINES);
    history.story[first..].iter().for_each(|line| println!("  {line}"));
    println!("seed {}: openkcm-sim replay {} --steps {steps}", history.seed, history.seed);
}
