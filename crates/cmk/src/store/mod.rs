//! The CMK Server's tables: its revision, the tenants that it heard of, the pointers that it owns.
//!
//! Not for decisions: records go in and out as they are. What always holds: a caller that changes a
//! pointer saves the revision of the change in the same transaction.

mod cores;
mod digests;
pub(crate) mod moves;
mod v1;

use openkcm_component::drift;
use openkcm_contracts::{Revision, TenantId, Timestamp};
use openkcm_store::{Read, Space, StoreError, Table, Write};

pub use cores::{Asked, Core, Difference, Given, Heard, Incarnation, Offer, claims, core, cores};
pub(crate) use cores::{forget_claims, save_core, told};
pub use digests::{buckets, digest, narrow};
pub use v1::{Health, Pointer, ProbeOutcome, Proof, Proofs, Tenant, UnlinkReason, Unlinked};

/// The spaces that the CMK Server needs in its store, beside those of the mesh.
pub const SPACES: &[Space] = &[
    AUTHORITY.space(),
    TENANTS.space(),
    POINTERS.space(),
    UNTOLD.space(),
    PROOFS.space(),
    CHANGED.space(),
    cores::CORES.space(),
    cores::TOLD.space(),
    moves::MOVES.space(),
    drift::SPACES[0],
    drift::SPACES[1],
    digests::SPACES[0],
    digests::SPACES[1],
    digests::SPACES[2],
];

const AUTHORITY: Table<Revision> = Table::new("authority");
const TENANTS: Table<Tenant> = Table::new("tenants");
const POINTERS: Table<Pointer> = Table::new("pointers");
const PROOFS: Table<Proofs> = Table::new("proofs");
/// Whose pointers changed, in the order in which they did last: by the time and the name.
const CHANGED: Table<TenantId> = Table::new("pointer_changes");
/// Tenants that were heard of while no link could be told.
const UNTOLD: Table<TenantId> = Table::new("untold");

/// The one record of the authority: the revision of its last change.
const REVISION: &str = "revision";

/// The revision of the last change of the whole authority; none before the first.
///
/// # Errors
/// When the store can't be read.
pub fn revision(store: &dyn Read) -> Result<Option<Revision>, StoreError> {
    AUTHORITY.get(store, REVISION)
}

/// What is known of a tenant.
///
/// # Errors
/// When the store can't be read.
pub fn tenant(store: &dyn Read, tenant: &TenantId) -> Result<Option<Tenant>, StoreError> {
    TENANTS.get(store, tenant.as_str())
}

/// Known tenants whose name begins with `prefix`, after a name, in the order of their names.
///
/// # Errors
/// When the store can't be read.
pub fn tenants(
    store: &dyn Read,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Tenant>, StoreError> {
    let found = TENANTS.list(store, prefix, after, limit)?;
    Ok(found.into_iter().map(|(_, tenant)| tenant).collect())
}

/// A tenant's pointer; none when it was never linked.
///
/// # Errors
/// When the store can't be read.
pub fn pointer(store: &dyn Read, tenant: &TenantId) -> Result<Option<Pointer>, StoreError> {
    POINTERS.get(store, tenant.as_str())
}

/// Pointers after a tenant's name, in the order of the names.
///
/// # Errors
/// When the store can't be read.
pub fn pointers(store: &dyn Read, after: Option<&str>, limit: usize) -> Result<Vec<Pointer>, StoreError> {
    let found = POINTERS.list(store, "", after, limit)?;
    Ok(found.into_iter().map(|(_, pointer)| pointer).collect())
}

/// Whose pointers have changed since a time, at most so many of them; the ones that changed first come first.
///
/// # Errors
/// When the store can't be read.
pub fn changed_since(store: &dyn Read, since: Timestamp, limit: usize) -> Result<Vec<TenantId>, StoreError> {
    let found = CHANGED.list(store, "", Some(&moment_key(since)), limit)?;
    Ok(found.into_iter().map(|(_, tenant)| tenant).collect())
}

fn change_key(pointer: &Pointer) -> String {
    format!("{}/{}", moment_key(pointer.changed_at), pointer.tenant)
}

fn moment_key(at: Timestamp) -> String {
    format!("{:016x}", at.as_millis())
}

/// What the roots of a tenant sealed to be asked by.
///
/// # Errors
/// When the store can't be read.
pub fn proofs(store: &dyn Read, tenant: &TenantId) -> Result<Proofs, StoreError> {
    Ok(PROOFS.get(store, tenant.as_str())?.unwrap_or_default())
}

/// Keeps what the roots of a tenant sealed.
pub(crate) fn save_proofs(tx: &mut dyn Write, tenant: &TenantId, proofs: &Proofs) -> Result<(), StoreError> {
    PROOFS.put(tx, tenant.as_str(), proofs)
}

/// Notes that a tenant was heard of while no link could be told.
pub(crate) fn note_untold(tx: &mut dyn Write, tenant: &TenantId) -> Result<(), StoreError> {
    UNTOLD.put(tx, tenant.as_str(), tenant)
}

/// Some of the tenants that were heard of while no link could be told; they are forgotten with this.
pub(crate) fn take_untold(tx: &mut dyn Write, limit: usize) -> Result<Vec<TenantId>, StoreError> {
    let untold = UNTOLD.list(tx.as_read(), "", None, limit)?;
    untold.iter().try_for_each(|(key, _)| UNTOLD.delete(tx, key))?;
    Ok(untold.into_iter().map(|(_, tenant)| tenant).collect())
}

/// The authority goes on from this revision.
pub(crate) fn set_revision(tx: &mut dyn Write, revision: Revision) -> Result<(), StoreError> {
    AUTHORITY.put(tx, REVISION, &revision)
}

/// Keeps what is known of a tenant.
///
/// # Errors
/// When the store can't be written.
pub fn save_tenant(tx: &mut dyn Write, tenant: &Tenant) -> Result<(), StoreError> {
    TENANTS.put(tx, tenant.fact.tenant.as_str(), tenant)?;
    digests::tenant(tx, &tenant.fact.tenant)
}

/// Keeps a pointer, and that the authority has come at least as far as its revision.
///
/// # Errors
/// When the store can't be written.
pub fn save_pointer(tx: &mut dyn Write, pointer: &Pointer) -> Result<(), StoreError> {
    if revision(tx.as_read())? < Some(pointer.revision) {
        set_revision(tx, pointer.revision)?;
    }
    let before = POINTERS.get(tx.as_read(), pointer.tenant.as_str())?;
    POINTERS.put(tx, pointer.tenant.as_str(), pointer)?;
    if let Some(before) = &before {
        CHANGED.delete(tx, &change_key(before))?;
    }
    CHANGED.put(tx, &change_key(pointer), &pointer.tenant)?;
    let told = pointer.told.iter().filter(|(_, revision)| **revision == pointer.revision);
    cores::note_told(tx, told.map(|(region, _)| region), pointer.revision)?;
    digests::pointer(tx, before.as_ref(), pointer)
}
