//! Settling a service: its L3 versions are opened from its system's L2, made when there is none,
//! rotated when it is time; the result is the ring that the data plane reads.

use std::sync::Arc;

use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{KeyDefine, KeySealed, SealedBy};
use openkcm_contracts::{KeyPath, ServicePath, Timestamp, VersionState};
use openkcm_secrets::SecretKey;
use openkcm_store::{Read, StoreError};

use super::make::next_counter;
use super::system::{L2State, System};
use super::tenant::Served;
use super::{Core, Effects};
use crate::keyring::{OpenVersion, ServiceRing};
use crate::rules::{Candidate, Refusal, choose_active, service_standing, state_of, system_standing};
use crate::sealing::{Context, WrapError, unwrap_l3};
use crate::store;

const EARLIER_GENERATION: Refusal = Refusal::new(
    Code::KeyDisabled,
    "the key was defined again; this version is of an earlier generation, which has ended",
);
const L2_NOT_HERE: Refusal =
    Refusal::new(Code::MaterialNotHere, "the L2 version that seals this key is not in this region yet");
const DAMAGED: Refusal = Refusal::new(
    Code::MaterialNotHere,
    "the sealed form of this key version that is held here does not open",
);
const NO_MEMORY: Refusal =
    Refusal::new(Code::LockedMemoryExhausted, "the operating system grants this Core no more locked memory");

impl Core {
    /// Settles one service.
    pub(super) fn settle_service(
        &mut self,
        view: &dyn Read,
        path: &ServicePath,
        now: Timestamp,
        due: bool,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        let Ok(served) = self.served(view, &path.tenant)? else {
            return Ok(());
        };
        let system = store::system(view, &path.system_path())?;
        let definition = store::service(view, path)?;
        if definition.is_none() {
            // Its sealed versions arrived before its definition: nothing to serve yet.
            return Ok(());
        }
        let ring =
            self.ring_of(view, &served, system.as_ref(), path, definition.as_ref(), (now, due), effects)?;
        let rings = vec![(path.system.clone(), path.service.clone(), ring)];
        self.keyring.tenant_or_new(&path.tenant).put(served.link.epoch, rings);
        Ok(())
    }

    /// The ring of a service, as it stands.
    #[expect(clippy::too_many_arguments, reason = "the facts that a ring follows from, each already read")]
    pub(super) fn ring_of(
        &mut self,
        view: &dyn Read,
        served: &Served,
        system_definition: Option<&KeyDefine>,
        path: &ServicePath,
        definition: Option<&KeyDefine>,
        (now, due): (Timestamp, bool),
        effects: &mut Effects,
    ) -> Result<Arc<ServiceRing>, StoreError> {
        let standing = system_standing(&served.tenant, system_definition)
            .and_then(|()| system_definition.ok_or(Refusal::UNKNOWN))
            .and_then(|system| service_standing(system, definition).map(|()| system))
            .and_then(|system| definition.ok_or(Refusal::UNKNOWN).map(|definition| (system, definition)));
        let (system_definition, definition) = match standing {
            Ok(standing) => standing,
            Err(refusal) => return Ok(Arc::new(ServiceRing::refused(refusal))),
        };
        let Some(system) = self.systems.get(&path.system_path()) else {
            return Ok(Arc::new(ServiceRing::refused(Refusal::HYDRATING)));
        };
        let held = store::service_versions(view, path)?;
        let versions = self.open_versions(path, definition, system, &held);
        let refusal = system.refusal();
        let l2 = system.active(self, system_definition, now);
        let candidates = candidates(&versions);
        let (active, look_again) = choose_active(&candidates, &definition.compromised, now);
        if let Some(at) = look_again {
            self.agenda.at_latest(KeyPath::Service(path.clone()), at);
        }
        let usable = |sealed: &&KeySealed| {
            sealed.generation == definition.generation && !definition.compromised.contains(&sealed.version)
        };
        let make = match active {
            Some(id) => self.rotation_is_due(served, definition, &held, id, now),
            None if held.iter().any(|sealed| usable(&sealed)) => false,
            None if l2.is_none() => false,
            None => self.first_is_due(served, KeyPath::Service(path.clone()), now, due),
        };
        if make && let Some((l2_id, l2)) = &l2 {
            match self.make_l3(path, definition, (*l2_id, l2), next_counter(&held), now) {
                Ok(sealed) => effects.keep.push(sealed),
                Err(error) => tracing::error!(%path, %error, "no L3 was made"),
            }
        }
        if versions.is_empty() && l2.is_none() {
            return Ok(Arc::new(ServiceRing::refused(refusal)));
        }
        Ok(Arc::new(ServiceRing::serving(with_states(versions, &candidates, active, definition))))
    }

    /// The versions that are held, opened where their L2 is. What the present ring has open stays so.
    fn open_versions(
        &self,
        path: &ServicePath,
        definition: &KeyDefine,
        system: &System,
        held: &[KeySealed],
    ) -> Vec<OpenVersion> {
        let ring = self.keyring.tenant(&path.tenant).and_then(|tenant| {
            // Keys of another link or generation are never taken over.
            tenant.service(&path.system, &path.service).filter(|_| tenant.epoch() == Some(system.epoch))
        });
        let open_already = |sealed: &KeySealed| {
            let version = ring.as_ref()?.version(sealed.version)?;
            version.key.as_ref().ok().cloned()
        };
        held.iter()
            .map(|sealed| OpenVersion {
                id: sealed.version,
                counter: sealed.counter,
                made_at: sealed.made_at,
                state: VersionState::PreActive,
                at_risk: self.at_risk.contains(&sealed.version),
                context: Arc::new(Context::new(path, sealed.generation, sealed.version)),
                key: if sealed.generation == definition.generation {
                    open_already(sealed).map_or_else(|| open(path, system, sealed), Ok)
                } else {
                    Err(EARLIER_GENERATION)
                },
            })
            .collect()
    }
}

fn open(path: &ServicePath, system: &System, sealed: &KeySealed) -> Result<Arc<SecretKey>, Refusal> {
    let mut refusal = L2_NOT_HERE;
    for seal in &sealed.seals {
        let SealedBy::L2(l2_id) = &seal.by else { continue };
        let Some(l2) = system.versions.get(l2_id) else { continue };
        match &l2.state {
            L2State::Opening(_) => refusal = Refusal::HYDRATING,
            L2State::Failed(failure) => refusal = failure.refusal,
            L2State::Open(l2) => {
                let name = (path, sealed.generation, sealed.version);
                match unwrap_l3((l2, *l2_id), &seal.ciphertext, name) {
                    Ok(key) => return Ok(Arc::new(key)),
                    Err(WrapError::Memory(_)) => refusal = NO_MEMORY,
                    Err(WrapError::Damaged | WrapError::Unopenable) => refusal = DAMAGED,
                }
            }
        }
    }
    Err(refusal)
}

fn candidates(versions: &[OpenVersion]) -> Vec<Candidate> {
    let open = versions.iter().filter(|version| version.key.is_ok());
    open.map(|version| Candidate {
        counter: version.counter,
        id: version.id,
        made_at: version.made_at,
        at_risk: version.at_risk,
    })
    .collect()
}

fn with_states(
    mut versions: Vec<OpenVersion>,
    candidates: &[Candidate],
    active: Option<openkcm_contracts::VersionId>,
    definition: &KeyDefine,
) -> Vec<OpenVersion> {
    let active = candidates.iter().find(|candidate| Some(candidate.id) == active);
    for version in &mut versions {
        let (counter, id) = (version.counter, version.id);
        let candidate = Candidate { counter, id, made_at: version.made_at, at_risk: version.at_risk };
        version.state = state_of(&candidate, active, &definition.compromised);
    }
    versions
}
