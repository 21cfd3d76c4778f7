//! Stored records, first version: what the CMK Server knows of a tenant, and of its L1.
//!
//! Not the wire's types, though facts of the wire lie in them whole. What always holds: no record has
//! room for a credential or for key material; a root is a reference.

use std::collections::BTreeMap;

use openkcm_contracts::v1::{LinkState, OwnerWord, TenantDefine};
use openkcm_contracts::{Generation, LinkEpoch, Period, RegionId, Revision, RootRef, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// A tenant, as the Registry last told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// The Registry's revision of the fact.
    pub revision: Revision,
    /// The fact.
    pub fact: TenantDefine,
}

/// A tenant's L1 pointer. Once made it is never removed: what was unlinked must stay known as unlinked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The tenant.
    pub tenant: TenantId,
    /// The generation of the tenant that the link was made for; with that one it ends.
    pub generation: Generation,
    /// The revision that made the link.
    pub epoch: LinkEpoch,
    /// The revision of the last change.
    pub revision: Revision,
    /// Whether the roots may be used.
    pub state: LinkState,
    /// The roots, the preferred one first.
    pub roots: Vec<RootRef>,
    /// The public half of the owner's key (Ed25519, base64), as the first link of the generation pinned it, or a later
    /// word of the owner.
    pub owner_key: Option<String>,
    /// The owner's word for these roots, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_word: Option<OwnerWord>,
    /// The number of the owner's last word for any roots.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub owner_number: u64,
    /// The tenant's own lease, where it is stricter than the landscape's.
    pub ttl: Option<Period>,
    /// What the roots answered when they were last asked.
    pub health: Health,
    /// The regions that were ever told of this pointer, and at which revision last: an Unlink must
    /// reach them all, also those that the tenant has left since.
    pub told: BTreeMap<RegionId, Revision>,
    /// When the link of this epoch was made.
    pub linked_at: Timestamp,
    /// When the last change was made.
    pub changed_at: Timestamp,
    /// When and why the link ended; none while it is linked.
    pub unlinked: Option<Unlinked>,
    /// The revision of the last Unlink that this store decided, also when it is linked again.
    #[serde(default)]
    pub last_unlink: Option<Revision>,
}

/// The end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlinked {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: UnlinkReason,
}

/// Why a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum UnlinkReason {
    /// Somebody with the right to do so unlinked it.
    #[error("unlinked on request")]
    Requested,
    /// The Registry offboarded the tenant.
    #[error("the tenant was offboarded")]
    Offboarded,
    /// The Registry defined a new tenant under the name.
    #[error("the tenant was defined anew")]
    DefinedAnew,
    /// The owner of a root denies its use; it is linked again when that is allowed again.
    #[error("the owner of a root denies its use")]
    Denied,
}

/// What the roots of a pointer answered when they were last asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What came of it.
    pub outcome: ProbeOutcome,
    /// When.
    pub at: Timestamp,
    /// What is wrong, for the administrator; none when nothing is.
    pub reason: Option<String>,
    /// When a root last did what was asked, as far as that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Timestamp>,
    /// Since when the outcome is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A throwaway that a root sealed: it holds nothing, and that the root opens it proves that the root may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The root.
    pub root: RootRef,
    /// What it sealed (base64).
    pub sealed: String,
    /// When.
    pub at: Timestamp,
}

/// The proofs of a tenant's roots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs {
    /// One for each root at most.
    pub of: Vec<Proof>,
}

/// What came of asking a root to seal and unseal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// It did.
    Ok,
    /// The provider refuses the key's use.
    Denied,
    /// The provider does not answer.
    Unreachable,
    /// The reference, or this component's access to the provider, is set up wrongly.
    Misconfigured,
}

impl ProbeOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Denied, Self::Unreachable, Self::Misconfigured];

    /// In a word, as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl Health {
    /// Every root did what was asked.
    pub fn ok(at: Timestamp) -> Self {
        Self { outcome: ProbeOutcome::Ok, at, reason: None, last_good: Some(at), since: Some(at) }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_none_yet(number: &u64) -> bool {
    *number == 0
}

impl Pointer {
    /// Whether the roots may be used.
    pub fn is_linked(&self) -> bool {
        self.state == LinkState::Linked
    }
}
