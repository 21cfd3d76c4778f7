//! The sums over what each region is to hold, as the Cores' manifests are compared with.
//!
//! One view for each region: the words about the tenants that it has, and about all their keys. What always
//! holds: the sums are committed with the records that they are over, and say what those regions are told.

use std::collections::BTreeSet;

use openkcm_contracts::{Event, KeyPath, RegionId, Revision, SystemPath};
use openkcm_digests::{Buckets, Changes, Shelf, Sum};
use openkcm_store::{Read, Space, StoreError, Write};

use super::{KeyRecord, TenantRecord};
use crate::rules::telling::{key_word, tenant_word};

/// Over definitions.
const DEFINED: Shelf = Shelf::new("definition_units", "definition_places", "definition_totals");

/// The spaces of the sums.
pub(super) const SPACES: [Space; 3] = DEFINED.spaces();

/// A tenant's record is replaced; with its regions, what they are to hold.
pub(super) fn tenant(
    tx: &mut dyn Write,
    before: Option<&TenantRecord>,
    after: &TenantRecord,
) -> Result<(), StoreError> {
    let unit = after.tenant.as_str();
    let had: BTreeSet<&RegionId> = before.iter().flat_map(|before| &before.regions).collect();
    let has: BTreeSet<&RegionId> = after.regions.iter().collect();
    for left in had.difference(&has) {
        DEFINED.move_tenant(tx, unit, left.as_str(), false)?;
    }
    let mut changes = Changes::default();
    changes.replace(unit, before.map(sum_of_tenant), Some(sum_of_tenant(after)));
    let stayed: Vec<String> = had.intersection(&has).map(|region| region.to_string()).collect();
    DEFINED.apply(tx, changes, |_, _| Ok(stayed.clone()))?;
    for new in has.difference(&had) {
        DEFINED.move_tenant(tx, unit, new.as_str(), true)?;
    }
    Ok(())
}

/// A key's record is replaced, or dropped.
pub(super) fn key(
    tx: &mut dyn Write,
    path: &KeyPath,
    before: Option<&KeyRecord>,
    after: Option<&KeyRecord>,
) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    changes.replace(&unit_of(path), before.map(sum_of_key), after.map(sum_of_key));
    DEFINED.apply(tx, changes, |view, _| {
        let regions = super::tenant(view, path.tenant())?.map(|tenant| tenant.regions).unwrap_or_default();
        Ok(regions.iter().map(RegionId::to_string).collect())
    })
}

/// The digests of all buckets of what a region is to hold.
///
/// # Errors
/// When the store can't be read.
pub fn buckets(view: &dyn Read, region: &RegionId) -> Result<Buckets, StoreError> {
    DEFINED.buckets(view, region.as_str())
}

fn unit_of(path: &KeyPath) -> String {
    SystemPath { tenant: path.tenant().clone(), system: path.system().clone() }.to_string()
}

fn sum_of_tenant(record: &TenantRecord) -> Sum {
    sum_of(&Event::TenantDefine(tenant_word(record)), record.revision)
}

fn sum_of_key(record: &KeyRecord) -> Sum {
    sum_of(&Event::KeyDefine(key_word(record)), record.revision)
}

fn sum_of(event: &Event, revision: Revision) -> Sum {
    Sum::of(event.subject().as_str(), revision, &event.to_body())
}
