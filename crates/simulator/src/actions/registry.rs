//! Operators of the Registry: they define, change, delete, undelete, define again, compromise.
//!
//! They read before they write, as the CLI does, so that the Registry has no reason of its own to
//! refuse: a refusal is held against it by the invariant of independence.

use std::time::Duration;

use openkcm_contracts::{DefinitionState, KeyPath, RegionId, TenantId, Timestamp, VersionId};
use openkcm_krypton::store as core_store;
use openkcm_registry::commands::{self, Failure};
use openkcm_registry::rules::{End, KeySpec, Outcome, Precondition, Refusal, Standing, TenantSpec};
use openkcm_registry::store::{self, KeyRecord, Tenancy, TenantRecord};
use openkcm_store::Write;

use crate::actors::Who;
use crate::coverage::Reached;
use crate::landscape::{self, ARN, REGIONS};
use crate::ledger::Pointers;
use crate::teeth::Bug;
use crate::world::World;

/// How long what was deleted can be undeleted: longer than any history.
const PURGE_AFTER: Duration = Duration::from_secs(7 * 86_400);

impl World {
    /// An operator of the Registry does something.
    pub(crate) fn operate_registry(&mut self) {
        let tenant = self.dice.pick(&landscape::tenants()).clone();
        match self.tenant(&tenant) {
            None => self.define_tenant(&tenant, Precondition::None),
            Some(record) if self.dice.percent(15) => self.change_tenant(&record),
            Some(TenantRecord { state: Tenancy::Offboarded { .. }, revision, .. }) => {
                self.bring_tenant_back(&tenant, Precondition::OneOf(vec![revision]));
            }
            Some(_) => {
                let path = self.dice.pick(&landscape::keys(&tenant)).clone();
                self.operate_key(&path);
            }
        }
    }

    /// Defines everything there is a name for, as a landscape that is in use.
    pub(crate) fn define_all(&mut self) {
        for tenant in landscape::tenants() {
            self.define_tenant(&tenant, Precondition::None);
            for path in landscape::keys(&tenant) {
                self.define_key(&path, Precondition::None);
            }
        }
    }

    fn define_tenant(&mut self, id: &TenantId, precondition: Precondition) {
        let spec = TenantSpec { regions: self.some_regions(), labels: [].into() };
        self.apply_tenant_spec(id, spec, precondition);
    }

    fn apply_tenant_spec(&mut self, id: &TenantId, mut spec: TenantSpec, precondition: Precondition) {
        if self.bug == Some(Bug::ArnInRegistry) {
            spec.labels.insert("root".into(), format!("{ARN}{id}/1"));
        }
        let before = self.tenant(id).map(|record| record.regions).unwrap_or_default();
        self.note_moves(id, &before, &spec.regions);
        let regions: Vec<&str> = spec.regions.iter().map(RegionId::as_str).collect();
        let line = format!("registry: define {id} in {}", regions.join(", "));
        let landscape = self.landscape.clone();
        self.command(line, |tx, now| commands::define_tenant(tx, &landscape, id, spec, &precondition, now));
    }

    fn change_tenant(&mut self, record: &TenantRecord) {
        let (id, precondition) = (&record.tenant, Precondition::OneOf(vec![record.revision]));
        match record.state {
            Tenancy::Offboarded { .. } => self.bring_tenant_back(id, precondition),
            Tenancy::Active if self.dice.percent(20) => {
                let line = format!("registry: offboard {id}");
                self.command(line, |tx, now| {
                    commands::offboard_tenant(tx, id, &precondition, PURGE_AFTER, now)
                });
            }
            Tenancy::Active => {
                let spec = TenantSpec { regions: self.some_regions(), labels: record.labels.clone() };
                self.apply_tenant_spec(id, spec, precondition);
            }
        }
    }

    fn bring_tenant_back(&mut self, id: &TenantId, precondition: Precondition) {
        if self.dice.percent(50) {
            self.reach(Reached::Undeleted);
            let line = format!("registry: undelete {id}");
            self.command(line, |tx, now| commands::undelete_tenant(tx, id, &precondition, now));
        } else {
            self.reach(Reached::TenantRedefined);
            self.define_tenant(id, precondition);
        }
    }

    fn operate_key(&mut self, path: &KeyPath) {
        let place = store::place(self.registry.disk.view(), path).expect("memory does not fail");
        let Ok((record, standing)) = place.held() else {
            // Not defined yet; or its system is not, which has to come first.
            let system = KeyPath::new(path.tenant().clone(), path.system().clone(), None);
            let parent = if place.system.is_none() { &system } else { path };
            return self.define_if_parent_stands(parent);
        };
        let precondition = Precondition::OneOf(vec![record.revision]);
        match standing {
            Standing::Live => self.change_key(path, record, precondition),
            Standing::Ended(End { for_good, .. }) => {
                let deleted = matches!(record.state, DefinitionState::Deleted { .. });
                if !self.parent_stands(path) {
                    return;
                }
                if deleted && !for_good && self.dice.percent(50) {
                    self.reach(Reached::Undeleted);
                    let line = format!("registry: undelete {path}");
                    self.command(line, |tx, now| commands::undelete_key(tx, path, &precondition, now));
                } else {
                    self.reach(Reached::ServiceRedefined);
                    self.define_key(path, precondition);
                }
            }
        }
    }

    fn define_if_parent_stands(&mut self, path: &KeyPath) {
        let place = store::place(self.registry.disk.view(), path).expect("memory does not fail");
        if place.held.is_none() && self.parent_stands(path) {
            self.define_key(path, Precondition::None);
        }
    }

    /// Whether the tenant, and for a service its system, is in force.
    fn parent_stands(&self, path: &KeyPath) -> bool {
        let Some(tenant) = self.tenant(path.tenant()) else { return false };
        let place = store::place(self.registry.disk.view(), path).expect("memory does not fail");
        let system_stands = match (path, &place.system) {
            (KeyPath::System(_), _) => true,
            (KeyPath::Service(_), Some(system)) => Standing::of_system(&tenant, system).is_live(),
            (KeyPath::Service(_), None) => false,
        };
        Standing::of_tenant(&tenant).is_live() && system_stands
    }

    fn define_key(&mut self, path: &KeyPath, precondition: Precondition) {
        let period = self.dice.pick(&["", "1h", "10m"]).parse().ok();
        let spec = KeySpec { rotate_every: period, ..KeySpec::default() };
        let line = format!("registry: define {path}");
        self.command(line, |tx, now| commands::define_key(tx, path, spec, &precondition, now));
    }

    fn change_key(&mut self, path: &KeyPath, record: &KeyRecord, precondition: Precondition) {
        let chance = self.dice.below(100);
        let (deletion, compromise) = if path.service().is_some() { (35, 55) } else { (20, 40) };
        if chance < deletion {
            let line = format!("registry: delete {path}");
            self.command(line, |tx, now| commands::delete_key(tx, path, &precondition, PURGE_AFTER, now));
        } else if chance < compromise {
            let Some(version) = self.some_version(path, record) else { return };
            self.reach(Reached::Compromised);
            let line = format!("registry: {version} of {path} is compromised");
            self.command(line, |tx, now| commands::mark_compromised(tx, path, &precondition, version, now));
        } else {
            self.define_key(path, precondition);
        }
    }

    /// One command. It is expected to be taken: whoever gave it had read what it depends on.
    fn command<R>(
        &mut self,
        line: String,
        command: impl FnOnce(&mut dyn Write, Timestamp) -> Result<Outcome<R>, Failure>,
    ) {
        let (now, stale) = (self.registry.now(), self.standing(Who::Registry).is_stale());
        let before = Pointers::of(&self.cmk.disk);
        let outcome = self.registry.disk.write(|tx| command(tx, now));
        match outcome {
            Ok(_) => {
                self.note_decided(Who::Registry, &before);
                self.note_accepted(Who::Registry);
                self.tell(line);
            }
            Err(Failure::Refused(Refusal::Stale)) if stale => {
                self.reach(Reached::RefusedStale);
                self.tell(format!("{line}: refused, the store is stale"));
            }
            Err(failure) => {
                self.tell(format!("{line}: refused, {failure}"));
                self.ledger.refused.push(format!("{line}: {failure}"));
            }
        }
    }

    /// A version of a key's present generation that some Core holds.
    fn some_version(&self, path: &KeyPath, record: &KeyRecord) -> Option<VersionId> {
        let core = &self.cores[self.dice.below(REGIONS.len())];
        let held = core_store::key_versions(core.post.disk.view(), path).expect("memory does not fail");
        let present: Vec<_> = held.iter().filter(|sealed| sealed.generation == record.generation).collect();
        (!present.is_empty()).then(|| self.dice.pick(&present).version)
    }

    fn some_regions(&self) -> Vec<RegionId> {
        let mut regions: Vec<RegionId> = self.landscape.regions.iter().cloned().collect();
        self.dice.shuffle(&mut regions);
        let count = *self.dice.pick(&[1, 2, 2, 3, 3, 3]);
        regions.truncate(count);
        regions
    }

    fn note_moves(&mut self, id: &TenantId, before: &[RegionId], after: &[RegionId]) {
        let left = self.left.entry(id.clone()).or_default();
        let returned = after.iter().any(|region| left.contains(region) && !before.contains(region));
        let leaves: Vec<RegionId> = before.iter().filter(|region| !after.contains(region)).cloned().collect();
        let any_left = !leaves.is_empty();
        left.extend(leaves);
        if returned {
            self.reach(Reached::RegionReturned);
        }
        if any_left {
            self.reach(Reached::RegionLeft);
        }
    }
}
