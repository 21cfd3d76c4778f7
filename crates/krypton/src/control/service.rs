//! Settling a service: its L3 versions are opened from its system's L2, made when there is none,
//! rotated when it is time; the result is the ring that the data plane reads.

use std::sync::Arc;

use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{KeyDefine, KeySealed, SealedBy};
use openkcm_contracts::{
    Generation, KeyPath, ServiceId, ServicePath, SystemPath, Timestamp, VersionId, VersionState,
};
use openkcm_secrets::SecretKey;
use openkcm_store::{Read, StoreError};

use super::held::{Members, next_counter};
use super::l2::{L2State, System};
use super::make::NO_MEMORY;
use super::reseal::was_exposed;
use super::step::Step;
use super::tenant::Served;
use super::{Core, KEEP_RETRY};
use crate::keyring::{OpenVersion, ServiceRing};
use crate::rules::{
    Candidate, PURGED, Refusal, choose_active, is_purged, is_to_be_replaced, service_standing, state_of,
    system_standing,
};
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

/// What decides over the next version of an L3.
#[derive(Debug, Clone, Copy)]
struct Next {
    /// The version that encrypts.
    active: Option<VersionId>,
    /// Whether that was sealed under an L2 that is compromised.
    exposed: bool,
    /// The counter of the next one.
    counter: u64,
    /// Whether there is an L2 to seal it under.
    can_be_sealed: bool,
}

impl Core {
    /// Settles services, those of one system together. `due`: their time on the agenda has come; then none is
    /// left for later, since it would be put on the agenda once more. Systems that are `covered` are left out.
    pub(super) fn settle_services<'s>(
        &mut self,
        step: &mut Step<'_>,
        services: impl IntoIterator<Item = &'s ServicePath>,
        covered: impl Fn(&SystemPath) -> bool,
        due: bool,
    ) -> Result<(), StoreError> {
        let mut services = services.into_iter().peekable();
        while let Some(first) = services.next() {
            let path = first.system_path();
            let mut together = vec![&first.service];
            while let Some(next) =
                services.next_if(|next| next.system == path.system && next.tenant == path.tenant)
            {
                together.push(&next.service);
            }
            if !covered(&path) {
                self.settle_some_services(step, &path, together, due)?;
            }
        }
        Ok(())
    }

    /// Settles some services of one system: what they have in common is read once.
    pub(super) fn settle_some_services<'s>(
        &mut self,
        step: &mut Step<'_>,
        path: &SystemPath,
        services: impl IntoIterator<Item = &'s ServiceId>,
        due: bool,
    ) -> Result<(), StoreError> {
        let Some(served) = self.open(step, &path.tenant)? else { return Ok(()) };
        let system = store::system(step.view, path)?;
        let mut rings = Vec::new();
        for service in services {
            if step.share() == 0 && !due {
                self.rest.leave_service(path, service);
                continue;
            }
            let path = path.service(service.clone());
            // Sealed versions may arrive before their definition: nothing to serve yet.
            let Some(definition) = store::service(step.view, &path)? else { continue };
            if !step.has_made(&path) {
                let ring = self.ring_of(step, &served, &path, (system.as_ref(), &definition))?;
                rings.push((path.system, path.service, ring));
            }
        }
        self.keyring.tenant_or_new(&path.tenant).put(served.link.epoch, rings);
        Ok(())
    }

    /// The ring of a service, as it stands.
    pub(super) fn ring_of(
        &mut self,
        step: &mut Step<'_>,
        served: &Served,
        path: &ServicePath,
        (system_definition, definition): (Option<&KeyDefine>, &KeyDefine),
    ) -> Result<Arc<ServiceRing>, StoreError> {
        step.looked();
        let now = step.now;
        let tombstone = store::purge::purged(step.view, path)?;
        let standing = refuse_purged(tombstone, definition)
            .and_then(|()| system_standing(&served.tenant, system_definition))
            .and_then(|()| system_definition.ok_or(Refusal::UNKNOWN))
            .and_then(|system| service_standing(system, Some(definition)).map(|()| system));
        let system_definition = match standing {
            Ok(system) => system,
            Err(refusal) => {
                self.patience.end(&definition.tenant, || definition.path());
                return Ok(Arc::new(ServiceRing::refused(refusal)));
            }
        };
        let held = self.l3_held(step.view, served, path, definition)?;
        let Some(system) = self.systems.get(&path.system_path()) else {
            return Ok(Arc::new(ServiceRing::refused(Refusal::HYDRATING)));
        };
        let mut versions = self.open_versions(path, definition, system, &held);
        close_purged(&mut versions, &held, tombstone);
        let refusal = system.refusal();
        let l2 = system.active(self, system_definition, now);
        let candidates = candidates(&versions, |version| version.key.is_ok());
        let (active, look_again) = choose_active(&candidates, &definition.compromised, now);
        if let Some(at) = look_again {
            self.agenda.at_latest(KeyPath::Service(path.clone()), at);
        }
        let is_behind = self.has_fallen_behind(system, (&held, &versions));
        let exposed = |id: VersionId| {
            let mut found = held.iter().filter(|sealed| sealed.version == id);
            found.any(|sealed| was_exposed(system, &system_definition.compromised, path, sealed))
        };
        let exposed = active.is_some_and(exposed);
        if is_behind {
            self.reseal_later(served, &path.system_path(), now);
        }
        let counter = self.next_l3_counter(served, &held, &versions);
        let next = Next { active, exposed, counter, can_be_sealed: l2.is_some() };
        let make = self.l3_is_due(served, definition, (&held, &versions), next, now);
        if make && let Some((l2_id, l2)) = &l2 {
            match self.make_l3(path, definition, (*l2_id, l2), counter, now) {
                Ok(sealed) => {
                    step.made(path);
                    step.effects.keep.push(sealed);
                }
                Err(error) => {
                    tracing::error!(%path, %error, "no L3 was made");
                    self.agenda.at_latest(KeyPath::Service(path.clone()), now.after(KEEP_RETRY));
                }
            }
        }
        if versions.is_empty() && l2.is_none() {
            return Ok(Arc::new(ServiceRing::refused(refusal)));
        }
        let ring = ServiceRing::serving(with_states(versions, &candidates, active, definition));
        let destroyed = match tombstone {
            Some(_) => store::purge::destroyed(step.view, path)?,
            None => Vec::new(),
        };
        Ok(Arc::new(ring.with_destroyed(destroyed)))
    }

    /// The versions of an L3, of every generation.
    pub(super) fn l3_held(
        &self,
        view: &dyn Read,
        served: &Served,
        path: &ServicePath,
        definition: &KeyDefine,
    ) -> Result<Vec<KeySealed>, StoreError> {
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        Ok(members.each_once(store::service_versions(view, path)?, definition.generation))
    }

    /// Whether a version of an L3 is to be made now.
    fn l3_is_due(
        &mut self,
        served: &Served,
        definition: &KeyDefine,
        (held, versions): (&[KeySealed], &[OpenVersion]),
        next: Next,
        now: Timestamp,
    ) -> bool {
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let is_known = |(sealed, version): &(&KeySealed, &OpenVersion)| {
            sealed.generation == definition.generation
                && (is_live(version) || members.include(sealed.teller()))
        };
        let known = held.iter().zip(versions).filter(is_known);
        let known: Vec<_> = known.map(|(sealed, _)| (sealed.counter, sealed.version)).collect();
        // Where a usable version exists, open here or not, none is made in its place.
        let stands = known.iter().any(|(_, id)| !definition.compromised.contains(id));
        let usable =
            |version: &OpenVersion| !definition.compromised.contains(&version.id) && is_live(version);
        let live = candidates(versions, usable);
        let is_ended = is_to_be_replaced(&known, &live, &definition.compromised, next.counter);
        let newest = live.iter().max_by_key(|candidate| (candidate.counter, candidate.id));
        let is_exposed = next.exposed && newest.is_some_and(|newest| Some(newest.id) == next.active);
        let replace = next.can_be_sealed && (is_ended || is_exposed);
        if (next.active.is_some() || stands) && !replace {
            self.patience.end(&definition.tenant, || definition.path());
        }
        match next.active {
            _ if replace => self.first_is_due(served, definition, now),
            Some(id) => self.rotation_is_due(served, definition, &live, id, now),
            None => !stands && next.can_be_sealed && self.first_is_due(served, definition, now),
        }
    }

    pub(super) fn next_l3_counter(
        &self,
        served: &Served,
        held: &[KeySealed],
        versions: &[OpenVersion],
    ) -> u64 {
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let known = held.iter().zip(versions);
        let known = known.filter(|(sealed, version)| is_live(version) || members.include(sealed.teller()));
        next_counter(known.map(|(sealed, version)| (sealed.counter, version.key.is_ok())))
    }

    /// The versions that are held, opened where their L2 is. What the present ring has open stays so.
    pub(super) fn open_versions(
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

fn refuse_purged(tombstone: Option<Generation>, definition: &KeyDefine) -> Result<(), Refusal> {
    if is_purged(tombstone, definition.generation) { Err(PURGED) } else { Ok(()) }
}

fn close_purged(versions: &mut [OpenVersion], held: &[KeySealed], tombstone: Option<Generation>) {
    for (version, sealed) in versions.iter_mut().zip(held) {
        if is_purged(tombstone, sealed.generation) {
            version.key = Err(PURGED);
        }
    }
}

fn open(path: &ServicePath, system: &System, sealed: &KeySealed) -> Result<Arc<SecretKey>, Refusal> {
    let mut refusal = L2_NOT_HERE;
    for seal in &sealed.seals {
        let SealedBy::L2(l2_id) = &seal.by else { continue };
        let Some(l2) = system.versions.get(l2_id) else { continue };
        refusal = match &l2.state {
            L2State::Open(l2) => {
                let name = (path, sealed.generation, sealed.version);
                match unwrap_l3((l2, *l2_id), &seal.ciphertext, name) {
                    Ok(key) => return Ok(Arc::new(key)),
                    Err(WrapError::Memory(_)) => NO_MEMORY,
                    Err(WrapError::Damaged | WrapError::Unopenable) => DAMAGED,
                }
            }
            closed => closed.refusal().unwrap_or(refusal),
        };
    }
    Err(refusal)
}

/// Whether a version is open, or its L2 is with the provider.
fn is_live(version: &OpenVersion) -> bool {
    version.key.as_ref().err().is_none_or(|refusal| refusal.code == Code::Hydrating)
}

fn candidates(versions: &[OpenVersion], include: impl Fn(&OpenVersion) -> bool) -> Vec<Candidate> {
    let included = versions.iter().filter(|version| include(version));
    included
        .map(|version| Candidate {
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
    active: Option<VersionId>,
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
