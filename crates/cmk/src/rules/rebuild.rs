//! What becomes of a pointer that the mesh knows too, when the store is rebuilt from there.
//!
//! The newer word goes on; where two lives of the store both changed the pointer, that of the mesh does
//! ([`Lost::prevails`]). An Unlink is never lost by it: one that was asked for by a store that was behind has
//! been told under a later term before this begins, and prevails; one of which only the revoke reached the
//! mesh counts as if its fact had.
//!
//! Records and words in, a pointer out. What the mesh does not tell (when a link was made, what the roots last
//! answered) is taken from the store where it speaks of the same link.

use openkcm_contracts::v1::{L1Reference, L1Revoke, LinkState, OwnerWord};
use openkcm_contracts::{Event, Generation, LinkEpoch, Revision, TenantId, TenantState, Timestamp};
use openkcm_orbital::words::found::{Lost, Prevails};

use super::letters;
pub use super::letters::HeardOf;
use super::{Decision, Held, unlink};
use crate::store::{Health, Pointer, UnlinkReason, Unlinked};

/// The newest words about a tenant's pointer that the mesh has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The fact.
    pub reference: Option<(Revision, L1Reference)>,
    /// The revoke.
    pub revoke: Option<(Revision, L1Revoke)>,
}

impl Said {
    /// Whether these words end a link.
    fn ends(&self, link: &Pointer) -> bool {
        let fact = self.reference.as_ref().filter(|(_, fact)| fact.state == LinkState::Unlinked);
        let revoked = self.revoke.as_ref().is_some_and(|(_, revoke)| revoke.epoch >= link.epoch);
        revoked || fact.is_some_and(|(revision, _)| *revision >= link.revision)
    }

    fn is_as_new_as(&self, pointer: &Pointer) -> bool {
        let fact = self.reference.as_ref().map(|(revision, _)| *revision);
        fact.max(self.revoke.as_ref().map(|(revision, _)| *revision)) >= Some(pointer.revision)
    }
}

/// The pointer from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The pointer.
    pub pointer: Pointer,
    /// Whether a change of the store gave way for it, of which nobody was told.
    pub dropped: bool,
}

/// What the store takes of the mesh's words; nothing when its own pointer goes on, or there are no words.
pub fn take(
    tenant: &TenantId,
    held: Option<&Pointer>,
    said: &Said,
    lost: Lost,
    now: Timestamp,
) -> Option<Taken> {
    let taken = said_pointer(tenant, held, said, now)?;
    let Some(held) = held else { return Some(Taken { pointer: taken, dropped: false }) };
    match lost.prevails(held.revision, taken.revision, same_content(held, &taken)) {
        Prevails::Store => None,
        Prevails::Mesh => Some(Taken { pointer: taken, dropped: lost.covers(held.revision) }),
    }
}

/// What is told of a pointer at the end of a rebuild, and how it is from then on: what the mesh lacks of it is
/// told, and a link whose tenant is gone ends. A link that only this store knows of was made while another life
/// of the store may have gone on, and counts from now; so does one under whose revision somebody has heard of
/// another. One that somebody has heard to be dead stays so: that Unlink is lost, and was asked for.
pub fn settle(
    held: &Held<'_>,
    pointer: &Pointer,
    (said, heard): (&Said, &HeardOf),
    lost: Lost,
    now: Timestamp,
) -> Decision {
    let mut pointer = pointer.clone();
    let known = std::mem::take(&mut pointer.told).into_keys().chain(heard.revoke.keys().cloned());
    pointer.told = known.map(|region| (region, Revision::ZERO)).collect();
    pointer.told.extend(heard.fact.iter().map(|(region, heard)| (region.clone(), heard.revision)));
    let contradicted = heard.contradicts(&pointer);
    let over = match pointer.unlinked {
        Some(ended) => contradicted.then_some(ended.reason),
        None => is_over(held, &pointer).or(said.ends(&pointer).then_some(UnlinkReason::Requested)),
    };
    if let Some(reason) = over {
        return unlink::end(held, &pointer, reason, now);
    }
    let is_new = pointer.is_linked() && lost.covers(pointer.revision) && !said.is_as_new_as(&pointer);
    let is_new = is_new || contradicted;
    if is_new {
        pointer.epoch = LinkEpoch(held.next);
        pointer.revision = held.next;
    }
    let known = held.tenant.filter(|tenant| tenant.fact.generation == pointer.generation);
    let regions = known.or(held.tenant.filter(|_| !pointer.is_linked()));
    let regions = regions.map_or(&[][..], |tenant| &tenant.fact.regions);
    let letters = letters::tell_who_lacks_it(&mut pointer, regions, heard, now);
    Decision { pointer, changed: is_new, letters }
}

/// Why a link is over by what the Registry has said of its tenant.
fn is_over(held: &Held<'_>, pointer: &Pointer) -> Option<UnlinkReason> {
    let fact = &held.tenant?.fact;
    if fact.generation > pointer.generation {
        return Some(UnlinkReason::DefinedAnew);
    }
    let same = fact.generation == pointer.generation;
    (same && fact.state == TenantState::Offboarded).then_some(UnlinkReason::Offboarded)
}

fn said_pointer(tenant: &TenantId, held: Option<&Pointer>, said: &Said, now: Timestamp) -> Option<Pointer> {
    let ended = said.revoke.as_ref().map(|(revision, _)| *revision);
    let (revision, fact) = match &said.reference {
        Some((revision, fact)) => (*revision, fact.clone()),
        None => (Revision::ZERO, unknown(tenant, held, said.revoke.as_ref()?)),
    };
    let unlinked = ended > Some(revision) || fact.state == LinkState::Unlinked;
    let revision = ended.map_or(revision, |ended| revision.max(ended));
    let same_link = held.filter(|held| held.epoch == fact.epoch);
    let reason = || Unlinked { at: now, reason: reason(said, revision) };
    Some(Pointer {
        tenant: tenant.clone(),
        generation: fact.generation,
        epoch: fact.epoch,
        revision,
        state: if unlinked { LinkState::Unlinked } else { LinkState::Linked },
        roots: fact.roots,
        owner_key: fact.owner_key,
        owner_number: held
            .map(|held| held.owner_number)
            .max(fact.owner_word.as_ref().map(|word| word.number))
            .unwrap_or_default(),
        owner_word: fact.owner_word,
        ttl: fact.ttl,
        health: same_link.map_or_else(|| taken_health(now), |held| held.health.clone()),
        told: held.map(|held| held.told.clone()).unwrap_or_default(),
        linked_at: same_link.map_or(now, |held| held.linked_at),
        changed_at: now,
        unlinked: unlinked.then(reason),
        last_unlink: held.and_then(|held| held.last_unlink),
    })
}

/// The link that a revoke ended whose fact did not reach the mesh.
fn unknown(tenant: &TenantId, held: Option<&Pointer>, revoke: &(Revision, L1Revoke)) -> L1Reference {
    L1Reference {
        tenant: tenant.clone(),
        generation: held.map_or(Generation(Revision::ZERO), |held| held.generation),
        epoch: held.map_or(revoke.1.epoch, |held| held.epoch),
        state: LinkState::Unlinked,
        roots: held.map(|held| held.roots.clone()).unwrap_or_default(),
        owner_key: held.and_then(|held| held.owner_key.clone()),
        ttl: held.and_then(|held| held.ttl),
        owner_word: None,
    }
}

fn reason(said: &Said, revision: Revision) -> UnlinkReason {
    let revoke = said.revoke.as_ref().filter(|(ended, _)| *ended == revision);
    let all = [UnlinkReason::Offboarded, UnlinkReason::DefinedAnew, UnlinkReason::Denied];
    let named = |reason: &UnlinkReason| revoke.is_some_and(|(_, revoke)| revoke.reason == reason.to_string());
    all.into_iter().find(named).unwrap_or(UnlinkReason::Requested)
}

fn taken_health(now: Timestamp) -> Health {
    let reason = Some("taken from the mesh; the roots were not asked since".into());
    Health { reason, last_good: None, ..Health::ok(now) }
}

fn same_content(held: &Pointer, taken: &Pointer) -> bool {
    let of = |pointer: &Pointer| (pointer.generation, pointer.epoch, pointer.state, pointer.ttl);
    let roots = held.roots == taken.roots || !held.is_linked();
    let owners = |pointer: &Pointer| (pointer.owner_key.clone(), told_word(pointer));
    of(held) == of(taken) && roots && owners(held) == owners(taken)
}

/// The owner's word as regions are told of it: of a link that stands.
fn told_word(pointer: &Pointer) -> Option<OwnerWord> {
    pointer.owner_word.clone().filter(|_| pointer.is_linked())
}

/// Whether a pointer takes account of a word: it is newer, or this is its own word. A link that a revoke has
/// ended does not, however new its last change.
pub fn knows(pointer: &Pointer, word: &Event, revision: Revision) -> bool {
    match word {
        Event::L1Reference(fact) => {
            let of = (fact.generation, fact.epoch, fact.state, fact.ttl);
            let roots = fact.roots == pointer.roots || !pointer.is_linked();
            let same = of == (pointer.generation, pointer.epoch, pointer.state, pointer.ttl)
                && roots
                && fact.owner_key == pointer.owner_key
                && fact.owner_word == told_word(pointer);
            pointer.revision > revision || (pointer.revision == revision && same)
        }
        Event::L1Revoke(fact) if pointer.is_linked() => pointer.epoch > fact.epoch,
        Event::L1Revoke(_) => pointer.revision >= revision,
        _ => true,
    }
}

/// Which of several copies of a word tells most: regions that the tenant has left hear of no roots; and of two
/// words under one revision the one that ends the link. None for what is no fact about a pointer.
pub fn rank(event: &Event) -> Option<u8> {
    match event {
        Event::L1Reference(fact) => {
            let ends = fact.state == LinkState::Unlinked;
            Some(2 * u8::from(ends) + u8::from(!fact.roots.is_empty()))
        }
        Event::L1Revoke(_) => Some(0),
        _ => None,
    }
}
