//! A landscape to measure, and a client of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openkcm_client::{Client, KeySpec, L1Spec, Landscape, Patience, TenantSpec};
use openkcm_contracts::{KeyPath, RootRef, SystemPath};
use openkcm_host::{Clock as _, OsEntropy, SystemClock};

/// The program that is measured: the one that was named, or the one beside this one.
pub(crate) fn program(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program's own path")?;
    let program = named.unwrap_or_else(|| own.with_file_name("openkcm"));
    ensure!(program.exists(), "there is no {}: run `cargo build --release` first", program.display());
    Ok(program)
}

/// A client that waits for what is on its way.
pub(crate) fn client(file: &Path) -> anyhow::Result<Client> {
    let landscape = Landscape::load(file)?;
    let client = Client::new(&landscape, Arc::new(SystemClock), Arc::new(OsEntropy::new()))?;
    Ok(client.with_patience(Patience { total: Duration::from_secs(60) }))
}

/// Defines a tenant with one system in all regions, linked to a root.
pub(crate) async fn tenant(client: &Client, system: &SystemPath, root: RootRef) -> anyhow::Result<()> {
    let regions = client.landscape().regions.iter().map(|region| region.name.clone()).collect();
    let spec = TenantSpec { regions, labels: Default::default() };
    client.registry().put_tenant(&system.tenant, &spec).await?;
    client.registry().put_key(&KeyPath::System(system.clone()), &KeySpec::default()).await?;
    client.cmk().link(&system.tenant, &L1Spec { roots: vec![root], ..L1Spec::default() }).await?;
    Ok(())
}

/// A key of the provider that needs nothing.
pub(crate) fn local_root(name: &str) -> RootRef {
    RootRef { provider: "local".into(), key: name.into(), options: Default::default() }
}

/// The time since some moment, for differences.
pub(crate) fn elapsed() -> Duration {
    Duration::from_nanos(SystemClock.boottime().as_nanos())
}
