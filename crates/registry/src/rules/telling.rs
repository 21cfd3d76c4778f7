//! Which events a change makes, and for whom.
//!
//! A tenant is told to each of its regions and to the CMK Server; a key to each of its tenant's
//! regions. A region that the tenant left hears *withdrawn* as its last word. A region that it comes
//! to hears of all its keys, the deleted ones too: from an earlier stay the region may still hold a
//! word in which they are not deleted.
//!
//! A tombstone is told to all regions of the landscape: sealed copies lie in all of them, also in those that
//! the tenant never had.

use openkcm_contracts::v1::{KeyDefine, KeyPurge, TenantDefine};
use openkcm_contracts::{Audience, Event, Generation, KeyPath, RegionId, TenantState};

use crate::store::{KeyRecord, Tenancy, TenantRecord};

/// An event and whom it is for.
pub type Told = (Audience, Event);

/// What a change of a tenant tells.
pub fn of_tenant(before: Option<&TenantRecord>, after: &TenantRecord) -> Vec<Told> {
    let present = Event::TenantDefine(tenant_word(after));
    let left =
        before.iter().flat_map(|before| &before.regions).filter(|region| !after.regions.contains(region));
    let left: Vec<RegionId> = left.cloned().collect();
    after
        .regions
        .iter()
        .map(|region| (Audience::Region(region.clone()), present.clone()))
        .chain([(Audience::Cmk, present.clone())])
        .chain(of_tenant_left(&left, after))
        .collect()
}

/// A tenant, told to this region.
pub fn of_tenant_to(region: &RegionId, record: &TenantRecord) -> Vec<Told> {
    vec![(Audience::Region(region.clone()), Event::TenantDefine(tenant_word(record)))]
}

/// The last word of regions that a tenant has left.
pub fn of_tenant_left(left: &[RegionId], record: &TenantRecord) -> Vec<Told> {
    let withdrawn = Event::TenantDefine(tenant_define(record, TenantState::Withdrawn));
    left.iter().map(|region| (Audience::Region(region.clone()), withdrawn.clone())).collect()
}

/// The regions that a change brings a tenant to and whose Cores lack its keys: none for a new
/// generation, which has no keys yet.
pub fn new_regions(before: Option<&TenantRecord>, after: &TenantRecord) -> Vec<RegionId> {
    match before {
        Some(before) if before.generation == after.generation => {
            after.regions.iter().filter(|region| !before.regions.contains(region)).cloned().collect()
        }
        _ => Vec::new(),
    }
}

/// What a change of a key tells.
pub fn of_key(tenant: &TenantRecord, record: &KeyRecord) -> Vec<Told> {
    of_key_to(&tenant.regions, record)
}

/// A key, told to these regions.
pub fn of_key_to(regions: &[RegionId], record: &KeyRecord) -> Vec<Told> {
    let event = Event::KeyDefine(key_word(record));
    regions.iter().map(|region| (Audience::Region(region.clone()), event.clone())).collect()
}

/// A tombstone, told to these regions.
pub fn of_purge<'r>(
    regions: impl IntoIterator<Item = &'r RegionId>,
    path: &KeyPath,
    generation: Generation,
) -> Vec<Told> {
    let event = Event::KeyPurge(purge_word(path, generation));
    regions.into_iter().map(|region| (Audience::Region(region.clone()), event.clone())).collect()
}

/// The whole word about the destruction of a key's material.
pub fn purge_word(path: &KeyPath, generation: Generation) -> KeyPurge {
    KeyPurge {
        tenant: path.tenant().clone(),
        system: path.system().clone(),
        service: path.service().cloned(),
        generation,
    }
}

/// The whole word about a tenant, as all hear it but the regions that it has left.
pub fn tenant_word(record: &TenantRecord) -> TenantDefine {
    let state = match record.state {
        Tenancy::Active => TenantState::Active,
        Tenancy::Offboarded { .. } => TenantState::Offboarded,
    };
    tenant_define(record, state)
}

fn tenant_define(record: &TenantRecord, state: TenantState) -> TenantDefine {
    TenantDefine {
        tenant: record.tenant.clone(),
        generation: record.generation,
        state,
        regions: record.regions.clone(),
        labels: record.labels.clone(),
    }
}

/// The whole word about a key.
pub fn key_word(record: &KeyRecord) -> KeyDefine {
    KeyDefine {
        tenant: record.tenant.clone(),
        system: record.system.clone(),
        service: record.service.clone(),
        generation: record.generation,
        parent: record.parent,
        layer: record.layer(),
        algorithm: record.algorithm,
        rotate_every: record.rotate_every,
        state: record.state,
        compromised: record.compromised.clone(),
    }
}
