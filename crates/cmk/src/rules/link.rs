//! Linking: whether it may be done, and which epoch it makes.
//!
//! An epoch is the revision that made a link. The first link makes one, a link after an Unlink makes
//! one, and so does a change of the roots (or of their order) while linked: it is another link, and no
//! Core may take a lease on the old roots for one on the new. Another TTL alone keeps the epoch, and so does
//! the word of the owner for the roots that are linked.
//!
//! Not here: whether the roots are usable. That was asked before, outside of any transaction.

use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{LinkEpoch, TenantState, Timestamp};

use super::owner::Owners;
use super::{Decision, Held, LinkRequest, Precondition, Refusal, letters};
use crate::store::{Health, Pointer, Tenant};

/// Whether this tenant may be linked now by someone with this precondition.
///
/// # Errors
/// When the store is behind, the tenant is not known here or is offboarded, or the precondition is missing or
/// fails.
pub fn may_link<'a>(held: &Held<'a>, precondition: &Precondition) -> Result<&'a Tenant, Refusal> {
    if held.standing.is_stale() {
        return Err(Refusal::Stale);
    }
    let tenant = held.tenant.ok_or(Refusal::NotYetKnown)?;
    if tenant.fact.state == TenantState::Offboarded {
        return Err(Refusal::TenantOffboarded);
    }
    match held.pointer {
        Some(ended) if !continues(ended, tenant) => precondition.require(ended.revision)?,
        present => precondition.check(present.map(|pointer| pointer.revision))?,
    }
    Ok(tenant)
}

/// Decides a link whose roots were found usable. The same content while linked changes nothing but
/// the health, and nobody is told.
///
/// # Errors
/// As [`may_link`]; and when the word of the tenant's owner does not hold.
pub fn link(
    held: &Held<'_>,
    request: &LinkRequest,
    precondition: &Precondition,
    health: Health,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let tenant = may_link(held, precondition)?;
    let owners = Owners::after(held, request, tenant.fact.generation)?;
    let present = held.pointer.filter(|pointer| continues(pointer, tenant));
    let same_roots = present.filter(|pointer| pointer.roots == request.roots());
    let same = |pointer: &&Pointer| {
        let of_owner = (&pointer.owner_key, &pointer.owner_word) == (&owners.key, &owners.word);
        pointer.ttl == request.ttl() && of_owner
    };
    if let Some(same) = same_roots.filter(same) {
        return Ok(Decision::nothing(Pointer { health, ..same.clone() }));
    }
    let mut pointer = Pointer {
        tenant: tenant.fact.tenant.clone(),
        generation: tenant.fact.generation,
        epoch: same_roots.map_or(LinkEpoch(held.next), |pointer| pointer.epoch),
        revision: held.next,
        state: LinkState::Linked,
        roots: request.roots().to_vec(),
        owner_key: owners.key,
        owner_word: owners.word,
        owner_number: owners.number,
        ttl: request.ttl(),
        health,
        told: held.pointer.map(|pointer| pointer.told.clone()).unwrap_or_default(),
        linked_at: same_roots.map_or(now, |pointer| pointer.linked_at),
        changed_at: now,
        unlinked: None,
        last_unlink: held.pointer.and_then(|pointer| pointer.last_unlink),
    };
    let letters = letters::tell(&mut pointer, &tenant.fact.regions, now);
    Ok(Decision { pointer, changed: true, letters })
}

/// Whether a link of this pointer stands, so that a request changes it instead of making another.
fn continues(pointer: &Pointer, tenant: &Tenant) -> bool {
    pointer.is_linked() && pointer.generation == tenant.fact.generation
}
