//! Faults under load, on real processes: the broker is killed a hundred times, or every component is, at random
//! moments, while concurrent clients change things and use keys.
//!
//! At the end every acknowledged change has to be in every component exactly in its final state, with nothing applied
//! twice, no key made twice, and every ciphertext openable. A run that finds anything else fails and says what.
//!
//! Who does what: [`authors`] change things and keep the [`ledger`] of what was acknowledged; [`callers`] encrypt and
//! decrypt, and check each answer; [`marks`] measures how soon a change arrives; [`faults`] kills; [`verdict`] compares
//! at the end. What is drawn comes from a seed; when it happens is the machine's business, so a seed repeats the
//! choices and not the moments.

mod authors;
mod callers;
mod dice;
mod faults;
mod ledger;
mod marks;
mod verdict;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;
use openkcm_client::Patience;
use openkcm_harness::Distributed;
use openkcm_host::{OsEntropy, random_array};
use tokio::task::JoinSet;

use crate::landscape::{self, elapsed};
use crate::statistics::Sample;

use dice::Dice;
use faults::{Killed, What};
use ledger::Ledger;

/// The regions of the landscape.
const REGIONS: [&str; 2] = ["a", "b"];

/// Those who use keys, beside the authors.
const CALLERS: usize = 6;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What is killed
    #[arg(long, value_enum, default_value_t = What::Broker)]
    what: What,
    /// How often
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// From a start to the next kill, at most: by default some connections are not made again before it
    #[arg(long, default_value_t = 3_000)]
    life_ms: u64,
    /// From a kill to the start, at most
    #[arg(long, default_value_t = 1_000)]
    death_ms: u64,
    /// Tenants, each with an author of its own that changes its definitions and its link
    #[arg(long, default_value_t = 6)]
    tenants: usize,
    /// Services of each tenant
    #[arg(long, default_value_t = 24)]
    services: usize,
    /// What is drawn; at random when it is not said
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the landscape's directory, which is kept anyway when something is wrong
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(program: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let seed =
        arguments.seed.unwrap_or_else(|| u64::from(u32::from_be_bytes(random_array(&OsEntropy::new()))));
    println!(
        "{:?} killed {} times under load, seed {seed}: {} tenants of up to {} services, {} authors, {CALLERS} callers",
        arguments.what, arguments.rounds, arguments.tenants, arguments.services, arguments.tenants
    );
    let mut directory = tempfile::Builder::new().prefix("openkcm-chaos-").tempdir()?;
    let mut landscape = Distributed::start(program, &directory.path().join("landscape"), &REGIONS).await;
    let ledger = Arc::new(Ledger::new(arguments.tenants, arguments.services)?);
    let outcome = storm(&mut landscape, &ledger, arguments, seed).await;
    if outcome.is_err() || arguments.keep {
        directory.disable_cleanup(true);
        println!("the landscape's directory is kept: {}", directory.path().display());
    }
    outcome
}

/// Load and faults; then the comparison, and the report.
async fn storm(
    landscape: &mut Distributed,
    ledger: &Arc<Ledger>,
    arguments: &Arguments,
    seed: u64,
) -> anyhow::Result<()> {
    let client = landscape::client(&landscape.landscape_file())?.with_patience(Patience::NONE);
    let mut load = JoinSet::new();
    for tenant in 0..arguments.tenants {
        let dice = Dice::new(seed, 1_000 + tenant as u64);
        load.spawn(authors::run(client.clone(), ledger.clone(), tenant, dice));
    }
    for caller in 0..CALLERS {
        load.spawn(callers::run(client.clone(), ledger.clone(), Dice::new(seed, 2_000 + caller as u64)));
    }
    let marks = tokio::spawn(marks::run(client.clone(), ledger.clone()));
    ledger.until_in_use().await;

    let begun = elapsed();
    let killed = faults::run(landscape, ledger, arguments, Dice::new(seed, 1)).await;
    ledger.stop();
    load.join_all().await;
    let arrivals = marks.await?;
    let lasted = elapsed() - begun;

    let verdict = verdict::reach(&client, ledger, elapsed()).await;
    report(ledger, &killed, lasted, arrivals, &verdict);
    let wrong = ledger.wrong();
    if !wrong.is_empty() {
        for line in &wrong {
            println!("WRONG: {line}");
        }
        bail!("{} things are wrong; seed {seed}", wrong.len());
    }
    Ok(())
}

fn report(
    ledger: &Ledger,
    killed: &Killed,
    lasted: Duration,
    arrivals: Vec<Duration>,
    verdict: &verdict::Verdict,
) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counts = &ledger.counts;
    println!("killed in {:.0} s: {}", lasted.as_secs_f64(), killed.line());
    println!(
        "changes acknowledged: {} by the Registry, {} by the CMK Server, {} rotations; refused {}, tried again {}",
        count(&counts.defined),
        count(&counts.linked),
        count(&counts.rotated),
        count(&counts.refused),
        count(&counts.retried)
    );
    println!(
        "data plane: {} encrypted, {} decrypted and compared, {} refused as they had to be, {} without an answer",
        count(&counts.encrypted),
        count(&counts.decrypted),
        count(&counts.data_refused),
        count(&counts.unanswered)
    );
    println!("  refusals: {}", ledger.refusals());
    println!("{}", Sample::new(arrivals).line("a change acknowledged to held by both regions"));
    println!("converged {:.2} s after the load and the last kill", verdict.converged_after.as_secs_f64());
    println!(
        "compared: {} tenants, {} definitions, {} links in {} regions; {} versions; {} ciphertexts opened in both regions",
        verdict.tenants,
        verdict.definitions,
        verdict.links,
        REGIONS.len(),
        verdict.versions,
        verdict.ciphertexts
    );
    println!("first versions that both regions made, and both keep: {}", verdict.made_in_both);
    println!("lost: {}, applied twice: {}", verdict.lost, verdict.twice);
}
