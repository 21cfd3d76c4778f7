//! The systems of tenants that are served, by tenant: a tenant is forgotten without looking at the
//! others, of which there may be a hundred thousand.

use std::collections::{BTreeSet, HashMap};

use openkcm_contracts::{SystemId, SystemPath, TenantId, Timestamp, VersionId};

use super::l2::{L2State, System};

#[derive(Debug, Default)]
pub(super) struct Systems {
    tenants: HashMap<TenantId, HashMap<SystemId, System>>,
    warm_up: WarmUp,
}

/// How far a region has come with what it is to open, for those who show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WarmUp {
    /// Systems of which a version of the L2 is open.
    pub open: usize,
    /// Systems that have one, open here or not.
    pub systems: usize,
    /// Tenants that were not come to yet, or not to their end.
    pub tenants_left: usize,
}

impl Systems {
    pub(super) fn get(&self, path: &SystemPath) -> Option<&System> {
        self.tenants.get(&path.tenant)?.get(&path.system)
    }

    pub(super) fn get_mut(&mut self, path: &SystemPath) -> Option<&mut System> {
        self.tenants.get_mut(&path.tenant)?.get_mut(&path.system)
    }

    /// A system of a tenant of which a version is open, and which ones are; the first by its name.
    pub(super) fn open_of(&self, tenant: &TenantId) -> Option<(SystemPath, BTreeSet<VersionId>)> {
        let systems = self.tenants.get(tenant)?.iter().filter_map(|(id, system)| {
            let open = system.versions.keys().copied().filter(|version| system.is_open(*version));
            let open: BTreeSet<_> = open.collect();
            (!open.is_empty()).then_some((id, open))
        });
        let (id, open) = systems.min_by_key(|(id, _)| *id)?;
        Some((SystemPath { tenant: tenant.clone(), system: id.clone() }, open))
    }

    pub(super) fn take(&mut self, path: &SystemPath) -> Option<System> {
        let taken = self.tenants.get_mut(&path.tenant)?.remove(&path.system)?;
        self.warm_up.leave(&taken);
        Some(taken)
    }

    /// Puts a system in the place of what was held under its name.
    pub(super) fn put(&mut self, path: &SystemPath, mut system: System) {
        drop(self.take(path));
        system.counted = (!system.versions.is_empty()).then(|| system.has_open());
        self.warm_up.enter(&system);
        self.tenants.entry(path.tenant.clone()).or_default().insert(path.system.clone(), system);
    }

    /// How many systems are open, of how many.
    pub(super) fn warm_up(&self) -> WarmUp {
        self.warm_up
    }

    /// Every opened L2 of a tenant is wiped as the last request that holds one ends.
    pub(super) fn forget(&mut self, tenant: &TenantId) {
        for system in self.tenants.remove(tenant).into_iter().flat_map(HashMap::into_values) {
            self.warm_up.leave(&system);
        }
    }

    /// Forgets all tenants but these.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&TenantId) -> bool) {
        let forgotten: Vec<TenantId> = self.tenants.keys().filter(|id| !keep(id)).cloned().collect();
        forgotten.iter().for_each(|id| self.forget(id));
    }

    /// Has the provider asked again no later than `at` for what it did not give.
    pub(super) fn retry_at_latest(&mut self, at: Timestamp) {
        for system in self.tenants.values_mut().flat_map(HashMap::values_mut) {
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

impl WarmUp {
    fn enter(&mut self, system: &System) {
        let Some(open) = system.counted else { return };
        (self.systems, self.open) = (self.systems + 1, self.open + usize::from(open));
    }

    /// What a system was counted as when it was put, whatever it has become since.
    fn leave(&mut self, system: &System) {
        let Some(open) = system.counted else { return };
        self.systems = self.systems.saturating_sub(1);
        self.open = self.open.saturating_sub(usize::from(open));
    }
}

impl System {
    fn has_open(&self) -> bool {
        self.versions.values().any(|l2| matches!(l2.state, L2State::Open(_)))
    }

    /// Whether a version is open.
    pub(super) fn is_open(&self, id: VersionId) -> bool {
        matches!(self.versions.get(&id).map(|l2| &l2.state), Some(L2State::Open(_)))
    }
}
