//! A Core, as far as it speaks to the CMK Server, and what the CMK Server says to it.

use openkcm_cmk::cores;
use openkcm_cmk::rules::Precondition;
use openkcm_cmk::store;
use openkcm_contracts::v1::{
    Contents, Kept, Listed, ManifestBody, ManifestQuery, Node, NodeDigest, PurgeReport, SovereignLease,
    StateManifest,
};
use openkcm_contracts::{Event, EventType, Lane, Revision};
use openkcm_digests::{Buckets, bucket_of};
use openkcm_orbital::outbox;

use super::{World, region, request};

/// A Core of region `a`, as far as it speaks.
pub(crate) struct Speaker {
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    pub(crate) applied: Option<Revision>,
    /// The links that it holds: tenant, and the digest of what it holds.
    pub(crate) held: Vec<(&'static str, String)>,
}

impl Speaker {
    pub(crate) fn new(incarnation: u64) -> Self {
        Self { incarnation, sequence: 0, applied: None, held: Vec::new() }
    }

    /// It holds what the CMK Server says of these tenants.
    pub(crate) fn holding(mut self, world: &World, tenants: &[&'static str]) -> Self {
        let digest = |name: &str| store::digest(&world.pointer(name).expect("it has a pointer"));
        self.held = tenants.iter().map(|name| (*name, digest(name))).collect();
        self.applied = store::revision(&world.store).expect("memory does not fail");
        self
    }

    pub(crate) fn manifest(&mut self, body: ManifestBody) -> StateManifest {
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

    pub(crate) fn digests(&mut self) -> StateManifest {
        let mut links = Buckets::of_nothing();
        self.held.iter().for_each(|(name, digest)| links.replace(name, None, Some(digest)));
        let (links, cmk) = (links.to_text(), self.applied);
        let (definitions, registry, purges) = (String::new(), None, PurgeReport::default());
        self.manifest(ManifestBody::Digests { definitions, links, registry, cmk, purges })
    }

    /// It answers a question of whole buckets.
    pub(crate) fn listing(&mut self, query: &ManifestQuery) -> StateManifest {
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
    pub(crate) fn hears(&mut self, manifest: &StateManifest) {
        let (now, nonce) = (self.now(), format!("asked-{}", manifest.nonce));
        let Self { store, landscape, .. } = self;
        store.write(|tx| cores::hear(tx, landscape, manifest, &nonce, now)).expect("memory does not fail");
    }

    /// An operator has the starts of region `a`'s Core forgotten.
    pub(crate) fn forget(&mut self) {
        let forgotten: Result<_, openkcm_store::StoreError> =
            self.store.write(|tx| cores::forget(tx, &region("a")));
        forgotten.expect("memory does not fail");
    }

    /// What waits on a lane, and is told now.
    pub(crate) fn said(&mut self, lane: Lane) -> Vec<Event> {
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

    pub(crate) fn lease(&mut self) -> Option<SovereignLease> {
        self.said(Lane::Urgent).into_iter().find_map(|event| match event {
            Event::SovereignLease(lease) => Some(lease),
            _ => None,
        })
    }

    pub(crate) fn question(&mut self) -> Option<ManifestQuery> {
        self.said(Lane::Manifests).into_iter().find_map(|event| match event {
            Event::ManifestQuery(query) => Some(query),
            _ => None,
        })
    }
}

/// acme and beta, in region a, linked and told of.
pub(crate) fn linked() -> World {
    let mut world = World::default();
    for (name, counter) in [("acme", 1), ("beta", 2)] {
        world.define(name, counter, &["a"]);
        world.link(name, &request(&["k"]), &Precondition::None).expect("nothing is against it");
    }
    Lane::ALL.into_iter().for_each(|lane| drop(world.said(lane)));
    world
}
