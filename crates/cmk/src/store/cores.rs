//! What is known of each region's Core: what it told last, what it was leased, where it differs.

use std::collections::BTreeMap;

use openkcm_contracts::v1::Node;
use openkcm_contracts::{Period, RegionId, Revision, TenantId, Timestamp};
use openkcm_store::{Read, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

pub(super) const CORES: Table<Core> = Table::new("cores");
/// The last revision of a pointer that a region was told of.
pub(super) const TOLD: Table<Revision> = Table::new("told_regions");

/// A region's Core.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core {
    /// Its last manifest; none before the first.
    pub heard: Option<Heard>,
    /// The last lease that it was given.
    pub lease: Option<Given>,
    /// The last incarnations that were heard of, and how far.
    pub incarnations: BTreeMap<u64, Incarnation>,
    /// Which of them spoke last.
    #[serde(default)]
    pub spoke_last: Option<u64>,
    /// No start up to this one is leased: an operator had it forgotten.
    #[serde(default)]
    pub forgotten: Option<u64>,
    /// The last number under which a start was told to go on.
    #[serde(default)]
    pub offer: Option<Offer>,
    /// Where it differs: by tenant.
    pub differences: BTreeMap<TenantId, Difference>,
    /// Since when there are differences that were not looked into.
    pub unsettled_since: Option<Timestamp>,
    /// What it was asked last, and has not answered.
    pub asked: Option<Asked>,
    /// A revision of the CMK Server's that it says to have applied, and that is later than the last one.
    pub claims: Option<Revision>,
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Of which start of the Core.
    pub incarnation: u64,
    /// Its number among that start's.
    pub sequence: u64,
    /// What a lease must echo.
    pub nonce: String,
    /// When it was heard.
    pub at: Timestamp,
    /// The last revision of the CMK Server that the Core had applied.
    pub applied: Option<Revision>,
    /// When the lease that the Core had ran out, as it said.
    pub lease_until: Option<Timestamp>,
    /// What it says of the links that it holds.
    pub links: String,
}

/// A lease that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// To which start of the Core.
    #[serde(default)]
    pub incarnation: u64,
    /// Answering which manifest of it.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// How long it holds, from when the manifest was sent.
    pub ttl: Period,
    /// Tenants that it did not renew.
    pub disputes: usize,
    /// Buckets of which it renewed no tenant, unless the Core found that it agrees on all but those that it named.
    pub unsettled: usize,
}

/// One start of a Core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// The highest number of its manifests.
    pub sequence: u64,
    /// When it spoke last.
    pub spoke_at: Timestamp,
    /// When it spoke last after a later start of the same Core had spoken; none if it never did, or if it was not
    /// heard of before that one.
    #[serde(default)]
    pub spoke_again: Option<Timestamp>,
}

/// A number that a start may go on as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Which one.
    pub incarnation: u64,
    /// When it was told.
    pub at: Timestamp,
}

/// A link that a Core holds otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The digest of what it holds; none if nothing.
    pub theirs: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What the answer echoes.
    pub nonce: String,
    /// When.
    pub at: Timestamp,
    /// What was asked for: nothing else is looked at.
    #[serde(default)]
    pub nodes: Vec<Node>,
}

/// What is known of a region's Core.
///
/// # Errors
/// When the store can't be read.
pub fn core(store: &dyn Read, region: &RegionId) -> Result<Core, StoreError> {
    Ok(CORES.get(store, region.as_str())?.unwrap_or_default())
}

/// What is known of the Cores, by region.
///
/// # Errors
/// When the store can't be read.
pub fn cores(store: &dyn Read) -> Result<Vec<(RegionId, Core)>, StoreError> {
    let found = CORES.list(store, "", None, usize::MAX)?;
    Ok(found.into_iter().filter_map(|(name, core)| Some((RegionId::new(&name).ok()?, core))).collect())
}

/// The regions whose Cores say that they have applied a later word than the CMK Server's last.
///
/// # Errors
/// When the store can't be read.
pub fn claims(store: &dyn Read) -> Result<Vec<(RegionId, Revision)>, StoreError> {
    let last = super::revision(store)?;
    let claims = cores(store)?.into_iter().filter_map(|(region, core)| Some((region, core.claims?)));
    Ok(claims.filter(|(_, claims)| Some(*claims) > last).collect())
}

/// Believes none of the claims that Cores of these regions have made: those that stand are made again.
pub(crate) fn forget_claims(tx: &mut dyn Write, of: impl Fn(&RegionId) -> bool) -> Result<(), StoreError> {
    for (region, core) in cores(tx.as_read())? {
        if core.claims.is_some() && of(&region) {
            save_core(tx, &region, &Core { claims: None, ..core })?;
        }
    }
    Ok(())
}

/// Keeps what is known of a region's Core.
pub(crate) fn save_core(tx: &mut dyn Write, region: &RegionId, core: &Core) -> Result<(), StoreError> {
    CORES.put(tx, region.as_str(), core)
}

/// The last revision of a pointer that a region was told of.
pub(crate) fn told(store: &dyn Read, region: &RegionId) -> Result<Option<Revision>, StoreError> {
    TOLD.get(store, region.as_str())
}

/// Regions were told of a pointer of this revision.
pub(super) fn note_told<'a>(
    tx: &mut dyn Write,
    regions: impl Iterator<Item = &'a RegionId>,
    revision: Revision,
) -> Result<(), StoreError> {
    for region in regions {
        if TOLD.get(tx.as_read(), region.as_str())? < Some(revision) {
            TOLD.put(tx, region.as_str(), &revision)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use openkcm_store::Memory;

    use super::*;

    #[test]
    fn what_a_region_claimed_counts_no_more_when_it_was_taken_out_of_the_landscape() {
        let region = |name: &str| RegionId::new(name).expect("a label");
        let mut store = Memory::default();
        let claimed = Some(Revision::new(9, 1));
        let change = |tx: &mut dyn Write| {
            for name in ["a", "gone"] {
                save_core(tx, &region(name), &Core { claims: claimed, ..Core::default() })?;
            }
            forget_claims(tx, |name| *name != region("a"))
        };
        store.write(change).expect("memory");
        assert_eq!(claims(&store).expect("memory"), [(region("a"), Revision::new(9, 1))]);
    }
}
