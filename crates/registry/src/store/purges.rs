//! Tombstones, and the index of what is to be looked at when.
//!
//! The index is kept with the records, in the same transaction: nobody reads ten million records to find those whose
//! waiting period is over. An entry only says *look*: what is then to be done follows from the records. What always
//! holds: each waiting period of each record that is not over has its entry.

use std::collections::BTreeSet;

use openkcm_contracts::{DefinitionState, Generation, KeyPath, RegionId, TenantId, Timestamp};
use openkcm_store::{Read, Space, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use super::{KeyRecord, Purged, Tenancy, TenantRecord, digests};

/// Tombstones by the name of the key; and by that of a tenant, that its systems' were begun with.
const PURGED: Table<Purged> = Table::new("purges");
/// What is to be looked at, by time and name; of a tenant, after which of its systems.
const DUE: Table<Option<String>> = Table::new("purges_due");
/// How far each region was told of the tombstones that there were before it.
const TOLD: Table<Told> = Table::new("purges_told");

/// The spaces of what is purged.
pub(super) const SPACES: [Space; 3] = [PURGED.space(), DUE.space(), TOLD.space()];

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// A system or a service.
    Key(KeyPath),
    /// The systems of a tenant, those after a name.
    Tenant(TenantId, Option<String>),
}

/// How far a region was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Up to the tombstone of this name.
    UpTo(String),
    /// All that there was.
    All,
}

/// The tombstone of a key.
///
/// # Errors
/// When the store can't be read.
pub fn of(view: &dyn Read, path: &KeyPath) -> Result<Option<Purged>, StoreError> {
    PURGED.get(view, &path.to_string())
}

/// The tombstone that ends this generation of a key, if there is one: its own, or its system's.
///
/// # Errors
/// When the store can't be read.
pub fn ending(view: &dyn Read, path: &KeyPath, generation: Generation) -> Result<Option<Purged>, StoreError> {
    let above = match path {
        KeyPath::System(_) => None,
        KeyPath::Service(path) => of(view, &KeyPath::System(path.system_path()))?,
    };
    let ends = |purged: &Purged| purged.generation >= generation;
    match above.filter(ends) {
        Some(purged) => Ok(Some(purged)),
        None => Ok(of(view, path)?.filter(ends)),
    }
}

/// The last generation of a key whose destruction was told, by its own tombstone or its system's.
pub(super) fn up_to(view: &dyn Read, path: &KeyPath) -> Result<Option<Generation>, StoreError> {
    let own = of(view, path)?;
    let above = match path {
        KeyPath::System(_) => None,
        KeyPath::Service(path) => of(view, &KeyPath::System(path.system_path()))?,
    };
    Ok(own.into_iter().chain(above).map(|purged| purged.generation).max())
}

/// Tombstones after a name, in the order of names.
///
/// # Errors
/// When the store can't be read, or a name in it is none.
pub fn list(view: &dyn Read, after: Option<&str>, limit: usize) -> Result<Vec<(String, Purged)>, StoreError> {
    PURGED.list(view, "", after, limit)
}

/// The tombstones of a system and of its services: up to which generation.
///
/// # Errors
/// When the store can't be read.
pub(super) fn of_system(
    view: &dyn Read,
    tenant: &str,
    system: &str,
) -> Result<Vec<(KeyPath, Generation)>, StoreError> {
    let name = format!("{tenant}/{system}");
    let own = PURGED.get(view, &name)?.map(|purged| (name.clone(), purged));
    let below = PURGED.list(view, &format!("{name}/"), None, usize::MAX)?;
    let all = own.into_iter().chain(below);
    Ok(all.filter_map(|(name, purged)| Some((name.parse().ok()?, purged.generation))).collect())
}

/// Sets a tombstone.
pub(crate) fn set(tx: &mut dyn Write, path: &KeyPath, purged: &Purged) -> Result<(), StoreError> {
    let before = of(tx.as_read(), path)?.map(|before| before.generation);
    PURGED.put(tx, &path.to_string(), purged)?;
    digests::tombstone(tx, path, before, purged.generation)
}

/// Notes that the destruction of a tenant's systems begins; there is no way back from there.
pub(crate) fn begin_tenant(tx: &mut dyn Write, tenant: &TenantId, purged: &Purged) -> Result<(), StoreError> {
    PURGED.put(tx, tenant.as_str(), purged)
}

/// With what the destruction of this generation of a tenant's systems was begun, if it was.
///
/// # Errors
/// When the store can't be read.
pub fn begun(view: &dyn Read, tenant: &TenantRecord) -> Result<Option<Purged>, StoreError> {
    let begun = PURGED.get(view, tenant.tenant.as_str())?;
    Ok(begun.filter(|begun| begun.generation >= tenant.generation))
}

/// What is to be looked at by now, the longest overdue first.
///
/// # Errors
/// When the store can't be read.
pub fn due(view: &dyn Read, now: Timestamp, limit: usize) -> Result<Vec<(String, Due)>, StoreError> {
    let end = time_key(now.as_millis().saturating_add(1));
    let listed = DUE.list(view, "", None, limit)?.into_iter().filter(|(key, _)| *key < end);
    let read = |(key, after): (String, Option<String>)| {
        let name = key.split_once('/')?.1;
        let due = match name.parse() {
            Ok(path) => Due::Key(path),
            Err(_) => Due::Tenant(TenantId::new(name).ok()?, after),
        };
        Some((key, due))
    };
    Ok(listed.filter_map(read).collect())
}

/// What is in the index was looked at.
pub(crate) fn looked_at(tx: &mut dyn Write, key: &str) -> Result<(), StoreError> {
    DUE.delete(tx, key)
}

/// What is in the index was looked at in part.
pub(crate) fn go_on_after(tx: &mut dyn Write, key: &str, after: String) -> Result<(), StoreError> {
    DUE.put(tx, key, &Some(after))
}

/// How far a region was told of earlier tombstones; not at all when it is new.
///
/// # Errors
/// When the store can't be read.
pub fn told(view: &dyn Read, region: &RegionId) -> Result<Option<Told>, StoreError> {
    TOLD.get(view, region.as_str())
}

/// The regions that were told.
///
/// # Errors
/// When the store can't be read.
pub fn told_regions(view: &dyn Read) -> Result<Vec<String>, StoreError> {
    Ok(TOLD.list(view, "", None, usize::MAX)?.into_iter().map(|(region, _)| region).collect())
}

/// A region was told so far.
pub(crate) fn set_told(tx: &mut dyn Write, region: &RegionId, told: &Told) -> Result<(), StoreError> {
    TOLD.put(tx, region.as_str(), told)
}

/// A region is to be told all again.
pub(crate) fn forget_told(tx: &mut dyn Write, region: &str) -> Result<(), StoreError> {
    TOLD.delete(tx, region)
}

/// A tenant's record was replaced.
pub(super) fn plan_tenant(
    tx: &mut dyn Write,
    before: Option<&TenantRecord>,
    after: &TenantRecord,
) -> Result<(), StoreError> {
    let times = |record: &TenantRecord| {
        let own = match record.state {
            Tenancy::Active => None,
            Tenancy::Offboarded { purge_at } => Some(purge_at),
        };
        own.into_iter().chain(record.ended.map(|ended| ended.purge_at)).collect()
    };
    plan(tx, after.tenant.as_str(), (before.map(times).unwrap_or_default(), times(after)))
}

/// A key's record was replaced, or dropped.
pub(super) fn plan_key(
    tx: &mut dyn Write,
    path: &KeyPath,
    before: Option<&KeyRecord>,
    after: Option<&KeyRecord>,
) -> Result<(), StoreError> {
    let times = |record: &KeyRecord| {
        let own = match record.state {
            DefinitionState::Defined | DefinitionState::Disabled => None,
            DefinitionState::Deleted { purge_at } => Some(purge_at),
        };
        own.into_iter().chain(record.ended.map(|ended| ended.purge_at)).collect()
    };
    let times = (before.map(times).unwrap_or_default(), after.map(times).unwrap_or_default());
    plan(tx, &path.to_string(), times)
}

fn plan(
    tx: &mut dyn Write,
    name: &str,
    (before, after): (BTreeSet<Timestamp>, BTreeSet<Timestamp>),
) -> Result<(), StoreError> {
    let key = |at: &Timestamp| format!("{}/{name}", time_key(at.as_millis()));
    for at in before.difference(&after) {
        DUE.delete(tx, &key(at))?;
    }
    for at in after.difference(&before) {
        DUE.put(tx, &key(at), &None)?;
    }
    Ok(())
}

fn time_key(millis: u64) -> String {
    format!("{millis:016x}")
}
