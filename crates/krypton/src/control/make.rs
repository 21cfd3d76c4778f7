//! Making material: new versions of L2 and L3, and their sealed records.

use std::sync::Arc;

use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{KeyDefine, KeySealed, Seal, SealedBy};
use openkcm_contracts::{Generation, KeyPath, ServicePath, SystemPath, Timestamp, VersionId};
use openkcm_host::random_array;
use openkcm_secrets::SecretKey;
use openkcm_store::Read;

use super::l2::System;
use super::tenant::Served;
use super::{Core, Effects, RotateError, SealJob};
use crate::rules::{PURGED, Refusal, is_purged, service_standing, system_standing};
use crate::sealing::wrap_l3;
use crate::store;

pub(super) const NO_MEMORY: Refusal =
    Refusal::new(Code::LockedMemoryExhausted, "the operating system grants this Core no more locked memory");
const NO_ROOT: Refusal = Refusal::new(
    Code::MaterialNotHere,
    "none of the roots that the tenant's link names may be sealed to yet: the owner's signature, or the wait, is missing",
);
const BEING_MADE: Refusal =
    Refusal::new(Code::Hydrating, "a new version of this key is being made just now; try again shortly");

impl Core {
    /// Begins a new version of an L2: the provider seals it before anything else is done with it.
    pub(super) fn make_l2(
        &self,
        path: &SystemPath,
        system: &mut System,
        (served, definition): (&Served, &KeyDefine),
        counter: u64,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let key = match SecretKey::generate(&*self.entropy) {
            Ok(key) => Arc::new(key),
            Err(error) => {
                tracing::error!(%path, %error, "no L2 was made");
                system.seal_failed(NO_MEMORY, now);
                return;
            }
        };
        let version = self.new_version_id();
        system.sealing = Some(version);
        effects.seal.push(SealJob {
            path: path.clone(),
            epoch: served.link.epoch,
            generation: definition.generation,
            version,
            counter,
            made_at: now,
            key,
            roots: served.sealable.clone(),
            wanted: system.ticket.wanted(),
        });
    }

    /// The record of an L2 version that the provider sealed.
    pub(super) fn l2_record(&self, job: &SealJob, seals: Vec<Seal>) -> KeySealed {
        KeySealed {
            tenant: job.path.tenant.clone(),
            system: job.path.system.clone(),
            service: None,
            generation: job.generation,
            version: job.version,
            counter: job.counter,
            made_at: job.made_at,
            maker: self.region.clone(),
            seals,
            resealed_by: None,
        }
    }

    /// A new version of an L3, sealed under its L2. It is used only after its record was kept.
    pub(super) fn make_l3(
        &self,
        path: &ServicePath,
        definition: &KeyDefine,
        (l2_id, l2): (VersionId, &SecretKey),
        counter: u64,
        now: Timestamp,
    ) -> Result<KeySealed, openkcm_secrets::LockedMemoryError> {
        let key = SecretKey::generate(&*self.entropy)?;
        let version = self.new_version_id();
        let name = (path, definition.generation, version);
        let ciphertext = wrap_l3((l2, l2_id), &key, name, &*self.entropy);
        Ok(KeySealed {
            tenant: path.tenant.clone(),
            system: path.system.clone(),
            service: Some(path.service.clone()),
            generation: definition.generation,
            version,
            counter,
            made_at: now,
            maker: self.region.clone(),
            seals: vec![Seal { by: SealedBy::L2(l2_id), ciphertext }],
            resealed_by: None,
        })
    }

    /// Makes a new version because a caller asks for it. Gives its id: of an L3 with the record to
    /// keep, of an L2 with the job for the provider.
    ///
    /// # Errors
    /// When the key is not served, or no key can be held.
    pub fn rotate(
        &mut self,
        view: &dyn Read,
        path: &KeyPath,
        now: Timestamp,
    ) -> Result<(VersionId, Effects), RotateError> {
        let served = self.served(view, path.tenant())?.map_err(RotateError::Refused)?;
        if let Some(refusal) = self.shut_since(path.tenant()) {
            return Err(RotateError::Refused(refusal));
        }
        let system_path = SystemPath { tenant: path.tenant().clone(), system: path.system().clone() };
        let definition = store::system(view, &system_path)?;
        refuse_purged(store::purge::purged_system(view, &system_path)?, definition.as_ref())?;
        system_standing(&served.tenant, definition.as_ref()).map_err(RotateError::Refused)?;
        let definition = definition.ok_or(RotateError::Refused(Refusal::UNKNOWN))?;
        match path {
            KeyPath::System(path) => self.rotate_system(view, path, &served, &definition, now),
            KeyPath::Service(path) => self.rotate_service(view, path, &served, &definition, now),
        }
    }

    fn rotate_system(
        &mut self,
        view: &dyn Read,
        path: &SystemPath,
        served: &Served,
        definition: &KeyDefine,
        now: Timestamp,
    ) -> Result<(VersionId, Effects), RotateError> {
        let held = self.l2_held(view, served, definition)?;
        let mut system = self.systems.take(path).ok_or(RotateError::Refused(Refusal::HYDRATING))?;
        let mut effects = Effects::default();
        let busy = system.sealing.is_some() || system.unkept.is_some();
        if served.sealable.is_empty() {
            self.systems.put(path, system);
            return Err(RotateError::Refused(NO_ROOT));
        }
        if !busy {
            let counter = self.next_l2_counter(served, &system, &held);
            self.make_l2(path, &mut system, (served, definition), counter, now, &mut effects);
        }
        self.systems.put(path, system);
        match effects.seal.first() {
            Some(job) => Ok((job.version, effects)),
            None => Err(RotateError::Refused(if busy { BEING_MADE } else { NO_MEMORY })),
        }
    }

    fn rotate_service(
        &mut self,
        view: &dyn Read,
        path: &ServicePath,
        served: &Served,
        system_definition: &KeyDefine,
        now: Timestamp,
    ) -> Result<(VersionId, Effects), RotateError> {
        let definition = store::service(view, path)?;
        refuse_purged(store::purge::purged(view, path)?, definition.as_ref())?;
        service_standing(system_definition, definition.as_ref()).map_err(RotateError::Refused)?;
        let definition = definition.ok_or(RotateError::Refused(Refusal::UNKNOWN))?;
        let system = self.systems.get(&path.system_path()).ok_or(RotateError::Refused(Refusal::HYDRATING))?;
        let Some((l2_id, l2)) = system.active(self, system_definition, now) else {
            return Err(RotateError::Refused(system.refusal()));
        };
        let held = self.l3_held(view, served, path, &definition)?;
        let versions = self.open_versions(path, &definition, system, &held);
        let counter = self.next_l3_counter(served, &held, &versions);
        let sealed =
            self.make_l3(path, &definition, (l2_id, &l2), counter, now).map_err(RotateError::Memory)?;
        let version = sealed.version;
        Ok((version, Effects { keep: vec![sealed], ..Effects::default() }))
    }

    fn new_version_id(&self) -> VersionId {
        VersionId::from_random(random_array(&*self.entropy))
    }
}

fn refuse_purged(tombstone: Option<Generation>, definition: Option<&KeyDefine>) -> Result<(), RotateError> {
    match definition {
        Some(definition) if is_purged(tombstone, definition.generation) => Err(RotateError::Refused(PURGED)),
        _ => Ok(()),
    }
}
