//! How long a tenant is served after its Unlink was committed, at most, whatever fails: the promise that the deadman
//! switch keeps, over real processes and a real broker.
//!
//! Each fault has a landscape of its own, whose leases are short. One task encrypts and decrypts without a pause; the
//! longest time is that from the Unlink's answer to the last answer of the data plane that was no refusal.

mod faults;
mod stage;

use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use faults::{FAULTS, Fault};
use stage::Stage;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long leases hold, in seconds
    #[arg(long, default_value_t = 10)]
    ttl: u64,
    /// Only faults whose name holds this
    #[arg(long)]
    only: Option<String>,
}

pub(crate) async fn run(program: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    println!(
        "leases hold {} s; the longest that a request succeeded after the Unlink was committed:",
        arguments.ttl
    );
    let ttl = Duration::from_secs(arguments.ttl);
    let mut broken = 0;
    for Fault { name, bound, run } in FAULTS {
        if arguments.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let directory = tempfile::tempdir()?;
        let stage = Stage::set(program, &directory.path().join("landscape"), arguments.ttl).await?;
        let served = run(stage, ttl).await?;
        let most = bound.unwrap_or(ttl);
        let verdict = if served.longest <= most { "" } else { "   LONGER THAN PROMISED" };
        broken += usize::from(served.longest > most);
        println!(
            "{name:<60} {:>9.3} s of {:>4.1} s   then {}{verdict}",
            served.longest.as_secs_f64(),
            most.as_secs_f64(),
            served.refusal
        );
    }
    if broken > 0 {
        bail!("{broken} faults had a tenant served for longer than is promised");
    }
    Ok(())
}
