//! Operators of the Registry: they define, change, delete, undelete, define again, compromise.
//!
//! They read before they write, as the CLI does, so that the Registry has no reason of its own to
//! refuse: a refusal is held against it by the invariant of independence.

use std::time::Duration;

use openkcm_contracts::{DefinitionState, KeyPath, RegionId, TenantId, Timestamp, VersionId};
use openkcm_krypton::store as core_store;
use openkcm_orbital::words::Standing::Current;
use openkcm_registry::commands::{self, Failure, PurgeStep};
use openkcm_registry::rules::{End, KeySpec, Outcome, Precondition, Refusal, Standing, TenantSpec};
use openkcm_registry::store::{self, KeyRecord, Tenancy, TenantRecord};
use openkcm_store::Write;

use crate::actors::Who;
use crate::coverage::Reached;
use crate::landscape::{self, ARN, REGIONS};
use crate::ledger::Pointers;
use crate::teeth::Bug;
use crate::world::World;

/// How long what was deleted can be undeleted: not at all, within a history, or longer than any.
const PURGE_AFTER: [u64; 5] = [0, 5, 60, 7 * 86_400, 7 * 86_400];

/// Most things that a step looks at when it tells tombstones.
const PURGED_AT_ONCE: usize = 3;

impl World {
    /// An operator of the Registry does something.
    pub(crate) fn operate_registry(&mut self) {
        let tenant = self.dice.pick(&landscape::tenants()).clone();
        match self.tenant(&tenant) {
            None => self.define_tenant(&tenant, Precondition::None),
            Some(record) if self.dice.percent(15) => self.change_tenant(&record),
            Some(record) if matches!(record.state, Tenancy::Offboarded { .. }) => {
                self.bring_tenant_back(&record, Precondition::OneOf(vec![record.revision]));
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
            Tenancy::Offboarded { .. } => self.bring_tenant_back(record, precondition),
            Tenancy::Active if self.dice.percent(20) => {
                let wait = self.some_wait();
                let line = format!("registry: offboard {id}, for good after {} s", wait.as_secs());
                self.command(line, |tx, now| commands::offboard_tenant(tx, id, &precondition, wait, now));
            }
            Tenancy::Active => {
                let spec = TenantSpec { regions: self.some_regions(), labels: record.labels.clone() };
                self.apply_tenant_spec(id, spec, precondition);
            }
        }
    }

    fn bring_tenant_back(&mut self, record: &TenantRecord, precondition: Precondition) {
        let (id, now) = (&record.tenant, self.registry.now());
        let in_time = matches!(record.state, Tenancy::Offboarded { purge_at } if now < purge_at);
        let begun = store::purges::begun(self.registry.disk.view(), record).expect("memory does not fail");
        if in_time && begun.is_none() && self.dice.percent(50) {
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
                let now = self.registry.now();
                let deleted = matches!(record.state, DefinitionState::Deleted { purge_at } if now < purge_at);
                let deleted = deleted && !place.is_purged(record);
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
            let wait = self.some_wait();
            let line = format!("registry: delete {path}, for good after {} s", wait.as_secs());
            self.command(line, |tx, now| commands::delete_key(tx, path, &precondition, wait, now));
        } else if chance < compromise {
            let Some(version) = self.some_version(path, record) else { return };
            self.reach(Reached::Compromised);
            let line = format!("registry: {version} of {path} is compromised");
            self.command(line, |tx, now| commands::mark_compromised(tx, path, &precondition, version, now));
        } else {
            self.define_key(path, precondition);
        }
    }

    fn some_wait(&self) -> Duration {
        Duration::from_secs(*self.dice.pick(&PURGE_AFTER))
    }

    /// Whether a tombstone could be told now.
    pub(crate) fn may_purge(&self) -> bool {
        let (view, now) = (self.registry.disk.view(), self.registry.now());
        let due = commands::is_due(view, &self.landscape, now).expect("memory does not fail");
        self.registry.up && due && self.standing(Who::Registry) == Current
    }

    /// Tombstones that are due are told.
    pub(crate) fn purge_due(&mut self) {
        let (landscape, now) = (self.landscape.clone(), self.registry.now());
        let limit = 1 + self.dice.below(PURGED_AT_ONCE);
        let step = self.commit(Who::Registry, |tx| commands::purge_due(tx, &landscape, now, limit));
        let PurgeStep::Done { told, .. } = step else { return };
        self.note_accepted(Who::Registry);
        for path in told {
            self.reach(Reached::PurgeTold);
            self.note_said(&path);
        }
    }

    /// Notes a tombstone, and whether it names anything that stands.
    fn note_said(&mut self, path: &KeyPath) {
        let view = self.registry.disk.view();
        let purged = store::purges::of(view, path).expect("memory does not fail").expect("it was told");
        let below = landscape::keys(path.tenant()).into_iter();
        let named = below.filter(|key| key == path || key.to_string().starts_with(&format!("{path}/")));
        let stands = |key: &KeyPath| {
            let place = store::place(view, key).expect("memory does not fail");
            place
                .held()
                .is_ok_and(|(held, standing)| standing.is_live() && held.generation <= purged.generation)
        };
        if let Some(key) = named.into_iter().find(stands) {
            let line = format!("the registry wants {key} destroyed, which stands");
            self.ledger.authorities.wrong.push(line);
        }
        self.tell(format!("registry: {path} is purged up to {}", purged.generation));
        let said = self.ledger.purges.entry(path.clone()).or_insert(purged.generation);
        *said = (*said).max(purged.generation);
    }

    /// One command. It is expected to be taken: whoever gave it had read what it depends on.
    pub(super) fn command<R>(
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

    pub(super) fn note_moves(&mut self, id: &TenantId, before: &[RegionId], after: &[RegionId]) {
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
