//! Denials: which tenants' roots have said no, and to what, so that no restart serves what they deny.
//!
//! Written when a root denies and when it allows again, which is seldom. That a root said yes is kept nowhere: after
//! a restart nothing is open but what a root opens then.

use openkcm_contracts::{LinkEpoch, TenantId};
use openkcm_store::{Read, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use crate::rules::Denial;

pub(super) const DENIALS: Table<Denials> = Table::new("denials");

/// What the roots of a tenant deny.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denials {
    /// Under which link; the roots of another one are asked anew.
    pub epoch: LinkEpoch,
    /// Which roots, and what.
    pub by: Vec<Denial>,
}

/// What the roots of a tenant deny under its present link; none while none does.
///
/// # Errors
/// When the store can't be read.
pub fn denials(store: &dyn Read, tenant: &TenantId, epoch: LinkEpoch) -> Result<Vec<Denial>, StoreError> {
    let held = DENIALS.get(store, tenant.as_str())?.filter(|held| held.epoch == epoch);
    Ok(held.map(|held| held.by).unwrap_or_default())
}

/// Keeps what roots deny from now on, or that they allow again.
///
/// # Errors
/// When the store can't be written.
pub fn keep_denials(tx: &mut dyn Write, changed: &[(TenantId, Option<Denials>)]) -> Result<(), StoreError> {
    for (tenant, denials) in changed {
        match denials {
            Some(denials) => DENIALS.put(tx, tenant.as_str(), denials)?,
            None => DENIALS.delete(tx, tenant.as_str())?,
        }
    }
    Ok(())
}
