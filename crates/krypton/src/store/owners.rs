//! Which roots a tenant's keys may be sealed to: what this Core trusts of what the CMK Server says.
//!
//! Whoever holds the CMK Server's signing key can name a root of its own in a link. So a root that comes into a link
//! later is sealed to only with the word of the tenant's owner, whose key is pinned with the first link of the tenant's
//! generation, or after a wait that this Core counts, on the clock that purges wait by. Opening what is sealed to a root
//! already needs neither.

use std::time::Duration;

use openkcm_contracts::v1::{L1Reference, LinkState};
use openkcm_contracts::{Generation, RootRef, TenantId};
use openkcm_orbital::is_owners;
use openkcm_store::{Read, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use super::purge::{self, Ledger};
use super::{LINKS, LinkRecord, TENANTS};

/// By tenant.
pub(super) const OWNERS: Table<Owner> = Table::new("owners");
/// The tenants of which something is waited for.
pub(super) const AWAITED: Table<()> = Table::new("owners_awaited");

/// Tenants whose waits one step ends.
const AT_ONCE: usize = 256;

/// What is trusted of a tenant's links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The generation of the tenant that this is of.
    pub generation: Generation,
    /// The owner's public key, once it is pinned.
    pub key: Option<String>,
    /// The number of the owner's last word.
    pub number: u64,
    /// The roots that may be sealed to.
    pub trusted: Vec<RootRef>,
    /// The roots that the present link names and that may not be sealed to yet.
    pub awaited: Vec<Awaited<RootRef>>,
    /// A key that a later link names where none is pinned.
    pub awaited_key: Option<Awaited<String>>,
}

/// Something that is trusted when its wait is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited<T> {
    /// What.
    pub what: T,
    /// Since when, on the purge clock, in milliseconds.
    pub since: u64,
}

impl Owner {
    /// The first link of a generation is trusted: nothing of it was sealed before.
    fn first(link: &L1Reference) -> Self {
        Self {
            generation: link.generation,
            key: link.owner_key.clone(),
            number: 0,
            trusted: link.roots.clone(),
            awaited: Vec::new(),
            awaited_key: None,
        }
    }

    /// What is trusted after a later link, which is heard at `now`.
    fn after(&self, link: &L1Reference, now: u64) -> Self {
        if let (Some(key), Some(word)) = (&self.key, &link.owner_word)
            && word.number > self.number
            && is_owners(key, &link.owner_bytes(word.number), &word.signature)
        {
            let key = link.owner_key.clone().or_else(|| self.key.clone());
            return Self { key, number: word.number, ..Self::first(link) };
        }
        let news: Vec<&RootRef> = link.roots.iter().filter(|root| !self.trusted.contains(root)).collect();
        let mut after = self.clone();
        if news.is_empty() {
            // A root that is left out and named again later is a new one. While something new is waited for, what was
            // trusted stays: whoever named it must not take the way back.
            after.trusted.retain(|root| link.roots.contains(root));
        }
        after.awaited = news.into_iter().map(|root| wait(root, self.awaited.iter(), now)).collect();
        let key = link.owner_key.as_ref().filter(|_| self.key.is_none());
        after.awaited_key = key.map(|key| wait(key, self.awaited_key.iter(), now));
        after
    }

    /// What is trusted on the purge clock's `now`, when everything is waited for so long.
    fn at(&self, link: &L1Reference, now: u64, wait: Duration) -> Self {
        let is_over = |since: u64| wait.is_zero() || remaining(since, now, wait).is_zero();
        let mut after = self.clone();
        let (over, awaited) = self.awaited.iter().cloned().partition::<Vec<_>, _>(|root| is_over(root.since));
        after.awaited = awaited;
        after.trusted.extend(over.into_iter().map(|root| root.what));
        if after.awaited.is_empty() {
            after.trusted.retain(|root| link.roots.contains(root));
        }
        if let Some(key) = after.awaited_key.take_if(|key| is_over(key.since)) {
            after.key = Some(key.what);
        }
        after
    }

    /// The same without what is waited for: its link has ended.
    fn given_up(self) -> Self {
        Self { awaited: Vec::new(), awaited_key: None, ..self }
    }

    fn waits(&self) -> bool {
        !self.awaited.is_empty() || self.awaited_key.is_some()
    }
}

fn wait<'a, T: Clone + PartialEq + 'a>(
    what: &T,
    mut held: impl Iterator<Item = &'a Awaited<T>>,
    now: u64,
) -> Awaited<T> {
    let before = held.find(|held| held.what == *what);
    before.cloned().unwrap_or_else(|| Awaited { what: what.clone(), since: now })
}

fn remaining(since: u64, now: u64, wait: Duration) -> Duration {
    Duration::from_millis(since).saturating_add(wait).saturating_sub(Duration::from_millis(now))
}

/// Takes account of a tenant's link as it is held now.
pub(super) fn hear(tx: &mut dyn Write, tenant: &TenantId) -> Result<(), StoreError> {
    let held = OWNERS.get(tx.as_read(), tenant.as_str())?;
    let Some(link) = present(tx.as_read(), tenant)? else {
        return match held.filter(Owner::waits) {
            Some(held) => put(tx, tenant, &held.given_up()),
            None => Ok(()),
        };
    };
    let after = match held.as_ref().filter(|held| held.generation == link.generation) {
        None => Owner::first(&link),
        Some(held) => held.after(&link, purge::clock(tx)?),
    };
    if held.as_ref() == Some(&after) {
        return Ok(());
    }
    let before = held.map(|held| held.awaited).unwrap_or_default();
    for root in after.awaited.iter().filter(|root| !before.contains(root)) {
        tracing::warn!(%tenant, root = %root.what,
            "a link names another root without the word of the tenant's owner: nothing is sealed to it before this \
             Core's wait is over; unlink it, or link the former roots, if that is not meant");
    }
    put(tx, tenant, &after)
}

/// The same where nothing is held yet of a tenant that a store of an earlier build has a link of.
pub(super) fn hear_once(tx: &mut dyn Write, tenant: &TenantId) -> Result<(), StoreError> {
    match OWNERS.get(tx.as_read(), tenant.as_str())? {
        None => hear(tx, tenant),
        Some(_) => Ok(()),
    }
}

/// The link of a tenant's present generation, if it stands.
fn present(view: &dyn Read, tenant: &TenantId) -> Result<Option<L1Reference>, StoreError> {
    let Some(held) = TENANTS.get(view, tenant.as_str())? else { return Ok(None) };
    let Some(LinkRecord { reference: Some(reference), revoked, .. }) = LINKS.get(view, tenant.as_str())?
    else {
        return Ok(None);
    };
    let link = reference.fact;
    let stands = link.state == LinkState::Linked && revoked < Some(link.epoch);
    Ok((stands && link.generation == held.fact.generation).then_some(link))
}

fn put(tx: &mut dyn Write, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
    OWNERS.put(tx, tenant.as_str(), owner)?;
    match owner.waits() {
        true => AWAITED.put(tx, tenant.as_str(), &()),
        false => AWAITED.delete(tx, tenant.as_str()),
    }
}

/// What is trusted of a tenant's links.
///
/// # Errors
/// When the store can't be read.
pub fn owner(view: &dyn Read, tenant: &TenantId) -> Result<Option<Owner>, StoreError> {
    OWNERS.get(view, tenant.as_str())
}

/// The roots of a link that may be sealed to, the preferred one first.
///
/// # Errors
/// When the store can't be read.
pub fn sealable(view: &dyn Read, link: &L1Reference) -> Result<Vec<RootRef>, StoreError> {
    let mut roots = link.roots.clone();
    if let Some(owner) = owner(view, &link.tenant)?.filter(|owner| owner.generation == link.generation) {
        roots.retain(|root| owner.trusted.contains(root));
    }
    Ok(roots)
}

/// The roots of a tenant's link that may not be sealed to yet, and how long that is waited for still, of a wait that is
/// so long in all.
///
/// # Errors
/// When the store can't be read.
pub fn awaited(
    view: &dyn Read,
    tenant: &TenantId,
    wait: Duration,
) -> Result<Vec<(RootRef, Duration)>, StoreError> {
    let Some(owner) = owner(view, tenant)?.filter(|owner| !owner.awaited.is_empty()) else {
        return Ok(Vec::new());
    };
    let now = Ledger::read(view)?.now();
    let left = |root: Awaited<RootRef>| {
        let left = if wait.is_zero() { Duration::ZERO } else { remaining(root.since, now, wait) };
        (root.what, left)
    };
    Ok(owner.awaited.into_iter().map(left).collect())
}

/// How many tenants have a root, or an owner's key, that is waited for.
///
/// # Errors
/// When the store can't be read.
pub fn waiting(view: &dyn Read) -> Result<usize, StoreError> {
    Ok(AWAITED.list(view, "", None, usize::MAX)?.len())
}

/// Whether a wait is over.
///
/// # Errors
/// When the store can't be read.
pub fn has_come(view: &dyn Read, wait: Duration) -> Result<bool, StoreError> {
    Ok(!ended(view, wait, 1)?.is_empty())
}

/// Trusts what was waited for so long. Gives the tenants of which something is trusted since now.
///
/// # Errors
/// When the store fails.
pub fn advance(tx: &mut dyn Write, wait: Duration) -> Result<Vec<TenantId>, StoreError> {
    let mut trusted = Vec::new();
    for (tenant, after) in ended(tx.as_read(), wait, AT_ONCE)? {
        tracing::warn!(%tenant, "the wait for another root is over: the tenant's keys are sealed to it from now on");
        put(tx, &tenant, &after)?;
        trusted.push(tenant);
    }
    Ok(trusted)
}

/// Tenants of which a wait is over, and what is trusted of each then.
fn ended(view: &dyn Read, wait: Duration, limit: usize) -> Result<Vec<(TenantId, Owner)>, StoreError> {
    let now = Ledger::read(view)?.now();
    let mut ended = Vec::new();
    for (name, ()) in AWAITED.list(view, "", None, usize::MAX)? {
        let (Ok(tenant), Some(owner)) = (TenantId::new(&name), OWNERS.get(view, &name)?) else { continue };
        let after = match present(view, &tenant)? {
            Some(link) if link.generation == owner.generation => owner.at(&link, now, wait),
            // What ended it was told of another way than by the link.
            _ => owner.clone().given_up(),
        };
        if after != owner {
            ended.push((tenant, after));
        }
        if ended.len() == limit {
            break;
        }
    }
    Ok(ended)
}
