//! Unlinking: the customer pulls the plug.
//!
//! It needs nothing but a pointer: no tenant that is known, no provider that answers. While the store is, or
//! may be, behind what the CMK Server has said, it does not even need a pointer; and what it holds as unlinked
//! is ended once more, since a link may have been made that it has forgotten. What always holds: an Unlink is
//! a revision of its own, ends every link that was made before it, and is told to every region that was ever
//! told of the pointer; by a store that is behind, to all regions.

use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{Generation, LinkEpoch, RegionId, Revision, Timestamp};

use super::{Decision, Held, Precondition, Refusal, letters};
use crate::store::{Health, Pointer, UnlinkReason, Unlinked};

/// Decides an Unlink that somebody asked for. What is unlinked already stays as it is.
///
/// # Errors
/// When there never was a pointer, or a precondition fails.
pub fn unlink(held: &Held<'_>, precondition: &Precondition, now: Timestamp) -> Result<Decision, Refusal> {
    let doubt = held.standing.doubt();
    let Some(pointer) = held.pointer else {
        doubt.ok_or(Refusal::NotLinked)?;
        precondition.check(None)?;
        return Ok(end(held, &forgotten(held, now), UnlinkReason::Requested, now));
    };
    precondition.check(Some(pointer.revision))?;
    match pointer.unlinked {
        // What ended since its roots deny would be linked again when they do not: somebody says that it is not to be.
        Some(ended)
            if ended.reason != UnlinkReason::Denied && doubt.is_none_or(|doubt| pointer.revision > doubt) =>
        {
            Ok(Decision::nothing(pointer.clone()))
        }
        ended => {
            let before = ended.map(|ended| ended.reason).filter(|reason| *reason != UnlinkReason::Denied);
            Ok(end(held, pointer, before.unwrap_or(UnlinkReason::Requested), now))
        }
    }
}

/// Ends a link, known or not, and tells everyone whom it concerns.
pub fn end(held: &Held<'_>, pointer: &Pointer, reason: UnlinkReason, now: Timestamp) -> Decision {
    let mut pointer = Pointer {
        revision: held.next,
        state: LinkState::Unlinked,
        changed_at: now,
        unlinked: Some(Unlinked { at: now, reason }),
        last_unlink: Some(held.next),
        ..pointer.clone()
    };
    let everywhere: Vec<RegionId> = match held.standing.is_stale() {
        true => held.landscape.regions.iter().cloned().collect(),
        false => Vec::new(),
    };
    let letters = letters::tell_end(&mut pointer, held.regions(), &everywhere, reason, now);
    Decision { pointer, changed: true, letters }
}

/// The pointer of a tenant whose pointer this store has forgotten, if there was one.
fn forgotten(held: &Held<'_>, now: Timestamp) -> Pointer {
    let unknown = "this store does not know the roots";
    Pointer {
        tenant: held.id.clone(),
        generation: held.tenant.map_or(Generation(Revision::ZERO), |tenant| tenant.fact.generation),
        epoch: LinkEpoch(held.next),
        revision: held.next,
        state: LinkState::Linked,
        roots: Vec::new(),
        owner_key: None,
        owner_word: None,
        owner_number: 0,
        ttl: None,
        health: Health { reason: Some(unknown.into()), last_good: None, ..Health::ok(now) },
        told: [].into(),
        linked_at: now,
        changed_at: now,
        unlinked: None,
        last_unlink: None,
    }
}
