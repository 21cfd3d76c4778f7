//! Settling a system: its L2 versions are opened by the provider, made when there is none, rotated
//! when it is time.

use std::collections::BTreeSet;

use openkcm_contracts::v1::{KeyDefine, KeySealed};
use openkcm_contracts::{KeyPath, SystemPath, Timestamp};
use openkcm_store::{Read, StoreError};

use super::held::{Members, next_counter};
use super::l2::{System, open_version};
use super::tenant::Served;
use super::{Core, Effects, Thing};
use crate::rules::{choose_active, system_standing};
use crate::store;

impl Core {
    /// Settles one system, and all its services after it. `due`: those whose time on the agenda has come.
    pub(super) fn settle_system_and_services(
        &mut self,
        view: &dyn Read,
        path: &SystemPath,
        (now, due): (Timestamp, &BTreeSet<Thing>),
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let Ok(served) = self.served(view, &path.tenant)? else { return Ok(()) };
        let definition = store::system(view, path)?;
        if let Some(definition) = &definition {
            let is_due = due.contains(&KeyPath::System(path.clone()));
            self.settle_system(view, &served, definition, (now, is_due), effects)?;
        }
        self.settle_services_of(view, &served, (path, definition.as_ref()), (now, due), effects)
    }

    /// Settles one system, and its services only where they wait for it to have a version to be sealed
    /// under. Says whether they were settled too.
    pub(super) fn settle_l2(
        &mut self,
        view: &dyn Read,
        path: &SystemPath,
        (now, due): (Timestamp, &BTreeSet<Thing>),
        effects: &mut Effects,
    ) -> Result<bool, StoreError> {
        let Ok(served) = self.served(view, &path.tenant)? else { return Ok(false) };
        let Some(definition) = store::system(view, path)? else { return Ok(false) };
        let sealed_before = self.systems.get(path).is_some_and(|system| system.seals);
        let is_due = due.contains(&KeyPath::System(path.clone()));
        self.settle_system(view, &served, &definition, (now, is_due), effects)?;
        let seals = self.systems.get(path).is_some_and(|system| system.seals);
        if seals != sealed_before {
            self.settle_services_of(view, &served, (path, Some(&definition)), (now, due), effects)?;
        }
        Ok(seals != sealed_before)
    }

    fn settle_services_of(
        &mut self,
        view: &dyn Read,
        served: &Served,
        (path, definition): (&SystemPath, Option<&KeyDefine>),
        (now, due): (Timestamp, &BTreeSet<Thing>),
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let mut rings = Vec::new();
        for service in store::services_of(view, path)? {
            let is_due = due.contains(&service.path());
            let KeyPath::Service(path) = service.path() else { continue };
            let ring = self.ring_of(view, served, &path, (definition, &service), (now, is_due), effects)?;
            rings.push((path.system, path.service, ring));
        }
        self.keyring.tenant_or_new(&path.tenant).put(served.link.epoch, rings);
        Ok(())
    }

    /// Opens, makes or rotates a system's L2, as it stands.
    pub(super) fn settle_system(
        &mut self,
        view: &dyn Read,
        served: &Served,
        definition: &KeyDefine,
        (now, due): (Timestamp, bool),
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let KeyPath::System(path) = definition.path() else { return Ok(()) };
        if system_standing(&served.tenant, Some(definition)).is_err() {
            self.systems.take(&path);
            return Ok(());
        }
        let (epoch, generation) = (served.link.epoch, definition.generation);
        let held = self.l2_held(view, served, definition)?;
        let mut system = self
            .systems
            .take(&path)
            .filter(|s| (s.epoch, s.generation) == (epoch, generation))
            .unwrap_or_else(|| System::new(epoch, generation));
        for sealed in &held {
            open_version(&mut system, &path, sealed, &served.link.roots, now, effects);
        }
        let (active, look_again) = choose_active(&system.candidates(self), &definition.compromised, now);
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let stands = held.iter().any(|sealed| {
            !definition.compromised.contains(&sealed.version)
                && (system.is_live(sealed.version) || members.include(&sealed.maker))
        });
        let make = match active {
            Some(id) => {
                let live = system.live(self, &definition.compromised);
                self.rotation_is_due(served, definition, &live, id, now)
            }
            None if stands => false,
            None => self.first_is_due(served, KeyPath::System(path.clone()), now, due),
        };
        let may_try = system.seal_failure.is_none_or(|failure| failure.retry_at <= now);
        if make && system.sealing.is_none() && system.unkept.is_none() && may_try {
            let counter = self.next_l2_counter(served, &system, &held);
            self.make_l2(&path, &mut system, (served, definition), counter, now, effects);
        }
        system.seals = active.is_some();
        self.plan_system(&path, &system, look_again, now);
        self.systems.put(&path, system);
        Ok(())
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
        let known = held.iter().filter(|s| system.is_live(s.version) || members.include(&s.maker));
        next_counter(known.map(|s| (s.counter, system.is_open(s.version))))
    }
}
