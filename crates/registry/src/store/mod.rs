//! The Registry's tables, and how records are loaded and saved.
//!
//! Nothing is decided here. Keys are the names, joined by `/`, so that a collection is a prefix and
//! its order is that of the names. The outbox and the inbox lie in the same store
//! (`openkcm_orbital::SPACES`), so that a change and its letters share one transaction.

mod digests;
pub mod failovers;
pub mod purges;
pub mod v1;

use openkcm_component::drift;
use openkcm_contracts::{KeyPath, Revision, SystemId, TenantId};
use openkcm_store::{Read, Space, StoreError, Table, Write};

pub use digests::{buckets, narrow, tombstones};
pub use v1::{Ended, Failover, FailoverPhase, KeyRecord, Moved, Purged, Tenancy, TenantRecord, ToldKeys};

use crate::rules::Place;

/// Tenants by name.
pub const TENANTS: Table<TenantRecord> = Table::new("tenants");
/// Systems by `tenant/system`.
pub const SYSTEMS: Table<KeyRecord> = Table::new("systems");
/// Services by `tenant/system/service`.
pub const SERVICES: Table<KeyRecord> = Table::new("services");
/// The authority's last revision.
const AUTHORITY: Table<Revision> = Table::new("authority");

const LAST_REVISION: &str = "revision";

/// The spaces of this component.
pub const SPACES: &[Space] = &[
    TENANTS.space(),
    SYSTEMS.space(),
    SERVICES.space(),
    AUTHORITY.space(),
    crate::doubts::SPACES[0],
    crate::doubts::SPACES[1],
    crate::manifests::SPACE,
    crate::reconcile::SPACE,
    drift::SPACES[0],
    drift::SPACES[1],
    digests::SPACES[0],
    digests::SPACES[1],
    digests::SPACES[2],
    purges::SPACES[0],
    purges::SPACES[1],
    purges::SPACES[2],
    failovers::SPACES[0],
    failovers::SPACES[1],
    failovers::SPACES[2],
];

/// The revision that this authority starts from: its first change is 1.1.
const BEFORE_THE_FIRST: Revision = Revision::new(1, 0);

/// The revision of the authority's last change; 1.0 before the first.
///
/// # Errors
/// When the store can't be read.
pub fn last_revision(view: &dyn Read) -> Result<Revision, StoreError> {
    Ok(AUTHORITY.get(view, LAST_REVISION)?.unwrap_or(BEFORE_THE_FIRST))
}

/// A tenant's record.
///
/// # Errors
/// When the store can't be read.
pub fn tenant(view: &dyn Read, tenant: &TenantId) -> Result<Option<TenantRecord>, StoreError> {
    TENANTS.get(view, tenant.as_str())
}

/// A system's record.
///
/// # Errors
/// When the store can't be read.
pub fn system(
    view: &dyn Read,
    tenant: &TenantId,
    system: &SystemId,
) -> Result<Option<KeyRecord>, StoreError> {
    SYSTEMS.get(view, &format!("{tenant}/{system}"))
}

/// A system's or a service's record.
///
/// # Errors
/// When the store can't be read.
pub fn key(view: &dyn Read, path: &KeyPath) -> Result<Option<KeyRecord>, StoreError> {
    keys(path).get(view, &path.to_string())
}

/// A system or a service with all that it depends on.
///
/// # Errors
/// When the store can't be read.
pub fn place(view: &dyn Read, path: &KeyPath) -> Result<Place, StoreError> {
    let tenant = tenant(view, path.tenant())?;
    let held = key(view, path)?;
    let system = match path {
        KeyPath::System(_) => None,
        KeyPath::Service(_) => system(view, path.tenant(), path.system())?,
    };
    let purged = purges::up_to(view, path)?;
    Ok(Place { path: path.clone(), tenant, system, held, purged })
}

/// The authority goes on from this revision.
pub(crate) fn set_last_revision(tx: &mut dyn Write, revision: Revision) -> Result<(), StoreError> {
    AUTHORITY.put(tx, LAST_REVISION, &revision)
}

/// Takes a tenant as the mesh has it: no change of the authority's own.
pub(crate) fn take_tenant(tx: &mut dyn Write, record: &TenantRecord) -> Result<(), StoreError> {
    let before = tenant(tx.as_read(), &record.tenant)?;
    TENANTS.put(tx, record.tenant.as_str(), record)?;
    purges::plan_tenant(tx, before.as_ref(), record)?;
    digests::tenant(tx, before.as_ref(), record)
}

/// Takes a system or a service as the mesh has it: no change of the authority's own.
pub(crate) fn take_key(tx: &mut dyn Write, record: &KeyRecord) -> Result<(), StoreError> {
    let path = record.path();
    let before = key(tx.as_read(), &path)?;
    keys(&path).put(tx, &path.to_string(), record)?;
    purges::plan_key(tx, &path, before.as_ref(), Some(record))?;
    digests::key(tx, &path, before.as_ref(), Some(record))
}

/// Removes a system or a service that nobody was ever told of.
pub(crate) fn drop_key(tx: &mut dyn Write, path: &KeyPath) -> Result<(), StoreError> {
    let before = key(tx.as_read(), path)?;
    keys(path).delete(tx, &path.to_string())?;
    purges::plan_key(tx, path, before.as_ref(), None)?;
    digests::key(tx, path, before.as_ref(), None)
}

/// Where a key's record lies.
fn keys(path: &KeyPath) -> Table<KeyRecord> {
    if path.service().is_some() { SERVICES } else { SYSTEMS }
}

/// Saves a tenant, as the authority's last change.
pub(crate) fn save_tenant(tx: &mut dyn Write, record: &TenantRecord) -> Result<(), StoreError> {
    set_last_revision(tx, record.revision)?;
    take_tenant(tx, record)
}

/// Saves a system or a service, as the authority's last change.
pub(crate) fn save_key(tx: &mut dyn Write, record: &KeyRecord) -> Result<(), StoreError> {
    set_last_revision(tx, record.revision)?;
    take_key(tx, record)
}
