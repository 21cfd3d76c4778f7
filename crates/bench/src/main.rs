//! Measurements against real processes: `cargo run --release -p openkcm-bench -- usable`.
//!
//! Not tests: they print figures, which go to `docs/benchmarks/` with the machine and the date. What must
//! hold is asserted all the same: a run in which something was lost fails.

#![allow(clippy::print_stdout, reason = "printing figures is what it is for")]

mod across;
mod chaos;
mod file;
mod hydrate;
mod kill;
mod landscape;
mod lease;
mod manifests;
mod mesh;
mod statistics;
mod tier3;
mod unlink;
mod usable;

use clap::{Parser, Subcommand};

/// Measures a landscape of its own, made of the release binary.
#[derive(Debug, Parser)]
struct Arguments {
    /// The openkcm program [default: beside this one]
    #[arg(long, global = true)]
    program: Option<std::path::PathBuf>,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// From the definition of a service to its first encryption
    Usable(usable::Arguments),
    /// kill -9 in the middle of concurrent definitions
    Kill(kill::Arguments),
    /// A large file through the CLI, on a real OpenBao; then unlink, and link again
    File(file::Arguments),
    /// From the commit of an Unlink to the refusal in every region
    Unlink(unlink::Arguments),
    /// A landscape across processes over NATS: Unlink to refusal, also beside a million definitions; hydration
    Across(across::Arguments),
    /// The mesh alone, on a real NATS server: how fast it takes and gives facts, how soon a revoke arrives
    Mesh(mesh::Arguments),
    /// The broker, or every component, killed a hundred times under load; nothing is lost
    Chaos(chaos::Arguments),
    /// How long a tenant is served after its Unlink, at most, whatever fails: one line for each fault
    Lease(lease::Arguments),
    /// A new Core takes in a million definitions, while it serves what it has
    Hydrate(hydrate::Arguments),
    /// A region is lost with its disk, and failed over to one that held nothing: how soon its tenants are served there
    Tier3(tier3::Arguments),
    /// Ten million definitions: a manifest, and ten differences found and healed
    Manifests(manifests::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.scenario {
        Scenario::Mesh(arguments) => return mesh::run(arguments).await,
        Scenario::Hydrate(arguments) => return hydrate::run(arguments).await,
        Scenario::Manifests(arguments) => return manifests::run(arguments).await,
        _ => {}
    }
    let program = landscape::program(arguments.program)?;
    match arguments.scenario {
        Scenario::Mesh(_) | Scenario::Hydrate(_) | Scenario::Manifests(_) => {
            unreachable!("needs no program, so it was done above")
        }
        Scenario::Chaos(arguments) => chaos::run(&program, &arguments).await,
        Scenario::Lease(arguments) => lease::run(&program, &arguments).await,
        Scenario::Tier3(arguments) => tier3::run(&program, &arguments).await,
        Scenario::Across(arguments) => across::run(&program, &arguments).await,
        Scenario::Usable(arguments) => usable::run(&program, &arguments).await,
        Scenario::Kill(arguments) => kill::run(&program, &arguments).await,
        Scenario::File(arguments) => file::run(&program, &arguments).await,
        Scenario::Unlink(arguments) => unlink::run(&program, &arguments).await,
    }
}
