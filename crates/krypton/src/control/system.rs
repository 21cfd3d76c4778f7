//! Settling a system: its L2 versions are opened by the provider, made when there is none, rotated
//! when it is time.

use openkcm_contracts::v1::{KeyDefine, KeySealed};
use openkcm_contracts::{KeyPath, ServiceId, SystemPath, Timestamp, VersionId};
use openkcm_store::{Read, StoreError};

use super::Core;
use super::held::{Members, next_counter};
use super::l2::{System, open_version};
use super::step::Step;
use super::tenant::Served;
use crate::rules::{choose_active, is_purged, is_to_be_replaced, system_standing};
use crate::store;

impl Core {
    /// Settles one system, and all its services after it. `after`: the service up to which an earlier step came.
    pub(super) fn settle_system_and_services(
        &mut self,
        step: &mut Step<'_>,
        path: &SystemPath,
        after: Option<ServiceId>,
    ) -> Result<(), StoreError> {
        if after.is_none() && step.share() > 0 {
            self.settle_l2(step, path, false)?;
        }
        self.settle_services_of(step, path, after)
    }

    /// Settles one system. Says whether its services are to be settled too: they wait for it to have a version
    /// to be sealed under. `due`: its time on the agenda has come.
    pub(super) fn settle_l2(
        &mut self,
        step: &mut Step<'_>,
        path: &SystemPath,
        due: bool,
    ) -> Result<bool, StoreError> {
        let Some(served) = self.open(step, &path.tenant)? else { return Ok(false) };
        if step.share() == 0 && !due {
            self.rest.leave_l2(path);
            return Ok(false);
        }
        let Some(definition) = store::system(step.view, path)? else { return Ok(false) };
        let sealed_before = self.systems.get(path).is_some_and(|system| system.seals);
        self.settle_system(step, &served, &definition)?;
        Ok(self.systems.get(path).is_some_and(|system| system.seals) != sealed_before)
    }

    /// Settles one system, and its services only where they wait for that. Says whether they do.
    pub(super) fn settle_l2_and_who_waits(
        &mut self,
        step: &mut Step<'_>,
        path: &SystemPath,
    ) -> Result<bool, StoreError> {
        let waits = self.settle_l2(step, path, false)?;
        if waits {
            self.settle_services_of(step, path, None)?;
        }
        Ok(waits)
    }

    /// Settles the services of a system. `after`: the one up to which an earlier step came.
    pub(super) fn settle_services_of(
        &mut self,
        step: &mut Step<'_>,
        path: &SystemPath,
        after: Option<ServiceId>,
    ) -> Result<(), StoreError> {
        self.rest.forget_system(path);
        let Some(served) = self.open(step, &path.tenant)? else { return Ok(()) };
        let limit = step.share();
        let definition = store::system(step.view, path)?;
        let services = store::services_of(step.view, path, after.as_ref(), limit)?;
        let mut rings = Vec::with_capacity(services.len());
        for service in &services {
            let KeyPath::Service(path) = service.path() else { continue };
            if !step.has_made(&path) {
                let ring = self.ring_of(step, &served, &path, (definition.as_ref(), service))?;
                rings.push((path.system, path.service, ring));
            }
        }
        self.keyring.tenant_or_new(&path.tenant).put(served.link.epoch, rings);
        if services.len() == limit {
            let last = services.last().and_then(|service| service.service.clone());
            self.rest.leave_system(path, last.or(after));
        }
        Ok(())
    }

    /// Opens, makes or rotates a system's L2, as it stands.
    pub(super) fn settle_system(
        &mut self,
        step: &mut Step<'_>,
        served: &Served,
        definition: &KeyDefine,
    ) -> Result<(), StoreError> {
        let KeyPath::System(path) = definition.path() else { return Ok(()) };
        step.looked();
        let tombstone = store::purge::purged_system(step.view, &path)?;
        if is_purged(tombstone, definition.generation)
            || system_standing(&served.tenant, Some(definition)).is_err()
        {
            self.systems.take(&path);
            self.patience.end(&definition.tenant, || definition.path());
            return Ok(());
        }
        let now = step.now;
        let (epoch, generation) = (served.link.epoch, definition.generation);
        let held = self.l2_held(step.view, served, definition)?;
        let mut system = self
            .systems
            .take(&path)
            .filter(|s| (s.epoch, s.generation) == (epoch, generation))
            .unwrap_or_else(|| System::new(epoch, generation));
        for sealed in &held {
            open_version(&mut system, &path, sealed, &served.link.roots, now, &mut step.effects);
        }
        let (active, look_again) = choose_active(&system.candidates(self), &definition.compromised, now);
        let counter = self.next_l2_counter(served, &system, &held);
        let make = self.l2_is_due(served, definition, &system, (&held, counter), active, now);
        let may_try = system.seal_failure.is_none_or(|failure| failure.retry_at <= now);
        if make
            && !served.sealable.is_empty()
            && system.sealing.is_none()
            && system.unkept.is_none()
            && may_try
        {
            self.make_l2(&path, &mut system, (served, definition), counter, now, &mut step.effects);
        }
        system.seals = active.is_some();
        self.note_resealer((served, definition), &mut system, active, now);
        self.note_lacking_roots(step.view, (served, definition), &system, now)?;
        self.plan_system(&path, &system, look_again, now);
        self.systems.put(&path, system);
        Ok(())
    }

    /// Whether a version of an L2 is to be made now.
    fn l2_is_due(
        &mut self,
        served: &Served,
        definition: &KeyDefine,
        system: &System,
        (held, next): (&[KeySealed], u64),
        active: Option<VersionId>,
        now: Timestamp,
    ) -> bool {
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let is_known =
            |sealed: &&KeySealed| system.is_live(sealed.version) || members.include(sealed.teller());
        let known: Vec<_> =
            held.iter().filter(is_known).map(|sealed| (sealed.counter, sealed.version)).collect();
        let stands = known.iter().any(|(_, id)| !definition.compromised.contains(id));
        let live = system.live(self, &definition.compromised);
        let replace = is_to_be_replaced(&known, &live, &definition.compromised, next);
        if (active.is_some() || stands) && !replace {
            self.patience.end(&definition.tenant, || definition.path());
        }
        match active {
            _ if replace => self.first_is_due(served, definition, now),
            Some(id) => self.rotation_is_due(served, definition, &live, id, now),
            None if stands => false,
            None => self.first_is_due(served, definition, now),
        }
    }

    /// The versions of an L2's present generation.
    pub(super) fn l2_held(
        &self,
        view: &dyn Read,
        served: &Served,
        definition: &KeyDefine,
    ) -> Result<Vec<KeySealed>, StoreError> {
        let KeyPath::System(path) = definition.path() else { return Ok(Vec::new()) };
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let mut held = members.each_once(store::system_versions(view, &path)?, definition.generation);
        held.retain(|sealed| sealed.generation == definition.generation);
        Ok(held)
    }

    pub(super) fn next_l2_counter(&self, served: &Served, system: &System, held: &[KeySealed]) -> u64 {
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let known = held.iter().filter(|s| system.is_live(s.version) || members.include(s.teller()));
        next_counter(known.map(|s| (s.counter, system.is_open(s.version))))
    }
}
