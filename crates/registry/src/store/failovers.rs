//! Failovers, the tenants that they moved, and how far regions were told of keys that they lack.
//!
//! Nothing is decided here. What always holds: a tenant's record and the note of where it was before are written in
//! one transaction, so that whatever was moved can be given back.

use openkcm_contracts::{RegionId, TenantId};
use openkcm_store::{Read, Space, StoreError, Table, Write};

use super::{Failover, FailoverPhase, Moved, ToldKeys};

/// The last failover of each region.
const FAILOVERS: Table<Failover> = Table::new("failovers");
/// What was moved, by `region/tenant`.
const MOVED: Table<Moved> = Table::new("failovers_moved");
/// Which regions are yet to be told of a tenant's keys, by `region/tenant`.
const UNTOLD: Table<ToldKeys> = Table::new("untold_keys");

/// The spaces of failovers.
pub(super) const SPACES: [Space; 3] = [FAILOVERS.space(), MOVED.space(), UNTOLD.space()];

impl Failover {
    /// Whether tenants are being moved, or given back.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, FailoverPhase::Moving { .. } | FailoverPhase::Returning)
    }

    /// Whether its tenants are, or will be, elsewhere.
    pub fn is_in_force(&self) -> bool {
        matches!(self.phase, FailoverPhase::Moving { .. } | FailoverPhase::Moved { .. })
    }
}

/// The last failover of a region.
///
/// # Errors
/// When the store can't be read.
pub fn of(view: &dyn Read, region: &RegionId) -> Result<Option<Failover>, StoreError> {
    FAILOVERS.get(view, region.as_str())
}

/// The last failover of each region that ever had one, by the region's name: no more than there are regions.
///
/// # Errors
/// When the store can't be read.
pub fn all(view: &dyn Read) -> Result<Vec<Failover>, StoreError> {
    Ok(FAILOVERS.list(view, "", None, usize::MAX)?.into_iter().map(|(_, failover)| failover).collect())
}

/// Keeps a failover.
pub(crate) fn set(tx: &mut dyn Write, failover: &Failover) -> Result<(), StoreError> {
    FAILOVERS.put(tx, failover.from.as_str(), failover)
}

/// What the failover of a region moved, after a tenant's name, in the order of the names.
///
/// # Errors
/// When the store can't be read.
pub fn moved(
    view: &dyn Read,
    region: &RegionId,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(TenantId, Moved)>, StoreError> {
    let prefix = format!("{region}/");
    let after = after.map(|tenant| format!("{prefix}{tenant}"));
    let found = MOVED.list(view, &prefix, after.as_deref(), limit)?.into_iter();
    Ok(found
        .filter_map(|(key, moved)| Some((TenantId::new(key.strip_prefix(&prefix)?).ok()?, moved)))
        .collect())
}

/// Where the failover of a region found a tenant, if it moved it.
///
/// # Errors
/// When the store can't be read.
pub fn moved_tenant(
    view: &dyn Read,
    region: &RegionId,
    tenant: &TenantId,
) -> Result<Option<Moved>, StoreError> {
    MOVED.get(view, &key(region, tenant))
}

/// Notes what was moved.
pub(crate) fn set_moved(
    tx: &mut dyn Write,
    region: &RegionId,
    tenant: &TenantId,
    moved: &Moved,
) -> Result<(), StoreError> {
    MOVED.put(tx, &key(region, tenant), moved)
}

/// A tenant was given back, or is an operator's to place.
pub(crate) fn forget_moved(
    tx: &mut dyn Write,
    region: &RegionId,
    tenant: &TenantId,
) -> Result<(), StoreError> {
    MOVED.delete(tx, &key(region, tenant))
}

/// Who is yet to be told of a tenant's keys: some of them, and how far each was told.
///
/// # Errors
/// When the store can't be read.
pub fn untold(view: &dyn Read, limit: usize) -> Result<Vec<(RegionId, TenantId, ToldKeys)>, StoreError> {
    let found = UNTOLD.list(view, "", None, limit)?.into_iter();
    let read = |(key, told): (String, ToldKeys)| {
        let (region, tenant) = key.split_once('/')?;
        Some((RegionId::new(region).ok()?, TenantId::new(tenant).ok()?, told))
    };
    Ok(found.filter_map(read).collect())
}

/// Whether a region is yet to be told of a tenant's keys.
///
/// # Errors
/// When the store can't be read.
pub fn is_untold(view: &dyn Read, region: &RegionId) -> Result<bool, StoreError> {
    Ok(!UNTOLD.list(view, &format!("{region}/"), None, 1)?.is_empty())
}

/// Whether a region is yet to be told of the keys of this tenant, and so of the tenant itself.
pub(crate) fn is_untold_of(
    view: &dyn Read,
    region: &RegionId,
    tenant: &TenantId,
) -> Result<bool, StoreError> {
    Ok(UNTOLD.get(view, &key(region, tenant))?.is_some())
}

/// A region was told so far of a tenant's keys; of all when there is nothing to go on after.
pub(crate) fn set_untold(
    tx: &mut dyn Write,
    region: &RegionId,
    tenant: &TenantId,
    told: Option<&ToldKeys>,
) -> Result<(), StoreError> {
    match told {
        Some(told) => UNTOLD.put(tx, &key(region, tenant), told),
        None => UNTOLD.delete(tx, &key(region, tenant)),
    }
}

fn key(region: &RegionId, tenant: &TenantId) -> String {
    format!("{region}/{tenant}")
}
