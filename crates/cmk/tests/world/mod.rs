//! A CMK Server's store in memory, and what waits in its outbox, for tests of the commands.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod speaker;

use std::time::Duration;

use openkcm_cmk::commands::{self, Failure, Outcome};
use openkcm_cmk::inbox::{self, Applied};
use openkcm_cmk::rules::{Landscape, LinkRequest, Precondition};
use openkcm_cmk::store::{self, Health, Pointer};
use openkcm_cmk::words;
use openkcm_contracts::v1::{LinkState, TenantDefine};
use openkcm_contracts::{
    Audience, Event, EventType, Generation, Lane, LinkEpoch, RegionId, Revision, Role, RootRef, TenantId,
    TenantState, Timestamp,
};
use openkcm_orbital::words::{self as own, Standing};
use openkcm_orbital::{Intake, Published, Stream, Verified, outbox};
use openkcm_store::{Memory, Space, StoreError};

/// A CMK Server without a shell.
pub(crate) struct World {
    pub(crate) store: Memory,
    pub(crate) landscape: Landscape,
    now: Timestamp,
}

/// A letter, in the words that tests compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) region: String,
    pub(crate) revision: Revision,
    pub(crate) epoch: LinkEpoch,
    /// Of a reference; a revoke has none.
    pub(crate) state: Option<LinkState>,
    pub(crate) roots: Vec<String>,
    /// Of a revoke.
    pub(crate) reason: String,
}

impl Told {
    pub(crate) fn reference(
        region: &str,
        revision: Revision,
        state: LinkState,
        epoch: LinkEpoch,
        roots: &[&str],
    ) -> Self {
        let roots = roots.iter().map(|key| (*key).to_owned()).collect();
        Self { region: region.into(), revision, epoch, state: Some(state), roots, reason: String::new() }
    }

    pub(crate) fn revoke(region: &str, revision: Revision, epoch: LinkEpoch, reason: &str) -> Self {
        Self { region: region.into(), revision, epoch, state: None, roots: vec![], reason: reason.into() }
    }

    fn of(letter: &openkcm_orbital::Letter) -> Self {
        let kind = EventType::from_wire_name(&letter.kind).expect("a known type");
        let Audience::Region(region) = &letter.audience else { panic!("{:?}", letter.audience) };
        match Event::from_body(kind, letter.body.as_bytes()).expect("a readable body") {
            Event::L1Reference(fact) => {
                assert_eq!((letter.subject.as_str(), letter.lane()), ("l1.acme", Lane::Facts));
                let roots: Vec<&str> = fact.roots.iter().map(|root| root.key.as_str()).collect();
                Self::reference(region.as_str(), letter.revision, fact.state, fact.epoch, &roots)
            }
            Event::L1Revoke(fact) => {
                assert_eq!((letter.subject.as_str(), letter.lane()), ("revoke.acme", Lane::Urgent));
                Self::revoke(region.as_str(), letter.revision, fact.epoch, &fact.reason)
            }
            other => panic!("the CMK Server does not say {other:?}"),
        }
    }
}

impl Default for World {
    fn default() -> Self {
        let landscape = Landscape { regions: ["a", "b", "c"].map(region).into(), ..Landscape::default() };
        Self { store: Memory::default(), landscape, now: Timestamp::from_millis(1_770_019_200_000) }
    }
}

impl World {
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn pass_a_minute(&mut self) {
        self.pass(60);
    }

    pub(crate) fn pass(&mut self, secs: u64) {
        self.now = self.now.after(Duration::from_secs(secs));
    }

    pub(crate) fn link(
        &mut self,
        name: &str,
        request: &LinkRequest,
        precondition: &Precondition,
    ) -> Result<Outcome<Pointer>, Failure> {
        let now = self.now;
        let tenant = id(name);
        self.store.write(|tx| commands::link(tx, &tenant, request, precondition, Health::ok(now), now))
    }

    pub(crate) fn unlink(
        &mut self,
        name: &str,
        precondition: &Precondition,
    ) -> Result<Outcome<Pointer>, Failure> {
        let Self { store, landscape, now } = self;
        store.write(|tx| commands::unlink(tx, landscape, &id(name), precondition, *now))
    }

    /// The Registry tells of an active tenant of generation 1.1.
    pub(crate) fn define(&mut self, name: &str, counter: u64, regions: &[&str]) -> Applied {
        self.tell(counter, tenant(name, 1, TenantState::Active, regions))
    }

    /// The Registry tells of a tenant at its revision 1.`counter`.
    pub(crate) fn tell(&mut self, counter: u64, fact: TenantDefine) -> Applied {
        self.hear(&Verified {
            event: Event::TenantDefine(fact),
            revision: Revision::new(1, counter),
            audience: Audience::Cmk,
            author: Role::Registry,
            region: None,
        })
    }

    pub(crate) fn hear(&mut self, verified: &Verified) -> Applied {
        let Self { store, landscape, now } = self;
        store.write(|tx| inbox::apply(tx, landscape, verified, *now)).expect("memory does not fail")
    }

    pub(crate) fn pointer(&self, name: &str) -> Option<Pointer> {
        store::pointer(&self.store, &id(name)).expect("memory does not fail")
    }

    /// It starts, and is rebuilt if that is wanted.
    pub(crate) fn begin(&mut self, rebuild: bool) {
        let now = self.now;
        self.store.write(|tx| words::begin(tx, rebuild, now)).expect("memory does not fail");
    }

    /// It reads own words back that a region has on one stream.
    pub(crate) fn compare(&mut self, name: &str, said: &[(Revision, Event)]) {
        let audience = Audience::Region(region(name));
        let word = |(revision, event): &(Revision, Event)| Verified {
            event: event.clone(),
            revision: *revision,
            audience: audience.clone(),
            author: Role::Cmk,
            region: None,
        };
        let intake = Intake {
            stream: Stream { lane: Lane::Facts, audience: audience.clone() },
            words_of: Some(Role::Cmk),
            events: said.iter().map(word).collect(),
            poison: Vec::new(),
            dropped: [].into(),
            unbelieved: None,
            position: None,
            caught_up: true,
            releases: None,
        };
        let now = self.now;
        self.store.write(|tx| words::compare(tx, &intake, now)).expect("memory does not fail");
    }

    /// All own words were read.
    pub(crate) fn conclude(&mut self) {
        let mut next = Some(words::Step::default());
        while let Some(step) = next {
            let Self { store, landscape, now } = self;
            let done = store.write(|tx| words::conclude(tx, landscape, step, *now));
            next = done.expect("memory does not fail");
        }
    }

    /// It learns what became of the letters that wait on a lane.
    pub(crate) fn learn(&mut self, lane: Lane, outcome: Published) {
        let Self { store, landscape, now } = self;
        let waiting = outbox::waiting(store, lane, usize::MAX).expect("memory does not fail");
        let published = vec![outcome; waiting.len()];
        let learned = store.write(|tx| {
            words::told(tx, landscape, &waiting, &published, *now)?;
            outbox::forget(tx, lane, &waiting)
        });
        learned.expect("memory does not fail");
    }

    pub(crate) fn standing(&self) -> Standing {
        own::standing(&self.store).expect("memory does not fail")
    }

    /// As if the Registry had never told of it, or this store had lost it.
    pub(crate) fn forget_tenant(&mut self, name: &str) {
        let done: Result<(), StoreError> =
            self.store.write(|tx| tx.delete(Space("tenants"), name.as_bytes()));
        done.expect("memory does not fail");
        assert_eq!(store::tenant(&self.store, &id(name)).expect("memory does not fail"), None);
    }

    /// What waits to be told, the urgent lane first; it is told now.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        for lane in Lane::ALL {
            let waiting = outbox::waiting(&self.store, lane, usize::MAX).expect("memory does not fail");
            let forgotten: Result<(), StoreError> = self.store.write(|tx| outbox::forget(tx, lane, &waiting));
            forgotten.expect("memory does not fail");
            told.extend(waiting.iter().map(|waiting| Told::of(&waiting.letter)));
        }
        told
    }
}

pub(crate) fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a label")
}

pub(crate) fn id(name: &str) -> TenantId {
    TenantId::new(name).expect("a label")
}

/// A tenant of generation 1.`generation`.
pub(crate) fn tenant(name: &str, generation: u64, state: TenantState, regions: &[&str]) -> TenantDefine {
    TenantDefine {
        tenant: id(name),
        generation: Generation(Revision::new(1, generation)),
        state,
        regions: regions.iter().map(|name| region(name)).collect(),
        labels: [].into(),
    }
}

pub(crate) fn request(keys: &[&str]) -> LinkRequest {
    LinkRequest::new(roots(keys), None).expect("a good request")
}

pub(crate) fn request_with_ttl(keys: &[&str], ttl: &str) -> LinkRequest {
    LinkRequest::new(roots(keys), Some(ttl.parse().expect("a period"))).expect("a good request")
}

pub(crate) fn roots(keys: &[&str]) -> Vec<RootRef> {
    let root = |key: &&str| RootRef { provider: "local".into(), key: (*key).into(), options: [].into() };
    keys.iter().map(root).collect()
}
