//! What the two authorities say in these tests. Tenant `acme` of generation 1.1 in the regions `a` and
//! `b`, its system `hr` of generation 1.2, that one's services of generation 1.3, its L1 the key `acme`.

use std::collections::BTreeSet;

use openkcm_contracts::v1::{KeyDefine, KeyPurge, L1Reference, L1Revoke, LinkState, TenantDefine};
use openkcm_contracts::{
    Algorithm, DefinitionState, Event, Generation, KeyPath, Layer, LinkEpoch, RegionId, Revision, RootRef,
    TenantId, TenantState, Timestamp,
};

pub(crate) const SYSTEM: &str = "acme/hr";
pub(crate) const SERVICE: &str = "acme/hr/payroll";

/// The four facts that make [`SERVICE`] usable, as they are said first.
pub(crate) fn all() -> [(u64, Event); 4] {
    [(1, tenant("acme", |_| ())), (2, key(SYSTEM, |_| ())), (3, key(SERVICE, |_| ())), (4, link("acme", 4))]
}

pub(crate) fn tenant(name: &str, change: impl FnOnce(&mut TenantDefine)) -> Event {
    let mut fact = TenantDefine {
        tenant: TenantId::new(name).expect("a label"),
        generation: generation(1),
        state: TenantState::Active,
        regions: ["a", "b"].map(region).into(),
        labels: [].into(),
    };
    change(&mut fact);
    Event::TenantDefine(fact)
}

/// The definition of a system or a service.
pub(crate) fn key(path: &str, change: impl FnOnce(&mut KeyDefine)) -> Event {
    let path: KeyPath = path.parse().expect("a key's name");
    let is_l3 = path.service().is_some();
    let mut fact = KeyDefine {
        tenant: path.tenant().clone(),
        system: path.system().clone(),
        service: path.service().cloned(),
        generation: generation(if is_l3 { 3 } else { 2 }),
        parent: generation(if is_l3 { 2 } else { 1 }),
        layer: if is_l3 { Layer::L3 } else { Layer::L2 },
        algorithm: Algorithm::AES256,
        rotate_every: None,
        state: DefinitionState::Defined,
        compromised: BTreeSet::new(),
    };
    change(&mut fact);
    Event::KeyDefine(fact)
}

pub(crate) fn disabled(fact: &mut KeyDefine) {
    fact.state = DefinitionState::Disabled;
}

pub(crate) fn deleted(fact: &mut KeyDefine) {
    fact.state = DefinitionState::Deleted { purge_at: Timestamp::from_millis(u64::MAX) };
}

/// The tombstone of a key, up to the generation 1.`up_to`.
pub(crate) fn purge(path: &str, up_to: u64) -> Event {
    let path: KeyPath = path.parse().expect("a key's name");
    Event::KeyPurge(KeyPurge {
        tenant: path.tenant().clone(),
        system: path.system().clone(),
        service: path.service().cloned(),
        generation: generation(up_to),
    })
}

pub(crate) fn link(tenant: &str, epoch: u64) -> Event {
    linked_to(tenant, epoch, &[local(tenant)])
}

pub(crate) fn linked_to(tenant: &str, epoch: u64, roots: &[RootRef]) -> Event {
    reference(tenant, epoch, LinkState::Linked, roots)
}

pub(crate) fn unlink(tenant: &str, epoch: u64) -> Event {
    reference(tenant, epoch, LinkState::Unlinked, &[])
}

pub(crate) fn revoke(tenant: &str, epoch: u64) -> Event {
    Event::L1Revoke(L1Revoke {
        tenant: TenantId::new(tenant).expect("a label"),
        epoch: LinkEpoch(Revision::new(1, epoch)),
        reason: "unlinked".into(),
    })
}

pub(crate) fn local(key: &str) -> RootRef {
    root("local", key)
}

pub(crate) fn root(provider: &str, key: &str) -> RootRef {
    RootRef { provider: provider.into(), key: key.into(), options: [].into() }
}

pub(crate) fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a label")
}

pub(crate) fn generation(counter: u64) -> Generation {
    Generation(Revision::new(1, counter))
}

fn reference(tenant: &str, epoch: u64, state: LinkState, roots: &[RootRef]) -> Event {
    Event::L1Reference(L1Reference {
        tenant: TenantId::new(tenant).expect("a label"),
        generation: generation(1),
        epoch: LinkEpoch(Revision::new(1, epoch)),
        state,
        roots: roots.to_vec(),
        owner_key: None,
        ttl: None,
        owner_word: None,
    })
}
