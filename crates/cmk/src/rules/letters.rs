//! What the regions are told of a pointer.
//!
//! A Link is told to the regions that the tenant has now. Its end is told to those and to every
//! region that was ever told of the pointer, and twice: as the fact, and as a revoke on the urgent
//! lane. Letters carry the pointer's revision.

use std::collections::BTreeSet;

use openkcm_contracts::v1::{L1Reference, L1Revoke};
use openkcm_contracts::{Audience, Event, RegionId, Timestamp};
use openkcm_orbital::Letter;

use crate::store::{Pointer, UnlinkReason};

/// Tells the pointer to those of `regions` that were not told of its present revision.
pub(super) fn tell(pointer: &mut Pointer, regions: &[RegionId], now: Timestamp) -> Vec<Letter> {
    let mut letters = Vec::new();
    for region in regions {
        if pointer.told.insert(region.clone(), pointer.revision) != Some(pointer.revision) {
            letters.push(letter(&reference(pointer), pointer, region, now));
        }
    }
    letters
}

/// Tells the end of the pointer's link to `regions` and to all that were ever told of the pointer.
pub(super) fn tell_end(
    pointer: &mut Pointer,
    regions: &[RegionId],
    reason: UnlinkReason,
    now: Timestamp,
) -> Vec<Letter> {
    let everyone: BTreeSet<RegionId> = regions.iter().chain(pointer.told.keys()).cloned().collect();
    let mut letters = Vec::with_capacity(2 * everyone.len());
    for region in everyone {
        letters.push(letter(&revoke(pointer, reason), pointer, &region, now));
        letters.push(letter(&reference(pointer), pointer, &region, now));
        pointer.told.insert(region, pointer.revision);
    }
    letters
}

fn letter(event: &Event, pointer: &Pointer, region: &RegionId, now: Timestamp) -> Letter {
    Letter::new(event, Audience::Region(region.clone()), pointer.revision, now)
}

fn reference(pointer: &Pointer) -> Event {
    Event::L1Reference(L1Reference {
        tenant: pointer.tenant.clone(),
        generation: pointer.generation,
        epoch: pointer.epoch,
        state: pointer.state,
        roots: pointer.roots.clone(),
        owner_key: pointer.owner_key.clone(),
        ttl: pointer.ttl,
    })
}

fn revoke(pointer: &Pointer, reason: UnlinkReason) -> Event {
    Event::L1Revoke(L1Revoke {
        tenant: pointer.tenant.clone(),
        epoch: pointer.epoch,
        reason: reason.to_string(),
    })
}
