//! From the definition of a service, through the API, to its first encryption in a Core.
//!
//! Each worker defines a service, then asks the first region's Core to encrypt with it until it does;
//! so what is measured includes HTTP, the Registry's commit, the mesh, the Core's commits and the making
//! of the key. At the end, every service is used once in every region.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openkcm_client::{Client, KeySpec, Patience, Route};
use openkcm_contracts::{KeyPath, RegionId, ServiceId, ServicePath, SystemPath};
use openkcm_harness::Landscape;

use crate::landscape;
use crate::statistics::Sample;

/// Between two questions whether a service is usable yet.
const PAUSE: Duration = Duration::from_micros(500);

/// How often that is asked at most: a minute of pauses.
const MOST_TRIES: u32 = 120_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many services are defined in one tenant
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// How many definitions are under way at once
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
}

/// How long one service took.
struct Taken {
    acknowledged: Duration,
    usable: Duration,
    ciphertext: (ServicePath, String),
}

pub(crate) async fn run(program: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let running = Landscape::start(program, directory.path(), &[]).await;
    let client = landscape::client(&running.file())?;
    let system: SystemPath = "bench/app".parse()?;
    landscape::tenant(&client, &system, landscape::local_root("bench")).await?;
    let regions: Vec<RegionId> =
        client.landscape().regions.iter().map(|region| region.name.clone()).collect();
    let begun = landscape::elapsed();
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..arguments.concurrency {
        let (client, system, next) = (client.clone(), system.clone(), next.clone());
        let (count, region) = (arguments.services, regions[0].clone());
        workers.spawn(async move { work(&client, &system, &region, &next, count).await });
    }
    let mut taken = Vec::new();
    for worker in workers.join_all().await {
        taken.extend(worker?);
    }
    let all = landscape::elapsed() - begun;
    ensure!(taken.len() == arguments.services, "only {} services are usable", taken.len());
    println!(
        "{} services in one tenant, {} at once, {} regions",
        taken.len(),
        arguments.concurrency,
        regions.len()
    );
    let sample = |of: fn(&Taken) -> Duration| Sample::new(taken.iter().map(of).collect());
    println!("{}", sample(|taken| taken.acknowledged).line("definition sent to acknowledged"));
    println!(
        "{}",
        sample(|taken| taken.usable - taken.acknowledged).line("acknowledged to first encryption")
    );
    println!("{}", sample(|taken| taken.usable).line("definition sent to first encryption"));
    println!(
        "all defined and usable in {:.1} s ({:.0}/s)",
        all.as_secs_f64(),
        taken.len() as f64 / all.as_secs_f64()
    );
    for region in &regions {
        let opened = decrypt_all(&client, region, &taken).await?;
        println!("region {region}: {opened} of {} ciphertexts opened", taken.len());
        ensure!(opened == taken.len(), "region {region} does not open all");
    }
    Ok(())
}

async fn work(
    client: &Client,
    system: &SystemPath,
    region: &RegionId,
    next: &AtomicUsize,
    count: usize,
) -> anyhow::Result<Vec<Taken>> {
    let mut taken = Vec::new();
    // The wait itself is measured, so nothing else may wait.
    let impatient = client.with_patience(Patience::NONE);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(taken);
        }
        let path = system.service(ServiceId::new(&format!("s{number:06}"))?);
        let sent = landscape::elapsed();
        client.registry().put_key(&KeyPath::Service(path.clone()), &KeySpec::default()).await?;
        let acknowledged = landscape::elapsed() - sent;
        let ciphertext = first_encryption(&impatient, region, &path).await?;
        let usable = landscape::elapsed() - sent;
        taken.push(Taken { acknowledged, usable, ciphertext: (path, ciphertext) });
    }
}

async fn first_encryption(client: &Client, region: &RegionId, path: &ServicePath) -> anyhow::Result<String> {
    let mut last = None;
    for _ in 0..MOST_TRIES {
        match client.core(Route::Only(region.clone())).encrypt(path, path.to_string().as_bytes(), None).await
        {
            Ok(served) => return Ok(served.answer.ciphertext),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(last.context("no try was made")?).with_context(|| format!("{path} did not become usable"))
}

async fn decrypt_all(client: &Client, region: &RegionId, taken: &[Taken]) -> anyhow::Result<usize> {
    let mut opened = 0;
    for Taken { ciphertext: (path, ciphertext), .. } in taken {
        let served = client.core(Route::Only(region.clone())).decrypt(path, ciphertext, None).await;
        let plaintext = served.with_context(|| format!("{path} in region {region}"))?.answer.plaintext;
        opened += usize::from(plaintext.as_slice() == path.to_string().as_bytes());
    }
    Ok(opened)
}
