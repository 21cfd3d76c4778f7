//! The Core's own store: the facts that it was told, and the sealed versions that it made or received.
//!
//! No plaintext key is ever here. Facts are merged by their author's revision; of sealed versions there are ever more,
//! each with ever more seals, so the merge of two regions is their union.

mod absorb;
mod denials;
mod digests;
pub mod lease;
mod listing;
pub mod manifest;
pub mod owners;
pub mod purge;
mod recount;
mod slices;
mod v1;
mod versions;

pub use absorb::{Changes, MAX_COUNTER, absorb, absorb_slice, ends_at_latest};
pub use denials::{Denials, denials, keep_denials};
pub use digests::buckets;
pub use lease::{Leases, caught_up, leases};
pub use listing::{asked, look};
pub use recount::{Recount, Wrong, recount, recount_links};
pub use slices::{SLICE, Slice, Slices};
pub use v1::{Applied, Held, LinkRecord};
pub use versions::{
    first_l2_versions, holds, is_first_word, keep, key_versions, reseal, service_versions, system_versions,
};

use openkcm_contracts::v1::{KeyDefine, KeySealed, TenantDefine};
use openkcm_contracts::{KeyPath, ServiceId, ServicePath, SystemPath, TenantId};
use openkcm_store::{Read, Space, StoreError, Table, Write};

use crate::rules::{LeasePolicy, Moment};

pub(crate) const TENANTS: Table<Held<TenantDefine>> = Table::new("tenants");
pub(crate) const DEFINITIONS: Table<Held<KeyDefine>> = Table::new("definitions");
pub(crate) const LINKS: Table<LinkRecord> = Table::new("links");
pub(crate) const L2_VERSIONS: Table<KeySealed> = Table::new("l2_versions");
pub(crate) const L3_VERSIONS: Table<KeySealed> = Table::new("l3_versions");
pub(crate) const APPLIED: Table<Applied> = Table::new("applied");

/// Records that are read at once where only their names are kept: a hundred thousand tenants' facts need not be in
/// memory together.
const PAGE: usize = 1024;

/// The one record of [`APPLIED`].
const LAST: &str = "applied";

/// The Core's spaces.
pub const SPACES: &[Space] = &[
    TENANTS.space(),
    DEFINITIONS.space(),
    LINKS.space(),
    L2_VERSIONS.space(),
    L3_VERSIONS.space(),
    versions::RESEALS.space(),
    owners::OWNERS.space(),
    owners::AWAITED.space(),
    APPLIED.space(),
    manifest::TOLD.space(),
    manifest::AWAITED.space(),
    lease::SENT.space(),
    lease::LEASE.space(),
    lease::APART.space(),
    lease::NOTED.space(),
    lease::READS_FIRST.space(),
    denials::DENIALS.space(),
    digests::SPACES[0][0],
    digests::SPACES[0][1],
    digests::SPACES[0][2],
    digests::SPACES[1][0],
    digests::SPACES[1][1],
    digests::SPACES[1][2],
    purge::SPACES[0],
    purge::SPACES[1],
    purge::SPACES[2],
    purge::SPACES[3],
    purge::SPACES[4],
    purge::SPACES[5],
];

/// Begins a start: an incarnation of its own, and what it has no lease for. Says whose link was changed by something
/// else while the Core did not run: no lease covers it before the CMK Server has agreed on it.
///
/// # Errors
/// When the store fails.
pub fn begin(tx: &mut dyn Write, leases: &LeasePolicy, now: &Moment) -> Result<Vec<TenantId>, StoreError> {
    manifest::begin(tx, leases, now)?;
    let changed = recount_links(tx)?;
    changed.iter().try_for_each(|tenant| lease::told_anew(tx, tenant))?;
    Ok(changed)
}

/// What is held about a tenant.
///
/// # Errors
/// When the store can't be read.
pub fn tenant(store: &dyn Read, id: &TenantId) -> Result<Option<TenantDefine>, StoreError> {
    Ok(TENANTS.get(store, id.as_str())?.map(|held| held.fact))
}

/// What is held about a tenant, with the Registry's revision.
///
/// # Errors
/// When the store can't be read.
pub fn held_tenant(store: &dyn Read, id: &TenantId) -> Result<Option<Held<TenantDefine>>, StoreError> {
    TENANTS.get(store, id.as_str())
}

/// What is held about a tenant's link.
///
/// # Errors
/// When the store can't be read.
pub fn link(store: &dyn Read, id: &TenantId) -> Result<Option<LinkRecord>, StoreError> {
    LINKS.get(store, id.as_str())
}

/// The definition of a system.
///
/// # Errors
/// When the store can't be read.
pub fn system(store: &dyn Read, path: &SystemPath) -> Result<Option<KeyDefine>, StoreError> {
    Ok(DEFINITIONS.get(store, &path.to_string())?.map(|held| held.fact))
}

/// The definition of a service.
///
/// # Errors
/// When the store can't be read.
pub fn service(store: &dyn Read, path: &ServicePath) -> Result<Option<KeyDefine>, StoreError> {
    Ok(DEFINITIONS.get(store, &path.to_string())?.map(|held| held.fact))
}

/// The definition of a system or a service, with the Registry's revision.
///
/// # Errors
/// When the store can't be read.
pub fn held_definition(store: &dyn Read, path: &KeyPath) -> Result<Option<Held<KeyDefine>>, StoreError> {
    DEFINITIONS.get(store, &path.to_string())
}

/// Every tenant that a fact is held about. Those of which only a link is known are settled when their
/// fact arrives.
///
/// # Errors
/// When the store can't be read.
pub fn tenants(store: &dyn Read) -> Result<Vec<TenantId>, StoreError> {
    let mut tenants = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = TENANTS.list(store, "", after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(tenants) };
        after = Some(last.clone());
        tenants.extend(page.into_iter().map(|(_, held)| held.fact.tenant));
    }
}

/// The definitions of a tenant, systems and services, in the order of their names: those after a record, and at
/// most so many.
///
/// # Errors
/// When the store can't be read.
pub fn definitions(
    store: &dyn Read,
    tenant: &TenantId,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<KeyDefine>, StoreError> {
    let held = DEFINITIONS.list(store, &format!("{tenant}/"), after, limit)?;
    Ok(held.into_iter().map(|(_, held)| held.fact).collect())
}

/// The definitions of a system's services, in the order of their names: those after a service, and at most so
/// many.
///
/// # Errors
/// When the store can't be read.
pub fn services_of(
    store: &dyn Read,
    system: &SystemPath,
    after: Option<&ServiceId>,
    limit: usize,
) -> Result<Vec<KeyDefine>, StoreError> {
    let after = after.map(|service| format!("{system}/{service}"));
    let held = DEFINITIONS.list(store, &format!("{system}/"), after.as_deref(), limit)?;
    Ok(held.into_iter().map(|(_, held)| held.fact).collect())
}

/// The key of a definition's record: its name.
fn definition_key(fact: &KeyDefine) -> String {
    let service = fact.service.as_ref().map(ServiceId::as_str);
    let parts = [fact.tenant.as_str(), fact.system.as_str()].into_iter().chain(service);
    parts.collect::<Vec<_>>().join("/")
}

/// The last revision of each authority that was applied.
///
/// # Errors
/// When the store can't be read.
pub fn applied(store: &dyn Read) -> Result<Applied, StoreError> {
    Ok(APPLIED.get(store, LAST)?.unwrap_or_default())
}
