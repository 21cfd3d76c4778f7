//! When something is due, as this region sees it: now, or on the agenda.

use openkcm_contracts::v1::KeyDefine;
use openkcm_contracts::{KeyPath, SystemPath, Timestamp, VersionId};

use super::Core;
use super::l2::{L2State, System};
use super::tenant::Served;
use crate::rules::{Candidate, make_at, rotate_at};

impl Core {
    /// Whether the version that encrypts is due to be replaced; if not, puts it on the agenda. `live`
    /// are the versions that may be used and are open or being opened: one of them that is newer is the
    /// next one already.
    pub(super) fn rotation_is_due(
        &mut self,
        served: &Served,
        definition: &KeyDefine,
        live: &[Candidate],
        active: VersionId,
        now: Timestamp,
    ) -> bool {
        let Some(period) = definition.rotate_every else { return false };
        let Some(current) = live.iter().find(|candidate| candidate.id == active) else { return false };
        if live.iter().any(|newer| (newer.counter, newer.id) > (current.counter, active)) {
            return false;
        }
        let at = rotate_at(period, active, current.made_at, &served.tenant.regions, &self.region);
        if at > now {
            self.agenda.at_latest(definition.path(), at);
            return false;
        }
        if !self.hydrated {
            // Another region may have rotated while this Core was down; the mesh will tell.
            self.postponed.insert(system_of(&definition.path()));
        }
        self.hydrated
    }

    /// Whether this region is to make a key's first version now; if not, puts it on the agenda.
    pub(super) fn first_is_due(&mut self, served: &Served, definition: &KeyDefine, now: Timestamp) -> bool {
        let thing = definition.path();
        if !self.hydrated {
            self.postponed.insert(system_of(&thing));
            return false;
        }
        let Some(at) = make_at(&served.tenant.regions, &self.region, now) else { return false };
        let until = self.patience.until(&thing, definition.generation, at);
        if until > now {
            self.agenda.at_latest(thing, until);
        }
        until <= now
    }

    /// Puts a system on the agenda for what has to be tried or looked at again.
    pub(super) fn plan_system(
        &mut self,
        path: &SystemPath,
        system: &System,
        look_again: Option<Timestamp>,
        now: Timestamp,
    ) {
        let retries = system.versions.values().filter_map(|l2| match l2.state {
            L2State::Failed(failure) => Some(failure.retry_at),
            _ => None,
        });
        let seal_retry = system.seal_failure.map(|failure| failure.retry_at);
        // A failure whose time has come, and which nothing needs to be tried again for, is history.
        if let Some(at) = retries.chain(seal_retry).chain(look_again).filter(|at| *at > now).min() {
            self.agenda.at_latest(KeyPath::System(path.clone()), at);
        }
    }
}

/// What is postponed is looked at again system by system: a million services are some thousand systems.
fn system_of(thing: &KeyPath) -> SystemPath {
    SystemPath { tenant: thing.tenant().clone(), system: thing.system().clone() }
}
