//! Customers at the CMK Server: they link, unlink, link again, turn their roots around.
//!
//! What the CMK Server may refuse is what it has not heard: `not_yet_known`. And it takes a tenant for
//! offboarded until it hears otherwise. Everything else it refuses is held against it.

use openkcm_cmk::commands::{self, Failure, Outcome};
use openkcm_cmk::rules::{LinkRequest, Precondition, Refusal};
use openkcm_cmk::store::{self, Health, Pointer};
use openkcm_contracts::{TenantId, TenantState, Timestamp};
use openkcm_store::Write;

use crate::actors::{Who, spoil_words as spoil};
use crate::coverage::Reached;
use crate::landscape;
use crate::ledger::Pointers;
use crate::teeth::Bug;
use crate::world::World;

impl World {
    /// A customer does something at the CMK Server.
    pub(crate) fn operate_cmk(&mut self) {
        let tenant = self.dice.pick(&landscape::tenants()).clone();
        match self.pointer(&tenant) {
            None if self.standing(Who::Cmk).doubt().is_some() && self.dice.percent(30) => {
                self.unlink(&tenant)
            }
            None => self.link(&tenant, Precondition::None),
            Some(pointer) if !pointer.is_linked() => {
                if self.dice.percent(70) {
                    self.link(&tenant, Precondition::OneOf(vec![pointer.revision]));
                } else {
                    self.unlink(&tenant);
                }
            }
            Some(_) if self.dice.percent(60) => self.unlink(&tenant),
            Some(pointer) => self.link(&tenant, Precondition::OneOf(vec![pointer.revision])),
        }
    }

    /// Links every tenant, as in a landscape that is in use.
    pub(crate) fn link_all(&mut self) {
        landscape::tenants().iter().for_each(|tenant| self.link(tenant, Precondition::None));
    }

    /// A customer unlinks, and links again.
    pub(crate) fn link_anew(&mut self, tenant: &TenantId) {
        if self.pointer(tenant).is_some_and(|pointer| pointer.is_linked()) {
            self.unlink(tenant);
            let revision = self.pointer(tenant).map(|pointer| pointer.revision);
            self.link(tenant, Precondition::OneOf(revision.into_iter().collect()));
        }
    }

    fn link(&mut self, tenant: &TenantId, precondition: Precondition) {
        let mut roots = landscape::roots(tenant);
        self.dice.shuffle(&mut roots);
        let ttl = self.dice.pick(&["", "", "1h"]).parse().ok();
        let before = self.pointer(tenant);
        let request = LinkRequest::new(roots, ttl).expect("one or two different roots");
        let health = Health::ok(self.cmk.now());
        let line = format!("cmk: link {tenant}");
        let stale = self.standing(Who::Cmk).is_stale() && self.bug == Some(Bug::LinkWhileStale);
        let forgotten = stale.then(|| spoil::forget_standing(&mut self.cmk.disk)).flatten();
        let done = self.customer(line, tenant, |tx, now| {
            commands::link(tx, tenant, &request, &precondition, health, now)
        });
        spoil::remember_standing(&mut self.cmk.disk, forgotten);
        let (Some(before), Some(after)) = (before, done) else { return };
        if !before.is_linked() && after.is_linked() {
            self.reach(Reached::RelinkAfterUnlink);
        } else if before.is_linked() && before.epoch != after.epoch {
            self.reach(Reached::RootsReordered);
        }
    }

    fn unlink(&mut self, tenant: &TenantId) {
        let linked = self.pointer(tenant).is_some_and(|pointer| pointer.is_linked());
        let cut_off = |world: &Self| {
            let regions = world.tenant(tenant).map(|record| record.regions).unwrap_or_default();
            world.cores.iter().any(|core| regions.contains(&core.region) && !core.post.can_hear)
        };
        if linked && cut_off(self) {
            self.reach(Reached::UnlinkWhileCutOff);
        }
        if self.standing(Who::Cmk).is_stale() {
            self.reach(Reached::UnlinkWhileStale);
        }
        if self.pointer(tenant).is_none() {
            self.reach(Reached::UnlinkOfForgotten);
        }
        let (line, landscape) = (format!("cmk: unlink {tenant}"), self.cmk_landscape());
        self.customer(line, tenant, |tx, now| {
            commands::unlink(tx, &landscape, tenant, &Precondition::None, now)
        });
    }

    fn customer(
        &mut self,
        line: String,
        tenant: &TenantId,
        command: impl FnOnce(&mut dyn Write, Timestamp) -> Result<Outcome<Pointer>, Failure>,
    ) -> Option<Pointer> {
        let now = self.cmk.now();
        if self.bug == Some(Bug::WaitForMesh) && !(self.cmk.can_send && self.cmk.can_hear) {
            self.ledger.refused.push(format!("{line}: the mesh does not answer"));
            return None;
        }
        let before = Pointers::of(&self.cmk.disk);
        match self.cmk.disk.write(|tx| command(tx, now)) {
            Ok(outcome) => {
                self.note_decided(Who::Cmk, &before);
                self.note_accepted(Who::Cmk);
                self.tell(line);
                Some(outcome.into_inner())
            }
            Err(failure) => {
                self.tell(format!("{line}: refused, {failure}"));
                self.judge(&failure, tenant, line);
                None
            }
        }
    }

    /// Whether the CMK Server had the right to refuse.
    fn judge(&mut self, failure: &Failure, tenant: &TenantId, line: String) {
        let heard = store::tenant(self.cmk.disk.view(), tenant).expect("memory does not fail");
        let right = match failure {
            Failure::Refused(Refusal::NotYetKnown) => {
                self.reach(Reached::NotYetKnown);
                heard.is_none()
            }
            Failure::Refused(Refusal::Stale) => {
                self.reach(Reached::RefusedStale);
                self.standing(Who::Cmk).is_stale()
            }
            Failure::Refused(Refusal::TenantOffboarded) => {
                heard.is_some_and(|heard| heard.fact.state == TenantState::Offboarded)
            }
            // A link of an earlier generation of the tenant, which the caller took for a present one.
            Failure::Refused(Refusal::PreconditionRequired) => true,
            _ => false,
        };
        if !right {
            self.ledger.refused.push(format!("{line}: {failure}"));
        }
    }
}
