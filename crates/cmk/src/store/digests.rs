//! The sums over the links that each region is to hold, as the Cores' manifests are compared with.
//!
//! One view for each region: the pointers of the tenants that the region has now, linked or not. What always holds:
//! the sums are committed with the records that they are over.

use std::collections::BTreeSet;

use openkcm_contracts::v1::Listed;
use openkcm_contracts::{RegionId, TenantId};
use openkcm_digests::{Buckets, Changes, Narrowed, Shelf, Sum};
use openkcm_store::{Read, Space, StoreError, Write};

use super::Pointer;
use crate::rules::letters::comparable;

const LINKED: Shelf = Shelf::new("link_units", "link_places", "link_totals");

/// The spaces of the sums.
pub(super) const SPACES: [Space; 3] = LINKED.spaces();

/// A pointer was replaced.
pub(super) fn pointer(
    tx: &mut dyn Write,
    before: Option<&Pointer>,
    after: &Pointer,
) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    changes.replace(after.tenant.as_str(), before.map(sum), Some(sum(after)));
    LINKED.apply(tx, changes, views_of)
}

/// A tenant may have other regions.
pub(super) fn tenant(tx: &mut dyn Write, id: &TenantId) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    changes.replace(id.as_str(), None, None);
    LINKED.apply(tx, changes, views_of)
}

/// The digests of all buckets of what a region is to hold.
///
/// # Errors
/// When the store can't be read.
pub fn buckets(view: &dyn Read, region: &RegionId) -> Result<Buckets, StoreError> {
    LINKED.buckets(view, region.as_str())
}

/// The digest of a tenant's link, as a region that has the tenant holds it.
pub fn digest(pointer: &Pointer) -> String {
    sum(pointer).digest()
}

/// What is not the same in a node of what a region holds.
///
/// # Errors
/// When the store can't be read.
pub fn narrow(view: &dyn Read, region: &RegionId, theirs: &Listed) -> Result<Narrowed, StoreError> {
    // A tenant's link is a unit of one thing: nobody asks for the things of it.
    LINKED.narrow(view, region.as_str(), theirs, |_| Ok(Vec::new()))
}

fn sum(pointer: &Pointer) -> Sum {
    Sum::of_event(&comparable(pointer), pointer.revision)
}

fn views_of(store: &dyn Read, unit: &str) -> Result<BTreeSet<String>, StoreError> {
    let Ok(id) = TenantId::new(unit) else { return Ok(BTreeSet::new()) };
    let tenant = super::tenant(store, &id)?;
    let regions = tenant.into_iter().flat_map(|tenant| tenant.fact.regions);
    Ok(regions.map(|region| region.to_string()).collect())
}
