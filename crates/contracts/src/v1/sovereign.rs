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
    /// The word of the tenant's owner for these roots, and for the key that is its own from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_word: Option<OwnerWord>,
}

impl L1Reference {
    /// What the tenant's owner signs, as its word number `number`: the roots in their order, and the owner key.
    pub fn owner_bytes(&self, number: u64) -> Vec<u8> {
        OwnerWord::bytes(&self.tenant, self.generation, &self.roots, self.owner_key.as_deref(), number)
    }
}

/// The word of a tenant's owner for the roots of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerWord {
    /// Its number. A word that is not above the owner's last is of no effect, so that none is said again by others.
    pub number: u64,
    /// The Ed25519 signature (RFC 8032) over [`OwnerWord::bytes`], by the owner key that holds before it; base64.
    pub signature: String,
}

impl OwnerWord {
    /// Most bytes of a signature in base64: there are 64 of it.
    pub const SIGNATURE_LEN: usize = 88;
    /// Separates this use of an owner's key from every other.
    const DOMAIN: &'static [u8] = b"openkcm.l1-owner.v1";

    /// What is signed: each part with its length before it, and the number of roots and of options before them, so that
    /// no two links have the same bytes.
    pub fn bytes(
        tenant: &TenantId,
        generation: Generation,
        roots: &[RootRef],
        owner_key: Option<&str>,
        number: u64,
    ) -> Vec<u8> {
        let mut bytes = Self::DOMAIN.to_vec();
        let mut push = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        };
        push(tenant.as_str().as_bytes());
        push(generation.to_string().as_bytes());
        push(&number.to_be_bytes());
        push(owner_key.unwrap_or_default().as_bytes());
        push(&(roots.len() as u64).to_be_bytes());
        for root in roots {
            push(root.provider.as_bytes());
            push(root.key.as_bytes());
            push(&(root.options.len() as u64).to_be_bytes());
            for (name, value) in &root.options {
                push(name.as_bytes());
                push(value.as_bytes());
            }
        }
        bytes
    }
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
