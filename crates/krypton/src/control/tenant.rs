//! Settling a tenant: its gate, and everything behind it.

use std::collections::HashMap;
use std::sync::Arc;

use openkcm_contracts::v1::{KeyDefine, L1Reference, TenantDefine};
use openkcm_contracts::{KeyPath, RootRef, ServiceId, SystemId, SystemPath, TenantId};
use openkcm_store::{Read, StoreError};

use super::Core;
use super::step::Step;
use crate::keyring::{ServiceRing, TenantRing};
use crate::rules::{Refusal, tenant_standing};
use crate::store;

/// Rings of services, to be put into a tenant's.
type Rings = Vec<(SystemId, ServiceId, Arc<ServiceRing>)>;

/// A tenant that is served, with the link that it is served under.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) tenant: TenantDefine,
    pub(super) link: L1Reference,
    /// Those of its roots that may be sealed to, the preferred one first.
    pub(super) sealable: Vec<RootRef>,
}

impl Core {
    /// What a tenant is served under.
    pub(super) fn served(
        &self,
        view: &dyn Read,
        id: &TenantId,
    ) -> Result<Result<Served, Refusal>, StoreError> {
        let (tenant, link) = (store::tenant(view, id)?, store::link(view, id)?);
        let standing = tenant_standing(tenant.as_ref(), link.as_ref(), &self.region);
        let reference = link.and_then(|link| link.reference).map(|held| held.fact);
        Ok(match (standing, tenant, reference) {
            (Ok(()), Some(tenant), Some(link)) => {
                let sealable = store::owners::sealable(view, &link)?;
                Ok(Served { tenant, link, sealable })
            }
            (standing, ..) => Err(standing.err().unwrap_or(Refusal::UNKNOWN)),
        })
    }

    /// What a tenant is served under, for settling one of its keys; none where its gate is shut, and the store
    /// is not asked: whatever opens it settles all that it has.
    pub(super) fn open(&self, step: &mut Step<'_>, id: &TenantId) -> Result<Option<Arc<Served>>, StoreError> {
        if let Some((_, served)) = step.last.as_ref().filter(|(last, _)| last == id) {
            return Ok(served.clone());
        }
        let served = match self.is_open(id) {
            true => self.served(step.view, id)?.ok().map(Arc::new),
            false => None,
        };
        step.last = Some((id.clone(), served.clone()));
        Ok(served)
    }

    /// Why a tenant's gate is shut, if it is.
    pub(super) fn shut_since(&self, id: &TenantId) -> Option<Refusal> {
        self.keyring.tenant(id).map_or(Some(Refusal::UNKNOWN), |ring| ring.standing().err())
    }

    fn is_open(&self, id: &TenantId) -> bool {
        self.keyring.tenant(id).is_some_and(|ring| ring.epoch().is_some())
    }

    /// Opens or closes a tenant, as it stands. `after`: the record up to which an earlier step came.
    pub(super) fn settle_tenant(
        &mut self,
        step: &mut Step<'_>,
        id: &TenantId,
        after: Option<String>,
    ) -> Result<(), StoreError> {
        let ring = self.keyring.tenant_or_new(id);
        if step.share() == 0 && ring.epoch().is_none() {
            self.rest.leave_tenant(id, after);
            return Ok(());
        }
        step.looked();
        step.last = None;
        self.rest.forget_tenant(id);
        let served = match self.served(step.view, id)? {
            Ok(served) => served,
            Err(refusal) => {
                ring.place(&[]);
                self.unleased(id);
                self.unwatched(id);
                self.shut(id, &ring, refusal);
                return Ok(());
            }
        };
        ring.place(&served.tenant.regions);
        let epoch = served.link.epoch;
        if let Err(refusal) = self.let_by_l1(step, id, epoch)? {
            self.shut_for_l1(step, id, refusal);
            return Ok(());
        }
        let link = store::link(step.view, id)?.unwrap_or_default();
        let until = match self.leased(id, &link) {
            Ok(until) => until,
            Err(refusal) => {
                self.unwatched(id);
                self.shut(id, &ring, refusal);
                return Ok(());
            }
        };
        // What an earlier step came to was for the link that it found.
        let after = after.filter(|_| ring.epoch() == Some(epoch));
        if ring.epoch() != Some(epoch) {
            self.systems.forget(id);
            self.patience.forget(id);
        }
        if !ring.prepare(epoch) {
            // A revoke overtook this link; its own intake settles the tenant.
            return Ok(());
        }
        ring.lease(until);
        self.prove_for_a_lease(id);
        let limit = step.share();
        let definitions = store::definitions(step.view, id, after.as_deref(), limit)?;
        let rings = self.settle_definitions(step, &served, &definitions)?;
        ring.put(epoch, rings);
        if definitions.len() < limit {
            ring.admit(epoch);
        } else {
            let last = definitions.last().map(|definition| definition.path().to_string());
            self.rest.leave_tenant(id, last.or(after));
        }
        Ok(())
    }

    /// Closes a tenant for what its L1 says. Needs nothing of the store: that can't hold it up.
    pub(super) fn shut_for_l1(&mut self, step: &mut Step<'_>, id: &TenantId, refusal: Refusal) {
        step.last = None;
        self.unleased(id);
        let ring = self.keyring.tenant_or_new(id);
        self.shut(id, &ring, refusal);
    }

    /// Closes a tenant, and wipes what is open of it.
    fn shut(&mut self, id: &TenantId, ring: &TenantRing, refusal: Refusal) {
        ring.close(refusal);
        self.systems.forget(id);
        self.patience.forget(id);
    }

    /// Settles systems and services, each system before its services: so they lie in the store.
    fn settle_definitions(
        &mut self,
        step: &mut Step<'_>,
        served: &Served,
        definitions: &[KeyDefine],
    ) -> Result<Rings, StoreError> {
        let mut rings = Vec::with_capacity(definitions.len());
        let mut systems: HashMap<SystemPath, Option<KeyDefine>> = HashMap::new();
        for definition in definitions {
            match definition.path() {
                KeyPath::System(path) => {
                    self.settle_system(step, served, definition)?;
                    systems.insert(path, Some(definition.clone()));
                }
                KeyPath::Service(path) => {
                    let system_path = path.system_path();
                    if !systems.contains_key(&system_path) {
                        systems.insert(system_path.clone(), store::system(step.view, &system_path)?);
                    }
                    let system = systems.get(&system_path).and_then(Option::as_ref);
                    let ring = self.ring_of(step, served, &path, (system, definition))?;
                    rings.push((path.system, path.service, ring));
                }
            }
        }
        Ok(rings)
    }
}
