//! The systems of tenants that are served, by tenant: a tenant is forgotten without looking at the
//! others, of which there may be a hundred thousand.

use std::collections::{BTreeSet, HashMap};

use openkcm_contracts::{SystemId, SystemPath, TenantId, Timestamp, VersionId};

use super::l2::{L2State, System};

#[derive(Debug, Default)]
pub(super) struct Systems(HashMap<TenantId, HashMap<SystemId, System>>);

impl Systems {
    pub(super) fn get(&self, path: &SystemPath) -> Option<&System> {
        self.0.get(&path.tenant)?.get(&path.system)
    }

    pub(super) fn get_mut(&mut self, path: &SystemPath) -> Option<&mut System> {
        self.0.get_mut(&path.tenant)?.get_mut(&path.system)
    }

    /// A system of a tenant of which a version is open, and which ones are; the first by its name.
    pub(super) fn open_of(&self, tenant: &TenantId) -> Option<(SystemPath, BTreeSet<VersionId>)> {
        let systems = self.0.get(tenant)?.iter().filter_map(|(id, system)| {
            let open = system.versions.keys().copied().filter(|version| system.is_open(*version));
            let open: BTreeSet<_> = open.collect();
            (!open.is_empty()).then_some((id, open))
        });
        let (id, open) = systems.min_by_key(|(id, _)| *id)?;
        Some((SystemPath { tenant: tenant.clone(), system: id.clone() }, open))
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

    /// Forgets all tenants but these.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&TenantId) -> bool) {
        self.0.retain(|tenant, _| keep(tenant));
    }

    /// Has the provider asked again no later than `at` for what it did not give.
    pub(super) fn retry_at_latest(&mut self, at: Timestamp) {
        for system in self.0.values_mut().flat_map(HashMap::values_mut) {
            let failures = system.versions.values_mut().filter_map(|l2| match &mut l2.state {
                L2State::Failed(failure) => Some(failure),
                _ => None,
            });
            for failure in failures.chain(&mut system.seal_failure) {
                failure.retry_at = failure.retry_at.min(at);
            }
        }
    }
}

impl System {
    /// Whether a version is open.
    pub(super) fn is_open(&self, id: VersionId) -> bool {
        matches!(self.versions.get(&id).map(|l2| &l2.state), Some(L2State::Open(_)))
    }
}
