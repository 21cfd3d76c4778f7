//! Tenants, each with a system and services, in one region; each service encrypts once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openkcm_client::{Call, Client, Component, KeySpec, L1Spec, Patience, Route, TenantSpec};
use openkcm_contracts::{KeyPath, RegionId, ServiceId, ServicePath, SystemPath};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::landscape;

/// Tenants that are made at once.
const AT_ONCE: usize = 32;

/// Between two tries to encrypt with a service that is new.
const PAUSE: Duration = Duration::from_millis(5);

/// How often that is tried at most: a minute of pauses.
const MOST_TRIES: u32 = 12_000;

/// A service, and what it has encrypted: its own name.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) path: ServicePath,
    pub(super) ciphertext: String,
}

/// Makes them, and gives the keys of each tenant.
pub(super) async fn fill(
    client: &Client,
    region: &RegionId,
    tenants: usize,
    services: usize,
) -> anyhow::Result<Vec<Vec<Key>>> {
    ensure!(tenants > 0 && services >= tenants, "each tenant has a service at least");
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, region, next) = (client.clone(), region.clone(), next.clone());
        workers.spawn(async move {
            let mut made = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= tenants {
                    return anyhow::Ok(made);
                }
                // The first ones have one more where it does not come out even.
                let count = services / tenants + usize::from(number < services % tenants);
                made.push((number, tenant(&client, &region, number, count).await?));
            }
        });
    }
    let mut all = Vec::with_capacity(tenants);
    for made in workers.join_all().await {
        all.extend(made?);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, keys)| keys).collect())
}

async fn tenant(
    client: &Client,
    region: &RegionId,
    number: usize,
    services: usize,
) -> anyhow::Result<Vec<Key>> {
    let system: SystemPath = format!("t{number:06}/app").parse()?;
    let spec = TenantSpec { regions: vec![region.clone()], labels: Default::default() };
    client.registry().put_tenant(&system.tenant, &spec).await?;
    client.registry().put_key(&KeyPath::System(system.clone()), &KeySpec::default()).await?;
    let roots = vec![landscape::local_root(system.tenant.as_str())];
    client.cmk().link(&system.tenant, &L1Spec { roots, ..L1Spec::default() }).await?;
    let mut keys = Vec::with_capacity(services);
    for service in 0..services {
        let path = system.service(ServiceId::new(&format!("s{service:04}"))?);
        client.registry().put_key(&KeyPath::Service(path.clone()), &KeySpec::default()).await?;
        keys.push(path);
    }
    let mut made = Vec::with_capacity(services);
    for path in keys {
        let ciphertext = encrypt(client, region, &path).await?;
        made.push(Key { path, ciphertext });
    }
    Ok(made)
}

async fn encrypt(client: &Client, region: &RegionId, path: &ServicePath) -> anyhow::Result<String> {
    let client = client.with_patience(Patience::NONE);
    let mut last = None;
    for _ in 0..MOST_TRIES {
        let core = client.core(Route::Only(region.clone()));
        match core.encrypt(path, path.to_string().as_bytes(), None).await {
            Ok(served) => return Ok(served.answer.ciphertext),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(last.context("no try was made")?).with_context(|| format!("{path} did not become usable"))
}

/// What a region's Core says of itself.
pub(super) async fn status(client: &Client, region: &RegionId) -> Option<Value> {
    client.call(&Call::get(Component::Core(region.clone()), "/v1/status")).await.ok()?.json().ok()
}
