//! Those who change things: one author for each tenant, so that each thing has one last word.
//!
//! An author sends a request until it is answered for good, as an operator's tool does: every write is idempotent, so
//! what was interrupted is sent again. Only a rotation is not sent again: whether it was made is looked up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openkcm_client::{Call, Client, ClientError, Component, KeySpec, L1Spec, Resource, Route, TenantSpec};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{KeyPath, Period, RegionId};
use serde_json::Value;

use super::dice::Dice;
use super::ledger::{Ledger, PAUSE, Service, Tenant, lock, next_number};
use crate::landscape::local_root;

/// Tries before a request counts as never answered: two minutes of pauses.
const MOST_TRIES: usize = 2_400;

/// Between two changes of one author, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// Longer than any run, so that no version is made that nobody asked for.
const SHORTEST_PERIOD_SECS: u64 = 30 * 86_400;

/// Refusals of a rotation that say that it can't be made now.
const NOT_NOW: [Code; 4] = [Code::TenantUnlinked, Code::NotYetKnown, Code::Hydrating, Code::MaterialNotHere];

/// Sends a request until it is answered for good. None is wrong, and is noted so.
pub(super) async fn insist<T, F: Future<Output = Result<T, ClientError>>>(
    ledger: &Ledger,
    what: &str,
    call: impl Fn() -> F,
) -> Option<T> {
    let mut last = String::new();
    for _ in 0..MOST_TRIES {
        match call().await {
            Ok(answer) => return Some(answer),
            Err(error) if is_for_now(&error) => last = format!("{:#}", anyhow::Error::from(error)),
            Err(error) => {
                ledger.is_wrong(format!("{what}: {:#}", anyhow::Error::from(error)));
                return None;
            }
        }
        ledger.counts.retried.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    ledger.is_wrong(format!("{what}: never answered; last: {last}"));
    None
}

/// Whether the same request may be answered otherwise later.
pub(super) fn is_for_now(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Interrupted { .. } => true,
        ClientError::Problem(problem) => problem.retryable(),
        _ => false,
    }
}

/// A period that nobody else has: it names the change that it came with.
pub(super) fn new_period() -> String {
    let secs = SHORTEST_PERIOD_SECS + next_number() as u64;
    Period::from_secs(secs).expect("some weeks").to_string()
}

/// Changes one tenant until the run ends.
pub(super) async fn run(client: Client, ledger: Arc<Ledger>, tenant: usize, dice: Dice) {
    let region = tenant % ledger.regions.len();
    let author = Author { client: &client, ledger: &ledger, tenant: &ledger.tenants[tenant], region, dice };
    if author.begin().await.is_none() {
        return;
    }
    while !ledger.is_stopped() && ledger.wrong().is_empty() {
        author.change().await;
        author.look().await;
        tokio::time::sleep(author.dice.up_to(LONGEST_PAUSE)).await;
    }
}

struct Author<'a> {
    client: &'a Client,
    ledger: &'a Ledger,
    tenant: &'a Tenant,
    /// The region in which it rotates the L2; L3s in both, each in one of its own, so that no two regions count on
    /// from the same version.
    region: usize,
    dice: Dice,
}

impl Author<'_> {
    async fn begin(&self) -> Option<()> {
        let Tenant { system, services, .. } = self.tenant;
        let spec = TenantSpec { regions: self.ledger.regions.clone(), labels: Default::default() };
        insist(self.ledger, "a tenant", || async {
            self.client.registry().put_tenant(&system.tenant, &spec).await
        })
        .await?;
        self.defined();
        let key = KeyPath::System(system.clone());
        insist(self.ledger, "a system", || async {
            self.client.registry().put_key(&key, &KeySpec::default()).await
        })
        .await?;
        self.defined();
        self.define(&services[0]).await?;
        self.link().await
    }

    /// One change by lot.
    async fn change(&self) {
        let service = self.dice.one_of(&self.tenant.services);
        let (exists, deleted) = {
            let state = service.state.read().await;
            (state.generation.is_some(), state.deleted)
        };
        match self.dice.below(100) {
            0..4 if exists && !deleted => drop(self.delete(service).await),
            4..7 => drop(self.unlink_or_link().await),
            7..40 => drop(self.link_again().await),
            40..52 => self.rotate(service).await,
            52..55 => self.rotate_system().await,
            _ => drop(self.define(service).await),
        }
    }

    fn defined(&self) {
        self.ledger.counts.defined.fetch_add(1, Ordering::Relaxed);
    }

    /// Defines a service, or changes it, or defines it again after its end.
    async fn define(&self, service: &Service) -> Option<()> {
        let mut state = service.state.write().await;
        let makes_anew = state.generation.is_none() || state.deleted;
        if makes_anew {
            (0..self.ledger.regions.len()).for_each(|region| service.set_ready(region, false));
        }
        let period = new_period();
        let spec = KeySpec { algorithm: None, rotate_every: Some(period.clone()) };
        let key = KeyPath::Service(service.path.clone());
        let what = format!("defining {key}");
        let defined =
            insist(self.ledger, &what, || async { self.client.registry().put_key(&key, &spec).await })
                .await?;
        self.defined();
        self.is_newer(&what, state.revision, &defined);
        self.is(&what, &defined, "rotate_every", &period);
        self.is(&what, &defined, "state", "defined");
        let generation = defined.text("generation").map(str::to_owned);
        if (generation != state.generation) != makes_anew {
            self.ledger.is_wrong(format!("{what}: generation {generation:?} after {:?}", state.generation));
        }
        state.generations += usize::from(makes_anew);
        (state.generation, state.deleted) = (generation, false);
        (state.rotate_every, state.revision) = (period, defined.revision);
        Some(())
    }

    async fn delete(&self, service: &Service) -> Option<()> {
        let mut state = service.state.write().await;
        (0..self.ledger.regions.len()).for_each(|region| service.set_ready(region, false));
        let key = KeyPath::Service(service.path.clone());
        let what = format!("deleting {key}");
        let deleted =
            insist(self.ledger, &what, || async { self.client.registry().delete_key(&key, None).await })
                .await?;
        self.defined();
        self.is_newer(&what, state.revision, &deleted);
        self.is(&what, &deleted, "state", "deleted");
        (state.deleted, state.revision) = (true, deleted.revision);
        Some(())
    }

    async fn unlink_or_link(&self) -> Option<()> {
        let linked = lock(&self.tenant.link).linked;
        if linked { self.unlink().await } else { self.link().await }
    }

    /// A tenant is unlinked for some changes only, so that there is something to use.
    async fn link_again(&self) -> Option<()> {
        let linked = lock(&self.tenant.link).linked;
        if linked { None } else { self.link().await }
    }

    async fn link(&self) -> Option<()> {
        let tenant = &self.tenant.system.tenant;
        let what = format!("linking {tenant}");
        let spec = L1Spec { roots: vec![local_root(tenant.as_str())], ..L1Spec::default() };
        lock(&self.tenant.link).phase += 1;
        let pointer =
            insist(self.ledger, &what, || async { self.client.cmk().link(tenant, &spec).await }).await?;
        self.linked(&what, &pointer, true);
        Some(())
    }

    async fn unlink(&self) -> Option<()> {
        let tenant = &self.tenant.system.tenant;
        let what = format!("unlinking {tenant}");
        lock(&self.tenant.link).phase += 1;
        let pointer = insist(self.ledger, &what, || async { self.client.cmk().unlink(tenant).await }).await?;
        self.linked(&what, &pointer, false);
        Some(())
    }

    fn linked(&self, what: &str, pointer: &Resource, linked: bool) {
        self.ledger.counts.linked.fetch_add(1, Ordering::Relaxed);
        let mut link = lock(&self.tenant.link);
        self.is_newer(what, link.revision, pointer);
        self.is(what, pointer, "state", if linked { "linked" } else { "unlinked" });
        link.phase += 1;
        link.linked = linked;
        link.revision = pointer.revision;
        link.epoch = pointer.text("epoch").unwrap_or_default().to_owned();
    }

    /// Rotates an L3, in the one region in which this one is rotated.
    async fn rotate(&self, service: &Service) {
        let number = self.tenant.services.iter().position(|one| std::ptr::eq(one, service)).unwrap_or(0);
        let region = number % self.ledger.regions.len();
        let standing = service.state.read().await.generation.is_some() && service.is_ready(region);
        if !standing || !lock(&self.tenant.link).linked {
            return;
        }
        let key = KeyPath::Service(service.path.clone());
        if let Some(version) = self.rotate_key(&key, region).await {
            service.state.write().await.rotations.insert(version);
        }
    }

    async fn rotate_system(&self) {
        let in_use = self.tenant.services.iter().any(|service| service.is_ready(self.region));
        if !in_use || !lock(&self.tenant.link).linked {
            return;
        }
        let key = KeyPath::System(self.tenant.system.clone());
        if let Some(version) = self.rotate_key(&key, self.region).await {
            lock(&self.tenant.rotations).insert(version);
        }
    }

    /// Asks for a version once. Gives the one that was made, told or not.
    async fn rotate_key(&self, key: &KeyPath, region: usize) -> Option<String> {
        let region = &self.ledger.regions[region];
        let before = versions_now(self.client, region, key).await.filter(|versions| !versions.is_empty())?;
        let rotated = self.client.core(Route::Only(region.clone())).rotate(key).await;
        let counts = &self.ledger.counts;
        match rotated {
            Ok(rotated) => {
                counts.rotated.fetch_add(1, Ordering::Relaxed);
                let version = rotated.answer.version.to_string();
                if before.contains(&version) {
                    self.ledger.is_wrong(format!("rotating {key}: the version was there before"));
                }
                Some(version)
            }
            Err(error) if error.code().is_some_and(|code| NOT_NOW.contains(&code)) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(ClientError::Unreachable { .. } | ClientError::Interrupted { .. }) => {
                counts.retried.fetch_add(1, Ordering::Relaxed);
                let made = self.made_since(key, region, &before).await?;
                counts.rotated.fetch_add(u64::from(made.is_some()), Ordering::Relaxed);
                made
            }
            Err(error) => {
                self.ledger.is_wrong(format!("rotating {key}: {:#}", anyhow::Error::from(error)));
                None
            }
        }
    }

    /// The version that a rotation without an answer has made, if it has.
    async fn made_since(
        &self,
        key: &KeyPath,
        region: &RegionId,
        before: &BTreeSet<String>,
    ) -> Option<Option<String>> {
        for _ in 0..MOST_TRIES {
            let now = versions_now(self.client, region, key).await.unwrap_or_default();
            if before.is_subset(&now) {
                return Some(now.difference(before).next().cloned());
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.ledger.is_wrong(format!("region {region} has lost versions of {key}"));
        None
    }

    /// Looks whether what was acknowledged has come to some region: the link, and one of the services.
    async fn look(&self) {
        let region = self.dice.below(self.ledger.regions.len());
        self.look_at_link(&self.ledger.regions[region]).await;
        let waiting: Vec<&Service> =
            self.tenant.services.iter().filter(|service| !service.is_ready(region)).collect();
        if waiting.is_empty() {
            return;
        }
        let service = self.dice.one_of(&waiting);
        let state = service.state.read().await;
        let Some(generation) = state.generation.as_ref().filter(|_| !state.deleted) else { return };
        let key = KeyPath::Service(service.path.clone());
        let Some(shown) = key_now(self.client, &self.ledger.regions[region], &key).await else { return };
        if shown["generation"] == **generation && shown["active"].is_string() {
            service.set_ready(region, true);
        }
    }

    async fn look_at_link(&self, region: &RegionId) {
        let link = lock(&self.tenant.link).clone();
        let path = format!("/v1/tenants/{}", self.tenant.system.tenant);
        let Ok(answer) = self.client.call(&Call::get(Component::Core(region.clone()), path)).await else {
            return;
        };
        let shown: Value = answer.json().unwrap_or_default();
        let revision = link.revision.map(|revision| revision.to_string());
        if shown["link"]["revision"].as_str() == revision.as_deref() && shown["serving"] == link.linked {
            lock(&self.tenant.link).held_in.insert(region.clone(), link.phase);
        }
    }

    fn is_newer(&self, what: &str, before: Option<openkcm_contracts::Revision>, resource: &Resource) {
        if resource.revision <= before {
            let now = resource.revision;
            self.ledger.is_wrong(format!("{what}: at revision {now:?} after {before:?}"));
        }
    }

    fn is(&self, what: &str, resource: &Resource, member: &str, expected: &str) {
        let shown = resource.text(member);
        if shown != Some(expected) {
            self.ledger.is_wrong(format!("{what}: {member} is {shown:?} and not {expected}"));
        }
    }
}

/// A key as a region shows it now.
pub(super) async fn key_now(client: &Client, region: &RegionId, key: &KeyPath) -> Option<Value> {
    let shown = client.core(Route::Only(region.clone())).key(key).await;
    shown.ok().map(|shown| shown.answer.value)
}

/// The versions of a key that a region shows now.
pub(super) async fn versions_now(
    client: &Client,
    region: &RegionId,
    key: &KeyPath,
) -> Option<BTreeSet<String>> {
    let shown = key_now(client, region, key).await?;
    let versions = shown["versions"].as_array()?;
    versions.iter().map(|version| version["version"].as_str().map(str::to_owned)).collect()
}
