//! Leases: what the CMK Server has agreed on, and the moments that they count from.
//!
//! Of each manifest that was told lately the nonce and the moment are kept; a lease that echoes one counts from then.
//! What always holds: the present lease answers the latest manifest that any did; a link that it does not cover keeps
//! the one that it had before, which is kept apart, and nothing else; an older lease changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::v1::{Dispute, Kept, LinkState, SovereignLease};
use openkcm_contracts::{Revision, TenantId};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use super::{LINKS, LinkRecord, digests, manifest};
use crate::rules::{Grant, LeasePolicy, Moment, Standing, moment_standing};

pub(super) const SENT: Table<Sent> = Table::new("manifests_sent");
pub(super) const LEASE: Table<Grant> = Table::new("lease");
pub(super) const APART: Table<Apart> = Table::new("leases_apart");
pub(super) const NOTED: Table<Moment> = Table::new("latest_moment");
/// Since when the mesh is to be read before anything is served.
pub(super) const READS_FIRST: Table<Moment> = Table::new("reads_first");

/// What a lease is kept in: none of it outlives the store that it was given to.
pub(crate) fn spaces() -> [Space; 3] {
    [SENT.space(), LEASE.space(), APART.space()]
}

/// Of [`LEASE`], [`NOTED`] and [`READS_FIRST`].
const THE: &str = "the";

/// Manifests whose answers are waited for: more than are told while a lease is under way.
const MOST_SENT: u64 = 64;

/// A manifest that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    nonce: String,
    at: Moment,
}

/// A tenant that the present lease does not cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Apart {
    tenant: TenantId,
    /// The lease that it has from before, which may have run out.
    grant: Option<Grant>,
}

/// What is kept of leases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    /// The present one.
    pub grant: Option<Grant>,
    /// Tenants that it does not cover, and which one they have instead.
    pub apart: BTreeMap<TenantId, Option<Grant>>,
    /// Whether what is held may have ended long ago, and the mesh is to be read before anything is served.
    pub reads_first: bool,
}

/// Begins an incarnation at this moment: of manifests before it none is answered any more. Where the machine was
/// started anew, or put back, no earlier lease holds, as the policy has it.
///
/// A store that was in use, and has no lease that holds, may be older than it looks: put back from a backup, which has none
/// ([`spaces`]), or from an image of its disk; or its Core was down for long. It reads what was said meanwhile before it
/// serves. That keeps nobody waiting who could be served: a Core without a lease needs the mesh for one.
pub(super) fn begin(
    tx: &mut dyn Write,
    had_begun: bool,
    policy: &LeasePolicy,
    now: &Moment,
) -> Result<(), StoreError> {
    forget_sent(tx)?;
    let noted = NOTED.get(tx.as_read(), THE)?;
    let is_void = match moment_standing(noted.as_ref(), now) {
        Standing::Onward => false,
        Standing::Rebooted => !policy.trusted_wall_clock,
        Standing::PutBack => true,
    };
    if is_void && LEASE.get(tx.as_read(), THE)?.is_some() {
        tracing::warn!("the machine was started anew, or its clocks were put back: no earlier lease holds");
        void(tx)?;
    }
    let until = LEASE.get(tx.as_read(), THE)?.and_then(|grant| grant.own_deadline(policy, now.boot_id));
    if had_begun && until.is_none_or(|until| until.has_come(now)) {
        READS_FIRST.put(tx, THE, now)?;
    }
    NOTED.put(tx, THE, now)
}

/// Of the manifests that were told none is answered any more.
pub(super) fn forget_sent(tx: &mut dyn Write) -> Result<(), StoreError> {
    let sent = SENT.list(tx.as_read(), "", None, usize::MAX)?;
    sent.iter().try_for_each(|(key, _)| SENT.delete(tx, key))
}

/// A lease covers a tenant's link only if it answers a manifest that is told from now on.
pub(super) fn told_anew(tx: &mut dyn Write, tenant: &TenantId) -> Result<(), StoreError> {
    let Some(link) = LINKS.get(tx.as_read(), tenant.as_str())? else { return Ok(()) };
    let since = manifest::tells_of_link(tx)?;
    LINKS.put(tx, tenant.as_str(), &LinkRecord { since, ..link })
}

/// No lease holds any more.
///
/// # Errors
/// When the store fails.
pub fn void(tx: &mut dyn Write) -> Result<(), StoreError> {
    LEASE.delete(tx, THE)?;
    for (key, _) in APART.list(tx.as_read(), "", None, usize::MAX)? {
        APART.delete(tx, &key)?;
    }
    Ok(())
}

/// What ends things was read to its end on the mesh since the start: what the store holds is what holds now.
///
/// # Errors
/// When the store fails.
pub fn caught_up(tx: &mut dyn Write) -> Result<(), StoreError> {
    READS_FIRST.delete(tx, THE)
}

/// Notes the present moment, so that a later one that is earlier is found out.
///
/// # Errors
/// When the store fails.
pub fn note(tx: &mut dyn Write, now: &Moment) -> Result<(), StoreError> {
    match moment_standing(NOTED.get(tx.as_read(), THE)?.as_ref(), now) {
        Standing::Onward => NOTED.put(tx, THE, now),
        Standing::Rebooted | Standing::PutBack => Ok(()),
    }
}

/// A manifest is told at this moment.
pub(super) fn sent(
    tx: &mut dyn Write,
    manifest: Revision,
    nonce: &str,
    now: &Moment,
) -> Result<(), StoreError> {
    let key = |sequence: u64| format!("{sequence:016x}");
    // Listings have numbers among them, so that more than one may be due to be forgotten.
    let kept_from = key(manifest.counter.saturating_sub(MOST_SENT));
    for (old, _) in SENT.list(tx.as_read(), "", None, 8)? {
        if old < kept_from {
            SENT.delete(tx, &old)?;
        }
    }
    SENT.put(tx, &key(manifest.counter), &Sent { nonce: nonce.to_owned(), at: *now })?;
    note(tx, now)
}

/// What a lease changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing.
    Nothing,
    /// It is no lease for this incarnation, and this Core goes on as the one that it is for.
    GoesOn,
    /// The present lease, and the tenants whose lease or link is another one by it, beside those that it covers.
    Lease(BTreeSet<TenantId>),
}

/// Takes a lease.
pub(super) fn take(tx: &mut dyn Write, fact: &SovereignLease) -> Result<Taken, StoreError> {
    let incarnation = manifest::incarnation(tx.as_read())?;
    let answered = SENT.list(tx.as_read(), "", None, usize::MAX)?;
    let Some((key, sent)) = answered.into_iter().find(|(_, sent)| sent.nonce == fact.nonce) else {
        return Ok(Taken::Nothing);
    };
    if fact.incarnation != u64::from(incarnation) {
        if !manifest::go_on_as(tx, fact.incarnation)? {
            return Ok(Taken::Nothing);
        }
        tracing::warn!(
            from = incarnation,
            to = fact.incarnation,
            "the CMK Server knows a later start of this region's Core, which is silent or forgotten: this Core goes \
             on as a later one; its clock was behind when it started, or its store was put back"
        );
        return Ok(Taken::GoesOn);
    }
    let sequence = u64::from_str_radix(&key, 16).unwrap_or_default();
    let grant = Grant { manifest: Revision::new(incarnation, sequence), from: sent.at, ttl: fact.ttl };
    let before = LEASE.get(tx.as_read(), THE)?;
    if before.is_some_and(|before| before.manifest >= grant.manifest) {
        return Ok(Taken::Nothing);
    }
    let excluded = excluded(tx.as_read(), fact)?;
    let mut touched = set_apart(tx, &excluded, before)?;
    for dispute in &fact.disputes {
        if correct(tx, dispute)? {
            touched.insert(dispute.tenant.clone());
        }
    }
    LEASE.put(tx, THE, &grant)?;
    Ok(Taken::Lease(touched))
}

/// The tenants that a lease does not renew, of those that have a link here.
fn excluded(view: &dyn Read, fact: &SovereignLease) -> Result<BTreeSet<TenantId>, StoreError> {
    let mut excluded: BTreeSet<TenantId> = BTreeSet::new();
    for dispute in &fact.disputes {
        if LINKS.get(view, dispute.tenant.as_str())?.is_some() {
            excluded.insert(dispute.tenant.clone());
        }
    }
    if fact.unsettled.is_empty() {
        return Ok(excluded);
    }
    let mut held = digests::buckets(view, Kept::Links)?;
    for unsettled in &fact.unsettled {
        let without: BTreeSet<&TenantId> = unsettled.without.iter().collect();
        for id in &without {
            held.replace(id.as_str(), digests::link(view, id)?.as_deref(), None);
        }
        // Where the others are held as they are to be, that is what the CMK Server agrees on.
        let is_agreed = held.digest(unsettled.bucket) == unsettled.others;
        let units = digests::links_in(view, unsettled.bucket)?;
        let units = units.iter().filter_map(|name| TenantId::new(name).ok());
        excluded.extend(units.filter(|id| !is_agreed || without.contains(id)));
    }
    Ok(excluded)
}

/// Sets tenants apart with the lease that they had, and lets those that are covered again go on with the others.
fn set_apart(
    tx: &mut dyn Write,
    excluded: &BTreeSet<TenantId>,
    before: Option<Grant>,
) -> Result<BTreeSet<TenantId>, StoreError> {
    let mut touched = BTreeSet::new();
    let mut known = BTreeSet::new();
    for (key, apart) in APART.list(tx.as_read(), "", None, usize::MAX)? {
        if excluded.contains(&apart.tenant) {
            known.insert(apart.tenant);
        } else {
            APART.delete(tx, &key)?;
            touched.insert(apart.tenant);
        }
    }
    for tenant in excluded.difference(&known) {
        APART.put(tx, tenant.as_str(), &Apart { tenant: tenant.clone(), grant: before })?;
        touched.insert(tenant.clone());
    }
    Ok(touched)
}

/// The CMK Server says which link of a tenant holds, or that none does: the others are dead.
fn correct(tx: &mut dyn Write, dispute: &Dispute) -> Result<bool, StoreError> {
    let key = dispute.tenant.as_str();
    let Some(link) = LINKS.get(tx.as_read(), key)? else { return Ok(false) };
    let held = link.reference.as_ref().map(|held| held.fact.epoch);
    let dead = match dispute.state {
        LinkState::Unlinked => Some(dispute.epoch),
        LinkState::Linked => held.filter(|held| *held < dispute.epoch),
    };
    if dead.is_none() || link.revoked >= dead {
        return Ok(false);
    }
    LINKS.put(tx, key, &LinkRecord { revoked: dead, ..link })?;
    Ok(true)
}

/// What is kept of leases.
///
/// # Errors
/// When the store can't be read.
pub fn leases(view: &dyn Read) -> Result<Leases, StoreError> {
    let apart = APART.list(view, "", None, usize::MAX)?.into_iter();
    Ok(Leases {
        grant: LEASE.get(view, THE)?,
        apart: apart.map(|(_, apart)| (apart.tenant, apart.grant)).collect(),
        reads_first: READS_FIRST.get(view, THE)?.is_some(),
    })
}
