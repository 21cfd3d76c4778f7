//! An operator fails a region over and gives its tenants back; the Registry moves them step by step.
//!
//! The operator reads before writing, as the CLI does, so that the Registry has no reason of its own to refuse.

use openkcm_contracts::RegionId;
use openkcm_orbital::words::Standing::Current;
use openkcm_registry::commands::{self, WorkStep};
use openkcm_registry::rules::Precondition;
use openkcm_registry::store::failovers;
use openkcm_registry::store::{Failover, FailoverPhase};

use crate::actors::Who;
use crate::coverage::Reached;
use crate::landscape;
use crate::world::World;

/// Most things that a step looks at: few, so that steps end in the middle of a tenant.
const AT_ONCE: usize = 6;

impl World {
    /// Whether the Registry has tenants to move, or regions to tell of keys.
    pub(crate) fn may_move(&self) -> bool {
        self.registry.up && commands::has_work(self.registry.disk.view()).expect("memory does not fail")
    }

    /// A step of what the Registry works off.
    pub(crate) fn move_tenants(&mut self) {
        let regions = |world: &Self| {
            let tenants = landscape::tenants().into_iter();
            let record = |id| world.tenant(&id).map(|record| (id, record.regions));
            tenants.filter_map(record).collect::<Vec<_>>()
        };
        let (before, now, limit) = (regions(self), self.registry.now(), 1 + self.dice.below(AT_ONCE));
        let WorkStep { moved, .. } = self.commit(Who::Registry, |tx| commands::work(tx, now, limit));
        self.note_accepted(Who::Registry);
        self.tell(format!("registry: moves {moved} tenants, looking at {limit} things"));
        for ((id, before), (_, after)) in before.into_iter().zip(regions(self)) {
            self.note_moves(&id, &before, &after);
        }
    }

    /// An operator fails a region over, or has its tenants given back.
    pub(crate) fn operate_failover(&mut self) {
        if self.standing(Who::Registry) != Current {
            return;
        }
        let regions: Vec<RegionId> = self.landscape.regions.iter().cloned().collect();
        let (mut from, to) = (self.dice.pick(&regions).clone(), self.dice.pick(&regions).clone());
        // Whoever has failed a region over thinks of giving back sooner than of another one.
        let in_force =
            regions.iter().find(|region| self.failover_of(region).is_some_and(|held| held.is_in_force()));
        if let Some(failed) = in_force.filter(|_| self.dice.percent(60)) {
            from = failed.clone();
        }
        let held = self.failover_of(&from);
        let seen = |held: &Failover| Precondition::OneOf(vec![held.revision]);
        match &held {
            Some(held) if held.is_in_force() && self.dice.percent(70) => self.give_back(&from, &seen(held)),
            Some(held) if held.is_in_force() && held.to != to => {}
            Some(held) if held.phase == FailoverPhase::Returning => {}
            _ if from == to || self.failover_of(&to).is_some_and(|held| held.is_in_force()) => {}
            held => self.fail_over(&from, &to, &held.as_ref().map_or(Precondition::None, seen)),
        }
    }

    fn failover_of(&self, region: &RegionId) -> Option<Failover> {
        failovers::of(self.registry.disk.view(), region).expect("memory does not fail")
    }

    fn fail_over(&mut self, from: &RegionId, to: &RegionId, precondition: &Precondition) {
        self.reach(Reached::FailedOver);
        let landscape = self.landscape.clone();
        let line = format!("registry: region {from} is failed over to {to}");
        self.command(line, |tx, now| {
            let count = commands::survey(tx.as_read(), from, to)?.tenants;
            commands::fail_over(tx, &landscape, (from, to), precondition, count, now)
        });
    }

    fn give_back(&mut self, from: &RegionId, precondition: &Precondition) {
        self.reach(Reached::FailedBack);
        let landscape = self.landscape.clone();
        let line = format!("registry: the tenants of region {from} are given back");
        self.command(line, |tx, now| commands::fail_back(tx, &landscape, from, precondition, now));
    }
}
