//! A fixed example of each event, and of each form that its body can take. What the golden files hold.

use openkcm_contracts::v1::{
    Contents, Dispute, Kept, KeyDefine, KeyPurge, KeySealed, L1Reference, L1Revoke, LeaseReport, LinkState,
    Listed, ListedThing, ManifestBody, ManifestQuery, Node, NodeDigest, OwnerWord, PurgeReport, Seal,
    SealedBy, SovereignLease, StateManifest, TenantDefine, Unsettled,
};
use openkcm_contracts::{
    Algorithm, DefinitionState, Event, Generation, Layer, LinkEpoch, Period, RegionId, Revision, RootRef,
    ServiceId, SystemId, TenantId, TenantState, Timestamp, VersionId,
};

/// An event, and the golden file that holds its body.
pub(crate) struct Example {
    /// The file's name, without its extension.
    pub(crate) name: &'static str,
    /// The event.
    pub(crate) event: Event,
}

/// All of them.
pub(crate) fn examples() -> Vec<Example> {
    [registrys(), cmk_servers(), cores()]
        .concat()
        .into_iter()
        .map(|(name, event)| Example { name, event })
        .collect()
}

type Named = (&'static str, Event);

fn acme() -> TenantId {
    TenantId::new("acme").expect("a label")
}

fn hr() -> SystemId {
    SystemId::new("hr").expect("a label")
}

fn payroll() -> Option<ServiceId> {
    Some(ServiceId::new("payroll").expect("a label"))
}

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a label")
}

fn period(text: &str) -> Period {
    text.parse().expect("a period")
}

fn version(first: u8) -> VersionId {
    VersionId::from_random([first; 16])
}

/// 2026-02-02T08:00:00.123Z
const MOMENT: Timestamp = Timestamp::from_millis(1_770_019_200_123);

fn registrys() -> Vec<Named> {
    let tenant = TenantDefine {
        tenant: acme(),
        generation: Generation(Revision::new(1, 7)),
        state: TenantState::Active,
        regions: vec![region("eu-1"), region("us-2")],
        labels: [("owner", "Zoë"), ("cost-center", "4711")].map(|(k, v)| (k.into(), v.into())).into(),
    };
    let withdrawn = TenantDefine { state: TenantState::Withdrawn, ..tenant.clone() };
    let service = KeyDefine {
        tenant: acme(),
        system: hr(),
        service: payroll(),
        generation: Generation(Revision::new(1, 9)),
        parent: Generation(Revision::new(1, 8)),
        layer: Layer::L3,
        algorithm: Algorithm::AES256,
        rotate_every: Some(period("90d")),
        state: DefinitionState::Defined,
        compromised: [version(2), version(1)].into(),
    };
    let deleted_system = KeyDefine {
        service: None,
        generation: Generation(Revision::new(1, 8)),
        parent: Generation(Revision::new(1, 7)),
        layer: Layer::L2,
        rotate_every: None,
        state: DefinitionState::Deleted { purge_at: MOMENT },
        compromised: [].into(),
        ..service.clone()
    };
    let purge = KeyPurge {
        tenant: acme(),
        system: hr(),
        service: payroll(),
        generation: Generation(Revision::new(1, 9)),
    };
    vec![
        ("Tenant.Define", Event::TenantDefine(tenant)),
        ("Tenant.Define.withdrawn", Event::TenantDefine(withdrawn)),
        ("Key.Define", Event::KeyDefine(service)),
        ("Key.Define.deleted", Event::KeyDefine(deleted_system)),
        ("Key.Purge", Event::KeyPurge(purge)),
    ]
}

fn root() -> RootRef {
    RootRef {
        provider: "aws-kms".into(),
        key: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".into(),
        options: [("region".into(), "eu-central-1".into())].into(),
    }
}

fn cmk_servers() -> Vec<Named> {
    let linked = L1Reference {
        tenant: acme(),
        generation: Generation(Revision::new(1, 40)),
        epoch: LinkEpoch(Revision::new(2, 5)),
        state: LinkState::Linked,
        roots: vec![
            root(),
            RootRef { provider: "openbao".into(), key: "transit/acme".into(), options: [].into() },
        ],
        owner_key: Some("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".into()),
        ttl: Some(period("1h")),
        owner_word: None,
    };
    let word = OwnerWord { number: 7, signature: "c2lnbmF0dXJl".into() };
    let signed = L1Reference { owner_word: Some(word), ..linked.clone() };
    let unlinked = L1Reference {
        state: LinkState::Unlinked,
        roots: Vec::new(),
        owner_key: None,
        ttl: None,
        ..linked.clone()
    };
    let revoke = L1Revoke {
        tenant: acme(),
        epoch: LinkEpoch(Revision::new(2, 5)),
        reason: "unlinked by \"alice\"".into(),
    };
    let lease = SovereignLease {
        region: region("eu-1"),
        incarnation: 3,
        nonce: "b2Zmc2V0".into(),
        ttl: period("24h"),
        disputes: vec![Dispute {
            tenant: acme(),
            epoch: LinkEpoch(Revision::new(2, 6)),
            state: LinkState::Unlinked,
        }],
        unsettled: vec![Unsettled {
            bucket: 7,
            without: vec![acme()],
            others: "00112233445566778899aabbccddeeff".into(),
        }],
    };
    vec![
        ("L1.Reference", Event::L1Reference(linked)),
        ("L1.Reference.signed", Event::L1Reference(signed)),
        ("L1.Reference.unlinked", Event::L1Reference(unlinked)),
        ("L1.Revoke", Event::L1Revoke(revoke)),
        ("Sovereign.Lease", Event::SovereignLease(lease)),
    ]
}

fn cores() -> Vec<Named> {
    let digests = StateManifest {
        region: region("eu-1"),
        incarnation: 3,
        sequence: 18_446_744_073_709_551_615,
        nonce: "b2Zmc2V0".into(),
        lease: Some(LeaseReport { until: MOMENT }),
        body: ManifestBody::Digests {
            definitions: "AP8".into(),
            links: "q80".into(),
            registry: Some(Revision::new(1, 9)),
            cmk: None,
            purges: PurgeReport {
                digest: "00ff".into(),
                waiting: 2,
                held: 1,
                first_open: Some(Revision::new(1, 7)),
            },
        },
    };
    let part = Node::Part { unit: "acme/hr".into(), part: 7 };
    let nodes = Listed {
        node: Node::Unit("acme/hr".into()),
        contents: Contents::Nodes(vec![NodeDigest { node: part.clone(), digest: "00ff".into() }]),
    };
    let thing = ListedThing {
        subject: "key.acme.hr.payroll".into(),
        revision: Revision::new(1, 9),
        digest: "00ff".into(),
    };
    let things = Listed { node: part, contents: Contents::Things(vec![thing]) };
    let listing = StateManifest {
        sequence: 42,
        lease: None,
        body: ManifestBody::Listing {
            query: "cXVlcnk".into(),
            of: Kept::Definitions,
            listed: vec![nodes, things],
        },
        ..digests.clone()
    };
    let query = ManifestQuery {
        region: region("eu-1"),
        nonce: "cXVlcnk".into(),
        of: Kept::Links,
        nodes: vec![Node::Bucket(0), Node::Place(u16::MAX), Node::Unit("acme".into())],
    };
    let seal = |by, ciphertext: &str| Seal { by, ciphertext: ciphertext.into() };
    let l3 = KeySealed {
        tenant: acme(),
        system: hr(),
        service: payroll(),
        generation: Generation(Revision::new(1, 9)),
        version: version(0xA5),
        counter: 4,
        made_at: MOMENT,
        maker: region("eu-1"),
        seals: vec![seal(SealedBy::L2(version(0x5A)), "c2VhbGVk")],
        resealed_by: None,
    };
    let l2 = KeySealed {
        service: None,
        version: version(0x5A),
        seals: vec![seal(SealedBy::Root(root()), "c2VhbGVk"), seal(SealedBy::Root(root()), "YWdhaW4=")],
        ..l3.clone()
    };
    let destroyed = KeySealed { seals: Vec::new(), ..l3.clone() };
    let resealed = KeySealed { resealed_by: Some(region("us-1")), ..l3.clone() };
    vec![
        ("State.Manifest", Event::StateManifest(digests)),
        ("State.Manifest.listing", Event::StateManifest(listing)),
        ("Manifest.Query", Event::ManifestQuery(query)),
        ("Key.Sealed", Event::KeySealed(l3)),
        ("Key.Sealed.l2", Event::KeySealed(l2)),
        ("Key.Sealed.destroyed", Event::KeySealed(destroyed)),
        ("Key.Sealed.resealed", Event::KeySealed(resealed)),
    ]
}
