//! Commands about systems and services; the path says which of the two it is.

use std::time::Duration;

use openkcm_contracts::{KeyPath, Timestamp, VersionId};
use openkcm_store::{StoreError, Write};

use super::{Failure, moment, tell};
use crate::rules::{KeySpec, Outcome, Place, Precondition, key, telling};
use crate::store::{self, KeyRecord};

/// Defines a system or a service, changes it, or defines one again that has ended.
///
/// # Errors
/// What the rules refuse, or a store that fails.
pub fn define_key(
    tx: &mut dyn Write,
    path: &KeyPath,
    spec: KeySpec,
    precondition: &Precondition,
    now: Timestamp,
) -> Result<Outcome<KeyRecord>, Failure> {
    let (place, at) = (store::place(tx.as_read(), path)?, moment(tx, now)?);
    let outcome = key::define(&place, spec, precondition, at)?;
    commit(tx, &place, &outcome, now)?;
    Ok(outcome)
}

/// Deletes a system, with all its services, or a service.
///
/// # Errors
/// What the rules refuse, or a store that fails.
pub fn delete_key(
    tx: &mut dyn Write,
    path: &KeyPath,
    precondition: &Precondition,
    purge_after: Duration,
    now: Timestamp,
) -> Result<Outcome<KeyRecord>, Failure> {
    let (place, at) = (store::place(tx.as_read(), path)?, moment(tx, now)?);
    let outcome = key::delete(&place, precondition, purge_after, at)?;
    commit(tx, &place, &outcome, now)?;
    Ok(outcome)
}

/// Takes a deletion back, within its waiting period.
///
/// # Errors
/// What the rules refuse, or a store that fails.
pub fn undelete_key(
    tx: &mut dyn Write,
    path: &KeyPath,
    precondition: &Precondition,
    now: Timestamp,
) -> Result<Outcome<KeyRecord>, Failure> {
    let (place, at) = (store::place(tx.as_read(), path)?, moment(tx, now)?);
    let outcome = key::undelete(&place, precondition, at)?;
    commit(tx, &place, &outcome, now)?;
    Ok(outcome)
}

/// Marks a version of a key compromised: refused from now on, in every region.
///
/// # Errors
/// What the rules refuse, or a store that fails.
pub fn mark_compromised(
    tx: &mut dyn Write,
    path: &KeyPath,
    precondition: &Precondition,
    version: VersionId,
    now: Timestamp,
) -> Result<Outcome<KeyRecord>, Failure> {
    let (place, at) = (store::place(tx.as_read(), path)?, moment(tx, now)?);
    let outcome = key::compromise(&place, precondition, version, at)?;
    commit(tx, &place, &outcome, now)?;
    Ok(outcome)
}

fn commit(
    tx: &mut dyn Write,
    place: &Place,
    outcome: &Outcome<KeyRecord>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (Some(record), Some(tenant)) = (outcome.to_save(), &place.tenant) else { return Ok(()) };
    store::save_key(tx, record)?;
    tell(tx, telling::of_key(tenant, record), record.revision, now)
}
