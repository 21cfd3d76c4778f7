//! A landscape's keys, one of each event, and the time at which all of it happens.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::v1::{
    Kept, KeyDefine, KeyPurge, KeySealed, L1Reference, L1Revoke, LinkState, ManifestBody, ManifestQuery,
    Node, PurgeReport, SovereignLease, StateManifest, TenantDefine,
};
use openkcm_contracts::{
    Algorithm, Audience, DefinitionState, Event, EventType, Generation, Layer, LinkEpoch, Period, RegionId,
    Revision, Role, ServiceId, SystemId, TenantId, TenantState, Timestamp, VersionId,
};
use openkcm_host::SeededEntropy;
use openkcm_orbital::{Letter, Message, Signer, Stream, TrustBundle, Verifier};

/// When everything happens: 2026-02-02T08:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_770_019_200_000);

pub(crate) const R1: Revision = Revision::new(1, 1);

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a label")
}

pub(crate) fn region_id(name: &str) -> RegionId {
    RegionId::new(name).expect("a label")
}

pub(crate) fn region(name: &str) -> Audience {
    Audience::Region(region_id(name))
}

/// Signers of a landscape with regions `a` and `b`, and one that nobody trusts.
pub(crate) struct Landscape {
    pub(crate) registry: Signer,
    pub(crate) cmk: Signer,
    pub(crate) core_a: Signer,
    pub(crate) core_b: Signer,
    pub(crate) stranger: Signer,
}

impl Landscape {
    pub(crate) fn new() -> Self {
        let signer = |seed, role, region: Option<&str>| {
            let seed = Signer::new_seed(&SeededEntropy::new(seed));
            Signer::from_seed(&seed, role, region.map(region_id)).expect("a seed")
        };
        Self {
            registry: signer(1, Role::Registry, None),
            cmk: signer(2, Role::Cmk, None),
            core_a: signer(3, Role::Krypton, Some("a")),
            core_b: signer(4, Role::Krypton, Some("b")),
            stranger: signer(5, Role::Cmk, None),
        }
    }

    pub(crate) fn trusted(&self) -> [&Signer; 4] {
        [&self.registry, &self.cmk, &self.core_a, &self.core_b]
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        TrustBundle { keys: self.trusted().map(Signer::trusted_key).into() }
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new(&self.bundle()).expect("a valid bundle")
    }

    /// Who says events of this type; of a Core, that of region `a`.
    pub(crate) fn author(&self, kind: EventType) -> &Signer {
        let role =
            [Role::Registry, Role::Cmk, Role::Krypton].into_iter().find(|role| kind.may_be_said_by(*role));
        match role.expect("every type has an author") {
            Role::Registry => &self.registry,
            Role::Cmk => &self.cmk,
            Role::Krypton => &self.core_a,
        }
    }

    /// A message of this type, as its author sends it to its audience.
    pub(crate) fn message(&self, kind: EventType) -> Message {
        self.author(kind).sign(&letter(kind))
    }
}

pub(crate) fn letter(kind: EventType) -> Letter {
    Letter::new(&event(kind), audience(kind), Revision::new(3, 14), NOW)
}

/// Who hears events of this type.
pub(crate) fn audience(kind: EventType) -> Audience {
    match kind {
        EventType::StateManifest => Audience::Authorities,
        EventType::KeySealed => Audience::Cores,
        _ => region("a"),
    }
}

pub(crate) fn stream(kind: EventType) -> Stream {
    Stream { lane: kind.lane(), audience: audience(kind) }
}

/// An event of each type, about tenant `acme` and region `a`.
pub(crate) fn event(kind: EventType) -> Event {
    let (acme, hr, payroll) = (tenant("acme"), SystemId::new("hr"), ServiceId::new("payroll"));
    let (system, service) = (hr.expect("a label"), payroll.ok());
    let (generation, epoch) = (Generation(R1), LinkEpoch(R1));
    let ttl = Period::from_secs(3_600).expect("an hour");
    match kind {
        EventType::TenantDefine => tenant_defined("acme"),
        EventType::KeyDefine => Event::KeyDefine(KeyDefine {
            tenant: acme,
            system,
            service,
            generation,
            parent: generation,
            layer: Layer::L3,
            algorithm: Algorithm::AES256,
            rotate_every: None,
            state: DefinitionState::Defined,
            compromised: BTreeSet::new(),
        }),
        EventType::KeyPurge => Event::KeyPurge(KeyPurge { tenant: acme, system, service, generation }),
        EventType::L1Reference => Event::L1Reference(L1Reference {
            tenant: acme,
            generation,
            epoch,
            state: LinkState::Linked,
            roots: Vec::new(),
            owner_key: None,
            ttl: None,
            owner_word: None,
        }),
        EventType::L1Revoke => {
            Event::L1Revoke(L1Revoke { tenant: acme, epoch, reason: "unlinked by its owner".into() })
        }
        EventType::SovereignLease => Event::SovereignLease(SovereignLease {
            region: region_id("a"),
            incarnation: 1,
            nonce: "n-1".into(),
            ttl,
            disputes: Vec::new(),
            unsettled: Vec::new(),
        }),
        EventType::StateManifest => Event::StateManifest(StateManifest {
            region: region_id("a"),
            incarnation: 1,
            sequence: 1,
            nonce: "n-1".into(),
            lease: None,
            body: ManifestBody::Digests {
                definitions: String::new(),
                links: String::new(),
                registry: None,
                cmk: None,
                purges: PurgeReport::default(),
            },
        }),
        EventType::ManifestQuery => Event::ManifestQuery(ManifestQuery {
            region: region_id("a"),
            nonce: "n-2".into(),
            of: Kept::Definitions,
            nodes: vec![Node::Bucket(7)],
        }),
        EventType::KeySealed => Event::KeySealed(KeySealed {
            tenant: acme,
            system,
            service,
            generation,
            version: VersionId::from_bytes([7; 16]),
            counter: 1,
            made_at: NOW,
            maker: region_id("a"),
            seals: Vec::new(),
            resealed_by: None,
        }),
    }
}

pub(crate) fn tenant_defined(name: &str) -> Event {
    Event::TenantDefine(TenantDefine {
        tenant: tenant(name),
        generation: Generation(R1),
        state: TenantState::Active,
        regions: vec![region_id("a"), region_id("b")],
        labels: BTreeMap::new(),
    })
}

/// What the Registry tells region `a` of this tenant.
pub(crate) fn tenant_letter(name: &str, counter: u64) -> Letter {
    Letter::new(&tenant_defined(name), region("a"), Revision::new(1, counter), NOW)
}

/// What the CMK Server tells region `a` when this tenant's owner pulled the plug.
pub(crate) fn revoke_letter(name: &str, counter: u64) -> Letter {
    let epoch = LinkEpoch(Revision::new(1, counter));
    let event = Event::L1Revoke(L1Revoke { tenant: tenant(name), epoch, reason: "unlinked".into() });
    Letter::new(&event, region("a"), Revision::new(1, counter), NOW)
}

/// What the Registry tells region `a` on the urgent lane: a tombstone of this tenant's L2.
pub(crate) fn purge_letter(name: &str, counter: u64) -> Letter {
    let generation = Generation(Revision::new(1, counter));
    let system = SystemId::new("hr").expect("a label");
    let event = Event::KeyPurge(KeyPurge { tenant: tenant(name), system, service: None, generation });
    Letter::new(&event, region("a"), Revision::new(1, counter), NOW)
}
