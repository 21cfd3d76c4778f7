//! Sealing anew: every L3 version of a system comes to be sealed under the L2 that seals new ones. When
//! the L2 itself is sealed to further roots is kept here too (`reseal_l2.rs`).
//!
//! What is to be done is read off what is held (a version that is open here, and has no seal under that L2 or a newer
//! one), so that a crash forgets nothing. It is done in shares, between which other inputs come, and stops nobody: the
//! version stays open all the while, and the seal that it was made with stays for ever. A new seal is opened before it
//! is kept. One region does it; each further one of the tenant's list looks somewhat later, and does what is left.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use openkcm_contracts::v1::{KeyDefine, KeySealed, Seal, SealedBy};
use openkcm_contracts::{KeyPath, ServiceId, ServicePath, SystemPath, Timestamp, VersionId};
use openkcm_secrets::SecretKey;
use openkcm_store::StoreError;

use super::agenda::Agenda;
use super::l2::{L2State, System};
use super::step::Step;
use super::tenant::Served;
use super::{Core, KEEP_RETRY};
use crate::keyring::OpenVersion;
use crate::sealing::{unwrap_l3, wrap_l3};
use crate::store;

/// How much later each further region in a tenant's list looks: time for the first one's seals to come.
pub const RESEAL_PATIENCE: Duration = Duration::from_secs(60);

/// Versions that one step seals anew: with their letters some ten milliseconds of a transaction.
const AT_ONCE: usize = 64;

/// Systems that are being gone through, or will be.
#[derive(Debug, Default)]
pub(super) struct Resealing {
    due: Agenda,
    /// Those whose L2 lacks a seal to a root. Apart: a root that does not answer for a day must not have all services of
    /// its systems gone through every half minute.
    roots_due: Agenda,
    came_to: HashMap<SystemPath, CameTo>,
    /// Those of which more was found while they were gone through: it may lie in a part that was.
    again: BTreeSet<SystemPath>,
}

/// How far a system was gone through: this service, and so many versions of the next.
#[derive(Debug, Clone, Default)]
struct CameTo {
    after: Option<ServiceId>,
    versions: usize,
}

impl Resealing {
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.next_due().into_iter().chain(self.roots_due.next_due()).min()
    }

    /// Has a system's L2 sealed to the roots that it lacks, no later than then.
    pub(super) fn look_at_roots(&mut self, path: &SystemPath, at: Timestamp) {
        self.roots_due.at_latest(KeyPath::System(path.clone()), at);
    }
}

impl Core {
    /// Has a system gone through, from its beginning, when it is this region's turn; once more where it is under way.
    pub(super) fn reseal_later(&mut self, served: &Served, path: &SystemPath, now: Timestamp) {
        let Some(at) = self.turn(served, now) else { return };
        if self.resealing.came_to.contains_key(path) {
            self.resealing.again.insert(path.clone());
            return;
        }
        self.resealing.due.at_latest(KeyPath::System(path.clone()), at);
    }

    /// When it is this region's turn to seal anew what is found now; never where it is none of the tenant's.
    pub(super) fn turn(&self, served: &Served, now: Timestamp) -> Option<Timestamp> {
        let rank = served.tenant.regions.iter().position(|region| *region == self.region)?;
        Some(now.after(RESEAL_PATIENCE.saturating_mul(u32::try_from(rank).ok()?)))
    }

    /// Goes on with what is due, a share of it. After all else of a step, which may have found more.
    pub(super) fn reseal_due(&mut self, step: &mut Step<'_>) -> Result<(), StoreError> {
        let mut looks = 0;
        while looks < self.share
            && let Some(KeyPath::System(path)) = self.resealing.roots_due.take_due(step.now, 1).pop_first()
        {
            looks += 1;
            if let Some(served) = self.open(step, &path.tenant)? {
                self.reseal_to_roots(step, &served, &path)?;
            }
        }
        while looks < self.share && step.effects.reseal.len() < AT_ONCE {
            let Some(KeyPath::System(path)) = self.resealing.due.take_due(step.now, 1).pop_first() else {
                return Ok(());
            };
            self.reseal_share(step, &path, &mut looks)?;
        }
        Ok(())
    }

    /// New seals could not be committed: the systems are gone through again.
    pub fn not_resealed(&mut self, resealed: &[KeySealed], now: Timestamp) {
        let at = now.after(KEEP_RETRY);
        for sealed in resealed {
            let path = system_of(sealed);
            if sealed.service.is_none() {
                self.resealing.look_at_roots(&path, at);
            } else {
                self.resealing.came_to.remove(&path);
                self.resealing.due.at_latest(KeyPath::System(path), at);
            }
        }
    }

    /// Goes on with a system. Where its tenant is shut or its L2 is not open, there is nothing to go on with: whatever
    /// opens them settles all that lies below, which finds what is left.
    fn reseal_share(
        &mut self,
        step: &mut Step<'_>,
        path: &SystemPath,
        looks: &mut usize,
    ) -> Result<(), StoreError> {
        let from = self.resealing.came_to.remove(path).unwrap_or_default();
        *looks += 1;
        let Some(served) = self.open(step, &path.tenant)? else { return Ok(()) };
        let limit = self.share;
        let services = store::services_of(step.view, path, from.after.as_ref(), limit)?;
        let mut came_to = from;
        for service in &services {
            let KeyPath::Service(service_path) = service.path() else { continue };
            let is_done =
                self.reseal_service(step, &served, (&service_path, service), &mut came_to, looks)?;
            if !is_done || *looks >= limit {
                self.reseal_on(path, came_to, step.now);
                return Ok(());
            }
        }
        if services.len() == limit {
            self.reseal_on(path, came_to, step.now);
        } else if self.resealing.again.remove(path) {
            self.resealing.due.at_latest(KeyPath::System(path.clone()), step.now);
        }
        Ok(())
    }

    fn reseal_on(&mut self, path: &SystemPath, came_to: CameTo, now: Timestamp) {
        self.resealing.came_to.insert(path.clone(), came_to);
        self.resealing.due.at_latest(KeyPath::System(path.clone()), now);
    }

    /// Goes on with a service. Says whether it is done with.
    fn reseal_service(
        &self,
        step: &mut Step<'_>,
        served: &Served,
        (path, definition): (&ServicePath, &KeyDefine),
        came_to: &mut CameTo,
        looks: &mut usize,
    ) -> Result<bool, StoreError> {
        let ring =
            self.keyring.tenant(&path.tenant).and_then(|ring| ring.service(&path.system, &path.service));
        *looks += 1;
        if let Some(ring) = ring
            && let Some((l2_id, l2)) = self.systems.get(&path.system_path()).and_then(System::resealer)
        {
            let l2 = (l2_id, &*l2);
            let held = self.l3_held(step.view, served, path, definition)?;
            for sealed in held.iter().skip(came_to.versions) {
                if step.effects.reseal.len() >= AT_ONCE {
                    return Ok(false);
                }
                (came_to.versions, *looks) = (came_to.versions + 1, *looks + 1);
                let Some(version) = ring.version(sealed.version) else { continue };
                if self.may_reseal(sealed, version) && !is_sealed_under(l2, path, sealed) {
                    step.effects.reseal.extend(self.sealed_anew(l2, path, sealed, version));
                }
            }
        }
        *came_to = CameTo { after: Some(path.service.clone()), versions: 0 };
        Ok(true)
    }

    /// Whether something of a service is to be sealed anew, as far as seals say it of themselves.
    pub(super) fn has_fallen_behind(
        &self,
        system: &System,
        (held, versions): (&[KeySealed], &[OpenVersion]),
    ) -> bool {
        let Some(l2) = system.resealer.newest else { return false };
        let names = |sealed: &KeySealed| sealed.seals.iter().any(|seal| seal.by == SealedBy::L2(l2));
        held.iter().zip(versions).any(|(sealed, version)| self.may_reseal(sealed, version) && !names(sealed))
    }

    /// Whether a version is open here, and was told to the mesh: a later word on one that was not would be taken for one
    /// on a version that lies there.
    fn may_reseal(&self, sealed: &KeySealed, version: &OpenVersion) -> bool {
        version.key.is_ok() && !self.at_risk.contains(&sealed.version)
    }

    /// Notes which L2 version seals new ones, and has all of its services gone through when it is another one. Not while
    /// a newer one is on its way.
    pub(super) fn note_resealer(
        &mut self,
        (served, definition): (&Served, &KeyDefine),
        system: &mut System,
        active: Option<VersionId>,
        now: Timestamp,
    ) {
        let counter = |id: VersionId| system.versions.get(&id).map_or(0, |l2| l2.counter);
        let live = system.live(self, &definition.compromised);
        let newest = active.filter(|active| {
            live.iter().all(|other| (other.counter, other.id) <= (counter(*active), *active))
        });
        let before = system.resealer.last;
        system.resealer = Resealer { newest, last: newest.or(before) };
        // Where none was noted before, whatever settles a service finds out that it is behind.
        if let (Some(_), Some(newest)) = (before, newest)
            && before != Some(newest)
            && let KeyPath::System(path) = definition.path()
        {
            self.reseal_later(served, &path, now);
        }
    }

    /// A version with a seal under this L2, which was opened to see that it is one.
    fn sealed_anew(
        &self,
        (l2_id, l2): (VersionId, &SecretKey),
        path: &ServicePath,
        sealed: &KeySealed,
        version: &OpenVersion,
    ) -> Option<KeySealed> {
        let key = version.key.as_ref().ok()?;
        let name = (path, sealed.generation, sealed.version);
        let ciphertext = wrap_l3((l2, l2_id), key, name, &*self.entropy);
        match unwrap_l3((l2, l2_id), &ciphertext, name) {
            Ok(opened) if verify_slices_are_equal(opened.expose(), key.expose()).is_ok() => {}
            outcome => {
                let error = outcome.err().map(|error| error.to_string());
                tracing::error!(%path, version = %sealed.version, error, "a new seal does not open, and is not kept");
                return None;
            }
        }
        Some(KeySealed {
            seals: vec![Seal { by: SealedBy::L2(l2_id), ciphertext }],
            resealed_by: (sealed.maker != self.region).then(|| self.region.clone()),
            ..sealed.clone()
        })
    }
}

/// Which L2 version of a system all L3 versions are to be sealed under.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resealer {
    /// The present one; none while a newer one is on its way.
    newest: Option<VersionId>,
    /// The last that there was.
    last: Option<VersionId>,
}

impl System {
    fn resealer(&self) -> Option<(VersionId, Arc<SecretKey>)> {
        let id = self.resealer.newest?;
        match &self.versions.get(&id)?.state {
            L2State::Open(key) => Some((id, key.clone())),
            _ => None,
        }
    }
}

/// Whether a version has a seal under this L2 that opens: what only says so may be made up.
pub(super) fn is_sealed_under(
    (l2_id, l2): (VersionId, &SecretKey),
    path: &ServicePath,
    sealed: &KeySealed,
) -> bool {
    let mut seals = sealed.seals.iter().filter(|seal| seal.by == SealedBy::L2(l2_id));
    let name = (path, sealed.generation, sealed.version);
    seals.any(|seal| unwrap_l3((l2, l2_id), &seal.ciphertext, name).is_ok())
}

/// Whether a version was ever sealed under one of these L2 versions: whoever had that could open it.
pub(super) fn was_exposed(
    system: &System,
    compromised: &BTreeSet<VersionId>,
    path: &ServicePath,
    sealed: &KeySealed,
) -> bool {
    compromised.iter().any(|id| match system.versions.get(id).map(|l2| &l2.state) {
        Some(L2State::Open(l2)) => is_sealed_under((*id, l2), path, sealed),
        _ => false,
    })
}

fn system_of(sealed: &KeySealed) -> SystemPath {
    SystemPath { tenant: sealed.tenant.clone(), system: sealed.system.clone() }
}
