//! Failover of a region: where its tenants go, and when they come back.
//!
//! The failover itself is one small record; the tenants follow it one by one. A tenant of which an operator spoke
//! after the record was made is left as it is: the later word wins. What a late retry of a request could undo needs
//! `If-Match`: to fail over again what was given back, or to move what came to the region since.

use openkcm_contracts::RegionId;

use super::{Landscape, Moment, Outcome, Precondition, Refusal};
use crate::store::{Failover, FailoverPhase, Moved, TenantRecord};

/// What is known of the two regions of a failover.
#[derive(Debug, Clone, Copy)]
pub struct Regions<'a> {
    /// The region that is lost.
    pub from: &'a RegionId,
    /// The region that takes its place.
    pub to: &'a RegionId,
    /// The last failover of the first.
    pub held: Option<&'a Failover>,
    /// The last failover of the second.
    pub of_survivor: Option<&'a Failover>,
}

/// Fails a region over, or moves what has come to it since it was. `count` says how many tenants there are to move.
///
/// # Errors
/// When a region is none of the landscape's, or both are the same; when the region is failed over to another place
/// or its tenants are being given back; when the survivor was failed over itself; or when the precondition does not
/// hold or is missing.
pub fn begin(
    regions: Regions<'_>,
    landscape: &Landscape,
    precondition: &Precondition,
    count: u64,
    at: Moment,
) -> Result<Outcome<Failover>, Refusal> {
    check(regions, landscape)?;
    let Regions { from, to, held, .. } = regions;
    let new = Failover {
        from: from.clone(),
        to: to.clone(),
        revision: at.revision,
        phase: FailoverPhase::Moving { after: None },
        committed_at: at.now,
        total: count,
        moved: 0,
        left: 0,
        back_at: None,
        returned: 0,
        kept: 0,
    };
    let Some(held) = held else {
        precondition.check(None)?;
        return Ok(Outcome::Created(new));
    };
    match held.phase {
        FailoverPhase::Returned { .. } => {
            precondition.require(held.revision)?;
            Ok(Outcome::Changed(new))
        }
        FailoverPhase::Moved { .. } if matches!(precondition, Precondition::OneOf(_)) => {
            precondition.check(Some(held.revision))?;
            Ok(Outcome::Changed(Failover { total: held.moved + count, moved: held.moved, ..new }))
        }
        _ => {
            precondition.check(Some(held.revision))?;
            Ok(Outcome::Unchanged(held.clone()))
        }
    }
}

/// Whether one region can be failed over to the other.
///
/// # Errors
/// As [`begin`], but for the precondition.
pub fn check(
    Regions { from, to, held, of_survivor }: Regions<'_>,
    landscape: &Landscape,
) -> Result<(), Refusal> {
    for region in [from, to] {
        if !landscape.regions.contains(region) {
            return Err(Refusal::UnknownRegion(region.clone()));
        }
    }
    if from == to {
        return Err(Refusal::Invalid { field: "to", reason: "another region is expected".into() });
    }
    let in_force = |failover: &Failover| Refusal::FailoverInForce {
        from: failover.from.clone(),
        to: failover.to.clone(),
        returning: failover.phase == FailoverPhase::Returning,
    };
    if let Some(held) = held
        && (held.phase == FailoverPhase::Returning || held.is_in_force() && held.to != *to)
    {
        return Err(in_force(held));
    }
    match of_survivor.filter(|failover| failover.is_in_force()) {
        Some(failover) => Err(in_force(failover)),
        None => Ok(()),
    }
}

/// Gives the tenants of a region back.
///
/// # Errors
/// When the region is none of the landscape's or was never failed over, or the precondition does not hold.
pub fn back(
    from: &RegionId,
    held: Option<&Failover>,
    landscape: &Landscape,
    precondition: &Precondition,
    at: Moment,
) -> Result<Outcome<Failover>, Refusal> {
    if !landscape.regions.contains(from) {
        return Err(Refusal::UnknownRegion(from.clone()));
    }
    let held = held.ok_or_else(|| Refusal::NotFailedOver(from.clone()))?;
    precondition.check(Some(held.revision))?;
    if !held.is_in_force() {
        return Ok(Outcome::Unchanged(held.clone()));
    }
    // A retry that comes late could mean an earlier failover, and give everything back to a region that is lost again.
    precondition.require(held.revision)?;
    Ok(Outcome::Changed(Failover {
        revision: at.revision,
        phase: FailoverPhase::Returning,
        back_at: Some(at.now),
        ..held.clone()
    }))
}

/// What a failover makes of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is none of the region's.
    Elsewhere,
    /// An operator spoke of it after the failover was said.
    Left,
    /// It is served in these regions from now on.
    Moved(Vec<RegionId>),
}

/// What a failover makes of a tenant: the survivor takes the place of the lost region, and has one place only.
pub fn fate(failover: &Failover, tenant: &TenantRecord) -> Fate {
    let Failover { from, to, revision, .. } = failover;
    if !tenant.regions.contains(from) {
        return Fate::Elsewhere;
    }
    if tenant.revision > *revision {
        return Fate::Left;
    }
    let mut regions: Vec<RegionId> = Vec::with_capacity(tenant.regions.len());
    for region in &tenant.regions {
        let region = if region == from { to } else { region };
        if !regions.contains(region) {
            regions.push(region.clone());
        }
    }
    Fate::Moved(regions)
}

/// Where a tenant goes back to; nothing when an operator has said since where it is to be.
pub fn way_back(moved: &Moved, tenant: &TenantRecord) -> Option<Vec<RegionId>> {
    let untouched = tenant.generation == moved.generation && tenant.regions == moved.after;
    untouched.then(|| moved.before.clone())
}

#[cfg(test)]
mod tests;
