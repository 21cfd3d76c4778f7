//! The sample of a first start: tenant `demo` with service `demo/app/data`, linked to a local root.
//!
//! Made through the HTTP interfaces, as anyone would. Done again, as a whole, when the first start was
//! killed on the way; never again after it was completed, so that what was deleted stays deleted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use openkcm_client::{Client, KeySpec, L1Spec, Landscape, Patience, Route, TenantSpec};
use openkcm_contracts::{KeyPath, RootRef, ServicePath, SystemPath, TenantId};
use openkcm_host::{OsEntropy, SystemClock};

use super::files::Home;

/// The sample's service.
pub(super) const SERVICE: &str = "demo/app/data";

/// How long the events of the sample may take to arrive; some milliseconds are usual.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the sample, if it was not made.
pub(super) async fn ensure(home: &Home, landscape: &Landscape) -> anyhow::Result<()> {
    if home.sample_is_made() {
        return Ok(());
    }
    make(home).await.context("the sample tenant can't be made (--no-sample starts without it)")?;
    tracing::info!(regions = landscape.regions.len(), "the sample tenant is ready");
    home.note_sample()
}

async fn make(home: &Home) -> anyhow::Result<()> {
    let landscape = Landscape::load(&home.landscape_file())?;
    let client = Client::new(&landscape, Arc::new(SystemClock), Arc::new(OsEntropy::new()))?
        .with_patience(Patience { total: PATIENCE });
    let path: ServicePath = SERVICE.parse()?;
    let system = SystemPath { tenant: path.tenant.clone(), system: path.system.clone() };
    let tenant: &TenantId = &path.tenant;
    let regions = landscape.regions.iter().map(|region| region.name.clone()).collect();
    client.registry().put_tenant(tenant, &TenantSpec { regions, labels: Default::default() }).await?;
    client.registry().put_key(&KeyPath::System(system), &KeySpec::default()).await?;
    client.registry().put_key(&KeyPath::Service(path.clone()), &KeySpec::default()).await?;
    let root = RootRef { provider: "local".into(), key: "demo".into(), options: Default::default() };
    client.cmk().link(tenant, &L1Spec { roots: vec![root], ..L1Spec::default() }).await?;
    // The events take milliseconds; the component would have us wait for whole seconds.
    let client = client.with_patience(Patience::NONE);
    for region in &landscape.regions {
        until_usable(&client, &region.name, &path).await?;
    }
    Ok(())
}

async fn until_usable(
    client: &Client,
    region: &openkcm_contracts::RegionId,
    path: &ServicePath,
) -> anyhow::Result<()> {
    let usable = async {
        let mut wait = Duration::from_millis(5);
        loop {
            match client.core(Route::Only(region.clone())).datakey(path, 32).await {
                Ok(_) => return,
                Err(error) => tracing::debug!(%region, %error, "the sample is not usable yet"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(200));
        }
    };
    tokio::time::timeout(PATIENCE, usable)
        .await
        .with_context(|| format!("{path} did not become usable in region {region}"))
}
