//! What the control asks for, and how it is answered.

use std::sync::Arc;

use openkcm_contracts::v1::{KeySealed, Seal};
use openkcm_contracts::{Generation, LinkEpoch, RootRef, SystemPath, Timestamp, VersionId};
use openkcm_secrets::{LockedMemoryError, SecretKey};
use openkcm_store::StoreError;

use crate::rules::Refusal;

/// What a step asks for. New versions are kept before anything else is done.
#[derive(Debug, Default)]
pub struct Effects {
    /// Sealed versions to commit, with the letters that tell of them.
    pub keep: Vec<KeySealed>,
    /// L2 versions for the provider to open.
    pub unseal: Vec<UnsealJob>,
    /// New L2 versions for the provider to seal.
    pub seal: Vec<SealJob>,
}

impl Effects {
    /// Adds what another step asks for.
    pub fn merge(&mut self, other: Self) {
        self.keep.extend(other.keep);
        self.unseal.extend(other.unseal);
        self.seal.extend(other.seal);
    }
}

/// An L2 version for the provider to open: by any of these seals, the preferred root's first.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// The answer to an [`UnsealJob`].
#[derive(Debug)]
pub struct Unsealed {
    /// What was asked.
    pub job: UnsealJob,
    /// The key, or why it is not open.
    pub outcome: Result<Arc<SecretKey>, Refusal>,
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
}

/// The answer to a [`SealJob`].
#[derive(Debug)]
pub struct Sealed {
    /// What was asked.
    pub job: SealJob,
    /// The seals, at least one; or why there is none.
    pub outcome: Result<Vec<Seal>, Refusal>,
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
