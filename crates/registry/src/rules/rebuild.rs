//! What becomes of a record whose thing is on the mesh too, when the store is rebuilt from there.
//!
//! The newer word goes on; where two lives of the store both changed the thing, that of the mesh does
//! ([`Lost::prevails`]). Two things never get lost by it: a mark of a compromised version, since marks only
//! grow; and the wait before a purge, which begins anew where nobody knows when it began.
//!
//! Records in, a record out. Not here: whom the result is told.

use std::time::Duration;

use openkcm_contracts::v1::{KeyDefine, TenantDefine};
use openkcm_contracts::{Event, Generation, Revision, TenantState, Timestamp};
use openkcm_orbital::words::found::{Lost, Prevails};

use super::telling;
use crate::store::{Ended, KeyRecord, Purged, Tenancy, TenantRecord};

/// The waiting period of what ended at a time that the mesh does not tell: the one that a deletion has unless
/// its caller says otherwise.
pub const WAIT: Duration = Duration::from_secs(7 * 86_400);

/// When a rebuild is made, and between what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilding {
    /// What the two lives of the store have in common.
    pub lost: Lost,
    /// The present time.
    pub now: Timestamp,
}

/// The record of a thing from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken<R> {
    /// The record.
    pub record: R,
    /// Whether a change of the store gave way for it, of which nobody was told.
    pub dropped: bool,
    /// Whether the record is more than what the mesh has, and needs a revision of its own.
    pub more: bool,
}

impl Rebuilding {
    /// What the store takes of a tenant's word; nothing when its own record goes on.
    pub fn tenant(
        &self,
        held: Option<&TenantRecord>,
        said: &TenantDefine,
        revision: Revision,
    ) -> Option<Taken<TenantRecord>> {
        let said = &as_others_hear_it(said);
        let same = held.is_some_and(|held| is_word_of_tenant(held, said));
        if held.is_some_and(|held| self.lost.prevails(held.revision, revision, same) == Prevails::Store) {
            return None;
        }
        let record = self.tenant_record(held, said, revision);
        Some(Taken { record, dropped: self.drops(held.map(|held| held.revision)), more: false })
    }

    /// What the store takes of a key's word; nothing when its own record goes on.
    pub fn key(
        &self,
        held: Option<&KeyRecord>,
        said: &KeyDefine,
        revision: Revision,
    ) -> Option<Taken<KeyRecord>> {
        let same = held.map(telling::key_word).as_ref() == Some(said);
        if held.is_some_and(|held| self.lost.prevails(held.revision, revision, same) == Prevails::Store) {
            return None;
        }
        let mut record = self.key_record(held, said, revision);
        let marks = held.filter(|held| held.generation == said.generation).map(|held| &held.compromised);
        record.compromised.extend(marks.into_iter().flatten());
        let more = record.compromised != said.compromised;
        Some(Taken { record, dropped: self.drops(held.map(|held| held.revision)), more })
    }

    fn drops(&self, held: Option<Revision>) -> bool {
        held.is_some_and(|held| self.lost.covers(held))
    }

    fn tenant_record(
        &self,
        held: Option<&TenantRecord>,
        said: &TenantDefine,
        revision: Revision,
    ) -> TenantRecord {
        let same = held.filter(|held| held.generation == said.generation);
        let state = match (said.state, same.map(|held| held.state)) {
            (TenantState::Offboarded, Some(held @ Tenancy::Offboarded { .. })) => held,
            (TenantState::Offboarded, _) => Tenancy::Offboarded { purge_at: self.now.after(WAIT) },
            (TenantState::Active | TenantState::Suspended | TenantState::Withdrawn, _) => Tenancy::Active,
        };
        let before = held.filter(|held| self.is_before(held.generation.0, said.generation.0));
        TenantRecord {
            tenant: said.tenant.clone(),
            generation: said.generation,
            revision,
            state,
            regions: said.regions.clone(),
            labels: said.labels.clone(),
            ended: match same {
                Some(same) => same.ended,
                None => before.map(|held| self.ended(held.generation, held.ended)),
            },
            defined_at: same.map_or(self.now, |held| held.defined_at),
            changed_at: self.now,
        }
    }

    fn key_record(&self, held: Option<&KeyRecord>, said: &KeyDefine, revision: Revision) -> KeyRecord {
        let same = held.filter(|held| held.generation == said.generation);
        let before = held.filter(|held| self.is_before(held.generation.0, said.generation.0));
        KeyRecord {
            tenant: said.tenant.clone(),
            system: said.system.clone(),
            service: said.service.clone(),
            generation: said.generation,
            parent: said.parent,
            revision,
            state: said.state,
            algorithm: said.algorithm,
            rotate_every: said.rotate_every,
            compromised: said.compromised.clone(),
            ended: match same {
                Some(same) => same.ended,
                None => before.map(|held| self.ended(held.generation, held.ended)),
            },
            defined_at: same.map_or(self.now, |held| held.defined_at),
            changed_at: self.now,
        }
    }

    /// Whether a held generation is one that the said one ended: one that others know.
    fn is_before(&self, held: Revision, said: Revision) -> bool {
        held < said && held <= self.lost.base
    }

    fn ended(&self, generation: Generation, earlier: Option<Ended>) -> Ended {
        let purge_at = self.now.after(WAIT);
        Ended { generation, purge_at: earlier.map_or(purge_at, |earlier| purge_at.max(earlier.purge_at)) }
    }
}

/// Whether a definition that nobody was told of belongs to a parent that is not there.
pub fn is_orphan(record: &KeyRecord, parent: Option<Generation>, lost: Lost) -> bool {
    lost.covers(record.generation.0) && parent != Some(record.parent)
}

/// What the store takes of a tombstone that is on the mesh; nothing when its own goes on. What either life of the
/// store has said to be destroyed is destroyed.
pub fn tombstone(
    held: Option<Purged>,
    generation: Generation,
    revision: Revision,
    now: Timestamp,
) -> Option<Taken<Purged>> {
    let said = Purged { generation, revision, at: now };
    let Some(held) = held else { return Some(Taken { record: said, dropped: false, more: false }) };
    let says_as_much = held.generation >= generation;
    if says_as_much && held.revision > revision || (held.generation, held.revision) == (generation, revision)
    {
        return None;
    }
    let record = Purged { generation: held.generation.max(generation), at: held.at, ..said };
    Some(Taken { record, dropped: false, more: held.generation > generation || held.revision > revision })
}

/// Whether a word is what this record tells.
pub fn is_word_of_tenant(record: &TenantRecord, said: &TenantDefine) -> bool {
    telling::tenant_word(record) == as_others_hear_it(said)
}

/// *Withdrawn* is told only to regions that were left by a tenant that goes on elsewhere.
fn as_others_hear_it(said: &TenantDefine) -> TenantDefine {
    let state = if said.state == TenantState::Withdrawn { TenantState::Active } else { said.state };
    TenantDefine { state, ..said.clone() }
}

/// Which of several copies of a word tells most: a region that a tenant has left is not told of its state.
/// None for what is no fact.
pub fn rank(event: &Event) -> Option<u8> {
    match event {
        Event::TenantDefine(fact) if fact.state == TenantState::Withdrawn => Some(0),
        Event::TenantDefine(_) | Event::KeyDefine(_) | Event::KeyPurge(_) => Some(1),
        _ => None,
    }
}
