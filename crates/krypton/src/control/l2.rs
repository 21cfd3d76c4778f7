//! What is in memory of a system: the versions of its L2, open or on their way to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{KeyDefine, KeySealed, SealedBy};
use openkcm_contracts::{Generation, LinkEpoch, RootRef, SystemPath, Timestamp, VersionId};
use openkcm_secrets::SecretKey;

use super::effects::Ticket;
use super::reseal::Resealer;
use super::{Core, Effects, UnsealJob};
use crate::rules::{Candidate, Refusal, choose_active};

/// First and longest wait before the provider is asked again for what it did not give.
const FIRST_RETRY: Duration = Duration::from_secs(1);
pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// A system of a tenant that is served.
#[derive(Debug)]
pub(super) struct System {
    pub(super) epoch: LinkEpoch,
    pub(super) generation: Generation,
    pub(super) versions: BTreeMap<VersionId, L2>,
    /// The new version that is with the provider. The answer to any other is dropped: the system was
    /// deleted and came back meanwhile, and has asked for another in its place.
    pub(super) sealing: Option<VersionId>,
    /// A new version that is sealed and not known to be kept: nothing is sealed under it before.
    pub(super) unkept: Option<(VersionId, L2)>,
    /// What the provider last said to a new version, and when to try again.
    pub(super) seal_failure: Option<Failure>,
    /// Whether a version was there to seal new L3 versions under, when it was last looked at.
    pub(super) seals: bool,
    /// Which version all L3 versions are to be sealed under.
    pub(super) resealer: Resealer,
    /// The versions that are with the provider to be sealed to further roots.
    pub(super) resealing: BTreeSet<VersionId>,
    /// As what it counts among those that are to be open: whether it is, if there is a version.
    pub(super) counted: Option<bool>,
    /// Ends with this, and with it what the provider is still to be asked.
    pub(super) ticket: Ticket,
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
    /// It is with the provider; and what that said before. Until it answers, that still holds.
    Opening(Option<Failure>),
    Open(Arc<SecretKey>),
    Failed(Failure),
}

impl L2State {
    /// Why it is not open, if so.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Open(_) => None,
            Self::Opening(None) => Some(Refusal::HYDRATING),
            Self::Opening(Some(failure)) | Self::Failed(failure) => Some(failure.refusal),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    pub(super) retry_at: Timestamp,
    count: u32,
}

impl Failure {
    /// One failure more.
    pub(super) fn after(before: Option<Self>, refusal: Refusal, now: Timestamp) -> Self {
        let count = before.map_or(0, |failure| failure.count);
        let wait = FIRST_RETRY.saturating_mul(1 << count.min(8)).min(LONGEST_RETRY);
        Self { refusal, retry_at: now.after(wait), count: count.saturating_add(1) }
    }
}

/// Sealed to none of the roots that the present link names.
const OTHER_ROOT: Refusal = Refusal::new(
    Code::MaterialNotHere,
    "the key is sealed to a root that the tenant's present link does not name; link that root and the new one together \
     until every region has sealed the key to the new one",
);

impl System {
    pub(super) fn new(epoch: LinkEpoch, generation: Generation) -> Self {
        Self {
            epoch,
            generation,
            versions: BTreeMap::new(),
            sealing: None,
            unkept: None,
            seal_failure: None,
            seals: false,
            resealer: Resealer::default(),
            resealing: BTreeSet::new(),
            counted: None,
            ticket: Ticket::default(),
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

    pub(super) fn candidates(&self, core: &Core) -> Vec<Candidate> {
        let open = self.versions.iter().filter(|(_, l2)| matches!(l2.state, L2State::Open(_)));
        open.map(|(id, l2)| l2.candidate(*id, core)).collect()
    }

    /// The versions that may be used, and are open or with the provider.
    pub(super) fn live(&self, core: &Core, compromised: &BTreeSet<VersionId>) -> Vec<Candidate> {
        let live = self.versions.iter().filter(|(id, _)| self.is_live(**id) && !compromised.contains(id));
        live.map(|(id, l2)| l2.candidate(*id, core)).collect()
    }

    /// Whether a version is open, or with the provider for the first time.
    pub(super) fn is_live(&self, id: VersionId) -> bool {
        let state = self.versions.get(&id).map(|l2| &l2.state);
        matches!(state, Some(L2State::Open(_) | L2State::Opening(None)))
    }

    /// Notes that a new version was not sealed, and when to try again.
    pub(super) fn seal_failed(&mut self, refusal: Refusal, now: Timestamp) {
        self.seal_failure = Some(Failure::after(self.seal_failure, refusal, now));
    }

    /// Why a service of this system can't be served at all, if so.
    pub(super) fn refusal(&self) -> Refusal {
        let refusals = self.versions.values().filter_map(|l2| l2.state.refusal());
        let failed = refusals.into_iter().find(|refusal| *refusal != Refusal::HYDRATING);
        failed.or(self.seal_failure.map(|failure| failure.refusal)).unwrap_or(Refusal::HYDRATING)
    }
}

/// Has the provider asked for a version that is neither open nor with it, when it is time.
pub(super) fn open_version(
    system: &mut System,
    path: &SystemPath,
    sealed: &KeySealed,
    roots: &[RootRef],
    now: Timestamp,
    effects: &mut Effects,
) {
    let before = match system.versions.get_mut(&sealed.version) {
        None => None,
        Some(L2 { state: L2State::Failed(failure), .. }) if failure.retry_at <= now => Some(*failure),
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
        L2State::Failed(Failure::after(before, OTHER_ROOT, now))
    } else {
        let (epoch, generation, version) = (system.epoch, system.generation, sealed.version);
        let wanted = system.ticket.wanted();
        effects.unseal.push(UnsealJob { path: path.clone(), epoch, generation, version, seals, wanted });
        L2State::Opening(before)
    };
    system.versions.insert(sealed.version, L2 { counter: sealed.counter, made_at: sealed.made_at, state });
}
