//! A Core's store alone, on a machine whose clock is set: what it tells and takes, without a control.

use openkcm_contracts::v1::{SovereignLease, StateManifest, Unsettled};
use openkcm_contracts::{Audience, Event, EventType, Lane, Period, Revision, Role, Timestamp};
use openkcm_host::{BootInstant, Clock as _, ManualClock};
use openkcm_krypton::rules::{LeasePolicy, Moment};
use openkcm_krypton::store::{self, Changes, manifest};
use openkcm_orbital::{Intake, Stream, Verified, outbox};
use openkcm_store::{Memory, StoreError};

use super::facts::region;

/// A Core's store, and its clock.
pub(crate) struct Disk {
    pub(crate) store: Memory,
    pub(crate) clock: ManualClock,
    nonces: u64,
}

impl Disk {
    /// A new one, on a machine whose wall clock shows so many seconds.
    pub(crate) fn new(wall_secs: u64) -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(wall_secs * 1_000), BootInstant::from_nanos(1));
        Self { store: Memory::default(), clock, nonces: 0 }
    }

    pub(crate) fn begins(&mut self) {
        let now = Moment::of(&self.clock);
        let begun: Result<_, StoreError> =
            self.store.write(|tx| store::begin(tx, &LeasePolicy::default(), &now));
        begun.expect("memory does not fail");
    }

    pub(crate) fn tells(&mut self) -> StateManifest {
        self.nonces += 1;
        let (nonce, now) = (format!("nonce-{}", self.nonces), Moment::of(&self.clock));
        let told: Result<(), StoreError> =
            self.store.write(|tx| manifest::tell(tx, &region("a"), nonce, None, &now));
        told.expect("memory does not fail");
        let waiting = outbox::waiting(&self.store, Lane::Manifests, 1).expect("memory does not fail");
        let body = waiting.first().expect("it was told").letter.body.as_bytes();
        match Event::from_body(EventType::StateManifest, body).expect("its own word") {
            Event::StateManifest(manifest) => manifest,
            other => panic!("{other:?} is no manifest"),
        }
    }

    /// It hears the CMK Server.
    pub(crate) fn hears(&mut self, counter: u64, event: Event) -> Changes {
        let audience = Audience::Region(region("a"));
        let stream = Stream { lane: event.kind().lane(), audience: audience.clone() };
        let revision = Revision::new(1, counter);
        let verified = Verified { event, revision, audience, author: Role::Cmk, region: None };
        let intake = Intake {
            stream,
            events: vec![verified],
            poison: Vec::new(),
            dropped: [].into(),
            unbelieved: None,
            words_of: None,
            position: None,
            caught_up: true,
            releases: None,
        };
        let now = self.clock.now();
        let absorbed: Result<Changes, StoreError> = self.store.write(|tx| store::absorb(tx, &intake, now));
        absorbed.expect("memory does not fail")
    }

    /// A lease for an incarnation, which answers a manifest, and agrees on everything.
    pub(crate) fn is_leased(&mut self, incarnation: u64, manifest: &StateManifest) -> Changes {
        self.is_leased_but_for(incarnation, manifest, Vec::new())
    }

    /// The same, which does not know of these buckets why they differ.
    pub(crate) fn is_leased_but_for(
        &mut self,
        incarnation: u64,
        manifest: &StateManifest,
        unsettled: Vec<Unsettled>,
    ) -> Changes {
        let lease = SovereignLease {
            region: region("a"),
            incarnation,
            nonce: manifest.nonce.clone(),
            ttl: Period::from_secs(3_600).expect("a period"),
            disputes: Vec::new(),
            unsettled,
        };
        self.hears(1, Event::SovereignLease(lease))
    }

    pub(crate) fn has_news(&self) -> bool {
        manifest::news(&self.store).expect("memory does not fail") != manifest::News::Nothing
    }

    /// Whether the last lease covers the link of a tenant.
    pub(crate) fn is_covered(&self, tenant: &str) -> bool {
        let id = openkcm_contracts::TenantId::new(tenant).expect("a label");
        let link = store::link(&self.store, &id).expect("memory does not fail").expect("it has one");
        let leases = store::leases(&self.store).expect("memory does not fail");
        let grant = leases.grant.filter(|_| !leases.apart.contains_key(&id));
        let until = grant
            .and_then(|grant| grant.deadline(link.since, None, &LeasePolicy::default(), self.clock.boot()));
        until.is_some()
    }
}
