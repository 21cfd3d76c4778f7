//! Leases, in memory: until when each tenant is served, and who waits for one.
//!
//! What always holds: no gate is open that no lease covers; and a gate whose lease has run out is shut at the next
//! step, and what it guarded wiped. That no request is answered meanwhile is the ring's own affair.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use openkcm_contracts::problem::Code;
use openkcm_contracts::{Period, Revision, TenantId, Timestamp};
use openkcm_store::{Read, StoreError};

use super::step::Step;
use super::{Core, Effects};
use crate::rules::{Deadline, Grant, LeasePolicy, Moment, Refusal, Standing, moment_standing};
use crate::store::{self, LinkRecord};

/// A lease is renewed when a quarter of it is used.
const RENEWALS: u32 = 4;

/// Manifests are told no less often than this, whatever the leases are.
const RENEWED_AFTER: Duration = Duration::from_secs(60);

/// How often a Core without a lease asks for one, or with tenants that wait for one.
const ASKED_AFTER: Duration = Duration::from_secs(5);

/// What may have ended long ago is not served before that was looked up.
const READS_FIRST: Refusal = Refusal::new(
    Code::Hydrating,
    "this Core had no lease when it started: it reads from the mesh what was said meanwhile before it serves",
);

/// What decides over a link's lease.
#[derive(Debug, Clone, Copy)]
struct Link {
    since: Revision,
    ttl: Option<Period>,
}

#[derive(Debug, Default)]
pub(super) struct Leasing {
    policy: LeasePolicy,
    held: store::Leases,
    /// Tenants whose gate is open, or about to be.
    served: HashMap<TenantId, Link>,
    /// Tenants that would be served, had they a lease.
    waiting: BTreeSet<TenantId>,
    /// When the first of those that are served loses its lease.
    first_end: Option<Deadline>,
    /// The shortest lease of those that are served.
    shortest: Option<Period>,
    /// The latest moment that a step was taken at.
    latest: Option<Moment>,
    /// Tenants that have lost their lease since the start.
    expired: u64,
}

/// A region's lease, for those who show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseView {
    /// When it runs out; the earlier one of both clocks, told by the wall clock.
    pub until: Option<Timestamp>,
    /// How long it holds in all.
    pub ttl: Option<Period>,
    /// The part of it that is used, in per cent; none where there is no lease.
    pub used_percent: Option<u32>,
    /// Tenants that would be served, had they a lease.
    pub waiting: usize,
    /// Tenants that the CMK Server does not renew at present.
    pub apart: usize,
    /// Whether nobody is served before the mesh was read, lease or none.
    pub reads_first: bool,
}

impl Core {
    /// The same, with what an operator says of leases.
    pub fn with_leases(mut self, policy: LeasePolicy) -> Self {
        self.leasing.policy = policy;
        self
    }

    /// How long after a manifest the next one is due, so that no lease runs out that the CMK Server would renew.
    pub fn renewed_after(&self) -> Duration {
        let now = Moment::of(&**self.keyring.clock());
        let grant = self.leasing.held.grant.filter(|grant| {
            let until = grant.own_deadline(&self.leasing.policy, now.boot_id);
            until.is_some_and(|until| !until.has_come(&now))
        });
        let of_region = grant.map(|grant| self.leasing.longest(grant.ttl));
        let renewed = match self.leasing.shortest.into_iter().chain(of_region).min() {
            Some(shortest) => (shortest.duration() / RENEWALS).min(RENEWED_AFTER),
            None => ASKED_AFTER,
        };
        // A tenant whose own lease is short may have lost it to one late answer: it waits for no ordinary renewal.
        if self.leasing.waiting.is_empty() { renewed } else { renewed.min(ASKED_AFTER) }
    }

    /// The region's lease.
    pub fn lease(&self) -> LeaseView {
        let Leasing { policy, held, waiting, .. } = &self.leasing;
        let now = Moment::of(&**self.keyring.clock());
        let grant = held.grant.filter(|grant| grant.own_deadline(policy, now.boot_id).is_some());
        let until = grant.and_then(|grant| grant.own_deadline(policy, now.boot_id));
        let by_boot = until.map(|until| now.wall.after(until.boot.since(now.boot)));
        LeaseView {
            until: until.map(|until| by_boot.map_or(until.wall, |by_boot| until.wall.min(by_boot))),
            ttl: grant.map(|grant| self.leasing.longest(grant.ttl)),
            used_percent: grant.map(|grant| grant.used_percent(policy, &now)),
            waiting: waiting.len(),
            apart: held.apart.len(),
            reads_first: held.reads_first,
        }
    }

    /// Reads what is kept of leases: at the start.
    pub(super) fn load_leases(&mut self, view: &dyn Read) -> Result<(), StoreError> {
        self.leasing.held = store::leases(view)?;
        Ok(())
    }

    /// What ends things was read to its end on the mesh since the start: what is held is as new as anywhere.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn caught_up(&mut self, view: &dyn Read, now: Timestamp) -> Result<Effects, StoreError> {
        self.step(view, now, Self::settle_leases)
    }

    /// Whether the mesh is to be read before anything is served.
    pub fn reads_first(&self) -> bool {
        self.leasing.held.reads_first
    }

    /// There is another lease: whoever is served goes on with it, or ends; whoever waited is looked at again.
    pub(super) fn settle_leases(&mut self, step: &mut Step<'_>) -> Result<(), StoreError> {
        let before = self.leasing.held.grant;
        self.load_leases(step.view)?;
        let now = Moment::of(&**self.keyring.clock());
        self.tell_of_return(before, &now);
        let ended = self.renew(&now);
        for id in ended {
            self.settle_tenant(step, &id, None)?;
        }
        let waiting = std::mem::take(&mut self.leasing.waiting);
        waiting.iter().try_for_each(|id| self.settle_tenant(step, id, None))
    }

    /// Says that there is a lease where there was none: serving resumes by itself, and nobody is to guess when.
    fn tell_of_return(&self, before: Option<Grant>, now: &Moment) {
        if self.leasing.held.reads_first {
            return;
        }
        let policy = &self.leasing.policy;
        let end_of = |grant: Option<Grant>| grant.and_then(|grant| grant.own_deadline(policy, now.boot_id));
        let Some(until) = end_of(self.leasing.held.grant).filter(|until| !until.has_come(now)) else {
            return;
        };
        let (region, until, tenants) = (&self.region, until.wall, self.leasing.waiting.len());
        match end_of(before) {
            None => tracing::info!(%region, %until, tenants,
                "there is a first lease of the CMK Server: the tenants that waited for it are served"),
            Some(end) if end.has_come(now) => {
                // It ended when the first of both clocks said so.
                let without = now.boot.since(end.boot).max(now.wall.since(end.wall));
                tracing::info!(%region, %until, tenants, without_seconds = without.as_secs(),
                    "there is a lease of the CMK Server again: the tenants that waited for it are served");
            }
            Some(_) => {}
        }
    }

    /// Gives everyone who is served their present deadline. Says who has none any more.
    fn renew(&mut self, now: &Moment) -> Vec<TenantId> {
        let mut ended = Vec::new();
        (self.leasing.first_end, self.leasing.shortest) = (None, None);
        let served: Vec<(TenantId, Link)> =
            self.leasing.served.iter().map(|(id, link)| (id.clone(), *link)).collect();
        for (id, link) in served {
            match self.leasing.deadline(&id, link, now) {
                Ok(until) => {
                    self.keyring.tenant_or_new(&id).lease(until);
                    self.leasing.note(link, until);
                    self.prove_for_a_lease(&id);
                }
                Err(_) => ended.push(id),
            }
        }
        ended
    }

    /// Shuts the gates whose leases have run out; all of them where the machine was put back.
    pub(super) fn end_leases(&mut self, step: &mut Step<'_>) -> Result<(), StoreError> {
        let now = Moment::of(&**self.keyring.clock());
        if moment_standing(self.leasing.latest.as_ref(), &now) == Standing::PutBack {
            tracing::error!("the machine's clocks were put back together: no earlier lease holds");
            let reads_first = self.leasing.held.reads_first;
            self.leasing.held = store::Leases { reads_first, ..store::Leases::default() };
            self.leasing.first_end = Some(Deadline::PAST);
        }
        self.leasing.latest = Some(now);
        if self.leasing.first_end.is_none_or(|first| !first.has_come(&now)) {
            return Ok(());
        }
        let ended = self.renew(&now);
        if !ended.is_empty() {
            tracing::error!(
                tenants = ended.len(),
                "leases have run out: their tenants are not served, and their keys are wiped, until the CMK Server \
                 gives the next one"
            );
            self.leasing.expired += ended.len() as u64;
        }
        ended.iter().try_for_each(|id| self.settle_tenant(step, id, None))
    }

    /// When the next lease runs out, by the wall clock; long ago, when one has by either.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        let now = Moment::of(&**self.keyring.clock());
        let put_back = moment_standing(self.leasing.latest.as_ref(), &now) == Standing::PutBack;
        let first = self.leasing.first_end?;
        Some(if put_back || first.has_come(&now) { Timestamp::from_millis(0) } else { first.wall })
    }

    /// Until when a tenant may be served that nothing else speaks against.
    ///
    /// # Errors
    /// That no lease covers its link, or none does any more.
    pub(super) fn leased(&mut self, id: &TenantId, link: &LinkRecord) -> Result<Deadline, Refusal> {
        let ttl = link.reference.as_ref().and_then(|held| held.fact.ttl);
        let link = Link { since: link.since, ttl };
        let leased = self.leasing.deadline(id, link, &Moment::of(&**self.keyring.clock()));
        match leased {
            Ok(until) => {
                self.leasing.waiting.remove(id);
                self.leasing.served.insert(id.clone(), link);
                self.leasing.note(link, until);
            }
            Err(_) => {
                self.leasing.served.remove(id);
                self.leasing.waiting.insert(id.clone());
            }
        }
        leased
    }

    /// How long the lease of a tenant that is served holds in all.
    pub(super) fn leased_for(&self, id: &TenantId) -> Option<Period> {
        let Leasing { held, served, .. } = &self.leasing;
        let (link, grant) = (served.get(id)?, held.apart.get(id).copied().unwrap_or(held.grant)?);
        let of_region = self.leasing.longest(grant.ttl);
        Some(link.ttl.map_or(of_region, |of_tenant| of_tenant.min(of_region)))
    }

    /// A tenant is not served, for another reason than its lease.
    pub(super) fn unleased(&mut self, id: &TenantId) {
        self.leasing.served.remove(id);
        self.leasing.waiting.remove(id);
    }

    /// How many tenants have lost their lease since the start.
    pub fn leases_expired(&self) -> u64 {
        self.leasing.expired
    }
}

impl Leasing {
    fn longest(&self, ttl: Period) -> Period {
        self.policy.longest.map_or(ttl, |longest| longest.min(ttl))
    }

    fn deadline(&self, id: &TenantId, link: Link, now: &Moment) -> Result<Deadline, Refusal> {
        let present = self.held.grant;
        let of = |grant: Option<Grant>| {
            let deadline = grant?.deadline(link.since, link.ttl, &self.policy, now.boot_id)?;
            Some(deadline).filter(|deadline| !deadline.has_come(now))
        };
        let deadline = match self.held.apart.get(id) {
            Some(before) => of(*before),
            None => of(present),
        };
        if deadline.is_some() && self.held.reads_first {
            return Err(READS_FIRST);
        }
        deadline.ok_or_else(|| {
            let is_leased = present.and_then(|grant| grant.own_deadline(&self.policy, now.boot_id));
            match is_leased.is_some_and(|until| !until.has_come(now)) {
                true if present.is_some_and(|grant| grant.manifest < link.since) => Refusal::NOT_AGREED,
                true if self.held.apart.get(id).is_some_and(Option::is_none) => Refusal::NOT_AGREED,
                _ => Refusal::LEASE_EXPIRED,
            }
        })
    }

    fn note(&mut self, link: Link, until: Deadline) {
        self.first_end = Some(self.first_end.map_or(until, |first| first.earlier(until)));
        let ttl = link.ttl.into_iter().chain(self.held.grant.map(|grant| self.longest(grant.ttl))).min();
        self.shortest = self.shortest.into_iter().chain(ttl).min();
    }
}
