//! What the control asks for, and how it is answered.

use std::sync::{Arc, Weak};

use openkcm_contracts::v1::{KeySealed, Seal};
use openkcm_contracts::{Generation, LinkEpoch, RootRef, SystemPath, TenantId, Timestamp, VersionId};
use openkcm_host::BootInstant;
use openkcm_secrets::{LockedMemoryError, SecretKey};
use openkcm_store::StoreError;

use crate::rules::{Moment, Refusal, Said};
use crate::store::Denials;

/// What a step asks for. New versions are kept before anything else is done.
#[derive(Debug, Default)]
pub struct Effects {
    /// Sealed versions to commit, with the letters that tell of them.
    pub keep: Vec<KeySealed>,
    /// Versions that are held, with new seals to add to them.
    pub reseal: Vec<KeySealed>,
    /// L2 versions for the provider to open.
    pub unseal: Vec<UnsealJob>,
    /// New L2 versions for the provider to seal.
    pub seal: Vec<SealJob>,
    /// L2 versions for the provider to seal to further roots.
    pub reseal_l2: Vec<ResealJob>,
    /// Questions to the roots of tenants that are served, or denied.
    pub probe: Vec<ProbeJob>,
    /// What roots deny from now on, or allow again. The gate is shut already.
    pub denials: Vec<(TenantId, Option<Denials>)>,
}

impl Effects {
    /// Adds what another step asks for.
    pub fn merge(&mut self, other: Self) {
        self.keep.extend(other.keep);
        self.reseal.extend(other.reseal);
        self.unseal.extend(other.unseal);
        self.seal.extend(other.seal);
        self.reseal_l2.extend(other.reseal_l2);
        self.probe.extend(other.probe);
        self.denials.extend(other.denials);
    }
}

/// Held by who waits for answers: with it ends that anybody wants them.
#[derive(Debug, Default)]
pub(crate) struct Ticket(Arc<()>);

impl Ticket {
    /// What goes along with a question.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted(Some(Arc::downgrade(&self.0)))
    }
}

/// Whether the answer to a question is waited for still. By default it is for ever.
///
/// What was withdrawn, deleted or unlinked while its question waited for its turn is so told from what is to be asked.
#[derive(Debug, Clone, Default)]
pub struct Wanted(Option<Weak<()>>);

impl Wanted {
    /// Whether it is.
    pub fn is_so(&self) -> bool {
        self.0.as_ref().is_none_or(|ticket| ticket.strong_count() > 0)
    }
}

/// An L2 version for the provider to open: by any of these seals, the preferred root's first.
#[derive(Debug, Clone)]
pub struct UnsealJob {
    /// Whose L2.
    pub path: SystemPath,
    /// The link under which it is opened; an answer for another is dropped.
    pub epoch: LinkEpoch,
    /// The definition's generation.
    pub generation: Generation,
    /// The version.
    pub version: VersionId,
    /// Roots and what they sealed (base64).
    pub seals: Vec<(RootRef, String)>,
    /// Whether it is to be opened still.
    pub wanted: Wanted,
}

/// The answer to an [`UnsealJob`].
#[derive(Debug)]
pub struct Unsealed {
    /// What was asked.
    pub job: UnsealJob,
    /// The key, or why it is not open.
    pub outcome: Result<Arc<SecretKey>, Refusal>,
    /// When the provider was asked.
    pub asked: Moment,
    /// The root whose owner said no, if one did.
    pub denied_by: Option<RootRef>,
}

/// A new L2 version for the provider to seal, to as many of the roots as answer and at least one.
#[derive(Debug, Clone)]
pub struct SealJob {
    /// Whose L2.
    pub path: SystemPath,
    /// The link under which it is sealed; an answer for another is dropped.
    pub epoch: LinkEpoch,
    /// The definition's generation.
    pub generation: Generation,
    /// The version.
    pub version: VersionId,
    /// Its counter.
    pub counter: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// Its material.
    pub key: Arc<SecretKey>,
    /// The roots, the preferred one first.
    pub roots: Vec<RootRef>,
    /// Whether it is to be sealed still.
    pub wanted: Wanted,
}

/// The answer to a [`SealJob`].
#[derive(Debug)]
pub struct Sealed {
    /// What was asked.
    pub job: SealJob,
    /// The seals, at least one; or why there is none.
    pub outcome: Result<Vec<Seal>, Refusal>,
    /// When the provider was asked.
    pub asked: Moment,
    /// The root whose owner said no, if one did.
    pub denied_by: Option<RootRef>,
}

/// An L2 version for the provider to seal to roots that have not sealed it: each seal is opened before it is told.
#[derive(Debug, Clone)]
pub struct ResealJob {
    /// Whose L2.
    pub path: SystemPath,
    /// The link under which it is sealed; an answer for another is dropped.
    pub epoch: LinkEpoch,
    /// What the version is, as this Core is to tell of it: without seals.
    pub sealed: KeySealed,
    /// Its material.
    pub key: Arc<SecretKey>,
    /// The roots.
    pub roots: Vec<RootRef>,
    /// Whether it is to be sealed still.
    pub wanted: Wanted,
}

/// The answer to a [`ResealJob`].
#[derive(Debug)]
pub struct Resealed {
    /// What was asked.
    pub job: ResealJob,
    /// The seals, of as many of the roots as answered and at least one; or why there is none.
    pub outcome: Result<Vec<Seal>, Refusal>,
    /// The root whose owner said no, if one did.
    pub denied_by: Option<RootRef>,
}

/// A tenant whose roots are to prove that they may be used.
#[derive(Debug, Clone)]
pub struct ProbeJob {
    /// Whose roots.
    pub tenant: TenantId,
    /// The link that names them.
    pub epoch: LinkEpoch,
    /// Which probe of this start: the answer to another one than the last is dropped.
    pub number: u64,
    /// What they are asked; each is answered.
    pub questions: Vec<ProbeQuestion>,
    /// From when on serving is about to end for want of an answer.
    pub urgent: BootInstant,
    /// Whether they are to be asked still.
    pub wanted: Wanted,
}

/// What one root is asked: to open something that it sealed; a throwaway, where there is nothing that it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeQuestion {
    /// The root.
    pub root: RootRef,
    /// What it sealed (base64), and of which version: the next one where one is not its own after all.
    pub seals: Vec<(SystemPath, VersionId, String)>,
}

/// The answer to a [`ProbeJob`].
#[derive(Debug, Clone)]
pub struct Probed {
    /// What was asked.
    pub job: ProbeJob,
    /// What each root said, in the order of the questions.
    pub answers: Vec<ProbeAnswer>,
    /// When they were asked.
    pub asked: Moment,
}

/// What one root said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// Its word.
    pub said: Said,
    /// To which of the seals; none where it was to a throwaway.
    pub to: Option<usize>,
}

/// Why a rotation was not begun.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The key is not served.
    #[error("the key is not served: {0}")]
    Refused(Refusal),
    /// There is no locked memory for a new key.
    #[error("no new key can be held in memory")]
    Memory(#[source] LockedMemoryError),
    /// The store can't be read.
    #[error("the store can't be read")]
    Store(#[from] StoreError),
}
