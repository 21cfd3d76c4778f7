//! Settling a tenant: its gate, and everything behind it.

use openkcm_contracts::v1::{KeyDefine, L1Reference, TenantDefine};
use openkcm_contracts::{KeyPath, TenantId, Timestamp};
use openkcm_store::{Read, StoreError};

use super::{Core, Effects};
use crate::rules::{Refusal, tenant_standing};
use crate::store;

/// A tenant that is served, with the link that it is served under.
pub(super) struct Served {
    pub(super) tenant: TenantDefine,
    pub(super) link: L1Reference,
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
            (Ok(()), Some(tenant), Some(link)) => Ok(Served { tenant, link }),
            (standing, ..) => Err(standing.err().unwrap_or(Refusal::UNKNOWN)),
        })
    }

    /// Opens or closes a tenant, as it stands.
    pub(super) fn settle_tenant(
        &mut self,
        view: &dyn Read,
        id: &TenantId,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let ring = self.keyring.tenant_or_new(id);
        let served = match self.served(view, id)? {
            Ok(served) => served,
            Err(refusal) => {
                ring.close(refusal);
                self.systems.forget(id);
                return Ok(());
            }
        };
        let epoch = served.link.epoch;
        if ring.epoch() != Some(epoch) {
            self.systems.forget(id);
        }
        if !ring.prepare(epoch) {
            // A revoke overtook this link; its own intake settles the tenant.
            return Ok(());
        }
        let definitions = store::definitions(view, id)?;
        for definition in definitions.iter().filter(|definition| definition.service.is_none()) {
            self.settle_system(view, &served, definition, (now, false), effects)?;
        }
        self.settle_services(view, &served, &definitions, now, effects)?;
        ring.admit(epoch);
        Ok(())
    }

    fn settle_services(
        &mut self,
        view: &dyn Read,
        served: &Served,
        definitions: &[KeyDefine],
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let mut rings = Vec::new();
        for definition in definitions {
            let KeyPath::Service(path) = definition.path() else { continue };
            let system_path = path.system_path();
            let system = definitions
                .binary_search_by(|other| other.path().to_string().cmp(&system_path.to_string()))
                .ok()
                .map(|index| &definitions[index]);
            let ring = self.ring_of(view, served, &path, (system, definition), (now, false), effects)?;
            rings.push((path.system, path.service, ring));
        }
        self.keyring.tenant_or_new(&served.tenant.tenant).put(served.link.epoch, rings);
        Ok(())
    }
}
