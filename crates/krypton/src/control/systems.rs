//! The systems of tenants that are served, by tenant: a tenant is forgotten without looking at the
//! others, of which there may be a hundred thousand.

use std::collections::HashMap;

use openkcm_contracts::{SystemId, SystemPath, TenantId};

use super::system::System;

#[derive(Debug, Default)]
pub(super) struct Systems(HashMap<TenantId, HashMap<SystemId, System>>);

impl Systems {
    pub(super) fn get(&self, path: &SystemPath) -> Option<&System> {
        self.0.get(&path.tenant)?.get(&path.system)
    }

    pub(super) fn get_mut(&mut self, path: &SystemPath) -> Option<&mut System> {
        self.0.get_mut(&path.tenant)?.get_mut(&path.system)
    }

    pub(super) fn take(&mut self, path: &SystemPath) -> Option<System> {
        self.0.get_mut(&path.tenant)?.remove(&path.system)
    }

    pub(super) fn put(&mut self, path: &SystemPath, system: System) {
        self.0.entry(path.tenant.clone()).or_default().insert(path.system.clone(), system);
    }

    /// Every opened L2 of a tenant is wiped as the last request that holds one ends.
    pub(super) fn forget(&mut self, tenant: &TenantId) {
        self.0.remove(tenant);
    }
}
