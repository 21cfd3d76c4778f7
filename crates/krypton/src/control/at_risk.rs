//! Versions whose sealed form is not yet known to be durable on the mesh: they would be lost with this Core's disk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use openkcm_contracts::v1::KeySealed;
use openkcm_contracts::{TenantId, VersionId};

#[derive(Debug, Default)]
pub(super) struct AtRisk {
    versions: HashMap<VersionId, TenantId>,
    tenants: BTreeMap<TenantId, usize>,
}

impl AtRisk {
    pub(super) fn contains(&self, id: &VersionId) -> bool {
        self.versions.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    /// How many versions of a tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> usize {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// The tenants with the most, and how many of each; no more than so many of them.
    pub(super) fn most(&self, limit: usize) -> Vec<(TenantId, usize)> {
        let mut tenants: Vec<_> = self.tenants.iter().collect();
        tenants.sort_by_key(|(id, versions)| (Reverse(**versions), *id));
        tenants.into_iter().take(limit).map(|(id, versions)| (id.clone(), *versions)).collect()
    }

    /// How many tenants.
    pub(super) fn tenants(&self) -> usize {
        self.tenants.len()
    }

    pub(super) fn insert(&mut self, sealed: &KeySealed) {
        if self.versions.insert(sealed.version, sealed.tenant.clone()).is_none() {
            *self.tenants.entry(sealed.tenant.clone()).or_default() += 1;
        }
    }

    /// Says whether it was.
    pub(super) fn remove(&mut self, id: &VersionId) -> bool {
        let Some(tenant) = self.versions.remove(id) else { return false };
        if let Some(count) = self.tenants.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                self.tenants.remove(&tenant);
            }
        }
        true
    }

    /// These do not exist any more.
    pub(super) fn forget(&mut self, dropped: &BTreeSet<VersionId>) {
        for id in dropped {
            self.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::{Generation, RegionId, Revision, SystemId, Timestamp};

    use super::*;

    fn sealed(tenant: &str, id: u8) -> KeySealed {
        KeySealed {
            tenant: TenantId::new(tenant).expect("valid"),
            system: SystemId::new("hr").expect("valid"),
            service: None,
            generation: Generation(Revision::new(1, 1)),
            version: VersionId::from_bytes([id; 16]),
            counter: 1,
            made_at: Timestamp::from_millis(1),
            maker: RegionId::new("a").expect("valid"),
            seals: Vec::new(),
            resealed_by: None,
        }
    }

    #[test]
    fn each_version_is_counted_once_and_the_tenants_with_the_most_are_told_first() {
        let mut at_risk = AtRisk::default();
        for (tenant, id) in [("a", 1), ("b", 2), ("b", 3), ("c", 4), ("b", 3)] {
            at_risk.insert(&sealed(tenant, id));
        }
        let id = |name: &str| TenantId::new(name).expect("valid");
        assert_eq!((at_risk.len(), at_risk.tenants(), at_risk.of(&id("b"))), (4, 3, 2));
        assert_eq!(at_risk.most(2), [(id("b"), 2), (id("a"), 1)]);
        assert!(at_risk.remove(&VersionId::from_bytes([1; 16])));
        assert!(!at_risk.remove(&VersionId::from_bytes([1; 16])));
        at_risk.forget(&[VersionId::from_bytes([3; 16]), VersionId::from_bytes([9; 16])].into());
        assert_eq!(at_risk.most(9), [(id("b"), 1), (id("c"), 1)]);
    }
}
