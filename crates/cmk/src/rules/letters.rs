//! What the regions are told of a pointer.
//!
//! A Link is told to the regions that the tenant has now. Its end is told to those and to every
//! region that was ever told of the pointer, and twice: as the fact, and as a revoke on the urgent
//! lane. Roots go to the regions that the tenant has now and to no others. Letters carry the pointer's
//! revision, and a revoke ends every link up to it: also one that this store does not know.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::v1::{L1Reference, L1Revoke};
use openkcm_contracts::{Audience, Event, LinkEpoch, RegionId, Timestamp};
use openkcm_orbital::Letter;
use openkcm_orbital::words::found::Heard;

use crate::store::{Pointer, UnlinkReason};

/// What regions have heard of a pointer last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeardOf {
    /// Of `L1.Reference`.
    pub fact: BTreeMap<RegionId, Heard>,
    /// Of `L1.Revoke`.
    pub revoke: BTreeMap<RegionId, Heard>,
}

impl HeardOf {
    /// Whether any region has another word under the pointer's revision.
    pub(super) fn contradicts(&self, pointer: &Pointer) -> bool {
        let forms = [true, false].map(|roots| Heard::new(&reference(pointer, roots), pointer.revision));
        self.fact.values().any(|heard| forms.iter().all(|form| heard.contradicts(form)))
    }
}

/// Tells the pointer to those of `regions` that were not told of its present revision.
pub(super) fn tell(pointer: &mut Pointer, regions: &[RegionId], now: Timestamp) -> Vec<Letter> {
    let mut letters = Vec::new();
    for region in regions {
        if pointer.told.insert(region.clone(), pointer.revision) != Some(pointer.revision) {
            letters.push(letter(reference(pointer, true), pointer, region, now));
        }
    }
    letters
}

/// Tells the end of the pointer's link to the tenant's `regions`, to all that were ever told of the pointer,
/// and `everywhere` it may be known.
pub(super) fn tell_end(
    pointer: &mut Pointer,
    regions: &[RegionId],
    everywhere: &[RegionId],
    reason: UnlinkReason,
    now: Timestamp,
) -> Vec<Letter> {
    let mut letters = Vec::new();
    for region in everyone(pointer, regions, everywhere) {
        letters.push(letter(revoke(pointer, reason), pointer, &region, now));
        letters.push(letter(reference(pointer, regions.contains(&region)), pointer, &region, now));
        pointer.told.insert(region, pointer.revision);
    }
    letters
}

/// Tells the pointer to those that have not heard its present revision, by what they have heard.
pub(super) fn tell_who_lacks_it(
    pointer: &mut Pointer,
    regions: &[RegionId],
    heard: &HeardOf,
    now: Timestamp,
) -> Vec<Letter> {
    let mut letters = Vec::new();
    let audience = match pointer.unlinked {
        Some(_) => everyone(pointer, regions, &[]),
        None => regions.iter().cloned().collect(),
    };
    for region in audience {
        let lacks = |heard: &BTreeMap<RegionId, Heard>| {
            heard.get(&region).is_none_or(|heard| heard.revision < pointer.revision)
        };
        if let Some(ended) = pointer.unlinked.filter(|_| lacks(&heard.revoke)) {
            letters.push(letter(revoke(pointer, ended.reason), pointer, &region, now));
        }
        if lacks(&heard.fact) {
            letters.push(letter(reference(pointer, regions.contains(&region)), pointer, &region, now));
        }
        pointer.told.insert(region, pointer.revision);
    }
    letters
}

/// What a region is told that holds another link than it is to, or none: the pointer as it is, and of what is dead
/// also that it is. Nothing where it was never told of the pointer and has not the tenant, nor where the Registry is to
/// speak: to a region that the tenant has left.
pub(crate) fn again(
    pointer: &Pointer,
    (region, has_region): (&RegionId, bool),
    now: Timestamp,
) -> Vec<Letter> {
    if !has_region && !pointer.told.contains_key(region) {
        return Vec::new();
    }
    let ended = pointer.unlinked.map(|ended| letter(revoke(pointer, ended.reason), pointer, region, now));
    let is_told = has_region || ended.is_some();
    let fact = is_told.then(|| letter(reference(pointer, has_region), pointer, region, now));
    ended.into_iter().chain(fact).collect()
}

/// The pointer as it is compared: of one that has ended, only the tenant's present regions hear the roots.
pub(crate) fn comparable(pointer: &Pointer) -> Event {
    reference(pointer, pointer.is_linked())
}

fn everyone(pointer: &Pointer, regions: &[RegionId], everywhere: &[RegionId]) -> BTreeSet<RegionId> {
    regions.iter().chain(everywhere).chain(pointer.told.keys()).cloned().collect()
}

fn letter(event: Event, pointer: &Pointer, region: &RegionId, now: Timestamp) -> Letter {
    Letter::new(&event, Audience::Region(region.clone()), pointer.revision, now)
}

fn reference(pointer: &Pointer, with_roots: bool) -> Event {
    Event::L1Reference(L1Reference {
        tenant: pointer.tenant.clone(),
        generation: pointer.generation,
        epoch: pointer.epoch,
        state: pointer.state,
        roots: if with_roots { pointer.roots.clone() } else { Vec::new() },
        owner_key: pointer.owner_key.clone(),
        ttl: pointer.ttl,
        owner_word: pointer.owner_word.clone().filter(|_| pointer.is_linked()),
    })
}

fn revoke(pointer: &Pointer, reason: UnlinkReason) -> Event {
    Event::L1Revoke(L1Revoke {
        tenant: pointer.tenant.clone(),
        epoch: LinkEpoch(pointer.revision),
        reason: reason.to_string(),
    })
}
