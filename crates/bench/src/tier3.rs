//! A region is lost with its disk, and its tenants go to another one that held nothing of them: how soon after the
//! failover's commit the first is served there, and all; and whether any ciphertext of the lost region does not open.
//!
//! Real processes and a real broker. Each tenant has a `local` root of its own, which answers at once; what a provider
//! allows is a limit of the Core's own configuration.

mod fill;
mod served;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openkcm_client::{Client, Patience};
use openkcm_contracts::RegionId;
use openkcm_harness::{Distributed, until};

use crate::landscape::{self, elapsed};
use crate::statistics::Sample;

/// The region that is lost, and its Core.
const LOST: &str = "a";
const LOST_CORE: &str = "krypton-a";

/// The region that takes its place.
const SURVIVOR: &str = "b";
const SURVIVING_CORE: &str = "krypton-b";

/// Within this after the failover's commit the first tenant is to be served.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// Within this after the failover's commit all tenants are to be served.
const ALL_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many tenants the lost region has
    #[arg(long, default_value_t = 10_000)]
    tenants: usize,
    /// How many services they have in all; each is used once before the region is lost
    #[arg(long, default_value_t = 100_000)]
    services: usize,
    /// What the survivor may ask of the provider in a second [default: what `init` writes, 500]
    #[arg(long)]
    unwraps_per_second: Option<u32>,
    /// How often in a second it is looked whether a tenant is served, in all
    #[arg(long, default_value_t = 1_000)]
    looks_per_second: u32,
}

pub(crate) async fn run(program: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut running = Distributed::init(program, &directory.path().join("landscape"), &[LOST, SURVIVOR]);
    if let Some(limit) = arguments.unwraps_per_second {
        set_pace(&running.configuration(SURVIVING_CORE), limit)?;
    }
    running.start_all().await;
    let client = landscape::client(&running.landscape_file())?;
    let (lost, survivor) = (RegionId::new(LOST)?, RegionId::new(SURVIVOR)?);
    let begun = elapsed();
    let keys = fill::fill(&client, &lost, arguments.tenants, arguments.services).await?;
    println!(
        "{} tenants with {} services are used in region {LOST} after {:.0} s",
        keys.len(),
        keys.iter().map(Vec::len).sum::<usize>(),
        (elapsed() - begun).as_secs_f64()
    );
    told(&client).await;
    running.kill(LOST_CORE);
    std::fs::remove_dir_all(running.directory().join("data").join(LOST_CORE)).context("its disk is lost")?;

    let said = elapsed();
    client.registry().failover(&lost, &survivor, None).await.context("the failover is taken")?;
    let committed = elapsed();
    let impatient = client.with_patience(Patience::NONE);
    let served = served::until_all(&impatient, &survivor, &keys, arguments.looks_per_second).await?;
    let after: Vec<Duration> = served.iter().map(|at| at.saturating_sub(committed)).collect();
    let sample = Sample::new(after);
    println!("the failover was committed {:.1} ms after it was said", (committed - said).as_secs_f64() * 1e3);
    println!("{}", sample.line("committed to served, by tenant"));
    let (first, last) = (sample.percentile(0.0), sample.percentile(1.0));
    println!(
        "first tenant served after {:.3} s (at most {:.0} s)",
        first.as_secs_f64(),
        FIRST_WITHIN.as_secs_f64()
    );
    println!(
        "all tenants served after {:.1} s (at most {:.0} s)",
        last.as_secs_f64(),
        ALL_WITHIN.as_secs_f64()
    );
    moved(&client, &lost).await?;
    let (opened, all) = served::open_all(&client, &survivor, &keys).await?;
    println!("{opened} of {all} ciphertexts of the lost region are open in the survivor");
    ensure!(opened == all, "{} ciphertexts are unreadable", all - opened);
    ensure!(first <= FIRST_WITHIN, "the first tenant was served too late");
    ensure!(last <= ALL_WITHIN, "the last tenant was served too late");
    Ok(())
}

/// Has a Core ask so often in a second at most, from its next start on.
fn set_pace(configuration: &Path, limit: u32) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(configuration)?;
    let is_pace = |line: &&str| line.starts_with("unwraps_per_second");
    let line = text.lines().find(is_pace).context("init writes how often a Core asks")?;
    std::fs::write(configuration, text.replace(line, &format!("unwraps_per_second = {limit}")))?;
    Ok(())
}

/// Waits until the mesh has all that the region has made: what it has not told yet is at risk, and no failover's fault.
async fn told(client: &Client) {
    until("nothing of the region waits to be told", || async {
        let status = fill::status(client, &RegionId::new(LOST).ok()?).await?;
        (status["mesh"]["outbox"]["letters"] == 0 && status["versions_at_risk"] == 0).then_some(())
    })
    .await;
}

/// What the Registry says of the failover afterwards.
async fn moved(client: &Client, lost: &RegionId) -> anyhow::Result<()> {
    let failover = client.registry().failover_of(lost).await?.value;
    println!(
        "the Registry: {}, {} of {} tenants moved, from {} to {}",
        failover["state"],
        failover["moved"],
        failover["tenants"],
        failover["committed_at"],
        failover["finished_at"]
    );
    Ok(())
}
