//! What the invariants know: who was told what, who made what, who was answered what.
//!
//! Written down beside the actors, from what was committed and answered; never read by them. What
//! always holds: it outlives every crash.

mod authorities;
mod owners;

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{KeySealed, LinkState};
use openkcm_contracts::{
    Event, Generation, KeyPath, LinkEpoch, Revision, ServicePath, SystemPath, TenantId, VersionId,
};
use openkcm_host::BootInstant;
use openkcm_orbital::Verified;

pub(crate) use authorities::{Authorities, Pointers};
pub(crate) use owners::Owners;

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What each Core was told and made.
    pub(crate) cores: Vec<Known>,
    /// Every ciphertext that any Core made.
    pub(crate) ciphertexts: Vec<Kept>,
    /// What was answered in this step.
    pub(crate) answers: Vec<Answered>,
    /// Commands that an authority refused in this step without a reason of its own.
    pub(crate) refused: Vec<String>,
    /// Cores that something happened to in this step.
    pub(crate) touched: BTreeSet<usize>,
    /// The Core that did what was due in this step.
    pub(crate) did_due: Option<usize>,
    /// Up to which generation the Registry ever wanted a key destroyed.
    pub(crate) purges: BTreeMap<KeyPath, Generation>,
    /// What the authorities decided and said, in all the lives of their disks.
    pub(crate) authorities: Authorities,
}

/// A ciphertext that a caller keeps.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) path: ServicePath,
    pub(crate) generation: Generation,
    pub(crate) version: VersionId,
    pub(crate) core: usize,
    pub(crate) text: String,
    pub(crate) plaintext: Vec<u8>,
    pub(crate) aad: Vec<u8>,
}

/// An answer of the data plane.
#[derive(Debug, Clone)]
pub(crate) enum Answered {
    /// A new ciphertext of this version.
    Encrypted { core: usize, path: ServicePath, version: VersionId },
    /// A plaintext, for the ciphertext of this index.
    Decrypted { core: usize, ciphertext: usize, plaintext: Vec<u8> },
    /// A refusal to decrypt the ciphertext of this index.
    Refused { core: usize, ciphertext: usize, code: Code },
}

/// What one Core was told, and what it made.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The newest fact about each thing that the Core has committed.
    pub(crate) newest: BTreeMap<String, (Revision, Event)>,
    /// Up to which epoch its links ended.
    pub(crate) ended: BTreeMap<TenantId, LinkEpoch>,
    /// The newest link that it was ever told.
    pub(crate) linked: BTreeMap<TenantId, LinkEpoch>,
    /// The sealed versions that it holds, by the keys of their records, and of what they are.
    pub(crate) versions: BTreeMap<Vec<u8>, (KeyPath, Generation)>,
    /// Since when, on the boot clock, it has known that a version that it holds has ended.
    pub(crate) ended_since: BTreeMap<Vec<u8>, BootInstant>,
    /// Since when the definition of a key that it holds is deleted, while it is.
    pub(crate) deleted_since: BTreeMap<KeyPath, BootInstant>,
    /// The generations of a key's definition that it has held, and since when it knew of each.
    pub(crate) generations: BTreeMap<KeyPath, Vec<(Generation, BootInstant)>>,
    /// Up to which generation its tombstones end a key, and since when.
    pub(crate) tombstones: BTreeMap<KeyPath, Vec<(Generation, BootInstant)>>,
    /// The versions that it made and kept, by key, generation and counter.
    pub(crate) made: BTreeMap<(KeyPath, Generation, u64), BTreeSet<VersionId>>,
    /// What the owners of the tenants' roots have said to it.
    pub(crate) l1: Owners,
    /// Whether a provider refused a system's key, and how, since it last did what was asked.
    pub(crate) troubled: BTreeMap<SystemPath, BTreeSet<&'static str>>,
}

impl Known {
    /// Events that were committed. Says which were older than what had been told, and which were links
    /// whose revoke had come before.
    pub(crate) fn committed(&mut self, events: &[Verified]) -> Told {
        let mut told = Told::default();
        for Verified { event, revision, .. } in events {
            match event {
                Event::L1Revoke(fact) => {
                    raise(&mut self.ended, &fact.tenant, fact.epoch);
                }
                Event::L1Reference(fact) if fact.state == LinkState::Unlinked => {
                    raise(&mut self.ended, &fact.tenant, fact.epoch);
                }
                Event::L1Reference(fact) => {
                    let is_first = self.linked.get(&fact.tenant) < Some(&fact.epoch);
                    told.revoke_first |= is_first && self.ended.get(&fact.tenant) >= Some(&fact.epoch);
                    raise(&mut self.linked, &fact.tenant, fact.epoch);
                }
                Event::KeySealed(_) | Event::ManifestQuery(_) => continue,
                _ => {}
            }
            if !matches!(event, Event::L1Revoke(_)) {
                let subject = event.subject().to_string();
                match self.newest.get(&subject) {
                    Some((newest, _)) if newest > revision => told.older = true,
                    _ => drop(self.newest.insert(subject, (*revision, event.clone()))),
                }
            }
        }
        told
    }

    /// A version that the Core made was kept.
    pub(crate) fn kept(&mut self, sealed: &KeySealed) {
        let place = (sealed.path(), sealed.generation, sealed.counter);
        self.made.entry(place).or_default().insert(sealed.version);
    }
}

/// What was remarkable about events that were committed.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Told {
    /// One was older than what had been told.
    pub(crate) older: bool,
    /// One was a link whose revoke had come before.
    pub(crate) revoke_first: bool,
}

fn raise(epochs: &mut BTreeMap<TenantId, LinkEpoch>, tenant: &TenantId, epoch: LinkEpoch) {
    let held = epochs.entry(tenant.clone()).or_insert(epoch);
    *held = (*held).max(epoch);
}
