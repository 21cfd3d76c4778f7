//! A Core's task of purges, retold: the purge clock ticks when time passes, what is due is destroyed step by step.

use std::time::Duration;

use openkcm_contracts::v1::KeyDefine;
use openkcm_contracts::{DefinitionState, Event, KeyPath};
use openkcm_host::Clock;
use openkcm_krypton::store;
use openkcm_krypton::store::owners;
use openkcm_krypton::store::purge::{self, Decision};
use openkcm_krypton::{Brake, PurgePolicy};
use openkcm_orbital::Intake;
use openkcm_store::Read;

use super::Crashed;
use super::core::{Around, CoreNode};
use crate::coverage::{Coverage, Reached};
use crate::teeth::Bug;

/// How Cores destroy: within a history, and never much at once.
pub(crate) const POLICY: PurgePolicy = PurgePolicy {
    minimum_wait: Duration::from_secs(20),
    brake: Brake { percent: 10, least: 3, window: Duration::from_secs(120) },
};

/// How long Cores wait for another root: within a history.
pub(crate) const CHANGE_WAIT: Duration = Duration::from_secs(90);

impl CoreNode {
    /// Whether its task of purges has something to do.
    pub(crate) fn may_destroy(&self) -> bool {
        let view = self.post.disk.view();
        let (has_work, _) = purge::has_work(view, &POLICY).expect("memory does not fail");
        has_work || owners::has_come(view, CHANGE_WAIT).expect("memory does not fail")
    }

    /// Lets the purge clock run on, and destroys what is due.
    pub(crate) fn destroy(&mut self, around: &mut Around<'_>) -> Result<(), Crashed> {
        let (now, boot) = (self.post.now(), self.post.clock.boottime());
        let Some(running) = &mut self.running else { return Ok(()) };
        let ran = running.ticker.tick(now, boot);
        let (_, runs) = purge::has_work(self.post.disk.view(), &POLICY).expect("memory does not fail");
        if !runs {
            return Ok(());
        }
        let policy = match around.bug {
            Some(Bug::HurryPurge) => PurgePolicy { minimum_wait: Duration::ZERO, ..POLICY },
            _ => POLICY,
        };
        let region = self.region.clone();
        let step = self.post.disk.commit(|tx| {
            let mut step = purge::advance(tx, &region, &policy, ran, now)?;
            step.changes.tenants.extend(owners::advance(tx, CHANGE_WAIT)?);
            Ok(step)
        });
        if !step.held.is_empty() {
            around.coverage.reach(Reached::PurgeHeld);
        }
        if !step.done.is_empty() {
            around.coverage.reach(Reached::Destroyed);
        }
        self.point(Reached::CrashBeforeSettle, around)?;
        let changes = step.changes;
        if changes.is_empty() {
            return Ok(());
        }
        self.step(around, |core, view, now| core.settle(view, &changes, now))
    }

    /// An operator confirms what the brake holds.
    pub(crate) fn confirm_purges(&mut self) {
        self.post.disk.commit(|tx| purge::decide(tx, Decision::Confirm, None, usize::MAX));
    }

    /// Whether purges wait for an operator.
    pub(crate) fn has_held_purges(&self) -> bool {
        purge::counts(self.post.disk.view()).expect("memory does not fail").held > 0
    }
}

/// What tombstones that arrive are to the coverage.
pub(super) fn note_purges(view: &dyn Read, intake: &Intake, coverage: &mut Coverage) {
    for verified in &intake.events {
        match &verified.event {
            Event::KeyPurge(fact) => {
                let held = match fact.path() {
                    KeyPath::System(path) => store::system(view, &path),
                    KeyPath::Service(path) => store::service(view, &path),
                };
                let held = held.expect("memory does not fail");
                let stands = |held: &KeyDefine| {
                    held.state == DefinitionState::Defined && held.generation <= fact.generation
                };
                if held.as_ref().is_some_and(stands) {
                    coverage.reach(Reached::PurgeBeforeDeletion);
                }
            }
            Event::KeySealed(fact) => {
                let tombstone = match fact.path() {
                    KeyPath::System(path) => purge::purged_system(view, &path),
                    KeyPath::Service(path) => purge::purged(view, &path),
                };
                if tombstone.expect("memory does not fail") >= Some(fact.generation) {
                    coverage.reach(Reached::SealedAfterPurge);
                }
            }
            _ => {}
        }
    }
}
