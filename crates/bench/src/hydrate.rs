//! A new Core takes a million definitions in: how long verification, store and settling take, each alone and
//! all together, while the Core serves one tenant that it had before.
//!
//! In one process and without a broker: what the broker and the network take comes on top. The definitions are
//! signed in trees as the courier signs them, and come in the order of their names and in a random one; what a
//! landscape has lies between the two. Needs some 3 GiB of memory for a million messages.

mod facts;
mod figure;
mod intakes;
mod shelf;
mod whole;

use std::path::PathBuf;

use anyhow::ensure;

use facts::{Facts, Order};
use figure::Table;

/// Intakes that the courier hands at once to a Core that is behind.
const GATHERED: usize = 64;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The Core alone, in this process and without a broker
    #[arg(long)]
    in_process: bool,
    /// How many services are defined: a thousand in each tenant
    #[arg(long, default_value_t = 1_000_000)]
    definitions: usize,
    /// The order in which the definitions come [default: both, one after the other]
    #[arg(long, value_enum)]
    order: Option<Order>,
    /// What is measured [default: both]
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// How often all is measured; the table shows medians
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Where the stores lie while they are measured [default: the system's directory for temporary files]
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// Parts of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// A whole Core in use
    Whole,
    /// Verification, store and settling, each alone
    Alone,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.in_process, "without a broker only: add --in-process");
    let orders = arguments.order.map_or(vec![Order::Names, Order::Random], |order| vec![order]);
    let mut table = Table::default();
    for _ in 0..arguments.runs.max(1) {
        for order in &orders {
            let facts = Facts::sign(*order, arguments.definitions)?;
            let directory = match &arguments.directory {
                Some(directory) => tempfile::tempdir_in(directory)?,
                None => tempfile::tempdir()?,
            };
            if arguments.only != Some(Part::Alone) {
                whole::measure(&facts, directory.path(), &mut table).await?;
            }
            if arguments.only == Some(Part::Whole) {
                continue;
            }
            let verified = intakes::verify(&facts, &mut table)?;
            for gathered in [1, GATHERED] {
                intakes::take_in((&facts, &verified), gathered, directory.path(), &mut table).await?;
            }
        }
    }
    table.print();
    Ok(())
}
