//! Settling a system: its L2 versions are opened by the provider, made when there is none, rotated
//! when it is time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{KeyDefine, KeySealed, SealedBy};
use openkcm_contracts::{Generation, KeyPath, LinkEpoch, RootRef, SystemPath, Timestamp, VersionId};
use openkcm_secrets::SecretKey;
use openkcm_store::{Read, StoreError};

use super::held::{Members, next_counter};
use super::tenant::Served;
use super::{Core, Effects, Sealed, UnsealJob, Unsealed};
use crate::rules::{Candidate, Refusal, choose_active, make_at, rotate_at, system_standing};
use crate::store;

/// First and longest wait before the provider is asked again for what it did not give.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// A system of a tenant that is served.
#[derive(Debug)]
pub(super) struct System {
    pub(super) epoch: LinkEpoch,
    pub(super) generation: Generation,
    pub(super) versions: BTreeMap<VersionId, L2>,
    /// Whether a new version is with the provider.
    pub(super) sealing: bool,
    /// A new version that is sealed and not known to be kept: nothing is sealed under it before.
    pub(super) unkept: Option<(VersionId, L2)>,
    /// What the provider last said to a new version, and when to try again.
    pub(super) seal_failure: Option<Failure>,
}

/// One version of an L2.
#[derive(Debug)]
pub(super) struct L2 {
    pub(super) counter: u64,
    pub(super) made_at: Timestamp,
    pub(super) state: L2State,
}

impl L2 {
    fn candidate(&self, id: VersionId, core: &Core) -> Candidate {
        let at_risk = core.at_risk.contains(&id);
        Candidate { counter: self.counter, id, made_at: self.made_at, at_risk }
    }
}

#[derive(Debug)]
pub(super) enum L2State {
    /// It is with the provider; and how often that went wrong before.
    Opening(u32),
    Open(Arc<SecretKey>),
    Failed(Failure),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    retry_at: Timestamp,
    count: u32,
}

impl Failure {
    fn new(refusal: Refusal, count: u32, now: Timestamp) -> Self {
        let wait = FIRST_RETRY.saturating_mul(1 << count.min(8)).min(LONGEST_RETRY);
        Self { refusal, retry_at: now.after(wait), count: count + 1 }
    }
}

/// Sealed to none of the roots that the present link names.
const OTHER_ROOT: Refusal = Refusal::new(
    Code::MaterialNotHere,
    "the key is sealed to a root that the tenant's present link does not name",
);

impl System {
    fn new(epoch: LinkEpoch, generation: Generation) -> Self {
        Self {
            epoch,
            generation,
            versions: BTreeMap::new(),
            sealing: false,
            unkept: None,
            seal_failure: None,
        }
    }

    /// The L2 version that new L3 versions are sealed under.
    pub(super) fn active(
        &self,
        core: &Core,
        definition: &KeyDefine,
        now: Timestamp,
    ) -> Option<(VersionId, Arc<SecretKey>)> {
        let (active, _) = choose_active(&self.candidates(core), &definition.compromised, now);
        let id = active?;
        match &self.versions.get(&id)?.state {
            L2State::Open(key) => Some((id, key.clone())),
            _ => None,
        }
    }

    fn candidates(&self, core: &Core) -> Vec<Candidate> {
        let open = self.versions.iter().filter(|(_, l2)| matches!(l2.state, L2State::Open(_)));
        open.map(|(id, l2)| l2.candidate(*id, core)).collect()
    }

    /// The versions that may be used, and are open or with the provider.
    fn live(&self, core: &Core, compromised: &BTreeSet<VersionId>) -> Vec<Candidate> {
        let live = self.versions.iter().filter(|(id, _)| self.is_live(**id) && !compromised.contains(id));
        live.map(|(id, l2)| l2.candidate(*id, core)).collect()
    }

    /// Whether a version is open or with the provider.
    fn is_live(&self, id: VersionId) -> bool {
        let state = self.versions.get(&id).map(|l2| &l2.state);
        matches!(state, Some(L2State::Open(_) | L2State::Opening(_)))
    }

    /// Notes that a new version was not sealed, and when to try again.
    pub(super) fn seal_failed(&mut self, refusal: Refusal, now: Timestamp) {
        let failures = self.seal_failure.map_or(0, |failure| failure.count);
        self.seal_failure = Some(Failure::new(refusal, failures, now));
    }

    /// Why a service of this system can't be served at all, if so.
    pub(super) fn refusal(&self) -> Refusal {
        let failed = self.versions.values().find_map(|l2| match l2.state {
            L2State::Failed(failure) => Some(failure.refusal),
            _ => None,
        });
        failed.or(self.seal_failure.map(|failure| failure.refusal)).unwrap_or(Refusal::HYDRATING)
    }
}

impl Core {
    /// Settles one system, and its services after it. `due`: its time on the agenda has come.
    pub(super) fn settle_system_and_services(
        &mut self,
        view: &dyn Read,
        path: &SystemPath,
        (now, due): (Timestamp, bool),
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let Ok(served) = self.served(view, &path.tenant)? else {
            return Ok(());
        };
        let definition = store::system(view, path)?;
        if let Some(definition) = &definition {
            self.settle_system(view, &served, definition, (now, due), effects)?;
        }
        let mut rings = Vec::new();
        for service in store::services_of(view, path)? {
            let KeyPath::Service(path) = service.path() else { continue };
            let facts = (definition.as_ref(), &service);
            let ring = self.ring_of(view, &served, &path, facts, (now, false), effects)?;
            rings.push((path.system, path.service, ring));
        }
        self.keyring.tenant_or_new(&path.tenant).put(served.link.epoch, rings);
        Ok(())
    }

    /// Opens, makes or rotates a system's L2, as it stands.
    pub(super) fn settle_system(
        &mut self,
        view: &dyn Read,
        served: &Served,
        definition: &KeyDefine,
        (now, due): (Timestamp, bool),
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let KeyPath::System(path) = definition.path() else { return Ok(()) };
        if system_standing(&served.tenant, Some(definition)).is_err() {
            self.systems.take(&path);
            return Ok(());
        }
        let (epoch, generation) = (served.link.epoch, definition.generation);
        let held = self.l2_held(view, served, definition)?;
        let mut system = self
            .systems
            .take(&path)
            .filter(|s| (s.epoch, s.generation) == (epoch, generation))
            .unwrap_or_else(|| System::new(epoch, generation));
        for sealed in &held {
            open_version(&mut system, &path, sealed, &served.link.roots, now, effects);
        }
        let (active, look_again) = choose_active(&system.candidates(self), &definition.compromised, now);
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let stands = held.iter().any(|sealed| {
            !definition.compromised.contains(&sealed.version)
                && (system.is_live(sealed.version) || members.include(&sealed.maker))
        });
        let make = match active {
            Some(id) => {
                let live = system.live(self, &definition.compromised);
                self.rotation_is_due(served, definition, &live, id, now)
            }
            None if stands => false,
            None => self.first_is_due(served, KeyPath::System(path.clone()), now, due),
        };
        let may_try = system.seal_failure.is_none_or(|failure| failure.retry_at <= now);
        if make && !system.sealing && system.unkept.is_none() && may_try {
            let counter = self.next_l2_counter(served, &system, &held);
            self.make_l2(&path, &mut system, (served, definition), counter, now, effects);
        }
        self.plan_system(&path, &system, look_again, now);
        self.systems.put(&path, system);
        Ok(())
    }

    /// The versions of an L2's present generation.
    pub(super) fn l2_held(
        &self,
        view: &dyn Read,
        served: &Served,
        definition: &KeyDefine,
    ) -> Result<Vec<KeySealed>, StoreError> {
        let KeyPath::System(path) = definition.path() else { return Ok(Vec::new()) };
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let mut held = members.each_once(store::system_versions(view, &path)?, definition.generation);
        held.retain(|sealed| sealed.generation == definition.generation);
        Ok(held)
    }

    pub(super) fn next_l2_counter(&self, served: &Served, system: &System, held: &[KeySealed]) -> u64 {
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let known = held.iter().filter(|s| system.is_live(s.version) || members.include(&s.maker));
        next_counter(known.map(|sealed| sealed.counter))
    }

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
        }
        at <= now
    }

    /// Whether this region is to make a key's first version now; if not, puts it on the agenda.
    pub(super) fn first_is_due(
        &mut self,
        served: &Served,
        thing: KeyPath,
        now: Timestamp,
        due: bool,
    ) -> bool {
        if !self.hydrated {
            self.postponed.insert(thing);
            return false;
        }
        match make_at(&served.tenant.regions, &self.region, now) {
            Some(at) if at > now && !due => {
                self.agenda.at_latest(thing, at);
                false
            }
            at => at.is_some(),
        }
    }

    fn plan_system(
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

    /// The provider answered to a version that was to be opened.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn unsealed(
        &mut self,
        view: &dyn Read,
        answer: Unsealed,
        now: Timestamp,
    ) -> Result<Effects, StoreError> {
        let Unsealed { job, outcome } = answer;
        let current = self
            .systems
            .get_mut(&job.path)
            .filter(|s| (s.epoch, s.generation) == (job.epoch, job.generation));
        let l2 = current.and_then(|system| system.versions.get_mut(&job.version));
        // The tenant was unlinked, or linked again, while the provider was asked: nothing is kept.
        let Some(l2) = l2 else { return Ok(Effects::default()) };
        // Nor does a late answer undo an earlier one.
        let L2State::Opening(failures) = l2.state else { return Ok(Effects::default()) };
        l2.state = match outcome {
            Ok(key) => L2State::Open(key),
            Err(refusal) => L2State::Failed(Failure::new(refusal, failures, now)),
        };
        self.asking(|core, effects| core.settle_system_and_services(view, &job.path, (now, false), effects))
    }

    /// The provider answered to a new version that was to be sealed.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sealed(&mut self, view: &dyn Read, answer: Sealed, now: Timestamp) -> Result<Effects, StoreError> {
        let Sealed { job, outcome } = answer;
        let current = self
            .systems
            .get_mut(&job.path)
            .filter(|s| (s.epoch, s.generation) == (job.epoch, job.generation));
        let Some(system) = current else { return Ok(Effects::default()) };
        system.sealing = false;
        match outcome {
            Ok(seals) => {
                system.seal_failure = None;
                let l2 =
                    L2 { counter: job.counter, made_at: job.made_at, state: L2State::Open(job.key.clone()) };
                system.unkept = Some((job.version, l2));
                Ok(Effects { keep: vec![self.l2_record(&job, seals)], ..Effects::default() })
            }
            Err(refusal) => {
                system.seal_failed(refusal, now);
                self.asking(|core, effects| {
                    core.settle_system_and_services(view, &job.path, (now, false), effects)
                })
            }
        }
    }
}

fn open_version(
    system: &mut System,
    path: &SystemPath,
    sealed: &KeySealed,
    roots: &[RootRef],
    now: Timestamp,
    effects: &mut Effects,
) {
    let failures = match system.versions.get_mut(&sealed.version) {
        None => 0,
        Some(L2 { state: L2State::Failed(failure), .. }) if failure.retry_at <= now => failure.count,
        Some(l2) => {
            // A nearer maker's word on the same version may have come since.
            (l2.counter, l2.made_at) = (sealed.counter, sealed.made_at);
            return;
        }
    };
    // In the pointer's order of preference, and only roots that it names: a seal to a root that was
    // taken from the list is not used.
    let seals: Vec<(RootRef, String)> = roots
        .iter()
        .flat_map(|root| {
            let by = SealedBy::Root(root.clone());
            let seals = sealed.seals.iter().filter(move |seal| seal.by == by);
            seals.map(|seal| (root.clone(), seal.ciphertext.clone()))
        })
        .collect();
    let state = if seals.is_empty() {
        L2State::Failed(Failure::new(OTHER_ROOT, failures, now))
    } else {
        let (epoch, generation, version) = (system.epoch, system.generation, sealed.version);
        effects.unseal.push(UnsealJob { path: path.clone(), epoch, generation, version, seals });
        L2State::Opening(failures)
    };
    system.versions.insert(sealed.version, L2 { counter: sealed.counter, made_at: sealed.made_at, state });
}
