//! Stored types, first version.

use openkcm_contracts::v1::L1Reference;
use openkcm_contracts::{LinkEpoch, Revision};
use serde::{Deserialize, Serialize};

/// A fact, with its author's revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held<F> {
    /// The author's revision.
    pub revision: Revision,
    /// The fact.
    pub fact: F,
}

/// What is known of a tenant's link: the fact, and the fast word that may come before it or after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// The newest pointer that was told.
    pub reference: Option<Held<L1Reference>>,
    /// Every link up to this epoch is dead.
    pub revoked: Option<LinkEpoch>,
    /// The first manifest (incarnation, sequence) that tells of this link: a lease that answers an earlier one does
    /// not cover it.
    #[serde(default = "from_the_beginning")]
    pub since: Revision,
}

/// The last revision of each authority that was applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The Registry's.
    pub registry: Option<Revision>,
    /// The CMK Server's.
    pub cmk: Option<Revision>,
}

fn from_the_beginning() -> Revision {
    Revision::ZERO
}

impl Default for LinkRecord {
    fn default() -> Self {
        Self { reference: None, revoked: None, since: Revision::ZERO }
    }
}
