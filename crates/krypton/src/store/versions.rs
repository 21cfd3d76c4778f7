//! Sealed versions: kept until a tombstone ends them, united with those of other regions, told to them.
//!
//! The key of a record is a version's name, counter and id, and who tells of it: its maker, or a Core that has sealed
//! it anew. So each Core writes only records of its own, here and on the mesh, and two that seal the same version anew
//! never take away each other's seals. What may open a version is the union over its records.

use openkcm_contracts::v1::{Audience, KeySealed};
use openkcm_contracts::{Event, KeyPath, Revision, ServicePath, SystemPath, TenantId, Timestamp};
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{Read, StoreError, Table, Write};

use super::purge::{self, Ledger};
use super::{L2_VERSIONS, L3_VERSIONS, MAX_COUNTER};

/// How often this Core has told of a version anew, by the key of its record.
pub(super) const RESEALS: Table<u32> = Table::new("reseals");

/// What a word on a sealed version came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// All of it was held.
    Nothing,
    /// Seals of a version that its teller had told of.
    Seals,
    /// The first word of its teller on the version.
    Version,
}

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
        tell(tx, sealed, 0, now)?;
    }
    count(tx, kept)
}

/// Adds seals to what this Core tells of versions, with the letters that tell of all that it has of each, in one
/// transaction. Nothing is added to what was destroyed meanwhile.
///
/// # Errors
/// When the store can't be written.
pub fn reseal(tx: &mut dyn Write, resealed: &[KeySealed], now: Timestamp) -> Result<(), StoreError> {
    let mut begun = 0;
    for sealed in resealed {
        if purge::ends(tx.as_read(), sealed)? || !purge::takes(tx.as_read(), sealed)? {
            continue;
        }
        let key = record_key(sealed);
        let held = table(sealed).get(tx.as_read(), &key)?;
        let times = match held {
            None if sealed.resealed_by.is_some() => {
                begun += 1;
                table(sealed).put(tx, &key, sealed)?;
                tell(tx, sealed, 0, now)?;
                continue;
            }
            // What this Core has made and holds no more is not begun anew by a seal.
            None => continue,
            Some(_) => RESEALS.get(tx.as_read(), &key)?.unwrap_or(0).saturating_add(1),
        };
        let Some(mut record) = held else { continue };
        if is_l3(sealed) {
            // The seal that it was made with stays, and the newest: one under each L2 that ever was is too many.
            record.seals.truncate(1);
        }
        if record.unite(sealed) {
            table(sealed).put(tx, &key, &record)?;
            RESEALS.put(tx, &key, &times)?;
            tell(tx, &record, times, now)?;
        }
    }
    count(tx, begun)
}

/// Above every counter that is believed: how often a version was told of anew stands there, so that a later word on it
/// has a higher revision. Where that is at its end, the mesh takes words of one revision in the order in which they
/// are told.
const TIMES_AT: u32 = MAX_COUNTER.trailing_zeros() + 1;
const MOST_TIMES: u32 = (1 << (u64::BITS - TIMES_AT)) - 1;

fn tell(tx: &mut dyn Write, sealed: &KeySealed, times: u32, now: Timestamp) -> Result<(), StoreError> {
    let revision = Revision::new(1, sealed.counter | u64::from(times.min(MOST_TIMES)) << TIMES_AT);
    let letter = Letter::new(&Event::KeySealed(sealed.clone()), Audience::Cores, revision, now);
    outbox::put(tx, &letter)
}

/// Whether a letter is the first that tells of a version at all, so that the version is nowhere but here while it waits.
pub fn is_first_word(letter: &Letter, sealed: &KeySealed) -> bool {
    sealed.resealed_by.is_none() && letter.revision == Revision::new(1, sealed.counter)
}

/// A version is destroyed: how often it was told of does not matter any more.
pub(super) fn forget_reseals(tx: &mut dyn Write, sealed: &KeySealed) -> Result<(), StoreError> {
    RESEALS.delete(tx, &record_key(sealed))
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

/// Keeps what a Core tells of a version. Says what of it is new here.
///
/// # Errors
/// When the store can't be written.
pub(super) fn receive(tx: &mut dyn Write, sealed: &KeySealed) -> Result<Received, StoreError> {
    let key = record_key(sealed);
    let Some(mut held) = table(sealed).get(tx.as_read(), &key)? else {
        table(sealed).put(tx, &key, sealed)?;
        return Ok(Received::Version);
    };
    if !held.unite(sealed) {
        return Ok(Received::Nothing);
    }
    table(sealed).put(tx, &key, &held)?;
    Ok(Received::Seals)
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

fn is_l3(sealed: &KeySealed) -> bool {
    sealed.service.is_some()
}

fn table(sealed: &KeySealed) -> &'static Table<KeySealed> {
    if is_l3(sealed) { &L3_VERSIONS } else { &L2_VERSIONS }
}

fn record_key(sealed: &KeySealed) -> String {
    format!("{}/{:016x}.{}.{}", sealed.path(), sealed.counter, sealed.version, sealed.teller())
}
