//! Tenants: defined, offboarded, undeleted.
//!
//! A tenant that was offboarded and is defined again is another tenant under the old name: a new
//! generation, to which none of the old systems belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openkcm_contracts::{Generation, RegionId, TenantId};

use super::{Landscape, Moment, Outcome, Precondition, Refusal};
use crate::store::{Ended, Tenancy, TenantRecord};

/// Most regions of a tenant: each change is told to each of them, in one transaction. More than any
/// cloud provider has.
pub const MAX_REGIONS: usize = 64;

/// Most labels of a tenant; they travel with each of its events.
pub const MAX_LABELS: usize = 64;

/// Longest name of a label, in bytes: that of a DNS label, as in Kubernetes.
pub const MAX_LABEL_NAME_LEN: usize = 63;

/// Longest value of a label, in bytes: a note, not a document.
pub const MAX_LABEL_VALUE_LEN: usize = 256;

/// What a tenant should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSpec {
    /// Where it is served, in order of preference.
    pub regions: Vec<RegionId>,
    /// The operator's own notes.
    pub labels: BTreeMap<String, String>,
}

impl TenantSpec {
    /// Checks it against the landscape and the limits.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] or [`Refusal::UnknownRegion`].
    fn check(&self, landscape: &Landscape) -> Result<(), Refusal> {
        check_regions(&self.regions, landscape)?;
        check_labels(&self.labels)
    }
}

fn check_regions(regions: &[RegionId], landscape: &Landscape) -> Result<(), Refusal> {
    let invalid = |reason: String| Err(Refusal::Invalid { field: "regions", reason });
    if regions.is_empty() {
        return invalid("at least one region is expected".into());
    }
    if regions.len() > MAX_REGIONS {
        return invalid(format!("at most {MAX_REGIONS} regions are expected, got {}", regions.len()));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = regions.iter().find(|region| !seen.insert(*region)) {
        return invalid(format!("{twice} is named twice"));
    }
    match regions.iter().find(|region| !landscape.regions.contains(region)) {
        Some(unknown) => Err(Refusal::UnknownRegion(unknown.clone())),
        None => Ok(()),
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let invalid = |reason: String| Err(Refusal::Invalid { field: "labels", reason });
    if labels.len() > MAX_LABELS {
        return invalid(format!("at most {MAX_LABELS} labels are expected, got {}", labels.len()));
    }
    for (name, value) in labels {
        if name.is_empty() || name.len() > MAX_LABEL_NAME_LEN {
            return invalid(format!(
                "a label's name has 1 to {MAX_LABEL_NAME_LEN} bytes, got {}",
                name.len()
            ));
        }
        if value.len() > MAX_LABEL_VALUE_LEN {
            return invalid(format!(
                "a label's value has at most {MAX_LABEL_VALUE_LEN} bytes, got {}",
                value.len()
            ));
        }
    }
    Ok(())
}

/// Defines a tenant, changes it, or defines an offboarded one again.
///
/// # Errors
/// When the spec is outside of the limits or names a foreign region, or the precondition does not hold
/// or is missing.
pub fn define(
    tenant: &TenantId,
    held: Option<&TenantRecord>,
    landscape: &Landscape,
    spec: TenantSpec,
    precondition: &Precondition,
    at: Moment,
) -> Result<Outcome<TenantRecord>, Refusal> {
    spec.check(landscape)?;
    let Some(held) = held else {
        precondition.check(None)?;
        return Ok(Outcome::Created(new(tenant, spec, None, at)));
    };
    match held.state {
        Tenancy::Offboarded { purge_at } => {
            precondition.require(held.revision)?;
            let purge_at = held.ended.map_or(purge_at, |earlier| purge_at.max(earlier.purge_at));
            let ended = Ended { generation: held.generation, purge_at };
            Ok(Outcome::Changed(new(tenant, spec, Some(ended), at)))
        }
        Tenancy::Active => {
            precondition.check(Some(held.revision))?;
            if held.regions == spec.regions && held.labels == spec.labels {
                return Ok(Outcome::Unchanged(held.clone()));
            }
            let TenantSpec { regions, labels } = spec;
            Ok(Outcome::Changed(changed(TenantRecord { regions, labels, ..held.clone() }, at)))
        }
    }
}

/// Offboards a tenant. All its systems and services end with it, for now.
///
/// # Errors
/// When there is no such tenant, or the precondition does not hold.
pub fn offboard(
    tenant: &TenantId,
    held: Option<&TenantRecord>,
    precondition: &Precondition,
    purge_after: Duration,
    at: Moment,
) -> Result<Outcome<TenantRecord>, Refusal> {
    let held = held.ok_or_else(|| Refusal::UnknownTenant(tenant.clone()))?;
    precondition.check(Some(held.revision))?;
    match held.state {
        Tenancy::Offboarded { .. } => Ok(Outcome::Unchanged(held.clone())),
        Tenancy::Active => {
            let state = Tenancy::Offboarded { purge_at: at.now.after(purge_after) };
            Ok(Outcome::Changed(changed(TenantRecord { state, ..held.clone() }, at)))
        }
    }
}

/// Takes an offboarding back, within its waiting period. What ended with it is there again. `begun`: the
/// destruction of its systems has, whatever the clock says now.
///
/// # Errors
/// When there is no such tenant, it is not offboarded, its waiting period is over, or the precondition
/// does not hold.
pub fn undelete(
    tenant: &TenantId,
    held: Option<&TenantRecord>,
    precondition: &Precondition,
    begun: bool,
    at: Moment,
) -> Result<Outcome<TenantRecord>, Refusal> {
    let held = held.ok_or_else(|| Refusal::UnknownTenant(tenant.clone()))?;
    precondition.check(Some(held.revision))?;
    match held.state {
        Tenancy::Active => Err(Refusal::NotDeleted(format!("tenant {tenant}"))),
        Tenancy::Offboarded { purge_at } if begun || at.now >= purge_at => {
            Err(Refusal::UndeleteTooLate { name: format!("tenant {tenant}"), purge_at })
        }
        Tenancy::Offboarded { .. } => {
            let record = TenantRecord { state: Tenancy::Active, ..held.clone() };
            Ok(Outcome::Changed(changed(record, at)))
        }
    }
}

fn new(tenant: &TenantId, spec: TenantSpec, ended: Option<Ended>, at: Moment) -> TenantRecord {
    TenantRecord {
        tenant: tenant.clone(),
        generation: Generation(at.revision),
        revision: at.revision,
        state: Tenancy::Active,
        regions: spec.regions,
        labels: spec.labels,
        ended,
        defined_at: at.now,
        changed_at: at.now,
    }
}

fn changed(record: TenantRecord, at: Moment) -> TenantRecord {
    TenantRecord { revision: at.revision, changed_at: at.now, ..record }
}

#[cfg(test)]
pub(crate) mod tests;
