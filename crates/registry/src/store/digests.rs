//! The sums over what each region is to hold, as the Cores' manifests are compared with.
//!
//! One view for each region: the words about the tenants that it has, and about all their keys that have not
//! ended for good. Tombstones are in every view, since all regions are told all of them. What always holds: the sums are committed with the records that they are over.

use std::collections::BTreeSet;

use openkcm_contracts::v1::{Listed, ListedThing};
use openkcm_contracts::{Event, Generation, KeyPath, RegionId, Revision, SystemId, TenantId};
use openkcm_digests::{Buckets, Changes, EVERY_VIEW, Narrowed, Shelf, Sum, Unit};
use openkcm_store::{Read, Space, StoreError, Write};

use super::{KeyRecord, SERVICES, SYSTEMS, TenantRecord, purges};
use crate::rules::telling::{key_word, purge_word, tenant_word};

const DEFINED: Shelf = Shelf::new("definition_units", "definition_places", "definition_totals");

/// Records that are read at once.
const PAGE: usize = 1024;

/// The spaces of the sums.
pub(super) const SPACES: [Space; 3] = DEFINED.spaces();

/// A tenant's record was replaced.
pub(super) fn tenant(
    tx: &mut dyn Write,
    before: Option<&TenantRecord>,
    after: &TenantRecord,
) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    let sum =
        |record: &TenantRecord| Sum::of_event(&Event::TenantDefine(tenant_word(record)), record.revision);
    changes.replace(after.tenant.as_str(), before.map(sum), Some(sum(after)));
    let decides = |record: &TenantRecord| (record.generation, record.regions.clone());
    if before.is_none_or(|before| decides(before) != decides(after)) {
        changes.moved(&format!("{}@", after.tenant));
        changes.moved(&format!("{}/", after.tenant));
    }
    DEFINED.apply(tx, changes, views_of)
}

/// A key's record was replaced, or dropped.
pub(super) fn key(
    tx: &mut dyn Write,
    path: &KeyPath,
    before: Option<&KeyRecord>,
    after: Option<&KeyRecord>,
) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    let sum = |record: &KeyRecord| Sum::of_event(&Event::KeyDefine(key_word(record)), record.revision);
    if let Some(before) = before {
        changes.replace(&Unit::name_of(&key_word(before)), Some(sum(before)), None);
    }
    if let Some(after) = after {
        changes.replace(&Unit::name_of(&key_word(after)), None, Some(sum(after)));
    }
    let decides = |record: &KeyRecord| (record.generation, record.parent);
    if path.service().is_none() && before.map(decides) != after.map(decides) {
        changes.moved(&format!("{path}@"));
    }
    DEFINED.apply(tx, changes, views_of)
}

/// A key's tombstone ends more from now on.
pub(super) fn tombstone(
    tx: &mut dyn Write,
    path: &KeyPath,
    before: Option<Generation>,
    after: Generation,
) -> Result<(), StoreError> {
    let sum = |generation| Sum::of_tombstone(&purge_word(path, generation));
    let mut changes = Changes::default();
    changes.replace(&Unit::of_tombstone(path), before.map(sum), Some(sum(after)));
    DEFINED.apply(tx, changes, views_of)
}

/// The digest over all tombstones.
///
/// # Errors
/// When the store can't be read.
pub fn tombstones(view: &dyn Read) -> Result<String, StoreError> {
    Ok(DEFINED.sum_of_every_view(view)?.digest())
}

/// The digests of all buckets of what a region is to hold.
///
/// # Errors
/// When the store can't be read.
pub fn buckets(view: &dyn Read, region: &RegionId) -> Result<Buckets, StoreError> {
    DEFINED.buckets(view, region.as_str())
}

/// Compares what a region lists with what it is to hold.
///
/// # Errors
/// When the store can't be read.
pub fn narrow(view: &dyn Read, region: &RegionId, theirs: &Listed) -> Result<Narrowed, StoreError> {
    DEFINED.narrow(view, region.as_str(), theirs, |unit| things(view, region, unit))
}

/// What a region is to hold of a unit.
fn things(view: &dyn Read, region: &RegionId, unit: &str) -> Result<Vec<(ListedThing, Sum)>, StoreError> {
    let of = Unit::named(unit);
    let Ok(name) = TenantId::new(of.tenant()) else { return Ok(Vec::new()) };
    if let Unit::Purges { tenant, system } = of {
        return Ok(purges::of_system(view, tenant, system)?.into_iter().map(tombstone_listed).collect());
    }
    let Some(tenant) = super::tenant(view, &name)?.filter(|tenant| tenant.regions.contains(region)) else {
        return Ok(Vec::new());
    };
    let (table, prefix, generation) = match of {
        Unit::Tenant(_) => {
            return Ok(vec![thing(&Event::TenantDefine(tenant_word(&tenant)), tenant.revision)]);
        }
        Unit::Systems { tenant, generation } => (SYSTEMS, format!("{tenant}/"), generation),
        Unit::Services { tenant, system, generation } => {
            (SERVICES, format!("{tenant}/{system}/"), generation)
        }
        Unit::Purges { .. } => return Ok(Vec::new()),
    };
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = table.list(view, &prefix, after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(last.clone());
        let records = page.into_iter().map(|(_, record)| record);
        let records = records.filter(|record| record.parent.to_string() == generation);
        found.extend(records.map(|record| thing(&Event::KeyDefine(key_word(&record)), record.revision)));
    }
}

fn tombstone_listed((path, generation): (KeyPath, Generation)) -> (ListedThing, Sum) {
    let word = purge_word(&path, generation);
    let sum = Sum::of_tombstone(&word);
    let subject = Event::KeyPurge(word).subject().to_string();
    (ListedThing { subject, revision: generation.0, digest: sum.digest() }, sum)
}

fn thing(event: &Event, revision: Revision) -> (ListedThing, Sum) {
    let sum = Sum::of_event(event, revision);
    (ListedThing { subject: event.subject().to_string(), revision, digest: sum.digest() }, sum)
}

/// The regions that are to hold what is in a unit.
fn views_of(store: &dyn Read, unit: &str) -> Result<BTreeSet<String>, StoreError> {
    if let Unit::Purges { .. } = Unit::named(unit) {
        return Ok([EVERY_VIEW.to_owned()].into());
    }
    Ok(regions_of(store, unit)?.into_iter().flatten().map(|region| region.to_string()).collect())
}

fn regions_of(store: &dyn Read, unit: &str) -> Result<Option<Vec<RegionId>>, StoreError> {
    let unit = Unit::named(unit);
    let Ok(name) = TenantId::new(unit.tenant()) else { return Ok(None) };
    let Some(tenant) = super::tenant(store, &name)? else { return Ok(None) };
    let counted = match unit {
        Unit::Tenant(_) | Unit::Purges { .. } => true,
        Unit::Systems { generation, .. } => tenant.generation.to_string() == generation,
        Unit::Services { system, generation, .. } => {
            let Ok(system) = SystemId::new(system) else { return Ok(None) };
            super::system(store, &name, &system)?.is_some_and(|system| {
                system.parent == tenant.generation && system.generation.to_string() == generation
            })
        }
    };
    Ok(counted.then_some(tenant.regions))
}
