//! Telling a region of the keys of a tenant that has come to it, a bounded number at a time.
//!
//! A tenant may have a million services: how far a region was told is kept, and gone on from in transactions of their
//! own. What always holds: a key that is changed meanwhile is told by its change, and told again is the same word; the tenant
//! itself is told when all its keys are, so that a region which was left by it before serves nothing as it was then.

use openkcm_contracts::{RegionId, Timestamp};
use openkcm_orbital::words::standing;
use openkcm_store::{StoreError, Table, Write};

use super::tell;
use crate::rules::telling;
use crate::store::{self, KeyRecord, SERVICES, SYSTEMS, TenantRecord, ToldKeys, failovers};

/// Keys that a region is told of in the transaction that brings a tenant to it: most tenants have fewer.
pub(super) const AT_ONCE: usize = 500;

/// Tells regions of the first keys of a tenant that has come to them, and notes what is left. What a telling costs is
/// taken off `left`.
pub(super) fn begin(
    tx: &mut dyn Write,
    tenant: &TenantRecord,
    regions: &[RegionId],
    now: Timestamp,
    left: &mut usize,
) -> Result<(), StoreError> {
    for region in regions {
        go_on(tx, tenant, region, ToldKeys::Systems(None), now, left)?;
    }
    Ok(())
}

/// Goes on with what was begun. Says whether more is to be told.
pub(super) fn go_on_with_all(
    tx: &mut dyn Write,
    now: Timestamp,
    left: &mut usize,
) -> Result<bool, StoreError> {
    // A store that is behind tells nothing; the rebuild that ends that tells what the mesh lacks.
    if standing(tx.as_read())?.is_stale() {
        return Ok(false);
    }
    for (region, id, told) in failovers::untold(tx.as_read(), *left)? {
        if *left == 0 {
            break;
        }
        let tenant = store::tenant(tx.as_read(), &id)?.filter(|tenant| tenant.regions.contains(&region));
        match tenant {
            Some(tenant) => go_on(tx, &tenant, &region, told, now, left)?,
            None => {
                *left -= 1;
                failovers::set_untold(tx, &region, &id, None)?;
            }
        }
    }
    Ok(!failovers::untold(tx.as_read(), 1)?.is_empty())
}

fn go_on(
    tx: &mut dyn Write,
    tenant: &TenantRecord,
    region: &RegionId,
    mut told: ToldKeys,
    now: Timestamp,
    left: &mut usize,
) -> Result<(), StoreError> {
    let rest = loop {
        let (table, after) = match &told {
            ToldKeys::Systems(after) => (&SYSTEMS, after),
            ToldKeys::Services(after) => (&SERVICES, after),
        };
        let last = tell_some(tx, (tenant, region), table, after.as_deref(), now, left)?;
        told = match (told, last) {
            (ToldKeys::Systems(_), None) => ToldKeys::Services(None),
            (ToldKeys::Services(_), None) => break None,
            (ToldKeys::Systems(_), last) => break Some(ToldKeys::Systems(last)),
            (ToldKeys::Services(_), last) => break Some(ToldKeys::Services(last)),
        };
    };
    let was_begun = failovers::is_untold_of(tx.as_read(), region, &tenant.tenant)?;
    failovers::set_untold(tx, region, &tenant.tenant, rest.as_ref())?;
    if rest.is_none() && was_begun {
        // Its keys are told, as they are now: the region may serve it.
        tell(tx, telling::of_tenant_to(region, tenant), tenant.revision, now)?;
    }
    Ok(())
}

/// Tells a region of keys after a name, as many as are left to be looked at. Says where to go on, if anywhere.
fn tell_some(
    tx: &mut dyn Write,
    (tenant, region): (&TenantRecord, &RegionId),
    table: &Table<KeyRecord>,
    after: Option<&str>,
    now: Timestamp,
    left: &mut usize,
) -> Result<Option<String>, StoreError> {
    let most = *left;
    let records = table.list(tx.as_read(), &format!("{}/", tenant.tenant), after, most)?;
    *left -= records.len();
    let mut system: Option<KeyRecord> = None;
    for (_, record) in &records {
        if record.service.is_some() && system.as_ref().is_none_or(|held| held.system != record.system) {
            system = store::system(tx.as_read(), &record.tenant, &record.system)?;
        }
        if belongs(tenant, system.as_ref(), record) {
            let told = telling::of_key_to(std::slice::from_ref(region), record);
            tell(tx, told, record.revision, now)?;
        }
    }
    let more = records.len() == most;
    let last = records.into_iter().next_back().map(|(key, _)| key);
    Ok(if more { last.or_else(|| Some(after.unwrap_or_default().to_owned())) } else { None })
}

/// What ended for good is left out: the word about its parent's new generation ends it there too.
fn belongs(tenant: &TenantRecord, system: Option<&KeyRecord>, record: &KeyRecord) -> bool {
    match (record.service.is_some(), system) {
        (false, _) => record.parent == tenant.generation,
        (true, Some(system)) => system.parent == tenant.generation && record.parent == system.generation,
        (true, None) => false,
    }
}
