//! Probes, in memory: whose L1 said yes, and when; whose said no; who is asked next.
//!
//! One version of one system is enough for a root: its owner's no is to the key that all of them are sealed under,
//! and the other systems' next use tells the rest. What always holds: no gate is open of a tenant that was denied
//! and not proven since, or that was not proven for the length of its lease; and whoever is shut so is asked on, and
//! served again by itself. A start needs no proof from before: nothing is open but what a root has opened since.

mod watched;

use std::time::Duration;

use openkcm_contracts::{LinkEpoch, TenantId, Timestamp};
use openkcm_host::BootInstant;
use openkcm_store::{Read, StoreError};

use super::effects::Ticket;
use super::step::Step;
use super::{Core, Effects, ProbeJob, Probed};
use crate::rules::{Deadline, Denial, Moment, Pause, Refusal, Said, Verdict, proof_ends, verdict};
use crate::store::{self, Denials};
use watched::{State, Watched};

pub use watched::ProbeView;
pub(super) use watched::Probing;

/// Probes that are under way at once: as many as a hundred thousand tenants need of providers that take a quarter of
/// a second, and few enough that providers that hang hold no memory to speak of.
const MOST_UNDER_WAY: usize = 512;

/// Probes that one step begins.
const AT_ONCE: usize = 64;

/// Denials of one tenant that are remembered: four roots, and some of what they would not open.
const MOST_DENIALS: usize = 8;

impl Core {
    /// The same, which probes each tenant at least so often.
    #[must_use]
    pub fn with_probes(mut self, every: Duration) -> Self {
        self.probing.every = every;
        self
    }

    /// What probes came to.
    pub fn probes(&self) -> ProbeView {
        self.probing.view
    }

    /// Whether the L1 of a tenant that nothing else speaks against lets it be served under this link.
    ///
    /// # Errors
    /// That it was denied, or not proven for too long.
    pub(super) fn let_by_l1(
        &mut self,
        step: &Step<'_>,
        id: &TenantId,
        epoch: LinkEpoch,
    ) -> Result<Result<(), Refusal>, StoreError> {
        if self.probing.tenants.get(id).is_none_or(|watched| watched.epoch != epoch) {
            self.probing.forget(id);
            let state = match store::denials(step.view, id, epoch)? {
                denials if denials.is_empty() => State::Proven(Moment::of(&**self.keyring.clock())),
                denials => State::Denied(denials),
            };
            let (ask_at, next, asked, ticket) = Default::default();
            self.probing.put(id, Watched { epoch, state, ask_at, next, asked, ticket, count: 0 });
            self.ask_later(id);
        }
        Ok(match self.probing.tenants.get(id).map(|watched| &watched.state) {
            Some(State::Denied(_)) => Err(Refusal::L1_DENIED),
            Some(State::Unproven) => Err(Refusal::L1_UNPROVEN),
            Some(State::Proven(_)) | None => Ok(()),
        })
    }

    /// A tenant is not served for another reason than its L1: nothing of it is open, and its L1 is not asked.
    pub(super) fn unwatched(&mut self, id: &TenantId) {
        self.probing.forget(id);
    }

    /// A tenant has a lease, which is also how long the last word of its L1 holds.
    pub(super) fn prove_for_a_lease(&mut self, id: &TenantId) {
        let Some(until) = self.proof_ends(id) else { return };
        self.keyring.tenant_or_new(id).prove(until);
        let soonest = self.pause(id);
        if let Some(Watched { ask_at: Some(at), .. }) = self.probing.tenants.get_mut(id) {
            *at = soonest.into_iter().chain([*at]).min().unwrap_or(*at);
        }
        self.plan_probe(id);
    }

    /// A root opened or sealed something for a tenant that is served.
    pub(super) fn opened(&mut self, id: &TenantId, asked: Moment) {
        if let Some(Watched { state: State::Proven(at), .. }) = self.probing.tenants.get_mut(id)
            && asked.boot > at.boot
        {
            *at = asked;
            self.prove_for_a_lease(id);
        }
    }

    /// Roots have denied, and to what: that ends serving at once.
    pub(super) fn deny(&mut self, step: &mut Step<'_>, id: &TenantId, by: Vec<Denial>) {
        let Some(watched) = self.probing.tenants.get_mut(id) else { return };
        let mut denials = match &watched.state {
            State::Denied(denials) => denials.clone(),
            State::Proven(_) | State::Unproven => {
                let roots: Vec<_> = by.iter().map(|denial| denial.root.to_string()).collect();
                tracing::error!(tenant = %id, roots = roots.join(", "),
                    "the owner of the tenant's L1 denies its use; the tenant is not served, and its keys are wiped, \
                     until that is allowed again");
                Vec::new()
            }
        };
        let before = denials.len();
        for denial in by {
            if denials.len() < MOST_DENIALS && !denials.contains(&denial) {
                denials.push(denial);
            }
        }
        // What is under way was asked before this was known.
        watched.asked = None;
        if denials.len() > before {
            let kept = Denials { epoch: watched.epoch, by: denials.clone() };
            step.effects.denials.push((id.clone(), Some(kept)));
        }
        self.probing.set(id, State::Denied(denials));
        self.ask_later(id);
        self.shut_for_l1(step, id, Refusal::L1_DENIED);
    }

    /// The roots of tenants have answered.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn probed(
        &mut self,
        view: &dyn Read,
        answers: Vec<Probed>,
        now: Timestamp,
    ) -> Result<Effects, StoreError> {
        self.probing.under_way = self.probing.under_way.saturating_sub(answers.len());
        self.step(view, now, |core, step| {
            // Each is taken, whatever comes of the one before: it comes only once.
            let taken: Vec<_> = answers.iter().map(|probed| core.take_probed(step, probed)).collect();
            taken.into_iter().collect()
        })
    }

    fn take_probed(&mut self, step: &mut Step<'_>, probed: &Probed) -> Result<(), StoreError> {
        let Probed { job, answers, asked } = probed;
        let Some(watched) = self.probing.tenants.get_mut(&job.tenant) else { return Ok(()) };
        if watched.epoch != job.epoch {
            return Ok(());
        }
        let is_last = watched.asked.take_if(|number| *number == job.number).is_some();
        let said: Vec<_> = job
            .questions
            .iter()
            .map(|asked| &asked.root)
            .zip(answers.iter().map(|answer| answer.said))
            .collect();
        let verdict = verdict(&said, watched.state.denials());
        // What was asked before a denial was known ends none; but a no is one, whenever it comes.
        if !is_last && verdict != Verdict::Denied {
            return Ok(());
        }
        let [proven, denied, unproven] = &mut self.probing.view.probes;
        match verdict {
            Verdict::Proven => {
                *proven += 1;
                self.proven(step, &job.tenant, *asked)
            }
            Verdict::Denied => {
                *denied += 1;
                self.deny(step, &job.tenant, denials_of(probed));
                Ok(())
            }
            Verdict::Unproven => {
                *unproven += 1;
                self.ask_later(&job.tenant);
                Ok(())
            }
        }
    }

    fn proven(&mut self, step: &mut Step<'_>, id: &TenantId, asked: Moment) -> Result<(), StoreError> {
        let Some(watched) = self.probing.tenants.get(id) else { return Ok(()) };
        match &watched.state {
            State::Proven(_) => {
                self.ask_later(id);
                self.opened(id, asked);
                return Ok(());
            }
            State::Denied(_) => step.effects.denials.push((id.clone(), None)),
            State::Unproven => {}
        }
        tracing::info!(tenant = %id, "the tenant's L1 may be used again; it is served");
        self.probing.set(id, State::Proven(asked));
        self.ask_later(id);
        self.settle_tenant(step, id, None)
    }

    /// Finds out who was not proven for too long, and asks whose time has come.
    pub(super) fn probe_due(&mut self, step: &mut Step<'_>) -> Result<(), StoreError> {
        let now = Moment::of(&**self.keyring.clock());
        for _ in 0..AT_ONCE {
            if self.probing.under_way >= MOST_UNDER_WAY {
                return Ok(());
            }
            let Some(id) = self.probing.take_due(now.boot) else { return Ok(()) };
            if self.proof_ends(&id).is_some_and(|until| until.has_come(&now)) {
                tracing::error!(tenant = %id, "the tenant's L1 did not prove for the length of a lease that it may be \
                    used; the tenant is not served, and its keys are wiped, until it does");
                self.probing.set(&id, State::Unproven);
                self.plan_probe(&id);
                self.shut_for_l1(step, &id, Refusal::L1_UNPROVEN);
            } else {
                self.ask(step, &id, now.boot)?;
            }
        }
        Ok(())
    }

    /// When the next tenant is asked, by the wall clock.
    pub(super) fn next_probe(&self) -> Option<Timestamp> {
        let (next, _) = self.probing.due.first().filter(|_| self.probing.under_way < MOST_UNDER_WAY)?;
        let clock = self.keyring.clock();
        Some(clock.now().after(next.since(clock.boottime())))
    }

    fn ask(&mut self, step: &mut Step<'_>, id: &TenantId, now: BootInstant) -> Result<(), StoreError> {
        let Some(watched) = self.probing.tenants.get_mut(id) else { return Ok(()) };
        if watched.ask_at.is_none_or(|at| at > now) {
            self.plan_probe(id);
            return Ok(());
        }
        let (epoch, denials) = (watched.epoch, watched.state.denials().to_vec());
        self.ask_later(id);
        // Where it is not served, what ended that is being settled.
        let Ok(served) = self.served(step.view, id)? else { return Ok(()) };
        let questions = self.probe_questions(step.view, &served, &denials)?;
        self.probing.number += 1;
        self.probing.under_way += 1;
        let (number, urgent) = (self.probing.number, self.urgent(id, now));
        let Some(watched) = self.probing.tenants.get_mut(id) else { return Ok(()) };
        (watched.asked, watched.ask_at, watched.ticket) = (Some(number), None, Ticket::default());
        watched.count += 1;
        let wanted = watched.ticket.wanted();
        step.effects.probe.push(ProbeJob { tenant: id.clone(), epoch, number, questions, urgent, wanted });
        self.plan_probe(id);
        Ok(())
    }

    /// Until when the last word of a tenant's L1 holds, where it was yes.
    fn proof_ends(&self, id: &TenantId) -> Option<Deadline> {
        let State::Proven(at) = &self.probing.tenants.get(id)?.state else { return None };
        Some(proof_ends(at, self.leased_for(id)?, self.keyring.clock().boot()))
    }

    /// From when on a probe that begins now is urgent: when half of what the last word of the tenant's L1 holds is
    /// over. One of a tenant that is not served keeps nobody from losing that.
    fn urgent(&self, id: &TenantId, now: BootInstant) -> BootInstant {
        let state = self.probing.tenants.get(id).map(|watched| &watched.state);
        match (state, self.leased_for(id)) {
            (Some(State::Proven(at)), Some(ttl)) => at.boot.after(ttl.duration() / 2),
            _ => now.after(self.probing.every),
        }
    }

    /// A tenant is asked when the next pause is over.
    fn ask_later(&mut self, id: &TenantId) {
        let at = self.pause(id);
        if let Some(watched) = self.probing.tenants.get_mut(id) {
            watched.ask_at = at;
        }
        self.plan_probe(id);
    }

    /// When a pause that begins now is over.
    fn pause(&self, id: &TenantId) -> Option<BootInstant> {
        let (every, ttl, count) =
            (self.probing.every, self.leased_for(id), self.probing.tenants.get(id)?.count);
        let pause = Pause { every, ttl, region: &self.region, tenant: id, count };
        Some(self.keyring.clock().boottime().after(pause.duration()))
    }

    /// Plans when a tenant is looked at next: when it is to be asked, and no later than when it will have been
    /// unproven for too long.
    fn plan_probe(&mut self, id: &TenantId) {
        let now = Moment::of(&**self.keyring.clock());
        let ends =
            self.proof_ends(id).map(|until| until.boot.min(now.boot.after(until.wall.since(now.wall))));
        let Probing { tenants, due, .. } = &mut self.probing;
        let Some(watched) = tenants.get_mut(id) else { return };
        if let Some(planned) = watched.next.take() {
            due.remove(&(planned, id.clone()));
        }
        watched.next = watched.ask_at.into_iter().chain(ends).min();
        due.extend(watched.next.map(|next| (next, id.clone())));
    }
}

/// What was denied, and by which roots.
fn denials_of(Probed { job, answers, .. }: &Probed) -> Vec<Denial> {
    let denied = job.questions.iter().zip(answers).filter(|(_, answer)| answer.said == Said::No);
    let denial = denied.map(|(question, answer)| {
        let seal = answer.to.and_then(|index| question.seals.get(index));
        let of = seal.map(|(path, version, _)| (path.system.clone(), *version));
        Denial { root: question.root.clone(), of }
    });
    denial.collect()
}
