//! Sealing an L2 to further roots: to each that the tenant's link names and that may be sealed to.
//!
//! From memory: that a version is open here is enough, whichever root opened it. The provider opens each new seal before
//! it is kept, beside the ones that there are. What made the root one to be sealed to is not decided here
//! (`store/owners.rs`).

use std::time::Duration;

use openkcm_contracts::v1::{KeyDefine, KeySealed, SealedBy};
use openkcm_contracts::{KeyPath, RootRef, SystemPath, Timestamp};
use openkcm_store::{Read, StoreError};

use super::held::Members;
use super::l2::{L2State, System};
use super::step::Step;
use super::tenant::Served;
use super::{Core, Effects, ResealJob, Resealed};
use crate::rules::Denial;
use crate::store;

/// How long after a root did not answer it is asked again.
const RETRY: Duration = Duration::from_secs(30);

impl Core {
    /// Has the L2 of a system looked at when it is this region's turn, where a version of it lacks a seal.
    pub(super) fn note_lacking_roots(
        &mut self,
        view: &dyn Read,
        (served, definition): (&Served, &KeyDefine),
        system: &System,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if served.sealable.is_empty() || !system.versions.keys().any(|id| system.is_open(*id)) {
            return Ok(());
        }
        let KeyPath::System(path) = definition.path() else { return Ok(()) };
        if !self.lacking(view, served, &path, system)?.is_empty()
            && let Some(at) = self.turn(served, now)
        {
            self.resealing.look_at_roots(&path, at);
        }
        Ok(())
    }

    /// Has the provider seal what lacks a seal.
    pub(super) fn reseal_to_roots(
        &mut self,
        step: &mut Step<'_>,
        served: &Served,
        path: &SystemPath,
    ) -> Result<(), StoreError> {
        let Some(system) = self.systems.get(path) else { return Ok(()) };
        let lacking = self.lacking(step.view, served, path, system)?;
        let mut begun = Vec::new();
        for (sealed, roots) in lacking {
            if let Some(L2State::Open(key)) = system.versions.get(&sealed.version).map(|l2| &l2.state)
                && !system.resealing.contains(&sealed.version)
            {
                let (path, key, epoch) = (path.clone(), key.clone(), system.epoch);
                let wanted = system.ticket.wanted();
                begun.push(sealed.version);
                step.effects.reseal_l2.push(ResealJob { path, epoch, sealed, key, roots, wanted });
            }
        }
        if let Some(system) = self.systems.get_mut(path) {
            system.resealing.extend(begun);
        }
        Ok(())
    }

    /// The versions that are open here and known to the mesh, with the roots that have not sealed them, as far as this
    /// Core and the regions of the tenant tell.
    fn lacking(
        &self,
        view: &dyn Read,
        served: &Served,
        path: &SystemPath,
        system: &System,
    ) -> Result<Vec<(KeySealed, Vec<RootRef>)>, StoreError> {
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let records = store::system_versions(view, path)?;
        let mut lacking = Vec::new();
        for id in system.versions.keys().filter(|id| system.is_open(**id) && !self.at_risk.contains(id)) {
            let of: Vec<_> = records
                .iter()
                .filter(|sealed| sealed.version == *id && sealed.generation == system.generation)
                .filter(|sealed| members.include(sealed.teller()))
                .collect();
            // A maker's own word says best what the version is.
            let Some(best) = of.iter().find(|sealed| sealed.resealed_by.is_none()).or(of.first()) else {
                continue;
            };
            let is_sealed = |root: &RootRef| {
                let by = SealedBy::Root(root.clone());
                of.iter().flat_map(|sealed| &sealed.seals).any(|seal| seal.by == by)
            };
            let roots: Vec<_> = served.sealable.iter().filter(|root| !is_sealed(root)).cloned().collect();
            if !roots.is_empty() {
                let resealed_by = (best.maker != self.region).then(|| self.region.clone());
                lacking.push((KeySealed { seals: Vec::new(), resealed_by, ..(*best).clone() }, roots));
            }
        }
        Ok(lacking)
    }

    /// The provider answered to a version that was to be sealed to further roots.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn resealed(
        &mut self,
        view: &dyn Read,
        Resealed { job, outcome, denied_by }: Resealed,
        now: Timestamp,
    ) -> Result<Effects, StoreError> {
        let ResealJob { path, epoch, sealed, roots, .. } = job;
        let current = self.systems.get_mut(&path);
        let current =
            current.filter(|system| (system.epoch, system.generation) == (epoch, sealed.generation));
        // Unlinked, linked again or defined again meanwhile: what may be sealed to is to be decided anew.
        let Some(system) = current else { return Ok(Effects::default()) };
        system.resealing.remove(&sealed.version);
        let seals = outcome.unwrap_or_default();
        if seals.len() < roots.len() {
            self.resealing.look_at_roots(&path, now.after(RETRY));
        }
        self.step(view, now, |core, step| {
            if let Some(root) = denied_by {
                core.deny(step, &path.tenant, vec![Denial { root, of: None }]);
            }
            if !seals.is_empty() {
                tracing::info!(%path, version = %sealed.version, roots = seals.len(), "an l2 is sealed to further roots");
                step.effects.reseal.push(KeySealed { seals, ..sealed });
            }
            Ok(())
        })
    }
}
