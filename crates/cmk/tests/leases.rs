//! What the CMK Server answers to manifests: which links it renews, what it asks, what it tells again, and when it
//! leases nobody.

mod world;

use openkcm_cmk::commands::Failure;
use openkcm_cmk::cores;
use openkcm_cmk::rules::{Precondition, Refusal};
use openkcm_cmk::store;
use openkcm_contracts::v1::{
    Contents, Kept, L1Reference, LinkState, Listed, ManifestBody, ManifestQuery, Node, NodeDigest,
    PurgeReport, SovereignLease, StateManifest,
};
use openkcm_contracts::{Event, EventType, Lane, LinkEpoch, Revision};
use openkcm_digests::{Buckets, Sum, bucket_of};
use openkcm_orbital::outbox;

use world::{World, id, region, request};

const NONE: Precondition = Precondition::None;

fn r(counter: u64) -> Revision {
    Revision::new(1, counter)
}

/// A Core of region `a`, as far as it speaks.
struct Speaker {
    incarnation: u64,
    sequence: u64,
    applied: Option<Revision>,
    /// The links that it holds: tenant, and the digest of what it holds.
    held: Vec<(&'static str, String)>,
}

impl Speaker {
    fn new(incarnation: u64) -> Self {
        Self { incarnation, sequence: 0, applied: None, held: Vec::new() }
    }

    /// It holds what the CMK Server says of these tenants.
    fn holding(mut self, world: &World, tenants: &[&'static str]) -> Self {
        let digest = |name: &str| store::digest(&world.pointer(name).expect("it has a pointer"));
        self.held = tenants.iter().map(|name| (*name, digest(name))).collect();
        self.applied = store::revision(&world.store).expect("memory does not fail");
        self
    }

    fn manifest(&mut self, body: ManifestBody) -> StateManifest {
        self.sequence += 1;
        StateManifest {
            region: region("a"),
            incarnation: self.incarnation,
            sequence: self.sequence,
            nonce: format!("{}-{}", self.incarnation, self.sequence),
            lease: None,
            body,
        }
    }

    fn digests(&mut self) -> StateManifest {
        let mut links = Buckets::of_nothing();
        self.held.iter().for_each(|(name, digest)| links.replace(name, None, Some(digest)));
        let (links, cmk) = (links.to_text(), self.applied);
        let (definitions, registry, purges) = (String::new(), None, PurgeReport::default());
        self.manifest(ManifestBody::Digests { definitions, links, registry, cmk, purges })
    }

    /// It answers a question of whole buckets.
    fn listing(&mut self, query: &ManifestQuery) -> StateManifest {
        let looked = |node: &Node| {
            let Node::Bucket(bucket) = node else { panic!("{node:?} was asked for") };
            let lies_here = |(name, _): &&(&str, String)| bucket_of(name) == *bucket;
            let nodes = self.held.iter().filter(lies_here).map(|(name, digest)| NodeDigest {
                node: Node::Unit((*name).to_owned()),
                digest: digest.clone(),
            });
            Listed { node: node.clone(), contents: Contents::Nodes(nodes.collect()) }
        };
        let listed = query.nodes.iter().map(looked).collect();
        self.manifest(ManifestBody::Listing { query: query.nonce.clone(), of: Kept::Links, listed })
    }
}

impl World {
    fn hears(&mut self, manifest: &StateManifest) {
        let (now, nonce) = (self.now(), format!("asked-{}", manifest.nonce));
        let Self { store, landscape, .. } = self;
        store.write(|tx| cores::hear(tx, landscape, manifest, &nonce, now)).expect("memory does not fail");
    }

    /// What waits on a lane, and is told now.
    fn said(&mut self, lane: Lane) -> Vec<Event> {
        let waiting = outbox::waiting(&self.store, lane, usize::MAX).expect("memory does not fail");
        let forgotten: Result<(), openkcm_store::StoreError> =
            self.store.write(|tx| outbox::forget(tx, lane, &waiting));
        forgotten.expect("memory does not fail");
        let read = |letter: &openkcm_orbital::Letter| {
            let kind = EventType::from_wire_name(&letter.kind).expect("a known type");
            Event::from_body(kind, letter.body.as_bytes()).expect("a readable body")
        };
        waiting.iter().map(|waiting| read(&waiting.letter)).collect()
    }

    fn lease(&mut self) -> Option<SovereignLease> {
        self.said(Lane::Urgent).into_iter().find_map(|event| match event {
            Event::SovereignLease(lease) => Some(lease),
            _ => None,
        })
    }

    fn question(&mut self) -> Option<ManifestQuery> {
        self.said(Lane::Manifests).into_iter().find_map(|event| match event {
            Event::ManifestQuery(query) => Some(query),
            _ => None,
        })
    }
}

/// acme and beta, in region a, linked and told of.
fn linked() -> World {
    let mut world = World::default();
    for (name, counter) in [("acme", 1), ("beta", 2)] {
        world.define(name, counter, &["a"]);
        world.link(name, &request(&["k"]), &NONE).expect("nothing is against it");
    }
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    world
}

#[test]
fn a_core_that_holds_the_same_is_leased_with_its_own_nonce_and_asked_nothing() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    assert_eq!((lease.nonce.as_str(), lease.incarnation, lease.ttl.to_string().as_str()), ("7-1", 7, "1d"));
    assert_eq!((lease.disputes, lease.unsettled), (vec![], vec![]));
    assert_eq!(world.question(), None);
}

#[test]
fn an_unlink_that_a_core_has_not_applied_keeps_its_tenant_from_being_renewed_and_is_found() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    world.unlink("acme", &NONE).expect("it is linked");
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    assert_eq!(
        (lease.disputes.len(), lease.unsettled),
        (0, vec![bucket_of("acme")]),
        "not known yet what differs"
    );
    assert_eq!(world.question(), None, "the unlink is on its way");
    world.pass_a_minute();
    world.hears(&core.digests());
    world.lease().expect("it is leased");
    let query = world.question().expect("what differs stays");
    world.hears(&core.listing(&query));
    // Told again: that the link is dead, and the fact.
    let revoke = world.said(Lane::Urgent);
    assert!(matches!(&revoke[..], [Event::L1Revoke(fact)] if fact.tenant == id("acme")), "{revoke:?}");
    let fact = world.said(Lane::Facts);
    assert!(
        matches!(&fact[..], [Event::L1Reference(L1Reference { state: LinkState::Unlinked, .. })]),
        "{fact:?}"
    );
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    let dispute = &lease.disputes[..];
    assert!(lease.unsettled.is_empty(), "the others of the bucket are renewed");
    let revision = world.pointer("acme").expect("it has one").revision;
    assert!(
        matches!(dispute, [one] if one.tenant == id("acme") && one.state == LinkState::Unlinked
            && one.epoch == LinkEpoch(revision)),
        "{dispute:?}"
    );
    let mut core = Speaker { sequence: core.sequence, ..Speaker::new(7).holding(&world, &["acme", "beta"]) };
    world.hears(&core.digests());
    assert_eq!(world.lease().expect("it is leased").disputes, vec![]);
}

#[test]
fn a_link_that_nobody_made_is_dead_and_one_that_is_missing_is_told_again() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme"]);
    core.held.push(("zeta", Sum::of("l1.zeta", r(1), b"made up").digest()));
    world.hears(&core.digests());
    world.lease().expect("it is leased");
    let query = world.question().expect("it has read all that was told, and differs");
    world.hears(&core.listing(&query));
    assert_eq!(world.said(Lane::Urgent), [], "no word is made for a name that a Core makes up");
    let facts = world.said(Lane::Facts);
    assert!(
        matches!(&facts[..], [Event::L1Reference(fact)] if fact.tenant == id("beta") && fact.state == LinkState::Linked),
        "{facts:?}"
    );
    // The lease itself says that it is dead.
    world.hears(&core.digests());
    let lease = world.lease().expect("it is leased");
    let dispute = lease.disputes.iter().find(|dispute| dispute.tenant == id("zeta")).expect("it is named");
    assert_eq!((dispute.epoch, dispute.state), (LinkEpoch(r(2)), LinkState::Unlinked));
}

#[test]
fn a_cmk_server_that_may_be_behind_leases_nobody() {
    let mut world = linked();
    let mut core = Speaker::new(7).holding(&world, &["acme", "beta"]);
    world.begin(false);
    world.hears(&core.digests());
    assert_eq!(world.lease(), None, "words are still being compared");
    world.conclude();
    world.hears(&core.digests());
    world.lease().expect("it is current");
    // A Core that has applied a later word shows a store that was put back, when nothing on the mesh does.
    core.applied = Some(r(9));
    world.hears(&core.digests());
    assert_eq!(world.lease(), None);
    let refused = world.link("acme", &request(&["other"]), &NONE);
    assert!(
        matches!(refused, Err(Failure::Refused(Refusal::Behind { claims, .. })) if claims == r(9)),
        "{refused:?}"
    );
    world.unlink("acme", &NONE).expect("unlinking is always possible");
    core.applied = Some(r(3));
    world.hears(&core.digests());
    world.lease().expect("the claim is taken back");
}

#[test]
fn of_several_starts_of_a_core_only_the_latest_is_leased_and_an_earlier_one_is_shown() {
    let mut world = linked();
    let mut first = Speaker::new(7).holding(&world, &["acme", "beta"]);
    let mut second = Speaker::new(8).holding(&world, &["acme", "beta"]);
    let late = first.digests();
    world.hears(&late);
    world.hears(&second.digests());
    assert_eq!(world.lease().map(|lease| lease.incarnation), Some(8));
    let superseded = |world: &World| {
        let core = store::core(&world.store, &region("a")).expect("memory does not fail");
        core.incarnations.get(&7).expect("it was heard of").spoke_again
    };
    world.hears(&late);
    assert_eq!(
        (world.lease(), superseded(&world)),
        (None, None),
        "what is delivered again is no sign of life"
    );
    world.hears(&first.digests());
    assert_eq!(world.lease(), None);
    assert_eq!(superseded(&world), Some(world.now()));
}
