//! The CMK Server's facts: pointers, revocations, leases.

use serde::{Deserialize, Serialize};

use crate::{Generation, LinkEpoch, Period, RegionId, RootRef, TenantId};

/// Whether a pointer may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// The tenant's roots may be used.
    Linked,
    /// They may not.
    Unlinked,
}

/// `L1.Reference`: a tenant's pointer, linked or unlinked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L1Reference {
    /// The tenant.
    pub tenant: TenantId,
    /// The generation of the tenant that the link was made for; it has ended when that one has.
    pub generation: Generation,
    /// The revision that made the link that this speaks of.
    pub epoch: LinkEpoch,
    /// Whether it may be used.
    pub state: LinkState,
    /// The roots, the preferred one first; any one of them opens.
    pub roots: Vec<RootRef>,
    /// The tenant's own key (Ed25519, base64), pinned at the first link: its signature lets a Core
    /// re-seal to a different root at once.
    pub owner_key: Option<String>,
    /// The tenant's own lease, where it is stricter than the landscape's.
    pub ttl: Option<Period>,
}

/// `L1.Revoke`: every link up to and including this epoch is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L1Revoke {
    /// The tenant.
    pub tenant: TenantId,
    /// The last epoch that it ends: the revision of the Unlink that it tells of, so that it ends every link
    /// that was made before, known to its author or not.
    pub epoch: LinkEpoch,
    /// Why, for the operator.
    pub reason: String,
}

/// A tenant on which the CMK Server and a Core do not agree, with what the CMK Server says.
///
/// Where that is that nothing may be used, every link up to `epoch` is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispute {
    /// The tenant, whose lease is not renewed.
    pub tenant: TenantId,
    /// The epoch that holds.
    pub epoch: LinkEpoch,
    /// Whether it may be used.
    pub state: LinkState,
}

/// `Sovereign.Lease`: the CMK Server saw a Core's manifest and agrees, but for the disputes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SovereignLease {
    /// The Core's region.
    pub region: RegionId,
    /// The Core's incarnation that is leased. Where it is a later one than that whose manifest is answered, nothing is:
    /// it is the one as which that Core is to go on.
    pub incarnation: u64,
    /// The nonce of the manifest that it answers: the lease counts from when that one was sent.
    pub nonce: String,
    /// How long it holds.
    pub ttl: Period,
    /// The tenants that it does not renew.
    pub disputes: Vec<Dispute>,
    /// The buckets of links that differ, where it is not known why.
    pub unsettled: Vec<Unsettled>,
}

/// A bucket of links in which a Core and the CMK Server differ, where it is not known why.
///
/// A Core whose links in it, but for those of the tenants that are named, sum up to the same, agrees on these, and has
/// them renewed; any other has none of the bucket renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsettled {
    /// Which bucket.
    pub bucket: u8,
    /// Tenants in it that may make the difference: their leases are not renewed.
    pub without: Vec<TenantId>,
    /// The digest of what the region is to hold of the others in it, in hexadecimal.
    pub others: String,
}
