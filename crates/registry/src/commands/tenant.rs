//! Commands about tenants.

use std::collections::BTreeMap;
use std::time::Duration;

use openkcm_contracts::{RegionId, TenantId, Timestamp};
use openkcm_store::{StoreError, Table, Write};

use super::{Failure, moment, tell};
use crate::rules::{Landscape, Outcome, Precondition, TenantSpec, telling, tenant};
use crate::store::{self, KeyRecord, SERVICES, SYSTEMS, TenantRecord, purges};

/// Definitions that are read at once while a new region is told of them: bounds the memory that a
/// tenant of a million services takes.
const TELL_BATCH: usize = 1_000;

/// Defines a tenant, changes it, or defines an offboarded one again.
///
/// A region that is added is told of all the tenant's definitions in the same transaction, each with
/// its own present revision. That takes 56 µs for each and added region (measured, debug build, SQLite),
/// during which no other change is committed; it is not split up yet.
///
/// # Errors
/// What the rules refuse, or a store that fails.
pub fn define_tenant(
    tx: &mut dyn Write,
    landscape: &Landscape,
    id: &TenantId,
    spec: TenantSpec,
    precondition: &Precondition,
    now: Timestamp,
) -> Result<Outcome<TenantRecord>, Failure> {
    let (held, at) = (store::tenant(tx.as_read(), id)?, moment(tx, now)?);
    let outcome = tenant::define(id, held.as_ref(), landscape, spec, precondition, at)?;
    commit(tx, held.as_ref(), &outcome, now)?;
    if let Some(record) = outcome.to_save() {
        tell_all_keys(tx, record, &telling::new_regions(held.as_ref(), record), now)?;
    }
    Ok(outcome)
}

/// Offboards a tenant; all that belongs to it ends with it.
///
/// # Errors
/// What the rules refuse, or a store that fails.
pub fn offboard_tenant(
    tx: &mut dyn Write,
    id: &TenantId,
    precondition: &Precondition,
    purge_after: Duration,
    now: Timestamp,
) -> Result<Outcome<TenantRecord>, Failure> {
    let (held, at) = (store::tenant(tx.as_read(), id)?, moment(tx, now)?);
    let outcome = tenant::offboard(id, held.as_ref(), precondition, purge_after, at)?;
    commit(tx, held.as_ref(), &outcome, now)?;
    Ok(outcome)
}

/// Takes an offboarding back, within its waiting period.
///
/// # Errors
/// What the rules refuse, or a store that fails.
pub fn undelete_tenant(
    tx: &mut dyn Write,
    id: &TenantId,
    precondition: &Precondition,
    now: Timestamp,
) -> Result<Outcome<TenantRecord>, Failure> {
    let (held, at) = (store::tenant(tx.as_read(), id)?, moment(tx, now)?);
    let begun = match &held {
        Some(held) => purges::begun(tx.as_read(), held)?.is_some(),
        None => false,
    };
    let outcome = tenant::undelete(id, held.as_ref(), precondition, begun, at)?;
    commit(tx, held.as_ref(), &outcome, now)?;
    Ok(outcome)
}

fn commit(
    tx: &mut dyn Write,
    before: Option<&TenantRecord>,
    outcome: &Outcome<TenantRecord>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(record) = outcome.to_save() else { return Ok(()) };
    store::save_tenant(tx, record)?;
    tell(tx, telling::of_tenant(before, record), record.revision, now)
}

/// Tells regions of all keys of a tenant. What ended for good is left out: the word about its parent's
/// new generation ends it there too.
fn tell_all_keys(
    tx: &mut dyn Write,
    tenant: &TenantRecord,
    regions: &[RegionId],
    now: Timestamp,
) -> Result<(), StoreError> {
    if regions.is_empty() {
        return Ok(());
    }
    let mut systems = BTreeMap::new();
    tell_table(tx, &SYSTEMS, tenant, regions, now, |record| {
        let told = record.parent == tenant.generation;
        if told {
            systems.insert(record.system.clone(), record.generation);
        }
        told
    })?;
    tell_table(tx, &SERVICES, tenant, regions, now, |record| {
        systems.get(&record.system) == Some(&record.parent)
    })
}

fn tell_table(
    tx: &mut dyn Write,
    table: &Table<KeyRecord>,
    tenant: &TenantRecord,
    regions: &[RegionId],
    now: Timestamp,
    mut choose: impl FnMut(&KeyRecord) -> bool,
) -> Result<(), StoreError> {
    let prefix = format!("{}/", tenant.tenant);
    let mut after: Option<String> = None;
    loop {
        let batch = table.list(tx.as_read(), &prefix, after.as_deref(), TELL_BATCH)?;
        for record in batch.iter().map(|(_, record)| record).filter(|record| choose(record)) {
            tell(tx, telling::of_key_to(regions, record), record.revision, now)?;
        }
        if batch.len() < TELL_BATCH {
            return Ok(());
        }
        after = batch.into_iter().next_back().map(|(key, _)| key);
    }
}
