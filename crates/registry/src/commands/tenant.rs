//! Commands about tenants.

use std::time::Duration;

use openkcm_contracts::{Audience, TenantId, Timestamp};
use openkcm_store::{StoreError, Write};

use super::{Failure, moment, tell, tellings};
use crate::rules::{Landscape, Outcome, Precondition, TenantSpec, telling, tenant};
use crate::store::{self, TenantRecord, failovers, purges};

/// Defines a tenant, changes it, or defines an offboarded one again.
///
/// A region that is added is told of all the tenant's definitions, each with its own present revision: of the first
/// ones in this transaction, of the others by [`work`](super::work). One takes 56 µs for each added region (measured,
/// debug build, SQLite).
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
    let mut left = tellings::AT_ONCE;
    save(tx, before, record, now, &mut left)
}

/// Saves a changed tenant, tells of it, and begins to tell regions that it has come to of its keys: of no more than
/// are `left` now.
pub(super) fn save(
    tx: &mut dyn Write,
    before: Option<&TenantRecord>,
    record: &TenantRecord,
    now: Timestamp,
    left: &mut usize,
) -> Result<(), StoreError> {
    store::save_tenant(tx, record)?;
    // Keys first: a region may still hold them from an earlier stay, as they were before they were deleted, made anew or
    // found to be compromised. A key whose tenant is not there is served to nobody.
    tellings::begin(tx, record, &telling::new_regions(before, record), now, left)?;
    let mut told = Vec::new();
    for (audience, event) in telling::of_tenant(before, record) {
        let waits = match &audience {
            Audience::Region(region) => failovers::is_untold_of(tx.as_read(), region, &record.tenant)?,
            _ => false,
        };
        if !waits {
            told.push((audience, event));
        }
    }
    tell(tx, told, record.revision, now)
}
