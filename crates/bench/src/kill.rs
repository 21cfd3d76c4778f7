//! kill -9 of the whole landscape in the middle of concurrent definitions; again and again.
//!
//! After each start every definition that was acknowledged must be there, usable, with the same key; and
//! no key may have been made twice, in any region.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openkcm_client::{Client, KeySpec, Patience, Route};
use openkcm_contracts::{KeyPath, RegionId, ServiceId, ServicePath, SystemPath};
use openkcm_harness::Landscape;
use tokio::task::JoinSet;

use crate::landscape;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many definitions are sent at once before each kill
    #[arg(long, default_value_t = 1_000)]
    definitions: usize,
    /// How often the landscape is killed
    #[arg(long, default_value_t = 5)]
    kills: usize,
}

pub(crate) async fn run(program: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut running = Landscape::start(program, directory.path(), &[]).await;
    let system: SystemPath = "bench/app".parse()?;
    landscape::tenant(&landscape::client(&running.file())?, &system, landscape::local_root("bench")).await?;
    let mut acknowledged = BTreeSet::new();
    let mut ciphertexts = BTreeMap::new();
    for round in 0..arguments.kills {
        let before = acknowledged.len();
        // Each round cuts a little later, so that all phases of the work are hit.
        let cut = Duration::from_millis(20 + 60 * round as u64);
        acknowledged
            .extend(define_until_killed(&mut running, &system, round, arguments.definitions, cut).await?);
        let begun = landscape::elapsed();
        running.start_again().await;
        let started = landscape::elapsed() - begun;
        let client = landscape::client(&running.file())?;
        let versions = check(&client, &acknowledged, &mut ciphertexts).await?;
        println!(
            "kill {}: {} of {} definitions acknowledged after {} ms, none lost, {versions} versions, none twice; ready again in {:.2} s",
            round + 1,
            acknowledged.len() - before,
            arguments.definitions,
            cut.as_millis(),
            started.as_secs_f64()
        );
    }
    Ok(())
}

async fn define_until_killed(
    running: &mut Landscape,
    system: &SystemPath,
    round: usize,
    count: usize,
    cut: Duration,
) -> anyhow::Result<Vec<ServicePath>> {
    let client = landscape::client(&running.file())?.with_patience(Patience::NONE);
    let mut definitions = JoinSet::new();
    for number in 0..count {
        let (client, path) =
            (client.clone(), system.service(ServiceId::new(&format!("r{round}-s{number}"))?));
        definitions.spawn(async move {
            let put = client.registry().put_key(&KeyPath::Service(path.clone()), &KeySpec::default()).await;
            put.is_ok().then_some(path)
        });
    }
    tokio::time::sleep(cut).await;
    running.kill();
    Ok(definitions.join_all().await.into_iter().flatten().collect())
}

/// Uses every acknowledged service in every region, opens what it encrypted before earlier kills, and
/// counts its versions. Gives how many versions there are in all.
async fn check(
    client: &Client,
    acknowledged: &BTreeSet<ServicePath>,
    ciphertexts: &mut BTreeMap<ServicePath, String>,
) -> anyhow::Result<usize> {
    let mut all = 0;
    let regions: Vec<RegionId> =
        client.landscape().regions.iter().map(|region| region.name.clone()).collect();
    for path in acknowledged {
        let mut seen: Option<BTreeSet<String>> = None;
        for region in &regions {
            let core = client.core(Route::Only(region.clone()));
            if let Some(ciphertext) = ciphertexts.get(path) {
                let opened = core
                    .decrypt(path, ciphertext, None)
                    .await
                    .with_context(|| format!("{path} in {region}"))?;
                ensure!(
                    opened.answer.plaintext.as_slice() == path.to_string().as_bytes(),
                    "{path}: other plaintext"
                );
            }
            let encrypted = core.encrypt(path, path.to_string().as_bytes(), None).await;
            let encrypted = encrypted.with_context(|| format!("{path} in {region}"))?;
            ciphertexts.insert(path.clone(), encrypted.answer.ciphertext);
            let shown = client.core(Route::Only(region.clone())).key(&KeyPath::Service(path.clone())).await?;
            let versions = shown.answer.value["versions"].as_array().context("a list of versions")?.clone();
            ensure!(
                versions.len() == 1,
                "{path} has {} versions in region {region}: made twice",
                versions.len()
            );
            let ids: BTreeSet<String> =
                versions.iter().map(|version| version["version"].to_string()).collect();
            ensure!(
                seen.as_ref().is_none_or(|seen| *seen == ids),
                "{path}: the regions hold different versions"
            );
            seen = Some(ids);
        }
        all += 1;
    }
    Ok(all)
}
