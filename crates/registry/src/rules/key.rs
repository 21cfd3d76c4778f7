//! Systems and services: defined, deleted, undeleted, compromised.
//!
//! One set of rules for both layers: a system is to its tenant what a service is to its system. What
//! always holds: a definition made again after it ended has a new generation, so that the old
//! material is never taken for the new; and the compromised versions of a generation only grow.

use std::collections::BTreeSet;
use std::time::Duration;

use openkcm_contracts::{Algorithm, DefinitionState, Generation, KeyPath, Period, Timestamp, VersionId};

use super::{End, Moment, Outcome, Precondition, Refusal, Standing};
use crate::store::{Ended, KeyRecord, TenantRecord};

/// Most versions of one definition that can be marked compromised: they travel with each of its
/// events, which stay below 64 KiB so. Whoever needs more marks is better off with a new definition.
pub const MAX_COMPROMISED: usize = 1_024;

/// What a key should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeySpec {
    /// What it encrypts with.
    pub algorithm: Algorithm,
    /// How long a version encrypts; never replaced by itself when absent.
    pub rotate_every: Option<Period>,
}

/// A system or a service with what it depends on, as the store has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub path: KeyPath,
    /// Its tenant.
    pub tenant: Option<TenantRecord>,
    /// Its system, if it is a service; always none if it is a system.
    pub system: Option<KeyRecord>,
    /// Its own record.
    pub held: Option<KeyRecord>,
    /// The last generation under its name whose destruction was told: its own, or its system's.
    pub purged: Option<Generation>,
}

impl Place {
    /// Its record, and whether it stands.
    ///
    /// # Errors
    /// When the tenant, the system or the service is not known.
    pub fn held(&self) -> Result<(&KeyRecord, Standing), Refusal> {
        let (tenant, system) = (self.known_tenant()?, self.known_system()?);
        let held = self.held.as_ref().ok_or_else(|| self.unknown())?;
        let standing = match system {
            None => Standing::of_system(tenant, held),
            Some(system) => Standing::of_service(tenant, system, held),
        };
        Ok((held, standing))
    }

    /// Whether the destruction of this record's generation was told.
    pub fn is_purged(&self, held: &KeyRecord) -> bool {
        self.purged >= Some(held.generation)
    }

    /// The generation that a new definition here belongs to.
    ///
    /// # Errors
    /// When the parent is not known, or does not stand.
    fn live_parent(&self) -> Result<Generation, Refusal> {
        let tenant = self.known_tenant()?;
        if !Standing::of_tenant(tenant).is_live() {
            return Err(Refusal::TenantOffboarded(tenant.tenant.clone()));
        }
        let Some(system) = self.known_system()? else {
            return Ok(tenant.generation);
        };
        match Standing::of_system(tenant, system) {
            Standing::Live => Ok(system.generation),
            Standing::Ended(_) => Err(Refusal::DefinitionDeleted(system.path())),
        }
    }

    fn known_tenant(&self) -> Result<&TenantRecord, Refusal> {
        self.tenant.as_ref().ok_or_else(|| Refusal::UnknownTenant(self.path.tenant().clone()))
    }

    fn known_system(&self) -> Result<Option<&KeyRecord>, Refusal> {
        match (&self.path, &self.system) {
            (KeyPath::System(_), _) => Ok(None),
            (KeyPath::Service(_), Some(system)) => Ok(Some(system)),
            (KeyPath::Service(path), None) => Err(Refusal::UnknownSystem(path.system_path())),
        }
    }

    fn unknown(&self) -> Refusal {
        match &self.path {
            KeyPath::System(path) => Refusal::UnknownSystem(path.clone()),
            KeyPath::Service(path) => Refusal::UnknownService(path.clone()),
        }
    }
}

/// Defines a system or a service, changes it, or defines one again that has ended.
///
/// # Errors
/// When its parent is not known or has ended, or the precondition does not hold or is missing.
pub fn define(
    place: &Place,
    spec: KeySpec,
    precondition: &Precondition,
    at: Moment,
) -> Result<Outcome<KeyRecord>, Refusal> {
    let parent = place.live_parent()?;
    if place.held.is_none() {
        precondition.check(None)?;
        return Ok(Outcome::Created(new(&place.path, parent, spec, None, at)));
    }
    let (held, standing) = place.held()?;
    if let Standing::Ended(End { purge_at, .. }) = standing {
        precondition.require(held.revision)?;
        let ended = Some(end_of(held, purge_at));
        return Ok(Outcome::Changed(new(&place.path, parent, spec, ended, at)));
    }
    precondition.check(Some(held.revision))?;
    let KeySpec { algorithm, rotate_every } = spec;
    if held.algorithm == algorithm && held.rotate_every == rotate_every {
        return Ok(Outcome::Unchanged(held.clone()));
    }
    Ok(Outcome::Changed(changed(KeyRecord { algorithm, rotate_every, ..held.clone() }, at)))
}

/// Deletes a system or a service. One that is gone for good with its parent stays as it is; one that
/// is gone for now with its system is deleted itself too, so that the system's undelete does not bring it back.
/// Of an offboarded tenant nothing is deleted: what belongs to it waits as long as it does, and no shorter.
///
/// # Errors
/// When it is not known, its tenant is offboarded, or the precondition does not hold.
pub fn delete(
    place: &Place,
    precondition: &Precondition,
    purge_after: Duration,
    at: Moment,
) -> Result<Outcome<KeyRecord>, Refusal> {
    let (held, standing) = place.held()?;
    precondition.check(Some(held.revision))?;
    if matches!(held.state, DefinitionState::Deleted { .. }) || standing.is_over_for_good() {
        return Ok(Outcome::Unchanged(held.clone()));
    }
    let tenant = place.known_tenant()?;
    if !Standing::of_tenant(tenant).is_live() {
        return Err(Refusal::TenantOffboarded(tenant.tenant.clone()));
    }
    let state = DefinitionState::Deleted { purge_at: at.now.after(purge_after) };
    Ok(Outcome::Changed(changed(KeyRecord { state, ..held.clone() }, at)))
}

/// Takes a deletion back, within its waiting period.
///
/// # Errors
/// When it or its parent is not known, its parent has ended, it is not deleted or gone for good, its
/// waiting period is over, or the precondition does not hold.
pub fn undelete(
    place: &Place,
    precondition: &Precondition,
    at: Moment,
) -> Result<Outcome<KeyRecord>, Refusal> {
    let (held, standing) = place.held()?;
    precondition.check(Some(held.revision))?;
    place.live_parent()?;
    if let (Standing::Ended(End { purge_at, .. }), true) = (standing, place.is_purged(held)) {
        // Whatever the clock says: what was told to be destroyed may be gone.
        return Err(Refusal::UndeleteTooLate { name: held.path().to_string(), purge_at });
    }
    if standing.is_over_for_good() {
        return Err(Refusal::DefinitionDeleted(held.path()));
    }
    match held.state {
        DefinitionState::Defined | DefinitionState::Disabled => {
            Err(Refusal::NotDeleted(held.path().to_string()))
        }
        DefinitionState::Deleted { purge_at } if at.now >= purge_at => {
            Err(Refusal::UndeleteTooLate { name: held.path().to_string(), purge_at })
        }
        DefinitionState::Deleted { .. } => {
            let record = KeyRecord { state: DefinitionState::Defined, ..held.clone() };
            Ok(Outcome::Changed(changed(record, at)))
        }
    }
}

/// Marks a version compromised. There is no way back. A deleted definition takes the mark too: an
/// undelete must not bring the version back into use.
///
/// # Errors
/// When it is not known, is gone for good, has too many marks, or the precondition does not hold.
pub fn compromise(
    place: &Place,
    precondition: &Precondition,
    version: VersionId,
    at: Moment,
) -> Result<Outcome<KeyRecord>, Refusal> {
    let (held, standing) = place.held()?;
    precondition.check(Some(held.revision))?;
    if standing.is_over_for_good() {
        return Err(Refusal::DefinitionDeleted(held.path()));
    }
    if held.compromised.contains(&version) {
        return Ok(Outcome::Unchanged(held.clone()));
    }
    if held.compromised.len() >= MAX_COMPROMISED {
        let reason =
            format!("{MAX_COMPROMISED} versions are marked already; delete the key and define it again");
        return Err(Refusal::Invalid { field: "version", reason });
    }
    let mut record = held.clone();
    record.compromised.insert(version);
    Ok(Outcome::Changed(changed(record, at)))
}

fn end_of(held: &KeyRecord, purge_at: Timestamp) -> Ended {
    let purge_at = held.ended.map_or(purge_at, |earlier| purge_at.max(earlier.purge_at));
    Ended { generation: held.generation, purge_at }
}

fn new(path: &KeyPath, parent: Generation, spec: KeySpec, ended: Option<Ended>, at: Moment) -> KeyRecord {
    KeyRecord {
        tenant: path.tenant().clone(),
        system: path.system().clone(),
        service: path.service().cloned(),
        generation: Generation(at.revision),
        parent,
        revision: at.revision,
        state: DefinitionState::Defined,
        algorithm: spec.algorithm,
        rotate_every: spec.rotate_every,
        compromised: BTreeSet::new(),
        ended,
        defined_at: at.now,
        changed_at: at.now,
    }
}

fn changed(record: KeyRecord, at: Moment) -> KeyRecord {
    KeyRecord { revision: at.revision, changed_at: at.now, ..record }
}

#[cfg(test)]
pub(crate) mod tests;
