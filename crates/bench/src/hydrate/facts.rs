//! What the Registry and the CMK Server say in these measurements, signed as their couriers sign it.

use std::sync::Arc;

use anyhow::Context as _;
use openkcm_contracts::v1::{KeyDefine, L1Reference, LinkState, TenantDefine};
use openkcm_contracts::{
    Algorithm, Audience, DefinitionState, Event, Generation, Lane, Layer, LinkEpoch, RegionId, Revision,
    Role, ServiceId, ServicePath, SystemId, TenantId, TenantState, Timestamp,
};
use openkcm_host::{Clock as _, Entropy, OsEntropy, SeededEntropy, SystemClock, random_array};
use openkcm_orbital::{Letter, Message, Signer, Stream, TrustBundle, TrustedKey};

use crate::landscape::local_root;

/// Letters that are signed together, as the courier does.
const SIGNED_TOGETHER: usize = 1_000;

/// Services of each tenant, all in one system.
pub(super) const SERVICES: usize = 1_000;

/// Services of the served tenant that were defined before the backlog.
const DEFINED_BEFORE: usize = 10;

/// In which order definitions come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Order {
    /// That of their names
    Names,
    /// None
    Random,
}

/// All that is on the mesh, in the order of its stream.
pub(super) struct Facts {
    pub(super) order: Order,
    pub(super) messages: Arc<[Message]>,
    /// How many of the messages are there from the beginning: they make one tenant of the region served.
    pub(super) before: usize,
    /// How many services are defined.
    pub(super) services: usize,
    trusted: Vec<TrustedKey>,
    cmk: Arc<Signer>,
}

impl Facts {
    /// Tenants and systems first, the first tenant's link with them; then as many services.
    pub(super) fn sign(order: Order, services: usize) -> anyhow::Result<Self> {
        let signer = |role| {
            let seed = Signer::new_seed(&OsEntropy::new());
            Signer::from_seed(&seed, role, None).context("a new seed is a seed")
        };
        let (registry, cmk) = (signer(Role::Registry)?, signer(Role::Cmk)?);
        let (first, others) = (0..DEFINED_BEFORE.min(services), DEFINED_BEFORE.min(services)..services);
        let mut numbers: Vec<usize> = others.collect();
        if order == Order::Random {
            shuffle(&mut numbers);
        }
        let mut messages = vec![cmk.sign(&letter(&link()?, 3)?)];
        let tenants = services.div_ceil(SERVICES);
        let parents = (0..tenants).flat_map(|number| [tenant(number), system(number)]);
        let before = [tenant(0), system(0)].into_iter().chain(first.map(service));
        let mut sign = |events: &mut dyn Iterator<Item = anyhow::Result<Event>>| -> anyhow::Result<()> {
            loop {
                let letters: Vec<Letter> = events
                    .take(SIGNED_TOGETHER)
                    .map(|event| event.and_then(|event| letter(&event, 4)))
                    .collect::<anyhow::Result<_>>()?;
                if letters.is_empty() {
                    return Ok(());
                }
                messages.extend(registry.sign_all(&letters));
            }
        };
        sign(&mut before.into_iter())?;
        sign(&mut parents.skip(2).chain(numbers.into_iter().map(service)))?;
        let trusted = vec![registry.trusted_key(), cmk.trusted_key()];
        let before = 3 + DEFINED_BEFORE.min(services);
        Ok(Self { order, messages: messages.into(), before, services, trusted, cmk: Arc::new(cmk) })
    }

    /// What a Core believes, that has this key of its own.
    pub(super) fn bundle(&self, own: Option<TrustedKey>) -> TrustBundle {
        TrustBundle { keys: self.trusted.iter().cloned().chain(own).collect() }
    }

    /// Who gives leases.
    pub(super) fn lessor(&self) -> Arc<Signer> {
        self.cmk.clone()
    }

    /// How many messages are the backlog.
    pub(super) fn backlog(&self) -> usize {
        self.messages.len() - self.before
    }
}

/// The region of the Core that is measured.
pub(super) fn region() -> anyhow::Result<RegionId> {
    Ok(RegionId::new("a")?)
}

/// The stream that all of it is on.
pub(super) fn stream() -> anyhow::Result<Stream> {
    Ok(Stream { lane: Lane::Facts, audience: Audience::Region(region()?) })
}

/// A service that is usable before the backlog comes.
pub(super) fn served() -> anyhow::Result<ServicePath> {
    Ok(ServicePath { tenant: tenant_id(0)?, system: system_id()?, service: service_id(0)? })
}

/// The last service of the served tenant that comes with the backlog, in the order of names.
pub(super) fn served_last() -> anyhow::Result<ServicePath> {
    Ok(ServicePath { service: service_id(SERVICES - 1)?, ..served()? })
}

fn tenant_id(number: usize) -> anyhow::Result<TenantId> {
    Ok(TenantId::new(&format!("tenant-{number:05}"))?)
}

fn system_id() -> anyhow::Result<SystemId> {
    Ok(SystemId::new("app")?)
}

fn service_id(number: usize) -> anyhow::Result<ServiceId> {
    Ok(ServiceId::new(&format!("service-{number:05}"))?)
}

fn generation(counter: usize) -> Generation {
    Generation(Revision::new(1, counter as u64))
}

fn tenant(number: usize) -> anyhow::Result<Event> {
    Ok(Event::TenantDefine(TenantDefine {
        tenant: tenant_id(number)?,
        generation: generation(1),
        state: TenantState::Active,
        regions: vec![region()?],
        labels: Default::default(),
    }))
}

fn system(number: usize) -> anyhow::Result<Event> {
    key(number, None, generation(2), generation(1))
}

/// One of the services, counted through all tenants.
fn service(number: usize) -> anyhow::Result<Event> {
    let service = service_id(number % SERVICES)?;
    key(number / SERVICES, Some(service), generation(1_000_000 + number), generation(2))
}

fn key(
    tenant: usize,
    service: Option<ServiceId>,
    generation: Generation,
    parent: Generation,
) -> anyhow::Result<Event> {
    Ok(Event::KeyDefine(KeyDefine {
        tenant: tenant_id(tenant)?,
        system: system_id()?,
        layer: if service.is_some() { Layer::L3 } else { Layer::L2 },
        service,
        generation,
        parent,
        algorithm: Algorithm::AES256,
        rotate_every: Some("90d".parse()?),
        state: DefinitionState::Defined,
        compromised: Default::default(),
    }))
}

fn link() -> anyhow::Result<Event> {
    Ok(Event::L1Reference(L1Reference {
        tenant: tenant_id(0)?,
        generation: generation(1),
        epoch: LinkEpoch(Revision::new(1, 3)),
        state: LinkState::Linked,
        roots: vec![local_root("bench")],
        owner_key: None,
        ttl: None,
        owner_word: None,
    }))
}

fn letter(event: &Event, revision: u64) -> anyhow::Result<Letter> {
    let revision = match event {
        Event::KeyDefine(fact) => fact.generation.0,
        _ => Revision::new(1, revision),
    };
    Ok(Letter::new(event, Audience::Region(region()?), revision, now()))
}

pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// The same order in every run (Fisher and Yates).
fn shuffle(numbers: &mut [usize]) {
    let entropy: &dyn Entropy = &SeededEntropy::new(3);
    for last in (1..numbers.len()).rev() {
        let drawn = u64::from_le_bytes(random_array(entropy));
        // Below 2^64 / a million the bias is of no matter here.
        numbers.swap(last, (drawn % (last as u64 + 1)) as usize);
    }
}
