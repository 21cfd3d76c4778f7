//! From the commit of an Unlink to the refusal in every region, over the embedded mesh.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openkcm_client::{Client, KeySpec, L1Spec, Patience, Route};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{KeyPath, RegionId, ServicePath};
use openkcm_harness::Landscape;

use crate::landscape;
use crate::statistics::Sample;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often the tenant is unlinked and linked again
    #[arg(long, default_value_t = 100)]
    rounds: usize,
}

pub(crate) async fn run(program: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let running = Landscape::start(program, directory.path(), &[]).await;
    let client = landscape::client(&running.file())?;
    let path: ServicePath = "bench/app/data".parse()?;
    let root = landscape::local_root("bench");
    landscape::tenant(&client, &path.system_path(), root.clone()).await?;
    client.registry().put_key(&KeyPath::Service(path.clone()), &KeySpec::default()).await?;
    let regions: Vec<RegionId> =
        client.landscape().regions.iter().map(|region| region.name.clone()).collect();
    let (mut refused, mut served) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        for region in &regions {
            until(&client, region, &path, None).await?;
        }
        client.cmk().unlink(&path.tenant).await?;
        let committed = landscape::elapsed();
        for region in &regions {
            until(&client, region, &path, Some(Code::TenantUnlinked)).await?;
        }
        refused.push(landscape::elapsed() - committed);
        client.cmk().link(&path.tenant, &L1Spec { roots: vec![root.clone()], ..L1Spec::default() }).await?;
        let committed = landscape::elapsed();
        until(&client, &regions[0], &path, None).await?;
        served.push(landscape::elapsed() - committed);
    }
    println!("{}", Sample::new(refused).line("unlink answered to refused in all regions"));
    println!("{}", Sample::new(served).line("link answered to served in the first region"));
    Ok(())
}

/// Asks until the Core answers so: with a ciphertext, or with this refusal.
async fn until(
    client: &Client,
    region: &RegionId,
    path: &ServicePath,
    refusal: Option<Code>,
) -> anyhow::Result<()> {
    let impatient = client.with_patience(Patience::NONE);
    for _ in 0..60_000 {
        let answer = impatient.core(Route::Only(region.clone())).encrypt(path, b"x", None).await;
        let code = answer.as_ref().err().and_then(|error| error.code());
        ensure!(answer.is_ok() || code.is_some(), "region {region} does not answer");
        if code == refusal {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Err(anyhow::anyhow!("{refusal:?}")).context(format!("region {region} did not come to answer so"))
}
