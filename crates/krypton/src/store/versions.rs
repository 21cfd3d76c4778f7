//! Sealed versions: kept until a tombstone ends them, united with those of other regions, told to them.
//!
//! The key of a version is its name, counter, id and maker, so that a peer that speaks of another
//! maker's version can't touch it.

use openkcm_contracts::v1::{Audience, KeySealed};
use openkcm_contracts::{Event, KeyPath, Revision, ServicePath, SystemPath, TenantId, Timestamp};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{Read, StoreError, Table, Write};

use super::purge::{self, Ledger};
use super::{L2_VERSIONS, L3_VERSIONS};

/// Keeps versions that this Core made, with the letters that tell of them, in one transaction; not those that a
/// tombstone ends which came meanwhile.
///
/// # Errors
/// When the store can't be written.
pub fn keep(tx: &mut dyn Write, made: &[KeySealed], now: Timestamp) -> Result<(), StoreError> {
    let mut kept = 0;
    for sealed in made {
        if purge::ends(tx.as_read(), sealed)? {
            continue;
        }
        kept += 1;
        table(sealed).put(tx, &record_key(sealed), sealed)?;
        // A sealed version never changes, so its counter serves as its revision for ever.
        let revision = Revision::new(1, sealed.counter);
        let letter = Letter::new(&Event::KeySealed(sealed.clone()), Audience::Cores, revision, now);
        outbox::put(tx, &letter)?;
    }
    count(tx, kept)
}

/// Counts versions that came to be held.
pub(super) fn count(tx: &mut dyn Write, more: u64) -> Result<(), StoreError> {
    if more == 0 {
        return Ok(());
    }
    let mut ledger = Ledger::read(tx.as_read())?;
    ledger.versions += more;
    ledger.write(tx)
}

/// Whether a version is held.
///
/// # Errors
/// When the store can't be read.
pub fn holds(store: &dyn Read, sealed: &KeySealed) -> Result<bool, StoreError> {
    Ok(table(sealed).get(store, &record_key(sealed))?.is_some())
}

/// Keeps a version that a peer made. Says whether it is new here.
///
/// # Errors
/// When the store can't be written.
pub(super) fn receive(tx: &mut dyn Write, sealed: &KeySealed) -> Result<bool, StoreError> {
    let key = record_key(sealed);
    if table(sealed).get(tx.as_read(), &key)?.is_some() {
        return Ok(false);
    }
    table(sealed).put(tx, &key, sealed)?;
    Ok(true)
}

/// The sealed versions of a system's L2, of every generation, the oldest counter first.
///
/// # Errors
/// When the store can't be read.
pub fn system_versions(store: &dyn Read, path: &SystemPath) -> Result<Vec<KeySealed>, StoreError> {
    list(store, &L2_VERSIONS, &format!("{path}/"))
}

/// Some sealed L2 versions of a tenant, of whichever systems come first.
///
/// # Errors
/// When the store can't be read.
pub fn first_l2_versions(
    store: &dyn Read,
    tenant: &TenantId,
    limit: usize,
) -> Result<Vec<KeySealed>, StoreError> {
    let found = L2_VERSIONS.list(store, &format!("{tenant}/"), None, limit)?;
    Ok(found.into_iter().map(|(_, sealed)| sealed).collect())
}

/// The sealed versions of a service's L3, of every generation, the oldest counter first.
///
/// # Errors
/// When the store can't be read.
pub fn service_versions(store: &dyn Read, path: &ServicePath) -> Result<Vec<KeySealed>, StoreError> {
    list(store, &L3_VERSIONS, &format!("{path}/"))
}

/// The sealed versions of a key, of every generation, the oldest counter first.
///
/// # Errors
/// When the store can't be read.
pub fn key_versions(store: &dyn Read, path: &KeyPath) -> Result<Vec<KeySealed>, StoreError> {
    match path {
        KeyPath::System(path) => system_versions(store, path),
        KeyPath::Service(path) => service_versions(store, path),
    }
}

fn list(store: &dyn Read, table: &Table<KeySealed>, prefix: &str) -> Result<Vec<KeySealed>, StoreError> {
    Ok(table.list(store, prefix, None, usize::MAX)?.into_iter().map(|(_, sealed)| sealed).collect())
}

fn table(sealed: &KeySealed) -> &'static Table<KeySealed> {
    if sealed.service.is_some() { &L3_VERSIONS } else { &L2_VERSIONS }
}

fn record_key(sealed: &KeySealed) -> String {
    format!("{}/{:016x}.{}.{}", sealed.path(), sealed.counter, sealed.version, sealed.maker)
}
