//! Under which number a Core's manifests are told, and what makes it go on under a later one.

use std::time::Duration;

use openkcm_contracts::v1::{SovereignLease, StateManifest};
use openkcm_contracts::{Audience, Event, EventType, Lane, Period, Revision, Role, Timestamp};
use openkcm_host::{BootInstant, Clock as _, ManualClock};
use openkcm_krypton::rules::{LeasePolicy, Moment};
use openkcm_krypton::store::{self, Changes, manifest};
use openkcm_orbital::{Intake, Stream, Verified, outbox};
use openkcm_store::{Memory, StoreError};

use crate::rig::facts::{self, region};

/// A Core's store, and its clock.
struct Disk {
    store: Memory,
    clock: ManualClock,
    nonces: u64,
}

impl Disk {
    /// A new one, on a machine whose wall clock shows so many seconds.
    fn new(wall_secs: u64) -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(wall_secs * 1_000), BootInstant::from_nanos(1));
        Self { store: Memory::default(), clock, nonces: 0 }
    }

    fn begins(&mut self) {
        let now = Moment::of(&self.clock);
        let begun: Result<_, StoreError> =
            self.store.write(|tx| store::begin(tx, &LeasePolicy::default(), &now));
        begun.expect("memory does not fail");
    }

    fn tells(&mut self) -> StateManifest {
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
    fn hears(&mut self, counter: u64, event: Event) -> Changes {
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

    /// A lease for an incarnation, which answers a manifest.
    fn is_leased(&mut self, incarnation: u64, manifest: &StateManifest) -> Changes {
        let lease = SovereignLease {
            region: region("a"),
            incarnation,
            nonce: manifest.nonce.clone(),
            ttl: Period::from_secs(3_600).expect("a period"),
            disputes: Vec::new(),
            unsettled: Vec::new(),
        };
        self.hears(1, Event::SovereignLease(lease))
    }

    fn has_news(&self) -> bool {
        manifest::news(&self.store).expect("memory does not fail") != manifest::News::Nothing
    }

    /// Whether the present lease covers the link of `acme`.
    fn is_covered(&self) -> bool {
        let id = openkcm_contracts::TenantId::new("acme").expect("a label");
        let link = store::link(&self.store, &id).expect("memory does not fail").expect("it has one");
        let grant = store::leases(&self.store).expect("memory does not fail").grant;
        let until = grant
            .and_then(|grant| grant.deadline(link.since, None, &LeasePolicy::default(), self.clock.boot()));
        until.is_some()
    }
}

#[test]
fn a_start_is_later_than_all_of_its_store_whatever_the_clock_shows_and_a_new_store_is_dated_by_it() {
    let mut disk = Disk::new(1_000);
    disk.begins();
    assert_eq!(disk.tells().incarnation, 1_000);
    disk.clock.set_wall(Timestamp::from_millis(40_000));
    disk.begins();
    assert_eq!(disk.tells().incarnation, 1_001);
    // The store is lost, and the clock still wrong: this is how a Core comes to be earlier than it was before.
    let mut lost = Disk::new(40);
    lost.begins();
    assert_eq!(lost.tells().incarnation, 40);
    // A clock that is put right later changes nothing by itself.
    lost.clock.advance(Duration::from_secs(5_000));
    assert_eq!(lost.tells().incarnation, 40);
}

#[test]
fn a_core_that_is_told_to_goes_on_as_a_later_one_and_is_leased_as_that() {
    let mut disk = Disk::new(40);
    disk.begins();
    disk.hears(1, facts::tenant("acme", |_| {}));
    disk.hears(3, facts::link("acme", 3));
    let manifest = disk.tells();
    assert!(!disk.has_news());
    assert!(disk.is_leased(1_001, &manifest).is_empty(), "that alone renews nothing");
    assert!(!disk.is_covered());
    assert!(disk.has_news(), "and is told at once");
    let manifest = disk.tells();
    assert_eq!((manifest.incarnation, manifest.sequence), (1_001, 1));
    assert!(disk.is_leased(1_001, &manifest).leased);
    assert!(disk.is_covered());
    disk.clock.set_wall(Timestamp::from_millis(50_000));
    disk.begins();
    assert_eq!(disk.tells().incarnation, 1_002, "also the next start is a later one");
}

#[test]
fn a_lease_from_before_goes_on_to_its_end_and_covers_no_link_that_came_later() {
    let mut disk = Disk::new(40);
    disk.begins();
    disk.hears(1, facts::tenant("acme", |_| {}));
    disk.hears(3, facts::link("acme", 3));
    let manifest = disk.tells();
    disk.is_leased(40, &manifest);
    assert!(disk.is_covered());
    let manifest = disk.tells();
    disk.is_leased(1_001, &manifest);
    assert!(disk.is_covered(), "it goes on");
    disk.is_leased(40, &manifest);
    assert_eq!(disk.tells().incarnation, 1_001, "an answer to an earlier number is too late");
    disk.hears(4, facts::link("acme", 4));
    assert!(!disk.is_covered(), "the lease agreed on another link");
}

#[test]
fn nobody_but_whose_manifest_is_answered_goes_on_and_nobody_goes_back() {
    let mut disk = Disk::new(1_000);
    disk.begins();
    let mut manifest = disk.tells();
    disk.is_leased(999, &manifest);
    assert_eq!(disk.tells().incarnation, 1_000);
    disk.is_leased(u64::MAX, &manifest);
    assert_eq!(disk.tells().incarnation, 1_000, "no number that it could tell");
    manifest.nonce = "of another process".into();
    disk.is_leased(2_000, &manifest);
    assert_eq!(disk.tells().incarnation, 1_000);
}
